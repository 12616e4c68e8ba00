// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"

#include "pointsman/plan.h"

namespace pointsman {
namespace {

bool Has(const std::vector<IpAddr>& addresses, const IpAddr& addr) {
  return std::find(addresses.begin(), addresses.end(), addr) != addresses.end();
}

// The sources let in to the load-balancer addresses.
std::vector<Cidr> Allowed(const ServicePort& port, const NodeInfo& node) {
  std::vector<Cidr> ranges = port.source_ranges;
  // A node that is let in may itself hold the address, and then uses it as the source.
  const bool node_inside = std::any_of(ranges.begin(), ranges.end(), [&](const Cidr& range) {
    return std::any_of(node.local_addresses.begin(), node.local_addresses.end(),
                       [&](const IpAddr& addr) { return range.Contains(addr); });
  });
  if (node_inside) {
    for (const IpAddr& vip : port.load_balancer_ips) {
      ranges.emplace_back(vip, vip.family() == Family::kIpv4 ? 32 : 128);
    }
  }
  return Canonical(std::move(ranges));
}

Action InternalAction(const ServicePort& port, const EndpointChoice& choice, const Policy& policy) {
  Action action;
  // With nothing anywhere the answer is a refusal, whatever the policy.
  if (port.internal_policy == TrafficPolicy::kLocal && choice.any) action.scope = Scope::kLocal;
  if (policy.masquerade_all) {
    action.snat = Snat::kAlways;
  } else if (policy.pods.Detects(port.family)) {
    action.snat = Snat::kOutsidePods;
  }
  return action;
}

Action ExternalAction(const ServicePort& port, const EndpointChoice& choice) {
  Action action;
  if (port.external_policy == TrafficPolicy::kLocal && choice.any) {
    action.scope = Scope::kExternalLocal;
  } else {
    action.snat = Snat::kAlways;
  }
  return action;
}

// The frontends of one port, in order of precedence among themselves.
std::vector<Frontend> Frontends(const ServicePort& port, const EndpointChoice& choice, const NodeInfo& node,
                                const Policy& policy) {
  std::vector<Frontend> out;
  const auto add = [&](const IpAddr& dest, uint16_t number, Action action, bool node_port = false) {
    if (port.affinity) action.affinity = *port.affinity;
    out.push_back({{dest, port.name.protocol, number}, std::move(action), node_port});
  };
  add(port.cluster_ip, port.port, InternalAction(port, choice, policy));
  const Action external = ExternalAction(port, choice);
  // Load-balancer addresses first: one that is listed as an external IP too keeps its source ranges.
  Action guarded = external;
  guarded.fenced = !port.source_ranges.empty() || (port.ranged_elsewhere && policy.close_unranged);
  if (guarded.fenced) guarded.allow = Allowed(port, node);
  for (const IpAddr& vip : port.load_balancer_ips) add(vip, port.port, guarded);
  if (policy.external_ips) {
    for (const IpAddr& addr : port.external_ips) add(addr, port.port, external);
  }
  if (port.node_port != 0) {
    for (const IpAddr& addr : node.node_port_addresses) {
      if (addr.family() == port.family && !addr.IsLoopback()) {
        add(addr, port.node_port, external, /*node_port=*/true);
      }
    }
  }
  return out;
}

// Whether flows to this port are cleaned: those of UDP and SCTP can outlive their endpoint, TCP ends by itself.
bool Cleans(Protocol protocol, const Policy& policy) { return protocol != Protocol::kTcp || policy.clean_tcp; }

// All that established flows may go on to. Whoever still gets new ones serves, whatever its condition says.
std::vector<SocketAddr> Serving(const ServicePort& port) {
  std::vector<SocketAddr> serving;
  for (const Endpoint& e : port.endpoints) {
    if (e.serving || e.ready) serving.push_back(e.addr);
  }
  return serving;
}

// Those of the families that are programmed.
using Ports = std::vector<const ServicePort*>;

std::optional<HealthCheck> HealthOf(const Ports& ports, const NodeInfo& node) {
  HealthCheck health;
  std::set<IpAddr> addrs;
  for (const ServicePort* port : ports) {
    if (port->health_check_node_port == 0) continue;
    health.port = port->health_check_node_port;
    (port->family == Family::kIpv4 ? health.local_ipv4 : health.local_ipv6) = 0;
    for (const Endpoint& e : port->endpoints) {
      if (e.ready && !node.name.empty() && e.node == node.name) addrs.insert(e.addr.addr);
    }
  }
  if (health.port == 0) return std::nullopt;
  for (const IpAddr& addr : addrs) ++*(addr.family() == Family::kIpv4 ? health.local_ipv4 : health.local_ipv6);
  return health;
}

class ServicePlanner {
 public:
  ServicePlanner(const NamespacedName& name, const NodeInfo& node, const Policy& policy, Diagnostics& diagnostics)
      : name_(name), node_(node), policy_(policy), diagnostics_(diagnostics) {}

