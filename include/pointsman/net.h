// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace pointsman {

enum class Family : uint8_t { kIpv4, kIpv6 };
inline constexpr std::array<Family, 2> kFamilies = {Family::kIpv4, Family::kIpv6};

// Values are the IP protocol numbers.
enum class Protocol : uint8_t { kTcp = 6, kUdp = 17, kSctp = 132 };

absl::string_view FormatFamily(Family family);        // "IPv4" | "IPv6", as EndpointSlice.addressType spells it
absl::string_view FormatProtocol(Protocol protocol);  // "tcp" | "udp" | "sctp"
// Takes the API's upper-case spelling only ("TCP", "UDP", "SCTP").
std::optional<Protocol> ParseProtocol(absl::string_view text);

// An IPv4 or IPv6 address. Bytes are in network order; an IPv4-mapped IPv6 address is the IPv4 address.
class IpAddr {
 public:
  IpAddr() = default;  // 0.0.0.0

  // `bytes` is 4 or 16 long.
  static IpAddr FromBytes(absl::Span<const uint8_t> bytes);

  // Parses as the Kubernetes API does: IPv4 octets may carry leading zeros, read as decimal.
  // Returns: nullopt for anything else, a zone ("fe80::1%eth0") included.
  static std::optional<IpAddr> Parse(absl::string_view text);

  Family family() const { return family_; }
  absl::Span<const uint8_t> bytes() const {
    return absl::MakeConstSpan(bytes_).first(family_ == Family::kIpv4 ? 4 : 16);
  }
  bool IsUnspecified() const;
  bool IsLoopback() const;
  bool IsLinkLocal() const;

  friend bool operator==(const IpAddr&, const IpAddr&) = default;
  // By family, then by bytes. Sorting and searching endpoints is mostly this.
  friend std::strong_ordering operator<=>(const IpAddr& a, const IpAddr& b) {
    if (a.family_ != b.family_) return a.family_ <=> b.family_;
    if (const auto order = a.Half(0) <=> b.Half(0); order != 0) return order;
    return a.Half(8) <=> b.Half(8);
  }
  template <typename H>
  friend H AbslHashValue(H h, const IpAddr& a) {
    return H::combine(std::move(h), a.family_, a.bytes_);
  }

 private:
  // Eight bytes as a number that compares as they do.
  uint64_t Half(size_t at) const {
    uint64_t half = 0;
    for (size_t i = at; i < at + 8; ++i) half = half << 8 | bytes_[i];
    return half;
  }

  Family family_ = Family::kIpv4;
  std::array<uint8_t, 16> bytes_ = {};
};

std::string FormatIp(const IpAddr& addr);

// A prefix, always held with its host bits cleared.
class Cidr {
 public:
  Cidr() = default;
  Cidr(const IpAddr& addr, int prefix_length);

  // Parses "ADDR/LEN"; host bits are cleared, leading zeros tolerated in both parts.
  static std::optional<Cidr> Parse(absl::string_view text);

  Family family() const { return base_.family(); }
  const IpAddr& base() const { return base_; }  // lowest address
  IpAddr last() const;                          // highest address
  int prefix_length() const { return prefix_length_; }
  bool Contains(const IpAddr& addr) const;

  friend auto operator<=>(const Cidr&, const Cidr&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Cidr& c) {
    return H::combine(std::move(h), c.base_, c.prefix_length_);
  }

 private:
  IpAddr base_;
  int prefix_length_ = 0;
};

std::string FormatCidr(const Cidr& cidr);

// Sorted, and without ranges that lie inside another.
std::vector<Cidr> Canonical(std::vector<Cidr> ranges);

// An address and a port (host order).
struct SocketAddr {
  IpAddr addr;
  uint16_t port = 0;

  friend auto operator<=>(const SocketAddr&, const SocketAddr&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const SocketAddr& s) {
    return H::combine(std::move(h), s.addr, s.port);
  }
};

std::string FormatSocketAddr(const SocketAddr& addr);  // "192.0.2.1:80", "[2001:db8::1]:80"

// The destination of a new connection.
struct Match {
  IpAddr dest;
  Protocol protocol = Protocol::kTcp;
  uint16_t port = 0;

  friend auto operator<=>(const Match&, const Match&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Match& m) {
    return H::combine(std::move(h), m.dest, m.protocol, m.port);
  }
};

std::string FormatMatch(const Match& match);  // "192.0.2.1:80/tcp"

}  // namespace pointsman
