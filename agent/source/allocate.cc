// SPDX-License-Identifier: Apache-2.0
#include "agent/source/allocate.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace pointsman {
namespace {

constexpr int kFirstNodePort = 30000;
constexpr int kLastNodePort = 32767;
constexpr uint64_t kMaxPlaces = uint64_t{1} << 32;  // of an IPv6 range, the lowest are used

// FNV-1a: absl::Hash is seeded by the process, and the outcome must not depend on that.
uint64_t Hash(absl::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (char c : text) {
    hash ^= static_cast<uint8_t>(c);
    hash *= 0x100000001b3;
  }
  // The low bits of FNV of similar names are similar; fold the high ones in.
  return hash ^ (hash >> 32);
}

// Places 0 .. size-1, given out by hash and linear probing.
class Pool {
 public:
  // Places below `reserved` are only given when all others are taken.
  Pool(uint64_t size, uint64_t reserved) : size_(size), reserved_(reserved) {}

  void Take(uint64_t place) { next_[place] = (place + 1) % size_; }
  bool IsTaken(uint64_t place) const { return next_.contains(place); }
  bool full() const { return next_.size() >= size_; }

  // Takes a place for `name`, nullopt when there is none.
  std::optional<uint64_t> Give(absl::string_view name) {
    if (full()) return std::nullopt;
    const uint64_t place = FirstFree(reserved_ + Hash(name) % (size_ - reserved_));
    Take(place);
    return place;
  }

 private:
  // Follows the chain of taken places, and shortens it so that a full range is not walked again and again.
  uint64_t FirstFree(uint64_t place) {
    uint64_t free = place;
    for (auto it = next_.find(free); it != next_.end(); it = next_.find(free)) free = it->second;
    for (auto it = next_.find(place); it != next_.end() && it->second != free; it = next_.find(place)) {
      place = std::exchange(it->second, free);
    }
    return free;
  }

  const uint64_t size_;
  const uint64_t reserved_;
  absl::flat_hash_map<uint64_t, uint64_t> next_;  // of a taken place: where to look next
};

// The addresses of a range that may be given, as a pool.
class AddressPool {
 public:
  explicit AddressPool(const Cidr& range) : range_(range), pool_(Places(range), Reserved(Places(range))) {}

  const Cidr& range() const { return range_; }

  void Take(const IpAddr& addr) {
    if (!range_.Contains(addr)) return;
    const uint64_t offset = OffsetOf(addr);
    if (offset >= 1 && offset <= Places(range_)) pool_.Take(offset - 1);
  }

  std::optional<IpAddr> Give(absl::string_view name) {
    const std::optional<uint64_t> place = pool_.Give(name);
    if (!place) return std::nullopt;
    return AddressAt(*place + 1);
  }

  // How many addresses there are to give: not the lowest of a range (the network, or the subnet-router anycast
  // address), and not the highest of an IPv4 range (broadcast).
  static uint64_t Places(const Cidr& range) {
    const int bits = (range.family() == Family::kIpv4 ? 32 : 128) - range.prefix_length();
    const uint64_t all = bits >= 32 ? kMaxPlaces : uint64_t{1} << bits;
    const uint64_t unused = range.family() == Family::kIpv4 ? 2 : 1;
    return all > unused ? all - unused : 0;
  }

 private:
  // People choose addresses by hand at the low end; KEP-3070 keeps it free the same way.
  static uint64_t Reserved(uint64_t places) {
    const uint64_t reserved = std::clamp<uint64_t>(places / 16, 16, 256);
    return reserved < places ? reserved : 0;
  }

  // The lowest 32 bits are as far as any place lies, and the base of a larger range has them clear.
  uint64_t OffsetOf(const IpAddr& addr) const { return LowBits(addr) - LowBits(range_.base()) + Beyond(addr); }

  static uint64_t LowBits(const IpAddr& addr) {
    uint64_t low = 0;
    for (uint8_t byte : addr.bytes().last(4)) low = low << 8 | byte;
    return low;
  }

  // Pushes an address above the lowest 2^32 of the range out of the pool.
  uint64_t Beyond(const IpAddr& addr) const {
    const size_t high = addr.bytes().size() - 4;
    return std::equal(addr.bytes().begin(), addr.bytes().begin() + static_cast<ptrdiff_t>(high),
                      range_.base().bytes().begin())
               ? 0
               : kMaxPlaces;
  }

  IpAddr AddressAt(uint64_t offset) const {
    std::vector<uint8_t> bytes(range_.base().bytes().begin(), range_.base().bytes().end());
    uint64_t low = LowBits(range_.base()) + offset;
    for (size_t i = bytes.size(); i-- > bytes.size() - 4; low >>= 8) bytes[i] = static_cast<uint8_t>(low);
    return IpAddr::FromBytes(bytes);
  }

