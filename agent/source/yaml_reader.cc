// SPDX-License-Identifier: Apache-2.0
#include "agent/source/yaml_reader.h"

#include <algorithm>
#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace pointsman {
namespace {

// Aliases make trees deeper than any text is.
constexpr int kMaxDepth = 64;

bool IsBool(absl::string_view text) {
  for (absl::string_view word : {"true", "false", "yes", "no", "on", "off"}) {
    if (absl::EqualsIgnoreCase(text, word)) return true;
  }
  return false;
}

bool IsNumber(absl::string_view text) {
  if (text.empty() || absl::ascii_isalpha(static_cast<unsigned char>(text[0]))) return false;  // "inf" is a word
  double ignored = 0;
  return absl::SimpleAtod(text, &ignored);
}

// "the text \"http\"", "the number 80", "a list", for the node somebody wrote.
std::string Describe(const YamlNode& node) {
  switch (node.type) {
    case YamlNode::Type::kNull:
      return "nothing";
    case YamlNode::Type::kSequence:
      return "a list";
    case YamlNode::Type::kMap:
      return "a map";
    case YamlNode::Type::kScalar:
      break;
  }
  if (node.plain && IsNumber(node.text)) return absl::StrCat("the number ", QuoteForUser(node.text));
  if (node.plain && IsBool(node.text)) return absl::StrCat("the boolean ", QuoteForUser(node.text));
  return absl::StrCat("the text ", QuoteForUser(node.text));
}

}  // namespace

std::string QuoteForUser(absl::string_view text) {
  constexpr size_t kMost = 60;
  size_t length = std::min(text.size(), kMost);
  while (length > 0 && length < text.size() && (static_cast<uint8_t>(text[length]) & 0xc0) == 0x80) --length;
  return absl::StrCat("\"", absl::Utf8SafeCHexEscape(text.substr(0, length)), length < text.size() ? "..." : "", "\"");
}

std::string YamlReport::Where(TextPosition position) const {
  return absl::StrCat(file_name_, ":", position.line, ":", position.column);
}

void YamlReport::Add(Severity severity, TextPosition position, absl::string_view field, absl::string_view problem,
                     absl::string_view effect, absl::string_view hint) {
  if (severity == Severity::kError) ++errors_;
  if (static_cast<int>(diagnostics_.size()) + 1 >= limit_) {
    ++dropped_;
    return;
  }
  diagnostics_.push_back({severity, Where(position), object_, std::string(field), std::string(problem),
                          std::string(effect), std::string(hint)});
}

Diagnostics YamlReport::Take() && {
  if (dropped_ > 0) {
    diagnostics_.push_back({.severity = Severity::kError,
                            .where = file_name_,
                            .object = "",
                            .field = "",
                            .problem = absl::StrCat(dropped_, " more problems"),
                            .effect = "they are not listed",
                            .hint = "mend those above first"});
  }
  return std::move(diagnostics_);
}

YamlField YamlField::Costing(absl::string_view effect) const {
  YamlField same = *this;
  same.effect_ = effect;
  return same;
}

YamlField YamlField::AsRoot() const {
  YamlField same = *this;
  same.path_.clear();
  return same;
}

YamlField YamlField::Child(const YamlNode* node, std::string path) const {
  YamlField child;
  child.node_ = node;
  child.at_ = node != nullptr ? node : at_;
  child.report_ = report_;
  child.path_ = std::move(path);
  child.effect_ = effect_;
  return child;
}

std::string YamlField::PathTo(absl::string_view key) const {
  const std::string shown = absl::Utf8SafeCHexEscape(key);
  return path_.empty() ? shown : absl::StrCat(path_, ".", shown);
}

YamlField YamlField::operator[](absl::string_view key) const {
  const YamlNode* found = nullptr;
  if (present() && node_->type == YamlNode::Type::kMap) {
    for (auto entry = node_->entries.rbegin(); entry != node_->entries.rend() && found == nullptr; ++entry) {
      if (entry->key == key) found = entry->value;
    }
  }
  return Child(found, PathTo(key));
}

YamlField YamlField::Required() const {
  if (!present()) Error("is missing");
  return *this;
}

YamlField YamlField::Map() const {
  if (!present() || node_->type == YamlNode::Type::kMap) return *this;
  ReportType("a map");
  return Child(nullptr, path_);
}

std::vector<YamlField> YamlField::Items() const {
  std::vector<YamlField> items;
  if (!present()) return items;
  if (node_->type != YamlNode::Type::kSequence) {
    ReportType("a list", "begin each item with `- `");
    return items;
  }
  items.reserve(node_->items.size());
  for (const YamlNode* item : node_->items) items.push_back(Child(item, absl::StrCat(path_, "[", items.size(), "]")));
  return items;
}

