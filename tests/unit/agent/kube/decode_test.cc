// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/decode.h"

#include <google/protobuf/util/json_util.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/kube/api.pb.h"
#include "tests/unit/agent/kube/pieces.h"

namespace pointsman::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string ToProtobuf(Kind kind, const std::string& json) {
  const auto convert = [&json](auto message) {
    google::protobuf::util::JsonParseOptions options;
    options.ignore_unknown_fields = true;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(json, &message, options).ok()) << json;
    return message.SerializeAsString();
  };
  switch (kind) {
    case Kind::kService:
      return convert(kube::Service());
    case Kind::kEndpointSlice:
      return convert(kube::EndpointSlice());
    case Kind::kNode:
      return convert(kube::Node());
    case Kind::kServiceCidr:
      return convert(kube::ServiceCIDR());
  }
  return "";
}

// Decodes an object given in JSON, and the same in protobuf.
Decoded DecodeBoth(Kind kind, const std::string& json) {
  Decoded from_json = DecodeObject(kind, Encoding::kJson, json);
  const Decoded from_protobuf = DecodeObject(kind, Encoding::kProtobuf, ToProtobuf(kind, json));
  EXPECT_EQ(Describe(from_json), Describe(from_protobuf));
  EXPECT_TRUE(Same(from_json, from_protobuf)) << json;
  return from_json;
}

template <typename T>
T DecodeSound(Kind kind, const std::string& json) {
  const Decoded decoded = DecodeBoth(kind, json);
  EXPECT_THAT(decoded.diagnostics, IsEmpty()) << Describe(decoded);
  if (decoded.object == nullptr) {
    ADD_FAILURE() << json;
    return T();
  }
  return std::get<T>(*decoded.object);
}

pointsman::Service SoundService(absl::string_view rest) {
  return DecodeSound<pointsman::Service>(
      Kind::kService, absl::StrCat(R"({"metadata": {"name": "web", "namespace": "shop"}, )", rest, "}"));
}

pointsman::EndpointSlice SoundSlice(absl::string_view rest) {
  return DecodeSound<pointsman::EndpointSlice>(
      Kind::kEndpointSlice,
      absl::StrCat(R"({"metadata": {"name": "web-1", "namespace": "shop"}, "addressType": "IPv4", )", rest, "}"));
}

pointsman::Node SoundNode(absl::string_view metadata, absl::string_view rest) {
  return DecodeSound<pointsman::Node>(Kind::kNode,
                                      absl::StrCat(R"({"metadata": {"name": "n1")", metadata, "}", rest, "}"));
}

TEST(DecodeTest, AServiceWithEveryFieldIsReadFieldByField) {
  const Decoded decoded = DecodeBoth(Kind::kService, R"({
    "metadata": {"name": "web", "namespace": "shop", "resourceVersion": "17",
                 "creationTimestamp": "2024-01-31T12:00:00Z",
                 "labels": {"app": "web", "k8s-app": "kube-dns", "service.kubernetes.io/headless": "",
                            "service.kubernetes.io/service-proxy-name": "other"}},
    "spec": {"type": "LoadBalancer", "clusterIP": "192.0.2.1", "clusterIPs": ["192.0.2.1", "2001:db8::1"],
             "ipFamilies": ["IPv4", "IPv6"],
             "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": "web", "nodePort": 30080},
                       {"name": "dns", "protocol": "UDP", "port": 53, "targetPort": 5353}],
             "externalIPs": ["198.51.100.1"], "loadBalancerSourceRanges": ["203.0.113.0/24"],
             "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
             "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local", "healthCheckNodePort": 31000},
    "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.2", "ipMode": "Proxy"}, {"hostname": "lb.example"},
                                            {"ip": "198.51.100.3"}]}}})");

  pointsman::Service expected;
  expected.meta = {{"shop", "web"},
                   {{kAppLabel, "kube-dns"}, {kServiceProxyNameLabel, "other"}, {kHeadlessLabel, ""}},
                   absl::FromUnixSeconds(1706702400)};
  expected.type = ServiceType::kLoadBalancer;
  expected.cluster_ips = {"192.0.2.1", "2001:db8::1"};
  expected.ip_families = {Family::kIpv4, Family::kIpv6};
  expected.ports = {{"http", Protocol::kTcp, 80, 30080}, {"dns", Protocol::kUdp, 53, 0}};
  expected.external_ips = {"198.51.100.1"};
  expected.ingress = {{"198.51.100.2", IpMode::kProxy}, {"", IpMode::kVip}, {"198.51.100.3", IpMode::kVip}};
  expected.source_ranges = {"203.0.113.0/24"};
  expected.internal_policy = TrafficPolicy::kLocal;
  expected.external_policy = TrafficPolicy::kLocal;
  expected.client_ip_affinity = absl::Seconds(60);
  expected.health_check_node_port = 31000;
  ASSERT_NE(decoded.object, nullptr);
  EXPECT_TRUE(*decoded.object == Object(expected));
  EXPECT_EQ(decoded.key, (ObjectKey{Kind::kService, {"shop", "web"}}));
  EXPECT_EQ(decoded.resource_version, "17");
  EXPECT_FALSE(decoded.initial_events_end);
}

