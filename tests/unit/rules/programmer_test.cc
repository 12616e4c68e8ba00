// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "pointsman/nft_program.h"
#include "rules/nft/layout.h"
#include "tests/support/builders.h"
#include "tests/unit/rules/nft_lines.h"

namespace pointsman::nft {
namespace {

using support::At;
using support::Ip;
using support::Name;
using support::Net;
using support::OpLines;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

using PlanPtr = std::shared_ptr<const ServicePlan>;

std::vector<SocketAddr> Endpoints(const std::string& letters) {  // "ab" is 203.0.113.1:80, 203.0.113.2:80
  std::vector<SocketAddr> list;
  for (const char c : letters) list.push_back(At(absl::StrCat("203.0.113.", c - 'a' + 1, ":80")));
  return list;
}

ServicePlan PlanOf(const std::string& name, const std::string& cluster_ip, const std::string& endpoints) {
  PortPlan port{.name = {Name(name), "", Protocol::kTcp}};
  port.frontends = {{{Ip(cluster_ip), Protocol::kTcp, 80}, {}}};
  port.cluster = Endpoints(endpoints);
  return {.service = Name(name), .ports = {port}};
}

ServicePlan WithHairpin(ServicePlan plan, const std::string& addr) {
  plan.ports[0].hairpin = {Ip(addr)};
  return plan;
}

PlanPatch Patch(const std::vector<ServicePlan>& plans, const std::vector<std::string>& gone = {}) {
  PlanPatch patch;
  for (const ServicePlan& plan : plans) patch.services[plan.service] = std::make_shared<const ServicePlan>(plan);
  for (const std::string& name : gone) patch.services[Name(name)] = nullptr;
  return patch;
}

// A kernel and the programmer that keeps it.
struct Machine {
  Programmer programmer;
  Ruleset kernel;
  BaseSettings settings;

