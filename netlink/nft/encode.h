// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "netlink/core/batch.h"
#include "pointsman/nft.h"

namespace pointsman::nl {

// The element list of one message stays below this, give or take an element. The attribute could hold 64 KiB; more than
// ten elements a message gain nothing.
inline constexpr size_t kElementListBytes = 32768;

// Appends the messages of `op` to `batch`. An element op without elements has none.
//
// Errors:  kInternal when the op cannot be said to the kernel: an expression we do not write, a key that is not as long
//          as its set says, an interval without an end, a comment past kMaxComment. The batch is of no use then.
absl::Status Encode(const nft::Op& op, Batch& batch);

// The whole transaction, finished unless it is empty.
// Inputs:  `memory`: that of an earlier batch, to be used again.
// Errors:  as above, with the op and its number (kFailedOpPayload).
absl::StatusOr<Batch> EncodeBatch(const nft::ChangeSet& changes, uint32_t sequence, Generation guard,
                                  Batch::Memory memory = {});

// The same for a table called kTrialTable, and the kernel takes it back: nothing remains, and the generation does not
// move.
inline constexpr char kTrialTable[] = "pointsman-trial";
absl::StatusOr<Batch> EncodeTrial(const nft::ChangeSet& changes, uint32_t sequence);

// "add element pointsman/endpoints (ip)": what the op does to what, without the contents.
std::string Describe(const nft::Op& op);

// `status` with the op's description in front and its number as payload.
absl::Status BlameOp(const absl::Status& status, const nft::ChangeSet& changes, int op);

}  // namespace pointsman::nl
