// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

#include "netlink/core/transport.h"

namespace pointsman::nl {

// Sends one request (a get, or with NLM_F_DUMP a dump) and calls `visit` with each message of the answer, header
// included. Answers to earlier requests are passed over.
//
// `visit` returns false when it has seen enough: of a dump the rest stays where it is, and the transport is of no use
// for another (Transport::Reopen).
//
// Errors:  what the kernel says of the request, as CodeOf() has it; kUnavailable when answers were lost or there are
//          none; kDataLoss when the dump was interrupted by a change (NLM_F_DUMP_INTR), or is malformed.
absl::Status Ask(Transport& transport, ByteSpan request, absl::FunctionRef<bool(ByteSpan)> visit);

}  // namespace pointsman::nl
