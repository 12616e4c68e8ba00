// SPDX-License-Identifier: Apache-2.0
#include "tests/scenario/report.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace pointsman::scenario {
namespace {

constexpr std::array<const char*, kColumns> kNames = {"resolve", "simulate", "packets"};

constexpr std::array<std::pair<Wire, Family>, 8> kCells = {{{Wire::kTcp, Family::kIpv4},
                                                            {Wire::kTcp, Family::kIpv6},
                                                            {Wire::kUdp, Family::kIpv4},
                                                            {Wire::kUdp, Family::kIpv6},
                                                            {Wire::kSctp, Family::kIpv4},
                                                            {Wire::kSctp, Family::kIpv6},
                                                            {Wire::kIcmp, Family::kIpv4},
                                                            {Wire::kIcmp, Family::kIpv6}}};

std::string CellName(const std::pair<Wire, Family>& cell) {
  return absl::StrCat(FormatWire(cell.first), cell.second == Family::kIpv4 ? "4" : "6");
}

}  // namespace

std::string Name(const Question& question) {
  return absl::StrCat("row ", question.id, " (line ", question.line, "), ", question.text, ", ",
                      FormatWire(question.wire), " over ", FormatFamily(question.family));
}

void Report::Mark(const std::string& scenario, const Question& question, Column column, char mark) {
  std::vector<Line>& lines = lines_[scenario];
  auto line = std::find_if(lines.begin(), lines.end(), [&](const Line& l) {
    return l.number == question.line && l.id == question.id && l.text == question.text;
  });
  if (line == lines.end()) {
    lines.push_back({.id = question.id, .text = question.text, .number = question.line});
    line = std::prev(lines.end());
  }
  char& there = line->cells[{question.wire, question.family}].marks[static_cast<size_t>(column)];
  if (there != 'F') there = mark;
}

void Report::Passed(const std::string& scenario, const Question& question, Column column) {
  Mark(scenario, question, column, '+');
}

void Report::Failed(const std::string& scenario, const Question& question, Column column, const std::string& why) {
  Mark(scenario, question, column, 'F');
  failures_.push_back(
      absl::StrCat(scenario, ": ", Name(question), ", ", kNames[static_cast<size_t>(column)], ": ", why));
}

void Report::NotRun(const std::string& scenario, const Question& question, Column column, const std::string& why) {
  Mark(scenario, question, column, '-');
  const std::string row = absl::StrCat(scenario, " ", question.id);
  std::vector<std::string>& rows = reasons_[absl::StrCat(kNames[static_cast<size_t>(column)], ": ", why)];
  if (rows.empty() || rows.back() != row) rows.push_back(row);
}

void Report::NotRun(const std::string& scenario, const std::string& id, const std::string& why) {
  reasons_[why].push_back(absl::StrCat(scenario, " ", id));
}

int Report::Count(Column column, const std::string& id, absl::string_view marks) const {
  int count = 0;
  for (const auto& [scenario, lines] : lines_) {
    for (const Line& line : lines) {
      for (const auto& [where, cell] : line.cells) {
        if ((id.empty() || line.id == id) && absl::StrContains(marks, cell.marks[static_cast<size_t>(column)])) ++count;
      }
    }
  }
  return count;
}

int Report::Ran(Column column, const std::string& id) const { return Count(column, id, "+F"); }

int Report::Passed(Column column, const std::string& id) const { return Count(column, id, "+"); }

std::string Report::Text() const {
  std::string text = absl::StrFormat("%-20s %-8s %-44s", "case", "row", "from -> to");
  for (const auto& cell : kCells) absl::StrAppendFormat(&text, " %-5s", CellName(cell));
  absl::StrAppend(&text, "  resolve, simulate, packets: + ok, F failed, - not run\n");
  for (const auto& [scenario, lines] : lines_) {
    for (const Line& line : lines) {
      absl::StrAppendFormat(&text, "%-20s %-8s %-44s", scenario, line.id, line.text);
      for (const auto& cell : kCells) {
        const auto found = line.cells.find(cell);
        absl::StrAppendFormat(&text, " %-5s",
                              found == line.cells.end()
                                  ? std::string()
                                  : std::string(found->second.marks.begin(), found->second.marks.end()));
      }
      while (text.back() == ' ') text.pop_back();
      absl::StrAppend(&text, "\n");
    }
  }
  if (!reasons_.empty()) absl::StrAppend(&text, "\nnot run\n");
  for (const auto& [why, rows] : reasons_) {
    absl::StrAppend(&text, "  ", why, "\n    ", absl::StrJoin(rows, ", "), "\n");
  }
  if (!failures_.empty()) absl::StrAppend(&text, "\nfailed\n  ", absl::StrJoin(failures_, "\n  "), "\n");
  absl::StrAppend(&text, "\n");
  for (size_t i = 0; i < kColumns; ++i) {
    const auto column = static_cast<Column>(i);
    absl::StrAppendFormat(&text, "%-9s %4d ok, %d failed, %d not run\n", kNames[i], Count(column, "", "+"),
                          Count(column, "", "F"), Count(column, "", "-"));
  }
  return text;
}

}  // namespace pointsman::scenario
