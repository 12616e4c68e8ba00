// SPDX-License-Identifier: Apache-2.0
//
// A crash at any moment leaves rules that work, and that the next start makes right.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "gtest/gtest.h"

#include "tests/netns/churn_world.h"

namespace pointsman {
namespace {

constexpr int kKills = kSanitized ? 25 : 200;

// One family is enough: both are in the same transactions.
class KillTest : public ChurnWorld {
 protected:
  KillTest() : ChurnWorld(Family::kIpv4) {}
};

// The others change so much that a kill is likely to come in the middle of something; this one is to notice nothing.
TEST_F(KillTest, NextStartConvergesAndAStableServiceNeverFails) {
  constexpr int kServices = 60;
  const auto others = [&](int round) {
    std::string yaml;
    for (int s = 0; s < kServices; ++s) {
      const bool v6 = s % 2 == 1;
      support::Manifest other{.name = absl::StrCat("load/s", s),
                              .ip = absl::StrCat(v6 ? "2001:db8:97::" : "198.51.100.", 100 + s),
                              .node_port = s % 3 == 0 ? 30000 + s : 0,
                              .endpoints = {}};
      for (int i = 0; i < (s + round) % 6; ++i) {
        other.endpoints.push_back(absl::StrCat(v6 ? "2001:db8:98::" : "198.18.0.", 1 + (s + i * round) % 200));
      }
      std::sort(other.endpoints.begin(), other.endpoints.end());
      other.endpoints.erase(std::unique(other.endpoints.begin(), other.endpoints.end()), other.endpoints.end());
      if ((s + round) % 7 != 0) absl::StrAppend(&yaml, "---\n", other.Yaml());
    }
    return yaml;
  };
  support::WriteFile(dir_.File("stable.yaml"), Yaml(0b111));
  support::WriteFile(dir_.File("others.yaml"), others(0));
  const std::vector<std::string> manifests = {"--manifests", dir_.path()};
  const auto pointsman = [&](std::vector<std::string> args) {
    args.insert(args.end(), manifests.begin(), manifests.end());
    return support::RunPointsman(world_.node(), args);
  };
  // The first start also tells how long one takes.
  const absl::Time begin = absl::Now();
  ASSERT_TRUE(support::AgentProcess(world_.node(), manifests).WaitReady());
  const double start_us = absl::ToDoubleMicroseconds(absl::Now() - begin);

  support::Load load(world_.client(), {support::Ip(ClusterIp()), 80}, 50);
  std::mt19937 random(20260102);
  std::uniform_real_distribution<double> moment_us(0, 2 * start_us);
  int before_ready = 0;
  int in_change = 0;
  int round = 0;
  for (int i = 0; i < kKills && !HasFailure(); ++i) {
    support::ReplaceFile(dir_.File("others.yaml"), others(++round));
    {
      support::AgentProcess agent(world_.node(), manifests);
      const absl::Time kill_at = absl::Now() + absl::Microseconds(moment_us(random));
      bool changed = false;
      // From its start on, the files go on changing under it until its end.
      while (absl::Now() < kill_at) {
        absl::SleepFor(std::min(kill_at - absl::Now(), absl::Milliseconds(4)));
        changed = !agent.Events("ready").empty();
        if (changed) support::ReplaceFile(dir_.File("others.yaml"), others(++round));
      }
      agent.process().Signal(SIGKILL);
      ++(changed ? in_change : before_ready);
    }
    const support::ProcessResult next = pointsman({"run", "--once"});
    ASSERT_EQ(next.exit_code, 0) << "after kill " << i << ": " << next.err;
    const support::ProcessResult diff = pointsman({"diff"});
    ASSERT_EQ(diff.exit_code, 0) << "after kill " << i << ": " << diff.out << diff.err;
  }
  const support::LoadReport report = load.Stop();
  std::printf("%s\n%d kills before ready, %d after, while files changed\n", report.Text().c_str(), before_ready,
              in_change);

  EXPECT_EQ(report.failed, 0) << report.Text();
  EXPECT_EQ(report.answered, report.started);
  EXPECT_GT(before_ready, kKills / 10);
  EXPECT_GT(in_change, kKills / 10);
}

}  // namespace
}  // namespace pointsman
