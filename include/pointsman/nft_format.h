// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/strings/string_view.h"

#include "pointsman/nft.h"

namespace pointsman::nft {

// The ruleset as nft prints it: tables in family order; per table its comment, then sets, maps and chains by name,
// elements by key. Loads with `nft -f`. A rule that nft prints but cannot read back is written as a comment line that
// says so.
std::string FormatText(const Ruleset& ruleset);

// The same in the schema of `nft -j list ruleset` (libnftables-json(5)), without handles.
std::string FormatJson(const Ruleset& ruleset);

// A change set as nft commands, one a line: `add element ip pointsman endpoints { 192.0.2.1 . tcp . 80 . 0 :
// 203.0.113.5 . 8080 }`.
std::string FormatChanges(const ChangeSet& changes);

// The same as {"nftables": [{"add": {...}}, {"delete": {...}}, …]}.
std::string FormatChangesJson(const ChangeSet& changes);

// Single pieces, for messages and tests.
std::string FormatRule(Family family, const Rule& rule);
std::string FormatElement(const SetSpec& spec, const Element& element);
std::string FormatVerdict(const Verdict& verdict);
std::string FormatOp(const Op& op);

}  // namespace pointsman::nft
