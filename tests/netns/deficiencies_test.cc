// SPDX-License-Identifier: Apache-2.0
//
// Promises that kube-proxy's issue tracker says are easily broken.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "pointsman/netlink.h"
#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace pointsman {
namespace {

using support::Outcome;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DeficienciesTest : public ::testing::TestWithParam<Family> {
 protected:
  DeficienciesTest() {
    for (int i = 0; i < world_.pods(); ++i) {
      servers_.push_back(std::make_unique<support::NameServer>(world_.pod(i), absl::StrCat("pod-", i)));
      for (const Family family : kFamilies) servers_.back()->Listen(Protocol::kTcp, {world_.pod_ip(i, family), 8080});
    }
  }

  bool v4() const { return GetParam() == Family::kIpv4; }
  std::string Pod(int i) const { return FormatIp(world_.pod_ip(i, GetParam())); }

  support::Reply Ask(const std::string& ip, uint16_t port = 80, absl::Duration timeout = absl::Milliseconds(500)) {
    return support::Ask(world_.client(), Protocol::kTcp, {support::Ip(ip), port}, timeout);
  }
  // What the agent says of its input.
  static std::vector<std::string> Complaints(support::AgentProcess& agent) {
    std::vector<std::string> lines;
    for (const support::LogLine& line : agent.Events("bad_input")) lines.push_back(line.text);
    return lines;
  }

  support::World world_{{.pods = 2}};
  std::vector<std::unique_ptr<support::NameServer>> servers_;
  support::TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(, DeficienciesTest, ::testing::ValuesIn(kFamilies),
                         [](const auto& row) { return std::string(FormatFamily(row.param)); });

TEST_P(DeficienciesTest, AServiceCidrThatChangesIsFollowedAtOnce) {
  // Given an address inside the range that no Service has, and a server where the route to it leads.
  const std::string ip = v4() ? "198.51.100.99" : "2001:db8:96::99";
  world_.pod(0).Ip(absl::StrCat("addr add ", ip, v4() ? "/32 dev lo\n" : "/128 dev lo nodad\n"));
  world_.node().Ip(v4() ? absl::StrCat("route add ", ip, "/32 via 203.0.113.11 dev pod0 onlink\n")
                        : absl::StrCat("route add ", ip, "/128 via 2001:db8:113::11 dev pod0\n"));
  support::NameServer outside(world_.pod(0), "routed");
  outside.Listen(Protocol::kTcp, {support::Ip(ip), 80});
  ASSERT_EQ(Ask(ip).name, "routed");
  const auto service_cidr = [&](const std::string& cidr) {
    return absl::StrCat(
        "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {name: kubernetes}\nspec: {cidrs: [\"", cidr,
        "\"]}\n");
  };
  const std::string around = v4() ? "198.51.100.0/24" : "2001:db8:96::/112";
  const std::string elsewhere = v4() ? "198.51.101.0/24" : "2001:db8:97::/112";
  support::WriteFile(dir_.File("cidr.yaml"), service_cidr(around));
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();

  EXPECT_EQ(Ask(ip).outcome, Outcome::kTimeout) << Ask(ip).Text();

  // When the range moves away, then the address is anybody's.
  size_t mark = agent.Mark();
  support::ReplaceFile(dir_.File("cidr.yaml"), service_cidr(elsewhere));
  ASSERT_TRUE(agent.WaitForEvent("reconciled", absl::Seconds(5), mark)) << agent.log();
  EXPECT_EQ(Ask(ip).name, "routed") << agent.log();

  // When another object brings it back, then it is nobody's again.
  mark = agent.Mark();
  support::WriteFile(dir_.File("more.yaml"), absl::StrReplaceAll(service_cidr(around), {{"kubernetes", "more"}}));
  ASSERT_TRUE(agent.WaitForEvent("reconciled", absl::Seconds(5), mark)) << agent.log();
  EXPECT_EQ(Ask(ip).outcome, Outcome::kTimeout);
  EXPECT_EQ(support::RunPointsman(world_.node(), {"diff", "--manifests", dir_.path()}).exit_code, 0);
}

TEST_P(DeficienciesTest, ASliceThatChangesItsServiceLeavesNothingBehind) {
  const std::string first = v4() ? "198.51.100.1" : "2001:db8:96::1";
  const std::string second = v4() ? "198.51.100.2" : "2001:db8:96::2";
  const std::string one = support::Manifest{.name = "shop/one", .ip = first, .endpoints = {Pod(0)}}.Yaml();
  const std::string two = support::Manifest{.name = "shop/two", .ip = second, .endpoints = {}}.Yaml();
  support::WriteFile(dir_.File("one.yaml"), one);
  support::WriteFile(dir_.File("two.yaml"), two);
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  ASSERT_EQ(Ask(first).name, "pod-0") << agent.log();
  ASSERT_EQ(Ask(second).outcome, Outcome::kRefused);

  const std::string label = "kubernetes.io/service-name: ";
  ASSERT_THAT(one, HasSubstr(absl::StrCat(label, "one")));
  const size_t mark = agent.Mark();
  support::ReplaceFile(dir_.File("one.yaml"),
                       absl::StrReplaceAll(one, {{absl::StrCat(label, "one"), absl::StrCat(label, "two")}}));
  ASSERT_TRUE(agent.WaitForEvent("reconciled", absl::Seconds(5), mark)) << agent.log();

  EXPECT_EQ(Ask(second).name, "pod-0");
  EXPECT_EQ(Ask(first).outcome, Outcome::kRefused) << Ask(first).Text();
  const auto observed = world_.node().Call([] { return (*OpenNftDataplane())->Observe(); });
  ASSERT_TRUE(observed.ok()) << observed.status();
  const nft::Set& endpoints = observed->ruleset.tables.at(GetParam()).sets.at("endpoints");
  ASSERT_EQ(endpoints.elements.size(), 1U);
  const IpAddr owner = support::Ip(second);
  const nft::Bytes& key = endpoints.elements.begin()->first;
  EXPECT_TRUE(std::equal(owner.bytes().begin(), owner.bytes().end(), key.begin()));
}

// A dual-stack load balancer with source ranges of one family.
class SourceRangesTest : public DeficienciesTest {
 protected:
  // The family of the ranges is that of the row.
  SourceRangesTest() {
    std::string slices;
    for (const Family family : kFamilies) {
      absl::StrAppend(
          &slices, "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {namespace: shop, name: web-",
          family == Family::kIpv4 ? "4" : "6",
          ", labels: {kubernetes.io/service-name: web}}\naddressType: ", FormatFamily(family),
          "\nports: [{port: 8080}]\nendpoints: [{addresses: [\"", FormatIp(world_.pod_ip(0, family)), "\"]}]\n");
    }
    support::WriteFile(dir_.File("web.yaml"), absl::StrCat(R"(apiVersion: v1
kind: Service
metadata: {namespace: shop, name: web}
spec:
  type: LoadBalancer
  clusterIPs: [198.51.100.80, "2001:db8:96::80"]
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: RequireDualStack
  allocateLoadBalancerNodePorts: false
  loadBalancerSourceRanges: [)",
                                                           v4() ? "192.0.2.0/28" : "\"2001:db8::/64\"", R"(]
  ports: [{port: 80}]
status: {loadBalancer: {ingress: [{ip: 198.51.100.7}, {ip: "2001:db8:7::7"}]}}
)",
                                                           slices));
  }

  std::string ranged_vip() const { return v4() ? "198.51.100.7" : "2001:db8:7::7"; }
  std::string other_vip() const { return v4() ? "2001:db8:7::7" : "198.51.100.7"; }
  std::string other_cluster_ip() const { return v4() ? "2001:db8:96::80" : "198.51.100.80"; }
};

INSTANTIATE_TEST_SUITE_P(, SourceRangesTest, ::testing::ValuesIn(kFamilies),
                         [](const auto& row) { return std::string(FormatFamily(row.param)); });

TEST_P(SourceRangesTest, OfOneFamilyLeaveTheOthersAddressOpenAndThatIsSaid) {
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();

  EXPECT_EQ(Ask(ranged_vip()).name, "pod-0") << "the client is in the range";
  EXPECT_EQ(Ask(other_vip()).name, "pod-0");
  EXPECT_THAT(Complaints(agent), ElementsAre(AllOf(HasSubstr("WARNING"), HasSubstr("Service shop/web: "),
                                                   HasSubstr("loadBalancerSourceRanges"),
                                                   HasSubstr(FormatFamily(v4() ? Family::kIpv6 : Family::kIpv4)))))
      << agent.log();
}

TEST_P(SourceRangesTest, OfOneFamilyCloseTheOthersAddressIfAskedTo) {
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path(), "--pointsman.close-unranged-vips"});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();

  EXPECT_EQ(Ask(ranged_vip()).name, "pod-0");
  EXPECT_EQ(Ask(other_vip()).outcome, Outcome::kTimeout) << Ask(other_vip()).Text();
  EXPECT_EQ(Ask(other_cluster_ip()).name, "pod-0") << "ranges are of load-balancer addresses alone";
}

