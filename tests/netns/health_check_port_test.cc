// SPDX-License-Identifier: Apache-2.0
//
// What load balancers learn of a Service with externalTrafficPolicy Local when they ask this node.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/netns/serving_world.h"

namespace pointsman {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr absl::Duration kSoon = absl::Seconds(10);
constexpr uint16_t kPort = 30201;
// Health checks listen where NodePorts do.
constexpr char kNodeAddresses[] = "nodePortAddresses: [\"192.0.2.0/24\"]\n";

class HealthCheckPortTest : public ServingWorld {
 protected:
  static support::Manifest Web() {
    return {.name = "shop/web", .ip = "198.51.100.80", .node_port = 30080, .endpoints = {}};
  }
  static kube::Service Balanced() {
    kube::Service service = ServiceOf(Web());
    service.mutable_spec()->set_type("LoadBalancer");
    service.mutable_spec()->set_external_traffic_policy("Local");
    service.mutable_spec()->set_health_check_node_port(kPort);
    return service;
  }
  // So many endpoints on this node, and one elsewhere.
  static kube::EndpointSlice Endpoints(int local) {
    support::Manifest web = Web();
    for (int i = 0; i <= local; ++i) web.endpoints.push_back(absl::StrCat("203.0.113.", 11 + i));
    kube::EndpointSlice slice = SliceOf(web);
    for (int i = 0; i < local; ++i) slice.mutable_endpoints(i)->set_node_name(kNodeName);
    slice.mutable_endpoints(local)->set_node_name("node-b");
    return slice;
  }

