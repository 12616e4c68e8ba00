// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

#include "netlink/core/transport.h"
#include "pointsman/net.h"

namespace pointsman::nl {

// The virtual servers in /proc/net/ip_vs, in its order. Those by firewall mark have no address and are passed over, as
// is what does not parse.
std::vector<Match> ParseVirtualServers(absl::string_view text);

// Those on one of `addresses`, sorted. None where IPVS is not loaded: asking it over netlink would load it.
// Inputs: `addresses` sorted.
std::vector<Match> FindVirtualServers(absl::Span<const IpAddr> addresses);

// A socket to generic netlink, in the network namespace of the calling thread.
absl::StatusOr<std::unique_ptr<Transport>> OpenGeneric();

// One that is gone already is no error.
absl::Status RemoveVirtualServer(Transport& generic, const Match& server);

}  // namespace pointsman::nl
