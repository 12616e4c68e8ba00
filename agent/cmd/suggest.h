// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace pointsman {

// The candidate nearest to `word` by edit distance; empty if none is near enough to be what was meant.
std::string Nearest(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace pointsman
