// SPDX-License-Identifier: Apache-2.0
//
// What shells make of the scripts of `pointsman completion`. A shell is given a function of the program's name that
// prints the words it gets, so what counts is the command line as the shell would have run it.
#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/check/terminal.h"
#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/netns.h"
#include "tests/support/process.h"

namespace pointsman::check {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Output(const std::vector<std::string>& command) {
  support::NetNs ns("shell");
  const support::ProcessResult result = support::RunProcess(ns, command);
  EXPECT_EQ(result.exit_code, 0) << command[0] << ": " << result.err;
  EXPECT_EQ(result.err, "") << command[0];
  return result.out;
}
std::string Script(const std::string& shell) { return Output({support::PointsmanBinary(), "completion", shell}); }

constexpr char kPrintsItsWords[] = "pointsman() { printf '<%s>' \"$@\"; echo END; }\n";

// What is typed before the tabulator, and the words that result.
struct Row {
  const char* name;
  const char* typed;
  const char* words;
};
std::ostream& operator<<(std::ostream& out, const Row& row) { return out << row.name; }

const std::vector<Row>& Rows() {
  static const auto& rows = *new std::vector<Row>{
      {"Subcommand", "cle", "<cleanup>"},
      {"Flag", "run --onc", "<run><--once>"},
      {"FlagWithADot", "run --pointsman.tak", "<run><--pointsman.take-over>"},
      {"FlagAfterAValue", "dump --config kube-proxy.conf --pro", "<dump><--config><kube-proxy.conf><--proxy-mode>"},
      {"FlagOfThatSubcommandAlone", "cleanup --onc", "<cleanup><--onc>"},
      {"Value", "run --proxy-mode nf", "<run><--proxy-mode><nftables>"},
      {"ValueInTheSameWord", "run --proxy-mode=nf", "<run><--proxy-mode=nftables>"},
      {"ValueOfAShortFlag", "dump -o j", "<dump><-o><json>"},
      {"ValueThatTheSubcommandDecides", "config --output y", "<config><--output><yaml>"},
      {"LocalMode", "run --detect-local-mode No", "<run><--detect-local-mode><NodeCIDR>"},
      {"SwitchTurnedOff", "run --masquerade-all=f", "<run><--masquerade-all=false>"},
      {"NoValueAfterASwitch", "run --masquerade-all f", "<run><--masquerade-all><f>"},
      {"AnyValue", "run --node-name kube", "<run><--node-name><kube>"},
      {"File", "run --config kube", "<run><--config><kube-proxy.conf>"},
      {"FileInTheSameWord", "run --config=kube", "<run><--config=kube-proxy.conf>"},
      {"FileWithABlank", "run --kubeconfig wit", "<run><--kubeconfig><with blank.conf>"},
      {"Directory", "run --manifests mani", "<run><--manifests><manifests/>"},
      {"FileInADirectory", "dump --manifests manifests/w", "<dump><--manifests><manifests/web.yaml>"},
      {"SecondPath", "run --manifests manifests kube", "<run><--manifests><manifests><kube-proxy.conf>"},
      {"NoPathWithoutTheFlag", "run --once kube", "<run><--once><kube>"},
      {"AsKubeProxyIsStarted", "--config=kube-proxy.conf --proxy-mode nf",
       "<--config=kube-proxy.conf><--proxy-mode><nftables>"},
      {"Argument", "completion fi", "<completion><fish>"},
  };
  return rows;
}

// A directory with something to complete, and a shell in it.
class CompletionShellTest : public ::testing::TestWithParam<Row> {
 protected:
  CompletionShellTest() {
    std::filesystem::create_directory(dir_.File("manifests"));
    for (const char* name : {"kube-proxy.conf", "with blank.conf", "manifests/web.yaml"}) {
      support::WriteFile(dir_.File(name), "");
    }
  }

  // Types the row into `shell`, which has read `setup`.
  void Try(const std::vector<std::string>& shell, const std::string& setup) {
    support::WriteFile(dir_.File(".setup"), absl::StrCat(setup, kPrintsItsWords, "PS1='READY '\n"));
    Terminal terminal(shell, {"HOME=" + dir_.path(), "TERM=dumb", "INPUTRC=/dev/null", "HISTFILE=/dev/null"});
    terminal.Type(absl::StrCat("cd ", dir_.path(), " && source ./.setup\n"));
    ASSERT_TRUE(terminal.WaitFor("READY ")) << terminal.shown();
    terminal.Type(absl::StrCat("pointsman ", GetParam().typed, "\t"));
    terminal.Type("\n");
    ASSERT_TRUE(terminal.WaitFor("END\r\n")) << terminal.shown();
    EXPECT_THAT(terminal.shown(), HasSubstr(absl::StrCat(GetParam().words, "END\r\n")));
  }

