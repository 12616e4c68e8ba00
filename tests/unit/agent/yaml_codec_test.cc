// SPDX-License-Identifier: Apache-2.0
#include "agent/source/yaml_codec.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pointsman {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

std::string Told(const ParsedManifests& parsed) {
  std::string lines;
  for (const Diagnostic& diagnostic : parsed.diagnostics) absl::StrAppend(&lines, FormatDiagnostic(diagnostic), "\n");
  return lines;
}

// The only object of `text`, which must have no faults.
template <typename T>
T ParseOne(absl::string_view text) {
  const ParsedManifests parsed = ParseManifests("m.yaml", text);
  EXPECT_EQ(Told(parsed), "");
  EXPECT_THAT(parsed.objects, SizeIs(1));
  if (parsed.objects.size() != 1 || !std::holds_alternative<T>(*parsed.objects[0].object)) {
    ADD_FAILURE() << "not one object of this kind";
    return {};
  }
  return std::get<T>(*parsed.objects[0].object);
}

TEST(YamlCodecTest, AServiceWithEveryFieldIsReadFieldByField) {
  const auto service = ParseOne<Service>(R"(
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  creationTimestamp: 2024-01-31T12:00:00Z
  labels: {app: web, empty: "", "a.b/c": "1"}
spec:
  type: LoadBalancer
  clusterIP: 192.0.2.1
  clusterIPs: [192.0.2.1, "2001:db8::1"]
  ipFamilies: [IPv4, IPv6]
  ports:
  - {name: http, port: 80, targetPort: web, protocol: TCP, nodePort: 30080}
  - {name: dns, port: 53, protocol: UDP}
  - {name: sig, port: 99, protocol: SCTP}
  externalIPs: [198.51.100.1]
  loadBalancerSourceRanges: [203.0.113.0/24]
  internalTrafficPolicy: Local
  externalTrafficPolicy: Local
  sessionAffinity: ClientIP
  sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}
  healthCheckNodePort: 31000
status:
  loadBalancer:
    ingress:
    - ip: 198.51.100.7
    - {ip: 198.51.100.8, ipMode: Proxy}
    - hostname: lb.example
)");

  Service expected;
  expected.meta = {{"shop", "web"}, {{"app", "web"}, {"empty", ""}, {"a.b/c", "1"}}, absl::FromUnixSeconds(1706702400)};
  expected.type = ServiceType::kLoadBalancer;
  expected.cluster_ips = {"192.0.2.1", "2001:db8::1"};
  expected.ip_families = {Family::kIpv4, Family::kIpv6};
  expected.ports = {
      {"http", Protocol::kTcp, 80, 30080}, {"dns", Protocol::kUdp, 53, 0}, {"sig", Protocol::kSctp, 99, 0}};
  expected.external_ips = {"198.51.100.1"};
  expected.source_ranges = {"203.0.113.0/24"};
  expected.ingress = {{"198.51.100.7", IpMode::kVip}, {"198.51.100.8", IpMode::kProxy}, {"", IpMode::kVip}};
  expected.internal_policy = TrafficPolicy::kLocal;
  expected.external_policy = TrafficPolicy::kLocal;
  expected.client_ip_affinity = absl::Seconds(60);
  expected.health_check_node_port = 31000;
  EXPECT_EQ(service, expected);
}

TEST(YamlCodecTest, AServiceWithFewFieldsGetsTheServersDefaults) {
  const auto service = ParseOne<Service>(
      "kind: Service\nmetadata: {name: web}\nspec: {clusterIP: 192.0.2.1, sessionAffinity: ClientIP, ports: [{port: "
      "80}]}\n");

  Service expected;
  expected.meta.name = {"default", "web"};
  expected.cluster_ips = {"192.0.2.1"};
  expected.ip_families = {Family::kIpv4};
  expected.ports = {{"", Protocol::kTcp, 80, 0}};
  expected.client_ip_affinity = absl::Seconds(10800);
  EXPECT_EQ(service, expected);
}

