// SPDX-License-Identifier: Apache-2.0
//
// New connections spread evenly over the endpoints, however their number compares with a power of two.
#include <cmath>
#include <cstdio>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "gtest/gtest.h"

#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace pointsman {
namespace {

constexpr int kConnections = 3000;

struct Row {
  Family family;
  int endpoints;
  // Of the chi-squared distribution, for a probability of 0.1 % to be above, with `endpoints` - 1 degrees of freedom.
  // Source: NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.4.
  double critical;
};

void PrintTo(const Row& row, std::ostream* out) { *out << FormatFamily(row.family) << " " << row.endpoints; }

class SpreadTest : public ::testing::TestWithParam<Row> {
 protected:
  SpreadTest() {
    // All endpoints live in one pod, each with an address and a server of its own.
    const bool v4 = GetParam().family == Family::kIpv4;
    world_.node().Ip(v4 ? "route add 198.18.0.0/24 via 203.0.113.11 dev pod0 onlink\n"
                        : "route add 2001:db8:18::/64 via 2001:db8:113::11 dev pod0\n");
    for (int i = 1; i <= GetParam().endpoints; ++i) {
      const std::string ip = absl::StrCat(v4 ? "198.18.0." : "2001:db8:18::", i);
      world_.pod(0).Ip(absl::StrCat("addr add ", ip, v4 ? "/32 dev lo\n" : "/128 dev lo nodad\n"));
      servers_.push_back(std::make_unique<support::NameServer>(world_.pod(0), ip));
      servers_.back()->Listen(Protocol::kTcp, {support::Ip(ip), 8080});
      manifest_.endpoints.push_back(ip);
    }
  }

  // An even spread fails once in a thousand times, so it may try again. An uneven one fails both times.
  void ExpectEvenSpread() {
    if (ChiSquared() <= GetParam().critical || HasFailure()) return;
    EXPECT_LE(ChiSquared(), GetParam().critical);
  }

 private:
  // The statistic of `kConnections` connections; infinite if one was not answered.
  double ChiSquared() {
    std::vector<int64_t> before;
    for (const auto& server : servers_) before.push_back(server->answered());
    for (int i = 0; i < kConnections; ++i) {
      const support::Reply reply =
          support::Ask(world_.client(), Protocol::kTcp, {support::Ip(manifest_.ip), 80}, absl::Seconds(3));
      if (reply.outcome != support::Outcome::kAnswered) {
        ADD_FAILURE() << "connection " << i << ": " << reply.Text();
        return HUGE_VAL;
      }
    }
    const double expected = static_cast<double>(kConnections) / static_cast<double>(servers_.size());
    double sum = 0;
    int64_t answered = 0;
    for (size_t i = 0; i < servers_.size(); ++i) {
      const int64_t count = servers_[i]->answered() - before[i];
      answered += count;
      sum += (static_cast<double>(count) - expected) * (static_cast<double>(count) - expected) / expected;
    }
    EXPECT_EQ(answered, kConnections);
    std::printf("%d connections over %d endpoints: chi squared %.1f, critical %.1f\n", kConnections,
                GetParam().endpoints, sum, GetParam().critical);
    return sum;
  }

 protected:
  support::World world_{{.pods = 1}};
  std::vector<std::unique_ptr<support::NameServer>> servers_;
  support::Manifest manifest_{.name = "shop/web",
                              .ip = GetParam().family == Family::kIpv4 ? "198.51.100.80" : "2001:db8:96::80",
                              .endpoints = {}};
  support::TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(, SpreadTest,
                         ::testing::Values(Row{Family::kIpv4, 3, 13.816}, Row{Family::kIpv4, 7, 22.458},
                                           Row{Family::kIpv4, 50, 85.351}, Row{Family::kIpv6, 7, 22.458}),
                         [](const auto& row) {
                           return absl::StrCat(row.param.family == Family::kIpv4 ? "IPv4" : "IPv6", "Over",
                                               row.param.endpoints);
                         });

TEST_P(SpreadTest, EachEndpointGetsItsShare) {
  support::WriteFile(dir_.File("web.yaml"), manifest_.Yaml());
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();

  ExpectEvenSpread();
}

TEST_P(SpreadTest, SoItIsAfterEndpointsWentAndCame) {
  // Slots were emptied and filled again: the list must have no holes and no repetitions.
  support::Manifest half = manifest_;
  half.endpoints.resize(half.endpoints.size() / 2 + 1);
  support::WriteFile(dir_.File("web.yaml"), manifest_.Yaml());
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  for (const support::Manifest& now : {half, manifest_}) {
    const size_t mark = agent.Mark();
    support::ReplaceFile(dir_.File("web.yaml"), now.Yaml());
    ASSERT_TRUE(agent.WaitForEvent("reconciled", absl::Seconds(10), mark)) << agent.log();
  }

  ExpectEvenSpread();
}

}  // namespace
}  // namespace pointsman
