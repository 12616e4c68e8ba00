// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "pointsman/packet.h"
#include "tests/unit/rules/packets.h"

namespace pointsman {
namespace {

using support::At;
using support::Ip;
using support::Net;

// One Service of one frontend with two endpoints, written as a plan.
std::shared_ptr<const ServicePlan> PlanOf(const Action& action) {
  PortPlan port{.name = {{"ns", "web"}, "http", Protocol::kTcp}};
  port.frontends = {{{Ip("192.0.2.1"), Protocol::kTcp, 80}, action}};
  port.cluster = {At("203.0.113.1:80"), At("203.0.113.2:80")};
  port.hairpin = {Ip("203.0.113.1")};
  return std::make_shared<const ServicePlan>(ServicePlan{.service = {"ns", "web"}, .ports = {port}});
}

Outcome Send(const std::shared_ptr<const ServicePlan>& plan, const std::string& from) {
  return Resolve({&plan, 1}, {}, support::Send(from, "192.0.2.1:80"));
}

TEST(ResolveTest, AnEndpointThatCallsItselfIsMasqueradedAndOnlyOnTheWayToItself) {
  const auto plan = PlanOf({});

  EXPECT_EQ(FormatOutcome(Send(plan, "203.0.113.1")), "deliver 203.0.113.1:80+snat 203.0.113.2:80");
}

TEST(ResolveTest, AnEndpointOnAnotherNodeThatCallsItselfIsThatNodesBusiness) {
  const auto plan = PlanOf({});

  EXPECT_EQ(FormatOutcome(Send(plan, "203.0.113.2")), "deliver 203.0.113.1:80 203.0.113.2:80");
}

TEST(ResolveTest, ASourceThatIsNotLetInIsDroppedBeforeAnythingElse) {
  const auto plan = PlanOf({.fenced = true, .allow = {Net("198.51.100.0/24")}});

  EXPECT_EQ(FormatOutcome(Send(plan, "198.51.101.1")), "drop");
  EXPECT_EQ(FormatOutcome(Send(plan, "198.51.100.1")), "deliver 203.0.113.1:80 203.0.113.2:80");
}

TEST(ResolveTest, OtherPortsOfAClusterIpAreRefusedAndUnusedServiceAddressesDropped) {
  auto plan = *PlanOf({});
  plan.cluster_ips = {Ip("192.0.2.1")};
  const std::vector<std::shared_ptr<const ServicePlan>> plans = {std::make_shared<const ServicePlan>(plan)};
  const Surroundings around = {.service_cidrs = {Net("192.0.2.0/24")}};

  EXPECT_EQ(FormatOutcome(Resolve(plans, around, support::Send("pod", "192.0.2.1:81"))), "reject");
  EXPECT_EQ(FormatOutcome(Resolve(plans, around, support::Send("pod", "192.0.2.2:80"))), "drop");
  EXPECT_EQ(FormatOutcome(Resolve(plans, around, support::Send("pod", "192.0.3.1:80"))), "pass");
}

TEST(ResolveTest, AServiceCidrAroundTheNodeDoesNotShutItOff) {
  const Surroundings around = {.service_cidrs = {Net("192.0.2.0/24")}, .node_addresses = {Ip("192.0.2.7")}};

  EXPECT_EQ(FormatOutcome(Resolve({}, around, support::Send("outside", "192.0.2.7:22"))), "pass");
  EXPECT_EQ(FormatOutcome(Resolve({}, around, support::Send("outside", "192.0.2.8:22"))), "drop");
}

TEST(ResolveTest, WhatComesInForTheNodeItselfKeepsItsSource) {
  const auto plan = PlanOf({.snat = Snat::kAlways});
  const Surroundings around = {.node_addresses = {Ip("203.0.113.1")}};
  const auto ask = [&](const std::string& from) {
    return FormatOutcome(Resolve({&plan, 1}, around, support::Send(from, "192.0.2.1:80")));
  };

  EXPECT_EQ(ask("outside"), "deliver 203.0.113.1:80 203.0.113.2:80+snat");
  EXPECT_EQ(ask("node"), "deliver 203.0.113.1:80+snat 203.0.113.2:80+snat") << "its own leaves before it comes back";
}

TEST(ResolveTest, PodsAreKnownByTheInterfaceTheyComeInThrough) {
  const auto plan = PlanOf({.snat = Snat::kOutsidePods});
  const auto ask = [&](const LocalDetector& pods, const std::string& interface) {
    Packet packet = support::Send("outside", "192.0.2.1:80");
    packet.in_interface = interface;
    return Resolve({&plan, 1}, {.policy = {.pods = pods}}, packet).deliveries.begin()->snat ? "snat" : "kept";
  };

  EXPECT_STREQ(ask({.interface = "br0"}, "br0"), "kept");
  EXPECT_STREQ(ask({.interface = "br0"}, "br01"), "snat");
  EXPECT_STREQ(ask({.interface = "br0", .interface_prefix = true}, "br01"), "kept");
  EXPECT_STREQ(ask({.interface = "br0", .interface_prefix = true}, ""), "snat");
}

}  // namespace
}  // namespace pointsman
