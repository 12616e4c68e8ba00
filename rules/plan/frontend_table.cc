// SPDX-License-Identifier: Apache-2.0
#include "pointsman/plan.h"

namespace pointsman {

absl::btree_set<NamespacedName> FrontendTable::Claim(const NamespacedName& service, absl::Time creation,
                                                     const Claims& claims) {
  absl::btree_set<NamespacedName> others;
  const auto held = by_service_.find(service);
  const bool same_age = held != by_service_.end() && held->second.first == creation;

  // Changes one claim; notes whoever else claims the match, if it changes hands.
  const auto change = [&](const Match& match, const Claimant* withdrawn, const Claimant* added) {
    absl::btree_set<Claimant>& claimants = claims_[match];
    const NamespacedName before = claimants.empty() ? NamespacedName{} : claimants.begin()->service;
    if (withdrawn != nullptr) claimants.erase(*withdrawn);
    if (added != nullptr) claimants.insert(*added);
    const NamespacedName after = claimants.empty() ? NamespacedName{} : claimants.begin()->service;
    if (before != after) {
      for (const Claimant& claimant : claimants) {
        if (claimant.service != service) others.insert(claimant.service);
      }
    }
    if (claimants.empty()) claims_.erase(match);
  };

  if (held != by_service_.end()) {
    const auto& [held_creation, held_claims] = held->second;
    for (const auto& [match, node_port] : held_claims) {
      const Claimant old = {node_port, held_creation, service};
      const auto now = claims.find(match);
      if (now == claims.end()) {
        change(match, &old, nullptr);
      } else if (!same_age || now->second != node_port) {
        const Claimant renewed = {now->second, creation, service};
        change(match, &old, &renewed);
      }
    }
  }
  for (const auto& [match, node_port] : claims) {
    if (held != by_service_.end() && held->second.second.contains(match)) continue;
    const Claimant fresh = {node_port, creation, service};
    change(match, nullptr, &fresh);
  }
  if (claims.empty()) {
    by_service_.erase(service);
  } else {
    by_service_[service] = {creation, claims};
  }
  return others;
}

const NamespacedName* FrontendTable::Owner(const Match& match) const {
  const auto claims = claims_.find(match);
  return claims == claims_.end() ? nullptr : &claims->second.begin()->service;
}

}  // namespace pointsman
