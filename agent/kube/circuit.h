// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/time/time.h"

#include "agent/kube/backoff.h"

namespace pointsman::kube {

// Whether requests may go out. While no server can be reached one request tries at a time, after growing pauses, and
// the others wait for what comes of it: however many there are, a server that is down sees one knock a pause. So it is
// at the start, too: the first request opens the connection that the others share.
class Circuit {
 public:
  explicit Circuit(Backoff backoff) : backoff_(backoff) {}

  // When a request may start; not after `now` if at once.
  absl::Time Next(absl::Time now) const {
    if (closed_) return now;
    return trying_ ? try_until_ : next_;
  }
  void Started(absl::Time now) {
    if (closed_) return;
    trying_ = true;
    try_until_ = now + kPatience;
  }
  // A server answered, whatever it said.
  void Reached() {
    closed_ = true;
    trying_ = false;
    backoff_.Reset();
  }
  // No answer came of a request.
  // Returns: the pause; zero if what failed had been started before a pause that has already been decided upon.
  absl::Duration Failed(absl::Time now) {
    trying_ = false;
    if (!closed_ && now < next_) return absl::ZeroDuration();
    closed_ = false;
    const absl::Duration pause = backoff_.Next(now);
    next_ = now + pause;
    return pause;
  }
  // The request that tried was given up for a reason of our own.
  void Abandoned() { trying_ = false; }

  bool closed() const { return closed_; }

 private:
  // A server may be slow to answer one request and quick with others.
  static constexpr absl::Duration kPatience = absl::Seconds(10);

  Backoff backoff_;
  bool closed_ = false;
  bool trying_ = false;
  absl::Time next_ = absl::InfinitePast();
  absl::Time try_until_ = absl::InfinitePast();
};

}  // namespace pointsman::kube
