// SPDX-License-Identifier: Apache-2.0
//
// The node around the rules: kernel parameters, a family that is off, and what --cleanup leaves.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/netns/leftovers_world.h"
#include "tests/netns/serving_world.h"
#include "tests/support/traffic.h"

namespace pointsman {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr absl::Duration kSoon = absl::Seconds(20);
constexpr char kNetfilter[] = "/proc/sys/net/netfilter/nf_conntrack_";

// Without Services of its own, and without a source: none is needed to set a node up.
std::string Configuration(const std::string& conntrack) {
  return absl::StrCat("apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\n",
                      "conntrack: {", conntrack, "}\n");
}
constexpr char kTimeouts[] =
    "tcpEstablishedTimeout: 1234s, tcpCloseWaitTimeout: 77s, udpTimeout: 41s, udpStreamTimeout: 142s, tcpBeLiberal: "
    "true";
const std::vector<std::pair<const char*, const char*>> kTimeoutsInKernel = {{"tcp_timeout_established", "1234\n"},
                                                                            {"tcp_timeout_close_wait", "77\n"},
                                                                            {"udp_timeout", "41\n"},
                                                                            {"udp_timeout_stream", "142\n"},
                                                                            {"tcp_be_liberal", "1\n"}};

class InitOnlyTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& conntrack) {
    support::ReplaceFile(dir_.File("config.conf"), Configuration(conntrack));
    return dir_.File("config.conf");
  }
  support::ProcessResult InitOnly(const std::string& file) {
    return support::RunPointsman(node_, {"run", "--init-only", "--config", file});
  }
  std::string Parameter(const std::string& name) { return Tool(node_, {"cat", kNetfilter + name}); }
  static std::vector<support::LogLine> Events(const support::ProcessResult& run, const std::string& event) {
    std::vector<support::LogLine> found;
    for (support::LogLine& line : support::ParseLog(run.err)) {
      if (line.event == event) found.push_back(std::move(line));
    }
    return found;
  }

  support::NetNs node_{"node"};
  support::TempDir dir_;
};

TEST_F(InitOnlyTest, SetsTheParametersOfItsNamespaceAndNothingElse) {
  const std::string file = Write(absl::StrCat("maxPerCore: 0, ", kTimeouts));

  const support::ProcessResult run = InitOnly(file);

  EXPECT_EQ(run.exit_code, 0) << run.err;
  for (const auto& [name, value] : kTimeoutsInKernel) EXPECT_EQ(Parameter(name), value) << name;
  EXPECT_THAT(Events(run, "sysctl"), SizeIs(kTimeoutsInKernel.size())) << run.err;
  EXPECT_THAT(Events(run, "sysctl_not_set"), IsEmpty()) << run.err;
  EXPECT_EQ(Tool(node_, {"nft", "list", "ruleset"}), "") << "no rules yet";

  const support::ProcessResult again = InitOnly(file);
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(Events(again, "sysctl"), IsEmpty()) << "nothing differs any more";
}

TEST_F(InitOnlyTest, WhatCannotBeSetIsNamedAndEndsWithOneAndTheRestIsSet) {
  // Of the whole machine: read-only in a namespace. One more than there is needs no larger hash table.
  const std::string before = Parameter("max");
  int64_t max = 0;
  ASSERT_TRUE(absl::SimpleAtoi(before, &max));

  const support::ProcessResult run =
      InitOnly(Write(absl::StrCat("maxPerCore: 1, min: ", max + 1, ", tcpEstablishedTimeout: 1234s")));

  EXPECT_EQ(run.exit_code, 1) << run.err;
  const std::vector<support::LogLine> warnings = Events(run, "sysctl_not_set");
  ASSERT_THAT(warnings, SizeIs(1)) << run.err;
  EXPECT_THAT(warnings[0].text,
              AllOf(HasSubstr(absl::StrCat("net.netfilter.nf_conntrack_max=", max + 1, " (is ", max, ")")),
                    HasSubstr("hint="), Not(HasSubstr("tcp_timeout"))));
  EXPECT_EQ(Parameter("max"), before);
  EXPECT_EQ(Parameter("tcp_timeout_established"), "1234\n");
}

