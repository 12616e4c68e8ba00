// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <tuple>
#include <utility>

#include "pointsman/plan.h"

namespace pointsman {

absl::btree_set<NamespacedName> FrontendTable::Claim(const NamespacedName& service, absl::Time creation,
                                                     const Claims& claims) {
  absl::btree_set<NamespacedName> others;
  auto held = claimants_.find(service);
  if (held == claimants_.end()) {
    if (claims.empty()) return others;
    held = claimants_.insert(std::make_unique<Claimant>(Claimant{.service = service, .creation = creation})).first;
  }
  Claimant& claimant = **held;
  const bool same_age = claimant.creation == creation;
  if (same_age && std::equal(claims.begin(), claims.end(), claimant.claims.begin(), claimant.claims.end(),
                             [](const auto& a, const auto& b) { return a.first == b.first && a.second == b.second; })) {
    return others;
  }
  const auto before = std::exchange(claimant.claims, {claims.begin(), claims.end()});
  claimant.creation = creation;

  for (const auto& [match, node_port] : before) {
    const auto now = claims.find(match);
    if (now == claims.end() || now->second != node_port || !same_age) Settle(match, claimant, others);
  }
  for (const auto& [match, node_port] : claims) {
    const auto then = std::lower_bound(before.begin(), before.end(), match,
                                       [](const auto& claim, const Match& m) { return claim.first < m; });
    if (then == before.end() || then->first != match) Settle(match, claimant, others);
  }
  if (claims.empty()) claimants_.erase(held);
  return others;
}

void FrontendTable::Settle(const Match& match, const Claimant& claimant, absl::btree_set<NamespacedName>& others) {
  const auto claim = [&](const Claimant* of) {
    const auto found = std::lower_bound(of->claims.begin(), of->claims.end(), match,
                                        [](const auto& each, const Match& m) { return each.first < m; });
    return found != of->claims.end() && found->first == match ? &*found : nullptr;
  };
  const Claimant*& owner = owners_[match];
  const Claimant* const before = owner;
  std::vector<const Claimant*> all;
  if (const auto waiting = waiting_.find(match); waiting != waiting_.end()) {
    all = std::move(waiting->second);
    waiting_.erase(waiting);
  }
  if (before != nullptr) all.push_back(before);
  std::erase(all, &claimant);
  if (claim(&claimant) != nullptr) all.push_back(&claimant);
  if (all.empty()) {
    owners_.erase(match);
    return;
  }

  const auto first = std::min_element(all.begin(), all.end(), [&](const Claimant* a, const Claimant* b) {
    return std::tie(claim(a)->second, a->creation, a->service) < std::tie(claim(b)->second, b->creation, b->service);
  });
  owner = *first;
  if (before != nullptr && owner != before) {
    for (const Claimant* other : all) {
      if (other != &claimant) others.insert(other->service);
    }
  }
  all.erase(first);
  if (!all.empty()) waiting_[match] = std::move(all);
}

const NamespacedName* FrontendTable::Owner(const Match& match) const {
  const auto owner = owners_.find(match);
  return owner == owners_.end() ? nullptr : &owner->second->service;
}

absl::btree_set<NamespacedName> FrontendTable::Services() const {
  absl::btree_set<NamespacedName> services;
  for (const auto& claimant : claimants_) services.insert(claimant->service);
  return services;
}

}  // namespace pointsman
