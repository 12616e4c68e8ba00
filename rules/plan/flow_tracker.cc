// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"

#include "pointsman/plan.h"

namespace pointsman {
namespace {

// Who answers to a match.
struct Answering {
  const NamespacedName* service;
  const std::vector<SocketAddr>* serving;
};

// Whether a flow that `before` allowed may be one that `after` does not.
bool MayHaveGoneStale(const Answering& before, const Answering& after) {
  if (*before.service != *after.service) return true;
  // While nobody served, flows were left alone to whoever had served last.
  if (before.serving->empty()) return true;
  return !std::includes(after.serving->begin(), after.serving->end(), before.serving->begin(), before.serving->end());
}

}  // namespace

std::vector<FlowCheck> FlowTracker::Stage(const PlanPatch& patch, bool full) {
  staged_.clear();
  for (const auto& [name, plan] : patch.services) staged_[name];
  if (full) {
    for (const auto& [name, ports] : accepted_) staged_[name];
  }

  absl::flat_hash_map<Match, Answering> before;
  for (const auto& [name, ports] : staged_) {
    const auto accepted = accepted_.find(name);
    if (accepted == accepted_.end()) continue;
    for (const Port& port : accepted->second) {
      for (const Match& match : port.frontends) before[match] = {&name, &port.serving};
    }
  }

  for (const auto& [name, plan] : patch.services) {
    if (plan == nullptr) continue;
    Ports& ports = staged_[name];
    for (const PortPlan& port : plan->ports) {
      // TCP is planned with serving endpoints only where its flows are to be cleaned; but where it had some, having
      // none is not the same as being gone.
      const bool interesting = port.name.protocol != Protocol::kTcp || !port.serving.empty() ||
                               std::any_of(port.frontends.begin(), port.frontends.end(),
                                           [&](const Frontend& frontend) { return before.contains(frontend.match); });
      if (!interesting || port.frontends.empty()) continue;
      Port& tracked = ports.emplace_back();
      tracked.serving = port.serving;
      tracked.frontends.reserve(port.frontends.size());
      for (const Frontend& frontend : port.frontends) tracked.frontends.push_back(frontend.match);
    }
  }

  absl::btree_map<Match, FlowCheck> checks;
  absl::flat_hash_set<Match> taken;
  for (const auto& [name, ports] : staged_) {
    for (const Port& port : ports) {
      for (const Match& match : port.frontends) {
        taken.insert(match);
        if (port.serving.empty()) continue;
        const auto then = before.find(match);
        const bool stale = then == before.end() || MayHaveGoneStale(then->second, {&name, &port.serving});
        if (!stale && *then->second.serving == port.serving) continue;
        checks[match] = {.frontend = match, .keep = port.serving, .renews = !stale};
      }
    }
  }
  for (const auto& [match, answering] : before) {
    if (!taken.contains(match)) checks[match] = {.frontend = match, .translated_only = true};
  }

  std::vector<FlowCheck> sorted;
  sorted.reserve(checks.size());
  for (auto& [match, check] : checks) sorted.push_back(std::move(check));
  return sorted;
}

void FlowTracker::Accept() {
  for (auto& [name, ports] : staged_) {
    if (ports.empty()) {
      accepted_.erase(name);
    } else {
      accepted_[name] = std::move(ports);
    }
  }
  staged_.clear();
}

}  // namespace pointsman
