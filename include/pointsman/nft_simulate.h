// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"

#include "pointsman/nft.h"
#include "pointsman/packet.h"

namespace pointsman::nft {

// Runs the first packet of a connection through the program as the kernel would: the nat chains of prerouting (or
// output, for `packet.from_node`), then, per possible endpoint, those of postrouting. A random draw branches over all
// its values.
//
// Returns: the set of possible outcomes as one Outcome.
// Errors:  kInvalidArgument if the program does what a packet cannot survive as one outcome (delivered or refused by
//          luck), or holds an expression or reference that is not understood.
absl::StatusOr<Outcome> Simulate(const Ruleset& ruleset, const Packet& packet);

}  // namespace pointsman::nft