TEST(DecodeTest, AServiceWithoutMoreThanANameIsSound) {
  pointsman::Service expected;
  expected.meta.name = {"shop", "web"};
  EXPECT_TRUE(SoundService(R"("spec": {}, "status": {"loadBalancer": {}})") == expected);
}

TEST(DecodeTest, NullMeansAbsentEverywhere) {
  pointsman::Service expected;
  expected.meta.name = {"shop", "web"};
  EXPECT_TRUE(SoundService(R"("spec": {"ports": null, "clusterIP": null, "clusterIPs": null, "type": null,
                                       "sessionAffinityConfig": null, "internalTrafficPolicy": null},
                              "status": null)") == expected);
  EXPECT_EQ(SoundNode(R"(, "creationTimestamp": null, "labels": null)", "").meta.creation, absl::InfinitePast());
}

TEST(DecodeTest, EmptyTextsMeanTheDefault) {
  pointsman::Service expected;
  expected.meta.name = {"shop", "web"};
  expected.ports = {{"", Protocol::kTcp, 80, 0}};
  EXPECT_TRUE(SoundService(R"("spec": {"type": "", "clusterIP": "", "sessionAffinity": "", "externalTrafficPolicy": "",
                                       "internalTrafficPolicy": "",
                                       "ports": [{"name": "", "protocol": "", "port": 80, "nodePort": 0}]})") ==
              expected);
}

struct ClusterIpRow {
  const char* name;
  const char* spec;
  std::vector<std::string> ips;
  std::vector<Family> families;
};

class ClusterIpTest : public ::testing::TestWithParam<ClusterIpRow> {};

TEST_P(ClusterIpTest, OlderServersAreUnderstoodToo) {
  const pointsman::Service service = SoundService(absl::StrCat("\"spec\": ", GetParam().spec));
  EXPECT_EQ(service.cluster_ips, GetParam().ips);
  EXPECT_EQ(service.ip_families, GetParam().families);
}

INSTANTIATE_TEST_SUITE_P(
    Specs, ClusterIpTest,
    ::testing::Values(ClusterIpRow{"ListWins",
                                   R"({"clusterIP": "192.0.2.9", "clusterIPs": ["192.0.2.1"], "ipFamilies": ["IPv4"]})",
                                   {"192.0.2.1"},
                                   {Family::kIpv4}},
                      ClusterIpRow{
                          "OnlyTheSingle", R"({"clusterIP": "2001:db8::1"})", {"2001:db8::1"}, {Family::kIpv6}},
                      ClusterIpRow{"Headless",
                                   R"({"clusterIP": "None", "clusterIPs": ["None"], "ipFamilies": ["IPv6"]})",
                                   {"None"},
                                   {Family::kIpv6}},
                      ClusterIpRow{"HeadlessOfUnknownFamily", R"({"clusterIP": "None"})", {"None"}, {}}),
    [](const auto& row) { return row.param.name; });

TEST(DecodeTest, AffinityHasTheServersDefault) {
  EXPECT_EQ(SoundService(R"("spec": {"sessionAffinity": "ClientIP"})").client_ip_affinity, absl::Seconds(10800));
  EXPECT_EQ(SoundService(R"("spec": {"sessionAffinity": "None"})").client_ip_affinity, std::nullopt);
}

struct ConditionsRow {
  const char* name;
  const char* conditions;
  bool ready;
  bool serving;
  bool terminating;
};

class ConditionsTest : public ::testing::TestWithParam<ConditionsRow> {};

TEST_P(ConditionsTest, AbsentIsNotFalse) {
  const pointsman::EndpointSlice slice =
      SoundSlice(absl::StrCat(R"("endpoints": [{"addresses": ["192.0.2.1"])", GetParam().conditions, "}]"));
  ASSERT_THAT(slice.endpoints, SizeIs(1));
  EXPECT_EQ(slice.endpoints[0].ready, GetParam().ready);
  EXPECT_EQ(slice.endpoints[0].serving, GetParam().serving);
  EXPECT_EQ(slice.endpoints[0].terminating, GetParam().terminating);
}

