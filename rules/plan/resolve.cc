// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "absl/strings/str_cat.h"

#include "pointsman/packet.h"

namespace pointsman {
namespace {

bool FromPod(const Policy& policy, const Packet& packet) {
  return policy.pods.IsPod(packet.source, packet.in_interface);
}

bool IsNode(const Surroundings& around, const IpAddr& addr) {
  return std::find(around.node_addresses.begin(), around.node_addresses.end(), addr) != around.node_addresses.end();
}

bool Inside(absl::Span<const Cidr> ranges, const IpAddr& addr) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const Cidr& range) { return range.Contains(addr); });
}

bool Snatted(const Action& action, const Policy& policy, const Packet& packet) {
  if (action.scope == Scope::kExternalLocal && packet.from_node && !FromPod(policy, packet)) return true;
  switch (action.snat) {
    case Snat::kNever:
      return false;
    case Snat::kAlways:
      return true;
    case Snat::kOutsidePods:
      return !FromPod(policy, packet);
  }
  return false;
}

Outcome ResolveFrontend(const PortPlan& port, const Action& action, bool may_hairpin, const Surroundings& around,
                        const Packet& packet) {
  if (action.fenced && !Inside(action.allow, packet.source)) return {Outcome::Verdict::kDrop, {}};
  const bool inside = FromPod(around.policy, packet) || packet.from_node;
  const bool local = action.scope == Scope::kLocal || (action.scope == Scope::kExternalLocal && !inside);
  const std::vector<SocketAddr>& list = local ? port.local : port.cluster;
  if (list.empty()) return {local ? Outcome::Verdict::kDrop : Outcome::Verdict::kReject, {}};
  Outcome outcome{Outcome::Verdict::kDeliver, {}};
  for (const SocketAddr& endpoint : list) {
    const bool hairpin = may_hairpin && endpoint.addr == packet.source;
    // What comes in for a process of this node is not routed on, and so keeps its source.
    const bool comes_in = !packet.from_node && IsNode(around, endpoint.addr);
    outcome.deliveries.insert({endpoint, !comes_in && (hairpin || Snatted(action, around.policy, packet))});
  }
  return outcome;
}

}  // namespace

Outcome Resolve(absl::Span<const std::shared_ptr<const ServicePlan>> plans, const Surroundings& around,
                const Packet& packet) {
  if (!around.policy.Programs(packet.dest.family())) return {Outcome::Verdict::kPass, {}};
  const Match match = {packet.dest, packet.protocol, packet.port};
  const bool may_hairpin = std::any_of(plans.begin(), plans.end(), [&](const auto& plan) {
    return std::any_of(plan->ports.begin(), plan->ports.end(), [&](const PortPlan& port) {
      return std::binary_search(port.hairpin.begin(), port.hairpin.end(), packet.source);
    });
  });
  for (const auto& plan : plans) {
    for (const PortPlan& port : plan->ports) {
      for (const Frontend& frontend : port.frontends) {
        if (frontend.match == match) return ResolveFrontend(port, frontend.action, may_hairpin, around, packet);
      }
    }
  }
  const bool cluster_ip = std::any_of(plans.begin(), plans.end(), [&](const auto& plan) {
    return std::binary_search(plan->cluster_ips.begin(), plan->cluster_ips.end(), packet.dest);
  });
  if (cluster_ip) return {Outcome::Verdict::kReject, {}};
  // A range that has this node's own address in it must not shut the node off.
  const bool unused = Inside(around.service_cidrs, packet.dest) && !IsNode(around, packet.dest);
  return {unused ? Outcome::Verdict::kDrop : Outcome::Verdict::kPass, {}};
}

std::string FormatOutcome(const Outcome& outcome) {
  switch (outcome.verdict) {
    case Outcome::Verdict::kPass:
      return "pass";
    case Outcome::Verdict::kReject:
      return "reject";
    case Outcome::Verdict::kDrop:
      return "drop";
    case Outcome::Verdict::kDeliver:
      break;
  }
  std::string text = "deliver";
  for (const Outcome::Delivery& delivery : outcome.deliveries) {
    absl::StrAppend(&text, " ", FormatSocketAddr(delivery.endpoint), delivery.snat ? "+snat" : "");
  }
  return text;
}

}  // namespace pointsman
