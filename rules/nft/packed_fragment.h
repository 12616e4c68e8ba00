// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"

#include "pointsman/nft_program.h"

namespace pointsman::nft {

// A Service's name and Fragment in one block of bytes, about a tenth of the size: what the ledger holds of every
// Service there is. Elements of a Service look alike, so of each there is only what tells it from the one before.
class PackedFragment {
 public:
  // The sets must be of the layout.
  PackedFragment(const NamespacedName& name, const Fragment& fragment);

  NamespacedName Name() const;
  bool shrinkable() const;
  Fragment Unpack() const;  // exactly what was packed

  // For hash tables keyed by the name alone.
  struct Hash {
    using is_transparent = void;
    template <typename T>
    size_t operator()(const T& named) const {
      return absl::HashOf(Namespace(named), OwnName(named));
    }
  };
  struct SameName {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return Namespace(a) == Namespace(b) && OwnName(a) == OwnName(b);
    }
  };
  // Replaces what is held in such a table by what `other` holds of the same Service.
  void Replace(PackedFragment other) const;

 private:
  static absl::string_view Namespace(const NamespacedName& name) { return name.ns; }
  static absl::string_view Namespace(const PackedFragment& packed) { return packed.ns(); }
  static absl::string_view OwnName(const NamespacedName& name) { return name.name; }
  static absl::string_view OwnName(const PackedFragment& packed) { return packed.name(); }

  absl::string_view ns() const;
  absl::string_view name() const;

  mutable std::unique_ptr<const uint8_t[]> block_;  // by Replace, which leaves the name
};

}  // namespace pointsman::nft
