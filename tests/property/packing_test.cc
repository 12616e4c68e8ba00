// SPDX-License-Identifier: Apache-2.0
//
// Law 5 for objects in memory: what is unpacked is what was packed, and equal bytes are equal objects.
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include "gtest/gtest.h"

#include "pointsman/packed.h"
#include "tests/support/gen.h"

namespace pointsman {
namespace {

// Much alike, or nothing in common; what is no name too.
std::string ArbText() {
  switch (*rc::gen::inRange(0, 6)) {
    case 0:
      return "";
    case 1:
      return absl::StrCat("ip-10-0-", *rc::gen::inRange(0, 30), "-7.compute.internal");
    case 2:
      return std::string(*rc::gen::element<size_t>(126, 127, 128, 129, 300), 'a');
    case 3:
      return *rc::gen::arbitrary<std::string>();
    default:
      return support::Pick({"web", "web-x", "web-1", "n1", "n11", "a", "aa", "aaa", "b", "zone-a", "zone-b"});
  }
}

// Canonical spellings, others of the same, and what is no address.
std::string ArbAddress() {
  return support::Pick({"192.0.2.1", "192.0.2.255", "0.0.0.0", "192.0.02.1", "192.0.2.1 ", "192.0.2", "None", "",
                        "2001:db8::1", "2001:DB8::1", "2001:db8:0::1", "::", "::ffff:192.0.2.1", "fe80::1%eth0"});
}

absl::Duration ArbSpan() {
  return *rc::gen::element(absl::ZeroDuration(), absl::Seconds(10800), -absl::Seconds(1), absl::Seconds(1795398219),
                           absl::Nanoseconds(1), absl::Nanoseconds(1) / 4, -absl::Nanoseconds(7) / 4,
                           absl::Hours(1000000000) + absl::Nanoseconds(3), absl::InfiniteDuration(),
                           -absl::InfiniteDuration());
}

bool ArbBool() { return *rc::gen::arbitrary<bool>(); }
uint16_t ArbPort() { return *rc::gen::element<uint16_t>(0, 1, 80, 127, 128, 8080, 65535); }
Protocol ArbProtocol() { return *rc::gen::element(Protocol::kTcp, Protocol::kUdp, Protocol::kSctp); }
Family ArbFamily() { return *rc::gen::element(Family::kIpv4, Family::kIpv6); }

template <typename T>
std::vector<T> Many(T (*make)()) {
  std::vector<T> list;
  for (int i = *rc::gen::inRange(0, 4); i > 0; --i) list.push_back(make());
  return list;
}

ObjectMeta ArbMeta() {
  ObjectMeta meta{.name = {ArbText(), ArbText()}, .creation = absl::UnixEpoch() + ArbSpan()};
  for (const char* key : {kServiceNameLabel, kServiceProxyNameLabel, kHeadlessLabel, kZoneLabel, kAppLabel, "app"}) {
    if (ArbBool()) meta.labels[key] = ArbBool() ? meta.name.name.substr(0, *rc::gen::inRange<size_t>(0, 9)) : ArbText();
  }
  return meta;
}

Service ArbAnyService() {
  Service service{.meta = ArbMeta()};
  service.type = *rc::gen::element(ServiceType::kClusterIp, ServiceType::kNodePort, ServiceType::kLoadBalancer,
                                   ServiceType::kExternalName);
  service.cluster_ips = Many(ArbAddress);
  service.ip_families = Many(ArbFamily);
  service.ports = Many(+[] { return ServicePortSpec{ArbText(), ArbProtocol(), ArbPort(), ArbPort()}; });
  service.external_ips = Many(ArbAddress);
  service.ingress = Many(+[] {
    return LoadBalancerIngress{ArbAddress(), *rc::gen::element(IpMode::kVip, IpMode::kProxy)};
  });
  service.source_ranges = Many(ArbText);
  service.internal_policy = *rc::gen::element(TrafficPolicy::kCluster, TrafficPolicy::kLocal);
  service.external_policy = *rc::gen::element(TrafficPolicy::kCluster, TrafficPolicy::kLocal);
  if (ArbBool()) service.client_ip_affinity = ArbSpan();
  service.health_check_node_port = ArbPort();
  return service;
}

SliceEndpoint ArbAnyEndpoint() {
  SliceEndpoint endpoint{.ready = ArbBool(), .serving = ArbBool(), .terminating = ArbBool()};
  endpoint.addresses = {ArbAddress()};
  if (*rc::gen::inRange(0, 4) == 0) {
    const std::vector<std::string> addresses = Many(ArbAddress);
    endpoint.addresses.assign(addresses.begin(), addresses.end());
  }
  if (ArbBool()) endpoint.node_name = ArbText();
  endpoint.zone_hints = Many(ArbText);
  endpoint.node_hints = Many(ArbText);
  return endpoint;
}

EndpointSlice ArbAnySlice() {
  EndpointSlice slice{.meta = ArbMeta()};
  if (ArbBool()) slice.address_type = ArbFamily();
  slice.ports = Many(+[] {
    SlicePort port{.protocol = ArbProtocol()};
    if (ArbBool()) port.name = ArbText();
    if (ArbBool()) port.port = ArbPort();
    return port;
  });
  slice.endpoints = Many(ArbAnyEndpoint);
  return slice;
}

Object ArbObject() {
  switch (*rc::gen::inRange(0, 5)) {
    case 0:
      return ArbAnyService();
    case 1:
      return Node{ArbMeta(), Many(ArbAddress), Many(ArbAddress), Many(ArbText), Many(ArbText), ArbBool()};
    case 2:
      return ServiceCidr{ArbMeta(), Many(ArbText)};
    default:
      return ArbAnySlice();
  }
}

RC_GTEST_PROP(PackingTest, WhatIsUnpackedIsWhatWasPacked, ()) {
  const Object object = ArbObject();

  const PackedObject packed(object);

  RC_ASSERT(packed.Unpack() == object);
  RC_ASSERT(packed == PackedObject(packed.Unpack()));
  RC_ASSERT(packed.kind() == KeyOf(object).kind);
  RC_ASSERT(packed.name().Copy() == MetaOf(object).name);
  for (const auto& [key, value] : MetaOf(object).labels) RC_ASSERT(packed.Label(key) == value);
}

// Few values for each field, so that pairs are equal now and then.
RC_GTEST_PROP(PackingTest, BytesAreEqualExactlyWhenObjectsAre, ()) {
  const auto make = [] {
    EndpointSlice slice{.meta = {.name = {"ns", support::Pick({"web", "web-1"})}}, .address_type = Family::kIpv4};
    if (ArbBool()) slice.meta.labels[kServiceNameLabel] = support::Pick({"", "web", "web-1"});
    for (int i = *rc::gen::inRange(0, 3); i > 0; --i) {
      SliceEndpoint& endpoint = slice.endpoints.emplace_back();
      endpoint.addresses = {support::Pick({"192.0.2.1", "192.0.2.01"})};
      if (ArbBool()) endpoint.node_name = support::Pick({"", "n1"});
      if (ArbBool()) endpoint.zone_hints = std::vector<std::string>{support::Pick({"", "a"})};
    }
    return Object(slice);
  };
  const Object one = make();
  const Object other = make();

  RC_ASSERT((PackedObject(one) == PackedObject(other)) == (one == other));
}

}  // namespace
}  // namespace pointsman
