// SPDX-License-Identifier: Apache-2.0
//
// What is wrong with a text that is no YAML, in the words of the person who wrote it.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

#include "agent/source/yaml_tree.h"

namespace pointsman {

struct SyntaxProblem {
  TextPosition position;
  std::string problem;
  std::string hint;  // may be empty
};

// Checks what the parser takes for granted: UTF-8, no control characters, no absurd nesting within a line.
std::optional<SyntaxProblem> CheckText(absl::string_view text);

// Says what the parser's error means, from the lines around it where they tell more than the parser does.
SyntaxProblem ExplainYamlError(absl::string_view text, const YamlError& error);

// JSON writes characters beyond the BMP as two \u escapes, which the YAML parser refuses: joins them to one \U escape.
std::string JoinSurrogates(absl::string_view json);

}  // namespace pointsman
