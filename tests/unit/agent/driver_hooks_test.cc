// SPDX-License-Identifier: Apache-2.0
//
// What a driver tells of itself: when, and only then.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/reconcile/driver.h"
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
using support::Name;
using support::PutNode;
using support::Running;
using support::ServiceAt;
using support::Slice;
using support::Svc;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

// --- Progress ---

TEST(DriverHooksTest, NothingIsPendingBeforeEverythingHasArrived) {
  Agent agent;

  agent.Put({ServiceAt("ns/web", "192.0.2.1"), Endpoints("ns/web", 1)});
  agent.driver.SetAddresses({Ip("192.168.0.2")});
  EXPECT_THAT(agent.Told(), ElementsAre("took 1+1"));
  agent.Sync();
  EXPECT_THAT(agent.Told(), ElementsAre("pending"));

  agent.Settle();
  EXPECT_THAT(agent.Told(), ElementsAre("observed", "facts", "pass", "settled"));
}

TEST(DriverHooksTest, AChangeIsPendingUntilItIsInTheKernelAndSettledOnce) {
  const auto agent = Running();
  agent->Told();

  agent->Put({ServiceAt("ns/api", "192.0.2.2"), Endpoints("ns/api", 1), Endpoints("ns/web", 2)});
  EXPECT_THAT(agent->Told(), ElementsAre("took 1+2", "pending")) << "what comes together is one change";
  agent->Settle();
  EXPECT_THAT(agent->Told(), ElementsAre("facts", "pass", "settled"));

  agent->LaterOn(absl::Minutes(5));
  EXPECT_THAT(agent->Told(), IsEmpty()) << "a look at the generation is no progress";
}

TEST(DriverHooksTest, AnEventThatChangesNothingIsNotPendingNorCounted) {
  const auto agent = Running();
  agent->Told();

  agent->Put({Endpoints("ns/web", 1), ServiceAt("ns/web", "192.0.2.1")});
  agent->driver.Wake();
  agent->Settle();

  EXPECT_THAT(agent->Told(), IsEmpty()) << "what is counted as pending would be so for ever";
}

TEST(DriverHooksTest, ChangesOfOtherKindsArePendingAndAreNeitherServiceNorSlice) {
  const auto agent = Running();
  agent->Told();

  agent->Put({PutNode({.internal_ips = {"192.168.0.2"}})});

  EXPECT_THAT(agent->Told(), ElementsAre("pending"));
}

TEST(DriverHooksTest, PendingIsToldAgainForEachChangeOnTopAndSettledForAllOfThem) {
  const auto agent = Running();
  agent->Told();
  agent->kernel.commit_faults = {absl::UnavailableError("busy")};

  agent->Put({Endpoints("ns/web", 2)});
  agent->driver.Step(SteadyNow());
  agent->Put({Endpoints("ns/web", 2)});  // nothing new
  agent->Put({Endpoints("ns/web", 3)});
  EXPECT_THAT(agent->Told(), ElementsAre("took 0+1", "pending", "error", "took 0+1", "pending"));

  agent->Settle();
  EXPECT_THAT(agent->Told(), ElementsAre("observed", "facts", "pass", "settled"));
}

TEST(DriverHooksTest, ACommitThatIsRefusedSettlesNothing) {
  const auto agent = Running();
  agent->Told();
  agent->kernel.commit_faults = {absl::UnavailableError("busy"), absl::UnavailableError("busy")};

  agent->Put({Endpoints("ns/web", 2)});
  agent->Settle();

  EXPECT_THAT(agent->Told(),
              ElementsAre("took 0+1", "pending", "error", "observed", "error", "observed", "facts", "pass", "settled"));
}

TEST(DriverHooksTest, NewAddressesArePendingAndTheSameAreNot) {
  const auto agent = Running();
  agent->Told();

  agent->driver.SetAddresses({Ip("192.168.0.2")});
  EXPECT_THAT(agent->Told(), ElementsAre("pending"));
  agent->Settle();
  agent->Told();

  agent->driver.SetAddresses({Ip("192.168.0.2")});
  EXPECT_THAT(agent->Told(), IsEmpty());
}

