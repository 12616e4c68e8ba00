// SPDX-License-Identifier: Apache-2.0
//
// Somebody else's hands in our tables: healed while the agent runs, told by `diff` while it does not.
#include <ostream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace pointsman {
namespace {

using ::testing::HasSubstr;

struct Mischief {
  const char* name;
  const char* nft;   // what was done
  const char* told;  // in the output of `diff`
  bool cuts_off;     // the Service does not work meanwhile
};

void PrintTo(const Mischief& mischief, std::ostream* out) { *out << mischief.nft; }

class DriftTest : public ::testing::TestWithParam<Mischief> {
 protected:
  DriftTest() {
    server_.Listen(Protocol::kTcp, {world_.pod_ip(0, Family::kIpv4), 8080});
    support::WriteFile(
        dir_.File("web.yaml"),
        support::Manifest{.name = "shop/web", .ip = "198.51.100.80", .endpoints = {"203.0.113.11"}}.Yaml());
  }

  support::ProcessResult Diff() { return support::RunPointsman(world_.node(), {"diff", "--manifests", dir_.path()}); }
  bool Served() {
    return support::Ask(world_.client(), Protocol::kTcp, {support::Ip("198.51.100.80"), 80}, absl::Milliseconds(500))
               .name == "pod";
  }
  void Do() {
    const support::ProcessResult done = support::RunProcess(world_.node(), {"nft", GetParam().nft});
    ASSERT_EQ(done.exit_code, 0) << done.err;
  }

  support::World world_{{.pods = 1}};
  support::NameServer server_{world_.pod(0), "pod"};
  support::TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(
    , DriftTest,
    ::testing::Values(
        Mischief{"DeletesATable", "delete table ip pointsman", "table", true},
        Mischief{"DeletesBothTables", "delete table ip pointsman; delete table ip6 pointsman", "table", true},
        Mischief{"DeletesAFrontend", "delete element ip pointsman frontends { 198.51.100.80 . tcp . 80 }",
                 "198.51.100.80 . tcp . 80", true},
        Mischief{"DeletesAnEndpoint", "flush map ip pointsman endpoints", "203.0.113.11 . 8080", true},
        Mischief{"AddsARule", "insert rule ip pointsman services tcp dport 80 drop", "drop", true},
        Mischief{"EmptiesAChain", "flush chain ip pointsman services", "frontends", true},
        Mischief{"AddsAnElement", "add element ip pointsman frontends { 198.51.100.81 . tcp . 80 : drop }",
                 "198.51.100.81 . tcp . 80", false},
        Mischief{"AddsAChain", "add chain ip pointsman surprise", "surprise", false},
        Mischief{"AddsASet", "add set ip pointsman surprise { type ipv4_addr; }", "surprise", false},
        Mischief{"FlushesTheRuleset", "flush ruleset", "table", true}),
    [](const auto& row) { return row.param.name; });

TEST_P(DriftTest, IsHealedWithinTwoSeconds) {
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  ASSERT_TRUE(Served());
  ASSERT_EQ(Diff().exit_code, 0);

  Do();
  EXPECT_TRUE(support::Eventually(absl::Seconds(2), [&] { return Diff().exit_code == 0; }))
      << Diff().out << agent.log();
  EXPECT_TRUE(Served());
  EXPECT_TRUE(agent.process().running());
}

TEST_P(DriftTest, IsToldByDiffAndHealedByTheNextRun) {
  const std::vector<std::string> once = {"run", "--once", "--manifests", dir_.path()};
  ASSERT_EQ(support::RunPointsman(world_.node(), once).exit_code, 0);
  ASSERT_EQ(Diff().out, "no differences\n");
  ASSERT_TRUE(Served());

  Do();
  const support::ProcessResult diff = Diff();
  EXPECT_EQ(diff.exit_code, 1);
  EXPECT_THAT(diff.out, HasSubstr(GetParam().told));
  EXPECT_EQ(diff.err, "");
  EXPECT_EQ(Served(), !GetParam().cuts_off);

  EXPECT_EQ(support::RunPointsman(world_.node(), once).exit_code, 0);
  EXPECT_EQ(Diff().out, "no differences\n");
  EXPECT_TRUE(Served());
}

}  // namespace
}  // namespace pointsman
