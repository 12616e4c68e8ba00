// SPDX-License-Identifier: Apache-2.0
//
// What `dump` prints is what `run` programs: the text loaded by nft and the messages sent by us leave the same ruleset.
#include <algorithm>
#include <filesystem>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/netns.h"

namespace pointsman {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

struct Scenario {
  std::string name;
  std::string yaml;
  std::vector<std::string> flags;
};

void PrintTo(const Scenario& scenario, std::ostream* out) { *out << scenario.name; }

// A section of a txtar file, "-- NAME --" and what follows.
std::string Section(const std::string& text, const std::string& name) {
  const std::string marker = absl::StrCat("\n-- ", name, " --\n");
  const size_t at = text.find(marker);
  if (at == std::string::npos) return "";
  const size_t begin = at + marker.size();
  const size_t end = text.find("\n-- ", begin - 1);
  return text.substr(begin, end == std::string::npos ? end : end + 1 - begin);
}

// "--key value" for each "key: value".
std::vector<std::string> Flags(const std::string& settings) {
  std::vector<std::string> flags;
  for (const absl::string_view line : absl::StrSplit(settings, '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> setting = absl::StrSplit(line, absl::MaxSplits(": ", 1));
    flags.push_back(absl::StrCat("--", setting.first));
    if (setting.second != "true") flags.emplace_back(setting.second);
  }
  return flags;
}

std::vector<Scenario> Scenarios() {
  namespace fs = std::filesystem;
  std::vector<Scenario> scenarios;
  for (const fs::directory_entry& file : fs::directory_iterator(support::SourceDir() + "/tests/golden/cases")) {
    const std::string text = support::ReadFile(file.path().string());
    scenarios.push_back({absl::StrReplaceAll(file.path().stem().string(), {{"-", "_"}}), Section(text, "cluster.yaml"),
                         Flags(Section(text, "settings"))});
  }
  for (const fs::directory_entry& file : fs::directory_iterator(support::SourceDir() + "/examples")) {
    if (file.path().extension() != ".yaml") continue;
    scenarios.push_back({absl::StrCat("example_", absl::StrReplaceAll(file.path().stem().string(), {{"-", "_"}})),
                         support::ReadFile(file.path().string()),
                         {}});
  }
  std::sort(scenarios.begin(), scenarios.end(), [](const Scenario& a, const Scenario& b) { return a.name < b.name; });
  return scenarios;
}

// nft's listing with its blocks (sets, maps, chains) sorted within their table: their order is that of creation.
std::vector<std::string> Blocks(const std::string& listing) {
  std::vector<std::string> blocks;
  std::string table;
  std::string block;
  for (const absl::string_view line : absl::StrSplit(listing, '\n')) {
    if (absl::StartsWith(line, "table ")) {
      table = std::string(line);
      continue;
    }
    if (block.empty() && absl::StartsWith(line, "\tcomment ")) {
      blocks.push_back(absl::StrCat(table, "\n", line));
      continue;
    }
    if (absl::StartsWith(line, "\t\tgc-interval ")) continue;  // nft prints it, and cannot read it for a map
    absl::StrAppend(&block, line, "\n");
    if (line == "\t}") blocks.push_back(absl::StrCat(table, "\n", std::exchange(block, {})));
    if (line.empty() || line == "}") block.clear();
  }
  std::sort(blocks.begin(), blocks.end());
  return blocks;
}

std::vector<std::string> KernelListing(support::NetNs& ns) {
  return Blocks(support::RunProcess(ns, {"nft", "list", "ruleset"}).out);
}

class ParityTest : public ::testing::TestWithParam<Scenario> {
 protected:
  ParityTest() { support::WriteFile(dir_.File("cluster.yaml"), GetParam().yaml); }

  support::ProcessResult Run(support::NetNs& ns, std::vector<std::string> args) {
    args.insert(args.end(), {"--manifests", dir_.path()});
    args.insert(args.end(), GetParam().flags.begin(), GetParam().flags.end());
    return support::RunPointsman(ns, args);
  }
  void ExpectNoDifferences(support::NetNs& ns) {
    const support::ProcessResult diff = Run(ns, {"diff"});
    EXPECT_EQ(diff.exit_code, 0) << diff.out << diff.err;
    EXPECT_EQ(diff.out, "no differences\n");
  }

  support::TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(, ParityTest, ::testing::ValuesIn(Scenarios()),
                         [](const auto& row) { return row.param.name; });

TEST_P(ParityTest, NftLoadsWhatDumpPrintsAndRunWouldChangeNothing) {
  support::NetNs loaded("loaded");
  support::NetNs programmed("programmed");

  const support::ProcessResult dump = Run(loaded, {"dump"});
  ASSERT_EQ(dump.exit_code, 0) << dump.err;
  ASSERT_THAT(dump.out, HasSubstr("table ip pointsman"));
  const support::ProcessResult nft = support::RunProcess(loaded, {"nft", "-f", "-"}, {.stdin_text = dump.out});
  ASSERT_EQ(nft.exit_code, 0) << nft.err << dump.out;

  const support::ProcessResult run = Run(programmed, {"run", "--once"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  ExpectNoDifferences(programmed);

  // Rules that nft prints but cannot read are comments in the dump, and so are missing here: those, and nothing else.
  if (absl::StrContains(dump.out, "# nft cannot read")) {
    const support::ProcessResult diff = Run(loaded, {"diff"});
    EXPECT_EQ(diff.exit_code, 1) << diff.err;
    for (const char* kind : {"map ", "set "})
      EXPECT_FALSE(absl::StrContains(diff.out, absl::StrCat("pointsman ", kind)));
    ASSERT_EQ(Run(loaded, {"run", "--once"}).exit_code, 0);
  }
  ExpectNoDifferences(loaded);
  EXPECT_EQ(KernelListing(loaded), KernelListing(programmed));
}

TEST_P(ParityTest, DumpIsTheSameTwice) {
  support::NetNs ns("ns");
  EXPECT_EQ(Run(ns, {"dump"}).out, Run(ns, {"dump"}).out);
}

TEST(ParityScenariosTest, AreAllThere) {
  const std::vector<Scenario> scenarios = Scenarios();
  EXPECT_GE(scenarios.size(), 18U);
  for (const Scenario& scenario : scenarios) EXPECT_THAT(scenario.yaml, HasSubstr("kind: Service")) << scenario.name;
}

TEST(ParityScenariosTest, ComparisonSeesADifferentElementAndADifferentRule) {
  const std::string a =
      "table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 192.0.2.1 }\n\t}\n\n\tchain c "
      "{\n\t\tdrop\n\t}\n}\n";
  const std::string reordered =
      "table ip t {\n\tchain c {\n\t\tdrop\n\t}\n\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 192.0.2.1 "
      "}\n\t}\n}\n";
  EXPECT_THAT(Blocks(a), SizeIs(2));
  EXPECT_EQ(Blocks(a), Blocks(reordered));
  EXPECT_NE(Blocks(a), Blocks(absl::StrReplaceAll(a, {{"192.0.2.1", "192.0.2.2"}})));
  EXPECT_NE(Blocks(a), Blocks(absl::StrReplaceAll(a, {{"drop", "accept"}})));
  EXPECT_NE(Blocks(a), Blocks(absl::StrReplaceAll(a, {{"table ip t", "table ip6 t"}})));
}

}  // namespace
}  // namespace pointsman
