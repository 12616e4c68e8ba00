// SPDX-License-Identifier: Apache-2.0
//
// Reading netlink attributes out of bytes nobody vouches for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace pointsman::nl {

using ByteSpan = absl::Span<const uint8_t>;

// Calls `visit(type, payload)` for each attribute in `bytes`, front to back.
// Returns: false if the lengths do not add up; what came before was visited.
bool ForEachAttr(ByteSpan bytes, absl::FunctionRef<void(uint16_t, ByteSpan)> visit);

// The attributes of one level, by type. Integers are big-endian on the wire, as everywhere in nf_tables.
// An attribute that is absent reads as zero or empty; one of the wrong length too, and makes ok() false for good.
// Of two with the same type the last one counts, as in the kernel. Types past kMaxType are passed over: they are newer
// than anything we know.
class Attrs {
 public:
  static constexpr uint16_t kMaxType = 31;

  explicit Attrs(ByteSpan bytes);

  bool ok() const { return ok_; }
  bool Has(uint16_t type) const { return (present_ & Bit(type)) != 0; }
  // Whether nothing is present but `types`, among the types up to `known_max`.
  bool HasOnly(std::initializer_list<uint16_t> types, uint16_t known_max) const;

  uint8_t U8(uint16_t type);
  uint32_t U32(uint16_t type);
  uint64_t U64(uint16_t type);
  absl::string_view Str(uint16_t type) const;  // up to the first NUL
  ByteSpan Raw(uint16_t type) const;
  Attrs Nested(uint16_t type);  // what is malformed inside makes this one malformed too

  // For callers that go on by themselves with Raw().
  void Spoil() { ok_ = false; }

 private:
  static constexpr uint32_t Bit(uint16_t type) { return uint32_t{1} << type; }
  const uint8_t* Exactly(uint16_t type, size_t size);

  bool ok_ = true;
  uint32_t present_ = 0;
  std::array<ByteSpan, kMaxType + 1> values_;
};

// Calls `visit(message)` for each netlink message in `datagram`, header included.
// Returns: false if the lengths do not add up, or as soon as `visit` returns false.
bool ForEachMessage(ByteSpan datagram, absl::FunctionRef<bool(ByteSpan)> visit);

}  // namespace pointsman::nl