INSTANTIATE_TEST_SUITE_P(
    Conditions, ConditionsTest,
    ::testing::Values(
        ConditionsRow{"NoConditions", "", true, true, false},
        ConditionsRow{"NoneGiven", R"(, "conditions": {})", true, true, false},
        ConditionsRow{"AllNull", R"(, "conditions": {"ready": null, "serving": null, "terminating": null})", true, true,
                      false},
        ConditionsRow{"NotReady", R"(, "conditions": {"ready": false})", false, true, false},
        ConditionsRow{"NotServing", R"(, "conditions": {"ready": false, "serving": false})", false, false, false},
        ConditionsRow{"Terminating", R"(, "conditions": {"ready": false, "serving": true, "terminating": true})", false,
                      true, true}),
    [](const auto& row) { return row.param.name; });

struct TriggerRow {
  const char* name;
  const char* annotations;
  std::optional<absl::Time> trigger;
  const char* told = "";
};

class TriggerTest : public ::testing::TestWithParam<TriggerRow> {};

TEST_P(TriggerTest, IsBesideTheSliceAndCostsItNothing) {
  const auto decode = [](Kind kind, absl::string_view annotations) {
    return DecodeBoth(kind, absl::StrCat(R"({"metadata": {"name": "web-1", "namespace": "shop")", annotations,
                                         R"(}, "addressType": "IPv4"})"));
  };
  const Decoded decoded = decode(Kind::kEndpointSlice, GetParam().annotations);
  ASSERT_NE(decoded.object, nullptr);
  EXPECT_EQ(decoded.trigger, GetParam().trigger);
  std::string told;
  for (const Diagnostic& diagnostic : decoded.diagnostics) absl::StrAppend(&told, FormatDiagnostic(diagnostic));
  EXPECT_EQ(told, GetParam().told);
  EXPECT_TRUE(*decoded.object == *decode(Kind::kEndpointSlice, "").object) << "it is no part of what is compared";

  const Decoded service = decode(Kind::kService, GetParam().annotations);
  EXPECT_EQ(service.trigger, std::nullopt);
  EXPECT_THAT(service.diagnostics, IsEmpty());
}

#define PM_TRIGGER(text) R"(, "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": ")" text R"("})"
#define PM_NO_TIME(text)                                                                                         \
  "note: EndpointSlice shop/web-1: metadata.annotations.endpoints.kubernetes.io/last-change-trigger-time: " text \
  " is no time; this change is not timed"
const absl::Time kNoon = absl::FromUnixSeconds(1706702400);

INSTANTIATE_TEST_SUITE_P(
    Triggers, TriggerTest,
    ::testing::Values(
        TriggerRow{"None", R"(, "annotations": {"a": "b"})", std::nullopt},
        TriggerRow{"Seconds", PM_TRIGGER("2024-01-31T12:00:00Z"), kNoon},
        TriggerRow{"Nanoseconds", PM_TRIGGER("2024-01-31T12:00:00.123456789Z"), kNoon + absl::Nanoseconds(123456789)},
        TriggerRow{"AnotherZone", PM_TRIGGER("2024-01-31T13:30:00.5+01:30"), kNoon + absl::Milliseconds(500)},
        TriggerRow{"ADate", PM_TRIGGER("2024-01-31"), std::nullopt, PM_NO_TIME("\"2024-01-31\"")},
        TriggerRow{"Empty", PM_TRIGGER(""), std::nullopt, PM_NO_TIME("\"\"")},
        TriggerRow{"AWordOfTheParsersOwn", PM_TRIGGER("infinite-past"), std::nullopt, PM_NO_TIME("\"infinite-past\"")}),
    [](const auto& row) { return row.param.name; });
#undef PM_TRIGGER
#undef PM_NO_TIME

TEST(DecodeTest, APortOfASliceTellsAbsentFromEmptyAndZero) {
  EXPECT_THAT(
      SoundSlice(R"("ports": [{}, {"name": "", "port": 0}, {"name": "http", "protocol": "SCTP", "port": 65535}])")
          .ports,
      ElementsAre(SlicePort{.name = std::nullopt, .protocol = Protocol::kTcp, .port = std::nullopt},
                  SlicePort{.name = "", .protocol = Protocol::kTcp, .port = 0},
                  SlicePort{.name = "http", .protocol = Protocol::kSctp, .port = 65535}));
}

