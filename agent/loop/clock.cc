// SPDX-License-Identifier: Apache-2.0
#include "agent/loop/clock.h"

#include <ctime>

#include "pointsman/status.h"

namespace pointsman {

absl::Time SteadyNow() {
  timespec now;
  PM_CHECK(clock_gettime(CLOCK_BOOTTIME, &now) == 0);
  return absl::TimeFromTimespec(now);
}

}  // namespace pointsman
