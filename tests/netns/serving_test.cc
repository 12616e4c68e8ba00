// SPDX-License-Identifier: Apache-2.0
//
// Health, metrics and state of a node over HTTP, as probes and scrapers meet them.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/netns/serving_world.h"

namespace pointsman {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Duration kSoon = absl::Seconds(10);
constexpr char kToBeDeleted[] = "ToBeDeletedByClusterAutoscaler";

class ServingTest : public ServingWorld {
 protected:
  static support::Manifest Web(const std::vector<std::string>& endpoints = {"203.0.113.11"}) {
    return {.name = "shop/web", .ip = "198.51.100.80", .endpoints = endpoints};
  }
};

// A socket of another process's, as far as the agent can tell, that listens on loopback.
class Taken {
 public:
  Taken(support::NetNs& ns, uint16_t port) : fd_(ns.Socket(AF_INET, SOCK_STREAM)) {
    sockaddr_in at = {};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 || listen(fd_, 1) != 0) {
      support::FatalErrno(absl::StrCat("listen on port ", port));
    }
  }
  ~Taken() { close(fd_); }
  Taken(const Taken&) = delete;
  Taken& operator=(const Taken&) = delete;

 private:
  const int fd_;
};

// Somebody who has the agent's IPv4 table in the hand: the kernel lets nobody else change it, as long as this lives.
class Usurper {
 public:
  explicit Usurper(support::NetNs& ns, const std::string& fifo)
      : fd_(Fifo(fifo)), nft_(ns, {"sh", "-c", "exec nft -i < \"$0\"", fifo}) {
    Say("delete table ip pointsman\n");
    Say("add table ip pointsman { flags owner; }\n");
  }
  ~Usurper() { close(fd_); }
  Usurper(const Usurper&) = delete;
  Usurper& operator=(const Usurper&) = delete;

 private:
  static int Fifo(const std::string& path) {
    if (mkfifo(path.c_str(), 0600) != 0) support::FatalErrno("mkfifo " + path);
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) support::FatalErrno("open " + path);
    return fd;
  }
  void Say(const std::string& line) {
    if (write(fd_, line.data(), line.size()) < 0) support::FatalErrno("tell nft");
  }

  const int fd_;
  support::Process nft_;
};

TEST_F(ServingTest, HealthzFollowsTheNodeAndLivezDoesNot) {
  // Given a cluster that does not know this node yet.
  const std::unique_ptr<support::FakeApi> api = StartApi();
  Put(*api, Web());
  const auto agent = Start(Configure(*api));

  const auto expect = [&](bool eligible, const char* why) {
    ASSERT_TRUE(Becomes("/healthz", eligible ? 200 : 503)) << why << "\n" << agent->log();
    const nlohmann::json healthz = Parsed(Health("/healthz"));
    EXPECT_EQ(healthz["nodeEligible"], eligible) << why;
    EXPECT_EQ(healthz["healthy"], true) << why;
    EXPECT_EQ(healthz["status"]["IPv4"]["healthy"], true) << why;
    EXPECT_EQ(healthz["status"]["IPv6"]["healthy"], true) << why;
    const serve::Reply livez = Health("/livez");
    EXPECT_EQ(livez.status, 200) << why;
    EXPECT_FALSE(Parsed(livez).contains("nodeEligible"));
  };
  expect(false, "not seen");

  kube::Node registered = NodeAt({"192.0.2.1", "2001:db8::1"});
  api->Put(registered);
  expect(true, "registered");
  EXPECT_EQ(serve::Ask(world_.client(), serve::At("192.0.2.1", kHealthPort), "GET", "/healthz").status, 200)
      << "load balancers ask from outside";

  kube::Node tainted = registered;
  tainted.mutable_spec()->add_taints()->set_key("node.kubernetes.io/unschedulable");
  tainted.mutable_spec()->add_taints()->set_key(kToBeDeleted);
  api->Put(tainted);
  expect(false, "tainted");
  api->Put(registered);
  expect(true, "no more");

  kube::Node deleting = registered;
  deleting.mutable_metadata()->mutable_deletion_timestamp()->set_seconds(1777629600);
  api->Put(deleting);
  expect(false, "deleting");
}

