// SPDX-License-Identifier: Apache-2.0
#include "rules/nft/layout.h"

#include <algorithm>
#include <array>
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

constexpr size_t kIdDigits = 16;

// In the order of their names.
const std::array<absl::string_view, 14> kSets = {kAffEndpoints,   kAffServices, kAffinity,    kClusterIps,  kEndpoints,
                                                 kEndpointsLocal, kExtExternal, kExtInternal, kFrontends,   kFwNext,
                                                 kFwSources,      kHairpin,     kPodCidrs,    kServiceCidrs};

std::string FormatId(AffinityId id) { return absl::StrCat(absl::Hex(id, absl::kZeroPad16)); }

std::optional<AffinityId> ConsumeId(absl::string_view& text) {
  AffinityId id = 0;
  if (text.size() < kIdDigits || !absl::SimpleHexAtoi(text.substr(0, kIdDigits), &id)) return std::nullopt;
  text.remove_prefix(kIdDigits);
  return id;
}

// A key or data in the making. Bytes take a whole much faster than pieces.
class Packer {
 public:
  Packer& Put(const IpAddr& addr) { return Copy(addr.bytes().data(), addr.bytes().size()); }
  Packer& Put(Protocol protocol) {
    const std::array<uint8_t, 4> bytes = {static_cast<uint8_t>(protocol)};
    return Copy(bytes.data(), bytes.size());
  }
  Packer& PutPort(uint16_t port) {
    const std::array<uint8_t, 4> bytes = {static_cast<uint8_t>(port >> 8), static_cast<uint8_t>(port & 0xff)};
    return Copy(bytes.data(), bytes.size());
  }
  Packer& PutWord(uint32_t word) { return Copy(&word, sizeof word); }  // host order
  Packer& Put(const Match& match) { return Put(match.dest).Put(match.protocol).PutPort(match.port); }

  Bytes Done() const { return {buffer_.begin(), buffer_.begin() + size_}; }

 private:
  Packer& Copy(const void* bytes, size_t size) {
    PM_CHECK(size_ + size <= buffer_.size());
    std::memcpy(buffer_.data() + size_, bytes, size);
    size_ += size;
    return *this;
  }

  std::array<uint8_t, 64> buffer_;  // the kernel takes no more as a key
  size_t size_ = 0;
};

}  // namespace

AffinityId AffinityOf(const ServicePortName& name, bool local) {
  // FNV-1a, then the finalizer of MurmurHash3: 64 bits that spread well and never change from one build to the next.
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : absl::StrCat(FormatServicePort(name), "/", FormatProtocol(name.protocol))) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  }
  for (const uint64_t factor : {0xff51afd7ed558ccd, 0xc4ceb9fe1a85ec53}) hash = (hash ^ (hash >> 33)) * factor;
  hash ^= hash >> 33;
  return (hash & ~AffinityId{1}) | (local ? 1 : 0);
}

std::string FormatPickChain(const PickChain& chain) {
  const char* snat = chain.snat == Snat::kAlways ? "masq_" : chain.snat == Snat::kOutsidePods ? "offcl_" : "";
  return absl::StrCat(snat, chain.affinity ? absl::StrCat("aff_", FormatId(*chain.affinity), "_") : "",
                      chain.local ? "local_" : "", "pick_", chain.size);
}

std::optional<PickChain> ParsePickChain(absl::string_view name) {
  PickChain chain;
  absl::string_view rest = name;
  if (absl::ConsumePrefix(&rest, "masq_")) {
    chain.snat = Snat::kAlways;
  } else if (absl::ConsumePrefix(&rest, "offcl_")) {
    chain.snat = Snat::kOutsidePods;
  }
  if (absl::ConsumePrefix(&rest, "aff_")) {
    chain.affinity = ConsumeId(rest);
    if (!chain.affinity || !absl::ConsumePrefix(&rest, "_")) return std::nullopt;
  }
  chain.local = absl::ConsumePrefix(&rest, "local_");
  if (!absl::ConsumePrefix(&rest, "pick_") || !absl::SimpleAtoi(rest, &chain.size)) return std::nullopt;
  if (!std::has_single_bit(chain.size) || chain.size > kMaxPickSize) return std::nullopt;
  if (FormatPickChain(chain) != name) return std::nullopt;  // "pick_04"
  return chain;
}

std::string FormatRecordChain(const RecordChain& chain) {
  return absl::StrCat("aff_", chain.external_local ? "ext_" : "", chain.seconds, "_", FormatId(chain.id));
}

std::optional<RecordChain> ParseRecordChain(absl::string_view name) {
  RecordChain chain;
  absl::string_view rest = name;
  if (!absl::ConsumePrefix(&rest, "aff_")) return std::nullopt;
  chain.external_local = absl::ConsumePrefix(&rest, "ext_");
  const size_t end = rest.find('_');
  if (end == absl::string_view::npos || !absl::SimpleAtoi(rest.substr(0, end), &chain.seconds)) return std::nullopt;
  rest.remove_prefix(end + 1);
  const std::optional<AffinityId> id = ConsumeId(rest);
  if (!id || chain.seconds <= 0) return std::nullopt;
  chain.id = *id;
  if (FormatRecordChain(chain) != name) return std::nullopt;
  return chain;
}

bool MadeOnDemand(absl::string_view name) { return ParsePickChain(name) || ParseRecordChain(name); }

