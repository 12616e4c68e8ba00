// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace pointsman::bench {

// Calls of operator new by this process so far.
int64_t Allocations();

}  // namespace pointsman::bench
