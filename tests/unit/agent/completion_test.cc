// SPDX-License-Identifier: Apache-2.0
#include "agent/cmd/completion.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/cmd/man_page.h"
#include "agent/cmd/syntax.h"

namespace pointsman {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Everything that text in a shell's or roff's file could stumble over.
constexpr char kAwkward[] = "a node's [own]: 50 \\ percent";

Syntax Sample() {
  const OptionSyntax file = {{"--file"}, "FILE", "", "a file", "Group", true};
  const OptionSyntax mode = {{"-m", "--mode"}, "on|off", "on", kAwkward, "Group", true};
  const OptionSyntax hidden = {{"--hidden"}, "", "", "not shown", "", true};
  const OptionSyntax ignored = {{"--ignored"}, "N", "", "no effect", "Group", true, false};
  return {.program = "prog",
          .version = "1.2.3",
          .description = "It does.",
          .footer = "Examples:\n  prog go\n",
          .options = {{{"--version"}, "", "", "say which", "Options"}},
          .commands = {{.name = "go", .summary = kAwkward, .options = {file, mode, hidden, ignored}},
                       {.name = "say",
                        .summary = "say it",
                        .footer = ".hidden\nExit status: 0",
                        .options = {{{"-m", "--mode"}, "x|y", "", "other words", "Options"}},
                        .arguments = {{"WHAT", "what to say", {"hello", "goodbye"}}}},
                       {.name = "secret", .summary = "not listed", .listed = false}}};
}

TEST(CompletionTest, WordsAreReadOffTheNameOfAValue) {
  struct Row {
    const char* value;
    std::vector<std::string> words;
  };
  for (const Row& row : std::vector<Row>{{"text|json", {"text", "json"}},
                                         {"ClusterCIDR|NodeCIDR", {"ClusterCIDR", "NodeCIDR"}},
                                         {"primary|CIDR,...", {"primary"}},
                                         {"MODE", {"nftables", "iptables", "ipvs"}},
                                         {"IP[:PORT]", {}},
                                         {"0-31", {}},
                                         {"FILE", {}},
                                         {"", {}}}) {
    EXPECT_EQ(WordsOf(row.value), row.words) << row.value;
  }
}

TEST(CompletionTest, OneFlagMayMeanTwoThings) {
  const std::string script = BashCompletion(Sample());
  EXPECT_THAT(script, HasSubstr("    'go -m' | \\\n      'go --mode')\n      kind='words on off'\n"));
  EXPECT_THAT(script, HasSubstr("    'say -m' | \\\n      'say --mode')\n      kind='words x y'\n"));
  EXPECT_THAT(script, HasSubstr("    *' --file')\n      kind='file'\n"));
}

TEST(CompletionTest, WhatIsHiddenOrWithoutEffectIsNotOffered) {
  const std::string bash = BashCompletion(Sample());
  EXPECT_THAT(bash, HasSubstr("go) words='--file --mode' ;;"));
  EXPECT_THAT(bash, HasSubstr("words='go say'"));
  // But what stands behind it is known.
  EXPECT_THAT(bash, HasSubstr("*' --ignored'"));
  for (const std::string& script : {ZshCompletion(Sample()), FishCompletion(Sample())}) {
    EXPECT_THAT(script, Not(HasSubstr("hidden")));
    EXPECT_THAT(script, Not(HasSubstr("ignored")));
    EXPECT_THAT(script, Not(HasSubstr("not listed")));
  }
}

TEST(CompletionTest, TextIsQuotedAsEachShellReadsIt) {
  EXPECT_EQ(ShellQuote("it's"), "'it'\\''s'");
  EXPECT_THAT(ZshCompletion(Sample()),
              HasSubstr("'(-m --mode)--mode=[a node'\\''s \\[own\\]\\: 50 \\\\ percent]:on|off:(on off)'"));
  EXPECT_THAT(FishCompletion(Sample()),
              HasSubstr("-s m -l mode -x -a 'on off' -d 'a node\\'s [own]: 50 \\\\ percent'"));
}

TEST(CompletionTest, ThereAreThreeShells) {
  for (const char* shell : {"bash", "zsh", "fish"}) EXPECT_TRUE(CompletionScript(Sample(), shell).ok()) << shell;
  EXPECT_EQ(CompletionScript(Sample(), "tcsh").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ManPageTest, TextIsNoMarkup) {
  const std::string page = ManPage(Sample());
  EXPECT_THAT(page, HasSubstr("\nA node\\(aqs [own]: 50 \\e percent.\n"));
  EXPECT_THAT(page, HasSubstr("\n\\&.hidden\n.PP\nExit status: 0\n"));
  EXPECT_THAT(page, HasSubstr("\n.PP\n.nf\n  prog go\n.fi\n"));
}

TEST(ManPageTest, SettingsStandTogetherAndTheRestWithItsCommand) {
  const std::string page = ManPage(Sample());
  const size_t settings = page.find(".SH SETTINGS\nTaken by \\fBgo\\fR.\n");
  ASSERT_NE(settings, std::string::npos) << page;
  EXPECT_GT(page.find("\\fB\\-m\\fR, \\fB\\-\\-mode\\fR \\fIon|off\\fR\na node"), settings);
  EXPECT_LT(page.find("\\fB\\-m\\fR, \\fB\\-\\-mode\\fR \\fIx|y\\fR\nother words\n"), settings);
  EXPECT_THAT(page, HasSubstr("percent [on]\n"));
  EXPECT_THAT(page, Not(HasSubstr("not shown")));
  EXPECT_THAT(page, HasSubstr("\\fIWHAT\\fR\nwhat to say\n"));
}

}  // namespace
}  // namespace pointsman
