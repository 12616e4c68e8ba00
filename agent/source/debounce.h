// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace pointsman {

// When to act on a burst of events: once each thing that changed has been quiet for a while, but not later than kMost
// after the first event. A thing known to be complete needs hardly any quiet, just enough for the rest of its burst to
// arrive.
class Debounce {
 public:
  static constexpr absl::Duration kQuiet = absl::Milliseconds(50);
  static constexpr absl::Duration kSettled = absl::Milliseconds(5);
  static constexpr absl::Duration kMost = absl::Milliseconds(500);

  // Something happened to `what`. The latest event of a thing counts.
  void Note(absl::string_view what, bool settled, absl::Time now) {
    if (quiet_at_.empty()) first_ = now;
    quiet_at_[what] = now + (settled ? kSettled : kQuiet);
  }

  // InfiniteFuture when nothing happened.
  absl::Time Due() const {
    if (quiet_at_.empty()) return absl::InfiniteFuture();
    absl::Time due = absl::InfinitePast();
    for (const auto& [what, quiet_at] : quiet_at_) due = std::max(due, quiet_at);
    return std::min(due, first_ + kMost);
  }

  void Clear() { quiet_at_.clear(); }

 private:
  absl::flat_hash_map<std::string, absl::Time> quiet_at_;
  absl::Time first_;
};

}  // namespace pointsman
