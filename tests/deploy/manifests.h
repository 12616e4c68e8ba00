// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

namespace pointsman::deploy {

// Text by path, as in "deploy/config-map.yaml".
using Files = std::map<std::string, std::string>;

// All YAML and JSON below deploy/.
Files ReadDeploy(const std::string& source_dir);

// What is wrong with the files, each on its own and with each other. A line for each: "PATH: ...".
//
// Inputs: `version` is what the image must be tagged with.
std::vector<std::string> Problems(const Files& files, const std::string& version);

}  // namespace pointsman::deploy
