// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace pointsman::check {

using Tree = std::map<std::string, std::string>;  // path from the top of the repository -> text

// The files below `directories` of `root` ("" is the top itself, build directories left out) with one of these endings.
Tree ReadTree(const std::string& root, const std::vector<std::string>& directories,
              const std::vector<std::string>& endings);

void ForEachLine(absl::string_view text, const std::function<void(int number, absl::string_view line)>& visit);

}  // namespace pointsman::check