std::vector<std::pair<std::string, YamlField>> YamlField::Entries() const {
  std::vector<std::pair<std::string, YamlField>> entries;
  if (!Map().present()) return entries;
  entries.reserve(node_->entries.size());
  for (const YamlEntry& entry : node_->entries) {
    entries.emplace_back(entry.key, Child(entry.value, PathTo(entry.key)));
  }
  return entries;
}

std::optional<std::string> YamlField::Text() const {
  if (!present()) return std::nullopt;
  if (node_->type != YamlNode::Type::kScalar) {
    ReportType("a text");
    return std::nullopt;
  }
  if (node_->plain && (IsNumber(node_->text) || IsBool(node_->text))) {
    ReportType("a text", "put it in quotes");
    return std::nullopt;
  }
  return std::string(node_->text);
}

std::vector<std::string> YamlField::Texts() const {
  std::vector<std::string> texts;
  for (const YamlField& item : Items()) {
    if (std::optional<std::string> text = item.Required().Text()) texts.push_back(*std::move(text));
  }
  return texts;
}

std::optional<bool> YamlField::Bool() const {
  if (!present()) return std::nullopt;
  if (node_->type == YamlNode::Type::kScalar && node_->plain) {
    for (absl::string_view yes : {"true", "True", "TRUE", "yes", "on"}) {
      if (node_->text == yes) return true;
    }
    for (absl::string_view no : {"false", "False", "FALSE", "no", "off"}) {
      if (node_->text == no) return false;
    }
  }
  ReportType("true or false", node_->type == YamlNode::Type::kScalar && !node_->plain ? "remove the quotes" : "");
  return std::nullopt;
}

std::optional<int> YamlField::Number(int least, int most) const {
  if (!present()) return std::nullopt;
  if (node_->type != YamlNode::Type::kScalar) {
    ReportType("a number");
    return std::nullopt;
  }
  const bool digits = !node_->text.empty() && node_->text.find_first_not_of("+-0123456789") == absl::string_view::npos;
  int64_t value = 0;
  const bool fits = digits && absl::SimpleAtoi(node_->text, &value) && value >= least && value <= most;
  if (!node_->plain) {
    ReportType("a number", digits ? "remove the quotes" : "");
    return std::nullopt;
  }
  if (fits) return static_cast<int>(value);
  if (!digits) {
    ReportType("a whole number");
  } else {
    Error(absl::StrCat(QuoteForUser(node_->text), " is not between ", least, " and ", most));
  }
  return std::nullopt;
}

void YamlField::Error(absl::string_view problem, absl::string_view hint) const {
  report_->Add(Severity::kError, at_->position, path_, problem, effect_, hint);
}

void YamlField::Warn(absl::string_view problem, absl::string_view hint) const {
  report_->Add(Severity::kWarning, at_->position, path_, problem, effect_, hint);
}

void YamlField::Note(absl::string_view problem, absl::string_view hint) const {
  report_->Add(Severity::kNote, at_->position, path_, problem, effect_, hint);
}

void YamlField::ReportUnknown(absl::string_view text, const std::vector<absl::string_view>& known) const {
  std::string list;
  for (size_t i = 0; i < known.size(); ++i) {
    absl::StrAppend(&list, i == 0 ? "" : i + 1 < known.size() ? ", " : " or ", known[i]);
  }
  Error(absl::StrCat("unknown ", path_.substr(path_.rfind('.') + 1), " ", QuoteForUser(text)),
        absl::StrCat("use ", list));
}

void YamlField::ReportType(absl::string_view wanted, absl::string_view hint) const {
  Error(absl::StrCat(Describe(*node_), " where ", wanted, " is needed"), hint);
}

void YamlField::WarnOfRepeatedKeys(int depth) const {
  if (!present() || !node_->repeats_key || depth > kMaxDepth) return;
  if (node_->type == YamlNode::Type::kSequence) {
    for (const YamlField& item : Items()) item.WarnOfRepeatedKeys(depth + 1);
  }
  if (node_->type != YamlNode::Type::kMap) return;
  absl::flat_hash_map<absl::string_view, TextPosition> seen;
  for (const YamlEntry& entry : node_->entries) {
    const YamlField child = Child(entry.value, PathTo(entry.key));
    child.WarnOfRepeatedKeys(depth + 1);
    if (entry.merged || entry.key.empty()) continue;
    const auto [first, is_new] = seen.emplace(entry.key, entry.position);
    if (is_new) continue;
    report_->Add(Severity::kWarning, entry.position, child.path_,
                 absl::StrCat("the key stands twice in one map, first in line ", first->second.line),
                 "the last one counts", "remove one of them");
  }
}

}  // namespace pointsman