  const Cidr range_;
  Pool pool_;
};

bool IsHeadless(const Service& service) { return !service.cluster_ips.empty() && service.cluster_ips[0] == "None"; }

bool NeedsHealthPort(const Service& service) {
  return service.type == ServiceType::kLoadBalancer && service.external_policy == TrafficPolicy::kLocal &&
         service.health_check_node_port == 0;
}

bool WantsNodePorts(const Service& service, const CreationWishes& wishes) {
  return service.type == ServiceType::kNodePort ||
         (service.type == ServiceType::kLoadBalancer && wishes.allocate_node_ports);
}

class Allocator {
 public:
  explicit Allocator(const AllocationRanges& ranges)
      : node_ports_(kLastNodePort - kFirstNodePort + 1, std::clamp((kLastNodePort - kFirstNodePort) / 32, 16, 128)) {
    for (const Cidr& cidr : ranges.cidrs) pools_.emplace_back(cidr);
  }

  void TakeExplicit(const Service& service) {
    for (const std::string& ip : service.cluster_ips) {
      const std::optional<IpAddr> addr = IpAddr::Parse(ip);
      if (!addr) continue;
      for (AddressPool& pool : pools_) pool.Take(*addr);
    }
    for (const ServicePortSpec& port : service.ports) TakeNodePort(port.node_port);
    TakeNodePort(service.health_check_node_port);
  }

  // Returns: false if the Service is to be left out.
  bool Fill(LocatedObject& located) {
    const auto& service = std::get<Service>(*located.object);
    if (service.type == ServiceType::kExternalName) return true;
    if (IsHeadless(service)) return true;
    if (pools_.empty() && !service.cluster_ips.empty()) {
      WarnOfMissingPorts(service, located);
      return true;
    }
    Service filled = service;
    if (!FillAddresses(filled, located)) return false;
    FillPorts(filled, located);
    if (filled != service) located.object = std::make_shared<const Object>(std::move(filled));
    return true;
  }

  Diagnostics diagnostics;

 private:
  void Report(const LocatedObject& located, std::string field, std::string problem, const char* effect,
              std::string hint) {
    diagnostics.push_back({Severity::kError, located.where, FormatKey(KeyOf(*located.object)), std::move(field),
                           std::move(problem), effect, std::move(hint)});
  }

  void WarnOfMissingPorts(const Service& service, const LocatedObject& located) {
    if (service.type != ServiceType::kNodePort) return;
    for (size_t i = 0; i < service.ports.size(); ++i) {
      if (service.ports[i].node_port != 0) continue;
      Report(located, absl::StrCat("spec.ports[", i, "].nodePort"),
             "has no value, and there is no API server to choose one", "it is served at the cluster IP alone",
             "set nodePort, or give --allocate-from");
    }
  }

  AddressPool* FindPool(Family family) {
    for (AddressPool& pool : pools_) {
      if (pool.range().family() == family) return &pool;
    }
    return nullptr;
  }

  // The families the Service is to have, in order.
  std::vector<Family> WantedFamilies(const Service& service, IpFamilyPolicy policy) const {
    std::vector<Family> wanted = service.ip_families;
    if (wanted.empty() && !pools_.empty()) wanted.push_back(pools_[0].range().family());
    if (policy == IpFamilyPolicy::kSingleStack) {
      wanted.resize(std::min<size_t>(wanted.size(), 1));
      return wanted;
    }
    for (Family family : kFamilies) {
      const bool is_there = std::find(wanted.begin(), wanted.end(), family) != wanted.end();
      const bool required = policy == IpFamilyPolicy::kRequireDualStack && !pools_.empty();
      const bool possible = std::any_of(pools_.begin(), pools_.end(),
                                        [&](const AddressPool& pool) { return pool.range().family() == family; });
      if (!is_there && (possible || required)) wanted.push_back(family);
    }
    return wanted;
  }

  bool FillAddresses(Service& service, const LocatedObject& located) {
    const bool had_none = service.cluster_ips.empty();
    if (had_none && pools_.empty()) {
      Report(located, "spec.clusterIP", "has no value, and there is no API server to choose one",
             "this Service is skipped", "set spec.clusterIP, or give --allocate-from a range to choose from");
      return false;
    }
    // An address given in a form nobody can parse is not ours to mend.
    if (!had_none && service.ip_families.empty()) return true;
    std::vector<Family> families;
    std::vector<std::string> ips;
    for (Family family : WantedFamilies(service, located.wishes.ip_family_policy)) {
      const size_t at = families.size();
      if (at < service.cluster_ips.size() && at < service.ip_families.size() && service.ip_families[at] == family) {
        families.push_back(family);
        ips.push_back(service.cluster_ips[at]);
        continue;
      }
      if (std::optional<std::string> ip = GiveAddress(service, family, located)) {
        families.push_back(family);
        ips.push_back(*std::move(ip));
      }
    }
    if (ips.empty()) return false;
    // More addresses than the policy asks for are kept: they were asked for by value.
    if (ips.size() < service.cluster_ips.size()) return true;
    service.ip_families = std::move(families);
    service.cluster_ips = std::move(ips);
    return true;
  }

