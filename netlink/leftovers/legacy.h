// SPDX-License-Identifier: Apache-2.0
//
// kube-proxy's chains in the tables of the older iptables, by libiptc: read whole, and replaced whole.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "netlink/leftovers/judge.h"
#include "pointsman/leftovers.h"

namespace pointsman::nl {

// Looks only at tables that are there already: asking for another would make it, and load modules.
// Errors: kPermissionDenied, kInternal.
absl::StatusOr<std::vector<Judgement>> FindLegacy();

// Removes from one table what was found, under the lock that all programs using these tables share.
//
// Errors: kAborted: something else is in the table than was found; nothing was done. kUnavailable: somebody else holds
// the
//         lock for seconds.
absl::Status RemoveLegacy(const LeftoverTable& found);

}  // namespace pointsman::nl
