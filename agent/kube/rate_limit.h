// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "absl/time/time.h"

namespace pointsman::kube {

// A token bucket: `burst` requests at once, `qps` a second in the long run. Source: clientConnection.qps and .burst.
class RateLimit {
 public:
  // A `qps` below 0 is no limit.
  RateLimit(double qps, int burst) : qps_(qps), burst_(std::max(burst, 1)), tokens_(burst_) {}

  // When the next request may start; not after `now` if at once.
  absl::Time Next(absl::Time now) {
    Fill(now);
    if (qps_ < 0 || tokens_ >= 1) return now;
    // Rounded up, so that a whole token is there by then.
    return now + absl::Ceil(absl::Seconds((1 - tokens_) / qps_), absl::Milliseconds(1));
  }

  // One starts.
  void Take(absl::Time now) {
    Fill(now);
    tokens_ = std::max(tokens_ - 1, 0.0);
  }

 private:
  void Fill(absl::Time now) {
    if (now > filled_) tokens_ = std::min<double>(burst_, tokens_ + absl::ToDoubleSeconds(now - filled_) * qps_);
    filled_ = std::max(filled_, now);
  }

  const double qps_;
  const int burst_;
  double tokens_;
  absl::Time filled_ = absl::UnixEpoch();
};

}  // namespace pointsman::kube
