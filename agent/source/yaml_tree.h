// SPDX-License-Identifier: Apache-2.0
//
// YAML text as trees of plain nodes, with the position of each. The only file that knows yaml-cpp is yaml_tree.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace pointsman {

// 1-based, as editors count.
struct TextPosition {
  int line = 1;
  int column = 1;

  friend bool operator==(const TextPosition&, const TextPosition&) = default;
};

struct YamlNode;

struct YamlEntry {
  absl::string_view key;  // empty for a key that is no scalar
  TextPosition position;  // of the key
  bool merged = false;    // came from a "<<" merge key
  const YamlNode* value = nullptr;
};

// An alias is the very node it refers to, so a tree may share nodes; it has no cycles.
struct YamlNode {
  enum class Type : uint8_t { kNull, kScalar, kSequence, kMap };

  Type type = Type::kNull;
  bool plain = false;        // a scalar without quotes or string tag: may mean a number or a bool
  bool repeats_key = false;  // a map in which a key occurs twice, or something with such a map below it
  TextPosition position;
  absl::string_view text;                   // of a scalar
  absl::Span<const YamlNode* const> items;  // of a sequence
  absl::Span<const YamlEntry> entries;      // of a map, merged ones first: the last of a name counts
};

struct YamlError {
  TextPosition position;
  std::string message;  // as the parser put it
};

// Parses `text` and calls `document` for the root of each document in turn; the nodes live until it returns.
//
// Inputs:  valid UTF-8 without control characters (CheckText).
// Returns: what made the parser stop, if anything did; documents before that point were delivered.
// Cost:    linear in `text`. Aliases that would multiply a document are an error.
std::optional<YamlError> ParseYaml(absl::string_view text, absl::FunctionRef<void(const YamlNode&)> document);

}  // namespace pointsman
