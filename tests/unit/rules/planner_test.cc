// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "pointsman/plan.h"
#include "tests/support/builders.h"

namespace pointsman {
namespace {

using support::Batch;
using support::Gone;
using support::Ip;
using support::Name;
using support::Slice;
using support::Svc;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

absl::Time Year(int year) { return absl::FromCivil(absl::CivilYear(year), absl::UTCTimeZone()); }

// --- FrontendTable ---

const Match kHttp = {Ip("198.51.100.1"), Protocol::kTcp, 80};
const Match kHttps = {Ip("198.51.100.1"), Protocol::kTcp, 443};

std::string OwnerOf(const FrontendTable& table, const Match& match) {
  const NamespacedName* owner = table.Owner(match);
  return owner == nullptr ? "" : FormatName(*owner);
}

TEST(FrontendTableTest, NobodyOwnsWhatNobodyClaims) {
  FrontendTable table;

  EXPECT_EQ(OwnerOf(table, kHttp), "");
  table.Claim(Name("ns/a"), Year(2020), {{kHttp, false}});
  EXPECT_EQ(OwnerOf(table, kHttp), "ns/a");
  EXPECT_EQ(OwnerOf(table, kHttps), "");
}

TEST(FrontendTableTest, TheOldestWinsInWhateverOrderTheyCome) {
  struct Claimant {
    const char* name;
    int year;
  };
  std::vector<Claimant> claimants = {{"ns/a", 2022}, {"ns/b", 2020}, {"ns/c", 2021}};
  std::sort(claimants.begin(), claimants.end(), [](const auto& x, const auto& y) { return x.year < y.year; });
  do {
    FrontendTable table;
    for (const Claimant& c : claimants) table.Claim(Name(c.name), Year(c.year), {{kHttp, false}});

    EXPECT_EQ(OwnerOf(table, kHttp), "ns/b");
  } while (std::next_permutation(claimants.begin(), claimants.end(),
                                 [](const auto& x, const auto& y) { return x.year < y.year; }));
}

TEST(FrontendTableTest, OfTheSameAgeTheLesserNameWins) {
  FrontendTable table;

  table.Claim(Name("ns/b"), Year(2020), {{kHttp, false}});
  table.Claim(Name("ns/a"), Year(2020), {{kHttp, false}});

  EXPECT_EQ(OwnerOf(table, kHttp), "ns/a");
}

TEST(FrontendTableTest, SaysWhoLosesAFrontendAndWhoGetsItBack) {
  FrontendTable table;
  EXPECT_THAT(table.Claim(Name("ns/young"), Year(2022), {{kHttp, false}, {kHttps, false}}), IsEmpty());

  EXPECT_THAT(table.Claim(Name("ns/old"), Year(2020), {{kHttp, false}}), ElementsAre(Name("ns/young")))
      << "it loses one";
  EXPECT_EQ(OwnerOf(table, kHttps), "ns/young");
  EXPECT_THAT(table.Claim(Name("ns/old"), Year(2020), {}), ElementsAre(Name("ns/young"))) << "and gets it back";
  EXPECT_EQ(OwnerOf(table, kHttp), "ns/young");
}

TEST(FrontendTableTest, ANodePortGivesWayToWhoeverHasTheAddress) {
  FrontendTable table;
  table.Claim(Name("ns/old"), Year(2020), {{kHttp, true}});

  EXPECT_THAT(table.Claim(Name("ns/young"), Year(2022), {{kHttp, false}}), ElementsAre(Name("ns/old")));
  EXPECT_EQ(OwnerOf(table, kHttp), "ns/young");
  EXPECT_THAT(table.Claim(Name("ns/young"), Year(2022), {{kHttp, true}}), ElementsAre(Name("ns/old")))
      << "between NodePorts age decides";
  EXPECT_EQ(OwnerOf(table, kHttp), "ns/old");
}

TEST(FrontendTableTest, NamesThoseWhoClaimAnything) {
  FrontendTable table;
  table.Claim(Name("ns/b"), Year(2020), {{kHttp, false}});
  table.Claim(Name("ns/a"), Year(2021), {{kHttp, false}});
  table.Claim(Name("ns/c"), Year(2021), {});
  EXPECT_THAT(table.Services(), ElementsAre(Name("ns/a"), Name("ns/b"))) << "those who wait too";

  table.Claim(Name("ns/b"), Year(2020), {});
  EXPECT_THAT(table.Services(), ElementsAre(Name("ns/a")));
}

TEST(FrontendTableTest, ALoserComingOrGoingConcernsNobody) {
  FrontendTable table;
  table.Claim(Name("ns/old"), Year(2020), {{kHttp, false}});

  EXPECT_THAT(table.Claim(Name("ns/young"), Year(2022), {{kHttp, false}}), IsEmpty());
  EXPECT_THAT(table.Claim(Name("ns/young"), Year(2022), {}), IsEmpty());
  EXPECT_EQ(OwnerOf(table, kHttp), "ns/old");
}

TEST(FrontendTableTest, ClaimingTheSameAgainChangesNothing) {
  FrontendTable table;
  table.Claim(Name("ns/old"), Year(2020), {{kHttp, false}});
  table.Claim(Name("ns/young"), Year(2022), {{kHttp, false}});

  EXPECT_THAT(table.Claim(Name("ns/old"), Year(2020), {{kHttp, false}}), IsEmpty());
  EXPECT_EQ(OwnerOf(table, kHttp), "ns/old");
}

TEST(FrontendTableTest, AServiceMadeAnewIsYoungerThanItWas) {
  FrontendTable table;
  table.Claim(Name("ns/a"), Year(2020), {{kHttp, false}});
  table.Claim(Name("ns/b"), Year(2021), {{kHttp, false}});

  EXPECT_THAT(table.Claim(Name("ns/a"), Year(2022), {{kHttp, false}}), ElementsAre(Name("ns/b")));
  EXPECT_EQ(OwnerOf(table, kHttp), "ns/b");
  EXPECT_THAT(table.Claim(Name("ns/b"), Year(2021), {}), ElementsAre(Name("ns/a")));
  EXPECT_EQ(OwnerOf(table, kHttp), "ns/a") << "its old claim has not stayed behind";
  EXPECT_THAT(table.Claim(Name("ns/a"), Year(2022), {}), IsEmpty());
  EXPECT_EQ(OwnerOf(table, kHttp), "");
}

// --- Planner ---

// A store and its planner, fed batch by batch.
class Cluster {
 public:
  PlanPatch Feed(std::vector<ObjectChange> changes) {
    return planner_.Plan(store_, store_.Apply(Batch(std::move(changes))), node_, policy_);
  }
  PlanPatch Everything() { return planner_.Plan(store_, {.all = true}, node_, policy_); }

