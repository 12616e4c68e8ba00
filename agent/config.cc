// SPDX-License-Identifier: Apache-2.0
#include "agent/config.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "pointsman/status.h"

namespace pointsman {
namespace {

// The first InternalIP of each family.
std::vector<IpAddr> PrimaryAddresses(const Node& node) {
  std::vector<IpAddr> primary;
  for (const std::string& text : node.internal_ips) {
    const std::optional<IpAddr> addr = IpAddr::Parse(text);
    if (!addr || addr->IsLoopback()) continue;
    const bool taken = std::any_of(primary.begin(), primary.end(),
                                   [&](const IpAddr& other) { return other.family() == addr->family(); });
    if (!taken) primary.push_back(*addr);
  }
  return primary;
}

bool TakesNodePorts(const IpAddr& addr, const std::vector<Cidr>& cidrs) {
  if (addr.IsLoopback()) return false;
  bool family_named = false;
  for (const Cidr& cidr : cidrs) {
    if (cidr.family() != addr.family()) continue;
    if (cidr.Contains(addr)) return true;
    family_named = true;
  }
  return !family_named && !addr.IsLinkLocal();
}

// Sorted, without ranges inside others.
std::vector<Cidr> Canonical(std::vector<Cidr> cidrs) {
  std::sort(cidrs.begin(), cidrs.end());
  std::vector<Cidr> out;
  for (const Cidr& cidr : cidrs) {
    if (out.empty() || !out.back().Contains(cidr.base())) out.push_back(cidr);
  }
  return out;
}

}  // namespace

absl::StatusOr<std::vector<Cidr>> ParseCidrs(const std::string& text) {
  std::vector<Cidr> cidrs;
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    part = absl::StripAsciiWhitespace(part);
    const std::optional<Cidr> cidr = Cidr::Parse(part);
    if (!cidr) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", part, "\" is not a CIDR: write ADDRESS/PREFIX, as in 10.244.0.0/16"));
    }
    cidrs.push_back(*cidr);
  }
  return cidrs;
}

absl::StatusOr<LocalDetector> ParseClusterCidr(const std::string& text) {
  PM_ASSIGN_OR_RETURN(const std::vector<Cidr> cidrs, ParseCidrs(text));
  LocalDetector detector;
  for (const Cidr& cidr : cidrs) {
    std::optional<Cidr>& place = cidr.family() == Family::kIpv4 ? detector.ipv4 : detector.ipv6;
    if (place) {
      return absl::InvalidArgumentError(
          absl::StrCat("two ", FormatFamily(cidr.family()), " CIDRs: ", FormatCidr(*place), " and ", FormatCidr(cidr)));
    }
    place = cidr;
  }
  return detector;
}

NodeInfo MakeNodeInfo(const Config& config, const Node* node, absl::Span<const IpAddr> addresses) {
  NodeInfo info{.name = config.node_name, .local_addresses = {addresses.begin(), addresses.end()}};
  if (node != nullptr) {
    const auto zone = node->meta.labels.find(kZoneLabel);
    if (zone != node->meta.labels.end()) info.zone = zone->second;
    if (config.node_port_addresses.empty()) info.node_port_addresses = PrimaryAddresses(*node);
  }
  if (info.node_port_addresses.empty()) {
    std::copy_if(addresses.begin(), addresses.end(), std::back_inserter(info.node_port_addresses),
                 [&](const IpAddr& addr) { return TakesNodePorts(addr, config.node_port_addresses); });
  }
  std::sort(info.node_port_addresses.begin(), info.node_port_addresses.end());
  return info;
}

nft::BaseSettings MakeBaseSettings(const Config& config, const Store& store) {
  nft::BaseSettings settings;
  settings.mark = uint32_t{1} << config.masquerade_bit;
  settings.policy = {.pods = config.cluster_cidr, .masquerade_all = config.masquerade_all};
  std::vector<Cidr> cidrs = config.service_cidrs;
  cidrs.insert(cidrs.end(), config.allocate_from.cidrs.begin(), config.allocate_from.cidrs.end());
  for (const ServiceCidr* object : store.ServiceCidrs()) {
    for (const std::string& text : object->cidrs) {
      if (const auto cidr = Cidr::Parse(text)) cidrs.push_back(*cidr);
    }
  }
  settings.service_cidrs = Canonical(std::move(cidrs));
  return settings;
}

}  // namespace pointsman
