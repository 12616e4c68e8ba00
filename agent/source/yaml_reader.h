// SPDX-License-Identifier: Apache-2.0
//
// Typed access to a YAML tree. Whoever reads says what a mistake costs; where it stands and how it is put is known
// here.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

#include "agent/source/yaml_tree.h"
#include "pointsman/diagnostic.h"

namespace pointsman {

// Collects the Diagnostics of one text. After `limit` of them it only counts.
class YamlReport {
 public:
  YamlReport(absl::string_view file_name, int limit) : file_name_(file_name), limit_(limit) {}

  // What the Diagnostics to come are about: "Service shop/web".
  void set_object(absl::string_view object) { object_ = std::string(object); }
  const std::string& object() const { return object_; }

  std::string Where(TextPosition position) const;
  void Add(Severity severity, TextPosition position, absl::string_view field, absl::string_view problem,
           absl::string_view effect, absl::string_view hint);

  // Errors added so far. A reader compares before and after to learn whether what it read was good.
  int errors() const { return errors_; }

  Diagnostics Take() &&;

 private:
  std::string file_name_;
  int limit_;
  std::string object_;
  Diagnostics diagnostics_;
  int errors_ = 0;
  int dropped_ = 0;
};

// A place in the tree: a node, or the absence of one. Cheap to copy; the tree and the report must outlive it.
//
// Every typed read gives nullopt (or nothing) for an absent or null node, and for one of the wrong type, which is also
// reported with the effect last given by Costing().
class YamlField {
 public:
  YamlField(const YamlNode& root, YamlReport& report) : node_(&root), at_(&root), report_(&report) {}

  // The same place; mistakes here and below it are reported with this effect.
  YamlField Costing(absl::string_view effect) const;

  // The same place, as the root of its own object: paths begin here.
  YamlField AsRoot() const;

  // False for null, as in the API.
  bool present() const { return node_ != nullptr && node_->type != YamlNode::Type::kNull; }

  bool IsList() const { return present() && node_->type == YamlNode::Type::kSequence; }

  // The field of that name. Absent when there is none, or when this is no map.
  YamlField operator[](absl::string_view key) const;

  // The same place; an absent one is reported.
  YamlField Required() const;
  // The same place if it is a map, else an absent one, reported unless it was absent anyway.
  YamlField Map() const;

  std::vector<YamlField> Items() const;                            // of a sequence
  std::vector<std::pair<std::string, YamlField>> Entries() const;  // of a map, later ones win
  std::optional<std::string> Text() const;
  std::vector<std::string> Texts() const;  // of a sequence; the good ones
  std::optional<bool> Bool() const;
  std::optional<int> Number(int least, int most) const;

  // The value that goes with the text.
  template <typename E>
  std::optional<E> OneOf(absl::Span<const std::pair<absl::string_view, E>> choices) const {
    const std::optional<std::string> text = Text();
    if (!text) return std::nullopt;
    std::vector<absl::string_view> known;
    for (const auto& [name, value] : choices) {
      if (*text == name) return value;
      known.push_back(name);
    }
    ReportUnknown(*text, known);
    return std::nullopt;
  }

  void Error(absl::string_view problem, absl::string_view hint = "") const;
  void Warn(absl::string_view problem, absl::string_view hint = "") const;
  void Note(absl::string_view problem, absl::string_view hint = "") const;
  // Warns of every key that occurs twice in a map, here and below.
  void WarnOfRepeatedKeys() const { WarnOfRepeatedKeys(0); }

  const std::string& path() const { return path_; }
  TextPosition position() const { return at_->position; }
  YamlReport& report() const { return *report_; }

 private:
  YamlField() = default;
  YamlField Child(const YamlNode* node, std::string path) const;
  std::string PathTo(absl::string_view key) const;
  void ReportUnknown(absl::string_view text, const std::vector<absl::string_view>& known) const;
  void ReportType(absl::string_view wanted, absl::string_view hint = "") const;
  void WarnOfRepeatedKeys(int depth) const;

  const YamlNode* node_ = nullptr;  // null: absent
  const YamlNode* at_ = nullptr;    // the node, or the nearest one around it
  YamlReport* report_ = nullptr;
  std::string path_;  // "spec.ports[0]"
  absl::string_view effect_;
};

// Quoted and made printable, at most some 60 characters.
std::string QuoteForUser(absl::string_view text);

}  // namespace pointsman
