// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/time/time.h"

namespace pointsman {

// Now, for measuring how long something takes and for deciding when to come back: it never jumps, whoever sets the
// calendar. Only differences mean anything. It goes on while the machine sleeps (CLOCK_BOOTTIME).
absl::Time SteadyNow();

}  // namespace pointsman
