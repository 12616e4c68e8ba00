// SPDX-License-Identifier: Apache-2.0
//
// A text with files in it: a description, then `-- name --` lines, each followed by that file's lines.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace pointsman::support {

struct Txtar {
  std::string description;
  std::vector<std::pair<std::string, std::string>> files;  // in order

  const std::string& file(const std::string& name) const;  // empty if there is none
  void Set(const std::string& name, std::string content);  // at its place, or at the end
};

Txtar ParseTxtar(const std::string& text);
std::string FormatTxtar(const Txtar& archive);

// Lines `key: value` as flags of the binary: {"--key", "value"}; a value of "true" is left out.
std::vector<std::string> FlagsOf(const std::string& settings);

}  // namespace pointsman::support
