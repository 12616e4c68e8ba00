// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"

#include "agent/options/settings.h"

namespace pointsman::node {

// Sets this node up as the settings ask: kernel parameters that differ, and the process's OOM score. What cannot be set
// is told in one warning, with what to do; the node goes on as it is.
//
// Errors: what could not be set, for those who insist (--init-only).
absl::Status SetUp(const options::Settings& settings);

}  // namespace pointsman::node
