// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"

#include "pointsman/plan.h"

namespace pointsman {
namespace {

// Sorted, without ranges that lie inside another: the kernel refuses overlapping ones.
std::vector<Cidr> Canonical(std::vector<Cidr> ranges) {
  std::sort(ranges.begin(), ranges.end());
  std::vector<Cidr> out;
  for (const Cidr& range : ranges) {
    if (out.empty() || !out.back().Contains(range.base())) out.push_back(range);
  }
  return out;
}

// The sources let in to the load-balancer addresses; empty: everyone.
std::vector<Cidr> Allowed(const ServicePort& port, const NodeInfo& node) {
  std::vector<Cidr> ranges = port.source_ranges;
  if (ranges.empty()) return ranges;
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
  } else if (policy.pods.cidr(port.family)) {
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
  const auto add = [&](const IpAddr& dest, uint16_t number, Action action) {
    if (port.affinity) action.affinity = *port.affinity;
    out.push_back({{dest, port.name.protocol, number}, std::move(action)});
  };
  add(port.cluster_ip, port.port, InternalAction(port, choice, policy));
  const Action external = ExternalAction(port, choice);
  // Load-balancer addresses first: one that is listed as an external IP too keeps its source ranges.
  Action guarded = external;
  guarded.allow = Allowed(port, node);
  for (const IpAddr& vip : port.load_balancer_ips) add(vip, port.port, guarded);
  for (const IpAddr& addr : port.external_ips) add(addr, port.port, external);
  if (port.node_port != 0) {
    for (const IpAddr& addr : node.node_port_addresses) {
      if (addr.family() == port.family && !addr.IsLoopback()) add(addr, port.node_port, external);
    }
  }
  return out;
}

}  // namespace

ServicePlan PlanService(const NamespacedName& name, absl::Span<const ServicePort> ports, const NodeInfo& node,
                        const Policy& policy, Diagnostics& diagnostics) {
  ServicePlan plan{.service = name, .creation = absl::InfinitePast(), .ports = {}};
  std::set<Match> taken;
  bool affinity_told = false;
  for (const ServicePort& port : ports) {
    plan.creation = port.creation;
    EndpointChoice choice = ChooseEndpoints(port, node);
    PortPlan out{.name = port.name, .frontends = {}, .cluster = {}, .local = {}, .hairpin = std::move(choice.hairpin)};
    const auto own = taken;  // an address listed twice within one port is no conflict
    for (Frontend& frontend : Frontends(port, choice, node, policy)) {
      if (taken.insert(frontend.match).second) {
        out.frontends.push_back(std::move(frontend));
      } else if (own.contains(frontend.match)) {
        diagnostics.push_back({.severity = Severity::kWarning,
                               .where = "",
                               .object = FormatKey({Kind::kService, name}),
                               .field = absl::StrCat("port \"", port.name.port, "\""),
                               .problem = absl::StrCat(FormatMatch(frontend.match), " is another port's already"),
                               .effect = "the first port keeps it",
                               .hint = ""});
      }
    }
    if (port.affinity && !affinity_told) {
      affinity_told = true;
      diagnostics.push_back({.severity = Severity::kWarning,
                             .where = "",
                             .object = FormatKey({Kind::kService, name}),
                             .field = "spec.sessionAffinity",
                             .problem = "ClientIP is not supported yet",
                             .effect = "each connection may go to another endpoint",
                             .hint = ""});
    }
    std::sort(out.frontends.begin(), out.frontends.end(),
              [](const Frontend& a, const Frontend& b) { return a.match < b.match; });
    out.cluster = std::move(choice.cluster);
    out.local = std::move(choice.local);
    plan.ports.push_back(std::move(out));
  }
  return plan;
}

}  // namespace pointsman
