// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/controller.h"

#include <string>
#include <vector>

#include "absl/time/time.h"

#include "gtest/gtest.h"

namespace pointsman {

// For messages of failed expectations.
void PrintTo(Controller::Do what, std::ostream* out) {
  static constexpr const char* kNames[] = {"wait", "observe", "reconcile", "shrink", "rebuild", "check generation"};
  *out << kNames[static_cast<int>(what)];
}

namespace {

using Do = Controller::Do;

const absl::Time kStart = absl::FromUnixSeconds(1'700'000'000);
const absl::Status kOk = absl::OkStatus();
const absl::Status kAborted = absl::AbortedError("moved");
const absl::Status kUnavailable = absl::UnavailableError("busy");
const absl::Status kRefused = absl::FailedPreconditionError("refused");

Controller Synced(Controller::Options options = {}) {
  Controller controller(options);
  controller.Synced();
  return controller;
}

// Synced, observed, committed, at kStart.
Controller Idle(Controller::Options options = {}) {
  Controller controller = Synced(options);
  controller.Observed(kStart, kOk, absl::ZeroDuration());
  controller.Committed(kStart, kOk);
  return controller;
}

// One failed commit, with the observation it takes to try again.
void FailCommit(Controller& controller, absl::Time now, const absl::Status& status) {
  controller.Committed(now, status);
  controller.Observed(now, kOk, absl::ZeroDuration());
}

TEST(ControllerTest, DoesNothingBeforeTheSourcesHaveSpoken) {
  Controller controller;
  controller.Dirty();

  EXPECT_EQ(controller.Decide(kStart).what, Do::kWait);
  EXPECT_EQ(controller.Decide(kStart).until, absl::InfiniteFuture());
  EXPECT_FALSE(controller.idle());

  controller.Synced();
  EXPECT_EQ(controller.Decide(kStart).what, Do::kObserve);
}

TEST(ControllerTest, LooksThenWritesThenRests) {
  Controller controller = Synced();
  ASSERT_EQ(controller.Decide(kStart).what, Do::kObserve);

  controller.Observed(kStart, kOk, absl::ZeroDuration());
  EXPECT_EQ(controller.Decide(kStart).what, Do::kReconcile);
  EXPECT_TRUE(controller.Decide(kStart).guarded);
  EXPECT_FALSE(controller.idle());

  controller.Committed(kStart, kOk);
  EXPECT_EQ(controller.Decide(kStart).what, Do::kWait);
  EXPECT_TRUE(controller.idle());

  controller.Dirty();
  EXPECT_EQ(controller.Decide(kStart).what, Do::kReconcile) << "without another look";
}

TEST(ControllerTest, AnAbortIsLookedIntoAtOnce) {
  Controller controller = Idle();
  controller.Dirty();

  controller.Committed(kStart, kAborted);

  EXPECT_EQ(controller.Decide(kStart).what, Do::kObserve);
  EXPECT_EQ(controller.failures(), 0) << "somebody else was quicker: no failure of ours";
}

TEST(ControllerTest, AfterSomeGuardedAttemptsTheGuardIsLeftOut) {
  Controller controller = Idle({.guarded_attempts = 2});
  controller.Dirty();

  FailCommit(controller, kStart, kAborted);
  EXPECT_TRUE(controller.Decide(kStart).guarded);
  FailCommit(controller, kStart, kAborted);
  EXPECT_EQ(controller.Decide(kStart).what, Do::kReconcile);
  EXPECT_FALSE(controller.Decide(kStart).guarded);

  controller.Committed(kStart, kOk);
  controller.Dirty();
  EXPECT_TRUE(controller.Decide(kStart).guarded) << "success forgets";
}

TEST(ControllerTest, FailuresAreRetriedAfterADelayThatDoublesUpToALimit) {
  Controller controller = Idle({.retry_min = absl::Milliseconds(100), .retry_max = absl::Milliseconds(500)});
  controller.Dirty();
  absl::Time now = kStart;
  for (const int delay_ms : {100, 200, 400, 500, 500}) {
    controller.Committed(now, kUnavailable);

    EXPECT_EQ(controller.Decide(now).what, Do::kWait);
    EXPECT_EQ(controller.Decide(now).until, now + absl::Milliseconds(delay_ms));
    now += absl::Milliseconds(delay_ms);
    EXPECT_EQ(controller.Decide(now).what, Do::kObserve) << "after a failure nothing is known";
    controller.Observed(now, kOk, absl::ZeroDuration());
    ASSERT_EQ(controller.Decide(now).what, Do::kReconcile);
  }
  EXPECT_EQ(controller.failures(), 5);

  controller.Committed(now, kOk);
  EXPECT_EQ(controller.failures(), 0);
  controller.Dirty();
  controller.Committed(now, kUnavailable);
  EXPECT_EQ(controller.Decide(now).until, now + absl::Milliseconds(100)) << "success starts the delays over";
}

TEST(ControllerTest, TheDelayDoesNotOverflow) {
  Controller controller = Synced();
  absl::Time now = kStart;
  for (int i = 0; i < 100; ++i) {
    controller.Observed(now, kUnavailable, absl::ZeroDuration());
    ASSERT_GT(controller.Decide(now).until, now);
    ASSERT_LE(controller.Decide(now).until, now + absl::Seconds(30));
    now = controller.Decide(now).until;
  }
}

TEST(ControllerTest, AListingThatFailsIsRetriedLater) {
  Controller controller = Synced();

  controller.Observed(kStart, kUnavailable, absl::ZeroDuration());

  EXPECT_EQ(controller.Decide(kStart).what, Do::kWait);
  EXPECT_EQ(controller.Decide(kStart + absl::Seconds(1)).what, Do::kObserve);
  EXPECT_EQ(controller.failures(), 1);
}

TEST(ControllerTest, ChangesThatComeDuringADelayWaitForItsEnd) {
  Controller controller = Idle();
  controller.Dirty();
  controller.Committed(kStart, kUnavailable);

  controller.Dirty();

  EXPECT_EQ(controller.Decide(kStart).what, Do::kWait);
}

TEST(ControllerTest, RefusalsInARowEndInARebuild) {
  Controller controller = Idle({.failures_to_rebuild = 3});
  controller.Dirty();
  absl::Time now = kStart;
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(controller.Decide(now).what, Do::kReconcile) << i;
    FailCommit(controller, now, kRefused);
    now += absl::Minutes(1);
  }

  EXPECT_EQ(controller.Decide(now).what, Do::kRebuild);
  FailCommit(controller, now, kRefused);
  now += absl::Minutes(1);
  EXPECT_EQ(controller.Decide(now).what, Do::kRebuild) << "until it goes through";

  controller.Committed(now, kOk);
  controller.Dirty();
  EXPECT_EQ(controller.Decide(now).what, Do::kReconcile);
}

TEST(ControllerTest, WhatIsNoRefusalNeverRebuilds) {
  for (const absl::Status& status : {kUnavailable, kAborted, absl::PermissionDeniedError("no")}) {
    Controller controller = Idle({.failures_to_rebuild = 1});
    controller.Dirty();
    absl::Time now = kStart;
    for (int i = 0; i < 10; ++i) {
      FailCommit(controller, now, status);
      now += absl::Minutes(1);
      EXPECT_EQ(controller.Decide(now).what, Do::kReconcile) << status;
    }
  }
}

TEST(ControllerTest, ChecksForDriftNowAndThen) {
  Controller controller = Idle({.drift_check = absl::Seconds(1)});
  EXPECT_EQ(controller.Decide(kStart).until, kStart + absl::Seconds(1));
  const absl::Time then = kStart + absl::Seconds(1);
  ASSERT_EQ(controller.Decide(then).what, Do::kCheckGeneration);

  controller.GenerationChecked(then, /*moved=*/false);

  EXPECT_EQ(controller.Decide(then).what, Do::kWait);
  EXPECT_EQ(controller.Decide(then).until, then + absl::Seconds(1));
  EXPECT_TRUE(controller.idle());
}

TEST(ControllerTest, DriftIsListedAndRepaired) {
  Controller controller = Idle();
  const absl::Time then = kStart + absl::Seconds(1);

  controller.GenerationChecked(then, /*moved=*/true);

  EXPECT_EQ(controller.Decide(then).what, Do::kObserve);
  EXPECT_FALSE(controller.idle());
  controller.Observed(then, kOk, absl::ZeroDuration());
  EXPECT_EQ(controller.Decide(then).what, Do::kReconcile) << "though no object has changed";
}

TEST(ControllerTest, AListingIsFollowedByAPauseInProportionToWhatItAndItsRepairsCost) {
  const Controller::Options options = {.drift_check = absl::Seconds(1), .listing_pause = 20};
  const auto after_listing = [&](absl::Duration listing, absl::Duration repair) {
    Controller controller = Idle(options);
    controller.GenerationChecked(kStart, true);
    controller.Observed(kStart, kOk, listing);
    controller.Committed(kStart + repair, kOk);
    return controller.Decide(kStart + repair).until - (kStart + repair);
  };

  EXPECT_EQ(after_listing(absl::Milliseconds(500), absl::ZeroDuration()), absl::Seconds(10));
  EXPECT_EQ(after_listing(absl::Milliseconds(500), absl::Milliseconds(100)), absl::Seconds(12));
  EXPECT_EQ(after_listing(absl::Milliseconds(1), absl::ZeroDuration()), absl::Seconds(1)) << "never shorter than usual";
}

TEST(ControllerTest, AnOrdinaryCommitKnowsNoPause) {
  Controller controller = Idle({.drift_check = absl::Seconds(1), .listing_pause = 20});
  controller.GenerationChecked(kStart, true);
  controller.Observed(kStart, kOk, absl::Seconds(1));
  controller.Committed(kStart, kOk);

  controller.Dirty();
  controller.Committed(kStart, kOk);

  EXPECT_EQ(controller.Decide(kStart).until, kStart + absl::Seconds(1));
}

TEST(ControllerTest, ShrinksAfterAMinuteOfBeingAbleTo) {
  Controller controller = Idle({.drift_check = absl::Hours(1), .shrink_after = absl::Minutes(1)});
  controller.Shrinkable(kStart, true);
  controller.Shrinkable(kStart + absl::Seconds(30), true);

  EXPECT_EQ(controller.Decide(kStart).what, Do::kWait);
  EXPECT_EQ(controller.Decide(kStart).until, kStart + absl::Minutes(1)) << "since the first word of it";
  EXPECT_EQ(controller.Decide(kStart + absl::Minutes(1)).what, Do::kShrink);
  EXPECT_TRUE(controller.Decide(kStart + absl::Minutes(1)).guarded);
}

TEST(ControllerTest, WhatIsNoLongerShrinkableIsNotShrunk) {
  Controller controller = Idle({.drift_check = absl::Hours(1)});
  controller.Shrinkable(kStart, true);

  controller.Shrinkable(kStart + absl::Seconds(30), false);

  EXPECT_EQ(controller.Decide(kStart + absl::Minutes(2)).what, Do::kWait);
  controller.Shrinkable(kStart + absl::Seconds(40), true);
  EXPECT_EQ(controller.Decide(kStart + absl::Seconds(99)).what, Do::kWait) << "the minute starts over";
  EXPECT_EQ(controller.Decide(kStart + absl::Seconds(100)).what, Do::kShrink);
}

TEST(ControllerTest, AClusterThatIsNeverQuietShrinksAllTheSame) {
  Controller controller = Idle({.shrink_after = absl::Minutes(1)});
  absl::Time now = kStart;
  controller.Shrinkable(now, true);
  for (; now < kStart + absl::Minutes(1); now += absl::Seconds(10)) {
    controller.Dirty();
    ASSERT_EQ(controller.Decide(now).what, Do::kReconcile);
    controller.Committed(now, kOk);
    controller.Shrinkable(now, true);
  }

  controller.Dirty();
  EXPECT_EQ(controller.Decide(now).what, Do::kShrink) << "along with what is dirty";

  controller.Committed(now, kOk);
  controller.Shrinkable(now, false);
  EXPECT_EQ(controller.Decide(now).what, Do::kWait);
}

}  // namespace
}  // namespace pointsman
