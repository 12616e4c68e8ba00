// SPDX-License-Identifier: Apache-2.0
#include "tests/support/txtar.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace pointsman::support {

const std::string& Txtar::file(const std::string& name) const {
  static const auto* const kNone = new std::string;
  for (const auto& [n, content] : files) {
    if (n == name) return content;
  }
  return *kNone;
}

void Txtar::Set(const std::string& name, std::string content) {
  for (auto& [n, c] : files) {
    if (n == name) {
      c = std::move(content);
      return;
    }
  }
  files.emplace_back(name, std::move(content));
}

Txtar ParseTxtar(const std::string& text) {
  Txtar archive;
  std::string* content = &archive.description;
  for (absl::string_view line : absl::StrSplit(absl::StripSuffix(text, "\n"), '\n')) {
    if (absl::StartsWith(line, "-- ") && absl::EndsWith(line, " --")) {
      archive.files.emplace_back(std::string(line.substr(3, line.size() - 6)), "");
      content = &archive.files.back().second;
    } else {
      absl::StrAppend(content, line, "\n");
    }
  }
  return archive;
}

std::string FormatTxtar(const Txtar& archive) {
  std::string text = archive.description;
  for (const auto& [name, content] : archive.files) absl::StrAppend(&text, "-- ", name, " --\n", content);
  return text;
}

std::vector<std::string> FlagsOf(const std::string& settings) {
  std::vector<std::string> flags;
  for (absl::string_view line : absl::StrSplit(settings, '\n', absl::SkipWhitespace())) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 1));
    flags.push_back(absl::StrCat("--", absl::StripAsciiWhitespace(parts.first)));
    const absl::string_view value = absl::StripAsciiWhitespace(parts.second);
    if (value != "true") flags.emplace_back(value);
  }
  return flags;
}

}  // namespace pointsman::support
