// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/flow_cleaner.h"

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/builders.h"

namespace pointsman {
namespace {

using support::At;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::Duration kLong = absl::Seconds(20);  // longer than anything here takes
constexpr FlowCleaner::Options kQuick = {.first_pause = absl::Milliseconds(1),
                                         .longest_pause = absl::Milliseconds(4),
                                         .answers_pause = absl::Milliseconds(1),
                                         .most_follow_ups = 3};

FlowCheck Check(const std::string& frontend, const std::vector<std::string>& keep) {
  FlowCheck check{.frontend = {At(frontend).addr, Protocol::kUdp, At(frontend).port}};
  for (const std::string& endpoint : keep) check.keep.push_back(At(endpoint));
  check.translated_only = keep.empty();
  return check;
}

std::string Text(absl::Span<const FlowCheck> checks) {
  std::string text;
  for (const FlowCheck& check : checks) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", FormatMatch(check.frontend));
    if (check.translated_only) absl::StrAppend(&text, " translated");
    if (check.answers) absl::StrAppend(&text, " answers");
    for (const SocketAddr& addr : check.keep) absl::StrAppend(&text, " ", FormatSocketAddr(addr));
  }
  return text;
}

// What a table was asked, and what it is to answer. Outlives the table.
class Script {
 public:
  // One answer for each call; then {} for ever.
  void WillAnswer(absl::StatusOr<FlowReport> answer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    answers_.push_back(std::move(answer));
  }
  // The next calls take until Open.
  void Close() { SetOpen(false); }
  void Open() { SetOpen(true); }
  bool WaitForCalls(size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, absl::ToChronoSeconds(kLong), [&] { return calls_.size() >= count; });
  }
  std::vector<std::string> calls() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return calls_;
  }

  absl::StatusOr<FlowReport> Clean(absl::Span<const FlowCheck> checks) {
    std::unique_lock<std::mutex> lock(mutex_);
    calls_.push_back(Text(checks));
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    if (answers_.empty()) return FlowReport();
    absl::StatusOr<FlowReport> answer = std::move(answers_.front());
    answers_.pop_front();
    return answer;
  }

 private:
  void SetOpen(bool open) {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = open;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ ABSL_GUARDED_BY(mutex_) = true;
  std::deque<absl::StatusOr<FlowReport>> answers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> calls_ ABSL_GUARDED_BY(mutex_);
};

class ScriptedTable final : public FlowTable {
 public:
  explicit ScriptedTable(Script& script) : script_(script) {}
  absl::StatusOr<FlowReport> Clean(absl::Span<const FlowCheck> checks) override { return script_.Clean(checks); }

 private:
  Script& script_;
};

class FlowCleanerTest : public ::testing::Test {
 protected:
  std::unique_ptr<FlowCleaner> Start(const FlowCleaner::Options& options = kQuick) {
    const auto report = [this](const absl::StatusOr<FlowReport>& done) {
      const std::lock_guard<std::mutex> lock(mutex_);
      reports_.push_back(done.ok() ? absl::StrCat(done->deleted) : std::string(done.status().message()));
    };
    return std::make_unique<FlowCleaner>(std::make_unique<ScriptedTable>(script_), report, options);
  }
  std::vector<std::string> reports() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return reports_;
  }

  Script script_;

 private:
  std::mutex mutex_;
  std::vector<std::string> reports_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(FlowCleanerTest, DoesNothingUntilThereIsSomethingToCheck) {
  const auto cleaner = Start();
  EXPECT_TRUE(cleaner->Drain(absl::ZeroDuration()));

  cleaner->Submit({});

  EXPECT_TRUE(cleaner->Drain(absl::ZeroDuration()));
  EXPECT_THAT(script_.calls(), IsEmpty());
}

TEST_F(FlowCleanerTest, CarriesOutWhatItIsGivenInOrderAndSaysWhatItFound) {
  const auto cleaner = Start();
  script_.WillAnswer(FlowReport{.seen = 5, .deleted = 3});

  cleaner->Submit({Check("192.0.2.54:53", {}), Check("192.0.2.53:53", {"203.0.113.1:53"})});

  EXPECT_TRUE(cleaner->Drain(absl::InfiniteDuration()));
  EXPECT_THAT(script_.calls(), ElementsAre("192.0.2.53:53/udp 203.0.113.1:53, 192.0.2.54:53/udp translated"));
  EXPECT_THAT(reports(), ElementsAre("3"));
}

