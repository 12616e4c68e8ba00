// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "absl/time/time.h"

#include "pointsman/store.h"

namespace pointsman {

// When the changes happened that are not in the kernel yet, as far as somebody has timed them: what kube-proxy's
// network programming latency is counted from.
//
// Several changes of a Service count each. One that makes no difference does not; nor do those of a slice that is gone,
// for the time it carries is that of its last update. They are kept until they are in the kernel, however often that
// fails.
//
// Source: EndpointsChangeTracker of k8s.io/kubernetes pkg/proxy, but that a slice that goes does not take the times of
// its Service's other slices along, nor a failure those of all.
class ChangeTimes {
 public:
  struct Trigger {
    Family family = Family::kIpv4;
    absl::Time at;  // by the calendar

    friend bool operator==(const Trigger&, const Trigger&) = default;
  };

  // Takes note of changes, before they are applied, and decides by what became of it whether they count.
  void Note(const ObjectBatch& batch);
  void Applied(const Touched& touched);

  // All of it has come into the kernel.
  std::vector<Trigger> Take();

 private:
  struct Change {
    NamespacedName slice;
    NamespacedName service;
    Trigger trigger;
  };

  std::vector<Change> noted_;
  std::vector<Change> waiting_;
};

}  // namespace pointsman
