// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/controller.h"

#include <algorithm>

namespace pointsman {

void Controller::Shrinkable(absl::Time now, bool any) {
  if (!any) {
    shrink_at_ = absl::InfiniteFuture();
  } else if (shrink_at_ == absl::InfiniteFuture()) {
    shrink_at_ = now + options_.shrink_after;
  }
}

Controller::Next Controller::Decide(absl::Time now) const {
  if (!synced_) return {};
  if (now < retry_at_) return {.what = Do::kWait, .until = retry_at_};
  const bool guarded = aborts_ < options_.guarded_attempts;
  if (!known_) return {.what = Do::kObserve};
  if (dirty_ && refusals_ >= options_.failures_to_rebuild) return {.what = Do::kRebuild};
  // What is due goes along with whatever else there is: a cluster that is never quiet shrinks its lists too.
  if (now >= shrink_at_) return {.what = Do::kShrink, .guarded = guarded};
  if (dirty_) return {.what = Do::kReconcile, .guarded = guarded};
  if (now >= check_at_) return {.what = Do::kCheckGeneration};
  return {.what = Do::kWait, .until = std::min(check_at_, shrink_at_)};
}

void Controller::Observed(absl::Time now, const absl::Status& status, absl::Duration cost) {
  if (!status.ok()) {
    Fail(now);
    return;
  }
  known_ = true;
  dirty_ = true;
  listing_ = true;
  listed_at_ = now - cost;
}

void Controller::Committed(absl::Time now, const absl::Status& status) {
  if (status.ok()) {
    dirty_ = false;
    aborts_ = failures_ = refusals_ = 0;
    retry_at_ = absl::InfinitePast();
    check_at_ = now + options_.drift_check;
    if (listing_) check_at_ = std::max(check_at_, now + (now - listed_at_) * options_.listing_pause);
    listing_ = false;
    return;
  }
  known_ = false;
  if (absl::IsAborted(status)) {
    ++aborts_;  // somebody else was quicker; look again at once
    return;
  }
  if (!absl::IsUnavailable(status) && !absl::IsPermissionDenied(status)) ++refusals_;
  Fail(now);
}

void Controller::Swept(absl::Time now, const absl::Status& status) {
  if (status.ok()) {
    failed_sweeps_ = 0;
    return;
  }
  known_ = false;
  if (absl::IsAborted(status)) return;
  failures_ = failed_sweeps_++;  // the commit before it succeeded, and would have us try again at once for ever
  Fail(now);
}

void Controller::GenerationChecked(absl::Time now, bool moved) {
  check_at_ = now + options_.drift_check;
  if (moved) known_ = false;
}

void Controller::Fail(absl::Time now) {
  // Doubling; the first retry comes after retry_min.
  const absl::Duration delay = options_.retry_min * (1 << std::min(failures_, 12));
  ++failures_;
  retry_at_ = now + std::min(delay, options_.retry_max);
}

}  // namespace pointsman