TEST_F(FlowCleanerTest, EachFamilyIsAPassOfItsOwn) {
  const FlowPass v4 = {.family = Family::kIpv4, .seen = 5, .deleted = 3};
  const FlowPass v6 = {.family = Family::kIpv6, .seen = 7, .deleted = 2};
  script_.WillAnswer(FlowReport{.seen = v4.seen, .deleted = v4.deleted, .bypassed = 1});
  script_.WillAnswer(FlowReport{.seen = v6.seen, .deleted = v6.deleted});
  script_.Close();
  std::vector<FlowReport> done;
  FlowCleaner cleaner(
      std::make_unique<ScriptedTable>(script_),
      [&](const absl::StatusOr<FlowReport>& report) {
        if (done.empty()) done.push_back(report.value());
      },
      kQuick);
  cleaner.Submit({Check("[2001:db8::53]:53", {"[2001:db8:113::1]:53"}), Check("192.0.2.53:53", {}),
                  Check("192.0.2.54:53", {"203.0.113.1:53"})});
  ASSERT_TRUE(script_.WaitForCalls(1));
  absl::SleepFor(absl::Milliseconds(30));
  script_.Open();
  ASSERT_TRUE(cleaner.Drain(kLong));

  const std::vector<std::string> calls = script_.calls();
  ASSERT_GE(calls.size(), 2U);
  EXPECT_EQ(calls[0], "192.0.2.53:53/udp translated, 192.0.2.54:53/udp 203.0.113.1:53");
  EXPECT_EQ(calls[1], "[2001:db8::53]:53/udp [2001:db8:113::1]:53");
  ASSERT_EQ(done.size(), 1U);
  EXPECT_EQ(done[0].seen, 12);
  EXPECT_EQ(done[0].deleted, 5);
  EXPECT_EQ(done[0].bypassed, 1);
  ASSERT_EQ(done[0].passes.size(), 2U);
  EXPECT_GE(done[0].passes[0].duration, absl::Milliseconds(30));
  for (FlowPass& pass : done[0].passes) pass.duration = absl::ZeroDuration();
  EXPECT_THAT(done[0].passes, ElementsAre(v4, v6));
}

TEST_F(FlowCleanerTest, SubmitDoesNotWaitForACleaningUnderWay) {
  const auto cleaner = Start();
  script_.Close();
  cleaner->Submit({Check("192.0.2.53:53", {})});
  ASSERT_TRUE(script_.WaitForCalls(1));

  cleaner->Submit({Check("192.0.2.54:53", {})});  // returns, though the table does not
  EXPECT_FALSE(cleaner->Drain(absl::Milliseconds(20)));

  script_.Open();
  EXPECT_TRUE(cleaner->Drain(kLong));
  EXPECT_THAT(script_.calls(), ElementsAre("192.0.2.53:53/udp translated", "192.0.2.54:53/udp translated"));
}

TEST_F(FlowCleanerTest, OfTwoChecksThatWaitForOneFrontendTheNewerCounts) {
  const auto cleaner = Start();
  script_.Close();
  cleaner->Submit({Check("192.0.2.99:9", {})});
  ASSERT_TRUE(script_.WaitForCalls(1));

  cleaner->Submit({Check("192.0.2.53:53", {}), Check("192.0.2.54:53", {"203.0.113.1:53"})});
  cleaner->Submit({Check("192.0.2.53:53", {"203.0.113.2:53"}), Check("192.0.2.54:53", {})});
  script_.Open();

  EXPECT_TRUE(cleaner->Drain(kLong));
  EXPECT_THAT(script_.calls(), ElementsAre("192.0.2.99:9/udp translated",
                                           "192.0.2.53:53/udp 203.0.113.2:53, 192.0.2.54:53/udp translated"));
}

TEST_F(FlowCleanerTest, WhatFailedIsDoneAgain) {
  const auto cleaner = Start();
  script_.WillAnswer(absl::UnavailableError("busy"));
  script_.WillAnswer(absl::DataLossError("interrupted"));
  script_.WillAnswer(FlowReport{.seen = 1, .deleted = 1});

  cleaner->Submit({Check("192.0.2.53:53", {})});

  EXPECT_TRUE(cleaner->Drain(kLong));
  EXPECT_THAT(script_.calls(), ElementsAre("192.0.2.53:53/udp translated", "192.0.2.53:53/udp translated",
                                           "192.0.2.53:53/udp translated"));
  EXPECT_THAT(reports(), ElementsAre("busy", "interrupted", "1"));
}

TEST_F(FlowCleanerTest, WhatFailedGivesWayToWhatCameMeanwhile) {
  const auto cleaner = Start();
  script_.Close();
  script_.WillAnswer(absl::UnavailableError("busy"));
  cleaner->Submit({Check("192.0.2.53:53", {"203.0.113.1:53"}), Check("192.0.2.54:53", {})});
  ASSERT_TRUE(script_.WaitForCalls(1));

  cleaner->Submit({Check("192.0.2.53:53", {"203.0.113.2:53"})});
  script_.Open();

  EXPECT_TRUE(cleaner->Drain(kLong));
  EXPECT_THAT(script_.calls(), ElementsAre("192.0.2.53:53/udp 203.0.113.1:53, 192.0.2.54:53/udp translated",
                                           "192.0.2.53:53/udp 203.0.113.2:53, 192.0.2.54:53/udp translated"));
}

