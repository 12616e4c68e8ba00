// SPDX-License-Identifier: Apache-2.0
#include "pointsman/net.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace pointsman {
namespace {

// Takes a decimal of at most `max` off the front of `text`; leading zeros are tolerated, signs and blanks are not.
std::optional<int> TakeDecimal(absl::string_view& text, int max) {
  unsigned value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value > static_cast<unsigned>(max)) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(rest - text.data()));
  return static_cast<int>(value);
}

// A cluster has hundreds of thousands of these, hence one pass and no library.
std::optional<IpAddr> ParseIpv4(absl::string_view text) {
  std::array<uint8_t, 4> bytes;
  size_t octets = 0;
  unsigned value = 0;
  bool digits = false;
  for (const char c : text) {
    if (c == '.') {
      if (!digits || octets == 3) return std::nullopt;
      bytes[octets++] = static_cast<uint8_t>(std::exchange(value, 0));
      digits = false;
      continue;
    }
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<unsigned>(c - '0');
    if (value > 255) return std::nullopt;
    digits = true;
  }
  if (!digits || octets != 3) return std::nullopt;
  bytes[3] = static_cast<uint8_t>(value);
  return IpAddr::FromBytes(bytes);
}

std::string FormatIpv4(absl::Span<const uint8_t> bytes) {
  std::array<char, INET_ADDRSTRLEN> text;
  char* end = text.data();
  for (const uint8_t byte : bytes) {
    if (end != text.data()) *end++ = '.';
    end = std::to_chars(end, text.data() + text.size(), byte).ptr;
  }
  return {text.data(), end};
}

}  // namespace

absl::string_view FormatFamily(Family family) { return family == Family::kIpv4 ? "IPv4" : "IPv6"; }

absl::string_view FormatProtocol(Protocol protocol) {
  switch (protocol) {
    case Protocol::kTcp:
      return "tcp";
    case Protocol::kUdp:
      return "udp";
    case Protocol::kSctp:
      return "sctp";
  }
  return "?";
}

std::optional<Protocol> ParseProtocol(absl::string_view text) {
  if (text == "TCP") return Protocol::kTcp;
  if (text == "UDP") return Protocol::kUdp;
  if (text == "SCTP") return Protocol::kSctp;
  return std::nullopt;
}

IpAddr IpAddr::FromBytes(absl::Span<const uint8_t> bytes) {
  static constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  IpAddr addr;
  if (bytes.size() == 16 && std::equal(kMapped.begin(), kMapped.end(), bytes.begin())) bytes.remove_prefix(12);
  addr.family_ = bytes.size() == 4 ? Family::kIpv4 : Family::kIpv6;
  std::copy_n(bytes.begin(), std::min<size_t>(bytes.size(), 16), addr.bytes_.begin());
  return addr;
}

std::optional<IpAddr> IpAddr::Parse(absl::string_view text) {
  if (text.find(':') == absl::string_view::npos) return ParseIpv4(text);
  std::array<uint8_t, 16> bytes;
  if (inet_pton(AF_INET6, std::string(text).c_str(), bytes.data()) != 1) return std::nullopt;
  return FromBytes(bytes);
}

bool IpAddr::IsUnspecified() const {
  return std::all_of(bytes_.begin(), bytes_.end(), [](uint8_t b) { return b == 0; });
}

bool IpAddr::IsLoopback() const {
  if (family_ == Family::kIpv4) return bytes_[0] == 127;
  return bytes_[15] == 1 && std::all_of(bytes_.begin(), bytes_.end() - 1, [](uint8_t b) { return b == 0; });
}

bool IpAddr::IsLinkLocal() const {
  if (family_ == Family::kIpv4) return bytes_[0] == 169 && bytes_[1] == 254;
  return bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

std::string FormatIp(const IpAddr& addr) {
  if (addr.family() == Family::kIpv4) return FormatIpv4(addr.bytes());
  char text[INET6_ADDRSTRLEN];
  inet_ntop(AF_INET6, addr.bytes().data(), text, sizeof text);
  return text;
}

Cidr::Cidr(const IpAddr& addr, int prefix_length) : prefix_length_(prefix_length) {
  std::array<uint8_t, 16> bytes = {};
  const absl::Span<const uint8_t> from = addr.bytes();
  for (size_t i = 0; i < from.size(); ++i) {
    const int bits = std::clamp(prefix_length - static_cast<int>(i) * 8, 0, 8);
    bytes[i] = static_cast<uint8_t>(from[i] & (0xff << (8 - bits)));
  }
  // An IPv6 prefix that ends before the mapped range must not turn into an IPv4 address.
  base_ = IpAddr::FromBytes(absl::MakeConstSpan(bytes).first(from.size()));
}

std::optional<Cidr> Cidr::Parse(absl::string_view text) {
  const size_t slash = text.find('/');
  if (slash == absl::string_view::npos) return std::nullopt;
  const std::optional<IpAddr> addr = IpAddr::Parse(text.substr(0, slash));
  if (!addr) return std::nullopt;
  const bool colons = text.find(':') != absl::string_view::npos;
  text.remove_prefix(slash + 1);
  std::optional<int> length = TakeDecimal(text, colons ? 128 : 32);
  if (!length || !text.empty()) return std::nullopt;
  if (colons && addr->family() == Family::kIpv4) {
    // A mapped address counts the 96 bits in front of it: ::ffff:192.0.2.0/120 is 192.0.2.0/24.
    if (*length < 96) return std::nullopt;
    *length -= 96;
  }
  const Cidr cidr(*addr, *length);
  // ::/80 and the like end among the mapped addresses, which are IPv4's: nothing a kernel could be told.
  if (cidr.last().family() != cidr.family()) return std::nullopt;
  return cidr;
}

IpAddr Cidr::last() const {
  std::array<uint8_t, 16> bytes = {};
  const absl::Span<const uint8_t> from = base_.bytes();
  for (size_t i = 0; i < from.size(); ++i) {
    const int bits = std::clamp(prefix_length_ - static_cast<int>(i) * 8, 0, 8);
    bytes[i] = static_cast<uint8_t>(from[i] | (0xff >> bits));
  }
  return IpAddr::FromBytes(absl::MakeConstSpan(bytes).first(from.size()));
}

bool Cidr::Contains(const IpAddr& addr) const { return addr.family() == family() && base_ <= addr && addr <= last(); }

std::string FormatCidr(const Cidr& cidr) { return absl::StrCat(FormatIp(cidr.base()), "/", cidr.prefix_length()); }

std::vector<Cidr> Canonical(std::vector<Cidr> ranges) {
  std::sort(ranges.begin(), ranges.end());
  std::vector<Cidr> out;
  for (const Cidr& range : ranges) {
    if (out.empty() || !out.back().Contains(range.base())) out.push_back(range);
  }
  return out;
}

std::string FormatMatch(const Match& match) {
  return absl::StrCat(FormatSocketAddr({match.dest, match.port}), "/", FormatProtocol(match.protocol));
}

std::string FormatSocketAddr(const SocketAddr& addr) {
  if (addr.addr.family() == Family::kIpv4) return absl::StrCat(FormatIp(addr.addr), ":", addr.port);
  return absl::StrCat("[", FormatIp(addr.addr), "]:", addr.port);
}

}  // namespace pointsman
