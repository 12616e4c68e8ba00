// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <random>

#include "absl/time/time.h"

namespace pointsman::kube {

// Pauses between attempts that fail: doubling, and each stretched at random by up to its own length, so that the nodes
// of a cluster do not come back as one.
class Backoff {
 public:
  struct Options {
    absl::Duration first = absl::Milliseconds(800);
    absl::Duration longest = absl::Seconds(30);
    absl::Duration forgotten = absl::Minutes(2);  // without a pause: it begins anew
  };

  Backoff(Options options, uint32_t seed) : options_(options), random_(seed), next_(options.first) {}

  // The pause to make now.
  absl::Duration Next(absl::Time now) {
    if (now > over_ + options_.forgotten) Reset();
    const absl::Duration pause = next_ * std::uniform_real_distribution<>(1, 2)(random_);
    next_ = std::min(next_ * 2, options_.longest);
    over_ = now + pause;
    return pause;
  }

  void Reset() { next_ = options_.first; }

 private:
  Options options_;
  std::minstd_rand random_;
  absl::Duration next_;
  absl::Time over_ = absl::InfinitePast();
};

}  // namespace pointsman::kube