bool ForAffinity(absl::string_view name) {
  const std::optional<PickChain> pick = ParsePickChain(name);
  return pick ? pick->affinity.has_value() : ParseRecordChain(name).has_value();
}

std::vector<std::string> WithTargets(const std::string& name) {
  std::vector<std::string> names = {name};
  if (std::optional<PickChain> pick = ParsePickChain(name)) {
    if (pick->snat != Snat::kNever) {
      pick->snat = Snat::kNever;
      names.push_back(FormatPickChain(*pick));
    }
    if (pick->affinity) {
      pick->affinity.reset();
      names.push_back(FormatPickChain(*pick));
    }
  } else if (const std::optional<RecordChain> record = ParseRecordChain(name); record && record->external_local) {
    names.push_back(FormatRecordChain({.seconds = record->seconds, .id = record->id & ~AffinityId{1}}));
    names.push_back(FormatRecordChain({.seconds = record->seconds, .id = record->id | 1}));
  }
  return names;
}

uint32_t HighWord(AffinityId id) { return static_cast<uint32_t>(id >> 32); }
uint32_t LowWord(AffinityId id) { return static_cast<uint32_t>(id); }

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
  // Entries are looked at by whoever comes next; the sweep over all of them can wait.
  SetSpec affinity{.key = {addr, Field::kMark, Field::kMark}, .data = target};
  affinity.dynamic = true;
  affinity.has_timeout = true;
  affinity.timeout = absl::Hours(3);
  affinity.gc_interval = absl::Minutes(1);
  affinity.comment = "which endpoint a client was sent to";
  return {
      {kAffinity, affinity},
      {kAffServices, verdict_map("frontends with session affinity")},
      {kAffEndpoints,
       set({Field::kMark, Field::kMark, addr, Field::kInetService}, false, "endpoints a client may stay with")},
      {kClusterIps, set({addr}, false, "ClusterIPs: other ports are refused")},
      {kFrontends, verdict_map("every address a Service answers on")},
      {kEndpoints, list("endpoints of a frontend, slots 0 to N-1")},
      {kEndpointsLocal, list("endpoints of a frontend on this node")},
      {kFwNext, verdict_map("frontends with source ranges: where allowed sources go")},
      {kFwSources, set(source, true, "source ranges of a frontend")},
      {kExtInternal, verdict_map("external traffic policy Local: pods and this node")},
      {kExtExternal, verdict_map("external traffic policy Local: everyone else")},
      {kHairpin, set({addr, addr}, false, "endpoints that may be their own client")},
      {kPodCidrs, set({addr}, true, "where pods are")},
      {kServiceCidrs, set({addr}, true, "Service addresses: what is not in use is dropped")},
  };
}

SetNumber NumberOf(Family family, absl::string_view set) {
  const auto it = std::find(kSets.begin(), kSets.end(), set);
  PM_CHECK(it != kSets.end());
  return static_cast<SetNumber>(static_cast<size_t>(it - kSets.begin()) + (family == Family::kIpv4 ? 0 : kSets.size()));
}

Family FamilyOf(SetNumber number) { return number < kSets.size() ? Family::kIpv4 : Family::kIpv6; }
const char* NameOf(SetNumber number) { return kSets[number % kSets.size()].data(); }

const SetSpec& SpecOf(SetNumber number) {
  static const auto* const kSpecs = [] {
    auto* const all = new std::vector<SetSpec>;
    for (const Family family : kFamilies) {
      for (const auto& [name, spec] : SetSpecs(family)) all->push_back(spec);
    }
    PM_CHECK(all->size() == kFamilies.size() * kSets.size());
    return all;
  }();
  return (*kSpecs)[number];
}

Bytes FrontendKey(const Match& match) { return Packer().Put(match).Done(); }
Bytes AddrKey(const IpAddr& addr) { return Packer().Put(addr).Done(); }
Bytes PairKey(const IpAddr& a, const IpAddr& b) { return Packer().Put(a).Put(b).Done(); }
Bytes SourceKey(const Match& match, const IpAddr& source) { return Packer().Put(match).Put(source).Done(); }
Bytes SocketAddrData(const SocketAddr& addr) { return Packer().Put(addr.addr).PutPort(addr.port).Done(); }

Bytes AffinityEndpointKey(AffinityId id, const SocketAddr& endpoint) {
  return Packer().PutWord(HighWord(id)).PutWord(LowWord(id)).Put(endpoint.addr).PutPort(endpoint.port).Done();
}

// The slot in host order: numgen's result is compared as it is.
Bytes SlotKey(const Match& match, uint32_t slot) { return Packer().Put(match).PutWord(slot).Done(); }

void SetSlot(Bytes& key, uint32_t slot) {
  PM_CHECK(key.size() > sizeof slot);
  std::memcpy(key.data() + key.size() - sizeof slot, &slot, sizeof slot);
}

std::optional<SocketAddr> ParseSocketAddrData(Family family, const Bytes& data) {
  const size_t length = family == Family::kIpv4 ? 4 : 16;
  if (data.size() != length + 4) return std::nullopt;
  return SocketAddr{IpAddr::FromBytes(absl::MakeConstSpan(data).first(length)),
                    static_cast<uint16_t>(data[length] << 8 | data[length + 1])};
}

}  // namespace pointsman::nft
