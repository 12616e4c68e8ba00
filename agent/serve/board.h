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

// Calendar time for people, steady time (SteadyNow) for deciding.
struct Moment {
  absl::Time calendar = absl::InfinitePast();
  absl::Time steady = absl::InfinitePast();
};

struct FamilyStanding {
  Moment updated;  // the kernel was last made equal, or found equal, to the objects; at first, when the loop began
  std::optional<Moment> pending;  // the oldest change that is not in the kernel yet
};

// How the pipeline stands, as the endpoints over HTTP tell it. The loop writes, the server's thread reads.
struct Standing {
  absl::btree_map<Family, FamilyStanding> families;  // those that are programmed; from the moment the loop has begun
  bool started = false;                              // the pipeline has what it needs to act: the objects have arrived
  bool ready = false;                                // what was known then is in the kernel, or was once
  std::string pending_reason;  // why a change is not in the kernel: the last error, or empty while it is on its way
  bool node_seen = false;      // the Node object has been seen
  bool node_deleting = false;  // it has a deletionTimestamp
  std::vector<std::string> node_taints;  // keys

  int64_t services = 0;                                      // in the kernel
  uint32_t generation = 0;                                   // of the ruleset, as last left or found
  int failures = 0;                                          // in a row
  absl::btree_map<NamespacedName, Diagnostics> diagnostics;  // of objects, as of now

  // The loop has begun, for these families.
  void Begin(const std::vector<Family>& which, const Moment& now) {
    for (const Family family : which) families[family] = {.updated = now};
  }
  // There is a change to bring into the kernel. The oldest counts.
  void Queue(const Moment& now) {
    for (auto& [family, standing] : families) {
      if (!standing.pending) standing.pending = now;
    }
  }
  // All there was is in the kernel.
  void Synced(const Moment& now) {
    for (auto& [family, standing] : families) standing = {.updated = now};
    ready = true;
    failures = 0;
    pending_reason.clear();
  }
};

class Board {
 public:
  Standing Get() const {
    const std::lock_guard lock(mutex_);
    return standing_;
  }
  // `look` gets it to read, and must be quick.
  template <typename Look>
  auto Read(Look look) const {
    const std::lock_guard lock(mutex_);
    return look(standing_);
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
