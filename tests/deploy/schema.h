// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <yaml-cpp/yaml.h>

namespace pointsman::deploy {

// What is wrong with the object by the table of fields of its kind: unknown fields, wrong types, and, unless it is a
// `patch`, what is missing. A line for each: "spec.template: ...".
std::vector<std::string> SchemaProblems(const YAML::Node& object, bool patch);

}  // namespace pointsman::deploy
