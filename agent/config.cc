// SPDX-License-Identifier: Apache-2.0
#include "agent/config.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "pointsman/status.h"

namespace pointsman {
namespace {

const IpAddr& OfFamily(const NodeAddresses& addresses, Family family) {
  return family == Family::kIpv4 ? addresses.ipv4 : addresses.ipv6;
}

// Where NodePorts answer unless somebody wants it otherwise; never at loopback.
std::vector<IpAddr> PrimaryAddresses(const Config& config, const Node* node) {
  const NodeAddresses addresses = FindNodeAddresses(config, node);
  std::vector<IpAddr> primary;
  for (const Family family : kFamilies) {
    if (const IpAddr& addr = OfFamily(addresses, family); !addr.IsLoopback()) primary.push_back(addr);
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

LocalDetector MakeLocalDetector(const Config& config, const Node* node) {
  switch (config.detect_local_mode) {
    case DetectLocalMode::kClusterCidr:
      return {.cidrs = Canonical(config.cluster_cidrs)};
    case DetectLocalMode::kNodeCidr: {
      std::vector<Cidr> cidrs;
      if (node != nullptr) {
        for (const std::string& text : node->pod_cidrs) {
          if (const auto cidr = Cidr::Parse(text)) cidrs.push_back(*cidr);
        }
      }
      return {.cidrs = Canonical(std::move(cidrs))};
    }
    case DetectLocalMode::kBridgeInterface:
      return {.interface = config.pod_bridge_interface};
    case DetectLocalMode::kInterfaceNamePrefix:
      return {.interface = config.pod_interface_name_prefix, .interface_prefix = true};
  }
  return {};
}

}  // namespace

absl::StatusOr<DetectLocalMode> ParseDetectLocalMode(const std::string& text) {
  if (text == "ClusterCIDR") return DetectLocalMode::kClusterCidr;
  if (text == "NodeCIDR") return DetectLocalMode::kNodeCidr;
  if (text == "BridgeInterface") return DetectLocalMode::kBridgeInterface;
  if (text == "InterfaceNamePrefix") return DetectLocalMode::kInterfaceNamePrefix;
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is no mode: write ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix"));
}

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

NodeAddresses FindNodeAddresses(const Config& config, const Node* node) {
  NodeAddresses found = {Family::kIpv4, *IpAddr::Parse("127.0.0.1"), *IpAddr::Parse("::1")};
  bool any = false;
  const auto take = [&](const IpAddr& addr) { (addr.family() == Family::kIpv4 ? found.ipv4 : found.ipv6) = addr; };
  std::vector<std::string> texts;
  if (node != nullptr) {
    texts = node->internal_ips;
    texts.insert(texts.end(), node->external_ips.begin(), node->external_ips.end());
  }
  for (const std::string& text : texts) {
    const std::optional<IpAddr> addr = IpAddr::Parse(text);
    if (!addr || addr->IsLoopback()) continue;
    if (!any) found.primary = addr->family();
    any = true;
    if (OfFamily(found, addr->family()).IsLoopback()) take(*addr);
  }
  if (config.bind_address) {
    found.primary = config.bind_address->family();
    take(*config.bind_address);
  }
  return found;
}

NodeInfo MakeNodeInfo(const Config& config, const Node* node, absl::Span<const IpAddr> addresses) {
  NodeInfo info{.name = config.node_name, .local_addresses = {addresses.begin(), addresses.end()}};
  if (node != nullptr) {
    const auto zone = node->meta.labels.find(kZoneLabel);
    if (zone != node->meta.labels.end()) info.zone = zone->second;
  }
  if (config.node_port_addresses.empty() && !config.node_ports_everywhere) {
    info.node_port_addresses = PrimaryAddresses(config, node);
  }
  if (info.node_port_addresses.empty()) {
    std::copy_if(addresses.begin(), addresses.end(), std::back_inserter(info.node_port_addresses),
                 [&](const IpAddr& addr) { return TakesNodePorts(addr, config.node_port_addresses); });
  }
  std::sort(info.node_port_addresses.begin(), info.node_port_addresses.end());
  return info;
}

nft::BaseSettings MakeBaseSettings(const Config& config, const Store& store, Diagnostics& diagnostics) {
  nft::BaseSettings settings;
  settings.mark = uint32_t{1} << config.masquerade_bit;
  settings.policy = {.pods = MakeLocalDetector(config, store.FindNode(config.node_name)),
                     .masquerade_all = config.masquerade_all,
                     .close_unranged = config.close_unranged_vips,
                     .clean_tcp = config.clean_tcp,
                     .external_ips = config.external_ips,
                     .families = config.families};
  settings.affinity_size = config.affinity_size;
  std::vector<Cidr> cidrs = config.service_cidrs;
  cidrs.insert(cidrs.end(), config.allocate_from.cidrs.begin(), config.allocate_from.cidrs.end());
  for (const ServiceCidr* object : store.ServiceCidrs()) {
    for (size_t i = 0; i < object->cidrs.size(); ++i) {
      if (const auto cidr = Cidr::Parse(object->cidrs[i])) {
        cidrs.push_back(*cidr);
      } else {
        diagnostics.push_back({.severity = Severity::kError,
                               .where = "",
                               .object = FormatKey({Kind::kServiceCidr, object->meta.name}),
                               .field = absl::StrCat("spec.cidrs[", i, "]"),
                               .problem = absl::StrCat("\"", object->cidrs[i], "\" is not a CIDR"),
                               .effect = "unused addresses in it are not dropped",
                               .hint = "write ADDRESS/PREFIX, as in 10.96.0.0/16"});
      }
    }
  }
  settings.service_cidrs = Canonical(std::move(cidrs));
  return settings;
}

}  // namespace pointsman
