// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "tests/check/tree.h"

namespace pointsman::check {

// Every #include that the table in layering.cc does not allow, as "file:line: what: why".
std::vector<std::string> LayeringViolations(const Tree& tree);

}  // namespace pointsman::check
