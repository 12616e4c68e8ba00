// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/wire.h"

#include <algorithm>
#include <utility>

namespace pointsman::kube {
namespace {

constexpr int kVarintBits = 64;

}  // namespace

std::optional<WireTag> ParseTag(uint64_t varint) {
  constexpr uint64_t kMaxNumber = (1 << 29) - 1;
  const uint64_t number = varint >> 3;
  const auto type = static_cast<WireType>(varint & 7);
  if (number == 0 || number > kMaxNumber) return std::nullopt;
  switch (type) {
    case WireType::kVarint:
    case WireType::kFixed64:
    case WireType::kBytes:
    case WireType::kFixed32:
      return WireTag{static_cast<uint32_t>(number), type};
  }
  return std::nullopt;
}

std::optional<WireField> WireFields::Fail() {
  ok_ = false;
  rest_ = {};
  return std::nullopt;
}

std::optional<WireField> WireFields::Next() {
  if (rest_.empty()) return std::nullopt;
  WireTaker taker;
  uint64_t value = 0;
  if (taker.Varint(rest_, value) != WireTaker::Got::kAll) return Fail();
  const std::optional<WireTag> tag = ParseTag(value);
  if (!tag) return Fail();
  uint64_t skipped = 0;
  switch (tag->type) {
    case WireType::kVarint:
      if (taker.Varint(rest_, value) != WireTaker::Got::kAll) return Fail();
      break;
    case WireType::kFixed64:
      skipped = 8;
      break;
    case WireType::kFixed32:
      skipped = 4;
      break;
    case WireType::kBytes: {
      if (taker.Varint(rest_, value) != WireTaker::Got::kAll || value > rest_.size()) return Fail();
      const WireField field = {tag->number, rest_.substr(0, value)};
      rest_.remove_prefix(value);
      return field;
    }
  }
  if (skipped > rest_.size()) return Fail();
  rest_.remove_prefix(skipped);
  return WireField{tag->number, {}};
}

std::optional<absl::string_view> WireTaker::Bytes(absl::string_view& in, size_t length) {
  if (std::exchange(taken_, false)) held_.clear();
  if (held_.empty() && in.size() >= length) {
    const absl::string_view whole = in.substr(0, length);
    in.remove_prefix(length);
    return whole;
  }
  const size_t more = std::min(length - held_.size(), in.size());
  held_.append(in.data(), more);
  in.remove_prefix(more);
  if (held_.size() < length) return std::nullopt;
  taken_ = true;
  return absl::string_view(held_);
}

WireTaker::Got WireTaker::Varint(absl::string_view& in, uint64_t& value) {
  while (!in.empty()) {
    const auto byte = static_cast<uint8_t>(in[0]);
    in.remove_prefix(1);
    if (shift_ >= kVarintBits) return Got::kNonsense;
    varint_ |= static_cast<uint64_t>(byte & 0x7f) << shift_;
    shift_ += 7;
    if ((byte & 0x80) != 0) continue;
    value = std::exchange(varint_, 0);
    shift_ = 0;
    return Got::kAll;
  }
  return Got::kNotYet;
}

}  // namespace pointsman::kube