TEST_F(InitOnlyTest, AMistakeInTheFileSetsNothing) {
  const std::string before = Parameter("tcp_timeout_established");
  const support::ProcessResult run = InitOnly(Write("tcpEstablishedTimeout: 1234s, min: -1"));
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("conntrack.min"));
  EXPECT_EQ(Parameter("tcp_timeout_established"), before);
}

// --- A node that runs ---

class NodeSetupTest : public ServingWorld {
 protected:
  static support::Manifest Web(Family family) {
    return family == Family::kIpv4
               ? support::Manifest{.name = "shop/web", .ip = "198.51.100.80", .endpoints = {"203.0.113.11"}}
               : support::Manifest{.name = "shop/web6", .ip = "2001:db8:96::80", .endpoints = {"2001:db8:113::11"}};
  }
  std::unique_ptr<support::FakeApi> StartCluster() {
    server_.Listen(Protocol::kTcp, {world_.pod_ip(0, Family::kIpv4), 8080});
    std::unique_ptr<support::FakeApi> api = StartApi();
    api->Put(NodeAt({"192.0.2.1", "2001:db8::1"}));
    for (const Family family : kFamilies) Put(*api, Web(family));
    return api;
  }
  std::string ConfigureTimeouts(const support::FakeApi& api) {
    const std::string text = support::ReadFile(Configure(api));
    support::WriteFile(dir_.File("config.conf"), absl::StrCat(text.substr(0, text.find("conntrack:")),
                                                              "conntrack: {maxPerCore: 0, ", kTimeouts, "}\n"));
    return dir_.File("config.conf");
  }
  // As a container without privileges sees /proc/sys.
  std::unique_ptr<support::Process> StartReadOnly(const std::string& file) {
    return std::make_unique<support::Process>(
        node(), std::vector<std::string>{"unshare", "--mount", "sh", "-c",
                                         "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && "
                                         "exec \"$0\" run --config \"$1\"",
                                         support::PointsmanBinary(), file});
  }
  static bool IsReady(const std::string& log) { return absl::StrContains(log, " ready\n"); }
  static std::vector<support::LogLine> SysctlLines(const std::string& log) {
    std::vector<support::LogLine> found;
    for (support::LogLine& line : support::ParseLog(log)) {
      if (absl::StartsWith(line.event, "sysctl")) found.push_back(std::move(line));
    }
    return found;
  }
  support::Reply AskWeb() { return support::Ask(world_.client(), Protocol::kTcp, {support::Ip("198.51.100.80"), 80}); }

  support::NameServer server_{world_.pod(0), "pod-0"};
};

TEST_F(NodeSetupTest, WhereParametersAreReadOnlyItWarnsOnceAndServesAllTheSame) {
  const std::unique_ptr<support::FakeApi> api = StartCluster();
  const auto agent = StartReadOnly(ConfigureTimeouts(*api));
  ASSERT_TRUE(agent->WaitForErr(IsReady, kSoon)) << agent->err();

  EXPECT_EQ(AskWeb().name, "pod-0");
  const std::vector<support::LogLine> told = SysctlLines(agent->err());
  ASSERT_THAT(told, SizeIs(1)) << agent->err();
  EXPECT_EQ(told[0].event, "sysctl_not_set");
  EXPECT_EQ(told[0].level, "WARNING");
  EXPECT_THAT(told[0].text, AllOf(HasSubstr("net.netfilter.nf_conntrack_tcp_timeout_established=1234"),
                                  HasSubstr("net.netfilter.nf_conntrack_tcp_be_liberal=1"), HasSubstr("--init-only")));
  EXPECT_EQ(Tool(node(), {"cat", absl::StrCat(kNetfilter, "tcp_be_liberal")}), "0\n");
}

TEST_F(NodeSetupTest, WhereAnInitContainerHasSetThemThereIsNothingToWarnOf) {
  const std::unique_ptr<support::FakeApi> api = StartCluster();
  const std::string file = ConfigureTimeouts(*api);
  ASSERT_EQ(Pointsman("run", {"--init-only", "--config", file}).exit_code, 0);

  const auto agent = StartReadOnly(file);
  ASSERT_TRUE(agent->WaitForErr(IsReady, kSoon)) << agent->err();

  EXPECT_THAT(SysctlLines(agent->err()), IsEmpty()) << agent->err();
}