TEST(YamlCodecTest, NullMeansAbsentEverywhere) {
  const auto service = ParseOne<Service>(R"(
kind: Service
metadata: {name: web, namespace: null, labels: ~, creationTimestamp: null}
spec: {type: null, clusterIP: 192.0.2.1, clusterIPs: null, ipFamilies: null, sessionAffinity: ~,
       ports: [{port: 80, protocol: null, name: null, nodePort: null}], externalIPs: null}
status: {loadBalancer: {}}
)");

  EXPECT_EQ(FormatName(service.meta.name), "default/web");
  EXPECT_THAT(service.ports, ElementsAre(ServicePortSpec{"", Protocol::kTcp, 80, 0}));
  EXPECT_EQ(service.client_ip_affinity, std::nullopt);
}

struct ClusterIpRow {
  const char* name;
  const char* spec;
  std::vector<std::string> ips;
  std::vector<Family> families;
};

class ClusterIpTest : public ::testing::TestWithParam<ClusterIpRow> {};

TEST_P(ClusterIpTest, ClusterIpsAndFamiliesAreCompletedFromEachOther) {
  const auto service = ParseOne<Service>(
      absl::StrCat("kind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}], ", GetParam().spec, "}\n"));

  EXPECT_EQ(service.cluster_ips, GetParam().ips);
  EXPECT_EQ(service.ip_families, GetParam().families);
}

INSTANTIATE_TEST_SUITE_P(
    Specs, ClusterIpTest,
    ::testing::Values(ClusterIpRow{"Absent", "type: ClusterIP", {}, {}}, ClusterIpRow{"Empty", "clusterIP: ''", {}, {}},
                      ClusterIpRow{"Single", "clusterIP: 192.0.2.1", {"192.0.2.1"}, {Family::kIpv4}},
                      ClusterIpRow{"Ipv6", "clusterIP: '2001:db8::1'", {"2001:db8::1"}, {Family::kIpv6}},
                      ClusterIpRow{"ListOnly",
                                   "clusterIPs: ['2001:db8::1', 192.0.2.1]",
                                   {"2001:db8::1", "192.0.2.1"},
                                   {Family::kIpv6, Family::kIpv4}},
                      ClusterIpRow{
                          "FamiliesGiven", "clusterIP: 192.0.2.1, ipFamilies: [IPv6]", {"192.0.2.1"}, {Family::kIpv6}},
                      ClusterIpRow{"Headless", "clusterIP: None", {"None"}, {}},
                      ClusterIpRow{"HeadlessList", "clusterIPs: [None]", {"None"}, {}},
                      ClusterIpRow{"Unparsable", "clusterIP: 192.0.2", {"192.0.2"}, {}}),
    [](const auto& row) { return row.param.name; });

TEST(YamlCodecTest, WhatOnlyAnApiServerActsUponIsKeptBesideTheService) {
  const std::string head = "kind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}], ";
  const auto wishes = [&](absl::string_view spec) {
    return ParseManifests("m.yaml", absl::StrCat(head, spec, "}\n")).objects.at(0).wishes;
  };

  EXPECT_EQ(wishes("type: NodePort"), (CreationWishes{IpFamilyPolicy::kSingleStack, true}));
  EXPECT_EQ(wishes("ipFamilyPolicy: PreferDualStack"), (CreationWishes{IpFamilyPolicy::kPreferDualStack, true}));
  EXPECT_EQ(wishes("ipFamilies: [IPv4, IPv6]"), (CreationWishes{IpFamilyPolicy::kRequireDualStack, true}));
  EXPECT_EQ(wishes("type: LoadBalancer, allocateLoadBalancerNodePorts: false"),
            (CreationWishes{IpFamilyPolicy::kSingleStack, false}));
}