  support::TempDir dir_;
};

const std::vector<std::string>& Bash() {
  static const auto& bash = *new std::vector<std::string>{"bash", "--norc", "--noprofile", "-i"};
  return bash;
}

TEST_P(CompletionShellTest, BashCompletes) { Try(Bash(), Script("bash")); }

TEST_P(CompletionShellTest, BashCompletesBesideThePackageBashCompletion) {
  constexpr char kPackage[] = "/usr/share/bash-completion/bash_completion";
  ASSERT_TRUE(std::filesystem::exists(kPackage)) << "./dev setup installs it";
  Try(Bash(), absl::StrCat("source ", kPackage, "\n", Script("bash")));
}

TEST_P(CompletionShellTest, BashCompletesWhereEqualsSignsBreakNoWords) {
  Try(Bash(), absl::StrCat("COMP_WORDBREAKS=${COMP_WORDBREAKS//=}\n", Script("bash")));
}

TEST_P(CompletionShellTest, ZshCompletes) {
  Try({"zsh", "-f", "-i"},
      absl::StrCat("setopt no_auto_remove_slash; autoload -Uz compinit && compinit -u -D\n", Script("zsh")));
}

INSTANTIATE_TEST_SUITE_P(, CompletionShellTest, ::testing::ValuesIn(Rows()),
                         [](const auto& param) { return param.param.name; });

TEST(CompletionScriptsTest, Parse) {
  const support::TempDir dir;
  for (const char* shell : {"bash", "zsh", "fish"}) {
    support::WriteFile(dir.File(shell), Script(shell));
    EXPECT_EQ(Output({shell, "-n", dir.File(shell)}), "");
  }
}

TEST(CompletionScriptsTest, ZshLoadsItFromItsPath) {
  const support::TempDir dir;
  support::WriteFile(dir.File("_pointsman"), Script("zsh"));
  EXPECT_EQ(Output({"zsh", "-f", "-c",
                    absl::StrCat("fpath=(", dir.path(),
                                 " $fpath); autoload -Uz compinit && compinit -u -D; "
                                 "print -- $_comps[pointsman]")}),
            "_pointsman\n");
}

TEST(CompletionScriptsTest, FishCompletes) {
  const support::TempDir dir;
  support::WriteFile(dir.File("script"), Script("fish"));
  support::WriteFile(dir.File("kube-proxy.conf"), "");
  for (const auto& [typed, word] :
       std::vector<std::pair<std::string, std::string>>{{"cle", "cleanup\t"},
                                                        {"run --onc", "--once\t"},
                                                        {"run --proxy-mode nf", "nftables\t"},
                                                        {"run --proxy-mode=nf", "--proxy-mode=nftables\t"},
                                                        {"config --output y", "yaml\t"},
                                                        {"run --config kube", "kube-proxy.conf"},
                                                        {"dump --manifests . kube", "kube-proxy.conf"},
                                                        {"completion fi", "fish\t"}}) {
    const std::string out =
        Output({"env", "HOME=" + dir.path(), "fish", "--private", "-N", "-c",
                absl::StrCat("cd ", dir.path(), "; source script; complete -C 'pointsman ", typed, "'")});
    EXPECT_TRUE(absl::StartsWith(out, word)) << typed << ": " << out;
    EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1) << typed << ": " << out;
  }
}

// Flags as the help of `run` shows them.
TEST(CompletionScriptsTest, OfferTheFlagsThatHaveAnEffect) {
  const std::vector<std::string> scripts = {Script("bash"), Script("zsh"), Script("fish")};
  // In bash the flags that are offered stand in one line.
  std::string offered;
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(scripts[0], '\n'))) {
    if (absl::StrContains(line, "  run) words=")) offered = absl::StrCat(line, " ");
  }
  bool without_effect = false;
  int flags = 0;
  for (const std::string& line :
       std::vector<std::string>(absl::StrSplit(Output({support::PointsmanBinary(), "run", "--help"}), '\n'))) {
    if (absl::StrContains(line, "without effect here")) without_effect = true;
    const std::vector<std::string> words = absl::StrSplit(line, absl::ByAnyChar(" ,"), absl::SkipEmpty());
    if (!absl::StartsWith(line, "  -") || words.empty() || !absl::StartsWith(words[0], "--")) continue;
    ++flags;
    const std::string& flag = words[0];
    if (without_effect) {
      EXPECT_THAT(absl::StrCat(offered, "'"), Not(HasSubstr(absl::StrCat(" ", flag, " ")))) << flag;
      EXPECT_THAT(scripts[2], Not(HasSubstr(absl::StrCat(" -l ", flag.substr(2), " ")))) << flag;
      continue;
    }
    EXPECT_THAT(offered, testing::ContainsRegex(absl::StrCat("[ ']", flag, "[ ']")));
    EXPECT_THAT(scripts[1], HasSubstr(absl::StrCat(flag, "=")));
    EXPECT_THAT(scripts[2], HasSubstr(absl::StrCat(" -l ", flag.substr(2), " ")));
  }
  EXPECT_GT(flags, 60) << "read the help wrong?";
  EXPECT_TRUE(without_effect);
}

}  // namespace
}  // namespace pointsman::check
