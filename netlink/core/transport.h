// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "netlink/core/attr.h"

namespace pointsman::nl {

// Datagrams to the kernel and back: the one seam between what we say and the socket it goes through.
//
// The kernel answers before a send returns (a dump: its first part, the next one while the previous is received), so
// nothing here ever waits.
class Transport {
 public:
  virtual ~Transport() = default;

  // Errors: kUnavailable, kPermissionDenied, kFailedPrecondition: nothing was sent.
  virtual absl::Status Send(ByteSpan datagram) = 0;

  // The next datagram; empty if the kernel has no more to say. Valid until the next call.
  // Errors: kUnavailable when answers were lost (ENOBUFS); what was not lost can still be received.
  virtual absl::StatusOr<ByteSpan> Receive() = 0;

  // Another one to the same kernel, with nothing under way: the only way out of a dump that is not wanted to its end.
  virtual absl::StatusOr<std::unique_ptr<Transport>> Reopen() = 0;
};

}  // namespace pointsman::nl