TEST(DecodeTest, AnEndpointHasItsNodeAndHints) {
  const pointsman::EndpointSlice slice = SoundSlice(R"("endpoints": [
    {"addresses": ["192.0.2.1", "192.0.2.2"], "nodeName": "n1",
     "hints": {"forZones": [{"name": "a"}, {"name": "b"}], "forNodes": [{"name": "n1"}]}},
    {"addresses": ["192.0.2.3"]}])");
  EXPECT_THAT(slice.endpoints, ElementsAre(SliceEndpoint{.addresses = {"192.0.2.1", "192.0.2.2"},
                                                         .node_name = "n1",
                                                         .zone_hints = {"a", "b"},
                                                         .node_hints = {"n1"}},
                                           SliceEndpoint{.addresses = {"192.0.2.3"}}));
}

TEST(DecodeTest, AFullyQualifiedNameHasNoFamily) {
  const auto slice = DecodeSound<pointsman::EndpointSlice>(
      Kind::kEndpointSlice,
      R"({"metadata": {"name": "s", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
          "addressType": "FQDN"})");
  EXPECT_EQ(slice.address_type, std::nullopt);
  EXPECT_THAT(slice.meta.labels, ElementsAre(testing::Pair(kServiceNameLabel, "web")));
}

TEST(DecodeTest, ANodeHasAddressesRangesTaintsAndAnEnd) {
  const pointsman::Node node = SoundNode(
      R"(, "deletionTimestamp": "2024-01-31T12:00:00Z",
          "labels": {"topology.kubernetes.io/zone": "a", "kubernetes.io/hostname": "n1"})",
      R"(, "spec": {"podCIDR": "203.0.113.0/25", "podCIDRs": ["203.0.113.0/25", "2001:db8::/64"],
                    "taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "b"}]},
          "status": {"addresses": [{"type": "Hostname", "address": "n1"},
                                   {"type": "InternalIP", "address": "192.0.2.1"},
                                   {"type": "ExternalIP", "address": "198.51.100.1"},
                                   {"type": "InternalIP", "address": "2001:db8::1"}]})");
  pointsman::Node expected;
  expected.meta = {{"", "n1"}, {{kZoneLabel, "a"}}, absl::InfinitePast()};
  expected.internal_ips = {"192.0.2.1", "2001:db8::1"};
  expected.external_ips = {"198.51.100.1"};
  expected.pod_cidrs = {"203.0.113.0/25", "2001:db8::/64"};
  expected.taints = {"a", "b"};
  expected.deleting = true;
  EXPECT_TRUE(node == expected);
  EXPECT_THAT(SoundNode("", R"(, "spec": {"podCIDR": "203.0.113.0/25"})").pod_cidrs, ElementsAre("203.0.113.0/25"));
  EXPECT_FALSE(SoundNode("", "").deleting);
  EXPECT_EQ(SoundNode(R"(, "namespace": "x")", "").meta.name.ns, "");
}

TEST(DecodeTest, AServiceCidrHasItsRanges) {
  const auto cidr = DecodeSound<ServiceCidr>(
      Kind::kServiceCidr, R"({"metadata": {"name": "k"}, "spec": {"cidrs": ["192.0.2.0/24", "2001:db8::/112"]}})");
  EXPECT_EQ(cidr.meta.name, (NamespacedName{"", "k"}));
  EXPECT_THAT(cidr.cidrs, ElementsAre("192.0.2.0/24", "2001:db8::/112"));
}

// In protobuf a time that is not set may be an empty message.
TEST(DecodeTest, AnEmptyTimeIsNone) {
  kube::Node message;
  message.mutable_metadata()->set_name("n1");
  message.mutable_metadata()->mutable_creation_timestamp();
  message.mutable_metadata()->mutable_deletion_timestamp();
  const Decoded decoded = DecodeObject(Kind::kNode, Encoding::kProtobuf, message.SerializeAsString());
  ASSERT_NE(decoded.object, nullptr);
  EXPECT_EQ(MetaOf(*decoded.object).creation, absl::InfinitePast());
  EXPECT_FALSE(std::get<pointsman::Node>(*decoded.object).deleting);
}

struct FaultRow {
  const char* name;
  Kind kind;
  const char* json;
  const char* told;
};

constexpr Kind kService = Kind::kService;
constexpr Kind kSlice = Kind::kEndpointSlice;

