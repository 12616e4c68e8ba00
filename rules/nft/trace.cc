// SPDX-License-Identifier: Apache-2.0
#include "rules/nft/trace.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace pointsman::nft {
namespace {

// More are counted, not named: they are in the outcome.
constexpr size_t kNamedTargets = 8;
constexpr size_t kNamedDeeds = 3;

std::string AnyOf(const std::vector<std::string>& words, size_t named) {
  const size_t shown = std::min(words.size(), named);
  std::string text = absl::StrJoin(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(shown), " or ");
  if (words.size() > shown) absl::StrAppend(&text, " or ", words.size() - shown, " more");
  return text;
}

}  // namespace

void TraceRecorder::Add(absl::string_view hook, const std::string& chain, size_t rule, const Rule& text,
                        const Deed& deed) {
  const auto [place, is_new] = places_.try_emplace({std::string(hook), chain, rule}, records_.size());
  if (is_new) {
    TraceStep step = {
        .hook = std::string(hook), .chain = chain, .rule = static_cast<int>(rule) + 1, .text = text, .effect = ""};
    records_.push_back({.step = std::move(step)});
  }
  Record& record = records_[place->second];
  if (deed.how.empty()) {
    record.passed_by = true;
    return;
  }
  if (record.step.comment.empty()) record.step.comment = deed.comment;
  auto known =
      std::find_if(record.deeds.begin(), record.deeds.end(), [&](const auto& d) { return d.first == deed.how; });
  if (known == record.deeds.end()) known = record.deeds.insert(known, {deed.how, {}});
  std::vector<std::string>& targets = known->second;
  if (!deed.target.empty() && std::find(targets.begin(), targets.end(), deed.target) == targets.end()) {
    targets.push_back(deed.target);
  }
}

std::vector<TraceStep> TraceRecorder::Take() && {
  std::vector<TraceStep> steps;
  for (Record& record : records_) {
    if (record.deeds.empty()) continue;
    std::vector<std::string> texts;
    for (const auto& [how, targets] : record.deeds) {
      texts.push_back(targets.empty() ? how : absl::StrCat(how, " ", AnyOf(targets, kNamedTargets)));
    }
    record.step.effect = absl::StrCat(AnyOf(texts, kNamedDeeds), record.passed_by ? "; else goes on" : "");
    if (record.step.comment.empty()) record.step.comment = record.step.text.comment;
    steps.push_back(std::move(record.step));
  }
  return steps;
}

}  // namespace pointsman::nft