TEST(YamlCodecTest, ASliceKeepsNilConditionsAsTheApiMeansThem) {
  const auto slice = ParseOne<EndpointSlice>(R"(
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports:
- {name: http, port: 8080, protocol: TCP}
- {port: 53, protocol: UDP}
- {name: all}
endpoints:
- addresses: [192.0.2.11]
- addresses: [192.0.2.12, 192.0.2.13]
  conditions: {ready: false, serving: true, terminating: true}
  nodeName: n1
  hints: {forZones: [{name: a}, {name: b}], forNodes: [{name: n1}]}
- addresses: [192.0.2.14]
  conditions: {ready: null}
)");

  EndpointSlice expected;
  expected.meta = {{"shop", "web-1"}, {{kServiceNameLabel, "web"}}, absl::InfinitePast()};
  expected.address_type = Family::kIpv4;
  expected.ports = {{"http", Protocol::kTcp, 8080}, {"", Protocol::kUdp, 53}, {"all", Protocol::kTcp, std::nullopt}};
  expected.endpoints = {{.addresses = {"192.0.2.11"}},
                        {.addresses = {"192.0.2.12", "192.0.2.13"},
                         .ready = false,
                         .serving = true,
                         .terminating = true,
                         .node_name = "n1",
                         .zone_hints = {"a", "b"},
                         .node_hints = {"n1"}},
                        {.addresses = {"192.0.2.14"}}};
  EXPECT_EQ(slice, expected);
}

TEST(YamlCodecTest, TheTimeOfAChangeIsBesideTheSlice) {
  const auto trigger = [](absl::string_view kind, absl::string_view text) {
    const ParsedManifests parsed = ParseManifests(
        "m.yaml", absl::StrCat("kind: ", kind, "\nmetadata: {name: a, labels: {kubernetes.io/service-name: a}, ",
                               "annotations: {endpoints.kubernetes.io/last-change-trigger-time: ", text,
                               "}}\naddressType: IPv4\nspec: {ports: [{port: 80}]}\n"));
    EXPECT_EQ(Told(parsed), "");
    return parsed.objects.at(0).trigger;
  };
  const absl::Time noon = absl::FromUnixSeconds(1706702400);
  EXPECT_EQ(trigger("EndpointSlice", "2024-01-31T12:00:00Z"), noon);
  EXPECT_EQ(trigger("EndpointSlice", "\"2024-01-31T13:00:00.123456789+01:00\""), noon + absl::Nanoseconds(123456789));
  EXPECT_EQ(trigger("EndpointSlice", "null"), std::nullopt);
  EXPECT_EQ(trigger("Service", "2024-01-31T12:00:00Z"), std::nullopt);
}

TEST(YamlCodecTest, AnFqdnSliceHasNoAddressFamily) {
  const auto slice = ParseOne<EndpointSlice>(
      "kind: EndpointSlice\nmetadata: {name: s, labels: {kubernetes.io/service-name: web}}\naddressType: FQDN\n");

  EXPECT_EQ(slice.address_type, std::nullopt);
}

TEST(YamlCodecTest, ANodeGivesItsAddressesPodRangesAndTaints) {
  const auto node = ParseOne<Node>(R"(
kind: Node
metadata:
  name: n1
  namespace: ignored
  labels: {topology.kubernetes.io/zone: a}
  deletionTimestamp: 2024-01-31T12:00:00Z
spec:
  podCIDR: 203.0.113.0/24
  taints:
  - {key: node.kubernetes.io/not-ready, effect: NoSchedule}
  - {key: ToBeDeletedByClusterAutoscaler, value: "1700000000"}
status:
  addresses:
  - {type: Hostname, address: n1}
  - {type: InternalIP, address: 192.0.2.1}
  - {type: ExternalIP, address: 198.51.100.1}
  - {type: InternalIP, address: "2001:db8::1"}
)");

  Node expected;
  expected.meta = {{"", "n1"}, {{kZoneLabel, "a"}}, absl::InfinitePast()};
  expected.internal_ips = {"192.0.2.1", "2001:db8::1"};
  expected.external_ips = {"198.51.100.1"};
  expected.pod_cidrs = {"203.0.113.0/24"};
  expected.taints = {"node.kubernetes.io/not-ready", "ToBeDeletedByClusterAutoscaler"};
  expected.deleting = true;
  EXPECT_EQ(node, expected);
}

TEST(YamlCodecTest, ANodeWithoutTimeOfDeletionStays) {
  EXPECT_FALSE(ParseOne<Node>("kind: Node\nmetadata: {name: n1}\n").deleting);
  EXPECT_FALSE(ParseOne<Node>("kind: Node\nmetadata: {name: n1, deletionTimestamp: null}\n").deleting);
}

