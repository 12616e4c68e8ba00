// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/hash/hash.h"
#include "absl/time/time.h"

#include "pointsman/api.h"
#include "pointsman/packed.h"
#include "pointsman/rare.h"

namespace pointsman {

// What a source says happened to one object. No object is a deletion.
struct ObjectChange {
  ObjectKey key;
  PackedObject object;
  // Of an EndpointSlice: when what it tells of happened, by the calendar of whoever changed it, for each change that
  // went into this one. Those that nobody timed have none.
  Rare<std::vector<absl::Time>> triggers = {};
};

// Changes in any order, at most one per key, and the moment the oldest of them became known, by the steady clock.
struct ObjectBatch {
  std::vector<ObjectChange> changes;
  absl::Time oldest = absl::InfiniteFuture();
};

// The Services a batch concerns.
struct Touched {
  bool all = false;  // own Node or ServiceCIDR changed: node-wide facts may differ
  absl::btree_set<NamespacedName> services;

  bool empty() const { return !all && services.empty(); }
};

// The objects we use, by key, with the index slices-by-service. Whoever asks gets what he asks for unpacked.
class Store {
 public:
  // Takes the batch over. An upsert equal to what is held touches nothing.
  // Cost: O(batch).
  Touched Apply(const ObjectBatch& batch);

  std::optional<Service> FindService(const NamespacedName& name) const;
  // In order of slice name; empty when there are none.
  std::vector<EndpointSlice> SlicesOf(const NamespacedName& service) const;
  const Node* FindNode(const std::string& name) const;
  std::vector<const ServiceCidr*> ServiceCidrs() const;
  // Every Service held. Cost: O(services); for full syncs only.
  absl::btree_set<NamespacedName> ServiceNames() const;
  // Those of them that others depend on, wanted first where nothing is yet: the API server's and the cluster's DNS.
  const absl::btree_set<NamespacedName>& First() const { return first_; }
  size_t size() const { return services_.size() + slices_.size() + node_wide_.size(); }

 private:
  // The slices of one Service, sorted by name; never empty. Which Service it is, they say themselves.
  using Slices = absl::InlinedVector<PackedObject, 1>;
  struct ByService {
    using is_transparent = void;
    static NameView Of(const Slices& slices) {
      return {slices.front().name().ns, slices.front().Label(kServiceNameLabel)};
    }
    static NameView Of(const NameView& name) { return name; }

    size_t operator()(const auto& key) const { return absl::HashOf(Of(key)); }
    bool operator()(const auto& a, const auto& b) const { return Of(a) == Of(b); }
  };

  void Enter(const PackedObject& slice, Touched& touched);
  void StrikeOut(const PackedObject& slice, Touched& touched);
  bool ReplaceNodeWide(const ObjectChange& change);  // false: it is the same

  PackedObjects services_;
  PackedObjects slices_;
  absl::flat_hash_set<Slices, ByService, ByService> slices_by_service_;
  absl::btree_set<NamespacedName> first_;
  absl::btree_map<ObjectKey, Object> node_wide_;  // Nodes and ServiceCIDRs: few
};

}  // namespace pointsman