class DecodeFaultTest : public ::testing::TestWithParam<FaultRow> {};

TEST_P(DecodeFaultTest, WhatIsUnknownCostsLittleAndIsTold) {
  EXPECT_EQ(Describe(DecodeBoth(GetParam().kind, GetParam().json)), GetParam().told);
}

INSTANTIATE_TEST_SUITE_P(
    Faults, DecodeFaultTest,
    ::testing::Values(
        FaultRow{
            "Protocol", kService,
            R"({"metadata": {"name": "a", "namespace": "b"}, "spec": {"ports": [{"port": 1, "protocol": "QUIC"}]}})",
            "Service b/a | error: Service b/a: spec.ports[0].protocol: unknown protocol \"QUIC\"; this port is "
            "skipped (only TCP, UDP, SCTP are known)"},
        FaultRow{"Type", kService, R"({"metadata": {"name": "a", "namespace": "b"}, "spec": {"type": "Magic"}})",
                 "Service b/a | error: Service b/a: spec.type: unknown type \"Magic\"; ClusterIP is used (only "
                 "ClusterIP, NodePort, LoadBalancer, ExternalName are known)"},
        FaultRow{"Policy", kService,
                 R"({"metadata": {"name": "a", "namespace": "b"}, "spec": {"externalTrafficPolicy": "Rack"}})",
                 "Service b/a | error: Service b/a: spec.externalTrafficPolicy: unknown externalTrafficPolicy "
                 "\"Rack\"; Cluster is used (only Cluster, Local are known)"},
        FaultRow{"Affinity", kService,
                 R"({"metadata": {"name": "a", "namespace": "b"}, "spec": {"sessionAffinity": "Cookie"}})",
                 "Service b/a | error: Service b/a: spec.sessionAffinity: unknown sessionAffinity \"Cookie\"; there is "
                 "no session affinity (only None, ClientIP are known)"},
        FaultRow{"AffinityTime", kService,
                 R"({"metadata": {"name": "a", "namespace": "b"}, "spec": {"sessionAffinity": "ClientIP",
                     "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}}})",
                 "Service b/a | error: Service b/a: spec.sessionAffinityConfig.clientIP.timeoutSeconds: 86401 is not "
                 "between 1 and 86400; 10800 seconds are used"},
        FaultRow{"IpMode", kService,
                 R"({"metadata": {"name": "a", "namespace": "b"},
                     "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "Mesh"}]}}})",
                 "Service b/a | error: Service b/a: status.loadBalancer.ingress[0].ipMode: unknown ipMode \"Mesh\"; "
                 "this address is skipped (only VIP, Proxy are known)"},
        FaultRow{"Family", kService,
                 R"({"metadata": {"name": "a", "namespace": "b"}, "spec": {"ipFamilies": ["IPv8"]}})",
                 "Service b/a | error: Service b/a: spec.ipFamilies[0]: unknown ipFamilies[0] \"IPv8\"; it is taken "
                 "for absent (only IPv4, IPv6 are known)"},
        FaultRow{"PortNumber", kService,
                 R"({"metadata": {"name": "a", "namespace": "b"}, "spec": {"ports": [{"port": 65536}]}})",
                 "Service b/a | error: Service b/a: spec.ports[0].port: 65536 is not between 0 and 65535; this port is "
                 "skipped"},
        FaultRow{"NodePortNumber", kService,
                 R"({"metadata": {"name": "a", "namespace": "b"}, "spec": {"ports": [{"port": 1, "nodePort": -1}]}})",
                 "Service b/a | error: Service b/a: spec.ports[0].nodePort: -1 is not between 0 and 65535; this port "
                 "has no node port"},
        FaultRow{"HealthPortNumber", kService,
                 R"({"metadata": {"name": "a", "namespace": "b"}, "spec": {"healthCheckNodePort": 70000}})",
                 "Service b/a | error: Service b/a: spec.healthCheckNodePort: 70000 is not between 0 and 65535; there "
                 "is no health check port"},
        FaultRow{"SlicePort", kSlice,
                 R"({"metadata": {"name": "a", "namespace": "b"}, "addressType": "IPv4",
                     "ports": [{"port": 80}, {"port": -2147483648}, {"port": 1, "protocol": "x\ny"}]})",
                 "EndpointSlice b/a | error: EndpointSlice b/a: ports[1].port: -2147483648 is not between 0 and 65535; "
                 "this port is skipped | error: EndpointSlice b/a: ports[2].protocol: unknown protocol \"x\\ny\"; this "
                 "port is skipped (only TCP, UDP, SCTP are known)"},
        FaultRow{"AddressType", kSlice, R"({"metadata": {"name": "a", "namespace": "b"}, "addressType": "MAC"})",
                 "no object EndpointSlice b/a | error: EndpointSlice b/a: addressType: unknown addressType \"MAC\"; "
                 "this EndpointSlice is skipped (only IPv4, IPv6, FQDN are known)"},
        FaultRow{"NoAddressType", kSlice, R"({"metadata": {"name": "a", "namespace": "b", "resourceVersion": "5"}})",
                 "no object EndpointSlice b/a @5 | error: EndpointSlice b/a: addressType: is missing; this "
                 "EndpointSlice is skipped"},
        FaultRow{"NoName", kService, R"({"metadata": {"namespace": "b", "resourceVersion": "5"}})",
                 "no object Service @5 | error: Service: metadata.name: is missing; this Service is skipped"},
        FaultRow{"NoNamespace", kService, R"({"metadata": {"name": "a"}})",
                 "no object Service | error: Service: metadata.namespace: is missing; this Service is skipped"},
        FaultRow{"NothingAtAll", Kind::kNode, "{}",
                 "no object Node | error: Node: metadata.name: is missing; this Node is skipped"}),
    [](const auto& row) { return row.param.name; });

