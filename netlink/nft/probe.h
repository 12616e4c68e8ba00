// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "netlink/core/transport.h"
#include "pointsman/netlink.h"
#include "pointsman/nft.h"

namespace pointsman::nl {

// Tries out `program`, of one family, over `transport`.
// Errors: kPermissionDenied, kUnavailable; kInternal if the program cannot be said to the kernel.
absl::StatusOr<NftTrial> TryProgram(Transport& transport, Family family, const nft::ChangeSet& program);

// Why IPv6 is off in the network namespace of the calling thread; empty if it is on. Source: kube-proxy's check.
std::string WhyIpv6IsOff(const std::string& proc = "/proc");

// What an nf_tables op needs of the kernel beyond nf_tables itself, and how kernels are configured to have it: "the
// expression fib (CONFIG_NFT_FIB_IPV4)".
//
// Inputs: `index` in `program`: what the ops before it need is there. `expression` of a rule that was refused, by its
//         kernel name; empty if not known.
std::string NeedOf(const nft::ChangeSet& program, size_t index, const std::string& expression);

}  // namespace pointsman::nl
