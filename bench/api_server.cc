// SPDX-License-Identifier: Apache-2.0
#include "bench/api_server.h"

#include <variant>

#include "bench/cluster.h"
#include "pointsman/store.h"

namespace pointsman::bench {
namespace {

kube::ObjectMeta MetaOf(const ObjectMeta& meta) {
  kube::ObjectMeta message;
  message.set_namespace_(meta.name.ns);
  message.set_name(meta.name.name);
  for (const auto& [key, value] : meta.labels) (*message.mutable_labels())[key] = value;
  return message;
}

void Fill(support::FakeApi& api, int services, int endpoints) {
  const ObjectBatch cluster = MakeCluster(services, endpoints);
  api.Edit([&] {
    for (const ObjectChange& change : cluster.changes) {
      if (change.key.kind == Kind::kService) {
        api.Put(MessageOf(std::get<Service>(change.object.Unpack())));
      } else {
        api.Put(MessageOf(std::get<EndpointSlice>(change.object.Unpack())));
      }
    }
    kube::Node node;
    node.mutable_metadata()->set_name("node-0");
    kube::NodeAddress* address = node.mutable_status()->add_addresses();
    address->set_type("InternalIP");
    address->set_address("192.0.2.10");
    api.Put(node);
    kube::ServiceCIDR cidr;
    cidr.mutable_metadata()->set_name("kubernetes");
    cidr.mutable_spec()->add_cidrs("172.16.0.0/12");
    api.Put(cidr);
  });
}

}  // namespace

kube::Service MessageOf(const Service& service) {
  kube::Service message;
  *message.mutable_metadata() = MetaOf(service.meta);
  message.mutable_spec()->set_type("ClusterIP");
  message.mutable_spec()->set_session_affinity("None");
  message.mutable_spec()->set_internal_traffic_policy("Cluster");
  message.mutable_spec()->set_cluster_ip(service.cluster_ips.front());
  message.mutable_spec()->add_cluster_ips(service.cluster_ips.front());
  message.mutable_spec()->add_ip_families("IPv4");
  for (const ServicePortSpec& from : service.ports) {
    kube::ServicePort* port = message.mutable_spec()->add_ports();
    port->set_name(from.name);
    port->set_protocol("TCP");
    port->set_port(from.port);
  }
  return message;
}

kube::EndpointSlice MessageOf(const EndpointSlice& slice) {
  kube::EndpointSlice message;
  *message.mutable_metadata() = MetaOf(slice.meta);
  message.set_address_type("IPv4");
  for (const SlicePort& from : slice.ports) {
    kube::EndpointPort* port = message.add_ports();
    port->set_name(*from.name);
    port->set_protocol("TCP");
    port->set_port(*from.port);
  }
  for (const SliceEndpoint& from : slice.endpoints) {
    kube::Endpoint* endpoint = message.add_endpoints();
    for (const std::string& address : from.addresses) endpoint->add_addresses(address);
    endpoint->mutable_conditions()->set_ready(true);
    endpoint->mutable_conditions()->set_serving(true);
    endpoint->mutable_conditions()->set_terminating(false);
    endpoint->set_node_name(*from.node_name);
  }
  return message;
}

ApiServer::ApiServer(int services, int endpoints, bool watch_list) {
  ns_.Ip("link set lo up");
  api_ = ns_.Call(
      [&] { return std::make_unique<support::FakeApi>(ca_, support::FakeApi::Options{.watch_list = watch_list}); });
  Fill(*api_, services, endpoints);
}

}  // namespace pointsman::bench
