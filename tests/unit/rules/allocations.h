// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace pointsman::support {

// What operator new of this program was asked for so far.
struct Allocated {
  int64_t calls = 0;
  int64_t bytes = 0;
};
Allocated AllocatedSoFar();

}  // namespace pointsman::support
