// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "pointsman/plan.h"
#include "tests/support/builders.h"

namespace pointsman {
namespace {

using support::At;
using support::Name;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Addresses = std::vector<std::string>;

PortPlan Port(Protocol protocol, const Addresses& frontends, const Addresses& serving) {
  PortPlan port;
  port.name.protocol = protocol;
  for (const std::string& frontend : frontends) {
    port.frontends.push_back({.match = {At(frontend).addr, protocol, At(frontend).port}});
  }
  std::sort(port.frontends.begin(), port.frontends.end(),
            [](const Frontend& a, const Frontend& b) { return a.match < b.match; });
  for (const std::string& endpoint : serving) port.serving.push_back(At(endpoint));
  std::sort(port.serving.begin(), port.serving.end());
  return port;
}

PortPlan Udp(const Addresses& frontends, const Addresses& serving) { return Port(Protocol::kUdp, frontends, serving); }

struct Planned {
  std::string service;
  std::vector<PortPlan> ports;
  bool gone = false;
};

Planned Gone(const std::string& service) { return {service, {}, true}; }

PlanPatch Patch(const std::vector<Planned>& services) {
  PlanPatch patch;
  for (const Planned& planned : services) {
    const NamespacedName name = Name(planned.service);
    if (planned.gone) {
      patch.services[name] = nullptr;
    } else {
      patch.services[name] = std::make_shared<const ServicePlan>(ServicePlan{.service = name, .ports = planned.ports});
    }
  }
  return patch;
}

// "192.0.2.1:53/udp keep 203.0.113.1:53 203.0.113.2:53" | "192.0.2.1:53/udp translated"
std::vector<std::string> Texts(const std::vector<FlowCheck>& checks) {
  std::vector<std::string> texts;
  for (const FlowCheck& check : checks) {
    std::string text = FormatMatch(check.frontend);
    if (check.translated_only) absl::StrAppend(&text, " translated");
    if (check.renews) absl::StrAppend(&text, " renews");
    if (!check.keep.empty()) {
      absl::StrAppend(&text, " keep ", absl::StrJoin(check.keep, " ", [](std::string* out, const SocketAddr& addr) {
        absl::StrAppend(out, FormatSocketAddr(addr));
      }));
    }
    texts.push_back(std::move(text));
  }
  return texts;
}

std::vector<std::string> Stage(FlowTracker& tracker, const std::vector<Planned>& services, bool full = false) {
  return Texts(tracker.Stage(Patch(services), full));
}

std::vector<std::string> Commit(FlowTracker& tracker, const std::vector<Planned>& services, bool full = false) {
  std::vector<std::string> texts = Stage(tracker, services, full);
  tracker.Accept();
  return texts;
}

constexpr char kDns[] = "192.0.2.53:53";
constexpr char kOther[] = "192.0.2.54:53";
constexpr char kA[] = "203.0.113.1:5353";
constexpr char kB[] = "203.0.113.2:5353";
constexpr char kC[] = "203.0.113.3:5353";

// --- one commit after another ---

struct Transition {
  const char* name;
  std::vector<Planned> before;
  std::vector<Planned> after;
  std::vector<std::string> checks;
};

class TransitionTest : public ::testing::TestWithParam<Transition> {};

const Transition kTransitions[] = {
    {"ANewFrontendIsCheckedForItWasBypassed",
     {},
     {{"ns/dns", {Udp({kDns}, {kA, kB})}}},
     {"192.0.2.53:53/udp keep 203.0.113.1:5353 203.0.113.2:5353"}},
    {"ANewFrontendThatNobodyServesIsNot", {}, {{"ns/dns", {Udp({kDns}, {})}}}, {}},
    {"NothingChangedMeansNothingToDo", {{"ns/dns", {Udp({kDns}, {kA})}}}, {{"ns/dns", {Udp({kDns}, {kA})}}}, {}},
    {"AnAddedEndpointLeavesNothingStale",
     {{"ns/dns", {Udp({kDns}, {kA})}}},
     {{"ns/dns", {Udp({kDns}, {kA, kB})}}},
     {"192.0.2.53:53/udp renews keep 203.0.113.1:5353 203.0.113.2:5353"}},
    {"ALostEndpointDoes",
     {{"ns/dns", {Udp({kDns}, {kA, kB})}}},
     {{"ns/dns", {Udp({kDns}, {kA})}}},
     {"192.0.2.53:53/udp keep 203.0.113.1:5353"}},
    {"AnExchangedEndpointDoes",
     {{"ns/dns", {Udp({kDns}, {kA, kB})}}},
     {{"ns/dns", {Udp({kDns}, {kA, kC})}}},
     {"192.0.2.53:53/udp keep 203.0.113.1:5353 203.0.113.3:5353"}},
    {"AnotherPortIsAnotherEndpoint",
     {{"ns/dns", {Udp({kDns}, {"203.0.113.1:8080"})}}},
     {{"ns/dns", {Udp({kDns}, {"203.0.113.1:9090"})}}},
     {"192.0.2.53:53/udp keep 203.0.113.1:9090"}},
    {"WithTheLastEndpointFlowsAreLeftAlone", {{"ns/dns", {Udp({kDns}, {kA})}}}, {{"ns/dns", {Udp({kDns}, {})}}}, {}},
    {"TheFirstEndpointEndsThat",
     {{"ns/dns", {Udp({kDns}, {})}}},
     {{"ns/dns", {Udp({kDns}, {kA})}}},
     {"192.0.2.53:53/udp keep 203.0.113.1:5353"}},
    {"OnlyTheFrontendThatIsNewIsChecked",
     {{"ns/dns", {Udp({kDns}, {kA})}}},
     {{"ns/dns", {Udp({kDns, kOther}, {kA})}}},
     {"192.0.2.54:53/udp keep 203.0.113.1:5353"}},
    {"EveryFrontendIsCheckedWhenAnEndpointIsLost",
     {{"ns/dns", {Udp({kDns, kOther}, {kA, kB})}}},
     {{"ns/dns", {Udp({kDns, kOther}, {kB})}}},
     {"192.0.2.53:53/udp keep 203.0.113.2:5353", "192.0.2.54:53/udp keep 203.0.113.2:5353"}},
    {"AWithdrawnFrontendLeavesItsTranslatedFlows",
     {{"ns/dns", {Udp({kDns, kOther}, {kA})}}},
     {{"ns/dns", {Udp({kDns}, {kA})}}},
     {"192.0.2.54:53/udp translated"}},
    {"AWithdrawnFrontendThatNobodyServedToo",
     {{"ns/dns", {Udp({kDns}, {})}}},
     {{"ns/dns", {}}},
     {"192.0.2.53:53/udp translated"}},
    {"AServiceThatIsGoneTakesAllItsFrontends",
     {{"ns/dns", {Udp({kDns, kOther}, {kA})}}},
     {Gone("ns/dns")},
     {"192.0.2.53:53/udp translated", "192.0.2.54:53/udp translated"}},
    {"AnotherPortNumberIsOneGoneAndOneNew",
     {{"ns/dns", {Udp({"192.0.2.53:53"}, {kA})}}},
     {{"ns/dns", {Udp({"192.0.2.53:54"}, {kA})}}},
     {"192.0.2.53:53/udp translated", "192.0.2.53:54/udp keep 203.0.113.1:5353"}},
    {"AnotherProtocolIsOneGoneAndOneNew",
     {{"ns/dns", {Udp({kDns}, {kA})}}},
     {{"ns/dns", {Port(Protocol::kSctp, {kDns}, {kA})}}},
     {"192.0.2.53:53/udp translated", "192.0.2.53:53/sctp keep 203.0.113.1:5353"}},
    {"FromUdpToTcpOnlyTheOldOneIsLookedAt",
     {{"ns/dns", {Udp({kDns}, {kA})}}},
     {{"ns/dns", {Port(Protocol::kTcp, {kDns}, {})}}},
     {"192.0.2.53:53/udp translated"}},
    {"APortThatIsRenamedKeepsItsFlows",
     {{"ns/dns", {Udp({kDns}, {kA}), Udp({kOther}, {kB})}}},
     {{"ns/dns", {Udp({kOther}, {kB}), Udp({kDns}, {kA})}}},
     {}},
    {"APortThatTakesAnothersPlaceIsChecked",
     {{"ns/dns", {Udp({kDns}, {kA}), Udp({kOther}, {kB})}}},
     {{"ns/dns", {Udp({kDns}, {kB}), Udp({kOther}, {kA})}}},
     {"192.0.2.53:53/udp keep 203.0.113.2:5353", "192.0.2.54:53/udp keep 203.0.113.1:5353"}},
    {"AHandOverIsCheckedAgainstTheNewOwner",
     {{"ns/a", {Udp({kDns}, {kA})}}, {"ns/b", {Udp({kOther}, {kB})}}},
     {{"ns/a", {Udp({}, {kA})}}, {"ns/b", {Udp({kDns, kOther}, {kB})}}},
     {"192.0.2.53:53/udp keep 203.0.113.2:5353"}},
    {"AHandOverInTheOtherOrderOfNamesToo",
     {{"ns/b", {Udp({kDns}, {kB})}}},
     {{"ns/a", {Udp({kDns}, {kA})}}, Gone("ns/b")},
     {"192.0.2.53:53/udp keep 203.0.113.1:5353"}},
    {"AHandOverToOneWhoseEndpointsIncludeTheOldOnesToo",
     {{"ns/a", {Udp({kDns}, {kA})}}},
     {Gone("ns/a"), {"ns/b", {Udp({kDns}, {kA, kB})}}},
     {"192.0.2.53:53/udp keep 203.0.113.1:5353 203.0.113.2:5353"}},
    {"AHandOverToOneWithoutEndpointsWaitsForThem",
     {{"ns/a", {Udp({kDns}, {kA})}}},
     {Gone("ns/a"), {"ns/b", {Udp({kDns}, {})}}},
     {}},
    {"TcpIsOfNoInterest",
     {{"ns/web", {Port(Protocol::kTcp, {kDns}, {})}}},
     {{"ns/web", {Port(Protocol::kTcp, {kOther}, {})}}},
     {}},
    {"TcpIsWhereItIsAskedFor",
     {{"ns/web", {Port(Protocol::kTcp, {kDns}, {kA, kB})}}},
     {{"ns/web", {Port(Protocol::kTcp, {kDns}, {kB})}}},
     {"192.0.2.53:53/tcp keep 203.0.113.2:5353"}},
    {"TcpThatLosesItsLastEndpointIsNotTakenForGone",
     {{"ns/web", {Port(Protocol::kTcp, {kDns}, {kA})}}},
     {{"ns/web", {Port(Protocol::kTcp, {kDns}, {})}}},
     {}},
    {"SctpIsAsUdp",
     {{"ns/ss7", {Port(Protocol::kSctp, {kDns}, {kA, kB})}}},
     {{"ns/ss7", {Port(Protocol::kSctp, {kDns}, {kB})}}},
     {"192.0.2.53:53/sctp keep 203.0.113.2:5353"}},
    {"ChecksAreInOrderAcrossServicesAndFamilies",
     {},
     {{"ns/a", {Udp({"[2001:db8::53]:53"}, {"[2001:db8:113::1]:53"}), Udp({kOther}, {kA})}},
      {"ns/b", {Udp({kDns}, {kB})}}},
     {"192.0.2.53:53/udp keep 203.0.113.2:5353", "192.0.2.54:53/udp keep 203.0.113.1:5353",
      "[2001:db8::53]:53/udp keep [2001:db8:113::1]:53"}},
};

INSTANTIATE_TEST_SUITE_P(, TransitionTest, ::testing::ValuesIn(kTransitions),
                         [](const auto& row) { return row.param.name; });

TEST_P(TransitionTest, SaysWhatIsStale) {
  FlowTracker tracker;
  Commit(tracker, GetParam().before);

  EXPECT_EQ(Commit(tracker, GetParam().after), GetParam().checks);

  EXPECT_THAT(Stage(tracker, GetParam().after), IsEmpty()) << "once is enough";
}

// --- longer stories ---

TEST(FlowTrackerTest, AnEndpointLostWhileNobodyServedIsFoundWithTheNextOne) {
  FlowTracker tracker;
  Commit(tracker, {{"ns/dns", {Udp({kDns}, {kA})}}});
  EXPECT_THAT(Commit(tracker, {{"ns/dns", {Udp({kDns}, {})}}}), IsEmpty());
  EXPECT_THAT(Commit(tracker, {{"ns/dns", {Udp({kDns}, {})}}}), IsEmpty());
  EXPECT_THAT(Commit(tracker, {{"ns/dns", {Udp({kDns}, {kB})}}}),
              ElementsAre("192.0.2.53:53/udp keep 203.0.113.2:5353"));
}

TEST(FlowTrackerTest, TcpThatIsAskedForKeepsItsPlaceWithoutEndpoints) {
  FlowTracker tracker;
  const auto tcp = [](const Addresses& serving) { return Port(Protocol::kTcp, {kDns}, serving); };
  Commit(tracker, {{"ns/web", {tcp({kA})}}});
  EXPECT_THAT(Commit(tracker, {{"ns/web", {tcp({})}}}), IsEmpty());
  EXPECT_THAT(Commit(tracker, {{"ns/web", {tcp({})}}}), IsEmpty());
  EXPECT_THAT(Commit(tracker, {{"ns/web", {}}}), ElementsAre("192.0.2.53:53/tcp translated"));
}

TEST(FlowTrackerTest, WhatAFailedCommitWouldHaveLeftStaleIsFoundAgain) {
  FlowTracker tracker;
  Commit(tracker, {{"ns/dns", {Udp({kDns}, {kA, kB})}}, {"ns/other", {Udp({kOther}, {kC})}}});

  EXPECT_THAT(Stage(tracker, {{"ns/dns", {Udp({kDns}, {kB})}}}),
              ElementsAre("192.0.2.53:53/udp keep 203.0.113.2:5353"));
  // Not accepted. Meanwhile something else has happened.
  EXPECT_THAT(Commit(tracker, {{"ns/dns", {Udp({kDns}, {kB, kC})}}, Gone("ns/other")}),
              ElementsAre("192.0.2.53:53/udp keep 203.0.113.2:5353 203.0.113.3:5353", "192.0.2.54:53/udp translated"));
  EXPECT_THAT(Commit(tracker, {{"ns/dns", {Udp({kDns}, {kB, kC})}}, Gone("ns/other")}), IsEmpty());
}

TEST(FlowTrackerTest, WhatWasStagedOnlyIsForgotten) {
  FlowTracker tracker;
  Stage(tracker, {{"ns/dns", {Udp({kDns}, {kA})}}});
  Commit(tracker, {{"ns/other", {Udp({kOther}, {kC})}}});

  EXPECT_THAT(Stage(tracker, {Gone("ns/dns")}), IsEmpty()) << "it never was in the kernel";
}

TEST(FlowTrackerTest, AFullPatchNamesEveryServiceThereIs) {
  FlowTracker tracker;
  Commit(tracker, {{"ns/dns", {Udp({kDns}, {kA})}}, {"ns/other", {Udp({kOther}, {kC})}}});

  EXPECT_THAT(Commit(tracker, {{"ns/dns", {Udp({kDns}, {kA})}}}, /*full=*/false), IsEmpty());
  EXPECT_THAT(Commit(tracker, {{"ns/dns", {Udp({kDns}, {kA})}}}, /*full=*/true),
              ElementsAre("192.0.2.54:53/udp translated"));
  EXPECT_THAT(Commit(tracker, {{"ns/dns", {Udp({kDns}, {kA})}}}, /*full=*/true), IsEmpty());
}

TEST(FlowTrackerTest, AServiceThatNobodyHeardOfMayBeGone) {
  FlowTracker tracker;
  EXPECT_THAT(Commit(tracker, {Gone("ns/dns")}), IsEmpty());
}

// --- reference/service-semantics.md 18.14 ---

// One check for each frontend is the whole of it: K01 to K04 and K09 are what the check says of a flow, K05 and K10 are
// frontends that have none, K06 and K07 the NodePort, at the node's addresses.
TEST(FlowTrackerTest, TheReferenceServiceIsCheckedAtItsUdpFrontendsForWhoServes) {
  FlowTracker tracker;
  const Addresses frontends = {"192.0.2.80:8000", "198.51.100.4:8000", "198.51.100.100:8000"};
  const auto service = [&](const Addresses& serving) {
    std::vector<PortPlan> ports = {Port(Protocol::kTcp, frontends, {}), Udp(frontends, serving)};
    ports[1].frontends.push_back(
        {.match = {At("198.51.100.200:32000").addr, Protocol::kUdp, 32000}, .node_port = true});
    return std::vector<Planned>{{"ns/web", ports}};
  };
  const std::string serving = "203.0.113.4:9090";

  Commit(tracker, service({serving, "203.0.113.5:9090", "203.0.113.6:9090"}));
  EXPECT_THAT(
      Commit(tracker, service({serving})),
      ElementsAre("192.0.2.80:8000/udp keep 203.0.113.4:9090", "198.51.100.4:8000/udp keep 203.0.113.4:9090",
                  "198.51.100.100:8000/udp keep 203.0.113.4:9090", "198.51.100.200:32000/udp keep 203.0.113.4:9090"));
  EXPECT_THAT(Commit(tracker, service({})), IsEmpty()) << "K11";
}

}  // namespace
}  // namespace pointsman
