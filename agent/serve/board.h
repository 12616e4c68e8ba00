// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/time/time.h"

#include "pointsman/api.h"
#include "pointsman/diagnostic.h"
#include "pointsman/net.h"

namespace pointsman::serve {

// How the pipeline stands, as the endpoints over HTTP tell it. The loop writes, the server's thread reads.
struct Standing {
  // Calendar time for people, steady time (SteadyNow) for deciding.
  struct Moment {
    absl::Time calendar = absl::InfinitePast();
    absl::Time steady = absl::InfinitePast();
  };

  std::vector<Family> families;   // those that are programmed
  bool started = false;           // the pipeline has what it needs to act: the objects have arrived
  Moment updated;                 // the kernel was last made equal, or found equal, to the objects; InfinitePast: never
  std::optional<Moment> pending;  // the oldest change that is not in the kernel yet
  std::string pending_reason;     // why not: the last error, or empty while it is simply on its way
  bool node_seen = false;         // the Node object has been seen
  bool node_deleting = false;     // it has a deletionTimestamp
  std::vector<std::string> node_taints;  // keys

  int64_t services = 0;                                      // in the kernel
  uint32_t generation = 0;                                   // of the ruleset, as last left or found
  int failures = 0;                                          // in a row
  absl::btree_map<NamespacedName, Diagnostics> diagnostics;  // of objects, as of now
};

class Board {
 public:
  Standing Get() const {
    const std::lock_guard lock(mutex_);
    return standing_;
  }
  // `change` gets the Standing to alter.
  template <typename Change>
  void Update(Change change) {
    const std::lock_guard lock(mutex_);
    change(standing_);
  }

 private:
  mutable std::mutex mutex_;
  Standing standing_;
};

}  // namespace pointsman::serve
