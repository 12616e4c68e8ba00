// SPDX-License-Identifier: Apache-2.0
//
// The fields Pointsman uses of the Kubernetes API objects: nothing derived, nothing checked beyond its type.
// Field names and meanings: Kubernetes API v1 (core, discovery.k8s.io, networking.k8s.io).
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/time/time.h"

#include "pointsman/net.h"
#include "pointsman/rare.h"

namespace pointsman {

struct NamespacedName {
  std::string ns;
  std::string name;

  friend auto operator<=>(const NamespacedName&, const NamespacedName&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const NamespacedName& n) {
    return H::combine(std::move(h), n.ns, n.name);
  }
};

std::string FormatName(const NamespacedName& name);  // "shop/web"

enum class TrafficPolicy { kCluster, kLocal };
enum class ServiceType { kClusterIp, kNodePort, kLoadBalancer, kExternalName };
enum class IpMode { kVip, kProxy };

struct ObjectMeta {
  NamespacedName name;  // `ns` is empty for cluster-scoped kinds
  std::map<std::string, std::string> labels;
  absl::Time creation = absl::InfinitePast();  // InfinitePast when the object has no creationTimestamp

  friend bool operator==(const ObjectMeta&, const ObjectMeta&) = default;
};

struct ServicePortSpec {
  std::string name;  // may be empty
  Protocol protocol = Protocol::kTcp;
  uint16_t port = 0;
  uint16_t node_port = 0;  // 0: none

  friend bool operator==(const ServicePortSpec&, const ServicePortSpec&) = default;
};

struct LoadBalancerIngress {
  std::string ip;  // empty for hostname-only entries
  IpMode mode = IpMode::kVip;

  friend bool operator==(const LoadBalancerIngress&, const LoadBalancerIngress&) = default;
};

struct Service {
  ObjectMeta meta;
  ServiceType type = ServiceType::kClusterIp;
  std::vector<std::string> cluster_ips;  // spec.clusterIPs, else {spec.clusterIP}; "None" when headless; may be empty
  std::vector<Family> ip_families;       // may be empty
  std::vector<ServicePortSpec> ports;
  std::vector<std::string> external_ips;
  std::vector<LoadBalancerIngress> ingress;  // status.loadBalancer.ingress
  std::vector<std::string> source_ranges;    // spec.loadBalancerSourceRanges
  TrafficPolicy internal_policy = TrafficPolicy::kCluster;
  TrafficPolicy external_policy = TrafficPolicy::kCluster;
  std::optional<absl::Duration> client_ip_affinity;  // set iff spec.sessionAffinity is ClientIP
  uint16_t health_check_node_port = 0;

  friend bool operator==(const Service&, const Service&) = default;
};

struct SlicePort {
  std::optional<std::string> name;  // nullopt is not the empty name
  Protocol protocol = Protocol::kTcp;
  std::optional<uint16_t> port;

  friend bool operator==(const SlicePort&, const SlicePort&) = default;
};

// A cluster has more of these than of anything else: what most do not have costs them next to nothing.
struct SliceEndpoint {
  absl::InlinedVector<std::string, 1> addresses;
  bool ready = true;
  bool serving = true;
  bool terminating = false;
  std::optional<std::string> node_name;
  Rare<std::vector<std::string>> zone_hints;
  Rare<std::vector<std::string>> node_hints;

  friend bool operator==(const SliceEndpoint&, const SliceEndpoint&) = default;
};

struct EndpointSlice {
  ObjectMeta meta;
  std::optional<Family> address_type;  // nullopt for FQDN
  std::vector<SlicePort> ports;
  std::vector<SliceEndpoint> endpoints;

  friend bool operator==(const EndpointSlice&, const EndpointSlice&) = default;
};

struct Node {
  ObjectMeta meta;
  std::vector<std::string> internal_ips;  // status.addresses of type InternalIP, in order
  std::vector<std::string> external_ips;  // status.addresses of type ExternalIP, in order
  std::vector<std::string> pod_cidrs;     // spec.podCIDRs, else {spec.podCIDR}
  std::vector<std::string> taints;        // keys, in order
  bool deleting = false;                  // it has a deletionTimestamp

  friend bool operator==(const Node&, const Node&) = default;
};

struct ServiceCidr {
  ObjectMeta meta;
  std::vector<std::string> cidrs;

  friend bool operator==(const ServiceCidr&, const ServiceCidr&) = default;
};

// Index of the alternative == Kind.
using Object = std::variant<Service, EndpointSlice, Node, ServiceCidr>;
enum class Kind : uint8_t { kService, kEndpointSlice, kNode, kServiceCidr };
inline constexpr int kKinds = 4;

const char* FormatKind(Kind kind);  // "Service", "EndpointSlice", …

struct ObjectKey {
  Kind kind = Kind::kService;
  NamespacedName name;

  friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const ObjectKey& k) {
    return H::combine(std::move(h), k.kind, k.name);
  }
};

inline const ObjectMeta& MetaOf(const Object& object) {
  return std::visit([](const auto& o) -> const ObjectMeta& { return o.meta; }, object);
}
inline ObjectKey KeyOf(const Object& object) { return {static_cast<Kind>(object.index()), MetaOf(object).name}; }
std::string FormatKey(const ObjectKey& key);  // "Service shop/web", "Node n1"

// Labels that carry meaning for a service proxy.
inline constexpr char kServiceNameLabel[] = "kubernetes.io/service-name";
inline constexpr char kServiceProxyNameLabel[] = "service.kubernetes.io/service-proxy-name";
inline constexpr char kHeadlessLabel[] = "service.kubernetes.io/headless";
inline constexpr char kZoneLabel[] = "topology.kubernetes.io/zone";

// The annotation of an EndpointSlice that says when the change happened which it was last written for: RFC 3339.
inline constexpr char kTriggerTimeAnnotation[] = "endpoints.kubernetes.io/last-change-trigger-time";
inline constexpr char kAppLabel[] = "k8s-app";  // of the cluster's own Services

}  // namespace pointsman