TEST_F(FlowCleanerTest, PausesGrowToTheLongestAndAreForgottenWithSuccess) {
  const auto cleaner = Start({.first_pause = absl::Milliseconds(20), .longest_pause = absl::Milliseconds(40)});
  for (int i = 0; i < 4; ++i) script_.WillAnswer(absl::UnavailableError("busy"));
  const absl::Time start = absl::Now();

  cleaner->Submit({Check("192.0.2.53:53", {})});

  EXPECT_TRUE(cleaner->Drain(kLong));
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(20 + 40 + 40 + 40));
  EXPECT_EQ(script_.calls().size(), 5U);

  script_.WillAnswer(absl::UnavailableError("busy"));
  cleaner->Submit({Check("192.0.2.53:53", {})});
  EXPECT_TRUE(cleaner->Drain(kLong));
  EXPECT_EQ(script_.calls().size(), 7U);
}

TEST_F(FlowCleanerTest, WhereFlowsHadBypassedUsTheirAnswersAreLookedForUntilThereAreNone) {
  const auto cleaner = Start();
  for (int i = 0; i < 2; ++i) script_.WillAnswer(FlowReport{.seen = 1, .deleted = 1, .bypassed = 1});

  cleaner->Submit({Check("192.0.2.53:53", {"203.0.113.1:53"}), Check("192.0.2.54:53", {})});

  EXPECT_TRUE(cleaner->Drain(kLong));
  const std::string again = "192.0.2.53:53/udp answers 203.0.113.1:53, 192.0.2.54:53/udp translated";
  EXPECT_THAT(script_.calls(),
              ElementsAre("192.0.2.53:53/udp 203.0.113.1:53, 192.0.2.54:53/udp translated", again, again));
}

TEST_F(FlowCleanerTest, AnswersThatNeverEndAreLeftAtLast) {
  const auto cleaner = Start();
  for (int i = 0; i < 20; ++i) script_.WillAnswer(FlowReport{.seen = 1, .deleted = 1, .bypassed = 1});

  cleaner->Submit({Check("192.0.2.53:53", {"203.0.113.1:53"})});

  EXPECT_TRUE(cleaner->Drain(kLong));
  EXPECT_EQ(script_.calls().size(), 4U) << "once, and three times more";
}

TEST_F(FlowCleanerTest, ANewEndpointIsKeptByAnOlderCheckThatStillWaitsAndIsNoCheckInItself) {
  const auto cleaner = Start();
  FlowCheck renewal = Check("192.0.2.53:53", {"203.0.113.1:53", "203.0.113.2:53"});
  renewal.renews = true;
  cleaner->Submit({renewal});
  EXPECT_TRUE(cleaner->Drain(kLong));
  EXPECT_THAT(script_.calls(), IsEmpty());

  script_.WillAnswer(absl::UnavailableError("busy"));
  script_.Close();
  cleaner->Submit({Check("192.0.2.53:53", {"203.0.113.1:53"})});
  ASSERT_TRUE(script_.WaitForCalls(1));
  cleaner->Submit({renewal});
  script_.Open();

  EXPECT_TRUE(cleaner->Drain(kLong));
  EXPECT_THAT(script_.calls(),
              ElementsAre("192.0.2.53:53/udp 203.0.113.1:53", "192.0.2.53:53/udp 203.0.113.1:53 203.0.113.2:53"));
}

TEST_F(FlowCleanerTest, DrainGivesUpInTime) {
  const auto cleaner = Start({.first_pause = absl::Hours(1), .longest_pause = absl::Hours(1)});
  script_.WillAnswer(absl::UnavailableError("busy"));
  cleaner->Submit({Check("192.0.2.53:53", {})});
  ASSERT_TRUE(script_.WaitForCalls(1));

  EXPECT_FALSE(cleaner->Drain(absl::Milliseconds(20)));
}

TEST_F(FlowCleanerTest, EndsInTheMiddleOfAPause) {
  auto cleaner = Start({.first_pause = absl::Hours(1), .longest_pause = absl::Hours(1)});
  script_.WillAnswer(absl::UnavailableError("busy"));
  cleaner->Submit({Check("192.0.2.53:53", {})});
  ASSERT_TRUE(script_.WaitForCalls(1));
  const absl::Time start = absl::Now();

  cleaner.reset();

  EXPECT_LT(absl::Now() - start, kLong);
  EXPECT_EQ(script_.calls().size(), 1U);
}

}  // namespace
}  // namespace pointsman