TEST(DriverHooksTest, AListingThatFailsIsToldAsOne) {
  Agent agent;
  agent.kernel.observe_faults = {absl::DataLossError("torn")};
  agent.Sync();

  agent.Settle();

  EXPECT_THAT(agent.Told(), ElementsAre("pending", "not observed", "error", "observed", "facts", "pass", "settled"));
}

// --- What a pass took, and since when ---

const absl::Time kNoon = absl::FromUnixSeconds(1'700'000'000);

ObjectChange EndpointsAt(const std::string& service, int count, int second) {
  ObjectChange change = Endpoints(service, count);
  change.triggers = {kNoon + absl::Seconds(second)};
  return change;
}
std::vector<int64_t> Seconds(const PassReport& report) {
  std::vector<int64_t> seconds;
  for (const ChangeTimes::Trigger& trigger : report.triggers) {
    EXPECT_EQ(trigger.family, Family::kIpv4);
    seconds.push_back(absl::ToInt64Seconds(trigger.at - kNoon));
  }
  return seconds;
}

TEST(DriverHooksTest, ThePassThatBringsChangesIntoTheKernelTellsWhenTheyHappenedAndNoOther) {
  const auto agent = Running();
  const absl::Time before = SteadyNow();

  agent->Put({EndpointsAt("ns/web", 2, 1)});
  agent->Put({EndpointsAt("ns/web", 3, 2)});
  agent->Put({EndpointsAt("ns/web", 3, 3)});  // nothing new
  agent->Settle();
  EXPECT_THAT(Seconds(agent->passes.back()), ElementsAre(1, 2));
  EXPECT_GT(agent->passes.back().done, before);
  EXPECT_LT(agent->passes.back().done, SteadyNow());

  agent->Put({ServiceAt("ns/api", "192.0.2.2")});
  agent->Settle();
  EXPECT_THAT(Seconds(agent->passes.back()), IsEmpty());
}

TEST(DriverHooksTest, TimesOutliveARefusedTransactionAndAStrangersCommit) {
  const auto agent = Running();
  agent->kernel.commit_faults = {absl::UnavailableError("busy"), absl::AbortedError("generation moved")};

  agent->Put({EndpointsAt("ns/web", 2, 1)});
  agent->driver.Step(SteadyNow());
  agent->Put({EndpointsAt("ns/web", 3, 2)});
  agent->Settle();

  ASSERT_THAT(agent->failed, SizeIs(2));
  EXPECT_THAT(Seconds(agent->failed[0]), IsEmpty());
  EXPECT_THAT(Seconds(agent->passes.back()), ElementsAre(1, 2));
}

TEST(DriverHooksTest, APassThatFailedIsToldAsFarAsItCame) {
  const auto agent = Running();
  agent->kernel.commit_faults = {absl::UnavailableError("busy")};
  EXPECT_THAT(agent->failed, IsEmpty());

  agent->Put({Endpoints("ns/web", 2)});
  agent->driver.Step(SteadyNow());

  ASSERT_THAT(agent->failed, SizeIs(1));
  const PassReport& report = agent->failed[0];
  EXPECT_TRUE(report.waiting);
  EXPECT_GT(report.planning, absl::ZeroDuration());
  EXPECT_GT(report.compiling, absl::ZeroDuration());
  EXPECT_GT(report.committing, absl::ZeroDuration());
  EXPECT_FALSE(report.encoding) << "what of it was that, nobody has told";
  EXPECT_EQ(report.transactions, 0);
  EXPECT_FALSE(report.full);
}

TEST(DriverHooksTest, AChangeWaitsSinceItWasKnownUntilAPassThatSucceeds) {
  const auto agent = Running();
  const auto put = [&](int endpoints, absl::Duration ago) {
    agent->inbox.Put({Endpoints("ns/web", endpoints)}, SteadyNow() - ago);
    agent->driver.Wake();
  };
  const auto waited = [](const PassReport& report) { return report.waiting.value_or(-absl::InfiniteDuration()); };

  agent->kernel.commit_faults = {absl::UnavailableError("busy")};
  put(2, absl::Seconds(30));
  put(3, absl::Seconds(10));
  put(3, absl::Seconds(90));  // nothing new
  agent->Settle();
  ASSERT_THAT(agent->failed, SizeIs(1));
  for (const PassReport& report : {agent->failed.back(), agent->passes.back()}) {
    EXPECT_GE(waited(report), absl::Seconds(30));
    EXPECT_LT(waited(report), absl::Seconds(60));
  }

  put(4, absl::Seconds(5));
  agent->Settle();
  EXPECT_LT(waited(agent->passes.back()), absl::Seconds(20));

  agent->kernel.Meddle(FlushFrontends);
  agent->LaterOn(absl::Seconds(5));
  EXPECT_FALSE(agent->passes.back().waiting) << "nothing had changed but the kernel";
}

// Encodes for a second and commits for two.
class Slow : public FakeDataplane {
 public:
  absl::StatusOr<CommitReport> Commit(const nft::ChangeSet& changes, Generation guard) override {
    absl::StatusOr<CommitReport> report = FakeDataplane::Commit(changes, guard);
    if (report.ok()) report->encoding = absl::Seconds(1);
    if (report.ok()) report->committing = absl::Seconds(2);
    return report;
  }
};

TEST(DriverHooksTest, EncodingIsToldApartFromTheTransactionAndOfThatAlone) {
  const auto agent = Running<Slow>();
  agent->kernel.Meddle([](nft::Ruleset& ruleset) {
    AddForeignChain(ruleset);
    FlushFrontends(ruleset);
  });

  agent->LaterOn(absl::Seconds(5));

  const PassReport& report = agent->passes.back();
  ASSERT_EQ(report.transactions, 2) << "one repairs, one sweeps";
  EXPECT_EQ(report.encoding, absl::Seconds(1));
  EXPECT_LT(report.committing, absl::ZeroDuration()) << "the clock has not seen the second it says it took";
  EXPECT_EQ(report.commit.encoding, absl::Seconds(2));
  EXPECT_EQ(report.commit.committing, absl::Seconds(4));
}

// --- Strangers ---

TEST(DriverHooksTest, AStrangersCommitInBetweenIsAConflictAndNoError) {
  const auto agent = Running();
  agent->Told();
  agent->kernel.Meddle([](nft::Ruleset&) {});

  agent->Put({Endpoints("ns/web", 2)});
  agent->Settle();

  EXPECT_THAT(agent->Told(), ElementsAre("took 0+1", "pending", "conflict", "observed", "facts", "pass", "settled"));
}

// Somebody commits right after our own first transaction.
class Followed : public FakeDataplane {
 public:
  absl::StatusOr<CommitReport> Commit(const nft::ChangeSet& changes, Generation guard) override {
    absl::StatusOr<CommitReport> report = FakeDataplane::Commit(changes, guard);
    if (transactions == follow_after) ++generation;
    return report;
  }
  int follow_after = -1;
};

TEST(DriverHooksTest, AConflictWhileSweepingIsOneTooAndWhatWasSweptCountsAsSettledLater) {
  const auto agent = Running<Followed>();
  agent->Told();
  agent->kernel.Meddle(FlushFrontends);
  agent->kernel.Meddle(AddForeignChain);
  agent->kernel.follow_after = agent->kernel.transactions + 1;

  agent->LaterOn(absl::Seconds(5));

  EXPECT_THAT(agent->Told(),
              ElementsAre("pending", "observed", "facts", "conflict", "pass", "observed", "facts", "pass", "settled"));
  EXPECT_THAT(agent->errors, IsEmpty());
  EXPECT_FALSE(agent->kernel.ruleset.tables.at(Family::kIpv4).chains.contains("mine"));
}

struct DriftCase {
  const char* name;
  void (*meddle)(nft::Ruleset&);
  bool repaired;
};

class DriverDriftTest : public ::testing::TestWithParam<DriftCase> {};

TEST_P(DriverDriftTest, IsLookedAtAndToldAsRepairedIfThereWasAnythingToRepair) {
  const auto agent = Running();
  agent->Told();
  EXPECT_FALSE(agent->passes.back().repaired) << "the first rules repair nothing";
  agent->kernel.Meddle(GetParam().meddle);

  agent->LaterOn(absl::Seconds(5));
  EXPECT_EQ(agent->passes.back().repaired, GetParam().repaired);
  EXPECT_THAT(agent->Told(), ElementsAre("pending", "observed", "facts", "pass", "settled"));

  agent->Put({Endpoints("ns/web", 2)});
  agent->Settle();
  EXPECT_FALSE(agent->passes.back().repaired) << "a change of ours is no repair";
}

INSTANTIATE_TEST_SUITE_P(Strangers, DriverDriftTest,
                         ::testing::Values(DriftCase{"OursWasFlushed", FlushFrontends, true},
                                           DriftCase{"TheirsIsInOurTable", AddForeignChain, true},
                                           DriftCase{"Elsewhere", [](nft::Ruleset&) {}, false}),
                         [](const auto& row) { return row.param.name; });

// --- Facts ---

// A load balancer's Service that answers health checks at `port`; 0: does not.
ObjectChange Balanced(const std::string& name, const std::string& ip, uint16_t port) {
  Svc service(name);
  service.ClusterIp(ip).Type(ServiceType::kLoadBalancer).Tcp(80, "", 30080);
  if (port != 0) service.ExternalLocal().HealthCheckPort(port);
  return service.Put();
}
ObjectChange EndpointOn(const std::string& service, const std::string& node) {
  return Slice(service + "-1", service.substr(service.find('/') + 1)).Port(80).Ready("203.0.113.1", node).Put();
}

const ServiceFacts kNothing;

TEST(DriverHooksTest, FactsAreOfTheServicesTouchedAndNoOthers) {
  const auto agent = Running();
  EXPECT_THAT(agent->facts, ElementsAre(Pair(IsEmpty(), true))) << "nothing to say of any";
  agent->facts.clear();

  agent->Put({Balanced("ns/a", "192.0.2.2", 30201), EndpointOn("ns/a", "n1")});
  agent->Settle();
  ASSERT_THAT(agent->facts, SizeIs(1));
  const auto [first, all] = agent->facts.back();
  EXPECT_FALSE(all);
  ASSERT_THAT(first, ElementsAre(Pair(Name("ns/a"), ::testing::_)));
  ASSERT_TRUE(first.begin()->second.health);
  EXPECT_EQ(first.begin()->second.health->port, 30201);
  EXPECT_EQ(first.begin()->second.health->local_ipv4, 1);
  EXPECT_EQ(first.begin()->second.health->local_ipv6, std::nullopt);

  agent->Put({Endpoints("ns/web", 2)});
  agent->Settle();
  EXPECT_THAT(agent->facts.back(), Pair(ElementsAre(Pair(Name("ns/web"), kNothing)), false));
}

TEST(DriverHooksTest, AServiceThatLosesItsHealthCheckOrIsGoneGetsEmptyFacts) {
  for (const bool deleted : {false, true}) {
    const auto agent = Running();
    agent->Put({Balanced("ns/a", "192.0.2.2", 30201), EndpointOn("ns/a", "n1")});
    agent->Settle();

    agent->Put({deleted ? Gone(Kind::kService, "ns/a") : Balanced("ns/a", "192.0.2.2", 0)});
    agent->Settle();

    EXPECT_THAT(agent->facts.back(), Pair(ElementsAre(Pair(Name("ns/a"), kNothing)), false)) << deleted;
  }
}

TEST(DriverHooksTest, AFullPassTellsTheFactsOfAllWhoHaveAny) {
  const auto agent = Running();
  agent->Put({Balanced("ns/a", "192.0.2.2", 30201), Balanced("ns/b", "192.0.2.3", 30202), EndpointOn("ns/a", "n1"),
              EndpointOn("ns/b", "elsewhere")});
  agent->Settle();
  agent->kernel.Meddle(FlushFrontends);

  agent->LaterOn(absl::Seconds(5));

  const auto& [facts, all] = agent->facts.back();
  EXPECT_TRUE(all);
  ASSERT_THAT(facts, ElementsAre(Pair(Name("ns/a"), ::testing::_), Pair(Name("ns/b"), ::testing::_)));
  EXPECT_EQ(facts.at(Name("ns/a")).health->local_ipv4, 1);
  EXPECT_EQ(facts.at(Name("ns/a")).no_local_ipv4, NoLocalEndpoints());
  EXPECT_EQ(facts.at(Name("ns/b")).health->local_ipv4, 0);
  EXPECT_EQ(facts.at(Name("ns/b")).no_local_ipv4, (NoLocalEndpoints{.internal = 0, .external = 1}));
}

TEST(DriverHooksTest, WhatIsNotInTheKernelIsNoFactYetAndNoneIsLost) {
  const auto agent = Running();
  agent->facts.clear();
  agent->kernel.commit_faults = {absl::UnavailableError("busy")};

  agent->Put({Balanced("ns/a", "192.0.2.2", 30201), EndpointOn("ns/a", "n1")});
  agent->driver.Step(SteadyNow());
  EXPECT_THAT(agent->facts, IsEmpty());
  agent->Put({Endpoints("ns/web", 2)});
  agent->Settle();

  ASSERT_THAT(agent->facts, SizeIs(1));
  EXPECT_THAT(agent->facts.back(), Pair(ElementsAre(Pair(Name("ns/a"), ::testing::_)), true));
}

// --- The node ---

TEST(DriverHooksTest, TheNodeIsToldWithEachChangeOfItAlsoOfWhatNoRuleDependsOn) {
  const auto agent = Running();
  EXPECT_THAT(agent->nodes, ElementsAre("none"));

  Node node{.internal_ips = {"192.168.0.2"}};
  agent->Put({PutNode(node)});
  agent->Settle();
  node.taints = {"ToBeDeletedByClusterAutoscaler"};
  agent->Put({PutNode(node)});
  agent->Settle();
  node.taints.clear();
  node.deleting = true;
  agent->Put({PutNode(node)});
  agent->Settle();
  agent->Put({{{Kind::kNode, {"", "n1"}}, nullptr}});
  agent->Settle();
  EXPECT_THAT(agent->nodes,
              ElementsAre("none", "taints=", "taints=ToBeDeletedByClusterAutoscaler", "taints= deleting", "none"));
}

TEST(DriverHooksTest, AServiceIsNoReasonToTellTheNode) {
  const auto agent = Running();
  agent->nodes.clear();

  agent->Put({Endpoints("ns/web", 2), ServiceAt("ns/api", "192.0.2.2")});
  agent->Settle();

  EXPECT_THAT(agent->nodes, IsEmpty());
}

// --- Diagnostics ---

TEST(DriverHooksTest, DiagnosedAreServicesWithComplaintsAndThoseThatHaveNoneAnyMore) {
  const auto agent = Running();
  EXPECT_THAT(agent->diagnosed, IsEmpty()) << "nothing was and nothing is wrong";
  const auto bad = [](const std::string& name, const std::string& ip) {
    return Svc(name).ClusterIp(ip).Tcp(80).ExternalIp("x").Put();
  };

  agent->Put({bad("ns/web", "192.0.2.1"), bad("ns/api", "192.0.2.2")});
  agent->Settle();
  EXPECT_THAT(agent->diagnosed, ::testing::UnorderedElementsAre("ns/api 1", "ns/web 1"));
  agent->diagnosed.clear();

  agent->Put({Endpoints("ns/web", 2)});
  agent->Settle();
  EXPECT_THAT(agent->diagnosed, IsEmpty()) << "still so";

  agent->Put({ServiceAt("ns/web", "192.0.2.1"), Gone(Kind::kService, "ns/api")});
  agent->Settle();
  EXPECT_THAT(agent->diagnosed, ::testing::UnorderedElementsAre("ns/api 0", "ns/web 0"));
}

}  // namespace
}  // namespace pointsman
