// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

#include "pointsman/nft.h"
#include "pointsman/packet.h"

namespace pointsman::nft {

// Runs the first packet of a connection through the program as the kernel would: the nat chains of prerouting (or
// output, for `packet.from_node`), then, per possible endpoint, those of postrouting, or of input where the endpoint is
// one of `node_addresses`. A random draw branches over all its values. Maps that packets fill are as `ruleset` has
// them, and stay so.
//
// Returns: the set of possible outcomes as one Outcome. A connection whose client is remembered by an endpoint that is
//          gone is dropped (the next attempt goes elsewhere).
// Errors:  kInvalidArgument if the program does what a packet cannot survive as one outcome (delivered or refused by
//          luck), or holds an expression or reference that is not understood.
absl::StatusOr<Outcome> Simulate(const Ruleset& ruleset, absl::Span<const IpAddr> node_addresses, const Packet& packet);

// One rule that did something to the packet.
struct TraceStep {
  std::string hook;  // "prerouting", "output", "input", "postrouting"
  std::string chain;
  int rule = 0;         // in the chain, from 1
  Rule text;            // the rule itself
  std::string effect;   // "10.96.0.80 . tcp . 80 -> goto pick_4", "to 10.244.1.11:8080 or 10.244.1.12:8080", …
  std::string comment;  // of the element that was found, else of the rule

  friend bool operator==(const TraceStep&, const TraceStep&) = default;
};

struct Trace {
  Outcome outcome;
  std::vector<TraceStep> steps;  // in the order in which they are first reached
};

// The same, and by which rules it came to that.
absl::StatusOr<Trace> TracePacket(const Ruleset& ruleset, absl::Span<const IpAddr> node_addresses,
                                  const Packet& packet);

}  // namespace pointsman::nft
