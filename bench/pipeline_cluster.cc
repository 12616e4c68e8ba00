// SPDX-License-Identifier: Apache-2.0
#include "bench/pipeline_cluster.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace pointsman::bench {
namespace {

ObjectChange ChangeOf(Kind kind, NamespacedName name, Object object) {
  return {{kind, std::move(name)}, PackedObject(std::move(object))};
}

void AddSystemService(NamespacedName name, const uint8_t (&vip)[4], std::vector<ServicePortSpec> ports,
                      const std::vector<std::string>& addresses, std::vector<ObjectChange>& changes) {
  EndpointSlice slice;
  slice.meta.name = name;
  slice.meta.labels[kServiceNameLabel] = name.name;
  slice.address_type = Family::kIpv4;
  for (const ServicePortSpec& port : ports) {
    slice.ports.push_back({.name = port.name, .protocol = port.protocol, .port = port.port});
  }
  for (const std::string& address : addresses) {
    slice.endpoints.push_back({.addresses = {address}});
    slice.endpoints.back().node_name = "node-1";
  }
  Service service;
  service.meta.name = name;
  service.meta.labels["k8s-app"] = name.name;  // as kube-dns has it
  service.cluster_ips = {absl::StrJoin(vip, ".")};
  service.ip_families = {Family::kIpv4};
  service.ports = std::move(ports);
  changes.push_back(ChangeOf(Kind::kService, name, std::move(service)));
  changes.push_back(ChangeOf(Kind::kEndpointSlice, name, std::move(slice)));
}

EndpointSlice SliceIn(const ObjectChange& change) { return std::get<EndpointSlice>(change.object.Unpack()); }

}  // namespace

std::vector<ObjectChange> MakeWholeCluster(int services, int endpoints) {
  std::vector<ObjectChange> changes = MakeCluster(services, endpoints).changes;
  AddSystemService({"default", "kubernetes"}, kApiVip, {{.name = "https", .port = 443}}, {"192.0.2.1", "192.0.2.2"},
                   changes);
  AddSystemService({"kube-system", "kube-dns"}, kDnsVip,
                   {{.name = "dns", .protocol = Protocol::kUdp, .port = 53}, {.name = "dns-tcp", .port = 53}},
                   {"10.201.0.2", "10.201.0.3"}, changes);
  return changes;
}

ObjectChange SliceOfCount(int number, int endpoints, int count) {
  const ObjectChange change = MakeSlice(number, endpoints, 0);
  EndpointSlice slice = SliceIn(change);
  while (slice.endpoints.size() > static_cast<size_t>(count)) slice.endpoints.pop_back();
  for (int more = static_cast<int>(slice.endpoints.size()); more < count; ++more) {
    SliceEndpoint endpoint = slice.endpoints.front();
    // 10.128.0.0/9 is nobody's in MakeCluster.
    endpoint.addresses = {absl::StrCat("10.", 128 + more, ".", number / 256 % 256, ".", number % 256)};
    slice.endpoints.push_back(std::move(endpoint));
  }
  return ChangeOf(Kind::kEndpointSlice, change.key.name, std::move(slice));
}

ObjectChange SliceWithUnready(int number, int endpoints, int unready) {
  const ObjectChange change = MakeSlice(number, endpoints, 0);
  EndpointSlice slice = SliceIn(change);
  slice.endpoints.at(static_cast<size_t>(unready)).ready = false;
  slice.endpoints.at(static_cast<size_t>(unready)).serving = false;
  return ChangeOf(Kind::kEndpointSlice, change.key.name, std::move(slice));
}

ObjectChange Deletion(const ObjectChange& change) { return {change.key, nullptr}; }

}  // namespace pointsman::bench
