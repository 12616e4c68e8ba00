// SPDX-License-Identifier: Apache-2.0
#include "agent/source/allocate.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/builders.h"

namespace pointsman {
namespace {

using support::Net;
using support::Svc;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr auto kSingle = IpFamilyPolicy::kSingleStack;
constexpr auto kPrefer = IpFamilyPolicy::kPreferDualStack;
constexpr auto kRequire = IpFamilyPolicy::kRequireDualStack;

LocatedObject Located(const Service& service, CreationWishes wishes = {}) {
  return {std::make_shared<const Object>(service), absl::StrCat(service.meta.name.name, ".yaml:1:1"), wishes};
}

AllocationRanges Ranges(absl::string_view text) { return ParseAllocationRanges(text).value(); }

std::map<std::string, Service> ByName(const AllocatedObjects& allocated) {
  std::map<std::string, Service> services;
  for (const LocatedObject& located : allocated.objects) {
    const auto& service = std::get<Service>(*located.object);
    services[FormatName(service.meta.name)] = service;
  }
  return services;
}

struct RangesRow {
  const char* name;
  const char* text;
  std::vector<std::string> cidrs;  // empty: an error
};

class RangesTest : public ::testing::TestWithParam<RangesRow> {};

TEST_P(RangesTest, AtMostOneUsableRangeAFamilyIsTaken) {
  const absl::StatusOr<AllocationRanges> ranges = ParseAllocationRanges(GetParam().text);

  ASSERT_EQ(ranges.ok(), !GetParam().cidrs.empty()) << ranges.status();
  if (!ranges.ok()) return;
  std::vector<std::string> cidrs;
  for (const Cidr& cidr : ranges->cidrs) cidrs.push_back(FormatCidr(cidr));
  EXPECT_EQ(cidrs, GetParam().cidrs);
}

INSTANTIATE_TEST_SUITE_P(
    Texts, RangesTest,
    ::testing::Values(RangesRow{"One", "192.0.2.0/24", {"192.0.2.0/24"}},
                      RangesRow{"HostBits", "192.0.2.9/24", {"192.0.2.0/24"}},
                      RangesRow{"Dual", "2001:db8::/108,192.0.2.0/30", {"2001:db8::/108", "192.0.2.0/30"}},
                      RangesRow{"NoCidr", "192.0.2.1", {}}, RangesRow{"Blank", "192.0.2.0/24, ", {}},
                      RangesRow{"TwoOfAFamily", "192.0.2.0/24,198.51.100.0/24", {}},
                      RangesRow{"TooSmall", "192.0.2.0/31", {}}, RangesRow{"TooSmall6", "2001:db8::/127", {}}),
    [](const auto& row) { return row.param.name; });

TEST(AllocateTest, NoRangesAreNoError) { EXPECT_THAT(Ranges("").cidrs, IsEmpty()); }

TEST(AllocateTest, AServiceWithoutAddressGetsOneOfTheRangeAndItsFamily) {
  const AllocatedObjects allocated =
      AllocateAddresses({Located(Svc("shop/web").Tcp(80).Build())}, Ranges("192.0.2.0/24"));

  const Service web = ByName(allocated).at("shop/web");
  ASSERT_THAT(web.cluster_ips, SizeIs(1));
  EXPECT_TRUE(Net("192.0.2.0/24").Contains(support::Ip(web.cluster_ips[0])));
  EXPECT_THAT(web.ip_families, ElementsAre(Family::kIpv4));
  EXPECT_EQ(web.ports[0].node_port, 0);
  EXPECT_THAT(allocated.diagnostics, IsEmpty());
}

// The places are part of the contract: after an upgrade every Service must find its address again. Worked out by hand:
// base + 1 + reserved + fnv1a_folded("shop/web") % (places - reserved), with 256 reserved.
TEST(AllocateTest, TheSameNameAlwaysGetsTheSamePlace) {
  const std::vector<LocatedObject> objects = {Located(Svc("shop/web").Tcp(80).Type(ServiceType::kNodePort).Build())};

  const Service web = ByName(AllocateAddresses(objects, Ranges("10.96.0.0/16,fd00:10:96::/108"))).at("shop/web");
  const Service web6 = ByName(AllocateAddresses(objects, Ranges("fd00:10:96::/108"))).at("shop/web");

  EXPECT_EQ(web.cluster_ips[0], "10.96.171.225");
  EXPECT_EQ(web6.cluster_ips[0], "fd00:10:96::5:cb");
  EXPECT_EQ(web.ports[0].node_port, 30653);
}

TEST(AllocateTest, WhatNeedsNothingIsPassedOnUntouched) {
  Service external = Svc("shop/ext").Type(ServiceType::kExternalName).Build();
  const std::vector<LocatedObject> objects = {
      Located(Svc("shop/headless").ClusterIp("None").Tcp(80).Build()),
      Located(external),
      Located(Svc("shop/given").ClusterIp("192.0.2.9").Tcp(80).Build()),
      {std::make_shared<const Object>(support::Slice("shop/web-1", "web").Build()), "s.yaml:1:1", {}}};

  const AllocatedObjects allocated = AllocateAddresses(objects, Ranges("192.0.2.0/24"));

  ASSERT_THAT(allocated.objects, SizeIs(objects.size()));
  for (size_t i = 0; i < objects.size(); ++i) EXPECT_EQ(allocated.objects[i].object, objects[i].object);
  EXPECT_THAT(allocated.diagnostics, IsEmpty());
}

TEST(AllocateTest, TheOutcomeDoesNotDependOnTheOrderOfTheObjects) {
  std::vector<LocatedObject> objects;
  for (int i = 0; i < 100; ++i) {
    objects.push_back(Located(Svc(absl::StrCat("shop/s", i)).Tcp(80).Type(ServiceType::kNodePort).Build()));
  }
  const auto forward = ByName(AllocateAddresses(objects, Ranges("192.0.2.0/24")));
  std::reverse(objects.begin(), objects.end());

  const auto backward = ByName(AllocateAddresses(objects, Ranges("192.0.2.0/24")));

  EXPECT_EQ(forward, backward);
}

TEST(AllocateTest, AddressesAreUniqueAndNeverTheRangesEnds) {
  std::vector<LocatedObject> objects;
  for (int i = 0; i < 254; ++i) objects.push_back(Located(Svc(absl::StrCat("shop/s", i)).Tcp(80).Build()));

  const AllocatedObjects allocated = AllocateAddresses(objects, Ranges("192.0.2.0/24"));

  std::set<std::string> ips;
  for (const auto& [name, service] : ByName(allocated)) ips.insert(service.cluster_ips.at(0));
  EXPECT_THAT(ips, SizeIs(254));
  EXPECT_FALSE(ips.contains("192.0.2.0"));
  EXPECT_FALSE(ips.contains("192.0.2.255"));
  EXPECT_THAT(allocated.diagnostics, IsEmpty());
}

TEST(AllocateTest, AnExhaustedRangeLeavesTheLastByNameOutAndSaysSo) {
  std::vector<LocatedObject> objects;
  for (const char* name : {"c", "a", "b"}) objects.push_back(Located(Svc(absl::StrCat("shop/", name)).Tcp(80).Build()));

  const AllocatedObjects allocated = AllocateAddresses(objects, Ranges("192.0.2.0/30"));

  EXPECT_THAT(allocated.objects, SizeIs(2));
  EXPECT_FALSE(ByName(allocated).contains("shop/c"));
  ASSERT_THAT(allocated.diagnostics, SizeIs(1));
  EXPECT_EQ(
      FormatDiagnostic(allocated.diagnostics[0]),
      "c.yaml:1:1: error: Service shop/c: spec.clusterIP: every address of 192.0.2.0/30 is taken; this Service is "
      "skipped (give --allocate-from a larger range)");
}

TEST(AllocateTest, AnAddressAskedForByValueIsNotGivenToAnother) {
  const Service before =
      ByName(AllocateAddresses({Located(Svc("shop/web").Tcp(80).Build())}, Ranges("192.0.2.0/24"))).at("shop/web");
  const std::string wanted = before.cluster_ips.at(0);

  // The claimant sorts after shop/web, and still goes first.
  const auto after = ByName(AllocateAddresses(
      {Located(Svc("shop/web").Tcp(80).Build()), Located(Svc("shop/zoo").ClusterIp(wanted).Tcp(80).Build())},
      Ranges("192.0.2.0/24")));

  EXPECT_EQ(after.at("shop/zoo").cluster_ips.at(0), wanted);
  EXPECT_NE(after.at("shop/web").cluster_ips.at(0), wanted);
}

TEST(AllocateTest, MostServicesKeepTheirAddressWhenAnotherComes) {
  std::vector<LocatedObject> objects;
  for (int i = 0; i < 1000; ++i) objects.push_back(Located(Svc(absl::StrCat("shop/s", i)).Tcp(80).Build()));
  const auto before = ByName(AllocateAddresses(objects, Ranges("10.96.0.0/16")));
  objects.push_back(Located(Svc("shop/a-newcomer").Tcp(80).Build()));

  const auto after = ByName(AllocateAddresses(objects, Ranges("10.96.0.0/16")));

  int moved = 0;
  for (const auto& [name, service] : before) moved += after.at(name) == service ? 0 : 1;
  EXPECT_LE(moved, 1);
}

TEST(AllocateTest, TheLowEndIsLeftToThoseWhoChooseByHand) {
  std::vector<LocatedObject> objects;
  for (int i = 0; i < 200; ++i) objects.push_back(Located(Svc(absl::StrCat("shop/s", i)).Tcp(80).Build()));

  const auto services = ByName(AllocateAddresses(objects, Ranges("192.0.2.0/24")));

  for (const auto& [name, service] : services) {
    EXPECT_GT(support::Ip(service.cluster_ips.at(0)), support::Ip("192.0.2.16")) << name;
  }
}

struct FamilyRow {
  const char* name;
  const char* ranges;
  IpFamilyPolicy policy;
  std::vector<Family> asked;
  std::vector<Family> got;  // empty: left out
  const char* told;         // part of the Diagnostic; empty: none
};

class FamilyTest : public ::testing::TestWithParam<FamilyRow> {};

TEST_P(FamilyTest, ThePolicyAndTheRangesDecideTheFamilies) {
  Service service = Svc("shop/web").Tcp(80).Build();
  service.ip_families = GetParam().asked;

  const AllocatedObjects allocated =
      AllocateAddresses({Located(service, {GetParam().policy, true})}, Ranges(GetParam().ranges));

  std::vector<Family> got;
  for (const auto& [name, filled] : ByName(allocated)) {
    got = filled.ip_families;
    ASSERT_EQ(filled.cluster_ips.size(), got.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(support::Ip(filled.cluster_ips[i]).family(), got[i]);
  }
  EXPECT_EQ(got, GetParam().got);
  std::string told;
  for (const Diagnostic& diagnostic : allocated.diagnostics) absl::StrAppend(&told, FormatDiagnostic(diagnostic));
  EXPECT_THAT(told, HasSubstr(GetParam().told));
  EXPECT_EQ(told.empty(), std::string(GetParam().told).empty()) << told;
}

constexpr auto k4 = Family::kIpv4;
constexpr auto k6 = Family::kIpv6;
constexpr char kOnly4[] = "192.0.2.0/24";
constexpr char kBoth[] = "192.0.2.0/24,2001:db8::/108";
constexpr char kSixFirst[] = "2001:db8::/108,192.0.2.0/24";

INSTANTIATE_TEST_SUITE_P(
    Rows, FamilyTest,
    ::testing::Values(FamilyRow{"SingleTakesTheFirstRange", kBoth, kSingle, {}, {k4}, ""},
                      FamilyRow{"SingleTakesTheFirstRangeOfSix", kSixFirst, kSingle, {}, {k6}, ""},
                      FamilyRow{"SingleTakesWhatWasAsked", kBoth, kSingle, {k6}, {k6}, ""},
                      FamilyRow{"SingleTakesTheFirstAsked", kBoth, kSingle, {k6, k4}, {k6}, ""},
                      FamilyRow{"SingleWithoutItsRange", kOnly4, kSingle, {k6}, {}, "this Service is skipped"},
                      FamilyRow{"PreferTakesBoth", kBoth, kPrefer, {}, {k4, k6}, ""},
                      FamilyRow{"PreferKeepsTheOrderAsked", kBoth, kPrefer, {k6}, {k6, k4}, ""},
                      FamilyRow{"PreferFollowsTheOrderOfTheRanges", kSixFirst, kPrefer, {}, {k6, k4}, ""},
                      FamilyRow{"PreferMakesDoWithOne", kOnly4, kPrefer, {}, {k4}, ""},
                      FamilyRow{"PreferMakesDoWithTheSecond", kOnly4, kPrefer, {k6, k4}, {k4}, ""},
                      FamilyRow{"RequireTakesBoth", kBoth, kRequire, {}, {k4, k6}, ""},
                      FamilyRow{
                          "RequireWithOneSaysSo", kOnly4, kRequire, {}, {k4}, "it has no address of this family"}),
    [](const auto& row) { return row.param.name; });

TEST(AllocateTest, ASecondAddressIsAddedToOneGivenByValue) {
  const Service given = Svc("shop/web").ClusterIp("192.0.2.200").Tcp(80).Build();

  const Service web =
      ByName(AllocateAddresses({Located(given, {kPrefer, true})}, Ranges("192.0.2.0/24,2001:db8::/108")))
          .at("shop/web");

  ASSERT_THAT(web.cluster_ips, SizeIs(2));
  EXPECT_EQ(web.cluster_ips[0], "192.0.2.200");
  EXPECT_THAT(web.ip_families, ElementsAre(k4, k6));
}

TEST(AllocateTest, WithoutRangesAServiceWithoutAddressIsLeftOutWithAdvice) {
  const AllocatedObjects allocated = AllocateAddresses(
      {Located(Svc("shop/web").Tcp(80).Build()), Located(Svc("shop/db").ClusterIp("192.0.2.1").Build())}, {});

  EXPECT_FALSE(ByName(allocated).contains("shop/web"));
  EXPECT_TRUE(ByName(allocated).contains("shop/db"));
  ASSERT_THAT(allocated.diagnostics, SizeIs(1));
  EXPECT_EQ(
      FormatDiagnostic(allocated.diagnostics[0]),
      "web.yaml:1:1: error: Service shop/web: spec.clusterIP: has no value, and there is no API server to choose one; "
      "this Service is skipped (set spec.clusterIP, or give --allocate-from a range to choose from)");
}

TEST(AllocateTest, WithoutRangesAMissingNodePortIsToldButCostsNothingElse) {
  const Service web = Svc("shop/web").ClusterIp("192.0.2.1").Type(ServiceType::kNodePort).Tcp(80).Build();

  const AllocatedObjects allocated = AllocateAddresses({Located(web)}, {});

  EXPECT_EQ(ByName(allocated).at("shop/web"), web);
  ASSERT_THAT(allocated.diagnostics, SizeIs(1));
  EXPECT_EQ(allocated.diagnostics[0].field, "spec.ports[0].nodePort");
}

struct NodePortRow {
  const char* name;
  ServiceType type;
  bool allocate;
  bool gets;
};

class NodePortTest : public ::testing::TestWithParam<NodePortRow> {};

TEST_P(NodePortTest, TheTypeDecidesWhetherNodePortsAreGiven) {
  const Service service =
      Svc("shop/web").ClusterIp("192.0.2.1").Type(GetParam().type).Tcp(80, "a").Tcp(81, "b", 30001).Build();

  const Service web =
      ByName(AllocateAddresses({Located(service, {kSingle, GetParam().allocate})}, Ranges("192.0.2.0/24")))
          .at("shop/web");

  EXPECT_EQ(web.ports[0].node_port >= 30000 && web.ports[0].node_port <= 32767, GetParam().gets);
  EXPECT_EQ(web.ports[1].node_port, 30001);
}

INSTANTIATE_TEST_SUITE_P(Types, NodePortTest,
                         ::testing::Values(NodePortRow{"ClusterIp", ServiceType::kClusterIp, true, false},
                                           NodePortRow{"NodePort", ServiceType::kNodePort, true, true},
                                           NodePortRow{"LoadBalancer", ServiceType::kLoadBalancer, true, true},
                                           NodePortRow{"LoadBalancerWithout", ServiceType::kLoadBalancer, false,
                                                       false}),
                         [](const auto& row) { return row.param.name; });

TEST(AllocateTest, OnePortInTwoProtocolsGetsOneNodePort) {
  const Service dns =
      Svc("shop/dns").ClusterIp("192.0.2.1").Type(ServiceType::kNodePort).Udp(53, "dns").Tcp(53, "dns-tcp").Build();

  const Service filled = ByName(AllocateAddresses({Located(dns)}, Ranges("192.0.2.0/24"))).at("shop/dns");

  EXPECT_NE(filled.ports[0].node_port, 0);
  EXPECT_EQ(filled.ports[0].node_port, filled.ports[1].node_port);
}

TEST(AllocateTest, ALocalLoadBalancerGetsAHealthCheckPortOfItsOwn) {
  const Service lb = Svc("shop/lb").ClusterIp("192.0.2.1").Vip("198.51.100.1").ExternalLocal().Tcp(80).Build();

  const Service filled = ByName(AllocateAddresses({Located(lb)}, Ranges("192.0.2.0/24"))).at("shop/lb");

  EXPECT_GE(filled.health_check_node_port, 30000);
  EXPECT_NE(filled.health_check_node_port, filled.ports[0].node_port);
}

TEST(AllocateTest, NodePortsRunOutWithADiagnosticAndTheServiceStays) {
  Svc big("shop/big");
  big.ClusterIp("192.0.2.1").Type(ServiceType::kNodePort);
  for (uint16_t i = 0; i <= 2768; ++i) big.Tcp(static_cast<uint16_t>(1000 + i), absl::StrCat("p", i));

  const AllocatedObjects allocated = AllocateAddresses({Located(big.Build())}, Ranges("192.0.2.0/24"));

  std::set<uint16_t> ports;
  const Service filled = ByName(allocated).at("shop/big");
  for (const ServicePortSpec& port : filled.ports) ports.insert(port.node_port);
  EXPECT_THAT(ports, SizeIs(2769));  // 2768, and 0 for the one that got none
  ASSERT_THAT(allocated.diagnostics, SizeIs(1));
  EXPECT_THAT(allocated.diagnostics[0].problem, HasSubstr("30000-32767"));
}

TEST(AllocateTest, AFullLargeRangeIsGivenOutInReasonableTime) {
  std::vector<LocatedObject> objects;
  for (int i = 0; i < 65534; ++i) objects.push_back(Located(Svc(absl::StrCat("shop/s", i)).Build()));

  const AllocatedObjects allocated = AllocateAddresses(std::move(objects), Ranges("10.96.0.0/16"));

  // Walked place by place, the last ones would take the test's whole time limit.
  EXPECT_THAT(allocated.objects, SizeIs(65534));
}

TEST(AllocateTest, AnAddressOutsideTheRangeTakesNoPlaceInIt) {
  std::vector<LocatedObject> objects = {Located(Svc("shop/a").ClusterIp("203.0.113.5").Build()),
                                        Located(Svc("shop/b").ClusterIp("2001:db8:1::5").Build())};
  for (int i = 0; i < 6; ++i) objects.push_back(Located(Svc(absl::StrCat("shop/s", i)).Build()));

  const AllocatedObjects allocated = AllocateAddresses(objects, Ranges("192.0.2.0/29,2001:db8::/108"));

  EXPECT_THAT(allocated.objects, SizeIs(8));
  EXPECT_THAT(allocated.diagnostics, IsEmpty());
}

}  // namespace
}  // namespace pointsman
