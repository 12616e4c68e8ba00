// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"

#include "pointsman/api.h"

namespace pointsman {

// What a source says happened to one object. A null object is a deletion.
struct ObjectChange {
  ObjectKey key;
  std::shared_ptr<const Object> object;
};

// Changes in any order, at most one per key, and the moment the oldest of them became known.
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

// The objects we use, by key, with the index slices-by-service.
class Store {
 public:
  // Takes the batch over. An upsert equal to what is held touches nothing.
  // Cost: O(batch).
  Touched Apply(const ObjectBatch& batch);

  const Service* FindService(const NamespacedName& name) const;
  // In order of slice name; empty when there are none.
  std::vector<const EndpointSlice*> SlicesOf(const NamespacedName& service) const;
  const Node* FindNode(const std::string& name) const;
  std::vector<const ServiceCidr*> ServiceCidrs() const;
  // Every Service held. Cost: O(services); for full syncs only.
  absl::btree_set<NamespacedName> ServiceNames() const;
  // Those of them that others depend on, wanted first where nothing is yet: the API server's and the cluster's DNS.
  const absl::btree_set<NamespacedName>& First() const { return first_; }
  size_t size() const { return objects_.size(); }

 private:
  absl::flat_hash_map<ObjectKey, std::shared_ptr<const Object>> objects_;
  absl::flat_hash_map<NamespacedName, absl::btree_set<std::string>> slices_by_service_;
  absl::btree_set<NamespacedName> first_;
  absl::btree_set<ObjectKey> node_wide_;  // Nodes and ServiceCIDRs: few
};

}  // namespace pointsman