TEST_P(SourceRangesTest, KeepEverybodyElseOut) {
  // Another client, outside the range.
  world_.client().Ip(
      v4() ? "addr del 192.0.2.2/24 dev eth0\naddr add 192.0.2.99/24 dev eth0\nroute add 0.0.0.0/0 via 192.0.2.1\n"
           : "addr add 2001:db8:1:1::1/128 dev lo nodad\n"
             "route replace ::/0 via 2001:db8::1 dev eth0 src 2001:db8:1:1::1\n");
  world_.node().Ip(v4() ? "" : "route add 2001:db8:1:1::1/128 via 2001:db8::2 dev client\n");
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();

  EXPECT_EQ(Ask(v4() ? "198.51.100.80" : "2001:db8:96::80").name, "pod-0") << "the client can be answered";
  EXPECT_EQ(Ask(ranged_vip()).outcome, Outcome::kTimeout) << Ask(ranged_vip()).Text();
}

TEST_P(DeficienciesTest, APortOfASliceWithoutANumberIsNamedAndCostsNoOther) {
  const std::string ip = v4() ? "198.51.100.80" : "2001:db8:96::80";
  support::WriteFile(
      dir_.File("web.yaml"),
      absl::StrCat(
          "apiVersion: v1\nkind: Service\nmetadata: {namespace: shop, name: web}\nspec:\n  clusterIPs: [\"", ip,
          "\"]\n  ports: [{name: http, port: 80}, {name: admin, port: 81}]\n---\n",
          "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {namespace: shop, name: web-1, labels: "
          "{kubernetes.io/service-name: web}}\naddressType: ",
          FormatFamily(GetParam()), "\nports: [{name: http, port: 8080}, {name: admin}]\nendpoints: [{addresses: [\"",
          Pod(1), "\"]}]\n"));
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();

  EXPECT_EQ(Ask(ip, 80).name, "pod-1");
  EXPECT_EQ(Ask(ip, 81).outcome, Outcome::kRefused);
  EXPECT_THAT(Complaints(agent), ElementsAre(AllOf(HasSubstr("EndpointSlice shop/web-1: "), HasSubstr("ports[1]"))))
      << agent.log();
}

}  // namespace
}  // namespace pointsman