TEST_F(ServingTest, ReadyzWaitsForTheFirstRules) {
  const std::unique_ptr<support::FakeApi> api = StartApi();
  api->Put(NodeAt({"192.0.2.1"}));
  Put(*api, Web());
  api->Forbid("endpointslices", {"list", "watch"});
  const auto agent = Start(Configure(*api));
  ASSERT_TRUE(agent->WaitForEvent("serving", kSoon)) << agent->log();

  ASSERT_TRUE(Becomes("/readyz", 503)) << agent->log();
  EXPECT_EQ(Health("/livez").status, 200) << "who waits for others is alive";
  EXPECT_EQ(Parsed(Get(kMetricsPort, "/debug/state"))["ready"], false);
  EXPECT_EQ(Sample(Metrics(), "pointsman_ready"), 0);

  api->Permit("endpointslices");
  ASSERT_TRUE(Becomes("/readyz", 200, absl::Seconds(30))) << agent->log();
  EXPECT_THAT(Nft({"list", "tables"}), HasSubstr("table ip pointsman")) << "and there they are";
  EXPECT_EQ(Parsed(Get(kMetricsPort, "/debug/state"))["ready"], true);
  EXPECT_EQ(Sample(Metrics(), "pointsman_ready"), 1);
}

TEST_F(ServingTest, LivezFailsWhileTheKernelRefusesForTooLongAndRecovers) {
  // Given a node that is late after two seconds.
  const std::unique_ptr<support::FakeApi> api = StartApi();
  api->Put(NodeAt({"192.0.2.1"}));
  Put(*api, Web());
  const auto agent = Start(Configure(*api, "nftables:\n  syncPeriod: 1s\n"));
  ASSERT_TRUE(agent->WaitReady()) << agent->log();
  ASSERT_TRUE(Becomes("/healthz", 200)) << agent->log();
  EXPECT_EQ(Parsed(Get(kMetricsPort, "/debug/state"))["pendingReason"], "");
  constexpr char kPasses[] = "kubeproxy_sync_proxy_rules_duration_seconds_count";
  const double passes = Sample(Metrics(), kPasses, "IPv4");

  {
    // When somebody else holds the table, then the node is late, and says why.
    const absl::Time begin = absl::Now();
    const Usurper usurper(node(), dir_.File("nft"));
    ASSERT_TRUE(Becomes("/livez", 503)) << agent->log();
    EXPECT_GT(absl::Now() - begin, absl::Milliseconds(1900)) << "not before it is late";
    const nlohmann::json healthz = Parsed(Health("/healthz"));
    EXPECT_EQ(healthz["healthy"], false);
    EXPECT_EQ(healthz["nodeEligible"], true);
    EXPECT_EQ(healthz["status"]["IPv4"]["healthy"], false);
    const nlohmann::json state = Parsed(Get(kMetricsPort, "/debug/state"));
    EXPECT_THAT(state["pendingReason"].get<std::string>(), ::testing::StartsWith("commit: "));
    EXPECT_GT(state["families"]["IPv4"]["pending"]["seconds"].get<double>(), 1.9);
    EXPECT_GE(state["failures"], 1);
    EXPECT_EQ(Health("/readyz").status, 200) << "it was once";
    const std::string metrics = Metrics();
    const double failed = Sample(metrics, "kubeproxy_sync_proxy_rules_nftables_sync_failures_total", "IPv4");
    EXPECT_GE(failed, 1);
    EXPECT_GE(Sample(metrics, kPasses, "IPv4") - passes, failed) << "those that fail take time as well";
    EXPECT_GE(Sample(Metrics(), "kubeproxy_proxy_livez_total", "code=\"503\""), 1);
  }

  // When it is let go, then all is well again.
  ASSERT_TRUE(Becomes("/livez", 200, absl::Seconds(30))) << agent->log();
  EXPECT_EQ(Health("/healthz").status, 200);
  const nlohmann::json state = Parsed(Get(kMetricsPort, "/debug/state"));
  EXPECT_EQ(state["pendingReason"], "");
  EXPECT_EQ(state["families"]["IPv4"]["pending"], nullptr);
  EXPECT_EQ(state["failures"], 0);
  EXPECT_GE(Sample(Metrics(), "pointsman_drift_total"), 1);
  EXPECT_EQ(Pointsman("diff", {"--config", dir_.File("config.conf")}).exit_code, 0);
}

