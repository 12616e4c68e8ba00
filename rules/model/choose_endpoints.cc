// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "pointsman/plan.h"

namespace pointsman {
namespace {

bool Contains(const std::vector<std::string>& list, const std::string& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

// True if every ready endpoint has a hint in `hints` and one of them is `here`: only then the hints can be followed
// without leaving this node with nothing.
bool HintsUsable(const std::vector<Endpoint>& endpoints, Rare<std::vector<std::string>> Endpoint::*hints,
                 const std::string& here) {
  bool any_here = false;
  for (const Endpoint& e : endpoints) {
    if (!e.ready) continue;
    if ((e.*hints)->empty()) return false;
    any_here = any_here || Contains(*(e.*hints), here);
  }
  return any_here && !here.empty();
}

bool Fallback(const Endpoint& e) { return !e.ready && e.serving && e.terminating; }

// An endpoint whose own connection comes back to it would answer its client directly, past this node.
//
// Only where the source is not rewritten anyway: a pod of another node reaches this one's external addresses, and under
// external policy Local it keeps its address. To a ClusterIP it does not come here.
void AddHairpins(const std::vector<Endpoint>& endpoints, const NodeInfo& node, bool short_cut, EndpointChoice& choice) {
  for (const Endpoint& e : endpoints) {
    // Where nobody says which node an endpoint is on, it may be this one.
    if (e.node && *e.node != node.name && !short_cut) continue;
    const bool reachable = std::binary_search(choice.cluster.begin(), choice.cluster.end(), e.addr) ||
                           std::binary_search(choice.local.begin(), choice.local.end(), e.addr);
    if (reachable && (choice.hairpin.empty() || choice.hairpin.back() != e.addr.addr)) {
      choice.hairpin.push_back(e.addr.addr);
    }
  }
}

}  // namespace

EndpointChoice ChooseEndpoints(const ServicePort& port, const NodeInfo& node) {
  const bool external = port.node_port != 0 || !port.load_balancer_ips.empty() || !port.external_ips.empty();
  const bool internal_local = port.internal_policy == TrafficPolicy::kLocal;
  const bool external_local = port.external_policy == TrafficPolicy::kLocal;
  const bool uses_cluster = !internal_local || external;
  const bool uses_local = internal_local || (external_local && external);

  const std::vector<Endpoint>& all = port.endpoints;
  const bool any_ready = std::any_of(all.begin(), all.end(), [](const Endpoint& e) { return e.ready; });
  const bool same_node = HintsUsable(all, &Endpoint::node_hints, node.name);
  const bool same_zone = !same_node && HintsUsable(all, &Endpoint::zone_hints, node.zone);
  const auto is_local = [&](const Endpoint& e) { return !node.name.empty() && e.node == node.name; };
  const bool local_ready =
      std::any_of(all.begin(), all.end(), [&](const Endpoint& e) { return e.ready && is_local(e); });

  EndpointChoice choice;
  for (const Endpoint& e : all) {
    if (!e.ready && !Fallback(e)) continue;
    choice.any = true;
    if (uses_cluster) {
      const bool hinted = same_node   ? Contains(*e.node_hints, node.name)
                          : same_zone ? Contains(*e.zone_hints, node.zone)
                                      : true;
      if (any_ready ? e.ready && hinted : true) choice.cluster.push_back(e.addr);
    }
    if (uses_local && is_local(e) && (!local_ready || e.ready)) choice.local.push_back(e.addr);
  }
  AddHairpins(all, node, external_local && external, choice);
  return choice;
}

}  // namespace pointsman