TEST(DecodeTest, WhatIsSkippedLeavesTheRest) {
  const Decoded decoded = DecodeBoth(kService, R"({"metadata": {"name": "a", "namespace": "b"}, "spec": {"ports": [
    {"port": 1, "protocol": "QUIC"}, {"port": 70000}, {"port": 2, "nodePort": 70000}, {"port": 3}, {"port": 0}]}})");
  ASSERT_NE(decoded.object, nullptr);
  EXPECT_THAT(std::get<pointsman::Service>(*decoded.object).ports,
              ElementsAre(ServicePortSpec{.port = 2}, ServicePortSpec{.port = 3}, ServicePortSpec{.port = 0}));
  EXPECT_THAT(decoded.diagnostics, SizeIs(3));
}

TEST(DecodeTest, AFloodOfFaultsIsCutShortAndCounted) {
  std::string ports = R"({"port": -1})";
  for (int i = 1; i < 100; ++i) absl::StrAppend(&ports, R"(, {"port": -1})");
  const Decoded decoded = DecodeBoth(
      kService, absl::StrCat(R"({"metadata": {"name": "a", "namespace": "b"}, "spec": {"ports": [)", ports, "]}}"));
  ASSERT_THAT(decoded.diagnostics, SizeIs(21));
  EXPECT_EQ(decoded.diagnostics.back().problem, "80 more problems");
}

TEST(DecodeTest, FieldsNobodyKnowsAreIgnored) {
  kube::Service message;
  message.mutable_metadata()->set_name("a");
  message.mutable_metadata()->set_namespace_("b");
  message.mutable_spec()->set_cluster_ip("192.0.2.1");
  const Decoded plain = DecodeObject(kService, Encoding::kProtobuf, message.SerializeAsString());
  for (google::protobuf::Message* at : {static_cast<google::protobuf::Message*>(&message),
                                        static_cast<google::protobuf::Message*>(message.mutable_metadata()),
                                        static_cast<google::protobuf::Message*>(message.mutable_spec())}) {
    google::protobuf::UnknownFieldSet* unknown = at->GetReflection()->MutableUnknownFields(at);
    unknown->AddVarint(1000, UINT64_MAX);
    unknown->AddFixed32(1001, 1);
    unknown->AddFixed64(1002, 1);
    unknown->AddLengthDelimited(1003, "?");
  }
  EXPECT_TRUE(Same(DecodeObject(kService, Encoding::kProtobuf, message.SerializeAsString()), plain));
  EXPECT_TRUE(Same(DecodeObject(kService, Encoding::kJson,
                                R"({"new": [{}], "metadata": {"name": "a", "namespace": "b", "managedFields": [{}]},
                                    "spec": {"clusterIP": "192.0.2.1", "new": {"newer": [1, null, {"x": "}"}]}}})"),
                   plain));
}

struct PoisonRow {
  const char* name;
  Encoding encoding;
  std::string bytes;
  const char* told;  // the beginning
};

class PoisonTest : public ::testing::TestWithParam<PoisonRow> {};

TEST_P(PoisonTest, WhatCannotBeDecodedIsNamedIfThatCanBeRead) {
  EXPECT_THAT(Describe(DecodeObject(kService, GetParam().encoding, GetParam().bytes)),
              testing::StartsWith(GetParam().told));
}

