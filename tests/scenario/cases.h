// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace pointsman::scenario {

// The case files, sorted.
std::vector<std::string> CasePaths();
// A name gtest takes: letters, digits and underscores.
std::string TestName(const std::string& case_path);

std::string ReadText(const std::string& path);

}  // namespace pointsman::scenario
