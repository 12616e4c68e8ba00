// SPDX-License-Identifier: Apache-2.0
#include "tests/deploy/monitoring_query.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace pointsman::deploy {
namespace {

// What Prometheus itself gives each target.
const std::set<std::string>& TargetLabels() {
  static const auto& labels = *new std::set<std::string>{"job", "instance"};
  return labels;
}
const std::set<std::string>& Grouping() {
  static const auto& words = *new std::set<std::string>{"by", "without", "on", "ignoring", "group_left", "group_right"};
  return words;
}
const std::set<std::string>& Aggregators() {
  static const auto& words = *new std::set<std::string>{"sum", "min", "max", "avg", "count", "topk", "absent"};
  return words;
}
bool IsOperator(const std::string& word) {
  static const auto& words = *new std::set<std::string>{"and", "or", "unless", "bool", "offset"};
  return words.contains(word);
}

bool IsWord(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == ':'; }

// A matcher, `name op "value"`.
struct Matcher {
  std::string name;
  std::string op;
  std::string value;
};

// What stands in a query, in its order.
class Reader {
 public:
  explicit Reader(const std::string& text) : text_(text) {}

  bool done() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
    return at_ == text_.size();
  }
  // After done(), which skips spaces.
  bool Next(char c) { return !done() && text_[at_] == c; }
  void Skip() { ++at_; }
  void SkipTo(char c) { at_ = std::min(text_.find(c, at_), text_.size() - 1) + 1; }
  // A word, a number or empty: anything else.
  std::string Word() {
    std::string word;
    if (done()) return word;
    while (at_ < text_.size() && (IsWord(text_[at_]) || (!word.empty() && text_[at_] == '.'))) word += text_[at_++];
    return word;
  }
  // "a, b)" after a bracket; the bracket at the end is taken too.
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    while (!done() && !Next(')')) {
      std::string name = Word();
      if (name.empty()) {
        Skip();
      } else {
        names.push_back(std::move(name));
      }
    }
    if (!done()) Skip();
    return names;
  }
  std::vector<Matcher> Matchers() {
    std::vector<Matcher> matchers;
    while (!done() && !Next('}')) {
      Matcher matcher = {.name = Word()};
      while (!done() && !Next('"')) matcher.op += text_[at_++];
      if (!done()) Skip();
      while (at_ < text_.size() && text_[at_] != '"') matcher.value += text_[at_++];
      if (!done()) Skip();
      if (Next(',')) Skip();
      matchers.push_back(std::move(matcher));
    }
    if (!done()) Skip();
    return matchers;
  }

 private:
  const std::string& text_;
  size_t at_ = 0;
};

// Labels that a text names: "{{le}}", "{{ $labels.kind }}". `$value` is none.
std::set<std::string> Named(const std::string& text) {
  std::set<std::string> names;
  for (size_t at = text.find("{{"); at != std::string::npos; at = text.find("{{", at + 2)) {
    std::string inside = text.substr(at + 2, text.find("}}", at) - at - 2);
    inside = absl::StrReplaceAll(inside, {{" ", ""}, {"$labels.", ""}});
    if (!absl::StartsWith(inside, "$")) names.insert(inside);
  }
  return names;
}

}  // namespace

Scrape ParseScrape(const std::string& text) {
  Scrape scrape;
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(text, '\n', absl::SkipEmpty()))) {
    if (line[0] == '#') continue;
    Reader reader(line);
    auto& labels = scrape[reader.Word()];
    if (!reader.Next('{')) continue;
    reader.Skip();
    for (const Matcher& label : reader.Matchers()) labels[label.name].insert(label.value);
  }
  return scrape;
}

std::string WithoutVariables(const std::string& expr) {
  return absl::StrReplaceAll(expr, {{"$__rate_interval", "5m"}, {"$instance", ".*"}});
}

std::vector<std::string> QueryProblems(const Query& query, const Scrape& scrape) {
  std::vector<std::string> problems;
  const auto problem = [&](const std::string& what) { problems.push_back(absl::StrCat(query.where, ": ", what)); };
  if (absl::StrContains(query.expr, "$")) problem("a variable nobody knows");

  std::set<std::string> known = TargetLabels();  // labels of the series named
  std::set<std::string> grouped;
  bool aggregated = false;
  bool any = false;
  Reader reader(query.expr);
  while (!reader.done()) {
    if (reader.Next('[')) {
      reader.SkipTo(']');
      continue;
    }
    const std::string word = reader.Word();
    if (word.empty()) {
      reader.Skip();
      continue;
    }
    if (std::isdigit(static_cast<unsigned char>(word[0])) != 0 || IsOperator(word)) continue;
    if (Grouping().contains(word)) {
      if (!reader.Next('(')) continue;
      reader.Skip();
      for (std::string& name : reader.Names()) grouped.insert(std::move(name));
      continue;
    }
    if (Aggregators().contains(word)) aggregated = true;
    if (Aggregators().contains(word) || reader.Next('(')) continue;
    any = true;
    const auto series = scrape.find(word);
    if (series == scrape.end() && word != "up") problem(absl::StrCat("no series ", word));
    const auto labels = series == scrape.end() ? Scrape::mapped_type() : series->second;
    for (const auto& [name, values] : labels) known.insert(name);
    if (!reader.Next('{')) continue;
    reader.Skip();
    for (const Matcher& matcher : reader.Matchers()) {
      if (TargetLabels().contains(matcher.name)) continue;
      const auto label = labels.find(matcher.name);
      if (label == labels.end()) {
        problem(absl::StrCat("no label ", matcher.name, " on ", word));
      } else if (matcher.op == "=" && !label->second.contains(matcher.value)) {
        problem(absl::StrCat("no ", word, " with ", matcher.name, "=\"", matcher.value, "\""));
      }
    }
  }
  if (!any) problem("no series at all");
  for (const std::string& name : grouped) {
    if (!known.contains(name)) problem(absl::StrCat("grouped by ", name, ", which no series of it has"));
  }
  const std::set<std::string>& shown = !grouped.empty() || aggregated ? grouped : known;
  for (const std::string& name : Named(query.template_text)) {
    if (!shown.contains(name)) problem(absl::StrCat("the text names ", name, ", which the result has not"));
  }
  return problems;
}

}  // namespace pointsman::deploy
