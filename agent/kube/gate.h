// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/time/time.h"

namespace pointsman::kube {

// What has been seen so far of what must be known before the kernel is touched.
struct Picture {
  bool services = false;  // the first complete list is there
  bool slices = false;
  bool node = false;           // there is one, with an address
  bool pod_cidrs = false;      // it has ranges for pods
  bool service_cidrs = false;  // the first complete list is there
};

// Says when enough is known to act upon.
//
// Services and EndpointSlices must be complete, however long that takes. The Node is waited for too, but a node is
// better served without its zone and its NodePorts' addresses than not at all. ServiceCIDRs are not served by older API
// servers; they are only given the time that spares a second commit.
class Gate {
 public:
  struct Options {
    bool need_pod_cidrs = false;  // --detect-local-mode NodeCIDR
    absl::Duration node_patience = absl::Seconds(30);
    absl::Duration pod_cidrs_patience = absl::Minutes(5);
    absl::Duration service_cidrs_patience = absl::Seconds(5);
  };

  explicit Gate(Options options) : options_(options) {}

  struct Verdict {
    bool open = false;
    std::string waiting_for;                    // while it is not open: "services, endpointslices"
    std::string without;                        // when it opened although something is missing: "the Node"
    absl::Time until = absl::InfiniteFuture();  // ask again by then
  };
  // Once open, it stays so.
  Verdict Ask(absl::Time now, const Picture& picture);

 private:
  const Options options_;
  absl::Time complete_ = absl::InfiniteFuture();  // since when Services and EndpointSlices are
  bool open_ = false;
};

}  // namespace pointsman::kube
