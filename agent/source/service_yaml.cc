// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include "agent/source/api_names.h"
#include "agent/source/manifest_kinds.h"

namespace pointsman {
namespace {

constexpr std::pair<absl::string_view, IpFamilyPolicy> kFamilyPolicies[] = {
    {"SingleStack", IpFamilyPolicy::kSingleStack},
    {"PreferDualStack", IpFamilyPolicy::kPreferDualStack},
    {"RequireDualStack", IpFamilyPolicy::kRequireDualStack}};

constexpr char kClusterUsed[] = "Cluster is used";

std::optional<ServicePortSpec> ReadPort(const YamlField& entry) {
  const int errors = entry.report().errors();
  ServicePortSpec port;
  port.name = ReadPortName(entry["name"]).value_or("");
  port.protocol = entry["protocol"].OneOf<Protocol>(kProtocolNames).value_or(Protocol::kTcp);
  port.port = static_cast<uint16_t>(entry["port"].Required().Number(1, kMaxPort).value_or(0));
  if (entry.report().errors() != errors) return std::nullopt;
  const YamlField node_port = entry["nodePort"].Costing("this port has no node port");
  port.node_port = static_cast<uint16_t>(node_port.Number(0, kMaxPort).value_or(0));
  return port;
}

std::vector<ServicePortSpec> ReadPorts(const YamlField& spec) {
  const YamlField list = spec["ports"].Costing("this Service has no ports");
  std::vector<ServicePortSpec> ports;
  for (const YamlField& item : list.Items()) {
    const YamlField entry = item.Costing("this port is skipped").Required().Map();
    if (!entry.present()) continue;
    if (std::optional<ServicePortSpec> port = ReadPort(entry)) ports.push_back(*std::move(port));
  }
  return ports;
}

// As the API server would: a Service with an address is of no use without a port.
void WarnOfMissingPorts(const YamlField& spec, const Service& service) {
  const bool headless = !service.cluster_ips.empty() && service.cluster_ips[0] == "None";
  const YamlField list = spec["ports"].Costing("it serves no traffic");
  if (headless || service.type == ServiceType::kExternalName || !service.ports.empty()) return;
  if (!list.present() || (list.IsList() && list.Items().empty())) list.Warn("a Service needs at least one port");
}

// The API server keeps clusterIP and clusterIPs[0] equal, whichever of them was given.
std::vector<std::string> ReadClusterIps(const YamlField& spec) {
  const std::string single = spec["clusterIP"].Costing("it is taken for absent").Text().value_or("");
  const YamlField list = spec["clusterIPs"].Costing("it is taken for absent");
  std::vector<std::string> ips = list.Texts();
  std::erase(ips, "");
  if (ips.empty() && !single.empty()) ips.push_back(single);
  if (!single.empty() && ips[0] != single) {
    list.Costing("clusterIPs is used")
        .Error(absl::StrCat(QuoteForUser(ips[0]), " comes first, but clusterIP is ", QuoteForUser(single)),
               "begin the list with the value of clusterIP");
  }
  return ips;
}

std::vector<Family> ReadFamilies(const YamlField& spec, const std::vector<std::string>& cluster_ips) {
  std::vector<Family> families;
  for (const YamlField& item : spec["ipFamilies"].Costing("it is taken for absent").Items()) {
    if (const auto family = item.OneOf<Family>(kFamilyNames)) families.push_back(*family);
  }
  if (!families.empty()) return families;
  for (const std::string& ip : cluster_ips) {
    const std::optional<IpAddr> addr = IpAddr::Parse(ip);
    if (!addr) return {};  // "None", or a mistake: positions would not match
    families.push_back(addr->family());
  }
  return families;
}

std::vector<LoadBalancerIngress> ReadIngress(const YamlField& root) {
  const YamlField status = root["status"].Costing("this Service has no load-balancer addresses").Map();
  std::vector<LoadBalancerIngress> ingress;
  for (const YamlField& item : status["loadBalancer"].Map()["ingress"].Items()) {
    const YamlField entry = item.Costing("this address is skipped").Map();
    const int errors = entry.report().errors();
    LoadBalancerIngress address;
    address.ip = entry["ip"].Text().value_or("");
    address.mode = entry["ipMode"].OneOf<IpMode>(kIpModeNames).value_or(IpMode::kVip);
    if (entry.present() && entry.report().errors() == errors) ingress.push_back(std::move(address));
  }
  return ingress;
}

std::optional<absl::Duration> ReadAffinity(const YamlField& spec) {
  const YamlField affinity = spec["sessionAffinity"].Costing("there is no session affinity");
  if (!affinity.OneOf<bool>(kAffinityNames).value_or(false)) return std::nullopt;
  const YamlField config = spec["sessionAffinityConfig"].Costing("10800 seconds are used").Map();
  const YamlField timeout = config["clientIP"].Map()["timeoutSeconds"];
  return absl::Seconds(timeout.Number(1, kMaxAffinitySeconds).value_or(kDefaultAffinitySeconds));
}

CreationWishes ReadWishes(const YamlField& spec, const Service& service) {
  CreationWishes wishes;
  const bool two = service.ip_families.size() > 1 || service.cluster_ips.size() > 1;
  wishes.ip_family_policy = spec["ipFamilyPolicy"]
                                .Costing("it is taken for absent")
                                .OneOf<IpFamilyPolicy>(kFamilyPolicies)
                                .value_or(two ? IpFamilyPolicy::kRequireDualStack : IpFamilyPolicy::kSingleStack);
  wishes.allocate_node_ports = service.type != ServiceType::kLoadBalancer ||
                               spec["allocateLoadBalancerNodePorts"].Costing("true is used").Bool().value_or(true);
  return wishes;
}

}  // namespace

std::optional<Service> ReadService(const YamlField& root, CreationWishes& wishes) {
  std::optional<ObjectMeta> meta = ReadMeta(root, Kind::kService);
  if (!meta) return std::nullopt;
  const YamlField spec = root["spec"].Costing("this Service has no ports").Map();
  Service service;
  service.meta = *std::move(meta);
  service.type =
      spec["type"].Costing("ClusterIP is used").OneOf<ServiceType>(kTypeNames).value_or(ServiceType::kClusterIp);
  service.cluster_ips = ReadClusterIps(spec);
  service.ip_families = ReadFamilies(spec, service.cluster_ips);
  service.ports = ReadPorts(spec);
  WarnOfMissingPorts(spec, service);
  service.external_ips = spec["externalIPs"].Costing("it is ignored").Texts();
  service.ingress = ReadIngress(root);
  service.source_ranges = spec["loadBalancerSourceRanges"].Costing("it is ignored").Texts();
  service.internal_policy = spec["internalTrafficPolicy"]
                                .Costing(kClusterUsed)
                                .OneOf<TrafficPolicy>(kPolicyNames)
                                .value_or(TrafficPolicy::kCluster);
  service.external_policy = spec["externalTrafficPolicy"]
                                .Costing(kClusterUsed)
                                .OneOf<TrafficPolicy>(kPolicyNames)
                                .value_or(TrafficPolicy::kCluster);
  service.client_ip_affinity = ReadAffinity(spec);
  service.health_check_node_port = static_cast<uint16_t>(
      spec["healthCheckNodePort"].Costing("there is no health check port").Number(0, kMaxPort).value_or(0));
  wishes = ReadWishes(spec, service);
  return service;
}

}  // namespace pointsman
