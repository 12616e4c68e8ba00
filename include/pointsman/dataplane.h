// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "pointsman/nft.h"

namespace pointsman {

// Token of the ruleset generation of the network namespace; one counter for all of nf_tables.
using Generation = uint32_t;
inline constexpr Generation kUnknownGeneration = 0;

struct Observation {
  nft::Ruleset ruleset;
  Generation generation = kUnknownGeneration;
};

struct CommitReport {
  int ops = 0;       // operations of the change set
  int messages = 0;  // netlink messages sent, without the batch's begin and end
  int64_t bytes = 0;
  Generation generation = kUnknownGeneration;  // reached; unknown without a guard
  absl::Duration encoding;                     // from operations to bytes
  absl::Duration committing;                   // from the first byte sent until the kernel had acknowledged all
};

// On failure the status carries, as payload kFailedOpPayload, the index of the failing op in decimal, if known.
inline constexpr char kFailedOpPayload[] = "pointsman/failed-op";

class Dataplane {
 public:
  virtual ~Dataplane() = default;

  // Reads our tables, and nothing else.
  // Errors: kPermissionDenied; kDataLoss when the tables would not hold still or did not decode; kUnavailable.
  virtual absl::StatusOr<Observation> Observe() = 0;

  // Executes `changes` in one transaction. An empty one sends nothing.
  // Inputs: `guard`, if known: refuse if anybody committed anything since.
  // Errors: kAborted: the generation moved, nothing was done. kPermissionDenied, kUnavailable. Anything else: nothing
  //         was done, but the kernel is not what it was believed to be: observe again. The message names the op and
  //         carries the kernel's extack text.
  virtual absl::StatusOr<CommitReport> Commit(const nft::ChangeSet& changes, Generation guard) = 0;

  // Cost: one small round trip.
  virtual absl::StatusOr<Generation> CurrentGeneration() = 0;

  // The packets counted by all counters in our tables together. It falls when a chain with one is written anew.
  // Cost: lists the rules.
  virtual absl::StatusOr<uint64_t> CountedPackets() = 0;
};

}  // namespace pointsman