TEST_F(NodeSetupTest, WhereForwardingIsOffItSaysSoAndTurnsItOnWhenAsked) {
  const std::unique_ptr<support::FakeApi> api = StartCluster();
  node().Sysctl("net/ipv4/ip_forward", "0");
  const std::string configuration = Configure(*api);
  {
    const auto agent = Start(configuration);
    ASSERT_TRUE(agent->WaitReady()) << agent->log();
    ASSERT_THAT(agent->Events("forwarding_off"), SizeIs(1)) << agent->log();
    EXPECT_EQ(agent->Events("forwarding_off")[0].fields.at("parameter"), "net.ipv4.ip_forward");
    EXPECT_EQ(Tool(node(), {"cat", "/proc/sys/net/ipv4/ip_forward"}), "0\n") << "it is the network plug-in's";
  }
  support::AgentProcess agent(node(), {"--config", configuration, "--pointsman.ip-forward"});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  EXPECT_THAT(agent.Events("forwarding_off"), IsEmpty());
  EXPECT_EQ(AskWeb().name, "pod-0");
}

TEST_F(NodeSetupTest, WhereIpv6IsOffItIsLeftOutInOneLineAndIpv4Works) {
  const std::unique_ptr<support::FakeApi> api = StartCluster();
  node().Sysctl("net/ipv6/conf/all/disable_ipv6", "1");

  const auto agent = Start(Configure(*api));
  ASSERT_TRUE(agent->WaitReady()) << agent->log();

  EXPECT_EQ(AskWeb().name, "pod-0");
  EXPECT_THAT(Nft({"list", "tables"}), AllOf(HasSubstr("table ip pointsman"), Not(HasSubstr("ip6"))));
  const std::vector<support::LogLine> told = agent->Events("family_left_out");
  ASSERT_THAT(told, SizeIs(1)) << agent->log();
  EXPECT_EQ(told[0].fields.at("family"), "IPv6");
  EXPECT_THAT(told[0].fields.at("reason"), HasSubstr("disable_ipv6"));
  for (const support::LogLine& line : support::ParseLog(agent->log())) EXPECT_EQ(line.level, "INFO") << line.text;
  const serve::Reply healthz = Health("/healthz");
  EXPECT_EQ(healthz.status, 200);
  EXPECT_TRUE(Parsed(healthz)["status"].contains("IPv4"));
  EXPECT_FALSE(Parsed(healthz)["status"].contains("IPv6")) << healthz.body;
  EXPECT_EQ(Pointsman("diff", With(dir_.File("kubeconfig"))).out, "no differences\n");
}

// --- The end ---

class CleanupTest : public ::testing::TestWithParam<Old> {};
INSTANTIATE_TEST_SUITE_P(, CleanupTest, ::testing::ValuesIn(kOlds), [](const auto& row) { return OldName(row.param); });

TEST_P(CleanupTest, RemovesOursAndKubeProxysAndNothingElse) {
  support::NetNs node("node");
  node.Ip("link set lo up\n");
  AddStrangers(node);
  const auto tables = [&] { return Tool(node, {"nft", "list", "tables"}); };
  const std::string strangers = Snapshot(node);
  const std::string strangers_tables = tables();
  AddKubeProxy(node, GetParam());
  const support::ProcessResult run = support::RunPointsman(
      node, {"run", "--once", "--hostname-override", "n1", "--manifests", support::SourceDir() + "/examples"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  ASSERT_THAT(tables(), AllOf(HasSubstr("table ip pointsman"), HasSubstr("table ip6 pointsman")));

  const support::ProcessResult cleanup = support::RunPointsman(node, {"run", "--cleanup"});

  EXPECT_EQ(cleanup.exit_code, 0) << cleanup.err;
  EXPECT_EQ(tables(), strangers_tables);
  EXPECT_EQ(Snapshot(node), strangers);
  EXPECT_EQ(support::RunPointsman(node, {"run", "--cleanup"}).exit_code, 0) << "nothing to remove is no mistake";
}

}  // namespace
}  // namespace pointsman
