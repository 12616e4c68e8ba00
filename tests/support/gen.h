// SPDX-License-Identifier: Apache-2.0
//
// RapidCheck generators. Address pools are small on purpose: collisions and shared endpoints are where the trouble is.
#pragma once

#include <rapidcheck.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "pointsman/packet.h"
#include "pointsman/plan.h"
#include "tests/support/builders.h"

namespace pointsman::support {

inline const char* Pick(std::vector<const char*> from) { return *rc::gen::elementOf(from); }

// Now and then this node's own: an endpoint in the host's network.
inline std::string ArbEndpointIp(Family family) {
  const int n = *rc::gen::inRange(0, 12);
  if (n == 0) return family == Family::kIpv4 ? "192.0.2.200" : "2001:db8:9::1";
  return family == Family::kIpv4 ? absl::StrCat("203.0.113.", n) : absl::StrCat("2001:db8:1::", n);
}

inline SliceEndpoint ArbSliceEndpoint(Family family) {
  SliceEndpoint e;
  e.addresses = {ArbEndpointIp(family)};
  const int state = *rc::gen::inRange(0, 8);
  e.ready = state > 2;
  e.serving = state != 0;
  e.terminating = state == 1 || state == 0;
  if (*rc::gen::inRange(0, 3) > 0) e.node_name = Pick({"n1", "n2"});
  if (*rc::gen::inRange(0, 2) == 0) e.zone_hints = std::vector<std::string>{Pick({"a", "b"})};
  if (*rc::gen::inRange(0, 4) == 0) e.node_hints = std::vector<std::string>{Pick({"n1", "n2"})};
  return e;
}

inline EndpointSlice ArbSlice(const std::string& service, int number) {
  const Family family = *rc::gen::element(Family::kIpv4, Family::kIpv6);
  Slice slice(absl::StrCat("ns/", service, "-", number), service, family);
  slice.Port(8080, "http");
  if (*rc::gen::inRange(0, 2) == 0) slice.Port(5353, "dns", Protocol::kUdp);
  const int count = *rc::gen::inRange(0, 10);
  for (int i = 0; i < count; ++i) slice.Add(ArbSliceEndpoint(family));
  return slice.Build();
}

inline Service ArbService(const std::string& name, int number) {
  Svc svc(absl::StrCat("ns/", name));
  const int families = *rc::gen::inRange(0, 3);
  // Some share a ClusterIP, as only a mistake can make them.
  const int host = *rc::gen::inRange(0, 8) == 0 ? 1 : number + 10;
  if (families != 1) svc.ClusterIp(absl::StrCat("192.0.2.", host));
  if (families != 0) svc.ClusterIp(absl::StrCat("2001:db8::", host));
  svc.Tcp(80, "http", static_cast<uint16_t>(*rc::gen::element(0, 30000, 30000 + number)));
  if (*rc::gen::inRange(0, 2) == 0) svc.Udp(53, "dns");
  if (*rc::gen::inRange(0, 2) == 0) svc.Type(ServiceType::kNodePort);
  if (*rc::gen::inRange(0, 3) == 0) svc.ExternalIp(Pick({"198.51.100.1", "198.51.100.2", "2001:db8:2::1"}));
  if (*rc::gen::inRange(0, 3) == 0) svc.Vip(Pick({"198.51.100.1", "198.51.100.3", "2001:db8:2::3"}));
  if (*rc::gen::inRange(0, 3) == 0) svc.SourceRange(Pick({"10.0.0.0/8", "192.0.2.128/25", "2001:db8:9::/48"}));
  if (*rc::gen::inRange(0, 3) == 0) svc.SourceRange("192.0.2.192/26");
  if (*rc::gen::inRange(0, 3) == 0) svc.InternalLocal();
  if (*rc::gen::inRange(0, 2) == 0) svc.ExternalLocal();
  if (*rc::gen::inRange(0, 3) == 0) svc.Affinity(absl::Seconds(*rc::gen::element(1, 10, 10800)));
  svc.Created(absl::UnixEpoch() + absl::Seconds(*rc::gen::inRange(0, 3)));
  return svc.Build();
}

inline NodeInfo ArbNode() {
  NodeInfo node{.name = "n1", .zone = Pick({"a", "", "c"})};
  node.local_addresses = {Ip("192.0.2.200"), Ip("2001:db8:9::1")};
  node.node_port_addresses = node.local_addresses;
  return node;
}

inline Policy ArbPolicy() {
  Policy policy;
  switch (*rc::gen::inRange(0, 6)) {
    case 0:
      policy.pods.interface = "veth1";
      break;
    case 1:
      policy.pods = {.interface = "veth", .interface_prefix = true};
      break;
    default:
      if (*rc::gen::inRange(0, 3) > 0) policy.pods.cidrs = {Net("203.0.113.0/24")};
      if (*rc::gen::inRange(0, 3) > 0) policy.pods.cidrs.push_back(Net("2001:db8:1::/64"));
      break;
  }
  policy.masquerade_all = *rc::gen::inRange(0, 4) == 0;
  policy.close_unranged = *rc::gen::inRange(0, 2) == 0;
  policy.clean_tcp = *rc::gen::inRange(0, 4) == 0;
  policy.external_ips = *rc::gen::inRange(0, 4) > 0;
  switch (*rc::gen::inRange(0, 8)) {
    case 0:
      policy.families = {Family::kIpv4};
      break;
    case 1:
      policy.families = {Family::kIpv6};
      break;
    default:
      break;
  }
  return policy;
}

// One event in the life of a small cluster of `services` Services with up to two slices each.
inline ObjectChange ArbChange(int services) {
  const int number = *rc::gen::inRange(0, services);
  const std::string name = absl::StrCat("s", number);
  switch (*rc::gen::inRange(0, 8)) {
    case 0:
      return Gone(Kind::kService, absl::StrCat("ns/", name));
    case 1:
      return Gone(Kind::kEndpointSlice, absl::StrCat("ns/", name, "-", *rc::gen::inRange(0, 2)));
    case 2:
    case 3: {
      const Service service = ArbService(name, number);
      return {{Kind::kService, service.meta.name}, PackedObject(service)};
    }
    default: {
      EndpointSlice slice = ArbSlice(name, *rc::gen::inRange(0, 2));
      // Now and then a slice moves to another Service.
      if (*rc::gen::inRange(0, 10) == 0) slice.meta.labels[kServiceNameLabel] = "s0";
      return {{Kind::kEndpointSlice, slice.meta.name}, PackedObject(slice)};
    }
  }
}

// A packet, most often to a frontend of one of the plans.
inline Packet ArbPacket(const std::vector<std::shared_ptr<const ServicePlan>>& plans) {
  std::vector<Match> matches = {{Ip("192.0.2.77"), Protocol::kTcp, 80},
                                {Ip("2001:db8::77"), Protocol::kUdp, 53},
                                {Ip("192.0.2.200"), Protocol::kTcp, 22}};
  for (const auto& plan : plans) {
    for (const PortPlan& port : plan->ports) {
      for (const Frontend& frontend : port.frontends) matches.push_back(frontend.match);
    }
  }
  Match match = *rc::gen::elementOf(matches);
  if (*rc::gen::inRange(0, 10) == 0) match.port = 81;
  const bool v4 = match.dest.family() == Family::kIpv4;
  Packet packet{.dest = match.dest, .protocol = match.protocol, .port = match.port};
  switch (*rc::gen::inRange(0, 4)) {
    case 0:
      packet.source = Ip(ArbEndpointIp(match.dest.family()));
      packet.from_node = packet.source == Ip(v4 ? "192.0.2.200" : "2001:db8:9::1");
      break;
    case 1:
      packet.source = Ip(v4 ? "192.0.2.200" : "2001:db8:9::1");
      packet.from_node = true;
      break;
    case 2:
      packet.source = Ip(v4 ? "192.0.2.140" : "2001:db8:9::7");
      break;
    default:
      packet.source = Ip(v4 ? "10.1.2.3" : "2001:db8:f::7");
      break;
  }
  if (!packet.from_node) packet.in_interface = Pick({"", "eth0", "veth1", "veth12"});
  return packet;
}

}  // namespace pointsman::support