TEST(YamlCodecTest, PodCidrsWinOverPodCidr) {
  const auto node = ParseOne<Node>(
      "kind: Node\nmetadata: {name: n1}\nspec: {podCIDR: 203.0.113.0/24, podCIDRs: [203.0.113.0/24, "
      "'2001:db8::/64']}\n");

  EXPECT_THAT(node.pod_cidrs, ElementsAre("203.0.113.0/24", "2001:db8::/64"));
}

TEST(YamlCodecTest, BothVersionsOfServiceCidrAreRead) {
  for (const char* version : {"v1", "v1beta1"}) {
    const auto cidr = ParseOne<ServiceCidr>(
        absl::StrCat("apiVersion: networking.k8s.io/", version,
                     "\nkind: ServiceCIDR\nmetadata: {name: k}\nspec: {cidrs: [192.0.2.0/24]}\n"));
    EXPECT_THAT(cidr.cidrs, ElementsAre("192.0.2.0/24"));
  }
}

TEST(YamlCodecTest, DocumentsAndListsGiveEveryObjectWithItsPosition) {
  const ParsedManifests parsed = ParseManifests("m.yaml", R"(# a comment first
---
kind: Node
metadata: {name: n1}
---
---
apiVersion: v1
kind: List
items:
- kind: Node
  metadata: {name: n2}
- apiVersion: v1
  kind: NodeList
  items:
  - metadata: {name: n3}
---
apiVersion: networking.k8s.io/v1
kind: ServiceCIDRList
items: [{metadata: {name: c}, spec: {cidrs: [192.0.2.0/24]}}]
...
)");

  std::vector<std::string> found;
  for (const LocatedObject& located : parsed.objects) {
    found.push_back(absl::StrCat(located.where, " ", FormatKey(KeyOf(*located.object))));
  }
  EXPECT_EQ(Told(parsed), "");
  EXPECT_THAT(found, ElementsAre("m.yaml:3:1 Node n1", "m.yaml:10:3 Node n2", "m.yaml:15:5 Node n3",
                                 "m.yaml:19:9 ServiceCIDR c"));
}

TEST(YamlCodecTest, OtherKindsAreCountedAndPassedOver) {
  const ParsedManifests parsed = ParseManifests("m.yaml", R"(
{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}
---
{apiVersion: apps/v1, kind: Deployment}
---
{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: a}}
---
{apiVersion: v1, kind: ConfigMapList, items: [{metadata: {name: c}}]}
)");

  EXPECT_THAT(parsed.objects, IsEmpty());
  EXPECT_EQ(Told(parsed), "");
  EXPECT_THAT(parsed.other_kinds, UnorderedElementsAre(Pair("Deployment", 2), Pair("ConfigMapList", 1),
                                                       Pair("Service (serving.knative.dev/v1)", 1)));
}

TEST(YamlCodecTest, JsonIsReadTabsEscapesAndAll) {
  const auto service = ParseOne<Service>(
      "{\n\t\"apiVersion\":\"v1\",\"kind\":\"Service\",\n\t\"metadata\":{\"name\":\"web\",\"labels\":{\"face\":"
      "\"\\ud83d\\ude00"
      "\",\"path\":\"a\\/b\\\\u0041\"}},\n\t\"spec\":{\t\"clusterIP\" : "
      "\"192.0.2.1\",\n\t\t\"ports\":[\n\t\t{\"port\":80}\n\t]}\n}\n");

  EXPECT_EQ(service.meta.labels.at("face"), "\xf0\x9f\x98\x80");
  EXPECT_EQ(service.meta.labels.at("path"), "a/b\\u0041");
  EXPECT_THAT(service.ports, SizeIs(1));
}

TEST(YamlCodecTest, SeveralJsonObjectsOneAfterTheOtherAreAllRead) {
  const ParsedManifests parsed = ParseManifests(
      "m.json",
      "{\"kind\":\"Node\",\"metadata\":{\"name\":\"a\"}}\n{\"kind\":\"Node\",\"metadata\":{\"name\":\"b\"}}\n");

  EXPECT_THAT(parsed.objects, SizeIs(2));
}

