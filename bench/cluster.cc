// SPDX-License-Identifier: Apache-2.0
#include "bench/cluster.h"

#include "absl/strings/str_cat.h"

namespace pointsman::bench {
namespace {

NamespacedName NameOf(int number) { return {"bench", absl::StrCat("service-", number)}; }

std::string Address(int prefix, int number) {
  return absl::StrCat(prefix, ".", number / 65536 % 256, ".", number / 256 % 256, ".", number % 256);
}

}  // namespace

ObjectChange MakeSlice(int number, int endpoints, int variant) {
  EndpointSlice slice;
  slice.meta.name = NameOf(number);
  slice.meta.labels[kServiceNameLabel] = slice.meta.name.name;
  slice.address_type = Family::kIpv4;
  slice.ports = {{.name = "http", .port = 8080}};
  for (int e = 0; e < endpoints; ++e) {
    const int host = number * endpoints + e;
    slice.endpoints.push_back({.addresses = {Address(e == 0 && variant != 0 ? 100 + variant : 10, host)}});
    slice.endpoints.back().node_name = absl::StrCat("node-", host % 100);
  }
  return {{Kind::kEndpointSlice, slice.meta.name}, PackedObject(std::move(slice))};
}

ObjectBatch MakeCluster(int services, int endpoints) {
  ObjectBatch batch;
  for (int i = 0; i < services; ++i) {
    Service service;
    service.meta.name = NameOf(i);
    service.cluster_ips = {Address(172, 16 * 65536 + i)};
    service.ip_families = {Family::kIpv4};
    service.ports = {{.name = "http", .port = 80}};
    batch.changes.push_back({{Kind::kService, service.meta.name}, PackedObject(std::move(service))});
    batch.changes.push_back(MakeSlice(i, endpoints, 0));
  }
  return batch;
}

NodeInfo BenchNode() { return {.name = "node-0"}; }

nft::BaseSettings BenchSettings() { return {.policy = {.pods = {.cidrs = {*Cidr::Parse("10.0.0.0/8")}}}}; }

std::vector<std::shared_ptr<const ServicePlan>> PlansOf(const PlanPatch& patch) {
  std::vector<std::shared_ptr<const ServicePlan>> plans;
  for (const auto& [name, plan] : patch.services) {
    if (plan != nullptr) plans.push_back(plan);
  }
  return plans;
}

}  // namespace pointsman::bench