TEST_F(ServingTest, MetricsMoveWithAChange) {
  const std::unique_ptr<support::FakeApi> api = StartApi();
  api->Put(NodeAt({"192.0.2.1"}));
  Put(*api, Web());
  const auto agent = Start(Configure(*api));
  ASSERT_TRUE(agent->WaitReady()) << agent->log();
  ASSERT_TRUE(Becomes("/healthz", 200)) << agent->log();
  // What the source tells of itself may be a second old.
  const auto held = [&](const std::string& kind, int count) {
    return support::Eventually(
        kSoon, [&] { return Sample(Metrics(), "pointsman_objects", absl::StrCat("\"", kind, "\"")) == count; });
  };
  for (const char* kind : {"Service", "EndpointSlice", "Node"}) EXPECT_TRUE(held(kind, 1)) << kind;
  const std::string before = Metrics();
  EXPECT_GE(Sample(before, "rest_client_requests_total", "code=\"200\""), 3) << before;
  EXPECT_GE(Sample(before, "kubeproxy_sync_full_proxy_rules_duration_seconds_count"), 1);
  EXPECT_EQ(Sample(before, "pointsman_services"), 1);

  const support::Manifest api_service = {.name = "shop/api", .ip = "198.51.100.81", .endpoints = {"203.0.113.12"}};
  Put(*api, api_service);
  ASSERT_TRUE(support::Eventually(kSoon, [&] { return Sample(Metrics(), "pointsman_services") == 2; })) << agent->log();

  const std::string after = Metrics();
  for (const char* moves :
       {"kubeproxy_sync_proxy_rules_endpoint_changes_total", "kubeproxy_sync_proxy_rules_service_changes_total",
        "kubeproxy_sync_proxy_rules_duration_seconds_count",
        "kubeproxy_sync_partial_proxy_rules_duration_seconds_count",
        "kubeproxy_sync_proxy_rules_last_timestamp_seconds", "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
        "pointsman_transactions_total", "pointsman_ops_total", "pointsman_messages_total", "pointsman_bytes_total",
        "pointsman_ruleset_generation"}) {
    EXPECT_GT(Sample(after, moves), Sample(before, moves)) << moves;
    EXPECT_GE(Sample(before, moves), 0) << moves;
  }
  for (const char* stays :
       {"kubeproxy_sync_full_proxy_rules_duration_seconds_count", "pointsman_drift_total",
        "pointsman_generation_conflicts_total", "kubeproxy_sync_proxy_rules_nftables_sync_failures_total"}) {
    EXPECT_EQ(Sample(after, stays), Sample(before, stays)) << stays;
  }
  for (const char* none : {"kubeproxy_sync_proxy_rules_endpoint_changes_pending",
                           "kubeproxy_sync_proxy_rules_service_changes_pending", "pointsman_failures"}) {
    EXPECT_EQ(Sample(after, none), 0) << none;
  }
  for (const char* kind : {"Service", "EndpointSlice"}) EXPECT_TRUE(held(kind, 2)) << kind;
}

TEST_F(ServingTest, SaysWhatItIsAndHowItIsConfigured) {
  const std::unique_ptr<support::FakeApi> api = StartApi();
  api->Put(NodeAt({"192.0.2.1"}));
  support::Manifest bad = Web();
  kube::Service service = ServiceOf(bad);
  service.mutable_spec()->add_external_ips("x");
  api->Put(service);
  api->Put(SliceOf(bad));
  const auto agent = Start(Configure(*api, "clusterCIDR: 10.244.0.0/16\n"));
  ASSERT_TRUE(agent->WaitReady()) << agent->log();

  EXPECT_EQ(Get(kMetricsPort, "/proxyMode").body, "nftables");
  EXPECT_EQ(Parsed(Get(kMetricsPort, "/configz"))["kubeproxy.config.k8s.io"]["clusterCIDR"], "10.244.0.0/16");
  EXPECT_EQ(Get(kMetricsPort, "/healthz").body, "ok");
  nlohmann::json state;
  EXPECT_TRUE(support::Eventually(kSoon, [&] {
    state = Parsed(Get(kMetricsPort, "/debug/state"));
    return state["source"]["connected"] == true;
  })) << state;
  EXPECT_EQ(state["source"]["server"], api->url());
  EXPECT_EQ(state["services"], 1);
  EXPECT_EQ(state["node"]["seen"], true);
  EXPECT_THAT(state["diagnostics"]["shop/web"][0]["text"].get<std::string>(), HasSubstr("spec.externalIPs[0]"));
  EXPECT_THAT(Listening(kMetricsPort), ElementsAre("127.0.0.1:10249")) << "for this node alone";
  EXPECT_EQ(agent->Terminate().exit_code, 0);
}

