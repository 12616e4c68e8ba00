// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/change_times.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"

namespace pointsman {
namespace {

// So many are kept while the kernel refuses. More would show nothing that these do not.
constexpr size_t kMost = 10'000;

}  // namespace

void ChangeTimes::Note(const ObjectBatch& batch) {
  absl::flat_hash_set<NamespacedName> gone;
  for (const ObjectChange& change : batch.changes) {
    if (change.key.kind != Kind::kEndpointSlice) continue;
    if (change.object == nullptr) {
      if (!waiting_.empty()) gone.insert(change.key.name);
      continue;
    }
    if (change.triggers->empty()) continue;
    const auto slice = std::get<EndpointSlice>(change.object.Unpack());
    const auto service = slice.meta.labels.find(kServiceNameLabel);
    if (!slice.address_type || service == slice.meta.labels.end()) continue;
    for (const absl::Time at : *change.triggers) {
      noted_.push_back({change.key.name, {change.key.name.ns, service->second}, {*slice.address_type, at}});
    }
  }
  if (gone.empty()) return;
  std::erase_if(waiting_, [&](const Change& change) { return gone.contains(change.slice); });
}

void ChangeTimes::Applied(const Touched& touched) {
  for (Change& change : noted_) {
    if (waiting_.size() < kMost && touched.services.contains(change.service)) waiting_.push_back(std::move(change));
  }
  noted_.clear();
}

std::vector<ChangeTimes::Trigger> ChangeTimes::Take() {
  std::vector<Trigger> triggers;
  triggers.reserve(waiting_.size());
  for (const Change& change : waiting_) triggers.push_back(change.trigger);
  waiting_.clear();
  return triggers;
}

}  // namespace pointsman
