// SPDX-License-Identifier: Apache-2.0
#include "pointsman/store.h"

#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"

namespace pointsman {
namespace {

// The Service a slice belongs to; nullopt when there is no slice, or it belongs to none.
std::optional<NamespacedName> ServiceOf(const std::shared_ptr<const Object>& object) {
  if (object == nullptr) return std::nullopt;
  const ObjectMeta& meta = std::get<EndpointSlice>(*object).meta;
  const auto label = meta.labels.find(kServiceNameLabel);
  if (label == meta.labels.end() || label->second.empty()) return std::nullopt;
  return NamespacedName{meta.name.ns, label->second};
}

// Whether others depend on this Service.
bool IsFirst(const Service& service) {
  static const auto* const kNames = new absl::flat_hash_set<NamespacedName>{{"default", "kubernetes"},
                                                                            {"kube-system", "kube-dns"},
                                                                            {"kube-system", "coredns"},
                                                                            {"openshift-dns", "dns-default"}};
  if (kNames->contains(service.meta.name)) return true;
  const auto app = service.meta.labels.find("k8s-app");
  return service.meta.name.ns == "kube-system" && app != service.meta.labels.end() && app->second == "kube-dns";
}

}  // namespace

Touched Store::Apply(const ObjectBatch& batch) {
  Touched touched;
  for (const ObjectChange& change : batch.changes) {
    const auto held = objects_.find(change.key);
    const std::shared_ptr<const Object> before = held == objects_.end() ? nullptr : held->second;
    const std::shared_ptr<const Object>& after = change.object;
    if (before == after || (before && after && *before == *after)) continue;
    if (after) {
      objects_[change.key] = after;
    } else {
      objects_.erase(held);
    }
    switch (change.key.kind) {
      case Kind::kService:
        touched.services.insert(change.key.name);
        first_.erase(change.key.name);
        if (after && IsFirst(std::get<Service>(*after))) first_.insert(change.key.name);
        break;
      case Kind::kEndpointSlice:
        // A slice may move from one Service to another: both are concerned.
        if (const auto service = ServiceOf(before)) {
          const auto slices = slices_by_service_.find(*service);
          slices->second.erase(change.key.name.name);
          if (slices->second.empty()) slices_by_service_.erase(slices);
          touched.services.insert(*service);
        }
        if (const auto service = ServiceOf(after)) {
          slices_by_service_[*service].insert(change.key.name.name);
          touched.services.insert(*service);
        }
        break;
      case Kind::kNode:
      case Kind::kServiceCidr:
        if (after) {
          node_wide_.insert(change.key);
        } else {
          node_wide_.erase(change.key);
        }
        touched.all = true;
        break;
    }
  }
  return touched;
}

const Service* Store::FindService(const NamespacedName& name) const {
  const auto it = objects_.find({Kind::kService, name});
  return it == objects_.end() ? nullptr : &std::get<Service>(*it->second);
}

std::vector<const EndpointSlice*> Store::SlicesOf(const NamespacedName& service) const {
  std::vector<const EndpointSlice*> slices;
  const auto names = slices_by_service_.find(service);
  if (names == slices_by_service_.end()) return slices;
  slices.reserve(names->second.size());
  for (const std::string& name : names->second) {
    slices.push_back(&std::get<EndpointSlice>(*objects_.at({Kind::kEndpointSlice, {service.ns, name}})));
  }
  return slices;
}

const Node* Store::FindNode(const std::string& name) const {
  const auto it = objects_.find({Kind::kNode, {"", name}});
  return it == objects_.end() ? nullptr : &std::get<Node>(*it->second);
}

std::vector<const ServiceCidr*> Store::ServiceCidrs() const {
  std::vector<const ServiceCidr*> cidrs;
  for (const ObjectKey& key : node_wide_) {
    if (key.kind == Kind::kServiceCidr) cidrs.push_back(&std::get<ServiceCidr>(*objects_.at(key)));
  }
  return cidrs;
}

absl::btree_set<NamespacedName> Store::ServiceNames() const {
  absl::btree_set<NamespacedName> names;
  for (const auto& [key, object] : objects_) {
    if (key.kind == Kind::kService) names.insert(key.name);
  }
  return names;
}

}  // namespace pointsman
