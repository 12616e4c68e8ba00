// SPDX-License-Identifier: Apache-2.0
#include "rules/types/pack.h"

#include <algorithm>

namespace pointsman {
namespace {

enum AddressForm : uint8_t { kText, kIpv4, kIpv6 };

enum SpanForm : uint8_t { kWholeSeconds, kAnySpan, kInfinite, kMinusInfinite };
// A Duration's unit.
const absl::Duration kTick = absl::Nanoseconds(1) / 4;

uint64_t ZigZag(int64_t number) { return (static_cast<uint64_t>(number) << 1) ^ static_cast<uint64_t>(number >> 63); }
int64_t UnZigZag(uint64_t number) { return static_cast<int64_t>(number >> 1) ^ -static_cast<int64_t>(number & 1); }

size_t CommonPrefix(absl::string_view a, absl::string_view b) {
  const size_t most = std::min(a.size(), b.size());
  size_t n = 0;
  while (n < most && a[n] == b[n]) ++n;
  return n;
}

size_t CommonSuffix(absl::string_view a, absl::string_view b) {
  const size_t most = std::min(a.size(), b.size());
  size_t n = 0;
  while (n < most && a[a.size() - 1 - n] == b[b.size() - 1 - n]) ++n;
  return n;
}

}  // namespace

// 0 for the same; else one more than what they begin with in common, how much of the rest they end with, and what is
// between.
void PackWriter::Like(absl::string_view model, absl::string_view text) {
  if (model == text) return Number(0);
  const size_t prefix = CommonPrefix(model, text);
  const size_t suffix = CommonSuffix(model.substr(prefix), text.substr(prefix));
  Number(prefix + 1);
  Number(suffix);
  Text(text.substr(prefix, text.size() - prefix - suffix));
}

void PackReader::Like(absl::string_view model, std::string& text) {
  size_t prefix = 0;
  Number(prefix);
  if (prefix == 0) return Assign(model, text);
  --prefix;
  size_t suffix = 0;
  Number(suffix);
  const absl::string_view middle = View();
  text.reserve(prefix + middle.size() + suffix);
  text.assign(model.data(), prefix);
  text.append(middle.data(), middle.size());
  text.append(model.data() + model.size() - suffix, suffix);
}

std::optional<IpAddr> ParseCanonicalIp(const std::string& text) {
  const std::optional<IpAddr> addr = IpAddr::Parse(text);
  return addr && FormatIp(*addr) == text ? addr : std::nullopt;
}

void PackWriter::IpBytes(const IpAddr& addr) {
  const absl::Span<const uint8_t> bytes = addr.bytes();
  Bytes({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

void PackReader::IpBytes(Family family, std::string& text) {
  const absl::string_view bytes = Take(family == Family::kIpv4 ? 4 : 16);
  text = FormatIp(IpAddr::FromBytes({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}));
}

void PackWriter::Address(const std::string& text) {
  const std::optional<IpAddr> addr = ParseCanonicalIp(text);
  if (!addr) {
    Byte(kText);
    return Text(text);
  }
  Byte(addr->family() == Family::kIpv4 ? kIpv4 : kIpv6);
  IpBytes(*addr);
}

void PackReader::Address(std::string& text) {
  const auto form = static_cast<AddressForm>(Next());
  if (form == kText) return Text(text);
  IpBytes(form == kIpv4 ? Family::kIpv4 : Family::kIpv6, text);
}

void PackWriter::Span(absl::Duration duration) {
  if (duration == absl::InfiniteDuration()) return Byte(kInfinite);
  if (duration == -absl::InfiniteDuration()) return Byte(kMinusInfinite);
  absl::Duration rest;
  const int64_t seconds = absl::IDivDuration(duration, absl::Seconds(1), &rest);
  const bool whole = rest == absl::ZeroDuration();
  Byte(whole ? kWholeSeconds : kAnySpan);
  Number(ZigZag(seconds));
  if (!whole) Number(ZigZag(absl::IDivDuration(rest, kTick, &rest)));
}

void PackReader::Span(absl::Duration& duration) {
  const auto form = static_cast<SpanForm>(Next());
  if (form == kInfinite || form == kMinusInfinite) {
    duration = form == kInfinite ? absl::InfiniteDuration() : -absl::InfiniteDuration();
    return;
  }
  uint64_t seconds = 0;
  uint64_t ticks = 0;
  Number(seconds);
  if (form == kAnySpan) Number(ticks);
  duration = absl::Seconds(UnZigZag(seconds)) + UnZigZag(ticks) * kTick;
}

}  // namespace pointsman
