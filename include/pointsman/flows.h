// SPDX-License-Identifier: Apache-2.0
//
// Established flows that have become stale: entries of the connection tracking table whose translation is no longer
// what the Services say. NAT is settled by the first packet of a flow, so a client that keeps its UDP socket would stay
// with an endpoint that is gone.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"

#include "pointsman/net.h"

namespace pointsman {

// "Of the flows whose original destination is exactly `frontend`, those that are not answered by one of `keep` go."
struct FlowCheck {
  Match frontend;
  std::vector<SocketAddr> keep;  // reply source addresses that are right; sorted, unique
  // Only flows that were translated: nobody answers on `frontend` any more, so what was not translated was never ours.
  bool translated_only = false;
  // Also flows from `frontend` that nobody translated: after one that bypassed us was removed, an answer to it that was
  // still on its way opens another, from the other end, and what its client sends next is taken for an answer to that.
  bool answers = false;
  // Nothing has become stale; but an earlier check for `frontend` that was not carried out yet knows too few to keep.
  bool renews = false;

  friend bool operator==(const FlowCheck&, const FlowCheck&) = default;
};

// What cleaning one family took.
struct FlowPass {
  Family family = Family::kIpv4;
  absl::Duration duration;
  int64_t seen = 0;  // as in FlowReport
  int64_t deleted = 0;

  friend bool operator==(const FlowPass&, const FlowPass&) = default;
};

struct FlowReport {
  int64_t seen = 0;              // entries the kernel sent us
  int64_t deleted = 0;           // entries removed, or gone by the time
  int64_t bypassed = 0;          // of these, those that nobody had translated
  std::vector<FlowPass> passes;  // the same by family, those that were gone through; FlowCleaner fills it in
};

}  // namespace pointsman