  explicit Machine(const PlanPatch& patch = {}, Ruleset have = {}) : kernel(std::move(have)) {
    programmer.Observe(kernel);
    Run(patch, /*full=*/true);
  }
  void Execute(const Changes& changes) {
    ASSERT_EQ(Apply(changes.commit, kernel), absl::OkStatus());
    ASSERT_EQ(Apply(changes.sweep, kernel), absl::OkStatus());
  }
  Changes Run(const PlanPatch& patch, bool full = false, bool shrink = false) {
    Changes changes = programmer.Stage(patch, settings, full, shrink);
    Execute(changes);
    programmer.Accept();
    return changes;
  }
};

Table& V4(Ruleset& ruleset) { return ruleset.tables.at(Family::kIpv4); }

// --- Cost ---

PlanPatch ManyServices(int count) {
  std::vector<ServicePlan> plans;
  for (int i = 0; i < count; ++i) {
    plans.push_back(PlanOf(absl::StrCat("ns/s", i), absl::StrCat("10.96.", i / 250, ".", i % 250 + 1), "abcde"));
  }
  return Patch(plans);
}

struct CostRow {
  const char* name;
  const char* why;
  const char* endpoints;  // of one of 5,000 Services that had "abcde"
  std::vector<std::string> ops;
};

class ProgrammerCost : public ::testing::TestWithParam<CostRow> {
 protected:
  static void SetUpTestSuite() { patch_ = new PlanPatch(ManyServices(5000)); }
  static void TearDownTestSuite() { delete patch_; }
  static PlanPatch* patch_;
};
PlanPatch* ProgrammerCost::patch_ = nullptr;

TEST_P(ProgrammerCost, AnEndpointCostsElementsAndNothingElse) {
  const CostRow& row = GetParam();
  Machine machine(*patch_);
  ASSERT_EQ(machine.programmer.services(), 5000U);

  const Changes changes =
      machine.programmer.Stage(Patch({PlanOf("ns/s700", "10.96.2.201", row.endpoints)}), machine.settings, false);

  EXPECT_EQ(OpLines(changes.commit), row.ops) << row.why;
  EXPECT_LE(changes.commit.size(), 3U) << "messages";
  EXPECT_THAT(changes.sweep, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    Nft, ProgrammerCost,
    ::testing::ValuesIn(std::vector<CostRow>{
        {"None", "idle is free", "abcde", {}},
        {"Added", "one slot", "abcdef", {"add endpoints 10.96.2.201:80/tcp #5 = 203.0.113.6:80"}},
        {"LastRemoved", "one slot", "abcd", {"delete endpoints 10.96.2.201:80/tcp #4 = 203.0.113.5:80"}},
        {"MiddleRemoved",
         "one slot emptied, one moved",
         "acde",
         {"delete endpoints 10.96.2.201:80/tcp #1 = 203.0.113.2:80",
          "delete endpoints 10.96.2.201:80/tcp #4 = 203.0.113.5:80",
          "add endpoints 10.96.2.201:80/tcp #1 = 203.0.113.5:80"}},
        {"Replaced",
         "one slot with other contents",
         "acdef",
         {"delete endpoints 10.96.2.201:80/tcp #1 = 203.0.113.2:80",
          "add endpoints 10.96.2.201:80/tcp #1 = 203.0.113.6:80"}},
    }),
    [](const auto& row) { return std::string(row.param.name); });

TEST(ProgrammerTest, AServiceThatOutgrowsItsClassGetsItsChainBeforeItsVerdict) {
  Machine machine(Patch({PlanOf("ns/a", "192.0.2.1", "ab")}));

  const Changes changes = machine.Run(Patch({PlanOf("ns/a", "192.0.2.1", "abc")}));

  const std::vector<std::string> lines = OpLines(changes.commit);
  ASSERT_FALSE(lines.empty());
  EXPECT_EQ(lines.front(), "add chain pick_4");
  EXPECT_EQ(lines.back(), "add frontends 192.0.2.1:80/tcp > pick_4 \"ns/a\"");
  EXPECT_THAT(lines, Contains("delete frontends 192.0.2.1:80/tcp > pick_2 \"ns/a\""));
  for (const std::string& line : lines) EXPECT_FALSE(absl::StrContains(line, "flush")) << line;
  EXPECT_THAT(OpLines(machine.Run(Patch({PlanOf("ns/b", "192.0.2.2", "abc")})).commit),
              Not(Contains("add chain pick_4")))
      << "once is enough";
}

TEST(ProgrammerTest, AServiceThatGoesTakesItsElementsAndLeavesTheChains) {
  Machine machine(Patch({PlanOf("ns/a", "192.0.2.1", "a"), PlanOf("ns/b", "192.0.2.2", "b")}));

  const Changes changes = machine.Run(Patch({}, {"ns/a"}));

  EXPECT_THAT(OpLines(changes.commit), ElementsAre("delete endpoints 192.0.2.1:80/tcp #0 = 203.0.113.1:80",
                                                   "delete frontends 192.0.2.1:80/tcp > pick_1 \"ns/a\""));
  EXPECT_EQ(machine.programmer.services(), 1U);
}

// --- Session affinity ---

ServicePlan WithAffinity(ServicePlan plan, int seconds = 60) {
  for (Frontend& frontend : plan.ports[0].frontends) frontend.action.affinity = absl::Seconds(seconds);
  return plan;
}

std::vector<std::string> AffinityChains(Ruleset& ruleset) {
  std::vector<std::string> names;
  for (const auto& [name, chain] : V4(ruleset).chains) {
    if (ForAffinity(name)) names.push_back(name);
  }
  return names;
}

TEST(ProgrammerTest, WhatAffinityNeedsComesWithTheFirstServiceThatWantsIt) {
  Machine machine(Patch({PlanOf("ns/a", "10.96.0.1", "ab")}));
  ASSERT_FALSE(V4(machine.kernel).sets.contains(kAffinity));

  machine.settings.affinity_size = 262144;
  machine.Run(Patch({WithAffinity(PlanOf("ns/a", "10.96.0.1", "ab"))}));

  EXPECT_EQ(V4(machine.kernel).sets.at(kAffinity).spec.size, 262144U);
  EXPECT_EQ(V4(machine.kernel).chains.at(kPostDnat).rules.size(), 3U);
  EXPECT_TRUE(V4(machine.kernel).chains.contains(kNatInput));
  EXPECT_FALSE(machine.kernel.tables.at(Family::kIpv6).sets.contains(kAffinity)) << "nobody wants it there";
  EXPECT_EQ(AffinityChains(machine.kernel).size(), 2U) << "one to ask, one to remember";
  EXPECT_TRUE(machine.programmer.affinity());

  // The second one finds it there.
  const Changes changes = machine.Run(Patch({WithAffinity(PlanOf("ns/b", "10.96.0.2", "ab"))}));
  for (const Op& op : changes.commit) {
    EXPECT_FALSE(std::holds_alternative<FlushChain>(op) || std::holds_alternative<AddSet>(op)) << OpLines({op})[0];
  }
}

TEST(ProgrammerTest, ChainsOfAffinityGoWithTheirServiceOnceNothingLeadsToThem) {
  Machine machine(Patch({WithAffinity(PlanOf("ns/a", "10.96.0.1", "ab")), PlanOf("ns/b", "10.96.0.2", "ab")}));
  ASSERT_EQ(AffinityChains(machine.kernel).size(), 2U);

  const Changes changes = machine.Run(Patch({PlanOf("ns/a", "10.96.0.1", "ab")}));

  EXPECT_THAT(AffinityChains(machine.kernel), IsEmpty());
  EXPECT_EQ(changes.sweep.size(), 4U) << "a transaction of its own, after the elements are gone";
  EXPECT_FALSE(machine.programmer.affinity());
  EXPECT_TRUE(V4(machine.kernel).sets.contains(kAffinity)) << "it stays";

  // And come back, whole and once.
  machine.Run(Patch({WithAffinity(PlanOf("ns/a", "10.96.0.1", "ab"))}));
  EXPECT_EQ(V4(machine.kernel).chains.at(kNatInput).rules.size(), 1U);
  for (const std::string& name : AffinityChains(machine.kernel)) {
    EXPECT_LE(V4(machine.kernel).chains.at(name).rules.size(), 3U) << name;
  }
  Programmer newcomer;
  newcomer.Observe(machine.kernel);
  EXPECT_TRUE(newcomer
                  .Stage(Patch({WithAffinity(PlanOf("ns/a", "10.96.0.1", "ab")), PlanOf("ns/b", "10.96.0.2", "ab")}),
                         machine.settings, /*full=*/true)
                  .empty());
}

TEST(ProgrammerTest, AnotherTimeoutLeavesTheMemoryAndItsReadersAlone) {
  Machine machine(Patch({WithAffinity(PlanOf("ns/a", "10.96.0.1", "ab"), 60)}));

  const Changes changes = machine.Run(Patch({WithAffinity(PlanOf("ns/a", "10.96.0.1", "ab"), 90)}));

  for (const Op& op : changes.commit) {
    if (const auto* gone = std::get_if<DeleteElements>(&op)) {
      EXPECT_EQ(gone->set, kAffServices);
    }
    EXPECT_FALSE(std::holds_alternative<FlushSet>(op) || std::holds_alternative<DeleteSet>(op));
  }
  EXPECT_EQ(changes.sweep.size(), 2U) << "the chain that remembered for a minute";
}

TEST(ProgrammerTest, ChainsOfAffinityThatNobodyWantsAreClearedAwayAtARestart) {
  const Machine before(Patch({WithAffinity(PlanOf("ns/a", "10.96.0.1", "ab"))}));

  Machine after(Patch({PlanOf("ns/a", "10.96.0.1", "ab")}), before.kernel);

  EXPECT_THAT(AffinityChains(after.kernel), IsEmpty());
  EXPECT_TRUE(V4(after.kernel).sets.contains(kAffinity)) << "there is one, and there may be use for it again";
  after.Run(Patch({WithAffinity(PlanOf("ns/a", "10.96.0.1", "ab"))}));
  EXPECT_EQ(V4(after.kernel).chains.at(kNatInput).rules.size(), 1U);
}

TEST(ProgrammerTest, AnotherSizeOfTheMemoryIsFollowedWithoutAnObservation) {
  Machine machine(Patch({WithAffinity(PlanOf("ns/a", "10.96.0.1", "ab"))}));
  machine.Run(Patch({PlanOf("ns/a", "10.96.0.1", "ab")}));

  machine.settings.affinity_size = 7;
  machine.Run(Patch({WithAffinity(PlanOf("ns/a", "10.96.0.1", "ab"))}), /*full=*/true);

  EXPECT_EQ(V4(machine.kernel).sets.at(kAffinity).spec.size, 7U);
  EXPECT_EQ(AffinityChains(machine.kernel).size(), 2U);
}

TEST(ProgrammerTest, AFrontendThatIsHandedOverIsDeletedBeforeItIsAdded) {
  ServicePlan loser = PlanOf("ns/z", "192.0.2.1", "a");
  Machine machine(Patch({loser}));
  loser.ports[0].frontends.clear();

  const Changes changes = machine.Run(Patch({loser, PlanOf("ns/a", "192.0.2.1", "b")}));

  EXPECT_THAT(OpLines(changes.commit), ElementsAre("delete endpoints 192.0.2.1:80/tcp #0 = 203.0.113.1:80",
                                                   "delete frontends 192.0.2.1:80/tcp > pick_1 \"ns/z\"",
                                                   "add endpoints 192.0.2.1:80/tcp #0 = 203.0.113.2:80",
                                                   "add frontends 192.0.2.1:80/tcp > pick_1 \"ns/a\""));
}

TEST(ProgrammerTest, AFullPatchTakesAwayWhatItDoesNotName) {
  Machine machine(Patch({PlanOf("ns/a", "192.0.2.1", ""), PlanOf("ns/b", "192.0.2.2", "")}));

  const Changes changes = machine.Run(Patch({PlanOf("ns/b", "192.0.2.2", "")}), /*full=*/true);

  EXPECT_THAT(OpLines(changes.commit), ElementsAre("delete frontends 192.0.2.1:80/tcp > pick_1 \"ns/a\""));
}

// --- What several Services share ---

TEST(ProgrammerTest, ASharedElementStaysUntilItsLastServiceGoes) {
  const ServicePlan a = WithHairpin(PlanOf("ns/a", "192.0.2.1", ""), "203.0.113.1");
  const ServicePlan b = WithHairpin(PlanOf("ns/b", "192.0.2.2", ""), "203.0.113.1");
  Machine machine;

  EXPECT_THAT(OpLines(machine.Run(Patch({a})).commit), Contains("add hairpin 203.0.113.1")) << "first";
  EXPECT_THAT(OpLines(machine.Run(Patch({b})).commit), Not(Contains("add hairpin 203.0.113.1"))) << "second";
  EXPECT_THAT(OpLines(machine.Run(Patch({}, {"ns/a"})).commit), Not(Contains("delete hairpin 203.0.113.1")));
  EXPECT_THAT(OpLines(machine.Run(Patch({}, {"ns/b"})).commit), Contains("delete hairpin 203.0.113.1")) << "last";
}

TEST(ProgrammerTest, ASharedElementThatChangesHandsIsLeftAlone) {
  Machine machine(Patch({WithHairpin(PlanOf("ns/a", "192.0.2.1", ""), "203.0.113.1")}));

  const Changes changes = machine.Run(
      Patch({PlanOf("ns/a", "192.0.2.1", ""), WithHairpin(PlanOf("ns/b", "192.0.2.2", ""), "203.0.113.1")}));

  EXPECT_THAT(OpLines(changes.commit), ElementsAre("add frontends 192.0.2.2:80/tcp > pick_1 \"ns/b\""));
}

TEST(ProgrammerTest, SharedElementsAreCountedAcrossARestart) {
  const ServicePlan a = WithHairpin(PlanOf("ns/a", "192.0.2.1", ""), "203.0.113.1");
  const ServicePlan b = WithHairpin(PlanOf("ns/b", "192.0.2.2", ""), "203.0.113.1");
  Machine before(Patch({a, b}));
  Machine after(Patch({a, b}), before.kernel);

  EXPECT_THAT(OpLines(after.Run(Patch({}, {"ns/a"})).commit), Not(Contains("delete hairpin 203.0.113.1")));
  EXPECT_THAT(OpLines(after.Run(Patch({}, {"ns/b"})).commit), Contains("delete hairpin 203.0.113.1"));
}

// --- Staging ---

TEST(ProgrammerTest, StagingTwiceWithoutAcceptGivesTheSame) {
  Machine machine(ManyServices(50));
  PlanPatch patch;
  for (int i = 0; i < 50; i += 3) {
    const ServicePlan plan = WithHairpin(PlanOf(absl::StrCat("ns/s", i), absl::StrCat("10.96.0.", i + 1), "bcdef"),
                                         absl::StrCat("203.0.113.", i));
    patch.services[plan.service] = std::make_shared<const ServicePlan>(plan);
  }

  const std::vector<std::string> first = OpLines(machine.programmer.Stage(patch, machine.settings, false).commit);
  const std::vector<std::string> second = OpLines(machine.programmer.Stage(patch, machine.settings, false).commit);

  EXPECT_FALSE(first.empty());
  EXPECT_EQ(first, second) << "to the last byte";
}

TEST(ProgrammerTest, WhatWasStagedAndNotAcceptedNeverWas) {
  Machine machine(Patch({PlanOf("ns/a", "192.0.2.1", "a")}));
  machine.programmer.Stage(Patch({PlanOf("ns/a", "192.0.2.1", "ab"), PlanOf("ns/b", "192.0.2.2", "")}),
                           machine.settings, false);

  const Changes changes = machine.Run(Patch({PlanOf("ns/a", "192.0.2.1", "ac")}));

  EXPECT_THAT(OpLines(changes.commit), Contains("add endpoints 192.0.2.1:80/tcp #1 = 203.0.113.3:80"));
  EXPECT_EQ(machine.programmer.services(), 1U);
}

TEST(ProgrammerTest, KnowsNothingUntilItHasObservedAndAfterDoubt) {
  Programmer programmer;
  EXPECT_FALSE(programmer.observed());

  programmer.Observe({});
  EXPECT_TRUE(programmer.observed());
  programmer.Stage({}, {}, true);
  programmer.Accept();
  EXPECT_TRUE(programmer.observed());

  programmer.Doubt();
  EXPECT_FALSE(programmer.observed());
}

TEST(ProgrammerDeathTest, RefusesToStageOnNothing) {
  Programmer programmer;

  EXPECT_DEATH(programmer.Stage({}, {}, true), "broken invariant");
}

TEST(ProgrammerDeathTest, RefusesOtherSettingsInAPartialPass) {
  Machine machine;

  EXPECT_DEATH(machine.programmer.Stage({}, {.mark = 1}, /*full=*/false), "broken invariant");
}

TEST(ProgrammerTest, AnotherMarkRewritesRulesAndNoElement) {
  ServicePlan plan = PlanOf("ns/a", "192.0.2.1", "ab");
  plan.ports[0].frontends[0].action.snat = Snat::kAlways;
  Machine machine(Patch({plan}));
  machine.settings.mark = 0x8000;

  const std::vector<std::string> lines = OpLines(machine.Run(Patch({plan}), /*full=*/true).commit);

  EXPECT_THAT(lines, Contains("flush chain masq_pick_2"));
  EXPECT_THAT(lines, Contains("flush chain post_dnat"));
  for (const std::string& line : lines) {
    EXPECT_TRUE(absl::StrContains(line, "flush chain") || absl::StrContains(line, "add rule")) << line;
  }
  EXPECT_EQ(machine.kernel, CompileAll({Patch({plan}).services.begin()->second}, machine.settings));
}

TEST(ProgrammerTest, AnotherServiceCidrIsAnElement) {
  Machine machine;
  machine.settings.service_cidrs = {Net("192.0.2.0/24")};

  EXPECT_THAT(OpLines(machine.Run({}, /*full=*/true).commit), ElementsAre("add service_cidrs 192.0.2.0-192.0.2.255"));
}

// --- Size classes ---

TEST(ProgrammerTest, AFamilyThatIsLeftOutGoesWithItsTableAndComesBackWhole) {
  ServicePlan both = WithHairpin(PlanOf("ns/a", "192.0.2.1", "abc"), "203.0.113.1");
  ServicePlan v6 = PlanOf("ns/b", "2001:db8::1", "");
  v6.ports[0].cluster = {{Ip("2001:db8:113::1"), 80}};
  v6.ports[0].hairpin = {Ip("2001:db8:113::1")};
  v6.ports[0].frontends[0].action.affinity = absl::Seconds(10);
  Machine machine(Patch({both, v6}));
  const Ruleset full = machine.kernel;
  ASSERT_EQ(full.tables.size(), 2U);

  machine.settings.policy.families = {Family::kIpv4};
  const Changes gone = machine.Run(Patch({both}, {"ns/b"}), /*full=*/true);

  EXPECT_EQ(OpLines(gone.commit), std::vector<std::string>{"ip6 delete table"}) << "which takes all with it";
  EXPECT_THAT(gone.sweep, IsEmpty());
  EXPECT_EQ(machine.kernel.tables.size(), 1U);
  EXPECT_EQ(V4(machine.kernel), full.tables.at(Family::kIpv4));
  EXPECT_FALSE(machine.programmer.affinity());

  machine.settings.policy.families = {kFamilies.begin(), kFamilies.end()};
  machine.Run(Patch({both, v6}), /*full=*/true);
  EXPECT_EQ(machine.kernel, full);
}

TEST(ProgrammerTest, ATableOfAnEarlierRunIsRemovedWhereItsFamilyIsLeftOut) {
  const Machine before(Patch({PlanOf("ns/a", "192.0.2.1", "abc")}));
  ASSERT_EQ(before.kernel.tables.size(), 2U);
  Programmer programmer;
  programmer.Observe(before.kernel);

  const Changes changes = programmer.Stage({}, {.policy = {.families = {Family::kIpv6}}}, /*full=*/true);

  Ruleset kernel = before.kernel;
  ASSERT_EQ(Apply(changes.commit, kernel), absl::OkStatus());
  EXPECT_EQ(kernel.tables.count(Family::kIpv4), 0U);
  EXPECT_EQ(kernel.tables.count(Family::kIpv6), 1U);
}

TEST(ProgrammerTest, KeepsACountOfWhatCouldShrinkUntilItDoes) {
  Machine machine(Patch({PlanOf("ns/a", "192.0.2.1", "abcdefgh"), PlanOf("ns/b", "192.0.2.2", "ab")}));
  EXPECT_THAT(machine.programmer.shrinkable(), IsEmpty());

  machine.Run(Patch({PlanOf("ns/a", "192.0.2.1", "ab")}));
  EXPECT_THAT(machine.programmer.shrinkable(), ElementsAre(Name("ns/a")));
  EXPECT_THAT(OpLines(machine.Run(Patch({PlanOf("ns/a", "192.0.2.1", "ab")})).commit), IsEmpty())
      << "nothing happens by itself";

  const Changes changes = machine.Run(Patch({PlanOf("ns/a", "192.0.2.1", "ab")}), false, /*shrink=*/true);
  EXPECT_THAT(OpLines(changes.commit), ElementsAre("delete frontends 192.0.2.1:80/tcp > pick_8 \"ns/a\"",
                                                   "add frontends 192.0.2.1:80/tcp > pick_2 \"ns/a\""));
  EXPECT_THAT(machine.programmer.shrinkable(), IsEmpty());
}

TEST(ProgrammerTest, AServiceThatGoesOrGrowsIsNoLongerShrinkable) {
  Machine machine(Patch({PlanOf("ns/a", "192.0.2.1", "abcdefgh"), PlanOf("ns/b", "192.0.2.2", "abcdefgh")}));
  machine.Run(Patch({PlanOf("ns/a", "192.0.2.1", "a"), PlanOf("ns/b", "192.0.2.2", "a")}));

  machine.Run(Patch({PlanOf("ns/b", "192.0.2.2", "abcd")}, {"ns/a"}));

  EXPECT_THAT(machine.programmer.shrinkable(), IsEmpty());
}

// --- Restart ---

TEST(ProgrammerTest, ARestartOverItsOwnKernelStateChangesNothing) {
  Machine before(Patch({PlanOf("ns/a", "192.0.2.1", "abcde"), PlanOf("ns/b", "192.0.2.2", "a")}));
  before.Run(Patch({PlanOf("ns/a", "192.0.2.1", "cde"), PlanOf("ns/b", "192.0.2.2", "abc")}));

  Programmer after;
  after.Observe(before.kernel);
  const Changes changes = after.Stage(Patch({PlanOf("ns/a", "192.0.2.1", "cde"), PlanOf("ns/b", "192.0.2.2", "abc")}),
                                      before.settings, /*full=*/true);

  EXPECT_TRUE(changes.empty()) << ::testing::PrintToString(OpLines(changes.commit));
}

TEST(ProgrammerTest, AfterARestartItGoesOnWhereItWas) {
  Machine before(Patch({PlanOf("ns/a", "192.0.2.1", "abcde")}));
  Machine after(Patch({PlanOf("ns/a", "192.0.2.1", "abcde")}), before.kernel);

  EXPECT_THAT(OpLines(after.Run(Patch({PlanOf("ns/a", "192.0.2.1", "abcdef")})).commit),
              ElementsAre("add endpoints 192.0.2.1:80/tcp #5 = 203.0.113.6:80"));
}

TEST(ProgrammerTest, AServiceThatWentWhileNobodyLookedIsTakenAway) {
  Machine before(Patch({PlanOf("ns/a", "192.0.2.1", "a"), PlanOf("ns/b", "192.0.2.2", "b")}));
  Machine after(Patch({PlanOf("ns/a", "192.0.2.1", "a")}), before.kernel);

  EXPECT_EQ(after.kernel, CompileAll({Patch({PlanOf("ns/a", "192.0.2.1", "a")}).services.begin()->second}, {}));
}

// --- Strangers ---

Element FrontendElement(const std::string& ip, const std::string& chain) {
  return {FrontendKey({Ip(ip), Protocol::kTcp, 80}),
          {.data = Verdict{Verdict::Code::kGoto, chain}, .comment = "stranger"}};
}

Rule Accepts() { return {.exprs = {Immediate{{Verdict::Code::kAccept, ""}}}}; }

struct MeddleRow {
  const char* name;
  const char* why;
  std::function<void(Ruleset&)> meddle;
  const char* commit;  // one line that must be among the ops, or empty: no commit at all
  const char* sweep;   // likewise
};

class ProgrammerRepair : public ::testing::TestWithParam<MeddleRow> {};

TEST_P(ProgrammerRepair, BringsBackWhatWas) {
  const MeddleRow& row = GetParam();
  ServicePlan guarded = PlanOf("ns/b", "192.0.2.2", "abc");
  guarded.ports[0].frontends[0].action = {.snat = Snat::kAlways, .fenced = true, .allow = {Net("10.0.0.0/8")}};
  const PlanPatch patch = Patch({WithHairpin(PlanOf("ns/a", "192.0.2.1", "abcde"), "203.0.113.1"), guarded});
  Machine machine(patch);
  const Ruleset was = machine.kernel;

  row.meddle(machine.kernel);
  ASSERT_NE(machine.kernel, was);
  machine.programmer.Observe(machine.kernel);
  const Changes changes = machine.Run(patch, /*full=*/true);

  EXPECT_EQ(machine.kernel, was) << row.why;
  const std::vector<std::string> commit = OpLines(changes.commit);
  const std::vector<std::string> sweep = OpLines(changes.sweep);
  if (*row.commit == '\0') {
    EXPECT_THAT(commit, IsEmpty()) << row.why;
  } else {
    EXPECT_THAT(commit, Contains(row.commit)) << row.why;
  }
  if (*row.sweep == '\0') {
    EXPECT_THAT(sweep, IsEmpty()) << row.why;
  } else {
    EXPECT_THAT(sweep, Contains(row.sweep)) << row.why;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Nft, ProgrammerRepair,
    ::testing::ValuesIn(std::vector<MeddleRow>{
        {"ForeignChain", "harms nobody: swept", [](Ruleset& r) { V4(r).chains["mine"].rules = {Accepts()}; }, "",
         "delete chain mine"},
        {"ForeignBaseChain", "it would see packets", [](Ruleset& r) { V4(r).chains["mine"].hook = Hook{}; }, "",
         "delete chain mine"},
        {"ForeignSet", "swept", [](Ruleset& r) { V4(r).sets["theirs"].spec = SpecOf(Family::kIpv4, kHairpin); }, "",
         "delete set theirs"},
        {"RuleAppended", "the chain is written anew",
         [](Ruleset& r) { V4(r).chains["services"].rules.push_back(Accepts()); }, "flush chain services", ""},
        {"RuleRemoved", "the chain is written anew", [](Ruleset& r) { V4(r).chains["pick_8"].rules.pop_back(); },
         "flush chain pick_8", ""},
        {"RuleChanged", "the chain is written anew",
         [](Ruleset& r) { V4(r).chains["post_dnat"].rules[0].exprs.pop_back(); }, "flush chain post_dnat", ""},
        {"ChainFlushed", "filled again", [](Ruleset& r) { V4(r).chains["reject_it"].rules.clear(); },
         "add rule reject_it (1)", ""},
        {"HookMoved", "the chain is made anew", [](Ruleset& r) { V4(r).chains["nat_prerouting"].hook->priority = -99; },
         "delete chain nat_prerouting", ""},
        {"ElementAdded", "taken out",
         [](Ruleset& r) {
           const Element e = FrontendElement("192.0.2.9", "pick_8");
           V4(r).sets[kFrontends].elements[e.key] = e.value;
         },
         "delete frontends 192.0.2.9:80/tcp > pick_8 \"stranger\"", ""},
        {"ElementAddedWithItsChain", "the element first, its chain in the sweep",
         [](Ruleset& r) {
           V4(r).chains["mine"].rules = {Accepts()};
           const Element e = FrontendElement("192.0.2.9", "mine");
           V4(r).sets[kFrontends].elements[e.key] = e.value;
         },
         "delete frontends 192.0.2.9:80/tcp > mine \"stranger\"", "delete chain mine"},
        {"VerdictReplaced", "put back",
         [](Ruleset& r) {
           const Element e = FrontendElement("192.0.2.1", "reject_it");
           V4(r).sets[kFrontends].elements[e.key] = e.value;
         },
         "add frontends 192.0.2.1:80/tcp > pick_8 \"ns/a\"", ""},
        {"ElementRemoved", "put back",
         [](Ruleset& r) { V4(r).sets[kFrontends].elements.erase(FrontendElement("192.0.2.1", "").key); },
         "add frontends 192.0.2.1:80/tcp > pick_8 \"ns/a\"", ""},
        {"RangeRemoved", "put back", [](Ruleset& r) { V4(r).sets[kFwSources].elements.clear(); },
         "add fw_sources 192.0.2.2:80/tcp from 10.0.0.0-10.255.255.255", ""},
        {"HairpinRemoved", "put back", [](Ruleset& r) { V4(r).sets[kHairpin].elements.clear(); },
         "add hairpin 203.0.113.1", ""},
        {"SetOfAnotherShape", "made anew, with all rules that name it",
         [](Ruleset& r) { V4(r).sets[kHairpin].spec.interval = true; }, "delete set hairpin", ""},
        {"SetGone", "made and filled, and named by its rules again",
         [](Ruleset& r) {
           V4(r).chains["post_dnat"].rules.pop_back();
           V4(r).sets.erase(kHairpin);
         },
         "add set hairpin", ""},
        {"TableGone", "everything anew", [](Ruleset& r) { r.tables.erase(Family::kIpv4); }, "add table", ""},
        {"EverythingFlushed", "everything anew", [](Ruleset& r) { r.tables.clear(); }, "ip6 add table", ""},
        {"Incomplete", "what cannot be listed is flushed and filled",
         [](Ruleset& r) {
           Set& set = V4(r).sets[kEndpoints];
           set.complete = false;
           set.elements.erase(std::next(set.elements.begin(), 3), set.elements.end());
         },
         "flush set endpoints", ""},
    }),
    [](const auto& row) { return std::string(row.param.name); });

TEST(ProgrammerTest, ASlotTakenAwayByAStrangerIsFilledAgain) {
  Machine machine(Patch({PlanOf("ns/a", "192.0.2.1", "abc")}));
  V4(machine.kernel).sets[kEndpoints].elements.erase(SlotKey({Ip("192.0.2.1"), Protocol::kTcp, 80}, 1));
  machine.programmer.Observe(machine.kernel);

  const Changes changes = machine.Run(Patch({PlanOf("ns/a", "192.0.2.1", "abc")}), /*full=*/true);

  EXPECT_THAT(OpLines(changes.commit), ElementsAre("add endpoints 192.0.2.1:80/tcp #1 = 203.0.113.2:80"));
}

TEST(ProgrammerTest, AChainOfTheLayoutThatNobodyUsesStays) {
  Machine before(Patch({PlanOf("ns/a", "192.0.2.1", "abcde")}));
  Machine after(Patch({PlanOf("ns/b", "192.0.2.2", "a")}), before.kernel);

  EXPECT_TRUE(V4(after.kernel).chains.contains("pick_8")) << "deleting chains is what older kernels stumble over";
}

TEST(ProgrammerTest, AChainOfTheLayoutsNameWithOtherRulesIsCorrected) {
  Machine machine;
  V4(machine.kernel).chains["masq_pick_16"].rules = {Accepts()};
  machine.programmer.Observe(machine.kernel);

  machine.Run({}, /*full=*/true);

  EXPECT_EQ(machine.kernel, CompileBase({}, {{Family::kIpv4, {"masq_pick_16"}}}));
}

}  // namespace
}  // namespace pointsman::nft
