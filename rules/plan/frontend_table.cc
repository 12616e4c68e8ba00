// SPDX-License-Identifier: Apache-2.0
#include "pointsman/plan.h"

namespace pointsman {

absl::btree_set<NamespacedName> FrontendTable::Claim(const NamespacedName& service, absl::Time creation,
                                                     const absl::btree_set<Match>& matches) {
  absl::btree_set<NamespacedName> others;
  const auto before = by_service_.find(service);
  const bool same_age = before != by_service_.end() && before->second.first == creation;

  // A change of owner concerns whoever had the match and whoever has it now, unless that is `service` itself.
  const auto note = [&](const NamespacedName* owner) {
    if (owner != nullptr && *owner != service) others.insert(*owner);
  };
  if (before != by_service_.end()) {
    for (const Match& match : before->second.second) {
      if (same_age && matches.contains(match)) continue;
      const auto claims = claims_.find(match);
      const bool owned = claims->second.begin()->service == service;
      claims->second.erase({before->second.first, service});
      if (claims->second.empty()) {
        claims_.erase(claims);
      } else if (owned) {
        note(&claims->second.begin()->service);
      }
    }
  }
  for (const Match& match : matches) {
    if (same_age && before->second.second.contains(match)) continue;
    absl::btree_set<Claimant>& claims = claims_[match];
    const Claimant* owner = claims.empty() ? nullptr : &*claims.begin();
    const Claimant mine = {creation, service};
    if (owner != nullptr && mine < *owner) note(&owner->service);
    claims.insert(mine);
  }
  if (matches.empty()) {
    by_service_.erase(service);
  } else {
    by_service_[service] = {creation, matches};
  }
  return others;
}

const NamespacedName* FrontendTable::Owner(const Match& match) const {
  const auto claims = claims_.find(match);
  return claims == claims_.end() ? nullptr : &claims->second.begin()->service;
}

}  // namespace pointsman
