// SPDX-License-Identifier: Apache-2.0
//
// What each stage costs, in instructions, against what is written down. Instructions are the same on a busy machine and
// an idle one, so a stage that does more work than it did is found where no clock could tell.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"

#include "tests/support/files.h"
#include "tests/support/netns.h"
#include "tests/support/process.h"

namespace pointsman::bench {
namespace {

constexpr char kFile[] = PM_SOURCE_DIR "/bench/instructions.txt";
constexpr double kTolerance = 0.15;
constexpr char kUpdate[] = "PM_UPDATE_GOLDEN=1 ./dev test check -R instructions";

using Counts = std::map<std::string, int64_t>;  // by stage

struct Verdict {
  std::vector<std::string> failures;
  std::vector<std::string> notes;
};

Verdict Judge(const Counts& stored, const Counts& now) {
  Verdict verdict;
  for (const auto& [stage, count] : now) {
    const auto found = stored.find(stage);
    if (found == stored.end()) {
      verdict.failures.push_back(absl::StrFormat("%s: %d instructions, nothing written down", stage, count));
      continue;
    }
    const double ratio = static_cast<double>(count) / static_cast<double>(found->second);
    const std::string line =
        absl::StrFormat("%s: %d instructions, %d written down, %.2f times", stage, count, found->second, ratio);
    if (ratio > 1 + kTolerance) verdict.failures.push_back(line);
    if (ratio < 1 - kTolerance) verdict.notes.push_back(line);
  }
  for (const auto& [stage, count] : stored) {
    if (!now.contains(stage))
      verdict.failures.push_back(absl::StrCat(stage, ": written down, but there is no such stage"));
  }
  return verdict;
}

struct Record {
  std::string built;  // machine, compiler and flags: counts of others are not to be compared
  Counts counts;
};

Record ParseRecord(const std::string& text) {
  Record record;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    absl::string_view rest = line;
    if (absl::ConsumePrefix(&rest, "built: ")) {
      record.built = std::string(rest);
    } else if (!absl::StartsWith(line, "#")) {
      const std::pair<std::string, std::string> words = absl::StrSplit(line, absl::MaxSplits(' ', 1));
      int64_t count = 0;
      EXPECT_TRUE(absl::SimpleAtoi(words.second, &count)) << line;
      record.counts[words.first] = count;
    }
  }
  return record;
}

std::string FormatRecord(const Record& record) {
  std::string text =
      absl::StrCat("# Instructions of each stage (bench/stages_once.cc); instructions_test compares.\n# ", kUpdate,
                   "\nbuilt: ", record.built, "\n");
  for (const auto& [stage, count] : record.counts) absl::StrAppend(&text, stage, " ", count, "\n");
  return text;
}

// Of a file that callgrind has written: why it was, and the sum.
void ReadDump(const std::string& text, Counts& counts) {
  std::string stage;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::ConsumePrefix(&line, "desc: Trigger: Client Request: ")) stage = std::string(line);
    if (!stage.empty() && (absl::ConsumePrefix(&line, "summary: ") || absl::ConsumePrefix(&line, "totals: "))) {
      ASSERT_TRUE(absl::SimpleAtoi(line, &counts[stage])) << line;
    }
  }
}

Counts CountInstructions() {
  const support::TempDir dir;
  support::NetNs ns("instructions");
  const auto result = support::RunProcess(
      ns,
      {"valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no",
       absl::StrCat("--callgrind-out-file=", dir.File("out")), PM_STAGES_ONCE},
      // The same memcpy whatever the processor has to offer.
      {.env = {"GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-AVX,-ERMS,-FSRM,-SSSE3,-SSE4_1,-SSE4_2"},
       .timeout = absl::Minutes(5)});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  Counts counts;
  for (const auto& file : std::filesystem::directory_iterator(dir.path())) {
    ReadDump(support::ReadFile(file.path().string()), counts);
  }
  return counts;
}

TEST(Judge, OnlyWhatGrewFails) {
  const struct {
    int64_t now;
    size_t failures;
    size_t notes;
  } table[] = {{1000, 0, 0}, {1149, 0, 0}, {1151, 1, 0}, {2000, 1, 0}, {851, 0, 0}, {849, 0, 1}, {1, 0, 1}};
  for (const auto& row : table) {
    const Verdict verdict = Judge({{"plan", 1000}}, {{"plan", row.now}});
    EXPECT_EQ(verdict.failures.size(), row.failures) << row.now;
    EXPECT_EQ(verdict.notes.size(), row.notes) << row.now;
  }
}

TEST(Judge, AStageOnOneSideAloneFails) {
  EXPECT_EQ(Judge({}, {{"plan", 1}}).failures.size(), 1u);
  EXPECT_EQ(Judge({{"plan", 1}}, {}).failures.size(), 1u);
}

TEST(Instructions, NoStageDoesMoreThanWasWrittenDown) {
  const Record now = {PM_BUILT, CountInstructions()};
  ASSERT_FALSE(now.counts.empty());
  if (std::getenv("PM_UPDATE_GOLDEN") != nullptr) return support::WriteFile(kFile, FormatRecord(now));
  const Record stored = ParseRecord(support::ReadFile(kFile));
  if (stored.built != now.built) {
    GTEST_SKIP() << "built with " << now.built << ", but what is written down is of " << stored.built
                 << ": not to be compared";
  }
  const Verdict verdict = Judge(stored.counts, now.counts);
  if (!verdict.notes.empty()) {
    std::cout << "less work than written down; if it stays so: " << kUpdate << "\n  "
              << absl::StrJoin(verdict.notes, "\n  ") << "\n";
  }
  if (!verdict.failures.empty()) {
    ADD_FAILURE() << "more work than written down; if it is worth it: " << kUpdate << "\n  "
                  << absl::StrJoin(verdict.failures, "\n  ");
  }
}

}  // namespace
}  // namespace pointsman::bench
