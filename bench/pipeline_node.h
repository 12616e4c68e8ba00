// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"

#include "agent/loop/inbox.h"
#include "agent/reconcile/driver.h"
#include "bench/pipeline_tap.h"
#include "pointsman/dataplane.h"
#include "pointsman/store.h"

namespace pointsman::bench {

// The reconciling half of `pointsman run`, with the real dataplane, in the network namespace of the calling thread;
// what goes to the kernel is seen. One thread makes it and uses it; others may put into the Inbox.
class Node {
 public:
  Node();
  ~Node();

  Inbox& inbox() { return inbox_; }
  Driver& driver() { return *driver_; }
  Tap& tap() { return tap_; }
  absl::Duration listing() const { return listing_; }  // the kernel, so far

  // All of a cluster is in the Inbox, and known to be all.
  void Fill(std::vector<ObjectChange> changes);
  // Takes what is in the Inbox, and works until all of it is in the kernel. Waits where the Driver wants to wait.
  void Settle();

  struct Cost {
    absl::Duration total;  // from the change in hand to the commit acknowledged
    absl::Duration user;   // of that, outside the kernel
    int64_t allocations = 0;
    int64_t bytes = 0;  // sent
    int transactions = 0;
  };
  Cost Apply(std::vector<ObjectChange> changes);

  // From here on the nft commands of each commit are kept, in order; null: no more.
  void KeepText(std::vector<std::string>* text);

 private:
  class Seen;

  Tap tap_;
  Inbox inbox_;
  std::unique_ptr<Seen> dataplane_;
  std::unique_ptr<Driver> driver_;
  absl::Duration listing_;
};

}  // namespace pointsman::bench
