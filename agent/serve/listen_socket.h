// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"

#include "pointsman/net.h"

namespace pointsman::serve {

// A TCP socket that listens: non-blocking, close-on-exec, to be closed by the caller. An IPv6 one takes no IPv4.
//
// Inputs: `any_family`: an unspecified address means both families; where the host has no IPv6, it means IPv4.
// Errors: kUnavailable; the address may become ours later.
absl::StatusOr<int> ListenOn(const SocketAddr& address, bool any_family);

}  // namespace pointsman::serve
