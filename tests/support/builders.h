// SPDX-License-Identifier: Apache-2.0
//
// Short ways to write API objects: Svc("shop/web").ClusterIp("192.0.2.1").Tcp(80, "http").
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"

#include "pointsman/api.h"
#include "pointsman/plan.h"
#include "pointsman/store.h"

namespace pointsman::support {

inline NamespacedName Name(const std::string& text) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('/', 1));
  return {parts.first, parts.second};
}
inline IpAddr Ip(const std::string& text) { return IpAddr::Parse(text).value(); }
inline Cidr Net(const std::string& text) { return Cidr::Parse(text).value(); }
// "192.0.2.1:80" or "[2001:db8::1]:80"
inline SocketAddr At(const std::string& text) {
  const size_t colon = text.rfind(':');
  std::string addr = text.substr(0, colon);
  if (addr.front() == '[') addr = addr.substr(1, addr.size() - 2);
  return {Ip(addr), static_cast<uint16_t>(std::stoi(text.substr(colon + 1)))};
}

class Svc {
 public:
  explicit Svc(const std::string& name) { service_.meta.name = Name(name); }

  Svc& ClusterIp(const std::string& ip) {
    service_.cluster_ips.push_back(ip);
    const auto parsed = IpAddr::Parse(ip);
    if (parsed) service_.ip_families.push_back(parsed->family());
    return *this;
  }
  Svc& Port(Protocol protocol, uint16_t port, const std::string& name, uint16_t node_port) {
    service_.ports.push_back({name, protocol, port, node_port});
    return *this;
  }
  Svc& Tcp(uint16_t port, const std::string& name = "", uint16_t node_port = 0) {
    return Port(Protocol::kTcp, port, name, node_port);
  }
  Svc& Udp(uint16_t port, const std::string& name = "", uint16_t node_port = 0) {
    return Port(Protocol::kUdp, port, name, node_port);
  }
  Svc& Type(ServiceType type) {
    service_.type = type;
    return *this;
  }
  Svc& ExternalIp(const std::string& ip) {
    service_.external_ips.push_back(ip);
    return *this;
  }
  Svc& Vip(const std::string& ip, IpMode mode = IpMode::kVip) {
    service_.type = ServiceType::kLoadBalancer;
    service_.ingress.push_back({ip, mode});
    return *this;
  }
  Svc& SourceRange(const std::string& cidr) {
    service_.source_ranges.push_back(cidr);
    return *this;
  }
  Svc& InternalLocal() {
    service_.internal_policy = TrafficPolicy::kLocal;
    return *this;
  }
  Svc& ExternalLocal() {
    service_.external_policy = TrafficPolicy::kLocal;
    return *this;
  }
  Svc& Affinity(absl::Duration timeout) {
    service_.client_ip_affinity = timeout;
    return *this;
  }
  Svc& HealthCheckPort(uint16_t port) {
    service_.health_check_node_port = port;
    return *this;
  }
  Svc& Created(absl::Time at) {
    service_.meta.creation = at;
    return *this;
  }
  Svc& Label(const std::string& key, const std::string& value) {
    service_.meta.labels[key] = value;
    return *this;
  }
  const Service& Build() const { return service_; }
  ObjectChange Put() const { return {{Kind::kService, service_.meta.name}, PackedObject(service_)}; }

 private:
  Service service_;
};

class Slice {
 public:
  Slice(const std::string& name, const std::string& service, Family family = Family::kIpv4) {
    slice_.meta.name = Name(name);
    slice_.meta.labels[kServiceNameLabel] = service;
    slice_.address_type = family;
  }
  Slice& Port(uint16_t port, const std::string& name = "", Protocol protocol = Protocol::kTcp) {
    slice_.ports.push_back({name, protocol, port});
    return *this;
  }
  Slice& Add(SliceEndpoint endpoint) {
    slice_.endpoints.push_back(std::move(endpoint));
    return *this;
  }
  Slice& Ready(const std::string& ip, const std::string& node = "") {
    SliceEndpoint e{.addresses = {ip}};
    if (!node.empty()) e.node_name = node;
    return Add(std::move(e));
  }
  Slice& Terminating(const std::string& ip, const std::string& node = "") {
    SliceEndpoint e{.addresses = {ip}, .ready = false, .serving = true, .terminating = true};
    if (!node.empty()) e.node_name = node;
    return Add(std::move(e));
  }
  Slice& NotReady(const std::string& ip) { return Add({.addresses = {ip}, .ready = false, .serving = false}); }
  const EndpointSlice& Build() const { return slice_; }
  ObjectChange Put() const { return {{Kind::kEndpointSlice, slice_.meta.name}, PackedObject(slice_)}; }

 private:
  EndpointSlice slice_;
};

inline ObjectChange Gone(Kind kind, const std::string& name) { return {{kind, Name(name)}, nullptr}; }
inline ObjectBatch Batch(std::vector<ObjectChange> changes) { return {.changes = std::move(changes)}; }

}  // namespace pointsman::support
