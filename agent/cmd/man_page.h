// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/cmd/syntax.h"

namespace pointsman {

// The manual page, section 8, for man(1): roff with the macros of man(7).
//
// Returns: the same for the same `syntax`; it has no date.
std::string ManPage(const Syntax& syntax);

}  // namespace pointsman
