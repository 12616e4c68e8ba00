// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/flow_cleaner.h"

#include <algorithm>
#include <utility>

#include "agent/loop/clock.h"
#include "pointsman/status.h"

namespace pointsman {

FlowCleaner::FlowCleaner(std::unique_ptr<FlowTable> table, Report report, const Options& options)
    : options_(options), table_(std::move(table)), report_(std::move(report)), thread_([this] { Work(); }) {}

FlowCleaner::~FlowCleaner() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void FlowCleaner::Submit(std::vector<FlowCheck> checks) {
  if (checks.empty()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (FlowCheck& check : checks) {
      const Match frontend = check.frontend;
      // Whether one under way comes to an end is not known yet.
      if (check.renews && !busy_ && !waiting_.contains(frontend)) continue;
      waiting_.insert_or_assign(frontend, std::move(check));
    }
  }
  changed_.notify_all();
}

bool FlowCleaner::Drain(absl::Duration timeout) {
  timeout = std::min(timeout, absl::Hours(24));  // the clock behind wait_for overflows
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout), [this] { return waiting_.empty() && !busy_; });
}

std::vector<FlowCheck> FlowCleaner::Take(absl::Duration pause) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoMilliseconds(pause), [this] { return stop_; });
  changed_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
  std::vector<FlowCheck> checks;
  if (stop_) return checks;
  checks.reserve(waiting_.size());
  for (auto& [frontend, check] : waiting_) checks.push_back(std::move(check));
  waiting_.clear();
  busy_ = true;
  return checks;
}

absl::StatusOr<FlowReport> FlowCleaner::Clean(absl::Span<const FlowCheck> checks) {
  FlowReport total;
  while (!checks.empty()) {
    // Sorted by frontend means by family first.
    const Family family = checks.front().frontend.dest.family();
    const auto other = std::find_if(checks.begin(), checks.end(),
                                    [&](const FlowCheck& check) { return check.frontend.dest.family() != family; });
    const absl::Time start = SteadyNow();
    PM_ASSIGN_OR_RETURN(const FlowReport report,
                        table_->Clean(checks.first(static_cast<size_t>(other - checks.begin()))));
    checks.remove_prefix(static_cast<size_t>(other - checks.begin()));
    total.passes.push_back(
        {.family = family, .duration = SteadyNow() - start, .seen = report.seen, .deleted = report.deleted});
    total.seen += report.seen;
    total.deleted += report.deleted;
    total.bypassed += report.bypassed;
  }
  return total;
}

void FlowCleaner::Work() {
  absl::Duration pause = absl::ZeroDuration();
  int follow_ups = 0;
  while (true) {
    std::vector<FlowCheck> checks = Take(pause);
    if (checks.empty()) return;
    const absl::StatusOr<FlowReport> report = Clean(checks);
    report_(report);
    const bool bypassed = report.ok() && report->bypassed > 0 && follow_ups < options_.most_follow_ups;
    follow_ups = bypassed ? follow_ups + 1 : 0;
    pause = bypassed      ? options_.answers_pause
            : report.ok() ? absl::ZeroDuration()
                          : std::clamp(2 * pause, options_.first_pause, options_.longest_pause);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      busy_ = false;
      if (!report.ok() || bypassed) {
        for (FlowCheck& check : checks) {
          check.answers = check.answers || (bypassed && !check.translated_only);
          const Match frontend = check.frontend;
          waiting_.try_emplace(frontend, std::move(check));  // unless a newer one has come in
        }
      }
    }
    changed_.notify_all();
  }
}

}  // namespace pointsman
