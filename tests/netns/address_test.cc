// SPDX-License-Identifier: Apache-2.0
//
// NodePorts follow the node's addresses as they come and go.
#include <string>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace pointsman {
namespace {

class AddressTest : public ::testing::TestWithParam<Family> {};
INSTANTIATE_TEST_SUITE_P(, AddressTest, ::testing::ValuesIn(kFamilies),
                         [](const auto& row) { return row.param == Family::kIpv4 ? "IPv4" : "IPv6"; });

TEST_P(AddressTest, NodePortAnswersAtANewAddressWithinASecond) {
  const bool v4 = GetParam() == Family::kIpv4;
  const std::string address = v4 ? "192.0.2.77" : "2001:db8::77";
  const std::string prefix = address + (v4 ? "/24" : "/64");
  support::World world({.pods = 1});
  support::NameServer server(world.pod(0), "pod");
  server.Listen(Protocol::kTcp, {world.pod_ip(0, GetParam()), 8080});
  support::TempDir dir;
  support::WriteFile(dir.File("web.yaml"), support::Manifest{.name = "shop/web",
                                                             .ip = v4 ? "198.51.100.80" : "2001:db8:96::80",
                                                             .node_port = 30080,
                                                             .endpoints = {FormatIp(world.pod_ip(0, GetParam()))}}
                                               .Yaml());
  support::AgentProcess agent(world.node(), {"--manifests", dir.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  const auto answered = [&](const IpAddr& at) {
    return support::Ask(world.client(), Protocol::kTcp, {at, 30080}, absl::Milliseconds(200)).name == "pod";
  };
  const auto programmed = [&] {
    return support::RunProcess(world.node(), {"nft", "get", "element", v4 ? "ip" : "ip6", "pointsman", "frontends",
                                              absl::StrCat("{ ", address, " . tcp . 30080 }")})
               .exit_code == 0;
  };
  ASSERT_TRUE(answered(world.node_ip(GetParam())));
  ASSERT_FALSE(programmed());

  world.node().Ip(absl::StrCat("addr add ", prefix, " dev client", v4 ? "" : " nodad", "\n"));
  EXPECT_TRUE(support::Eventually(absl::Seconds(1), [&] { return answered(support::Ip(address)); })) << agent.log();
  EXPECT_TRUE(programmed());
  EXPECT_TRUE(answered(world.node_ip(GetParam())));

  world.node().Ip(absl::StrCat("addr del ", prefix, " dev client\n"));
  EXPECT_TRUE(support::Eventually(absl::Seconds(1), [&] { return !programmed(); })) << agent.log();
  EXPECT_TRUE(answered(world.node_ip(GetParam())));
  const support::ProcessResult diff = support::RunPointsman(world.node(), {"diff", "--manifests", dir.path()});
  EXPECT_EQ(diff.exit_code, 0) << diff.out << diff.err;
}

}  // namespace
}  // namespace pointsman
