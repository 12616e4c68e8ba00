// SPDX-License-Identifier: Apache-2.0
//
// Connections while endpoints come and go: none may be lost.
#include <cstdio>
#include <random>
#include <string>

#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/netns/churn_world.h"

namespace pointsman {
namespace {

using ::testing::SizeIs;

constexpr double kPerSecond = kSanitized ? 200 : 1000;
const absl::Duration kLasting = kSanitized ? absl::Seconds(5) : absl::Seconds(10);

class ChurnTest : public ChurnWorld, public ::testing::WithParamInterface<Family> {
 protected:
  ChurnTest() : ChurnWorld(GetParam()) {}
};

INSTANTIATE_TEST_SUITE_P(, ChurnTest, ::testing::ValuesIn(kFamilies),
                         [](const auto& row) { return row.param == Family::kIpv4 ? "IPv4" : "IPv6"; });

TEST_P(ChurnTest, NoConnectionIsLostWhileEndpointsComeAndGo) {
  const std::string file = dir_.File("web.yaml");
  support::WriteFile(file, Yaml(0b111));
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();

  support::Load load(world_.client(), {support::Ip(ClusterIp()), 80}, kPerSecond);
  std::mt19937 random(20260102);
  std::uniform_int_distribution<unsigned> some(1, 0b111);
  int flips = 0;
  unsigned now = 0b111;
  absl::Time next = absl::Now();
  for (const absl::Time end = next + kLasting; next < end; next += absl::Milliseconds(50)) {
    absl::SleepFor(next - absl::Now());
    unsigned then = now;
    while (then == now) then = some(random);
    support::ReplaceFile(file, Yaml(then));
    now = then;
    ++flips;
  }
  const support::LoadReport report = load.Stop();
  std::printf("%s\n%d flips\n", report.Text().c_str(), flips);

  EXPECT_EQ(report.failed, 0) << report.Text();
  EXPECT_EQ(report.answered, report.started);
  EXPECT_GE(static_cast<double>(report.started), 0.95 * kPerSecond * absl::ToDoubleSeconds(kLasting)) << report.Text();
  EXPECT_THAT(report.by_name, SizeIs(kPods)) << report.Text();
  // The agent may take two flips at once, but it must have followed.
  EXPECT_GE(static_cast<int>(agent.Events("reconciled").size()), flips / 2);
  EXPECT_TRUE(support::Eventually(absl::Seconds(2), [&] {
    return support::RunPointsman(world_.node(), {"diff", "--manifests", dir_.path()}).exit_code == 0;
  }));
}

}  // namespace
}  // namespace pointsman
