// SPDX-License-Identifier: Apache-2.0
#include "bench/kube_proxy_layout.h"

#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

#include "pointsman/status.h"

namespace pointsman::bench {
namespace {

// In the order kube-proxy writes them; nodeport-ips is that of a node whose primary address is 192.0.2.1.
constexpr char kSkeleton[] = R"(
table ip kube-proxy {
  comment "rules for kube-proxy"
  set cluster-ips { type ipv4_addr; comment "Active ClusterIPs"; }
  set nodeport-ips { type ipv4_addr; comment "IPs that accept NodePort traffic"; elements = { 192.0.2.1 } }
  set hairpin-connections {
    type ipv4_addr . ipv4_addr . inet_proto . inet_service
    comment "service hairpin connections"
  }
  map service-ips {
    type ipv4_addr . inet_proto . inet_service : verdict
    comment "ClusterIP, ExternalIP and LoadBalancer IP traffic"
  }
  map service-nodeports { type inet_proto . inet_service : verdict; comment "NodePort traffic"; }
  map firewall-ips {
    type ipv4_addr . inet_proto . inet_service : verdict
    comment "destinations that are subject to LoadBalancerSourceRanges"
  }
  map no-endpoint-services {
    type ipv4_addr . inet_proto . inet_service : verdict
    comment "vmap to drop or reject packets to services with no endpoints"
  }
  map no-endpoint-nodeports {
    type inet_proto . inet_service : verdict
    comment "vmap to drop or reject packets to service nodeports with no endpoints"
  }

  chain services {
    ip daddr @cluster-ips ip saddr != PODS meta mark set meta mark or 0x4000
    ip daddr . meta l4proto . th dport vmap @service-ips
    ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
  }
  chain masquerading {
    meta mark and 0x4000 != 0 meta mark set meta mark xor 0x4000 masquerade fully-random
    ct status dnat ip saddr . ip daddr . meta l4proto . th dport @hairpin-connections masquerade fully-random
  }
  chain firewall-check { ip daddr . meta l4proto . th dport vmap @firewall-ips; }
  chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }
  chain nodeport-endpoints-check {
    ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports
  }
  chain cluster-ips-check {
    ip daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"
    ip daddr { SERVICES } drop comment "Drop traffic to unallocated ClusterIPs"
  }
  chain reject-chain { reject; }

  chain filter-prerouting-pre-dnat {
    type filter hook prerouting priority -110
    ct state new jump firewall-check
  }
  chain filter-output-pre-dnat {
    type filter hook output priority -110
    ct state new jump firewall-check
  }
  chain filter-input {
    type filter hook input priority 0
    ct state new jump nodeport-endpoints-check
    ct state new jump service-endpoints-check
  }
  chain filter-forward {
    type filter hook forward priority 0
    ct state new jump service-endpoints-check
    ct state new jump cluster-ips-check
  }
  chain filter-output {
    type filter hook output priority 0
    ct state new jump service-endpoints-check
    ct state new jump cluster-ips-check
  }
  chain nat-prerouting { type nat hook prerouting priority -100; jump services; }
  chain nat-output { type nat hook output priority -100; jump services; }
  chain nat-postrouting { type nat hook postrouting priority 100; jump masquerading; }
}
)";

constexpr char kTable[] = "ip kube-proxy ";

// The elements of one transaction, and the chains before them.
struct Chunk {
  std::string chains;
  std::vector<std::string> cluster_ips;
  std::vector<std::string> service_ips;
  std::vector<std::string> hairpins;

  std::string Text() const {
    const auto add = [](const char* set, const std::vector<std::string>& elements) {
      if (elements.empty()) return std::string();
      return absl::StrCat("add element ", kTable, set, " { ", absl::StrJoin(elements, ", "), " }\n");
    };
    return absl::StrCat(chains, add("cluster-ips", cluster_ips), add("service-ips", service_ips),
                        add("hairpin-connections", hairpins));
  }
};

// kube-proxy's names begin with eight characters of a hash; any eight will do.
std::string ChainOf(const Service& service, const ServicePortSpec& port, uint32_t number) {
  return absl::StrCat("service-", absl::Hex(number, absl::kZeroPad8), "-", FormatName(service.meta.name), "/tcp/",
                      port.name);
}

void AddService(const Service& service, const EndpointSlice& slice, const NodeInfo& node, uint32_t number, Chunk& to) {
  PM_CHECK(service.ports.size() == 1 && slice.ports.size() == 1 && !slice.endpoints.empty());
  const std::string chain = ChainOf(service, service.ports[0], number);
  const uint16_t port = *slice.ports[0].port;
  std::vector<std::string> endpoints;
  for (const SliceEndpoint& endpoint : slice.endpoints) {
    const std::string& address = endpoint.addresses[0];
    endpoints.push_back(absl::StrCat(endpoints.size(), " : ", address, " . ", port));
    if (endpoint.node_name == node.name) {
      to.hairpins.push_back(absl::StrCat(address, " . ", address, " . tcp . ", port));
    }
  }
  absl::StrAppend(&to.chains, "add chain ", kTable, chain, "\n");
  absl::StrAppend(&to.chains, "add rule ", kTable, chain, " meta l4proto tcp dnat ip addr . port to numgen random mod ",
                  endpoints.size(), " map { ", absl::StrJoin(endpoints, ", "), " }\n");
  to.cluster_ips.push_back(service.cluster_ips[0]);
  to.service_ips.push_back(absl::StrCat(service.cluster_ips[0], " . tcp . ", service.ports[0].port, " : goto ", chain));
}

}  // namespace

std::vector<std::string> KubeProxyLayout(const ObjectBatch& cluster, const NodeInfo& node, const Cidr& pods,
                                         const Cidr& services, int chunk) {
  std::vector<std::string> texts = {
      absl::StrReplaceAll(kSkeleton, {{"PODS", FormatCidr(pods)}, {"SERVICES", FormatCidr(services)}})};
  Store store;
  uint32_t number = 0;
  Chunk next;
  for (const NamespacedName& name : store.Apply(cluster).services) {
    const std::vector<EndpointSlice> slices = store.SlicesOf(name);
    PM_CHECK(slices.size() == 1);
    AddService(*store.FindService(name), slices[0], node, number++, next);
    if (next.service_ips.size() == static_cast<size_t>(chunk)) {
      texts.push_back(next.Text());
      next = {};
    }
  }
  if (!next.service_ips.empty()) texts.push_back(next.Text());
  return texts;
}

}  // namespace pointsman::bench