// A Service of metadata that is sound, and a spec that is not.
std::string WithBadSpec() {
  kube::ObjectMeta metadata;
  metadata.set_name("a");
  metadata.set_namespace_("b");
  metadata.set_resource_version("5");
  const std::string bytes = metadata.SerializeAsString();
  return absl::StrCat("\x0a", std::string(1, static_cast<char>(bytes.size())), bytes, "\x12\x02\xff\xff");
}

INSTANTIATE_TEST_SUITE_P(
    Poison, PoisonTest,
    ::testing::Values(
        PoisonRow{"ProtobufWithABadSpec", Encoding::kProtobuf, WithBadSpec(),
                  "no object Service b/a @5 | error: Service b/a: cannot be decoded: no such protobuf message; this "
                  "Service is skipped"},
        PoisonRow{"ProtobufCutShort", Encoding::kProtobuf, std::string("\x0a\x03\x0a\x01x\x12\x7f", 7),
                  "no object Service | error: Service: cannot be decoded"},
        PoisonRow{"ProtobufNonsense", Encoding::kProtobuf, "\xff\xff\xff",
                  "no object Service | error: Service: cannot"},
        PoisonRow{"NameLongerThanItsMessage", Encoding::kProtobuf,
                  std::string("\x0a\x03\x0a\x05"
                              "abcdefgh\x12\x00",
                              14),
                  "no object Service | error: Service: cannot be decoded"},
        PoisonRow{"JsonOfTheWrongType", Encoding::kJson,
                  R"({"spec": {"ports": "none"}, "metadata": {"name": "a", "namespace": "b", "resourceVersion": "5"}})",
                  "no object Service b/a @5 | error: Service b/a: cannot be decoded: "},
        PoisonRow{"JsonCutShort", Encoding::kJson, R"({"metadata": {"name": "a", "namespace": "b"}, "spec": {)",
                  "no object Service b/a | error: Service b/a: cannot be decoded: "},
        PoisonRow{"JsonCutShortWithinTheName", Encoding::kJson, R"({"metadata": {"namespace": "b", "name": "ab)",
                  "no object Service | error: Service: cannot be decoded: "},
        PoisonRow{"JsonWithABadTime", Encoding::kJson,
                  R"({"metadata": {"name": "a", "namespace": "b", "creationTimestamp": "yesterday"}})",
                  "no object Service b/a | error: Service b/a: cannot be decoded: "},
        PoisonRow{"JsonOfAnotherShape", Encoding::kJson, R"(["metadata"])",
                  "no object Service | error: Service: cannot be decoded: "},
        PoisonRow{"JsonNestedForEver", Encoding::kJson, std::string(100000, '['),
                  "no object Service | error: Service: cannot be decoded: "},
        PoisonRow{"JsonOfNothing", Encoding::kJson, "", "no object Service | error: Service: "}),
    [](const auto& row) { return row.param.name; });

TEST(DecodeTest, WhatIsWrongIsToldInOneLine) {
  const Decoded decoded = DecodeObject(kService, Encoding::kJson, "{\n\"metadata\": \x01 {\n]");
  ASSERT_THAT(decoded.diagnostics, SizeIs(1));
  const std::string line = FormatDiagnostic(decoded.diagnostics[0]);
  for (const char c : line) EXPECT_GE(static_cast<unsigned char>(c), ' ') << line;
}

std::string Enveloped(const char* kind, const std::string& raw) {
  kube::Unknown unknown;
  unknown.mutable_type_meta()->set_api_version("v1");
  unknown.mutable_type_meta()->set_kind(kind);
  unknown.set_raw(raw);
  return std::string("k8s\0", 4) + unknown.SerializeAsString();
}

