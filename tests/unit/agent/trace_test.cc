// SPDX-License-Identifier: Apache-2.0
#include "agent/cmd/trace.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "pointsman/nft_program.h"
#include "tests/support/builders.h"

namespace pointsman {
namespace {

using support::At;
using support::Ip;
using support::Net;
using ::testing::HasSubstr;

// --- arguments ---

std::string Describe(const TraceQuery& query) {
  return absl::StrCat(query.source ? FormatIp(*query.source) : "node", " ", FormatSocketAddr(query.dest), " ",
                      FormatProtocol(query.protocol));
}

struct QueryRow {
  const char* source;
  const char* dest;
  const char* understood;  // as Describe() says it, or a part of the message
};

class TraceQueryTest : public ::testing::TestWithParam<QueryRow> {};

TEST_P(TraceQueryTest, IsUnderstood) {
  const absl::StatusOr<TraceQuery> query = ParseTraceQuery(GetParam().source, GetParam().dest, "");

  ASSERT_TRUE(query.ok()) << query.status();
  EXPECT_EQ(Describe(*query), GetParam().understood);
}

INSTANTIATE_TEST_SUITE_P(Agent, TraceQueryTest,
                         ::testing::Values(QueryRow{"203.0.113.9", "192.0.2.1:80", "203.0.113.9 192.0.2.1:80 tcp"},
                                           QueryRow{"node", "192.0.2.1:53/udp", "node 192.0.2.1:53 udp"},
                                           QueryRow{"Node", "192.0.2.1:53/UDP", "node 192.0.2.1:53 udp"},
                                           QueryRow{"node", "192.0.2.1:65535/Sctp", "node 192.0.2.1:65535 sctp"},
                                           QueryRow{"2001:db8::9", "[2001:db8::1]:80",
                                                    "2001:db8::9 [2001:db8::1]:80 tcp"},
                                           QueryRow{"node", "[2001:db8::1]:53/udp", "node [2001:db8::1]:53 udp"}));

class TraceQueryErrorTest : public ::testing::TestWithParam<QueryRow> {};

TEST_P(TraceQueryErrorTest, SaysWhatToWriteInstead) {
  const absl::StatusOr<TraceQuery> query = ParseTraceQuery(GetParam().source, GetParam().dest, "");

  EXPECT_EQ(query.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(query.status().message()), HasSubstr(GetParam().understood));
}

INSTANTIATE_TEST_SUITE_P(
    Agent, TraceQueryErrorTest,
    ::testing::Values(QueryRow{"nod", "192.0.2.1:80", "SOURCE \"nod\": did you mean node?"},
                      QueryRow{"203.0.113.999", "192.0.2.1:80", "SOURCE \"203.0.113.999\": write an address"},
                      QueryRow{"203.0.113.0/24", "192.0.2.1:80", "write an address"},
                      QueryRow{"node", "192.0.2.1", "write ADDRESS:PORT[/PROTOCOL]"},
                      QueryRow{"node", "192.0.2.1:", "a port is a number from 1 to 65535"},
                      QueryRow{"node", "192.0.2.1:0", "a port is a number from 1 to 65535"},
                      QueryRow{"node", "192.0.2.1:65536", "a port is a number from 1 to 65535"},
                      QueryRow{"node", "192.0.2.1:http", "a port is a number from 1 to 65535"},
                      QueryRow{"node", "shop/web:http", "write ADDRESS:PORT[/PROTOCOL]"},
                      QueryRow{"node", "192.0.2.1:80/", "unknown protocol"},
                      QueryRow{"node", "192.0.2.1:80/upd", "unknown protocol upd; did you mean udp?"},
                      QueryRow{"node", "192.0.2.1:80/icmp", "unknown protocol icmp"},
                      QueryRow{"node", "2001:db8::1:80", "stands in brackets"},
                      QueryRow{"node", "2001:db8::1", "stands in brackets"},
                      QueryRow{"node", "[2001:db8::1]", "write ADDRESS:PORT[/PROTOCOL]"},
                      QueryRow{"node", "[2001:db8::1:80", "stands in brackets"},
                      QueryRow{"node", "[192.0.2.1]:80", "write ADDRESS:PORT[/PROTOCOL]"},
                      QueryRow{"203.0.113.9", "[2001:db8::1]:80", "203.0.113.9 is IPv4 and [2001:db8::1]:80 is IPv6"}));

// --- the packet ---

NodeInfo ThisNode() {
  return {.name = "n1",
          .node_port_addresses = {Ip("198.51.100.7")},
          .local_addresses = {Ip("127.0.0.1"), Ip("198.51.100.1"), Ip("198.51.100.7"), Ip("fe80::1")}};
}

absl::StatusOr<Packet> PacketFor(const std::string& source, const std::string& dest,
                                 const std::string& interface = "") {
  return MakePacket(ParseTraceQuery(source, dest, interface).value(), ThisNode());
}

TEST(TracePacketOfTest, ThisNodeSendsFromThePrimaryAddressOfTheFamily) {
  const absl::StatusOr<Packet> packet = PacketFor("node", "192.0.2.1:80");

  ASSERT_TRUE(packet.ok()) << packet.status();
  EXPECT_EQ(FormatIp(packet->source), "198.51.100.7");
  EXPECT_TRUE(packet->from_node);
}

TEST(TracePacketOfTest, ALinkLocalAddressIsNoneToSendFrom) {
  EXPECT_THAT(std::string(PacketFor("node", "[2001:db8::1]:80").status().message()), HasSubstr("no IPv6 address"));
}

TEST(TracePacketOfTest, AnyAddressOfThisNodeMakesThePacketItsOwn) {
  EXPECT_TRUE(PacketFor("198.51.100.1", "192.0.2.1:80")->from_node);
  EXPECT_TRUE(PacketFor("127.0.0.1", "192.0.2.1:80")->from_node);
  EXPECT_FALSE(PacketFor("198.51.100.2", "192.0.2.1:80")->from_node);
}

TEST(TracePacketOfTest, WhatTheNodeSendsCannotComeIn) {
  EXPECT_EQ(PacketFor("198.51.100.2", "192.0.2.1:80", "eth0")->in_interface, "eth0");
  EXPECT_THAT(std::string(PacketFor("node", "192.0.2.1:80", "eth0").status().message()), HasSubstr("--in-interface"));
}

// --- the explanation ---

struct Case {
  std::vector<std::shared_ptr<const ServicePlan>> plans;
  nft::BaseSettings settings;
  nft::Ruleset program;
};

Case OneService(const LocalDetector& pods = {}) {
  Case c;
  PortPlan port{.name = {{"shop", "web"}, "http", Protocol::kTcp}};
  port.frontends = {{.match = {Ip("192.0.2.1"), Protocol::kTcp, 80}, .action = {.snat = Snat::kOutsidePods}}};
  port.cluster = {At("203.0.113.11:8080"), At("203.0.113.12:8080")};
  c.plans = {std::make_shared<const ServicePlan>(
      ServicePlan{.service = {"shop", "web"}, .ports = {port}, .cluster_ips = {Ip("192.0.2.1")}})};
  c.settings.policy.pods = pods;
  c.program = nft::CompileAll(c.plans, c.settings);
  return c;
}

TraceReport Explain(const Case& c, const Packet& packet, const absl::StatusOr<nft::Ruleset>& kernel) {
  const Surroundings around = {.policy = c.settings.policy, .node_addresses = {Ip("198.51.100.1")}};
  return ExplainPacket(packet, c.plans, around, c.program, kernel).value();
}

Packet From(const std::string& source, const std::string& interface = "") {
  return {.source = Ip(source), .dest = Ip("192.0.2.1"), .port = 80, .in_interface = interface};
}

TEST(ExplainPacketTest, PlanAndKernelAgreeOnWhatWasCompiled) {
  const Case c = OneService();
  const TraceReport report = Explain(c, From("203.0.113.9"), c.program);

  EXPECT_EQ(report.service, "shop/web:http");
  EXPECT_EQ(report.service_detail, "its ClusterIP");
  EXPECT_EQ(report.plan, report.kernel);
  EXPECT_FALSE(report.path.empty());
  EXPECT_EQ(ExitStatus(report), 0);
}

TEST(ExplainPacketTest, TheNodesOwnAddressIsInUseWhateverTheServicesRange) {
  Case c = OneService();
  c.settings.service_cidrs = {Cidr::Parse("198.51.100.0/24").value()};
  c.program = nft::CompileAll(c.plans, c.settings);
  const Surroundings around = {.service_cidrs = c.settings.service_cidrs, .node_addresses = {Ip("198.51.100.1")}};
  const auto explain = [&](const std::string& dest) {
    const Packet packet = {.source = Ip("203.0.113.9"), .dest = Ip(dest), .port = 22};
    return ExplainPacket(packet, c.plans, around, c.program, c.program).value();
  };

  EXPECT_EQ(explain("198.51.100.1").service_detail, "");
  EXPECT_EQ(ExitStatus(explain("198.51.100.1")), 0);
  EXPECT_THAT(explain("198.51.100.2").service_detail, HasSubstr("in no use"));
}

TEST(ExplainPacketTest, AKernelThatCannotBeFollowedIsAnotherThanPlanned) {
  const Case c = OneService();
  nft::Ruleset kernel = c.program;
  kernel.tables[Family::kIpv4].chains["services"].rules.insert(
      kernel.tables[Family::kIpv4].chains["services"].rules.begin(), {.exprs = {nft::Foreign{.name = "limit"}}});
  const TraceReport report = Explain(c, From("203.0.113.9"), kernel);

  EXPECT_EQ(report.kernel_state, TraceReport::Kernel::kNotUnderstood);
  EXPECT_THAT(FormatTraceText(report), HasSubstr("kernel:  cannot be followed: cannot simulate expression limit"));
  EXPECT_THAT(FormatTraceText(report), HasSubstr("path through the rules the kernel should have:"));
  EXPECT_EQ(ExitStatus(report), 1);
}

TEST(ExplainPacketTest, AKernelWithTheOtherFamilyOnlyHasNoTable) {
  const Case c = OneService();
  nft::Ruleset kernel = c.program;
  kernel.tables.erase(Family::kIpv4);
  const TraceReport report = Explain(c, From("203.0.113.9"), kernel);

  EXPECT_EQ(report.kernel_state, TraceReport::Kernel::kEmpty);
  EXPECT_EQ(ExitStatus(report), 1);
}

TEST(ExplainPacketTest, WhatCannotBeComparedNeitherAgreesNorDiffers) {
  const Case c = OneService();
  const TraceReport report = Explain(c, From("203.0.113.9"), absl::PermissionDeniedError("no"));

  EXPECT_EQ(ExitStatus(report), 2);
  EXPECT_THAT(FormatTraceJson(report), HasSubstr(R"("agree":null)"));
}

TEST(ExplainPacketTest, OnlyADifferentSourceIsADifferenceToo) {
  const Case c = OneService({.cidrs = {Net("203.0.113.0/24")}});
  nft::Ruleset kernel = c.program;
  kernel.tables[Family::kIpv4].sets["pod_cidrs"].elements.clear();
  const TraceReport report = Explain(c, From("203.0.113.9"), kernel);

  EXPECT_EQ(ExitStatus(report), 1);
  EXPECT_THAT(FormatTraceText(report), HasSubstr("the plan alone has 203.0.113.11:8080 source kept"));
  EXPECT_THAT(FormatTraceText(report), HasSubstr("the kernel alone has 203.0.113.11:8080 masqueraded"));
}

struct SenderRow {
  const char* name;
  LocalDetector pods;
  Packet packet;
  const char* sender;
};

class TraceSenderTest : public ::testing::TestWithParam<SenderRow> {};

TEST_P(TraceSenderTest, IsTakenForWhatTheReasonSays) {
  const Case c = OneService(GetParam().pods);
  const std::string text = FormatTraceText(Explain(c, GetParam().packet, c.program));

  EXPECT_THAT(text, HasSubstr(absl::StrCat("\nsender:  ", GetParam().sender, "\n")));
}

std::vector<SenderRow> SenderRows() {
  const LocalDetector cidrs = {.cidrs = {Net("203.0.113.0/24"), Net("2001:db8:1::/64")}};
  const LocalDetector bridge = {.interface = "cni0"};
  const LocalDetector prefix = {.interface = "veth", .interface_prefix = true};
  Packet node = From("198.51.100.1");
  node.from_node = true;
  Packet node_in_range = From("203.0.113.1");
  node_in_range.from_node = true;
  return {
      {"PodByCidr", cidrs, From("203.0.113.9"), "pod: 203.0.113.9 is in 203.0.113.0/24"},
      {"OutsideByCidr", cidrs, From("198.51.100.2"),
       "outside: 198.51.100.2 is no address of this node and not in 203.0.113.0/24"},
      {"Node", cidrs, node, "this node: 198.51.100.1 is an address of this node"},
      {"NodeInThePodsRange", cidrs, node_in_range,
       "this node: 203.0.113.1 is an address of this node, and counts as a pod's: 203.0.113.0/24"},
      {"NothingToGoBy",
       {},
       From("203.0.113.9"),
       "outside: 203.0.113.9 is no address of this node, and nothing says where IPv4 pods are (--cluster-cidr)"},
      {"PodByBridge", bridge, From("203.0.113.9", "cni0"), "pod: it comes in through cni0, pods through cni0"},
      {"OutsideByBridge", bridge, From("203.0.113.9", "eth0"), "outside: it comes in through eth0, pods through cni0"},
      {"PodByPrefix", prefix, From("203.0.113.9", "veth3"), "pod: it comes in through veth3, pods through veth*"},
      {"InterfaceUnknown", prefix, From("203.0.113.9"),
       "outside: nobody said through which interface it comes in (--in-interface), pods through veth*"},
  };
}

INSTANTIATE_TEST_SUITE_P(Agent, TraceSenderTest, ::testing::ValuesIn(SenderRows()),
                         [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace pointsman
