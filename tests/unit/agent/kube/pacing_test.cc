// SPDX-License-Identifier: Apache-2.0
//
// When requests go out, and when what they brought is acted upon.
#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "absl/time/time.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/kube/backoff.h"
#include "agent/kube/circuit.h"
#include "agent/kube/gate.h"
#include "agent/kube/rate_limit.h"

namespace pointsman::kube {
namespace {

using ::testing::AllOf;
using ::testing::Ge;
using ::testing::Le;

const absl::Time kStart = absl::FromUnixSeconds(5000);

auto Within(absl::Duration least, absl::Duration most) { return AllOf(Ge(least), Le(most)); }

// --- Backoff ---

TEST(Backoff, PausesDoubleUpToTheLongestAndAreStretchedByChance) {
  Backoff backoff({}, 1);
  absl::Time now = kStart;
  for (const double seconds : {0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0}) {
    const absl::Duration pause = backoff.Next(now);
    EXPECT_THAT(pause, Within(absl::Seconds(seconds), absl::Seconds(2 * seconds)));
    now += pause;
  }
}

TEST(Backoff, NodesDoNotComeBackAsOne) {
  std::vector<absl::Duration> pauses;
  for (uint32_t seed = 1; seed <= 100; ++seed) pauses.push_back(Backoff({}, seed * 7919).Next(kStart));
  std::sort(pauses.begin(), pauses.end());
  EXPECT_LT(pauses.front(), absl::Seconds(1));
  EXPECT_GT(pauses.back(), absl::Seconds(1.4));
  EXPECT_EQ(std::unique(pauses.begin(), pauses.end()) - pauses.begin(), 100);
}

TEST(Backoff, IsForgottenAfterACalmButNotBefore) {
  const auto after = [](absl::Duration calm) {
    Backoff backoff({}, 1);
    absl::Time now = kStart;
    for (int i = 0; i < 4; ++i) now += backoff.Next(now);
    return backoff.Next(now + calm);
  };
  EXPECT_GE(after(absl::Seconds(119)), absl::Seconds(12.8));
  EXPECT_LE(after(absl::Seconds(121)), absl::Seconds(1.6));
}

TEST(Backoff, BeginsAnewWhenReset) {
  Backoff backoff({}, 1);
  for (int i = 0; i < 4; ++i) backoff.Next(kStart);
  backoff.Reset();
  EXPECT_LE(backoff.Next(kStart), absl::Seconds(1.6));
}

// --- RateLimit ---

int RequestsWithin(RateLimit limit, absl::Duration span) {
  int requests = 0;
  for (absl::Time now = kStart; now < kStart + span && requests < 1'000'000;) {
    const absl::Time next = limit.Next(now);
    if (next > now) {
      now = next;
      EXPECT_LE(limit.Next(now), now) << "what was promised must hold";
      continue;
    }
    limit.Take(now);
    ++requests;
  }
  return requests;
}

struct RateRow {
  double qps;
  int burst;
  int at_once;
  int in_a_minute;
};
void PrintTo(const RateRow& row, std::ostream* out) { *out << row.qps << " a second, " << row.burst << " at once"; }

class Rates : public testing::TestWithParam<RateRow> {};

TEST_P(Rates, AllowABurstAndThenTheRate) {
  const RateRow& row = GetParam();
  EXPECT_EQ(RequestsWithin(RateLimit(row.qps, row.burst), absl::Milliseconds(1)), row.at_once);
  EXPECT_THAT(RequestsWithin(RateLimit(row.qps, row.burst), absl::Minutes(1)),
              AllOf(Ge(row.in_a_minute * 99 / 100 - 1), Le(row.in_a_minute)));
}

INSTANTIATE_TEST_SUITE_P(All, Rates,
                         testing::Values(RateRow{5, 10, 10, 310}, RateRow{3, 1, 1, 181}, RateRow{0.5, 2, 2, 32},
                                         RateRow{7, 0, 1, 421}, RateRow{50, 100, 100, 3100}));

TEST(RateLimitTest, BelowZeroIsNoLimit) {
  RateLimit limit(-1, 1);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_LE(limit.Next(kStart), kStart);
    limit.Take(kStart);
  }
}

TEST(RateLimitTest, RestSavesNoMoreThanABurst) {
  RateLimit limit(5, 10);
  for (int i = 0; i < 10; ++i) limit.Take(kStart);
  const absl::Time later = kStart + absl::Hours(10);
  for (int i = 0; i < 10; ++i) {
    ASSERT_LE(limit.Next(later), later);
    limit.Take(later);
  }
  EXPECT_EQ(limit.Next(later), later + absl::Milliseconds(200));
}

// --- Circuit ---

Circuit MakeCircuit() { return Circuit(Backoff({}, 1)); }

TEST(CircuitTest, OneRequestOpensTheConnectionForAll) {
  Circuit circuit = MakeCircuit();
  ASSERT_LE(circuit.Next(kStart), kStart);
  circuit.Started(kStart);
  EXPECT_GT(circuit.Next(kStart), kStart);
  circuit.Reached();
  EXPECT_TRUE(circuit.closed());
  EXPECT_LE(circuit.Next(kStart), kStart);
}

TEST(CircuitTest, IfTheFirstIsSlowAnotherMayTry) {
  Circuit circuit = MakeCircuit();
  circuit.Started(kStart);
  EXPECT_EQ(circuit.Next(kStart), kStart + absl::Seconds(10));
  circuit.Started(kStart + absl::Seconds(10));
  EXPECT_EQ(circuit.Next(kStart + absl::Seconds(10)), kStart + absl::Seconds(20));
}

TEST(CircuitTest, AFailureIsAPauseForAllAndTheyGrow) {
  Circuit circuit = MakeCircuit();
  absl::Time now = kStart;
  for (const double seconds : {0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0}) {
    circuit.Started(now);
    const absl::Duration pause = circuit.Failed(now);
    EXPECT_THAT(pause, Within(absl::Seconds(seconds), absl::Seconds(2 * seconds)));
    EXPECT_EQ(circuit.Next(now), now + pause);
    now += pause;
  }
}

TEST(CircuitTest, ManyRequestsThatFailTogetherAreOneFailure) {
  Circuit circuit = MakeCircuit();
  circuit.Reached();
  const absl::Duration pause = circuit.Failed(kStart);
  EXPECT_THAT(pause, Within(absl::Seconds(0.8), absl::Seconds(1.6)));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(circuit.Failed(kStart + absl::Milliseconds(i)), absl::ZeroDuration());
  EXPECT_EQ(circuit.Next(kStart), kStart + pause);
  EXPECT_FALSE(circuit.closed());
}

TEST(CircuitTest, AnAnswerEndsThePauseAndForgetsTheOnesBefore) {
  Circuit circuit = MakeCircuit();
  absl::Time now = kStart;
  for (int i = 0; i < 6; ++i) now += circuit.Failed(now);
  circuit.Failed(now);
  circuit.Reached();
  EXPECT_LE(circuit.Next(now), now);
  EXPECT_LE(circuit.Failed(now), absl::Seconds(1.6));
}

TEST(CircuitTest, AnAttemptGivenUpLeavesRoomForAnother) {
  Circuit circuit = MakeCircuit();
  circuit.Started(kStart);
  circuit.Abandoned();
  EXPECT_LE(circuit.Next(kStart), kStart);
  EXPECT_FALSE(circuit.closed());
}

// --- Gate ---

constexpr Picture kNothing;
constexpr Picture kServices = {.services = true};
constexpr Picture kSlices = {.slices = true, .node = true, .pod_cidrs = true, .service_cidrs = true};
constexpr Picture kBoth = {.services = true, .slices = true};
constexpr Picture kNoCidrs = {.services = true, .slices = true, .node = true};
constexpr Picture kNoPodCidrs = {.services = true, .slices = true, .node = true, .service_cidrs = true};
constexpr Picture kNoNode = {.services = true, .slices = true, .service_cidrs = true};
constexpr Picture kAll = {.services = true, .slices = true, .node = true, .pod_cidrs = true, .service_cidrs = true};

struct GateRow {
  const char* name;
  Picture picture;
  bool need_pod_cidrs = false;
  absl::Duration after;  // since Services and EndpointSlices are complete
  bool open = false;
  const char* waiting_for = "";
  const char* without = "";
  absl::Duration until = absl::InfiniteDuration();
};
void PrintTo(const GateRow& row, std::ostream* out) { *out << row.name; }

class Gates : public testing::TestWithParam<GateRow> {};

TEST_P(Gates, OpenWhenEnoughIsKnown) {
  const GateRow& row = GetParam();
  Gate gate({.need_pod_cidrs = row.need_pod_cidrs});
  gate.Ask(kStart, row.picture);
  const Gate::Verdict verdict = gate.Ask(kStart + row.after, row.picture);
  EXPECT_EQ(verdict.open, row.open);
  EXPECT_EQ(verdict.waiting_for, row.waiting_for);
  EXPECT_EQ(verdict.without, row.without);
  EXPECT_EQ(verdict.until, kStart + row.until);
}

INSTANTIATE_TEST_SUITE_P(
    All, Gates,
    testing::Values(GateRow{.name = "NothingIsThere", .picture = kNothing, .waiting_for = "services, endpointslices"},
                    GateRow{.name = "ServicesAloneAreNeverEnough",
                            .picture = kServices,
                            .after = absl::Hours(10),
                            .waiting_for = "endpointslices"},
                    GateRow{.name = "SlicesAloneAreNeverEnough",
                            .picture = kSlices,
                            .after = absl::Hours(10),
                            .waiting_for = "services"},
                    GateRow{.name = "TheRestIsWaitedFor",
                            .picture = kBoth,
                            .waiting_for = "the Node, servicecidrs",
                            .until = absl::Seconds(5)},
                    GateRow{.name = "ServiceCidrsAreGivenAMoment",
                            .picture = kNoCidrs,
                            .after = absl::Seconds(4.9),
                            .waiting_for = "servicecidrs",
                            .until = absl::Seconds(5)},
                    GateRow{.name = "ServiceCidrsAreNotNeeded",
                            .picture = kNoCidrs,
                            .after = absl::Seconds(5),
                            .open = true,
                            .without = "servicecidrs"},
                    GateRow{.name = "TheNodeIsGivenLonger",
                            .picture = kBoth,
                            .after = absl::Seconds(29),
                            .waiting_for = "the Node",
                            .until = absl::Seconds(30)},
                    GateRow{.name = "TheNodeIsNotNeeded",
                            .picture = kNoNode,
                            .after = absl::Seconds(30),
                            .open = true,
                            .without = "the Node"},
                    GateRow{.name = "BothAreNamed",
                            .picture = kBoth,
                            .after = absl::Seconds(30),
                            .open = true,
                            .without = "the Node, servicecidrs"},
                    GateRow{.name = "PodCidrsDoNotMatter", .picture = kNoPodCidrs, .open = true},
                    GateRow{.name = "PodCidrsMatterIfTheyTellWhatIsLocal",
                            .picture = kNoPodCidrs,
                            .need_pod_cidrs = true,
                            .after = absl::Seconds(299),
                            .waiting_for = "the podCIDRs of the Node",
                            .until = absl::Minutes(5)},
                    GateRow{.name = "PodCidrsAreNotWaitedForForEver",
                            .picture = kNoPodCidrs,
                            .need_pod_cidrs = true,
                            .after = absl::Minutes(5),
                            .open = true,
                            .without = "the podCIDRs of the Node"},
                    GateRow{.name = "AllIsThere", .picture = kAll, .need_pod_cidrs = true, .open = true}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(GateTest, PatienceBeginsWhenServicesAndSlicesAreComplete) {
  Gate gate({});
  gate.Ask(kStart, kServices);
  const absl::Time complete = kStart + absl::Hours(1);
  EXPECT_EQ(gate.Ask(complete, kBoth).until, complete + absl::Seconds(5));
}

TEST(GateTest, OnceOpenItStaysSoAndSaysItOnce) {
  Gate gate({});
  ASSERT_TRUE(gate.Ask(kStart, kAll).open);
  const Gate::Verdict later = gate.Ask(kStart + absl::Seconds(1), kNothing);
  EXPECT_TRUE(later.open);
  EXPECT_EQ(later.waiting_for, "");
  EXPECT_EQ(later.without, "");
}

}  // namespace
}  // namespace pointsman::kube
