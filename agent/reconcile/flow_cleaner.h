// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

#include "pointsman/flows.h"
#include "pointsman/netlink.h"

namespace pointsman {

// Removes stale flows on a thread of its own: walking a large connection tracking table must hold up no commit.
//
// A check is kept until it was carried out. What waits for a frontend is replaced by what comes in for it later.
class FlowCleaner {
 public:
  // Called from the thread, after each cleaning. Families are cleaned one after the other; the report is of both.
  using Report = absl::AnyInvocable<void(const absl::StatusOr<FlowReport>&)>;

  struct Options {
    // Between attempts that failed; each pause is twice the one before.
    absl::Duration first_pause = absl::Milliseconds(100);
    absl::Duration longest_pause = absl::Seconds(30);
    // Flows that had bypassed us may have come back from their other end: so soon, and at most so often, that is looked
    // into.
    absl::Duration answers_pause = absl::Milliseconds(150);
    int most_follow_ups = 10;
  };

  // The thread starts in the caller's network namespace; `table` belongs to it from here on.
  FlowCleaner(std::unique_ptr<FlowTable> table, Report report, const Options& options);
  FlowCleaner(std::unique_ptr<FlowTable> table, Report report)
      : FlowCleaner(std::move(table), std::move(report), Options()) {}
  // Ends after the cleaning under way, if any; what still waits is forgotten.
  ~FlowCleaner();
  FlowCleaner(const FlowCleaner&) = delete;
  FlowCleaner& operator=(const FlowCleaner&) = delete;

  // What FlowTracker found, once the program it belongs to is in the kernel.
  void Submit(std::vector<FlowCheck> checks);

  // Waits until everything submitted is carried out and reported.
  // Returns: false if that took longer than `timeout`.
  bool Drain(absl::Duration timeout);

 private:
  void Work();
  absl::StatusOr<FlowReport> Clean(absl::Span<const FlowCheck> checks);
  // Waits for something to do, but for `pause` at least, and takes all of it. Empty: the end.
  std::vector<FlowCheck> Take(absl::Duration pause);

  const Options options_;
  const std::unique_ptr<FlowTable> table_;  // the thread's own
  Report report_;                           // too

  // Not abseil's: the thread sanitizer sees no order in its waits, as the distribution's library is not instrumented.
  std::mutex mutex_;
  std::condition_variable changed_;
  absl::btree_map<Match, FlowCheck> waiting_ ABSL_GUARDED_BY(mutex_);
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace pointsman
