// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"

#include "pointsman/api.h"

namespace pointsman {

// A NamespacedName that somebody else keeps.
struct NameView {
  NameView(absl::string_view the_ns, absl::string_view the_name) : ns(the_ns), name(the_name) {}
  NameView(const NamespacedName& from)  // NOLINT(google-explicit-constructor): it is that name
      : ns(from.ns), name(from.name) {}

  absl::string_view ns;
  absl::string_view name;

  NamespacedName Copy() const { return {std::string(ns), std::string(name)}; }

  friend bool operator==(const NameView&, const NameView&) = default;
  friend bool operator<(const NameView& a, const NameView& b) {
    return std::tie(a.ns, a.name) < std::tie(b.ns, b.name);
  }
  template <typename H>
  friend H AbslHashValue(H h, const NameView& n) {
    return H::combine(std::move(h), n.ns, n.name);
  }
};

// An Object in a few bytes, or none: a cluster is held as these, for there are many of them and each is seldom looked
// at. Immutable; copies share the bytes, from any thread.
//
// Two are equal exactly when the objects are.
class PackedObject {
 public:
  PackedObject() = default;
  PackedObject(std::nullptr_t) {}  // NOLINT(google-explicit-constructor): no object
  // Cost: O(object).
  explicit PackedObject(const Object& object);
  PackedObject(const PackedObject& other) : block_(other.block_) {
    if (block_ != nullptr) block_->references.fetch_add(1, std::memory_order_relaxed);
  }
  PackedObject(PackedObject&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  PackedObject& operator=(PackedObject other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~PackedObject() {
    if (block_ != nullptr && block_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) Free(block_);
  }

  explicit operator bool() const { return block_ != nullptr; }
  friend bool operator==(const PackedObject& a, const PackedObject& b) {
    return a.block_ == b.block_ || a.bytes() == b.bytes();
  }
  friend bool operator==(const PackedObject& a, std::nullptr_t) { return a.block_ == nullptr; }

  // The following are of objects, not of none. Views last as long as a copy of this does.

  // Cost: O(object).
  Object Unpack() const;
  Kind kind() const;
  NameView name() const;
  // Empty if it has no such label.
  absl::string_view Label(absl::string_view key) const;

 private:
  // The bytes follow it.
  struct Block {
    std::atomic<uint32_t> references;
    uint32_t size;
  };

  static void Free(Block* block);
  absl::string_view bytes() const {
    return block_ == nullptr ? absl::string_view()
                             : absl::string_view(reinterpret_cast<const char*>(block_ + 1), block_->size);
  }

  Block* block_ = nullptr;
};

// Objects of one kind, found by their name, which is held nowhere else.
struct PackedByName {
  using is_transparent = void;
  static NameView Of(const PackedObject& object) { return object.name(); }
  static NameView Of(const NameView& name) { return name; }

  size_t operator()(const auto& key) const { return absl::HashOf(Of(key)); }
  bool operator()(const auto& a, const auto& b) const { return Of(a) == Of(b); }
};
using PackedObjects = absl::flat_hash_set<PackedObject, PackedByName, PackedByName>;

}  // namespace pointsman
