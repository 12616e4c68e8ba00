// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "netlink/core/transport.h"

namespace pointsman::nl {

// The names of kube-proxy's ipsets, sorted.
absl::StatusOr<std::vector<std::string>> FindIpsets(Transport& transport);

// Errors: kUnavailable: a rule or a set refers to it, for longer than the kernel takes to clear up after rules.
absl::Status RemoveIpset(Transport& transport, const std::string& name);

// Whether the kernel has ipsets already; asking it over netlink would load the module.
bool HasIpsets();

}  // namespace pointsman::nl
