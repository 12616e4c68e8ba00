// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/driver.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/loop/clock.h"
#include "tests/unit/agent/driver_agent.h"

namespace pointsman {
namespace {

using support::AddForeignChain;
using support::Agent;
using support::Endpoints;
using support::FakeDataplane;
using support::FlushFrontends;
using support::Gone;
using support::Ip;
using support::PutNode;
using support::Running;
using support::ServiceAt;
using support::Slice;
using support::Svc;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(DriverTest, WritesNothingBeforeTheSourceHasDeliveredEverything) {
  Agent agent;
  agent.Put({ServiceAt("ns/web", "192.0.2.1")});

  for (int i = 0; i < 5; ++i) EXPECT_EQ(agent.driver.Step(SteadyNow()), absl::InfiniteFuture());

  EXPECT_EQ(agent.kernel.observations, 0);
  EXPECT_EQ(agent.kernel.commits, 0);
  agent.Sync();
  agent.Settle();
  EXPECT_EQ(agent.Ask("pod", "192.0.2.1:80"), "reject");
}

TEST(DriverTest, ConvergesInOneTransaction) {
  const auto agent = Running();

  EXPECT_EQ(agent->Ask("pod", "192.0.2.1:80"), "deliver 203.0.113.1:80");
  EXPECT_EQ(agent->kernel.transactions, 1);
  EXPECT_EQ(agent->kernel.observations, 1);
  ASSERT_EQ(agent->passes.size(), 1U);
  EXPECT_TRUE(agent->passes[0].full);
  EXPECT_EQ(agent->passes[0].services, 1);
  EXPECT_THAT(agent->errors, IsEmpty());
}

TEST(DriverTest, AnEventIsOneSmallTransactionAndNoListing) {
  const auto agent = Running();

  agent->Put({Endpoints("ns/web", 2)});
  agent->Settle();

  EXPECT_EQ(agent->Ask("pod", "192.0.2.1:80"), "deliver 203.0.113.1:80 203.0.113.2:80");
  EXPECT_EQ(agent->kernel.transactions, 2);
  EXPECT_EQ(agent->kernel.observations, 1);
  EXPECT_FALSE(agent->passes.back().full);
}

TEST(DriverTest, AnEventThatChangesNothingSendsNothing) {
  const auto agent = Running();

  agent->Put({Endpoints("ns/web", 1)});
  agent->Put({Svc("ns/web").ClusterIp("192.0.2.1").Tcp(80).Label("app", "x").Put()});
  agent->Settle();

  EXPECT_EQ(agent->kernel.commits, 1);
}

TEST(DriverTest, AServiceThatGoesLeavesNothingBehind) {
  const auto agent = Running();

  agent->Put({Gone(Kind::kService, "ns/web")});
  agent->Settle();

  EXPECT_EQ(agent->Ask("pod", "192.0.2.1:80"), "pass");
  for (const auto& [name, set] : agent->kernel.ruleset.tables.at(Family::kIpv4).sets)
    EXPECT_THAT(set.elements, IsEmpty());
}

TEST(DriverTest, ARestartOverItsOwnRulesWritesNothing) {
  const auto before = Running();
  Agent after;
  after.kernel.ruleset = before->kernel.ruleset;

  after.Put({ServiceAt("ns/web", "192.0.2.1"), Endpoints("ns/web", 1)});
  after.Sync();
  after.Settle();

  EXPECT_EQ(after.kernel.commits, 0);
}

// --- Strangers ---

TEST(DriverTest, AForeignCommitAbortsOursWhichLooksAgainAndGoesThrough) {
  const auto agent = Running();
  agent->kernel.Meddle(FlushFrontends);

  agent->Put({Endpoints("ns/web", 2)});
  agent->Settle();

  EXPECT_EQ(agent->Ask("pod", "192.0.2.1:80"), "deliver 203.0.113.1:80 203.0.113.2:80");
  EXPECT_EQ(agent->kernel.observations, 2);
  EXPECT_THAT(agent->errors, IsEmpty()) << "a stranger's commit is no error";
  EXPECT_EQ(agent->driver.failures(), 0);
}

TEST(DriverTest, AForeignChangeIsHealedAtTheDriftCheck) {
  const auto agent = Running();
  const nft::Ruleset was = agent->kernel.ruleset;
  agent->kernel.Meddle(FlushFrontends);
  agent->kernel.Meddle(AddForeignChain);

  agent->LaterOn(absl::Seconds(5));

  EXPECT_EQ(agent->kernel.ruleset, was);
  EXPECT_EQ(agent->passes.back().transactions, 2) << "what is ours, then the sweep";
}

TEST(DriverTest, AForeignChangeElsewhereCostsAListingAndNoMore) {
  const auto agent = Running();
  agent->kernel.Meddle([](nft::Ruleset&) {});

  agent->LaterOn(absl::Seconds(5));

  EXPECT_EQ(agent->kernel.observations, 2);
  EXPECT_EQ(agent->kernel.transactions, 1);
}

TEST(DriverTest, WithoutDriftTheCheckIsAllThereIs) {
  const auto agent = Running();

  agent->LaterOn(absl::Seconds(5));

  EXPECT_EQ(agent->kernel.observations, 1);
  EXPECT_EQ(agent->kernel.commits, 1);
}

// Somebody commits between each of our listings and what follows.
class Restless : public FakeDataplane {
 public:
  absl::StatusOr<Observation> Observe() override {
    absl::StatusOr<Observation> observation = FakeDataplane::Observe();
    ++generation;
    return observation;
  }
};

TEST(DriverTest, AgainstStrangersWhoNeverRestItGivesUpTheGuard) {
  Agent<Restless> agent;
  agent.Put({ServiceAt("ns/web", "192.0.2.1")});
  agent.Sync();

  agent.Settle();

  EXPECT_EQ(agent.Ask("pod", "192.0.2.1:80"), "reject");
  EXPECT_EQ(agent.kernel.observations, 4) << "three guarded attempts and the last";
  EXPECT_THAT(agent.errors, IsEmpty());
}

// Will not let go of strangers' chains for some times.
class Clinging : public FakeDataplane {
 public:
  absl::StatusOr<CommitReport> Commit(const nft::ChangeSet& changes, Generation guard) override {
    for (const nft::Op& op : changes) {
      if (std::holds_alternative<nft::DeleteChain>(op) && clings-- > 0) return absl::FailedPreconditionError("in use");
    }
    return FakeDataplane::Commit(changes, guard);
  }
  int clings = 0;
};

TEST(DriverTest, ASweepThatFailsIsToldHoldsNothingUpAndIsDoneAgainAfterADelay) {
  Agent<Clinging> agent;
  agent.kernel.clings = 3;
  agent.kernel.Meddle(AddForeignChain);
  agent.Put({ServiceAt("ns/web", "192.0.2.1")});
  agent.Sync();

  const absl::Time now = SteadyNow();
  for (int i = 0; i < 2; ++i) agent.driver.Step(now);
  EXPECT_EQ(agent.Ask("pod", "192.0.2.1:80"), "reject") << "what matters is in";
  EXPECT_THAT(agent.errors, ElementsAre("sweep: in use"));
  EXPECT_GT(agent.driver.Step(now), now) << "not at once";

  agent.Settle();
  EXPECT_THAT(agent.errors, ElementsAre("sweep: in use", "sweep: in use", "sweep: in use"));
  EXPECT_FALSE(agent.kernel.ruleset.tables.at(Family::kIpv4).chains.contains("foreign"));
}

// --- Flows ---

ObjectChange DnsService(const std::string& cluster_ip) { return Svc("ns/dns").ClusterIp(cluster_ip).Udp(53).Put(); }
ObjectChange DnsEndpoints(const std::vector<std::string>& ips) {
  Slice slice("ns/dns-1", "dns");
  slice.Port(53, "", Protocol::kUdp);
  for (const std::string& ip : ips) slice.Ready(ip);
  return slice.Put();
}

TEST(DriverTest, FlowsAreCleanedAfterTheCommitThatMadeThemStaleAndNoOthers) {
  const auto agent = Running();
  agent->Put({DnsService("192.0.2.10"), DnsEndpoints({"203.0.113.1", "203.0.113.2"})});
  agent->Settle();
  EXPECT_THAT(agent->cleaned, ElementsAre("192.0.2.10:53/udp 2")) << "whoever bypassed the new frontend";
  agent->cleaned.clear();

  agent->Put({DnsEndpoints({"203.0.113.1", "203.0.113.2", "203.0.113.3"}), Endpoints("ns/web", 3)});
  agent->Settle();
  EXPECT_THAT(agent->cleaned, IsEmpty()) << "nobody's flow is stale, and TCP ends by itself";

  agent->Put({DnsEndpoints({"203.0.113.3"})});
  agent->Settle();
  EXPECT_THAT(agent->cleaned, ElementsAre("192.0.2.10:53/udp 1"));
  agent->cleaned.clear();

  agent->Put({DnsService("192.0.2.11")});
  agent->Settle();
  EXPECT_THAT(agent->cleaned, ElementsAre("192.0.2.10:53/udp 0", "192.0.2.11:53/udp 1")) << "no slice has changed";
}

TEST(DriverTest, ACommitThatFailsDoesNotLoseItsCleaning) {
  const auto agent = Running();
  agent->Put({DnsService("192.0.2.10"), DnsEndpoints({"203.0.113.1", "203.0.113.2"})});
  agent->Settle();
  agent->cleaned.clear();
  agent->kernel.commit_faults = {absl::UnavailableError("busy"), absl::AbortedError("moved")};

  agent->Put({DnsEndpoints({"203.0.113.2"})});
  agent->driver.Step(SteadyNow());
  EXPECT_THAT(agent->cleaned, IsEmpty()) << "the old endpoint may still be drawn";
  agent->Settle();

  EXPECT_THAT(agent->cleaned, ElementsAre("192.0.2.10:53/udp 1"));
}

// --- Affinity ---

TEST(DriverTest, SaysWhenThereIsNoRoomToRememberClients) {
  Agent agent;
  agent.Put({Svc("ns/cart").ClusterIp("192.0.2.5").Tcp(80).Affinity(absl::Seconds(60)).Put()});
  agent.Sync();
  agent.Settle();
  agent.LaterOn(absl::Minutes(1));
  EXPECT_THAT(agent.not_remembered, IsEmpty());

  agent.kernel.counted = 7;
  agent.LaterOn(absl::Minutes(3));
  agent.LaterOn(absl::Minutes(5));
  EXPECT_THAT(agent.not_remembered, ElementsAre(7U)) << "told once";

  agent.kernel.counted = 9;
  agent.LaterOn(absl::Minutes(7));
  EXPECT_THAT(agent.not_remembered, ElementsAre(7U, 2U));
}

// --- Failures ---

TEST(DriverTest, AFirstCommitThatFailsIsTriedAgainByItselfAfterADelayThatGrows) {
  Agent agent;
  agent.kernel.commit_faults = {absl::UnavailableError("busy"), absl::UnavailableError("busy")};
  agent.Put({ServiceAt("ns/web", "192.0.2.1"), Endpoints("ns/web", 1)});
  agent.Sync();

  std::vector<absl::Duration> waits;
  absl::Time now = SteadyNow();
  for (int i = 0; i < 20 && !agent.driver.idle(); ++i) {
    const absl::Time next = agent.driver.Step(now);
    if (next > now) {
      waits.push_back(next - SteadyNow());
      now = next;
    }
  }

  EXPECT_EQ(agent.Ask("pod", "192.0.2.1:80"), "deliver 203.0.113.1:80") << "no event came to remind it";
  ASSERT_EQ(waits.size(), 2U);
  EXPECT_LT(waits[0], waits[1]);
}

TEST(DriverTest, ACommitThatFailsLosesNoChange) {
  const auto agent = Running();
  agent->kernel.commit_faults = {absl::UnavailableError("busy")};
  agent->Put({ServiceAt("ns/api", "192.0.2.2"), Gone(Kind::kService, "ns/web")});
  agent->driver.Step(SteadyNow());
  ASSERT_THAT(agent->errors, ElementsAre("commit: busy"));
  EXPECT_EQ(agent->Ask("pod", "192.0.2.1:80"), "deliver 203.0.113.1:80") << "the rules stay as they are";
  EXPECT_FALSE(agent->driver.idle());

  agent->Put({ServiceAt("ns/db", "192.0.2.3")});
  agent->Settle();

  EXPECT_EQ(agent->Ask("pod", "192.0.2.1:80"), "pass");
  EXPECT_EQ(agent->Ask("pod", "192.0.2.2:80"), "reject");
  EXPECT_EQ(agent->Ask("pod", "192.0.2.3:80"), "reject");
  EXPECT_EQ(agent->driver.failures(), 0);
  EXPECT_EQ(agent->driver.last_error(), absl::OkStatus());
}

TEST(DriverTest, AFrontendHandedOverInAPassThatFailedIsHandedOverInTheNext) {
  const auto agent = Running();
  const auto claimant = [](const std::string& name, const std::string& ip, int64_t created) {
    return Svc(name).ClusterIp(ip).ExternalIp("198.51.100.1").Tcp(80).Created(absl::FromUnixSeconds(created)).Put();
  };
  agent->Put({claimant("ns/old", "192.0.2.2", 1), claimant("ns/young", "192.0.2.3", 2), Endpoints("ns/young", 1)});
  agent->Settle();
  ASSERT_EQ(agent->Ask("outside", "198.51.100.1:80"), "reject") << "the old one has no endpoints";
  agent->kernel.commit_faults = {absl::UnavailableError("busy")};

  agent->Put({Gone(Kind::kService, "ns/old")});
  agent->Settle();

  EXPECT_EQ(agent->Ask("outside", "198.51.100.1:80"), "deliver 203.0.113.1:80+snat");
}

TEST(DriverTest, AListingThatFailsIsToldAndTriedAgain) {
  Agent agent;
  agent.kernel.observe_faults = {absl::DataLossError("torn"), absl::UnavailableError("busy")};
  agent.Put({ServiceAt("ns/web", "192.0.2.1")});
  agent.Sync();

  EXPECT_EQ(agent.driver.Step(SteadyNow()), absl::InfinitePast());
  EXPECT_EQ(agent.driver.failures(), 1);
  EXPECT_EQ(agent.driver.last_error().code(), absl::StatusCode::kDataLoss);
  EXPECT_GT(agent.driver.Step(SteadyNow()), SteadyNow()) << "not at once";
  agent.Settle();

  EXPECT_THAT(agent.errors, ElementsAre("observe: torn", "observe: busy"));
  EXPECT_EQ(agent.Ask("pod", "192.0.2.1:80"), "reject");
}

TEST(DriverTest, RefusalsInARowEndInTablesMadeAnew) {
  const auto agent = Running();
  const absl::Status refused = absl::InvalidArgumentError("refused");
  agent->kernel.commit_faults = {refused, refused, refused};

  agent->Put({Endpoints("ns/web", 2)});
  agent->Settle();

  EXPECT_EQ(agent->errors.size(), 3U);
  EXPECT_TRUE(std::holds_alternative<nft::DeleteTable>(agent->kernel.last.front()));
  EXPECT_EQ(agent->Ask("pod", "192.0.2.1:80"), "deliver 203.0.113.1:80 203.0.113.2:80");
  agent->Put({Endpoints("ns/web", 1)});
  agent->Settle();
  EXPECT_EQ(agent->Ask("pod", "192.0.2.1:80"), "deliver 203.0.113.1:80") << "and it goes on from there";
}

TEST(DriverTest, ARebuildDeletesOnlyTablesThatAreThere) {
  Agent agent;
  const absl::Status refused = absl::InvalidArgumentError("refused");
  agent.kernel.commit_faults = {refused, refused, refused};
  agent.Put({ServiceAt("ns/web", "192.0.2.1")});
  agent.Sync();

  agent.Settle();

  EXPECT_TRUE(std::holds_alternative<nft::AddTable>(agent.kernel.last.front()));
  EXPECT_EQ(agent.errors.size(), 3U) << "the rebuild itself was not refused";
}

// --- Diagnostics ---

TEST(DriverTest, AComplaintIsToldOnceUntilItsCauseIsGone) {
  const auto agent = Running();
  const auto bad = Svc("ns/web").ClusterIp("192.0.2.1").Tcp(80).ExternalIp("x").Put();
  agent->Put({bad});
  agent->Settle();
  ASSERT_EQ(agent->diagnostics.size(), 1U);
  EXPECT_THAT(agent->diagnostics[0], HasSubstr("spec.externalIPs[0]"));

  agent->Put({Endpoints("ns/web", 2)});
  agent->Settle();
  agent->kernel.Meddle(FlushFrontends);
  agent->LaterOn(absl::Seconds(5));
  EXPECT_EQ(agent->diagnostics.size(), 1U) << "planned again, not told again";

  agent->Put({ServiceAt("ns/web", "192.0.2.1")});
  agent->Settle();
  agent->Put({bad});
  agent->Settle();
  EXPECT_EQ(agent->diagnostics.size(), 2U) << "mended and broken again";

  agent->Put({Gone(Kind::kService, "ns/web")});
  agent->Settle();
  agent->Put({bad});
  agent->Settle();
  EXPECT_EQ(agent->diagnostics.size(), 3U) << "deleted and made again";
}

TEST(DriverTest, AComplaintIsToldOnceThoughItsCommitFails) {
  const auto agent = Running();
  agent->kernel.commit_faults = {absl::UnavailableError("busy"), absl::UnavailableError("busy")};

  agent->Put({Svc("ns/web").ClusterIp("192.0.2.1").Tcp(81).ExternalIp("x").Put()});
  agent->Settle();

  EXPECT_EQ(agent->diagnostics.size(), 1U);
}

// --- The node ---

TEST(DriverTest, ANewAddressTakesNodePortsAndAnOldOneCeasesTo) {
  Agent agent;
  agent.driver.SetAddresses({Ip("192.168.0.2")});
  agent.Put({Svc("ns/web").ClusterIp("192.0.2.1").Tcp(80, "", 30080).Put(), ServiceAt("ns/other", "192.0.2.2")});
  agent.Sync();
  agent.Settle();
  ASSERT_EQ(agent.Ask("outside", "192.168.0.2:30080"), "reject");
  ASSERT_EQ(agent.Ask("outside", "192.168.0.3:30080"), "pass");

  agent.driver.SetAddresses({Ip("192.168.0.3")});
  agent.Settle();

  EXPECT_EQ(agent.Ask("outside", "192.168.0.2:30080"), "pass");
  EXPECT_EQ(agent.Ask("outside", "192.168.0.3:30080"), "reject");
  EXPECT_EQ(agent.kernel.observations, 1);
}

TEST(DriverTest, TheSameAddressesAgainAreNothingToDo) {
  Agent agent;
  agent.driver.SetAddresses({Ip("192.168.0.2")});
  agent.Sync();
  agent.Settle();

  agent.driver.SetAddresses({Ip("192.168.0.2")});

  EXPECT_TRUE(agent.driver.idle());
}

TEST(DriverTest, WhatWeDoNotUseOfTheNodeIsNoReasonToPlan) {
  const auto agent = Running();
  agent->Put({PutNode({.internal_ips = {"192.168.0.2"}})});
  agent->Settle();
  const size_t passes = agent->passes.size();

  Node heartbeat{.internal_ips = {"192.168.0.2"}};
  heartbeat.meta.labels["heartbeat"] = "1";
  agent->Put({PutNode(heartbeat)});
  agent->Settle();

  ASSERT_EQ(agent->passes.size(), passes + 1);
  EXPECT_FALSE(agent->passes.back().full);
  EXPECT_EQ(agent->passes.back().services, 0);
}

TEST(DriverTest, AnotherZonePlansEverythingAnew) {
  Agent agent;
  EndpointSlice slice = Slice("ns/web-1", "web").Port(80).Ready("203.0.113.1").Ready("203.0.113.2").Build();
  slice.endpoints[0].zone_hints = {"a"};
  slice.endpoints[1].zone_hints = {"b"};
  agent.Put({ServiceAt("ns/web", "192.0.2.1"), {{Kind::kEndpointSlice, slice.meta.name}, PackedObject(slice)}});
  agent.Sync();
  agent.Settle();
  ASSERT_EQ(agent.Ask("pod", "192.0.2.1:80"), "deliver 203.0.113.1:80 203.0.113.2:80");

  Node node;
  node.meta.labels[kZoneLabel] = "b";
  agent.Put({PutNode(node)});
  agent.Settle();

  EXPECT_EQ(agent.Ask("pod", "192.0.2.1:80"), "deliver 203.0.113.2:80");
}

TEST(DriverTest, AServiceCidrThatComesLaterIsHeededAtOnce) {
  const auto agent = Running();
  ASSERT_EQ(agent->Ask("pod", "192.0.2.77:80"), "pass");
  const ServiceCidr cidr{.meta = {.name = {"", "c"}}, .cidrs = {"192.0.2.0/24"}};

  agent->Put({{{Kind::kServiceCidr, cidr.meta.name}, PackedObject(cidr)}});
  agent->Settle();

  EXPECT_EQ(agent->Ask("pod", "192.0.2.77:80"), "drop");
  EXPECT_EQ(agent->kernel.observations, 1);
}

// --- Size classes ---

TEST(DriverTest, AListThatHasBecomeSmallMovesToASmallerClassAfterAWhile) {
  const auto agent = Running();
  agent->Put({Endpoints("ns/web", 8)});
  agent->Settle(absl::ZeroDuration());
  agent->Put({Endpoints("ns/web", 1)});
  agent->Settle(absl::ZeroDuration());
  ASSERT_EQ(agent->ChainOf("ns/web"), "pick_8");

  agent->driver.Step(SteadyNow() + absl::Seconds(61));

  EXPECT_EQ(agent->ChainOf("ns/web"), "pick_1");
  EXPECT_EQ(agent->Ask("pod", "192.0.2.1:80"), "deliver 203.0.113.1:80");
  EXPECT_TRUE(agent->driver.idle());
}

TEST(DriverTest, AListShrinksThoughOtherServicesNeverRest) {
  const auto agent = Running();
  agent->Put({Endpoints("ns/web", 8)});
  agent->Settle(absl::ZeroDuration());
  agent->Put({Endpoints("ns/web", 1)});
  agent->Settle(absl::ZeroDuration());
  agent->Put({ServiceAt("ns/busy", "192.0.2.2")});
  agent->Settle(absl::ZeroDuration());
  ASSERT_EQ(agent->ChainOf("ns/web"), "pick_8");

  agent->Put({Gone(Kind::kService, "ns/busy")});
  agent->driver.Step(SteadyNow() + absl::Seconds(61));

  EXPECT_EQ(agent->ChainOf("ns/web"), "pick_1");
  EXPECT_EQ(agent->Ask("pod", "192.0.2.2:80"), "pass");
}

}  // namespace
}  // namespace pointsman