 private:
  Store store_;
  Planner planner_;
  NodeInfo node_{.name = "n1"};
  Policy policy_;
};

std::vector<std::string> Named(const PlanPatch& patch) {
  std::vector<std::string> names;
  for (const auto& [name, plan] : patch.services) names.push_back(FormatName(name) + (plan ? "" : " gone"));
  return names;
}

// The addresses `service` has frontends at.
std::vector<std::string> Frontends(const PlanPatch& patch, const std::string& service) {
  std::vector<std::string> out;
  for (const PortPlan& port : patch.services.at(Name(service))->ports) {
    for (const Frontend& frontend : port.frontends) out.push_back(FormatMatch(frontend.match));
  }
  return out;
}

Svc Claimant(const std::string& name, const std::string& cluster_ip, int year) {
  Svc svc(name);
  svc.ClusterIp(cluster_ip).ExternalIp("198.51.100.1").Tcp(80).Created(Year(year));
  return svc;
}

TEST(PlannerTest, PlansWhatIsTouchedAndNothingElse) {
  Cluster cluster;
  EXPECT_THAT(Named(cluster.Feed({Svc("ns/a").ClusterIp("192.0.2.1").Tcp(80).Put(),
                                  Svc("ns/b").ClusterIp("192.0.2.2").Tcp(80).Put()})),
              ElementsAre("ns/a", "ns/b"));

  EXPECT_THAT(Named(cluster.Feed({Slice("ns/b-1", "b").Port(80).Ready("203.0.113.1").Put()})), ElementsAre("ns/b"));
  EXPECT_THAT(Named(cluster.Everything()), ElementsAre("ns/a", "ns/b"));
}

TEST(PlannerTest, AServiceThatGoesOrHasNothingToServeIsNull) {
  Cluster cluster;
  cluster.Feed({Svc("ns/a").ClusterIp("192.0.2.1").Tcp(80).Put(), Svc("ns/b").ClusterIp("192.0.2.2").Tcp(80).Put()});

  EXPECT_THAT(Named(cluster.Feed({Gone(Kind::kService, "ns/a"), Svc("ns/b").ClusterIp("None").Tcp(80).Put()})),
              ElementsAre("ns/a gone", "ns/b gone"));
  EXPECT_THAT(Named(cluster.Everything()), ElementsAre("ns/b gone"));
}

TEST(PlannerTest, TheOldestKeepsAContestedAddressAndTheOtherIsTold) {
  Cluster cluster;

  const PlanPatch patch =
      cluster.Feed({Claimant("ns/young", "192.0.2.1", 2022).Put(), Claimant("ns/old", "192.0.2.2", 2020).Put()});

  EXPECT_THAT(Frontends(patch, "ns/old"), ElementsAre("192.0.2.2:80/tcp", "198.51.100.1:80/tcp"));
  EXPECT_THAT(Frontends(patch, "ns/young"), ElementsAre("192.0.2.1:80/tcp"));
  EXPECT_THAT(patch.diagnostics.at(Name("ns/old")), IsEmpty());
  ASSERT_EQ(patch.diagnostics.at(Name("ns/young")).size(), 1U);
  const Diagnostic& told = patch.diagnostics.at(Name("ns/young"))[0];
  EXPECT_EQ(told.severity, Severity::kWarning);
  EXPECT_THAT(FormatDiagnostic(told), HasSubstr("198.51.100.1:80/tcp belongs to Service ns/old"));
}

TEST(PlannerTest, AnOlderServiceThatComesLaterTakesTheAddressOver) {
  Cluster cluster;
  const PlanPatch before = cluster.Feed({Claimant("ns/young", "192.0.2.1", 2022).Put()});
  ASSERT_THAT(Frontends(before, "ns/young"), ElementsAre("192.0.2.1:80/tcp", "198.51.100.1:80/tcp"));

  const PlanPatch patch = cluster.Feed({Claimant("ns/old", "192.0.2.2", 2020).Put()});

  EXPECT_THAT(Named(patch), ElementsAre("ns/old", "ns/young")) << "both must be written anew, in one patch";
  EXPECT_THAT(Frontends(patch, "ns/young"), ElementsAre("192.0.2.1:80/tcp"));
  EXPECT_THAT(Frontends(patch, "ns/old"), ElementsAre("192.0.2.2:80/tcp", "198.51.100.1:80/tcp"));
}

TEST(PlannerTest, AnAddressThatIsLeftGoesToTheNextInLine) {
  Cluster cluster;
  cluster.Feed({Claimant("ns/young", "192.0.2.1", 2022).Put(), Claimant("ns/old", "192.0.2.2", 2020).Put(),
                Claimant("ns/middle", "192.0.2.3", 2021).Put()});

  const PlanPatch patch = cluster.Feed({Gone(Kind::kService, "ns/old")});

  EXPECT_THAT(Named(patch), ElementsAre("ns/middle", "ns/old gone", "ns/young")) << "who waits on is told for whom";
  EXPECT_THAT(FormatDiagnostic(patch.diagnostics.at(Name("ns/young")).at(0)),
              HasSubstr("belongs to Service ns/middle"));
  EXPECT_THAT(Frontends(patch, "ns/middle"), ElementsAre("192.0.2.3:80/tcp", "198.51.100.1:80/tcp"));
  EXPECT_THAT(patch.diagnostics.at(Name("ns/middle")), IsEmpty()) << "nothing to complain of any longer";
}

TEST(PlannerTest, AHiddenServiceClaimsNothing) {
  Cluster cluster;

  const PlanPatch patch = cluster.Feed({Claimant("ns/old", "192.0.2.2", 2020).Label(kServiceProxyNameLabel, "x").Put(),
                                        Claimant("ns/young", "192.0.2.1", 2022).Put()});

  EXPECT_THAT(Frontends(patch, "ns/young"), ElementsAre("192.0.2.1:80/tcp", "198.51.100.1:80/tcp"));
}

// Whatever the order of events, the same plans: each permutation of three claims and one withdrawal's aftermath.
TEST(PlannerTest, TheOutcomeDoesNotDependOnTheOrderOfEvents) {
  std::vector<int> order = {0, 1, 2};
  const std::vector<ObjectChange> events = {Claimant("ns/a", "192.0.2.1", 2022).Put(),
                                            Claimant("ns/b", "192.0.2.2", 2020).Put(),
                                            Claimant("ns/c", "192.0.2.3", 2021).Put()};
  do {
    for (int leaver = 0; leaver < 3; ++leaver) {
      Cluster cluster;
      for (const int i : order) cluster.Feed({events[static_cast<size_t>(i)]});
      const std::string gone(1, static_cast<char>('a' + leaver));
      PlanPatch last = cluster.Feed({Gone(Kind::kService, "ns/" + gone)});
      const PlanPatch full = cluster.Everything();

      const std::string owner = leaver == 1 ? "ns/c" : "ns/b";
      for (const auto& [name, plan] : full.services) {
        const bool has = Frontends(full, FormatName(name)).size() == 2;
        EXPECT_EQ(has, FormatName(name) == owner) << FormatName(name) << " after ns/" << gone << " left";
      }
      // What the patch named, it named as the full pass does.
      for (const auto& [name, plan] : last.services) {
        if (plan != nullptr) {
          EXPECT_EQ(*plan, *full.services.at(name));
        }
      }
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(PlannerTest, ComplaintsOfBuildingAndOfPlanningComeTogether) {
  Cluster cluster;
  cluster.Feed({Claimant("ns/old", "192.0.2.2", 2020).Put()});

  const PlanPatch patch = cluster.Feed({Claimant("ns/young", "192.0.2.1", 2022).ExternalIp("x").Put()});

  EXPECT_EQ(patch.diagnostics.at(Name("ns/young")).size(), 2U);
}

}  // namespace
}  // namespace pointsman
