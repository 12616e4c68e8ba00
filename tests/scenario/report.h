// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

#include "pointsman/net.h"
#include "tests/scenario/scenario.h"

namespace pointsman::scenario {

// The ways a row is tried: against the plan, the program, and the kernel.
enum class Column { kResolve, kSimulate, kPackets };
inline constexpr int kColumns = 3;

// What became of every row.
class Report {
 public:
  void Passed(const std::string& scenario, const Question& question, Column column);
  void Failed(const std::string& scenario, const Question& question, Column column, const std::string& why);
  void NotRun(const std::string& scenario, const Question& question, Column column, const std::string& why);
  // A row of the reference that is no question.
  void NotRun(const std::string& scenario, const std::string& id, const std::string& why);

  // Rows that passed or failed in this column, of one id or of all; each family and protocol is one.
  int Ran(Column column, const std::string& id = "") const;
  // Those that passed.
  int Passed(Column column, const std::string& id = "") const;

  // In words, in the order in which they came.
  const std::vector<std::string>& Failures() const { return failures_; }

  // One line a row, one cell a protocol and family, in it one letter a column; then what failed, what did not run and
  // why, and the sums.
  std::string Text() const;

 private:
  struct Cell {
    std::array<char, kColumns> marks = {' ', ' ', ' '};
  };
  // By case; in it, in order of appearance.
  struct Line {
    std::string id;
    std::string text;
    int number = 0;
    std::map<std::pair<Wire, Family>, Cell> cells;
  };
  int Count(Column column, const std::string& id, absl::string_view marks) const;
  void Mark(const std::string& scenario, const Question& question, Column column, char mark);

  std::map<std::string, std::vector<Line>> lines_;
  std::map<std::string, std::vector<std::string>> reasons_;  // why not run: which rows
  std::vector<std::string> failures_;
};

std::string Name(const Question& question);  // "row 5, P2 -> cl/nodeport, tcp over IPv4"

}  // namespace pointsman::scenario