  ServicePlan Plan(absl::Span<const ServicePort> all) {
    Ports ports;
    for (const ServicePort& port : all) {
      if (policy_.Programs(port.family)) ports.push_back(&port);
    }
    ServicePlan plan{.service = name_};
    std::vector<std::vector<Frontend>> claims;
    for (const ServicePort* each : ports) {
      const ServicePort& port = *each;
      plan.creation = port.creation;
      // Refusing its other ports would shut the node off.
      if (!Has(node_.local_addresses, port.cluster_ip)) plan.cluster_ips.push_back(port.cluster_ip);
      EndpointChoice choice = ChooseEndpoints(port, node_);
      if (choice.any && choice.local.empty()) {
        NoLocalEndpoints& none = port.family == Family::kIpv4 ? plan.no_local_ipv4 : plan.no_local_ipv6;
        if (port.internal_policy == TrafficPolicy::kLocal) ++none.internal;
        if (port.external_policy == TrafficPolicy::kLocal) ++none.external;
      }
      claims.push_back(Frontends(port, choice, node_, policy_));
      plan.ports.push_back(
          {.name = port.name,
           .cluster = std::move(choice.cluster),
           .local = std::move(choice.local),
           .hairpin = std::move(choice.hairpin),
           .serving = Cleans(port.name.protocol, policy_) ? Serving(port) : std::vector<SocketAddr>{}});
    }
    std::sort(plan.cluster_ips.begin(), plan.cluster_ips.end());
    plan.cluster_ips.erase(std::unique(plan.cluster_ips.begin(), plan.cluster_ips.end()), plan.cluster_ips.end());
    plan.health = HealthOf(ports, node_);

    for (const bool node_ports : {false, true}) {
      for (size_t i = 0; i < plan.ports.size(); ++i) Take(claims[i], node_ports, i, plan.ports[i]);
    }
    for (PortPlan& port : plan.ports) {
      std::sort(port.frontends.begin(), port.frontends.end(),
                [](const Frontend& a, const Frontend& b) { return a.match < b.match; });
    }
    TellUnranged(ports);
    TellOwnAddress(ports);
    return plan;
  }

 private:
  // Gives port `index` those of its claims that no earlier one has.
  void Take(std::vector<Frontend>& claims, bool node_ports, size_t index, PortPlan& port) {
    for (Frontend& frontend : claims) {
      if (frontend.node_port != node_ports) continue;
      const auto [owner, fresh] = taken_.emplace(frontend.match, index);
      if (fresh) {
        port.frontends.push_back(std::move(frontend));
      } else if (owner->second != index) {  // listed twice within one port is no conflict
        Warn(absl::StrCat("port \"", port.name.port, "\""),
             absl::StrCat(FormatMatch(frontend.match), " is another port's already"), "the first port keeps it");
      }
    }
  }

  // Ranges of one family say nothing about the other: kube-proxy leaves that open, which not everyone expects.
  void TellUnranged(const Ports& ports) {
    std::set<Family> told;
    for (const ServicePort* port : ports) {
      if (!port->ranged_elsewhere || port->load_balancer_ips.empty() || !told.insert(port->family).second) continue;
      const absl::string_view family = FormatFamily(port->family);
      Warn("spec.loadBalancerSourceRanges", absl::StrCat("has no ", family, " range"),
           policy_.close_unranged ? absl::StrCat("the ", family, " load-balancer addresses let nobody in")
                                  : absl::StrCat("the ", family, " load-balancer addresses are open to everyone"),
           policy_.close_unranged
               ? absl::StrCat("add an ", family, " range")
               : absl::StrCat("add an ", family, " range, or close them with --pointsman.close-unranged-vips"));
    }
  }

  void TellOwnAddress(const Ports& ports) {
    std::set<IpAddr> told;
    for (const ServicePort* port : ports) {
      if (!Has(node_.local_addresses, port->cluster_ip) || !told.insert(port->cluster_ip).second) continue;
      Warn("spec.clusterIP", absl::StrCat(FormatIp(port->cluster_ip), " is an address of this node"),
           "its other ports stay the node's", "take an address that nobody has");
    }
  }

  void Warn(std::string field, std::string problem, std::string effect, std::string hint = "") {
    diagnostics_.push_back({.severity = Severity::kWarning,
                            .where = "",
                            .object = FormatKey({Kind::kService, name_}),
                            .field = std::move(field),
                            .problem = std::move(problem),
                            .effect = std::move(effect),
                            .hint = std::move(hint)});
  }

  const NamespacedName& name_;
  const NodeInfo& node_;
  const Policy& policy_;
  Diagnostics& diagnostics_;
  std::map<Match, size_t> taken_;  // by the port that has it
};

}  // namespace

ServicePlan PlanService(const NamespacedName& name, absl::Span<const ServicePort> ports, const NodeInfo& node,
                        const Policy& policy, Diagnostics& diagnostics) {
  return ServicePlanner(name, node, policy, diagnostics).Plan(ports);
}

}  // namespace pointsman
