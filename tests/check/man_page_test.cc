// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/netns.h"
#include "tests/support/process.h"

namespace pointsman::check {
namespace {

using ::testing::HasSubstr;

std::string Page() { return support::SourceDir() + "/docs/pointsman.8"; }

TEST(ManPageTest, IsWhatTheProgramPrints) {
  support::NetNs ns("man");
  const support::ProcessResult printed = support::RunPointsman(ns, {"man"});
  ASSERT_EQ(printed.exit_code, 0) << printed.err;
  if (std::getenv("PM_UPDATE_GOLDEN") != nullptr) support::WriteFile(Page(), printed.out);
  EXPECT_EQ(support::ReadFile(Page()), printed.out)
      << "to bring it up to date: PM_UPDATE_GOLDEN=1 ./dev test check -R man_page";
}

// What groff says of a page: its warnings, all of them.
std::string Warnings(const std::string& page) {
  support::NetNs ns("groff");
  const support::ProcessResult result =
      support::RunProcess(ns, {"groff", "-ww", "-z", "-man", "-Tutf8", "-"}, {.stdin_text = page});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.err;
}

TEST(ManPageTest, GroffHasNothingToSay) {
  EXPECT_EQ(Warnings(support::ReadFile(Page())), "");
  EXPECT_THAT(Warnings(".TH A 8\n.XX\n"), HasSubstr("XX")) << "would not see a mistake";
}

TEST(ManPageTest, ManShowsIt) {
  support::NetNs ns("man");
  const support::ProcessResult shown = support::RunProcess(ns, {"man", "-P", "cat", "--warnings", "-l", Page()},
                                                           {.env = {"MANWIDTH=200", "LC_ALL=C.UTF-8"}});
  EXPECT_EQ(shown.exit_code, 0) << shown.err;
  EXPECT_EQ(shown.err, "");
  for (const char* part :
       {"POINTSMAN(8)", "pointsman trace SOURCE DEST [FLAG...]", "--proxy-mode MODE", "Taken for kube-proxy's sake",
        "Exit status: 0 no differences, 1 differences, 2 an error."}) {
    EXPECT_THAT(shown.out, HasSubstr(part));
  }
}

}  // namespace
}  // namespace pointsman::check