TEST_F(ServingTest, ATakenAddressIsToldOnceAndServedOnceItIsFree) {
  const std::unique_ptr<support::FakeApi> api = StartApi();
  api->Put(NodeAt({"192.0.2.1"}));
  auto taken = std::make_unique<Taken>(node(), kMetricsPort);
  const auto agent = Start(Configure(*api));
  ASSERT_TRUE(agent->WaitReady()) << agent->log();
  ASSERT_TRUE(Becomes("/healthz", 200)) << "the other server minds its own business" << agent->log();

  absl::SleepFor(absl::Seconds(6));  // longer than it waits between two attempts
  taken.reset();
  EXPECT_TRUE(support::Eventually(kSoon, [&] { return Get(kMetricsPort, "/proxyMode").status == 200; }));

  std::vector<std::string> levels;
  for (const support::LogLine& line : agent->Events("serving")) {
    if (line.fields.at("what") == "metrics") levels.push_back(line.level);
  }
  EXPECT_THAT(levels, SizeIs(2)) << agent->log();
  EXPECT_NE(levels.front(), levels.back()) << "an error, then good news";
}

TEST_F(ServingTest, ATakenAddressEndsTheStartIfTheConfigurationInsists) {
  const std::unique_ptr<support::FakeApi> api = StartApi();
  api->Put(NodeAt({"192.0.2.1"}));
  const Taken taken(node(), kMetricsPort);

  const support::ProcessResult run = support::RunPointsman(
      node(), {"run", "--config", Configure(*api, "bindAddressHardFail: true\n")}, {.timeout = absl::Seconds(20)});

  EXPECT_FALSE(run.timed_out) << run.err;
  EXPECT_EQ(run.exit_code, 1) << run.err;
  EXPECT_THAT(run.err, HasSubstr("127.0.0.1:10249"));
  EXPECT_THAT(run.err, HasSubstr("bindAddressHardFail"));

  // Also while there is nothing else to wake up for.
  const std::string configuration = Configure(*api, "bindAddressHardFail: true\n");
  api->Stop();
  const support::ProcessResult alone =
      support::RunPointsman(node(), {"run", "--config", configuration}, {.timeout = absl::Seconds(20)});
  EXPECT_FALSE(alone.timed_out) << alone.err;
  EXPECT_EQ(alone.exit_code, 1) << alone.err;
}

TEST_F(ServingTest, BesideManifestsOnlyWhatIsAskedForListens) {
  support::WriteFile(dir_.File("web.yaml"), Web().Yaml());
  {
    support::AgentProcess agent(node(), {"--manifests", dir_.File("web.yaml"), "--hostname-override", kNodeName});
    ASSERT_TRUE(agent.WaitReady()) << agent.log();
    absl::SleepFor(absl::Milliseconds(500));
    EXPECT_THAT(Listening(0), IsEmpty());
    EXPECT_THAT(agent.Events("serving"), IsEmpty());
  }
  support::AgentProcess agent(node(), {"--manifests", dir_.File("web.yaml"), "--hostname-override", kNodeName,
                                       "--healthz-bind-address", "127.0.0.1:10256"});
  ASSERT_TRUE(agent.WaitForEvent("serving", kSoon)) << agent.log();
  EXPECT_THAT(Listening(0), ElementsAre("127.0.0.1:10256"));
  EXPECT_TRUE(Becomes("/healthz", 200)) << "who needs no Node is eligible without one";
}

}  // namespace
}  // namespace pointsman
