// SPDX-License-Identifier: Apache-2.0
#include "agent/cmd/syntax.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace pointsman {
namespace {

// What has few words, and another name in the help.
struct Named {
  absl::string_view value;
  std::vector<std::string> words;
};
const std::vector<Named>& AllNamed() {
  static const auto& all = *new std::vector<Named>{
      {"MODE", {"nftables", "iptables", "ipvs"}},
      {"TYPE", {"application/vnd.kubernetes.protobuf", "application/json"}},
  };
  return all;
}

}  // namespace

std::vector<std::string> WordsOf(absl::string_view value) {
  for (const Named& named : AllNamed()) {
    if (named.value == value) return named.words;
  }
  std::vector<std::string> words;
  for (const absl::string_view word : absl::StrSplit(value, '|')) {
    if (std::any_of(word.begin(), word.end(),
                    [](char c) { return absl::ascii_islower(static_cast<unsigned char>(c)); })) {
      words.emplace_back(word);
    }
  }
  return words;
}

bool OptionSyntax::TakesPath() const { return absl::StartsWith(value, "FILE") || absl::StartsWith(value, "PATH"); }
bool OptionSyntax::TakesMany() const { return absl::EndsWith(value, " ..."); }
std::vector<std::string> OptionSyntax::Words() const { return WordsOf(value); }

}  // namespace pointsman
