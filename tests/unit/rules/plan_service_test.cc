// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "pointsman/plan.h"
#include "tests/support/builders.h"

namespace pointsman {
namespace {

using support::At;
using support::Ip;
using support::Name;
using support::Net;
using support::Slice;
using support::Svc;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kSliceLines[] = "  cluster: 203.0.113.1:8080 203.0.113.2:8080\n  hairpin: 203.0.113.1\n";

NodeInfo ThisNode() {
  NodeInfo node{.name = "n1"};
  node.local_addresses = {Ip("127.0.0.1"), Ip("198.51.100.9"), Ip("2001:db8::9")};
  node.node_port_addresses = {Ip("127.0.0.1"), Ip("198.51.100.9"), Ip("2001:db8::9")};
  return node;
}

Policy Pods() { return {.pods = {.cidrs = {Net("203.0.113.0/24")}}}; }
Policy MasqueradeAll() {
  Policy policy = Pods();
  policy.masquerade_all = true;
  return policy;
}

struct Planned {
  ServicePlan plan;
  Diagnostics diagnostics;
};

Planned Plan(const Service& service, const std::vector<EndpointSlice>& slices, const Policy& policy,
             const NodeInfo& node = ThisNode()) {
  std::vector<const EndpointSlice*> pointers;
  for (const EndpointSlice& slice : slices) pointers.push_back(&slice);
  Planned planned;
  const BuiltService built = BuildService(service, pointers);
  planned.plan = PlanService(service.meta.name, built.ports, node, policy, planned.diagnostics);
  return planned;
}

// 203.0.113.1 on this node, 203.0.113.2 on another.
EndpointSlice HereAndThere() {
  return Slice("ns/web-1", "web").Port(8080, "http").Ready("203.0.113.1", "n1").Ready("203.0.113.2", "n2").Build();
}

struct Row {
  std::string name;
  std::string why;
  Service service;
  Policy policy;
  std::string plan;  // with the lists of HereAndThere() unless it says otherwise
  std::string lists = kSliceLines;
};

class PlanServiceRow : public ::testing::TestWithParam<Row> {};

TEST_P(PlanServiceRow, MeansThisOnThisNode) {
  const Row& row = GetParam();

  const Planned planned = Plan(row.service, {HereAndThere()}, row.policy);

  EXPECT_EQ(FormatPlan(planned.plan), row.plan + row.lists) << row.why;
  EXPECT_THAT(planned.diagnostics, IsEmpty());
}

std::vector<Row> Rows() {
  const auto web = [] { return Svc("ns/web").ClusterIp("192.0.2.1").Tcp(80, "http"); };
  const std::string head = "ns/web:http tcp\n";
  const std::string both =
      "  cluster: 203.0.113.1:8080 203.0.113.2:8080\n  local: 203.0.113.1:8080\n  hairpin: 203.0.113.1\n";
  const std::string short_cut =
      "  cluster: 203.0.113.1:8080 203.0.113.2:8080\n  local: 203.0.113.1:8080\n  hairpin: 203.0.113.1 203.0.113.2\n";
  return {
      // SNAT of cluster IPs.
      {"NoDetector", "nobody can be told from a pod", web().Build(), {}, head + "  192.0.2.1:80/tcp -> cluster\n"},
      {"Detector", "whoever is no pod", web().Build(), Pods(),
       head + "  192.0.2.1:80/tcp -> cluster, snat outside pods\n"},
      {"DetectorOfTheOtherFamily",
       "says nothing about IPv4",
       web().Build(),
       {.pods = {.cidrs = {Net("2001:db8::/64")}}},
       head + "  192.0.2.1:80/tcp -> cluster\n"},
      {"MasqueradeAll", "everyone", web().Build(), MasqueradeAll(), head + "  192.0.2.1:80/tcp -> cluster, snat\n"},
      {"MasqueradeAllWithoutDetector",
       "everyone",
       web().Build(),
       {.pods = {}, .masquerade_all = true},
       head + "  192.0.2.1:80/tcp -> cluster, snat\n"},

      // Every kind of address.
      {"External", "SNAT always, whatever the detector", web().ExternalIp("198.51.100.1").Vip("198.51.100.2").Build(),
       Pods(),
       head + "  192.0.2.1:80/tcp -> cluster, snat outside pods\n"
              "  198.51.100.1:80/tcp -> cluster, snat\n"
              "  198.51.100.2:80/tcp -> cluster, snat\n"},
      {"NodePort",
       "at each address of this family that takes them, never at loopback",
       Svc("ns/web").ClusterIp("192.0.2.1").Tcp(80, "http", 30080).Build(),
       {},
       head + "  192.0.2.1:80/tcp -> cluster\n  198.51.100.9:30080/tcp -> cluster, snat\n"},
      {"VipThatIsAnExternalIpToo",
       "keeps its source ranges, and is no conflict",
       web().ExternalIp("198.51.100.2").Vip("198.51.100.2").SourceRange("10.0.0.0/8").Build(),
       {},
       head + "  192.0.2.1:80/tcp -> cluster\n"
              "  198.51.100.2:80/tcp -> cluster, snat, only from 10.0.0.0/8\n"},

      // Policies.
      {"InternalLocal", "this node's endpoints; SNAT as ever", web().InternalLocal().Build(), Pods(),
       head + "  192.0.2.1:80/tcp -> local, snat outside pods\n",
       "  local: 203.0.113.1:8080\n  hairpin: 203.0.113.1\n"},
      {"InternalLocalWithExternal",
       "external addresses do not mind",
       web().InternalLocal().ExternalIp("198.51.100.1").Build(),
       {},
       head + "  192.0.2.1:80/tcp -> local\n  198.51.100.1:80/tcp -> cluster, snat\n",
       both},
      {"ExternalLocal", "no SNAT: the client's address is the point",
       web().ExternalLocal().ExternalIp("198.51.100.1").Vip("198.51.100.2").Build(), Pods(),
       head + "  192.0.2.1:80/tcp -> cluster, snat outside pods\n"
              "  198.51.100.1:80/tcp -> inside cluster, outside local\n"
              "  198.51.100.2:80/tcp -> inside cluster, outside local\n",
       short_cut},
      {"ExternalLocalAndMasqueradeAll", "masqueradeAll is about cluster IPs",
       web().ExternalLocal().Vip("198.51.100.2").Build(), MasqueradeAll(),
       head + "  192.0.2.1:80/tcp -> cluster, snat\n  198.51.100.2:80/tcp -> inside cluster, outside local\n",
       short_cut},
      {"ExternalLocalWithoutExternalAddress",
       "nothing to apply it to",
       web().Type(ServiceType::kLoadBalancer).ExternalLocal().Build(),
       {},
       head + "  192.0.2.1:80/tcp -> cluster\n"},

      // Source ranges.
      {"SourceRanges",
       "for load-balancer addresses alone",
       Svc("ns/web")
           .ClusterIp("192.0.2.1")
           .Tcp(80, "http", 30080)
           .ExternalIp("198.51.100.1")
           .Vip("198.51.100.2")
           .SourceRange("10.0.0.0/8")
           .Build(),
       {},
       head + "  192.0.2.1:80/tcp -> cluster\n"
              "  198.51.100.1:80/tcp -> cluster, snat\n"
              "  198.51.100.2:80/tcp -> cluster, snat, only from 10.0.0.0/8\n"
              "  198.51.100.9:30080/tcp -> cluster, snat\n"},
      {"SourceRangesNested",
       "a range inside another goes: the kernel would refuse it",
       web()
           .Vip("198.51.100.2")
           .SourceRange("10.1.0.0/16")
           .SourceRange("10.0.0.0/8")
           .SourceRange("10.1.2.3/32")
           .SourceRange("10.0.0.0/8")
           .SourceRange("11.0.0.0/8")
           .Build(),
       {},
       head + "  192.0.2.1:80/tcp -> cluster\n"
              "  198.51.100.2:80/tcp -> cluster, snat, only from 10.0.0.0/8 11.0.0.0/8\n"},
      {"SourceRangesWithThisNode",
       "a node inside may use the addresses themselves as its source",
       web().Vip("198.51.100.2").Vip("192.0.2.250").SourceRange("198.51.100.8/29").Build(),
       {},
       head + "  192.0.2.1:80/tcp -> cluster\n"
              "  192.0.2.250:80/tcp -> cluster, snat, only from 192.0.2.250/32 198.51.100.2/32 198.51.100.8/29\n"
              "  198.51.100.2:80/tcp -> cluster, snat, only from 192.0.2.250/32 198.51.100.2/32 198.51.100.8/29\n"},
  };
}

INSTANTIATE_TEST_SUITE_P(Plan, PlanServiceRow, ::testing::ValuesIn(Rows()),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(PlanServiceTest, WithNothingAnywherePoliciesGiveWayToARefusal) {
  const Service service =
      Svc("ns/web").ClusterIp("192.0.2.1").Vip("198.51.100.2").Tcp(80, "http").InternalLocal().ExternalLocal().Build();

  EXPECT_EQ(FormatPlan(Plan(service, {}, {}).plan),
            "ns/web:http tcp\n  192.0.2.1:80/tcp -> cluster\n  198.51.100.2:80/tcp -> cluster, snat\n");
}

TEST(PlanServiceTest, WithNothingHereALocalScopeStays) {
  const Service service = Svc("ns/web").ClusterIp("192.0.2.1").Tcp(80, "http").InternalLocal().Build();
  const EndpointSlice there = Slice("ns/web-1", "web").Port(80, "http").Ready("203.0.113.2", "n2").Build();

  EXPECT_EQ(FormatPlan(Plan(service, {there}, {}).plan), "ns/web:http tcp\n  192.0.2.1:80/tcp -> local\n");
}

TEST(PlanServiceTest, AffinityGoesToEveryFrontend) {
  Service service =
      Svc("ns/web").ClusterIp("192.0.2.1").Tcp(80, "http").Tcp(81, "other").ExternalIp("198.51.100.1").Build();
  service.client_ip_affinity = absl::Minutes(10);

  const Planned planned = Plan(service, {}, {});

  for (const PortPlan& port : planned.plan.ports) {
    for (const Frontend& frontend : port.frontends) EXPECT_EQ(frontend.action.affinity, absl::Minutes(10));
  }
  EXPECT_THAT(planned.diagnostics, IsEmpty());
}

TEST(PlanServiceTest, RangesOfTheOtherFamilyLeaveAnAddressOpenUnlessToldOtherwise) {
  const Service service = Svc("ns/web")
                              .ClusterIp("192.0.2.1")
                              .ClusterIp("2001:db8:2::1")
                              .Tcp(80, "http")
                              .Tcp(443, "https")
                              .Vip("198.51.100.2")
                              .Vip("2001:db8:2::2")
                              .SourceRange("10.0.0.0/8")
                              .Build();
  const auto vip_of = [](const Planned& planned) {
    const std::string text = FormatPlan(planned.plan);
    const size_t at = text.find("[2001:db8:2::2]:80/tcp");
    return text.substr(at, text.find('\n', at) - at);
  };

  const Planned open = Plan(service, {}, {});
  EXPECT_EQ(vip_of(open), "[2001:db8:2::2]:80/tcp -> cluster, snat");
  ASSERT_EQ(open.diagnostics.size(), 1U) << "said once, not for each port";
  EXPECT_EQ(
      FormatDiagnostic(open.diagnostics[0]),
      "warning: Service ns/web: spec.loadBalancerSourceRanges: has no IPv6 range; the IPv6 load-balancer addresses "
      "are open to everyone (add an IPv6 range, or close them with --pointsman.close-unranged-vips)");

  const Planned closed = Plan(service, {}, {.close_unranged = true});
  EXPECT_EQ(vip_of(closed), "[2001:db8:2::2]:80/tcp -> cluster, snat, only from nowhere");
  ASSERT_EQ(closed.diagnostics.size(), 1U);
  EXPECT_THAT(FormatDiagnostic(closed.diagnostics[0]), HasSubstr("let nobody in"));
}

TEST(PlanServiceTest, AClusterIpThatIsTheNodesOwnDoesNotShutTheNodeOff) {
  const Planned planned = Plan(Svc("ns/web").ClusterIp("198.51.100.9").Tcp(80).Build(), {}, {});

  EXPECT_THAT(planned.plan.cluster_ips, IsEmpty()) << "or every other port of the node were refused";
  EXPECT_THAT(Plan(Svc("ns/web").ClusterIp("192.0.2.1").Tcp(80).Tcp(81, "x").Build(), {}, {}).plan.cluster_ips,
              ElementsAre(Ip("192.0.2.1")));
  ASSERT_EQ(planned.diagnostics.size(), 1U);
  EXPECT_THAT(FormatDiagnostic(planned.diagnostics[0]),
              HasSubstr("spec.clusterIP: 198.51.100.9 is an address of this node; its other ports stay the node's"));
}

TEST(PlanServiceTest, AnExactAddressBeatsANodePortOfTheSameService) {
  const Service service = Svc("ns/web")
                              .ClusterIp("192.0.2.1")
                              .Tcp(80, "first", 30080)
                              .Tcp(30080, "second")
                              .ExternalIp("198.51.100.9")
                              .Build();

  const Planned planned = Plan(service, {}, {});

  EXPECT_THAT(FormatPlan(planned.plan), HasSubstr("ns/web:second tcp\n  192.0.2.1:30080/tcp -> cluster\n"
                                                  "  198.51.100.9:30080/tcp -> cluster, snat\n"));
  EXPECT_EQ(planned.diagnostics.size(), 1U);
}

TEST(PlanServiceTest, FlowsOfUdpMayGoOnToWhoeverServes) {
  Policy policy;
  const Service service = Svc("ns/web").ClusterIp("192.0.2.1").Tcp(80, "http").Udp(53, "dns").Build();
  const EndpointSlice slice = Slice("ns/web-1", "web")
                                  .Port(80, "http")
                                  .Port(53, "dns", Protocol::kUdp)
                                  .Ready("203.0.113.1", "n1")
                                  .Terminating("203.0.113.2", "n2")
                                  .NotReady("203.0.113.3")
                                  .Build();

  const Planned planned = Plan(service, {slice}, policy);
  EXPECT_THAT(planned.plan.ports[0].serving, IsEmpty()) << "TCP ends by itself";
  EXPECT_THAT(planned.plan.ports[1].serving, ElementsAre(At("203.0.113.1:53"), At("203.0.113.2:53")));

  policy.clean_tcp = true;
  EXPECT_EQ(Plan(service, {slice}, policy).plan.ports[0].serving.size(), 2U) << "unless asked for";
}

// A Service of both families with an address of every kind.
Service EveryAddress() {
  return Svc("ns/web")
      .ClusterIp("192.0.2.1")
      .ClusterIp("2001:db8::1")
      .Tcp(80, "http", 30080)
      .ExternalIp("198.51.100.1")
      .ExternalIp("2001:db8:2::1")
      .Vip("198.51.100.2")
      .Vip("2001:db8:2::2")
      .SourceRange("10.0.0.0/8")
      .ExternalLocal()
      .HealthCheckPort(30100)
      .Build();
}

TEST(PlanServiceTest, OfAFamilyThatIsNotProgrammedThereIsNothing) {
  const std::vector<EndpointSlice> slices = {
      HereAndThere(),
      Slice("ns/web-2", "web", Family::kIpv6).Port(8080, "http").Ready("2001:db8:113::1", "n1").Build()};
  const Planned both = Plan(EveryAddress(), slices, {});
  ASSERT_EQ(both.plan.ports.size(), 2U);

  for (const Family family : kFamilies) {
    SCOPED_TRACE(static_cast<int>(family));
    const Planned one = Plan(EveryAddress(), slices, {.families = {family}});

    ASSERT_EQ(one.plan.ports.size(), 1U);
    EXPECT_EQ(one.plan.ports[0], both.plan.ports[family == Family::kIpv4 ? 0 : 1]);
    EXPECT_THAT(one.plan.cluster_ips, ElementsAre(Ip(family == Family::kIpv4 ? "192.0.2.1" : "2001:db8::1")));
    ASSERT_TRUE(one.plan.health.has_value());
    EXPECT_EQ(one.plan.health->local_ipv4.has_value(), family == Family::kIpv4);
    EXPECT_EQ(one.plan.health->local_ipv6.has_value(), family == Family::kIpv6);
    // That the other family has no source range is of no interest where it has no rules.
    EXPECT_EQ(one.diagnostics.size(), family == Family::kIpv6 ? 1U : 0U);
  }
  EXPECT_EQ(Plan(EveryAddress(), slices, {.families = {}}).plan, (ServicePlan{.service = {"ns", "web"}}));
}

TEST(PlanServiceTest, ExternalIpsCanBeLeftOut) {
  const std::string all = FormatPlan(Plan(EveryAddress(), {HereAndThere()}, {}).plan);
  ASSERT_THAT(all, HasSubstr("  198.51.100.1:80/tcp -> "));
  ASSERT_THAT(all, HasSubstr("  [2001:db8:2::1]:80/tcp -> "));

  std::string without = FormatPlan(Plan(EveryAddress(), {HereAndThere()}, {.external_ips = false}).plan);

  std::vector<std::string> expected;
  for (const absl::string_view line : absl::StrSplit(all, '\n')) {
    if (!absl::StrContains(line, "198.51.100.1:80") && !absl::StrContains(line, "[2001:db8:2::1]:80")) {
      expected.emplace_back(line);
    }
  }
  EXPECT_EQ(without, absl::StrJoin(expected, "\n"));
}

// How many endpoints a load balancer is told of: distinct addresses of ready endpoints here, over all ports.
struct HealthRow {
  const char* name;
  std::vector<const char*> http;   // endpoints of one port: "203.0.113.1 R", on this node unless "M"
  std::vector<const char*> https;  // and of another
  int local;
};

class PlanServiceHealth : public ::testing::TestWithParam<HealthRow> {};

TEST_P(PlanServiceHealth, CountsAddresses) {
  const auto slice = [](const char* port, const std::vector<const char*>& endpoints) {
    Slice made(absl::StrCat("ns/web-", port), "web");
    made.Port(80, port);
    for (const absl::string_view endpoint : endpoints) {
      const std::vector<std::string> words = absl::StrSplit(endpoint, ' ');
      const std::string node = words.back() == "M" ? "n2" : "n1";
      if (words[1] == "R") made.Ready(words[0], node);
      if (words[1] == "ST") made.Terminating(words[0], node);
      if (words[1] == "N") made.NotReady(words[0]);
    }
    return made.Build();
  };
  const Service service = Svc("ns/web")
                              .ClusterIp("192.0.2.1")
                              .Tcp(80, "http")
                              .Tcp(443, "https")
                              .Vip("198.51.100.2")
                              .ExternalLocal()
                              .HealthCheckPort(30100)
                              .Build();

  const Planned planned = Plan(service, {slice("http", GetParam().http), slice("https", GetParam().https)}, {});

  EXPECT_EQ(planned.plan.health, (HealthCheck{.port = 30100, .local_ipv4 = GetParam().local}));
}

INSTANTIATE_TEST_SUITE_P(
    Plan, PlanServiceHealth,
    ::testing::Values(HealthRow{"H01", {"203.0.113.1 R M", "203.0.113.2 R"}, {"203.0.113.1 R M", "203.0.113.2 R"}, 1},
                      HealthRow{"H02", {"203.0.113.2 R", "203.0.113.22 R"}, {"203.0.113.3 R"}, 3},
                      HealthRow{"H03", {"203.0.113.2 R", "203.0.113.22 R"}, {"203.0.113.3 ST"}, 2},
                      HealthRow{"H04", {"203.0.113.2 ST", "203.0.113.22 ST"}, {"203.0.113.3 ST"}, 0},
                      HealthRow{"H05", {"203.0.113.1 R", "203.0.113.2 R", "203.0.113.3 R", "203.0.113.4 N"}, {}, 3}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(PlanServiceTest, FamiliesKeepToThemselves) {
  const Service service = Svc("ns/web")
                              .ClusterIp("192.0.2.1")
                              .ClusterIp("2001:db8:2::1")
                              .Tcp(80, "http", 30080)
                              .Vip("2001:db8:2::2")
                              .SourceRange("10.0.0.0/8")
                              .Build();

  EXPECT_EQ(FormatPlan(Plan(service, {}, {}).plan),
            "ns/web:http tcp\n"
            "  192.0.2.1:80/tcp -> cluster\n"
            "  198.51.100.9:30080/tcp -> cluster, snat\n"
            "ns/web:http tcp\n"
            "  [2001:db8::9]:30080/tcp -> cluster, snat\n"
            "  [2001:db8:2::1]:80/tcp -> cluster\n"
            "  [2001:db8:2::2]:80/tcp -> cluster, snat\n");
}

TEST(PlanServiceTest, AHairpinIsOnThisNodeOrWhoKnowsWhere) {
  const Service service = Svc("ns/web").ClusterIp("192.0.2.1").Tcp(80, "http").Build();
  const EndpointSlice slice = Slice("ns/web-1", "web")
                                  .Port(80, "http")
                                  .Ready("203.0.113.1", "n1")
                                  .Ready("203.0.113.2", "n2")
                                  .Ready("203.0.113.3")
                                  .Build();

  const Planned planned = Plan(service, {slice}, {});

  EXPECT_THAT(planned.plan.ports[0].hairpin, ElementsAre(Ip("203.0.113.1"), Ip("203.0.113.3")));
}

TEST(PlanServiceTest, OfTwoPortsOnOneMatchTheFirstKeepsItAndTheOtherIsToldOf) {
  const Service service = Svc("ns/web").ClusterIp("192.0.2.1").Tcp(80, "one").Tcp(80, "two").Udp(80, "three").Build();

  const Planned planned = Plan(service, {}, {});

  EXPECT_EQ(FormatPlan(planned.plan),
            "ns/web:one tcp\n  192.0.2.1:80/tcp -> cluster\nns/web:two tcp\nns/web:three udp\n"
            "  192.0.2.1:80/udp -> cluster\n");
  ASSERT_EQ(planned.diagnostics.size(), 1U);
  EXPECT_EQ(planned.diagnostics[0].object, "Service ns/web");
  EXPECT_THAT(FormatDiagnostic(planned.diagnostics[0]), HasSubstr("192.0.2.1:80/tcp is another port's already"));
}

// What kubeproxy_sync_proxy_rules_no_local_endpoints_total counts.
TEST(PlanServiceTest, PortsThatAreLocalWithEndpointsElsewhereOnlyAreCounted) {
  const auto service = [] { return Svc("ns/web").ClusterIp("192.0.2.1").Tcp(80, "http"); };
  const auto at = [](const std::vector<std::string>& nodes) {
    Slice slice("ns/web-1", "web");
    slice.Port(8080, "http");
    for (size_t i = 0; i < nodes.size(); ++i) slice.Ready(absl::StrCat("203.0.113.", i + 1), nodes[i]);
    return slice.Build();
  };
  const struct {
    const char* what;
    Service service;
    std::vector<std::string> nodes;  // of the endpoints; n1 is this one
    NoLocalEndpoints want;
  } rows[] = {
      {"no policy", service().Build(), {"n2"}, {}},
      {"internal", service().InternalLocal().Build(), {"n2"}, {.internal = 1}},
      {"internal, one here", service().InternalLocal().Build(), {"n2", "n1"}, {}},
      {"internal, none anywhere", service().InternalLocal().Build(), {}, {}},
      {"external", service().Vip("198.51.100.2").ExternalLocal().Build(), {"n2"}, {.external = 1}},
      {"external, one here", service().Vip("198.51.100.2").ExternalLocal().Build(), {"n1"}, {}},
      {"both", service().InternalLocal().Vip("198.51.100.2").ExternalLocal().Build(), {"n2"}, {1, 1}},
  };
  for (const auto& row : rows) {
    const ServicePlan plan = Plan(row.service, {at(row.nodes)}, {}).plan;
    EXPECT_EQ(plan.no_local_ipv4, row.want) << row.what;
    EXPECT_EQ(plan.no_local_ipv6, NoLocalEndpoints{}) << row.what;
  }
}

TEST(PlanServiceTest, OnePlanCarriesTheAgeOfItsService) {
  const absl::Time created = absl::FromUnixSeconds(1700000000);
  const Service service = Svc("ns/web").ClusterIp("192.0.2.1").Tcp(80).Created(created).Build();

  const Planned planned = Plan(service, {}, {});

  EXPECT_EQ(planned.plan.creation, created);
  EXPECT_EQ(planned.plan.service, Name("ns/web"));
}

}  // namespace
}  // namespace pointsman
