// SPDX-License-Identifier: Apache-2.0
//
// One Service with a NodePort and two endpoints, from the example as it stands in the repository to a real connection.
#include <set>
#include <string>

#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace pointsman {
namespace {

using ::testing::UnorderedElementsAre;

class SeedTest : public ::testing::TestWithParam<Family> {
 protected:
  static constexpr uint16_t kPort = 8761;
  static constexpr uint16_t kNodePort = 30007;

  // The example has IPv4 addresses; its IPv6 twin is made to the same measure.
  std::string Yaml() const {
    if (GetParam() == Family::kIpv4) return support::ReadFile(support::SourceDir() + "/examples/seed-nodeport.yaml");
    return support::Manifest{.name = "default/discovery-service",
                             .ip = "2001:db8:96::61",
                             .port = kPort,
                             .node_port = kNodePort,
                             .endpoints = {"2001:db8:113::11", "2001:db8:113::12"},
                             .target_port = kPort}
        .Yaml();
  }
  SocketAddr ClusterIp() const {
    return {support::Ip(GetParam() == Family::kIpv4 ? "10.96.0.61" : "2001:db8:96::61"), kPort};
  }
  SocketAddr NodePort() const { return {world_.node_ip(GetParam()), kNodePort}; }

  // Who answered `times` questions; a failure under its own words.
  std::set<std::string> Answers(const SocketAddr& at, int times) {
    std::set<std::string> names;
    for (int i = 0; i < times; ++i) {
      const support::Reply reply = support::Ask(world_.client(), Protocol::kTcp, at);
      names.insert(reply.outcome == support::Outcome::kAnswered ? reply.name : reply.Text());
    }
    return names;
  }

  support::World world_{{.pods = 2, .pods4 = "10.244.1."}};
  support::TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(, SeedTest, ::testing::ValuesIn(kFamilies),
                         [](const auto& row) { return row.param == Family::kIpv4 ? "IPv4" : "IPv6"; });

TEST_P(SeedTest, ClientReachesBothEndpointsAndIsRefusedAtOnceWithoutThem) {
  // Given two endpoints that serve, and the example's Service.
  support::NameServer first(world_.pod(0), "first");
  support::NameServer second(world_.pod(1), "second");
  first.Listen(Protocol::kTcp, {world_.pod_ip(0, GetParam()), kPort});
  second.Listen(Protocol::kTcp, {world_.pod_ip(1, GetParam()), kPort});
  const std::string file = dir_.File("seed.yaml");
  support::WriteFile(file, Yaml());
  ASSERT_NE(support::Ask(world_.client(), Protocol::kTcp, ClusterIp(), absl::Milliseconds(300)).outcome,
            support::Outcome::kAnswered)
      << "there is something at the ClusterIP before we start";

  // When the agent runs, then both endpoints answer at the node's address and at the ClusterIP.
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  EXPECT_THAT(Answers(NodePort(), 40), UnorderedElementsAre("first", "second"));
  EXPECT_THAT(Answers(ClusterIp(), 40), UnorderedElementsAre("first", "second"));

  // When the endpoints go, then a connection is refused, at once, and never left hanging on the way there.
  support::ReplaceFile(file, support::WithoutKind(Yaml(), "EndpointSlice"));
  for (const SocketAddr& at : {NodePort(), ClusterIp()}) {
    EXPECT_TRUE(support::Eventually(absl::Seconds(2), [&] {
      const support::Reply reply = support::Ask(world_.client(), Protocol::kTcp, at);
      EXPECT_THAT(reply.outcome, ::testing::AnyOf(support::Outcome::kAnswered, support::Outcome::kRefused))
          << reply.Text();
      return reply.outcome == support::Outcome::kRefused;
    }));
    for (int i = 0; i < 10; ++i) {
      const support::Reply reply = support::Ask(world_.client(), Protocol::kTcp, at);
      EXPECT_EQ(reply.outcome, support::Outcome::kRefused) << reply.Text();
      EXPECT_LT(reply.took, absl::Milliseconds(500)) << reply.Text();
    }
  }

  // When they come back, then they answer again.
  support::ReplaceFile(file, Yaml());
  EXPECT_TRUE(support::Eventually(absl::Seconds(2), [&] { return Answers(NodePort(), 1).count("first") == 1; }));

  // When the agent is told to stop, then it does, and the rules stay.
  const support::ProcessResult ended = agent.Terminate();
  EXPECT_EQ(ended.exit_code, 0) << ended.err;
  EXPECT_THAT(Answers(NodePort(), 40), UnorderedElementsAre("first", "second"));

  // And when they are cleaned up, they are gone.
  EXPECT_EQ(support::RunPointsman(world_.node(), {"cleanup"}).exit_code, 0);
  EXPECT_EQ(support::RunProcess(world_.node(), {"nft", "list", "ruleset"}).out, "");
}

TEST_P(SeedTest, EndpointSeesAnAddressItCanAnswer) {
  support::NameServer first(world_.pod(0), "first");
  first.Listen(Protocol::kTcp, {world_.pod_ip(0, GetParam()), kPort});
  support::NameServer second(world_.pod(1), "second");
  second.Listen(Protocol::kTcp, {world_.pod_ip(1, GetParam()), kPort});
  support::WriteFile(dir_.File("seed.yaml"), Yaml());
  ASSERT_EQ(support::RunPointsman(world_.node(), {"run", "--once", "--manifests", dir_.path()}).exit_code, 0);

  // A NodePort's client is masqueraded: the endpoint may be anywhere, and must answer through this node.
  const support::Reply reply = support::Ask(world_.client(), Protocol::kTcp, NodePort());
  ASSERT_EQ(reply.outcome, support::Outcome::kAnswered) << reply.Text();
  EXPECT_THAT(reply.seen_as, ::testing::HasSubstr(FormatIp(world_.node_ip(GetParam()))));

  // An endpoint that reaches itself through the Service must not see its own address, or it would answer itself
  // directly.
  for (int i = 0; i < 40; ++i) {
    const support::Reply hairpin = support::Ask(world_.pod(0), Protocol::kTcp, ClusterIp());
    ASSERT_EQ(hairpin.outcome, support::Outcome::kAnswered) << hairpin.Text();
  }
}

}  // namespace
}  // namespace pointsman