  std::optional<std::string> GiveAddress(const Service& service, Family family, const LocatedObject& located) {
    const IpFamilyPolicy policy = located.wishes.ip_family_policy;
    const bool dual = policy != IpFamilyPolicy::kSingleStack;
    const char* effect = dual ? "it has no address of this family" : "this Service is skipped";
    AddressPool* pool = FindPool(family);
    if (pool == nullptr) {
      if (pools_.empty()) return std::nullopt;  // nobody asked for allocation, and it has one address
      if (policy == IpFamilyPolicy::kPreferDualStack) return std::nullopt;
      Report(located, "spec.ipFamilies",
             absl::StrCat("an ", FormatFamily(family), " address is wanted, and --allocate-from has no such range"),
             effect, absl::StrCat("add an ", FormatFamily(family), " range to --allocate-from"));
      return std::nullopt;
    }
    const std::optional<IpAddr> addr = pool->Give(FormatName(service.meta.name));
    if (!addr) {
      Report(located, "spec.clusterIP", absl::StrCat("every address of ", FormatCidr(pool->range()), " is taken"),
             effect, "give --allocate-from a larger range");
      return std::nullopt;
    }
    return FormatIp(*addr);
  }

  void TakeNodePort(int port) {
    if (port >= kFirstNodePort && port <= kLastNodePort) node_ports_.Take(static_cast<uint64_t>(port - kFirstNodePort));
  }

  uint16_t GiveNodePort(absl::string_view name, const char* field, const LocatedObject& located) {
    const std::optional<uint64_t> place = node_ports_.Give(name);
    if (place) return static_cast<uint16_t>(kFirstNodePort + static_cast<int>(*place));
    Report(located, field, absl::StrCat("every node port of ", kFirstNodePort, "-", kLastNodePort, " is taken"),
           "it gets none",
           "remove node ports, or set spec.allocateLoadBalancerNodePorts to false where none is needed");
    return 0;
  }

  void FillPorts(Service& service, const LocatedObject& located) {
    const std::string name = FormatName(service.meta.name);
    if (WantsNodePorts(service, located.wishes)) {
      for (ServicePortSpec& port : service.ports) {
        if (port.node_port != 0) continue;
        // One port in several protocols (DNS) gets one node port.
        const auto twin = std::find_if(service.ports.begin(), service.ports.end(), [&](const ServicePortSpec& other) {
          return other.port == port.port && other.protocol != port.protocol && other.node_port != 0;
        });
        port.node_port = twin != service.ports.end()
                             ? twin->node_port
                             : GiveNodePort(absl::StrCat(name, ":", port.name, ":", port.port), "spec.ports", located);
      }
    }
    if (NeedsHealthPort(service)) {
      service.health_check_node_port =
          GiveNodePort(absl::StrCat(name, ":healthCheckNodePort"), "spec.healthCheckNodePort", located);
    }
  }

  std::vector<AddressPool> pools_;
  Pool node_ports_;
};

}  // namespace

absl::StatusOr<AllocationRanges> ParseAllocationRanges(absl::string_view text) {
  AllocationRanges ranges;
  if (text.empty()) return ranges;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    const std::optional<Cidr> cidr = Cidr::Parse(part);
    if (!cidr) return absl::InvalidArgumentError(absl::StrCat("\"", part, "\" is no CIDR, such as 10.96.0.0/16"));
    if (AddressPool::Places(*cidr) < 2) {
      return absl::InvalidArgumentError(absl::StrCat(FormatCidr(*cidr), " is too small to allocate from"));
    }
    for (const Cidr& other : ranges.cidrs) {
      if (other.family() == cidr->family()) {
        return absl::InvalidArgumentError(absl::StrCat(FormatCidr(other), " and ", FormatCidr(*cidr),
                                                       " are of one family; give at most one range of each"));
      }
    }
    ranges.cidrs.push_back(*cidr);
  }
  return ranges;
}

AllocatedObjects AllocateAddresses(std::vector<LocatedObject> objects, const AllocationRanges& ranges) {
  Allocator allocator(ranges);
  std::vector<size_t> services;
  for (size_t i = 0; i < objects.size(); ++i) {
    if (const auto* service = std::get_if<Service>(objects[i].object.get())) {
      allocator.TakeExplicit(*service);
      services.push_back(i);
    }
  }
  std::sort(services.begin(), services.end(),
            [&](size_t a, size_t b) { return MetaOf(*objects[a].object).name < MetaOf(*objects[b].object).name; });
  std::vector<bool> left_out(objects.size(), false);
  for (size_t i : services) left_out[i] = !allocator.Fill(objects[i]);

  AllocatedObjects allocated;
  allocated.objects.reserve(objects.size());
  for (size_t i = 0; i < objects.size(); ++i) {
    if (!left_out[i]) allocated.objects.push_back(std::move(objects[i]));
  }
  allocated.diagnostics = std::move(allocator.diagnostics);
  return allocated;
}

}  // namespace pointsman
