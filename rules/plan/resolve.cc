// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "absl/strings/str_cat.h"

#include "pointsman/packet.h"

namespace pointsman {
namespace {

bool FromPod(const Policy& policy, const Packet& packet) {
  const std::optional<Cidr>& pods = policy.pods.cidr(packet.dest.family());
  return pods && pods->Contains(packet.source);
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

Outcome ResolveFrontend(const PortPlan& port, const Action& action, bool may_hairpin, const Policy& policy,
                        const Packet& packet) {
  if (!action.allow.empty() && std::none_of(action.allow.begin(), action.allow.end(),
                                            [&](const Cidr& range) { return range.Contains(packet.source); })) {
    return {Outcome::Verdict::kDrop, {}};
  }
  const bool inside = FromPod(policy, packet) || packet.from_node;
  const bool local = action.scope == Scope::kLocal || (action.scope == Scope::kExternalLocal && !inside);
  const std::vector<SocketAddr>& list = local ? port.local : port.cluster;
  if (list.empty()) return {local ? Outcome::Verdict::kDrop : Outcome::Verdict::kReject, {}};
  Outcome outcome{Outcome::Verdict::kDeliver, {}};
  for (const SocketAddr& endpoint : list) {
    const bool hairpin = may_hairpin && endpoint.addr == packet.source;
    outcome.deliveries.insert({endpoint, hairpin || Snatted(action, policy, packet)});
  }
  return outcome;
}

}  // namespace

Outcome Resolve(absl::Span<const std::shared_ptr<const ServicePlan>> plans, absl::Span<const Cidr> rejected,
                const Policy& policy, const Packet& packet) {
  const Match match = {packet.dest, packet.protocol, packet.port};
  const bool may_hairpin = std::any_of(plans.begin(), plans.end(), [&](const auto& plan) {
    return std::any_of(plan->ports.begin(), plan->ports.end(), [&](const PortPlan& port) {
      return std::binary_search(port.hairpin.begin(), port.hairpin.end(), packet.source);
    });
  });
  for (const auto& plan : plans) {
    for (const PortPlan& port : plan->ports) {
      for (const Frontend& frontend : port.frontends) {
        if (frontend.match == match) return ResolveFrontend(port, frontend.action, may_hairpin, policy, packet);
      }
    }
  }
  const bool ours =
      std::any_of(rejected.begin(), rejected.end(), [&](const Cidr& range) { return range.Contains(packet.dest); });
  return {ours ? Outcome::Verdict::kReject : Outcome::Verdict::kPass, {}};
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
