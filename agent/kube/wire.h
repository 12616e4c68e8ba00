// SPDX-License-Identifier: Apache-2.0
//
// Protobuf's wire format, for what is taken apart without being parsed: envelopes, frames, lists that are still coming
// in.
//
// Source: https://protobuf.dev/programming-guides/encoding/
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace pointsman::kube {

enum class WireType : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

struct WireTag {
  uint32_t number = 0;
  WireType type = WireType::kVarint;
};

// Returns: nullopt for what no message of Kubernetes has: groups, and what is no tag at all.
std::optional<WireTag> ParseTag(uint64_t varint);

struct WireField {
  uint32_t number = 0;
  absl::string_view bytes;  // of strings, bytes and messages; else empty
};

// The fields of a message that is complete, in order.
class WireFields {
 public:
  explicit WireFields(absl::string_view message) : rest_(message) {}

  // Returns: nullopt at the end, and where the bytes stop making sense: then ok() is false.
  std::optional<WireField> Next();
  bool ok() const { return ok_; }

 private:
  std::optional<WireField> Fail();

  absl::string_view rest_;
  bool ok_ = true;
};

// Takes what has a known length, or says itself where it ends, off the front of bytes that come in chunks. What is not
// there yet is kept.
class WireTaker {
 public:
  enum class Got : uint8_t { kAll, kNotYet, kNonsense };

  // The next `length` bytes, valid until the next call. They are copied only if they came in more than one chunk.
  std::optional<absl::string_view> Bytes(absl::string_view& in, size_t length);
  Got Varint(absl::string_view& in, uint64_t& value);

  // Nothing has been begun.
  bool idle() const { return (held_.empty() || taken_) && shift_ == 0; }

 private:
  std::string held_;
  bool taken_ = false;  // `held_` was given away
  uint64_t varint_ = 0;
  int shift_ = 0;
};

}  // namespace pointsman::kube
