// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace pointsman {

// Decides what to do next; does nothing itself. Time is passed in.
class Controller {
 public:
  struct Options {
    absl::Duration retry_min = absl::Milliseconds(100);
    absl::Duration retry_max = absl::Seconds(30);
    absl::Duration drift_check = absl::Seconds(1);    // how often to ask for the generation
    absl::Duration shrink_after = absl::Seconds(60);  // a list must have been small for so long
    // A listing is followed by a pause of so many times the cost of it and of its repairs, so that strangers who commit
    // all the time do not keep us busy.
    int listing_pause = 20;
    int guarded_attempts = 3;     // against strangers' commits; then without the guard
    int failures_to_rebuild = 3;  // refusals in a row after which our tables are written from nothing
  };

  enum class Do {
    kWait,             // nothing until `until`
    kObserve,          // list the kernel
    kReconcile,        // compile what is dirty and commit
    kShrink,           // the same, and move lists to smaller classes
    kRebuild,          // replace our tables, in one transaction
    kCheckGeneration,  // ask for the generation and compare with the one we left
  };
  struct Next {
    Do what = Do::kWait;
    absl::Time until = absl::InfiniteFuture();
    bool guarded = true;  // with kReconcile and kShrink: name the generation in the batch
  };

  Controller() = default;
  explicit Controller(Options options) : options_(options) {}

  // Before this, nothing is touched: acting on half a picture would take rules away.
  void Synced() { synced_ = true; }
  void Dirty() { dirty_ = true; }
  // There are lists much smaller than their size class. Repeat it as long as it holds.
  void Shrinkable(absl::Time now, bool any);

  Next Decide(absl::Time now) const;

  // What came of it.
  void Observed(absl::Time now, const absl::Status& status, absl::Duration cost);
  void Committed(absl::Time now, const absl::Status& status);
  // Whether what a committed pass left to clear away is gone. If not, it is unknown what is there.
  void Swept(absl::Time now, const absl::Status& status);
  void GenerationChecked(absl::Time now, bool moved);

  bool synced() const { return synced_; }
  bool idle() const { return synced_ && !dirty_ && known_; }
  int failures() const { return failures_; }

 private:
  void Fail(absl::Time now);

  Options options_;
  bool synced_ = false;
  bool dirty_ = true;
  bool known_ = false;    // what the kernel holds is known
  bool listing_ = false;  // the commit to come is the first after a listing
  int aborts_ = 0;
  int failures_ = 0;
  int refusals_ = 0;
  int failed_sweeps_ = 0;
  absl::Time listed_at_;  // when the listing began
  absl::Time retry_at_ = absl::InfinitePast();
  absl::Time check_at_ = absl::InfiniteFuture();
  absl::Time shrink_at_ = absl::InfiniteFuture();
};

}  // namespace pointsman
