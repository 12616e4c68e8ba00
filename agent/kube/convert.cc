// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/convert.h"

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

#include "agent/source/api_names.h"
#include "agent/source/yaml_reader.h"
#include "pointsman/net.h"

namespace pointsman::kube {
namespace {

constexpr size_t kMostComplaints = 20;

template <typename E>
using Names = absl::Span<const std::pair<absl::string_view, E>>;

// A newer server may know values that we do not; the path is only made for the complaint.
using Path = absl::FunctionRef<std::string()>;

// The value that goes with the text. The empty text is the absent one.
// Returns: nullopt, with a complaint, if there is none.
template <typename E>
std::optional<E> OneOf(const std::string& text, Names<E> names, E absent, Complaints& complaints, Path field,
                       absl::string_view effect) {
  if (text.empty()) return absent;
  for (const auto& [name, value] : names) {
    if (name == text) return value;
  }
  const std::string path = field();
  std::string known;
  for (const auto& [name, value] : names) absl::StrAppend(&known, known.empty() ? "" : ", ", name);
  complaints.Add(path, absl::StrCat("unknown ", path.substr(path.rfind('.') + 1), " ", QuoteForUser(text)), effect,
                 absl::StrCat("only ", known, " are known"));
  return std::nullopt;
}

// Returns: nullopt, with a complaint, if that is no port; 0 is one here.
std::optional<uint16_t> Port(int32_t number, Complaints& complaints, Path field, absl::string_view effect) {
  if (number >= 0 && number <= kMaxPort) return static_cast<uint16_t>(number);
  complaints.Add(field(), absl::StrCat(number, " is not between 0 and ", kMaxPort), effect);
  return std::nullopt;
}

template <typename Texts>
std::vector<std::string> Strings(const Texts& texts) {
  return {texts.begin(), texts.end()};
}

std::vector<std::string> NamesOf(const google::protobuf::RepeatedPtrField<Hint>& hints) {
  std::vector<std::string> names;
  names.reserve(static_cast<size_t>(hints.size()));
  for (const Hint& hint : hints) names.push_back(hint.name());
  return names;
}

std::vector<std::string> ClusterIps(const ServiceSpec& spec) {
  std::vector<std::string> ips = Strings(spec.cluster_ips());
  std::erase(ips, "");
  if (ips.empty() && !spec.cluster_ip().empty()) ips.push_back(spec.cluster_ip());
  return ips;
}

std::vector<Family> IpFamilies(const ServiceSpec& spec, const std::vector<std::string>& cluster_ips,
                               Complaints& complaints) {
  std::vector<Family> families;
  for (int i = 0; i < spec.ip_families_size(); ++i) {
    const auto family = OneOf<Family>(
        spec.ip_families(i), kFamilyNames, Family::kIpv4, complaints,
        [&] { return absl::StrCat("spec.ipFamilies[", i, "]"); }, "it is taken for absent");
    if (family) families.push_back(*family);
  }
  if (!families.empty()) return families;
  for (const std::string& ip : cluster_ips) {
    const std::optional<IpAddr> addr = IpAddr::Parse(ip);
    if (!addr) return {};  // "None", or a mistake: positions would not match
    families.push_back(addr->family());
  }
  return families;
}

std::vector<ServicePortSpec> ServicePorts(const ServiceSpec& spec, Complaints& complaints) {
  std::vector<ServicePortSpec> ports;
  for (int i = 0; i < spec.ports_size(); ++i) {
    const ServicePort& from = spec.ports(i);
    const auto field = [i](absl::string_view name) { return absl::StrCat("spec.ports[", i, "].", name); };
    const auto protocol = OneOf<Protocol>(
        from.protocol(), kProtocolNames, Protocol::kTcp, complaints, [&] { return field("protocol"); },
        "this port is skipped");
    const auto number = Port(
        from.port(), complaints, [&] { return field("port"); }, "this port is skipped");
    if (!protocol || !number) continue;
    const auto node_port = Port(
        from.node_port(), complaints, [&] { return field("nodePort"); }, "this port has no node port");
    ports.push_back(
        {.name = from.name(), .protocol = *protocol, .port = *number, .node_port = node_port.value_or(uint16_t{0})});
  }
  return ports;
}

std::vector<pointsman::LoadBalancerIngress> Ingress(const LoadBalancerStatus& status, Complaints& complaints) {
  std::vector<pointsman::LoadBalancerIngress> ingress;
  for (int i = 0; i < status.ingress_size(); ++i) {
    const LoadBalancerIngress& from = status.ingress(i);
    const auto mode = OneOf<IpMode>(
        from.ip_mode(), kIpModeNames, IpMode::kVip, complaints,
        [i] { return absl::StrCat("status.loadBalancer.ingress[", i, "].ipMode"); }, "this address is skipped");
    if (mode) ingress.push_back({.ip = from.ip(), .mode = *mode});
  }
  return ingress;
}

TrafficPolicy Policy(const std::string& text, const char* field, Complaints& complaints) {
  return OneOf<TrafficPolicy>(
             text, kPolicyNames, TrafficPolicy::kCluster, complaints, [field] { return std::string(field); },
             "Cluster is used")
      .value_or(TrafficPolicy::kCluster);
}

std::optional<absl::Duration> Affinity(const ServiceSpec& spec, Complaints& complaints) {
  const bool sticky = OneOf<bool>(
                          spec.session_affinity(), kAffinityNames, false, complaints,
                          [] { return std::string("spec.sessionAffinity"); }, "there is no session affinity")
                          .value_or(false);
  if (!sticky) return std::nullopt;
  const ClientIPConfig& config = spec.session_affinity_config().client_ip();
  if (!config.has_timeout_seconds()) return absl::Seconds(kDefaultAffinitySeconds);
  const int32_t seconds = config.timeout_seconds();
  if (seconds >= 1 && seconds <= kMaxAffinitySeconds) return absl::Seconds(seconds);
  complaints.Add("spec.sessionAffinityConfig.clientIP.timeoutSeconds",
                 absl::StrCat(seconds, " is not between 1 and ", kMaxAffinitySeconds), "10800 seconds are used");
  return absl::Seconds(kDefaultAffinitySeconds);
}

std::vector<pointsman::SlicePort> SlicePorts(const EndpointSlice& message, Complaints& complaints) {
  std::vector<pointsman::SlicePort> ports;
  ports.reserve(static_cast<size_t>(message.ports_size()));
  for (int i = 0; i < message.ports_size(); ++i) {
    const EndpointPort& from = message.ports(i);
    const auto field = [i](absl::string_view name) { return absl::StrCat("ports[", i, "].", name); };
    const auto protocol = OneOf<Protocol>(
        from.protocol(), kProtocolNames, Protocol::kTcp, complaints, [&] { return field("protocol"); },
        "this port is skipped");
    const auto number = Port(
        from.port(), complaints, [&] { return field("port"); }, "this port is skipped");
    if (!protocol || !number) continue;
    pointsman::SlicePort& port = ports.emplace_back();
    if (from.has_name()) port.name = from.name();
    port.protocol = *protocol;
    if (from.has_port()) port.port = *number;
  }
  return ports;
}

SliceEndpoint ConvertEndpoint(const Endpoint& from) {
  SliceEndpoint endpoint;
  endpoint.addresses.assign(from.addresses().begin(), from.addresses().end());
  const EndpointConditions& conditions = from.conditions();
  endpoint.ready = !conditions.has_ready() || conditions.ready();
  endpoint.serving = !conditions.has_serving() || conditions.serving();
  endpoint.terminating = conditions.terminating();
  if (from.has_node_name()) endpoint.node_name = from.node_name();
  endpoint.zone_hints = NamesOf(from.hints().for_zones());
  endpoint.node_hints = NamesOf(from.hints().for_nodes());
  return endpoint;
}

// Protobuf has an empty message where JSON has null.
bool IsSet(const google::protobuf::Timestamp& time) { return time.seconds() != 0 || time.nanos() != 0; }

}  // namespace

void Complaints::Add(Severity severity, std::string field, std::string problem, absl::string_view effect,
                     std::string hint) {
  if (diagnostics_.size() >= kMostComplaints) {
    ++dropped_;
    return;
  }
  diagnostics_.push_back({.severity = severity,
                          .where = "",
                          .object = object_,
                          .field = std::move(field),
                          .problem = std::move(problem),
                          .effect = std::string(effect),
                          .hint = std::move(hint)});
}

Diagnostics Complaints::Take() && {
  if (dropped_ > 0) {
    diagnostics_.push_back({.severity = Severity::kError,
                            .where = "",
                            .object = object_,
                            .field = "",
                            .problem = absl::StrCat(dropped_, " more problems"),
                            .effect = "they are not listed",
                            .hint = ""});
  }
  return std::move(diagnostics_);
}

pointsman::ObjectMeta ConvertMeta(NamespacedName name, const ObjectMeta& metadata) {
  pointsman::ObjectMeta meta;
  meta.name = std::move(name);
  for (const char* label : {kServiceNameLabel, kServiceProxyNameLabel, kHeadlessLabel, kZoneLabel, kAppLabel}) {
    const auto found = metadata.labels().find(label);
    if (found != metadata.labels().end()) meta.labels.emplace(found->first, found->second);
  }
  if (const google::protobuf::Timestamp& created = metadata.creation_timestamp(); IsSet(created)) {
    meta.creation = absl::FromUnixSeconds(created.seconds()) + absl::Nanoseconds(created.nanos());
  }
  return meta;
}

std::optional<Object> Convert(const Service& message, pointsman::ObjectMeta meta, Complaints& complaints) {
  const ServiceSpec& spec = message.spec();
  pointsman::Service service;
  service.meta = std::move(meta);
  service.type = OneOf<ServiceType>(
                     spec.type(), kTypeNames, ServiceType::kClusterIp, complaints,
                     [] { return std::string("spec.type"); }, "ClusterIP is used")
                     .value_or(ServiceType::kClusterIp);
  service.cluster_ips = ClusterIps(spec);
  service.ip_families = IpFamilies(spec, service.cluster_ips, complaints);
  service.ports = ServicePorts(spec, complaints);
  service.external_ips = Strings(spec.external_ips());
  service.ingress = Ingress(message.status().load_balancer(), complaints);
  service.source_ranges = Strings(spec.load_balancer_source_ranges());
  service.internal_policy = Policy(spec.internal_traffic_policy(), "spec.internalTrafficPolicy", complaints);
  service.external_policy = Policy(spec.external_traffic_policy(), "spec.externalTrafficPolicy", complaints);
  service.client_ip_affinity = Affinity(spec, complaints);
  service.health_check_node_port =
      Port(
          spec.health_check_node_port(), complaints, [] { return std::string("spec.healthCheckNodePort"); },
          "there is no health check port")
          .value_or(uint16_t{0});
  return Object(std::move(service));
}

std::optional<Object> Convert(const EndpointSlice& message, pointsman::ObjectMeta meta, Complaints& complaints) {
  constexpr char kSkipped[] = "this EndpointSlice is skipped";
  pointsman::EndpointSlice slice;
  slice.meta = std::move(meta);
  if (message.address_type().empty()) {
    complaints.Add("addressType", "is missing", kSkipped);
    return std::nullopt;
  }
  const auto type = OneOf<std::optional<Family>>(
      message.address_type(), kAddressTypeNames, std::nullopt, complaints, [] { return std::string("addressType"); },
      kSkipped);
  if (!type) return std::nullopt;
  slice.address_type = *type;
  slice.ports = SlicePorts(message, complaints);
  slice.endpoints.reserve(static_cast<size_t>(message.endpoints_size()));
  for (const Endpoint& endpoint : message.endpoints()) slice.endpoints.push_back(ConvertEndpoint(endpoint));
  return Object(std::move(slice));
}

std::optional<Object> Convert(const Node& message, pointsman::ObjectMeta meta, Complaints& /*complaints*/) {
  pointsman::Node node;
  node.meta = std::move(meta);
  for (const NodeAddress& address : message.status().addresses()) {
    if (address.type() == "InternalIP") node.internal_ips.push_back(address.address());
    if (address.type() == "ExternalIP") node.external_ips.push_back(address.address());
  }
  node.pod_cidrs = Strings(message.spec().pod_cidrs());
  if (node.pod_cidrs.empty() && !message.spec().pod_cidr().empty()) node.pod_cidrs = {message.spec().pod_cidr()};
  for (const Taint& taint : message.spec().taints()) node.taints.push_back(taint.key());
  node.deleting = IsSet(message.metadata().deletion_timestamp());
  return Object(std::move(node));
}

std::optional<Object> Convert(const ServiceCIDR& message, pointsman::ObjectMeta meta, Complaints& /*complaints*/) {
  pointsman::ServiceCidr cidr;
  cidr.meta = std::move(meta);
  cidr.cidrs = Strings(message.spec().cidrs());
  return Object(std::move(cidr));
}

}  // namespace pointsman::kube