TEST(DecodeTest, AnEnvelopeIsOpened) {
  const std::string raw = ToProtobuf(Kind::kNode, R"({"metadata": {"name": "n1"}})");
  const absl::StatusOr<Decoded> decoded = DecodeEnveloped(Kind::kNode, Enveloped("Node", raw));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_TRUE(Same(*decoded, DecodeObject(Kind::kNode, Encoding::kProtobuf, raw)));

  const absl::Status other = DecodeEnveloped(Kind::kNode, Enveloped("Pod", raw)).status();
  EXPECT_EQ(other.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(other.message()), HasSubstr("\"Pod\""));
  EXPECT_EQ(DecodeEnveloped(Kind::kNode, raw).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(DecodeEnveloped(Kind::kNode, std::string("k8s\0\x12\x7f", 6)).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(DecodeEnveloped(Kind::kNode, "").status().code(), absl::StatusCode::kDataLoss);
}

TEST(DecodeTest, AStatusIsReadInBothEncodings) {
  const std::string json = R"({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
    "message": "Too large resource version", "reason": "Timeout", "code": 504,
    "details": {"causes": [{"reason": "Other"}, {"reason": "ResourceVersionTooLarge", "message": "x"}],
                "retryAfterSeconds": 1}})";
  kube::Status message;
  message.set_message("Too large resource version");
  message.set_reason("Timeout");
  message.set_code(504);
  message.mutable_details()->add_causes()->set_reason("ResourceVersionTooLarge");
  message.mutable_details()->set_retry_after_seconds(1);
  const ApiStatus expected = {.code = 504,
                              .reason = "Timeout",
                              .message = "Too large resource version",
                              .retry_after = absl::Seconds(1),
                              .too_large_version = true};

  const auto from_json = DecodeStatus(Encoding::kJson, json);
  ASSERT_TRUE(from_json.ok()) << from_json.status();
  EXPECT_EQ(*from_json, expected);
  const auto from_protobuf = DecodeStatus(Encoding::kProtobuf, Enveloped("Status", message.SerializeAsString()));
  ASSERT_TRUE(from_protobuf.ok()) << from_protobuf.status();
  EXPECT_EQ(*from_protobuf, expected);

  EXPECT_FALSE(DecodeStatus(Encoding::kJson, R"({"kind": "Service"})").ok());
  EXPECT_FALSE(DecodeStatus(Encoding::kJson, "upstream connect error").ok());
  EXPECT_FALSE(DecodeStatus(Encoding::kProtobuf, Enveloped("Service", "")).ok());
  EXPECT_FALSE(DecodeStatus(Encoding::kProtobuf, json).ok());
}

struct FailureRow {
  const char* name;
  const char* content_type;
  std::string body;
  std::string message;
};

class FailureTest : public ::testing::TestWithParam<FailureRow> {};

TEST_P(FailureTest, EveryAnswerHasAMessageInOneLine) {
  EXPECT_EQ(DecodeFailure(502, GetParam().content_type, GetParam().body),
            (ApiStatus{.code = 502, .message = GetParam().message}));
}

INSTANTIATE_TEST_SUITE_P(
    Failures, FailureTest,
    ::testing::Values(
        FailureRow{"Text", "text/plain; charset=utf-8", "Too many requests, please try again later.\n",
                   "Too many requests, please try again later."},
        FailureRow{"Html", "text/html",
                   "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>...</body></html>",
                   "502 Bad Gateway"},
        FailureRow{"HtmlWithoutTitle", "text/html", "\n\n<h1>Oops</h1>\n", "<h1>Oops</h1>"},
        FailureRow{"Status", "application/json", R"({"kind": "Status", "message": "m", "code": 400})", "m"},
        FailureRow{"OtherJson", "application/json", R"({"error": "no route"})", R"({"error": "no route"})"},
        FailureRow{"WrongType", "application/vnd.kubernetes.protobuf", "plain", "plain"},
        FailureRow{"Nothing", "", "", ""}, FailureRow{"Control", "text/plain", "a\x1b[31mb\x01\nc", "a\\x1b[31mb\\x01"},
        FailureRow{"Long", "text/plain", std::string(10000, 'x'), std::string(200, 'x') + "..."},
        FailureRow{"LongUtf8", "text/plain", std::string(199, 'x') + "\u00fcx", std::string(199, 'x') + "..."}),
    [](const auto& row) { return row.param.name; });

TEST(DecodeTest, TheContentTypeNamesTheEncodingWhateverItsParameters) {
  const std::pair<const char*, std::optional<Encoding>> rows[] = {
      {"application/vnd.kubernetes.protobuf", Encoding::kProtobuf},
      {"application/vnd.kubernetes.protobuf;stream=watch", Encoding::kProtobuf},
      {"application/json", Encoding::kJson},
      {"Application/JSON ; charset=utf-8", Encoding::kJson},
      {"application/json;stream=watch", Encoding::kJson},
      {"application/json-patch+json", std::nullopt},
      {"text/plain", std::nullopt},
      {"", std::nullopt},
  };
  for (const auto& [type, encoding] : rows) EXPECT_EQ(EncodingOf(type), encoding) << type;
}

}  // namespace
}  // namespace pointsman::kube
