// SPDX-License-Identifier: Apache-2.0
//
// What needs no privileges works without; what does says so at once.
#include <string>
#include <vector>

#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/netns.h"

namespace pointsman {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

class PrivilegeTest : public ::testing::Test {
 protected:
  PrivilegeTest() {
    support::WriteFile(
        dir_.File("web.yaml"),
        support::Manifest{.name = "shop/web", .ip = "192.0.2.80", .endpoints = {"203.0.113.11", "203.0.113.12"}}
            .Yaml());
  }

  support::ProcessResult RunWithoutNetAdmin(const std::vector<std::string>& args) {
    std::vector<std::string> command = {"setpriv",    "--bounding-set", "-net_admin",
                                        "--inh-caps", "-net_admin",     support::PointsmanBinary()};
    command.insert(command.end(), args.begin(), args.end());
    return support::RunProcess(node_, command, {.timeout = absl::Seconds(10)});
  }

  support::NetNs node_{"node"};
  support::TempDir dir_;
};

TEST_F(PrivilegeTest, DumpNeedsNone) {
  const support::ProcessResult dump = RunWithoutNetAdmin({"dump", "--manifests", dir_.path()});
  EXPECT_EQ(dump.exit_code, 0) << dump.err;
  EXPECT_THAT(dump.out, HasSubstr("table ip pointsman"));
  EXPECT_THAT(dump.out, HasSubstr("203.0.113.12 . 8080"));
  EXPECT_EQ(dump.out, support::RunPointsman(node_, {"dump", "--manifests", dir_.path()}).out);
}

TEST_F(PrivilegeTest, RunSaysAtOnceWhatIsMissing) {
  for (const std::vector<std::string>& args :
       {std::vector<std::string>{"run", "--manifests", dir_.path()}, {"run", "--once", "--manifests", dir_.path()}}) {
    const absl::Time begin = absl::Now();
    const support::ProcessResult run = RunWithoutNetAdmin(args);
    EXPECT_FALSE(run.timed_out);
    EXPECT_LT(absl::Now() - begin, absl::Seconds(2));
    EXPECT_NE(run.exit_code, 0);
    EXPECT_LT(run.exit_code, 128) << "killed by a signal";
    EXPECT_THAT(run.err, HasSubstr("CAP_NET_ADMIN"));
    EXPECT_THAT(run.err, EndsWith("\n"));
    EXPECT_EQ(run.err.find('\n'), run.err.size() - 1) << "more than one line:\n" << run.err;
    EXPECT_EQ(run.out, "");
  }
  EXPECT_EQ(support::RunProcess(node_, {"nft", "list", "ruleset"}).out, "");
}

}  // namespace
}  // namespace pointsman
