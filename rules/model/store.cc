// SPDX-License-Identifier: Apache-2.0
#include "pointsman/store.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace pointsman {
namespace {

// The Service a slice belongs to, by name; an empty one when there is no slice, or it belongs to none.
NameView ServiceOf(const PackedObject& slice) {
  if (!slice) return {"", ""};
  return {slice.name().ns, slice.Label(kServiceNameLabel)};
}

// Whether others depend on this Service.
bool IsFirst(const PackedObject& service) {
  static const auto* const kNames = new absl::flat_hash_set<NamespacedName>{{"default", "kubernetes"},
                                                                            {"kube-system", "kube-dns"},
                                                                            {"kube-system", "coredns"},
                                                                            {"openshift-dns", "dns-default"}};
  const NameView name = service.name();
  return kNames->contains(name.Copy()) || (name.ns == "kube-system" && service.Label(kAppLabel) == "kube-dns");
}

bool NameLess(const PackedObject& a, const PackedObject& b) { return a.name() < b.name(); }

// Returns: what was held in its place; nullopt if that is the same.
std::optional<PackedObject> Replace(PackedObjects& objects, const ObjectChange& change) {
  PackedObject before;
  if (const auto held = objects.find(change.key.name); held != objects.end()) before = *held;
  if (before == change.object) return std::nullopt;
  if (before) objects.erase(before);
  if (change.object) objects.insert(change.object);
  return before;
}

template <typename T>
T UnpackAs(const PackedObject& object) {
  return std::get<T>(object.Unpack());
}

}  // namespace

Touched Store::Apply(const ObjectBatch& batch) {
  Touched touched;
  for (const ObjectChange& change : batch.changes) {
    switch (change.key.kind) {
      case Kind::kService:
        if (!Replace(services_, change)) break;
        touched.services.insert(change.key.name);
        first_.erase(change.key.name);
        if (change.object && IsFirst(change.object)) first_.insert(change.key.name);
        break;
      case Kind::kEndpointSlice:
        if (const std::optional<PackedObject> before = Replace(slices_, change)) {
          // A slice may move from one Service to another: both are concerned.
          StrikeOut(*before, touched);
          Enter(change.object, touched);
        }
        break;
      case Kind::kNode:
      case Kind::kServiceCidr:
        if (ReplaceNodeWide(change)) touched.all = true;
        break;
    }
  }
  return touched;
}

void Store::Enter(const PackedObject& slice, Touched& touched) {
  const NameView service = ServiceOf(slice);
  if (service.name.empty()) return;
  touched.services.insert(service.Copy());
  auto held = slices_by_service_.extract(service);
  Slices slices;
  if (held) slices = std::move(held.value());
  slices.insert(std::upper_bound(slices.begin(), slices.end(), slice, NameLess), slice);
  slices_by_service_.insert(std::move(slices));
}

void Store::StrikeOut(const PackedObject& slice, Touched& touched) {
  const NameView service = ServiceOf(slice);
  if (service.name.empty()) return;
  touched.services.insert(service.Copy());
  Slices slices = std::move(slices_by_service_.extract(service).value());
  slices.erase(std::lower_bound(slices.begin(), slices.end(), slice, NameLess));
  if (!slices.empty()) slices_by_service_.insert(std::move(slices));
}

bool Store::ReplaceNodeWide(const ObjectChange& change) {
  if (!change.object) return node_wide_.erase(change.key) > 0;
  Object object = change.object.Unpack();
  const auto [held, fresh] = node_wide_.try_emplace(change.key, object);
  if (!fresh && held->second == object) return false;
  held->second = std::move(object);
  return true;
}

std::optional<Service> Store::FindService(const NamespacedName& name) const {
  const auto held = services_.find(name);
  if (held == services_.end()) return std::nullopt;
  return UnpackAs<Service>(*held);
}

std::vector<EndpointSlice> Store::SlicesOf(const NamespacedName& service) const {
  std::vector<EndpointSlice> slices;
  const auto held = slices_by_service_.find(service);
  if (held == slices_by_service_.end()) return slices;
  slices.reserve(held->size());
  for (const PackedObject& slice : *held) slices.push_back(UnpackAs<EndpointSlice>(slice));
  return slices;
}

const Node* Store::FindNode(const std::string& name) const {
  const auto held = node_wide_.find({Kind::kNode, {"", name}});
  return held == node_wide_.end() ? nullptr : &std::get<Node>(held->second);
}

std::vector<const ServiceCidr*> Store::ServiceCidrs() const {
  std::vector<const ServiceCidr*> cidrs;
  for (const auto& [key, object] : node_wide_) {
    if (key.kind == Kind::kServiceCidr) cidrs.push_back(&std::get<ServiceCidr>(object));
  }
  return cidrs;
}

absl::btree_set<NamespacedName> Store::ServiceNames() const {
  absl::btree_set<NamespacedName> names;
  for (const PackedObject& service : services_) names.insert(service.name().Copy());
  return names;
}

}  // namespace pointsman
