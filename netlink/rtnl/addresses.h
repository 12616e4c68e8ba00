// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace pointsman::nl {

// Whether an address with these flags (IFA_F_*) may be used now.
bool UsableAddress(uint32_t flags);

}  // namespace pointsman::nl
