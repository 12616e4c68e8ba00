// SPDX-License-Identifier: Apache-2.0
#include "rules/nft/layout.h"

#include <bit>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "pointsman/status.h"

namespace pointsman::nft {
namespace {

// The largest list a pick chain is made for; the API allows 1,000 endpoints a slice and any number of slices.
constexpr uint32_t kMaxPickSize = 1u << 20;

void Append(Bytes& out, const IpAddr& addr) { out.insert(out.end(), addr.bytes().begin(), addr.bytes().end()); }

void AppendPort(Bytes& out, uint16_t port) {
  out.insert(out.end(), {static_cast<uint8_t>(port >> 8), static_cast<uint8_t>(port & 0xff), 0, 0});
}

}  // namespace

std::string FormatPickChain(const PickChain& chain) {
  const char* snat = chain.snat == Snat::kAlways ? "masq_" : chain.snat == Snat::kOutsidePods ? "offcl_" : "";
  return absl::StrCat(snat, chain.local ? "local_" : "", "pick_", chain.size);
}

std::optional<PickChain> ParsePickChain(absl::string_view name) {
  PickChain chain;
  absl::string_view rest = name;
  if (absl::ConsumePrefix(&rest, "masq_")) {
    chain.snat = Snat::kAlways;
  } else if (absl::ConsumePrefix(&rest, "offcl_")) {
    chain.snat = Snat::kOutsidePods;
  }
  chain.local = absl::ConsumePrefix(&rest, "local_");
  if (!absl::ConsumePrefix(&rest, "pick_") || !absl::SimpleAtoi(rest, &chain.size)) return std::nullopt;
  if (!std::has_single_bit(chain.size) || chain.size > kMaxPickSize) return std::nullopt;
  if (FormatPickChain(chain) != name) return std::nullopt;  // "pick_04"
  return chain;
}

absl::btree_map<std::string, SetSpec> SetSpecs(Family family) {
  const Field addr = family == Family::kIpv4 ? Field::kIpv4Addr : Field::kIpv6Addr;
  const std::vector<Field> frontend = {addr, Field::kInetProto, Field::kInetService};
  std::vector<Field> slot = frontend;
  slot.push_back(Field::kInteger);
  std::vector<Field> source = frontend;
  source.push_back(addr);
  const std::vector<Field> target = {addr, Field::kInetService};

  const auto verdict_map = [&](const char* comment) {
    SetSpec spec{.key = frontend};
    spec.verdicts = true;
    spec.comment = comment;
    return spec;
  };
  const auto list = [&](const char* comment) {
    SetSpec spec{.key = slot, .data = target};
    spec.comment = comment;
    return spec;
  };
  const auto set = [&](std::vector<Field> key, bool interval, const char* comment) {
    SetSpec spec{.key = std::move(key)};
    spec.interval = interval;
    spec.comment = comment;
    return spec;
  };
  return {
      {kFrontends, verdict_map("every address a Service answers on")},
      {kEndpoints, list("endpoints of a frontend, slots 0 to N-1")},
      {kEndpointsLocal, list("endpoints of a frontend on this node")},
      {kFwNext, verdict_map("frontends with source ranges: where allowed sources go")},
      {kFwSources, set(source, true, "source ranges of a frontend")},
      {kExtInternal, verdict_map("external traffic policy Local: pods and this node")},
      {kExtExternal, verdict_map("external traffic policy Local: everyone else")},
      {kHairpin, set({addr, addr}, false, "endpoints that may be their own client")},
      {kPodCidrs, set({addr}, true, "where pods are")},
      {kServiceCidrs, set({addr}, true, "Service addresses: what nobody owns is refused")},
  };
}

const SetSpec& SpecOf(Family family, absl::string_view set) {
  static const auto* const kV4 = new absl::btree_map<std::string, SetSpec>(SetSpecs(Family::kIpv4));
  static const auto* const kV6 = new absl::btree_map<std::string, SetSpec>(SetSpecs(Family::kIpv6));
  const auto& specs = family == Family::kIpv4 ? *kV4 : *kV6;
  const auto it = specs.find(std::string(set));
  PM_CHECK(it != specs.end());
  return it->second;
}

Bytes FrontendKey(const Match& match) {
  Bytes key;
  Append(key, match.dest);
  key.insert(key.end(), {static_cast<uint8_t>(match.protocol), 0, 0, 0});
  AppendPort(key, match.port);
  return key;
}

Bytes SlotKey(const Match& match, uint32_t slot) {
  Bytes key = FrontendKey(match);
  const size_t at = key.size();
  key.resize(at + sizeof slot);
  std::memcpy(key.data() + at, &slot, sizeof slot);  // host order: numgen's result is compared as it is
  return key;
}

Bytes AddrKey(const IpAddr& addr) {
  Bytes key;
  Append(key, addr);
  return key;
}

Bytes PairKey(const IpAddr& a, const IpAddr& b) {
  Bytes key;
  Append(key, a);
  Append(key, b);
  return key;
}

Bytes SourceKey(const Match& match, const IpAddr& source) {
  Bytes key = FrontendKey(match);
  Append(key, source);
  return key;
}

Bytes SocketAddrData(const SocketAddr& addr) {
  Bytes data;
  Append(data, addr.addr);
  AppendPort(data, addr.port);
  return data;
}

std::optional<SocketAddr> ParseSocketAddrData(Family family, const Bytes& data) {
  const size_t length = family == Family::kIpv4 ? 4 : 16;
  if (data.size() != length + 4) return std::nullopt;
  return SocketAddr{IpAddr::FromBytes(absl::MakeConstSpan(data).first(length)),
                    static_cast<uint16_t>(data[length] << 8 | data[length + 1])};
}

}  // namespace pointsman::nft
