// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/time/time.h"

#include "agent/serve/board.h"

namespace pointsman::serve {

// What /debug/state shows.
//
// Inputs: `source`: JSON to put in as it is, nothing if empty; `now` is steady time.
std::string FormatState(const Standing& standing, const std::string& source, absl::Time now);

}  // namespace pointsman::serve
