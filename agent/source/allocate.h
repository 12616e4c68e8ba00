// SPDX-License-Identifier: Apache-2.0
//
// Cluster IPs and node ports for Services that never went through an API server.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "agent/source/yaml_codec.h"
#include "pointsman/diagnostic.h"
#include "pointsman/net.h"

namespace pointsman {

// At most one range a family; the first is the preferred one. Empty: nothing is allocated.
struct AllocationRanges {
  std::vector<Cidr> cidrs;
};

// Parses "CIDR[,CIDR]", as --allocate-from takes it. The empty text gives no ranges.
//
// Errors:  kInvalidArgument: not a CIDR, two of one family, or fewer than two addresses to give.
absl::StatusOr<AllocationRanges> ParseAllocationRanges(absl::string_view text);

struct AllocatedObjects {
  std::vector<LocatedObject> objects;  // in the order given, without the Services that could not be served
  Diagnostics diagnostics;
};

// Fills in what an API server would have: clusterIPs and ipFamilies, node ports (30000-32767), the health-check node
// port.
//
// Inputs:  `objects` unique by key, in any order.
// Returns: the same objects; those that needed nothing are the same pointers. The outcome is a function of the set of
//          Services alone: a hash of the name picks the place, taken places are probed linearly, in order of name, and
//          what any Service asks for by value is never given to another. So most keep theirs when others come and go.
// Errors:  a Service without a cluster IP (and neither headless nor ExternalName) is left out with a Diagnostic when
//          there is no range of its family, or when it is exhausted.
// Cost:    O(n log n).
AllocatedObjects AllocateAddresses(std::vector<LocatedObject> objects, const AllocationRanges& ranges);

}  // namespace pointsman