TEST(YamlCodecTest, AliasesAndMergeKeysAreFollowed) {
  const auto slice = ParseOne<EndpointSlice>(R"(
kind: EndpointSlice
metadata: {name: s, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints:
- &base
  addresses: [192.0.2.1]
  nodeName: n1
- <<: *base
  addresses: [192.0.2.2]
- *base
)");

  ASSERT_THAT(slice.endpoints, SizeIs(3));
  EXPECT_EQ(slice.endpoints[1].node_name, "n1");
  EXPECT_THAT(slice.endpoints[1].addresses, ElementsAre("192.0.2.2"));
  EXPECT_EQ(slice.endpoints[2], slice.endpoints[0]);
}

TEST(YamlCodecTest, WindowsLineEndsAndAByteOrderMarkDoNotMatter) {
  const auto node = ParseOne<Node>("\xef\xbb\xbfkind: Node\r\nmetadata:\r\n  name: 'n1'\r\n");

  EXPECT_EQ(node.meta.name.name, "n1");
}

TEST(YamlCodecTest, ATextWithoutAnyDocumentIsSoundAndEmpty) {
  for (const char* text : {"", "\n", "# only a comment\n", "---\n---\n"}) {
    const ParsedManifests parsed = ParseManifests("m.yaml", text);
    EXPECT_TRUE(parsed.sound) << text;
    EXPECT_EQ(Told(parsed), "") << text;
  }
}

// What a mistake in one place costs, and how it is told.
struct FaultRow {
  const char* name;
  const char* text;
  const char* told;
  size_t objects;
};

class FaultTest : public ::testing::TestWithParam<FaultRow> {};

TEST_P(FaultTest, AFaultIsToldInOneLineAndCostsLittle) {
  const ParsedManifests parsed = ParseManifests("m.yaml", GetParam().text);

  EXPECT_EQ(Told(parsed), absl::StrCat(GetParam().told, "\n"));
  EXPECT_THAT(parsed.objects, SizeIs(GetParam().objects));
  EXPECT_TRUE(parsed.sound);
}

INSTANTIATE_TEST_SUITE_P(
    Faults, FaultTest,
    ::testing::Values(
        FaultRow{
            "UnknownProtocol",
            "kind: Service\nmetadata: {name: a}\nspec:\n  ports:\n  - port: 80\n    protocol: ICMP\n  - port: 81\n",
            "m.yaml:6:15: error: Service default/a: spec.ports[0].protocol: unknown protocol \"ICMP\"; this port is "
            "skipped (use TCP, UDP or SCTP)",
            1},
        FaultRow{
            "QuotedPort", "kind: Service\nmetadata: {name: a}\nspec: {ports: [{port: \"80\"}]}\n",
            "m.yaml:3:23: error: Service default/a: spec.ports[0].port: the text \"80\" where a number is needed; this "
            "port is skipped (remove the quotes)",
            1},
        FaultRow{"TriggerTimeThatIsNone",
                 "kind: EndpointSlice\naddressType: IPv4\nmetadata:\n  name: a\n  labels: "
                 "{kubernetes.io/service-name: a}\n  annotations:\n    "
                 "endpoints.kubernetes.io/last-change-trigger-time: infinite-past\n",
                 "m.yaml:7:55: note: EndpointSlice default/a: "
                 "metadata.annotations.endpoints.kubernetes.io/last-change-trigger-time: \"infinite-past\" is no time; "
                 "this change is not timed (write it like 2024-01-31T12:00:00Z)",
                 1},
        FaultRow{"PortTooLarge", "kind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 65536}]}\n",
                 "m.yaml:3:23: error: Service default/a: spec.ports[0].port: \"65536\" is not between 1 and 65535; "
                 "this port "
                 "is skipped",
                 1},
        FaultRow{
            "PortAbsurdlyLarge",
            "kind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 99999999999999999999999}]}\n",
            "m.yaml:3:23: error: Service default/a: spec.ports[0].port: \"99999999999999999999999\" is not between 1 "
            "and 65535; this port is skipped",
            1},
        FaultRow{
            "PortZero", "kind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 0}]}\n",
            "m.yaml:3:23: error: Service default/a: spec.ports[0].port: \"0\" is not between 1 and 65535; this port is "
            "skipped",
            1},
        FaultRow{"PortMissing", "kind: Service\nmetadata: {name: a}\nspec: {ports: [{name: x}]}\n",
                 "m.yaml:3:16: error: Service default/a: spec.ports[0].port: is missing; this port is skipped", 1},
        FaultRow{"PortIsNoMap", "kind: Service\nmetadata: {name: a}\nspec: {ports: [80]}\n",
                 "m.yaml:3:16: error: Service default/a: spec.ports[0]: the number \"80\" where a map is needed; this "
                 "port is "
                 "skipped",
                 1},
        FaultRow{"PortsAreNoList", "kind: Service\nmetadata: {name: a}\nspec: {ports: {port: 80}}\n",
                 "m.yaml:3:15: error: Service default/a: spec.ports: a map where a list is needed; this Service has no "
                 "ports "
                 "(begin each item with `- `)",
                 1},
        FaultRow{"NoPorts", "kind: Service\nmetadata: {name: a}\nspec: {clusterIP: 192.0.2.1}\n",
                 "m.yaml:3:7: warning: Service default/a: spec.ports: a Service needs at least one port; it serves no "
                 "traffic",
                 1},
        FaultRow{
            "NodePortCostsTheNodePortAlone",
            "kind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80, nodePort: x}]}\n",
            "m.yaml:3:37: error: Service default/a: spec.ports[0].nodePort: the text \"x\" where a whole number is "
            "needed; this port has no node port",
            1},
        FaultRow{"UnknownType", "kind: Service\nmetadata: {name: a}\nspec: {type: Nodeport, ports: [{port: 80}]}\n",
                 "m.yaml:3:14: error: Service default/a: spec.type: unknown type \"Nodeport\"; ClusterIP is used (use "
                 "ClusterIP, NodePort, LoadBalancer or ExternalName)",
                 1},
        FaultRow{
            "TimeoutTooLong",
            "kind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}], sessionAffinity: ClientIP, "
            "sessionAffinityConfig: {clientIP: {timeoutSeconds: 86401}}}\n",
            "m.yaml:3:107: error: Service default/a: spec.sessionAffinityConfig.clientIP.timeoutSeconds: \"86401\" is "
            "not between 1 and 86400; 10800 seconds are used",
            1},
        FaultRow{
            "ClusterIpsDisagree",
            "kind: Service\nmetadata: {name: a}\nspec: {clusterIP: 192.0.2.1, clusterIPs: [192.0.2.2], ports: [{port: "
            "80}]}\n",
            "m.yaml:3:42: error: Service default/a: spec.clusterIPs: \"192.0.2.2\" comes first, but clusterIP is "
            "\"192.0.2.1\"; clusterIPs is used (begin the list with the value of clusterIP)",
            1},
        FaultRow{"NameMissing", "kind: Service\nmetadata: {namespace: x}\n---\nkind: Node\nmetadata: {name: n}\n",
                 "m.yaml:2:11: error: Service: metadata.name: is missing; this Service is skipped", 1},
        FaultRow{
            "NameIsNumber", "kind: Node\nmetadata: {name: 12}\n",
            "m.yaml:2:18: error: Node: metadata.name: the number \"12\" where a text is needed; this Node is skipped "
            "(put it in quotes)",
            0},
        FaultRow{
            "NameIsInvalid", "kind: Node\nmetadata: {name: A_b}\n",
            "m.yaml:2:18: error: Node: metadata.name: \"A_b\" is no valid name; this Node is skipped (use lower-case "
            "letters, digits, - and ., with a letter or digit at both ends)",
            0},
        FaultRow{
            "LabelIsBool", "kind: Node\nmetadata: {name: n, labels: {a: true, b: x}}\n",
            "m.yaml:2:33: error: Node n: metadata.labels.a: the boolean \"true\" where a text is needed; it is ignored "
            "(put it in quotes)",
            1},
        FaultRow{
            "AddressTypeMissing", "kind: EndpointSlice\nmetadata: {name: s, labels: {kubernetes.io/service-name: w}}\n",
            "m.yaml:1:1: error: EndpointSlice default/s: addressType: is missing; this EndpointSlice is skipped", 0},
        FaultRow{
            "ServiceLabelMissing", "kind: EndpointSlice\nmetadata: {name: s}\naddressType: IPv4\n",
            "m.yaml:2:11: warning: EndpointSlice default/s: metadata.labels: there is no label "
            "kubernetes.io/service-name; no Service uses it (name the Service: `kubernetes.io/service-name: NAME`)",
            1},
        FaultRow{
            "EndpointWithoutAddress",
            "kind: EndpointSlice\nmetadata: {name: s, labels: {kubernetes.io/service-name: w}}\naddressType: IPv4\n"
            "endpoints: [{addresses: []}, {addresses: [192.0.2.1]}]\n",
            "m.yaml:4:25: error: EndpointSlice default/s: endpoints[0].addresses: is empty; this endpoint is skipped",
            1},
        FaultRow{
            "ConditionIsText",
            "kind: EndpointSlice\nmetadata: {name: s, labels: {kubernetes.io/service-name: w}}\naddressType: IPv4\n"
            "endpoints: [{addresses: [192.0.2.1], conditions: {ready: \"true\"}}]\n",
            "m.yaml:4:58: error: EndpointSlice default/s: endpoints[0].conditions.ready: the text \"true\" where true "
            "or "
            "false is needed; this endpoint is skipped (remove the quotes)",
            1},
        FaultRow{"KindMissing", "metadata: {name: n}\n",
                 "m.yaml:1:1: error: kind: is missing; this object is skipped (say what this is, for instance `kind: "
                 "Service`)",
                 0},
        FaultRow{"KindMisspelt", "kind: service\nmetadata: {name: n}\n",
                 "m.yaml:1:7: warning: kind: unknown kind \"service\"; this object is skipped (write it as Service)",
                 0},
        FaultRow{
            "OldVersion", "apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\n",
            "m.yaml:1:13: warning: apiVersion: EndpointSlice in \"discovery.k8s.io/v1beta1\" is not supported; this "
            "object is skipped (write it as discovery.k8s.io/v1)",
            0},
        FaultRow{
            "ItemsOfAListKeepTheirOwnPath",
            "kind: List\nitems:\n- kind: Service\n  metadata: {name: a}\n  spec:\n    ports:\n    - port: x\n",
            "m.yaml:7:13: error: Service default/a: spec.ports[0].port: the text \"x\" where a whole number is needed; "
            "this port is skipped",
            1},
        FaultRow{"RepeatedKey", "kind: Node\nmetadata:\n  name: a\n  name: b\n",
                 "m.yaml:4:3: warning: Node b: metadata.name: the key stands twice in one map, first in line 3; the "
                 "last one "
                 "counts (remove one of them)",
                 1},
        FaultRow{"TaintWithoutKey", "kind: Node\nmetadata: {name: n}\nspec: {taints: [{effect: NoSchedule}]}\n",
                 "m.yaml:3:17: error: Node n: spec.taints[0].key: is missing; this taint is skipped", 1},
        FaultRow{"DeletionIsNoTime", "kind: Node\nmetadata: {name: n, deletionTimestamp: soon}\n",
                 "m.yaml:2:40: error: Node n: metadata.deletionTimestamp: \"soon\" is no time; the Node counts as "
                 "staying (write it like 2024-01-31T12:00:00Z)",
                 1}),
    [](const auto& row) { return row.param.name; });

TEST(YamlCodecTest, RepeatedKeysOfOtherKindsAreNobodysBusiness) {
  EXPECT_EQ(Told(ParseManifests("m.yaml", "kind: ConfigMap\ndata: {a: 1, a: 2}\n")), "");
}

TEST(YamlCodecTest, AFloodOfFaultsIsCutShortAndCounted) {
  std::string text = "kind: Service\nmetadata: {name: a}\nspec:\n  ports:\n";
  for (int i = 0; i < 1000; ++i) absl::StrAppend(&text, "  - port: x\n");

  const ParsedManifests parsed = ParseManifests("m.yaml", text);

  ASSERT_THAT(parsed.diagnostics, SizeIs(kMaxDiagnostics));
  EXPECT_EQ(parsed.diagnostics.back().problem, absl::StrCat(1000 - kMaxDiagnostics + 1, " more problems"));
}

}  // namespace
}  // namespace pointsman
