// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "agent/config.h"

namespace pointsman::support {

// The settings of a case, as FlagsOf gives them, as the agent would understand them. Only flags that change the program
// are known here. Errors: kInvalidArgument naming the flag.
absl::StatusOr<Config> ConfigOf(const std::vector<std::string>& flags);

}  // namespace pointsman::support