  serve::Reply Check(const char* address = "192.0.2.1") { return Get(kPort, "/", address); }
  bool Says(int local) {
    return support::Eventually(kSoon, [&] {
      const serve::Reply reply = Check();
      return reply.status != 0 && Parsed(reply)["localEndpoints"] == local;
    });
  }
};

TEST_F(HealthCheckPortTest, TellsHowManyEndpointsAreHereAsTheyComeAndGo) {
  const std::unique_ptr<support::FakeApi> api = StartApi();
  api->Put(NodeAt({"192.0.2.1"}));
  api->Put(Balanced());
  api->Put(Endpoints(2));
  const auto agent = Start(Configure(*api, kNodeAddresses));
  ASSERT_TRUE(agent->WaitReady()) << agent->log();

  for (const int local : {2, 0, 1, 0, 3}) {
    api->Put(Endpoints(local));
    ASSERT_TRUE(Says(local)) << local << "\n" << agent->log();
    const serve::Reply reply = serve::Ask(world_.client(), serve::At("192.0.2.1", kPort), "GET", "/any/path");
    EXPECT_EQ(reply.status, local > 0 ? 200 : 503);
    EXPECT_EQ(reply.Header("x-load-balancing-endpoint-weight"), absl::StrCat(local));
    EXPECT_EQ(Parsed(reply), (nlohmann::json{{"service", {{"namespace", "shop"}, {"name", "web"}}},
                                             {"localEndpoints", local},
                                             {"serviceProxyHealthy", true}}));
  }
  const std::string metrics = Metrics();
  EXPECT_EQ(Sample(metrics, "kubeproxy_sync_proxy_rules_no_local_endpoints_total", "external"), 0);
  api->Put(Endpoints(0));
  EXPECT_TRUE(support::Eventually(kSoon, [&] {
    return Sample(Metrics(), "kubeproxy_sync_proxy_rules_no_local_endpoints_total", "external") == 1;
  }));

  // When the Service is gone, or has no such port any more, then nobody listens.
  api->Delete("services", "shop", "web");
  EXPECT_TRUE(support::Eventually(kSoon, [&] { return Check().status == 0; })) << agent->log();
  EXPECT_THAT(Listening(kPort), IsEmpty());
  api->Put(Balanced());
  EXPECT_TRUE(Says(0)) << "and it comes back";
  kube::Service everywhere = Balanced();
  everywhere.mutable_spec()->set_external_traffic_policy("Cluster");
  everywhere.mutable_spec()->set_health_check_node_port(0);
  api->Put(everywhere);
  EXPECT_TRUE(support::Eventually(kSoon, [&] { return Listening(kPort).empty(); })) << agent->log();
}

TEST_F(HealthCheckPortTest, ListensWhereNodePortsDoAndFollowsTheAddresses) {
  const std::unique_ptr<support::FakeApi> api = StartApi();
  api->Put(NodeAt({"192.0.2.1"}));
  api->Put(Balanced());
  api->Put(Endpoints(1));
  node().Ip("addr add 198.51.100.1/32 dev client\n");
  const auto agent = Start(Configure(*api, kNodeAddresses));
  ASSERT_TRUE(agent->WaitReady()) << agent->log();
  ASSERT_TRUE(Says(1)) << agent->log();
  EXPECT_THAT(Listening(kPort), UnorderedElementsAre("192.0.2.1:30201")) << "not at an address of another network";

  node().Ip("addr add 192.0.2.77/24 dev client\n");
  EXPECT_TRUE(support::Eventually(kSoon, [&] { return Check("192.0.2.77").status == 200; })) << agent->log();
  EXPECT_THAT(Listening(kPort), UnorderedElementsAre("192.0.2.1:30201", "192.0.2.77:30201"));

  node().Ip("addr del 192.0.2.77/24 dev client\n");
  EXPECT_TRUE(support::Eventually(kSoon, [&] { return Listening(kPort).size() == 1; })) << agent->log();
  EXPECT_EQ(Check().status, 200);
}

TEST_F(HealthCheckPortTest, WithoutAWordAboutAddressesItIsAsKubeProxysModeHasIt) {
  const std::unique_ptr<support::FakeApi> api = StartApi();
  api->Put(NodeAt({"192.0.2.1"}));
  api->Put(Balanced());
  api->Put(Endpoints(1));
  for (const auto& [mode, listens] : {std::pair("iptables", "0.0.0.0:30201"), {"nftables", "192.0.2.1:30201"}}) {
    const auto agent = Start(Configure(*api, "", mode));
    ASSERT_TRUE(agent->WaitReady()) << agent->log();
    ASSERT_TRUE(Says(1)) << agent->log();
    EXPECT_THAT(Listening(kPort), UnorderedElementsAre(listens)) << mode;
  }
}

TEST_F(HealthCheckPortTest, APortThatIsTakenIsToldOnceAndServedSoonAfterItIsFree) {
  const std::unique_ptr<support::FakeApi> api = StartApi();
  api->Put(NodeAt({"192.0.2.1"}));
  api->Put(Balanced());
  api->Put(Endpoints(1));
  const int taken = node().Socket(AF_INET, SOCK_STREAM);
  sockaddr_in at = {};
  at.sin_family = AF_INET;
  at.sin_port = htons(kPort);
  ASSERT_EQ(bind(taken, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  ASSERT_EQ(listen(taken, 1), 0);
  const auto agent = Start(Configure(*api, kNodeAddresses));
  ASSERT_TRUE(agent->WaitReady()) << "the rules do not wait for it\n" << agent->log();
  ASSERT_TRUE(agent->WaitForEvent("health_check_port", kSoon)) << agent->log();

  absl::SleepFor(absl::Seconds(3));  // some attempts
  close(taken);
  EXPECT_TRUE(Says(1)) << agent->log();

  const std::vector<support::LogLine> lines = agent->Events("health_check_port");
  ASSERT_THAT(lines, SizeIs(1)) << agent->log();
  EXPECT_EQ(lines[0].fields.at("service"), "shop/web");
  EXPECT_EQ(lines[0].fields.at("port"), "30201/IPv4");
  EXPECT_EQ(Check().status, 200);
}

}  // namespace
}  // namespace pointsman
