// SPDX-License-Identifier: Apache-2.0
//
// The binary with an API server as its source, from the kubeconfig to the packets.
#include <signal.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/netns/kube_world.h"
#include "tests/support/traffic.h"

namespace pointsman {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr absl::Duration kSoon = absl::Seconds(10);

class KubeTest : public KubeWorld {
 protected:
  std::string Ruleset() { return Nft({"list", "ruleset"}); }
  std::string Endpoints() { return Nft({"list", "map", "ip", "pointsman", "endpoints"}); }
  bool HasFrontend(const std::string& address, int port) {
    return support::RunProcess(node(), {"nft", "get", "element", "ip", "pointsman", "frontends",
                                        absl::StrCat("{ ", address, " . tcp . ", port, " }")})
               .exit_code == 0;
  }
  bool Same(const std::vector<std::string>& args) { return Pointsman("diff", args).exit_code == 0; }
  std::set<std::string> Answers(const SocketAddr& at, int times) {
    std::set<std::string> names;
    for (int i = 0; i < times; ++i) {
      const support::Reply reply = support::Ask(world_.client(), Protocol::kTcp, at);
      names.insert(reply.outcome == support::Outcome::kAnswered ? reply.name : reply.Text());
    }
    return names;
  }
  // How often the agent says in its log that it waits for `what`.
  static bool WaitsFor(support::AgentProcess& agent, const std::string& what) {
    for (const support::LogLine& line : agent.Events("waiting_for")) {
      const auto field = line.fields.find("what");
      if (field != line.fields.end() && absl::StrContains(field->second, what)) return true;
    }
    return false;
  }
  static support::Manifest Numbered(int i) {
    return {.name = absl::StrCat("load/s", i),
            .ip = absl::StrCat("198.19.0.", i + 1),
            .endpoints = {absl::StrCat("198.18.1.", i + 1), absl::StrCat("198.18.2.", i + 1)}};
  }
};

TEST_F(KubeTest, ConnectionsReachTheEndpointsTheServerKnows) {
  // Given a Service of each family, and pods that serve.
  const std::unique_ptr<support::FakeApi> api = StartApi();
  api->Put(NodeAt({"192.0.2.1", "2001:db8::1"}));
  std::vector<std::unique_ptr<support::NameServer>> servers;
  for (int i = 0; i < world_.pods(); ++i) {
    servers.push_back(std::make_unique<support::NameServer>(world_.pod(i), absl::StrCat("pod-", i)));
    for (const Family family : kFamilies) servers.back()->Listen(Protocol::kTcp, {world_.pod_ip(i, family), 8080});
  }
  const auto web = [&](Family family, int pods) {
    support::Manifest manifest{.name = family == Family::kIpv4 ? "shop/web" : "shop/web6",
                               .ip = family == Family::kIpv4 ? "198.51.100.80" : "2001:db8:96::80",
                               .endpoints = {}};
    for (int i = 0; i < pods; ++i) manifest.endpoints.push_back(FormatIp(world_.pod_ip(i, family)));
    return manifest;
  };
  for (const Family family : kFamilies) Put(*api, web(family, 2));

  // When the agent has come up, then both pods answer at the ClusterIP.
  const std::vector<std::string> args = With(Config("config", *api));
  support::AgentProcess agent(node(), args);
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  for (const Family family : kFamilies) {
    EXPECT_THAT(Answers({support::Ip(web(family, 0).ip), 80}, 40), UnorderedElementsAre("pod-0", "pod-1"));
  }
  const support::ProcessResult diff = Pointsman("diff", args);
  EXPECT_EQ(diff.exit_code, 0) << diff.out << diff.err;
  ASSERT_THAT(agent.Events("api_connected"), SizeIs(1)) << agent.log();
  EXPECT_EQ(agent.Events("api_connected")[0].fields["server"], api->url());
  ASSERT_THAT(agent.Events("api_synced"), SizeIs(1)) << agent.log();
  EXPECT_EQ(agent.Events("api_synced")[0].Number("services"), 2) << agent.log();
  EXPECT_EQ(agent.Events("api_synced")[0].Number("endpointslices"), 2) << agent.log();

  // When an endpoint goes, then the other alone answers; when the Service goes, then it is gone.
  for (const Family family : kFamilies) api->Put(SliceOf(web(family, 1)));
  for (const Family family : kFamilies) {
    EXPECT_TRUE(support::Eventually(absl::Seconds(2), [&] {
      return Answers({support::Ip(web(family, 0).ip), 80}, 20) == std::set<std::string>{"pod-0"};
    })) << agent.log();
  }
  api->Delete("services", "shop", "web");
  EXPECT_TRUE(support::Eventually(absl::Seconds(2), [&] { return !HasFrontend("198.51.100.80", 80); })) << agent.log();
  EXPECT_TRUE(Same(args));
  EXPECT_THAT(agent.Events("api_error"), IsEmpty()) << agent.log();
}

TEST_F(KubeTest, NothingIsWrittenBeforeBothKindsAreKnown) {
  const std::unique_ptr<support::FakeApi> api = StartApi();
  api->Put(NodeAt({"192.0.2.1"}));
  Put(*api, Numbered(0));
  api->Forbid("endpointslices", {"list", "watch"});
  const std::vector<std::string> args = With(Config("config", *api));
  support::AgentProcess agent(node(), args);

  absl::SleepFor(absl::Seconds(3));
  EXPECT_EQ(Ruleset(), "");
  EXPECT_THAT(agent.Events("ready"), IsEmpty());
  EXPECT_TRUE(WaitsFor(agent, "endpointslices")) << agent.log();
  const std::vector<support::LogLine> errors = agent.Events("api_error");
  ASSERT_THAT(errors, SizeIs(1)) << agent.log();
  EXPECT_THAT(errors[0].text, AllOf(HasSubstr("list"), HasSubstr("watch"), HasSubstr("endpointslices.discovery.k8s.io"),
                                    HasSubstr("kube-system/kube-proxy")));

  // The commands that read once say the same, and end.
  for (const char* command : {"dump", "diff"}) {
    const support::ProcessResult once = Pointsman(command, args);
    EXPECT_EQ(once.exit_code, 2) << command;
    EXPECT_EQ(once.out, "");
    EXPECT_THAT(once.err, AllOf(HasSubstr("endpointslices.discovery.k8s.io"), HasSubstr("kube-system/kube-proxy")));
  }

  api->Permit("endpointslices");
  EXPECT_TRUE(agent.WaitReady()) << agent.log();
  EXPECT_TRUE(Same(args));
  EXPECT_TRUE(HasFrontend("198.19.0.1", 80));
}

TEST_F(KubeTest, CertificateOfAnotherAuthorityIsToldInOneLine) {
  const std::unique_ptr<support::FakeApi> api = StartApi();
  api->Put(NodeAt({"192.0.2.1"}));
  const std::string config = dir_.File("config");
  support::WriteFile(config,
                     support::Kubeconfig(api->url(), support::CertificateAuthority("somebody else's CA").pem()));
  support::AgentProcess agent(node(), With(config));

  ASSERT_TRUE(agent.WaitForEvent("api_error", kSoon)) << agent.log();
  absl::SleepFor(absl::Seconds(3));
  const std::vector<support::LogLine> errors = agent.Events("api_error");
  ASSERT_THAT(errors, SizeIs(1)) << agent.log();
  EXPECT_THAT(errors[0].text, AllOf(HasSubstr("certificate"), HasSubstr(absl::StrCat("127.0.0.1:", api->port()))));
  EXPECT_EQ(Ruleset(), "");

  // The commands that read once say the same, and end.
  for (const char* command : {"dump", "diff"}) {
    const support::ProcessResult once = Pointsman(command, With(config));
    EXPECT_FALSE(once.timed_out);
    EXPECT_EQ(once.exit_code, 2) << command;
    EXPECT_EQ(once.out, "");
    EXPECT_THAT(once.err, HasSubstr("certificate"));
  }
}

TEST_F(KubeTest, UpdatesOfWhatIsNotUsedGoNoFurther) {
  constexpr int kServices = 100;
  const std::unique_ptr<support::FakeApi> api = StartApi();
  api->Put(NodeAt({"192.0.2.1"}));
  for (int i = 0; i < kServices; ++i) Put(*api, Numbered(i));
  support::AgentProcess agent(node(), With(Config("config", *api)));
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  const Generation programmed = KernelGeneration();
  const int before = Sum(AskStatus(agent), "unchanged");
  const size_t requests = api->Requests().size();
  const size_t mark = agent.Mark();

  // When Services get new versions, and slices annotations besides.
  api->Edit([&] {
    for (int i = 0; i < kServices; ++i) {
      api->Put(ServiceOf(Numbered(i)));
      kube::EndpointSlice slice = SliceOf(Numbered(i));
      (*slice.mutable_metadata()->mutable_annotations())["endpoints.kubernetes.io/last-change-trigger-time"] =
          "2026-01-02T03:04:05Z";
      api->Put(slice);
    }
  });

  // Then that is counted, and nothing else.
  std::vector<support::LogLine> status;
  EXPECT_TRUE(support::Eventually(kSoon, [&] {
    status = AskStatus(agent);
    return Sum(status, "unchanged") >= before + 2 * kServices;
  })) << agent.log();
  EXPECT_EQ(Sum(status, "unchanged"), before + 2 * kServices);
  EXPECT_EQ(Sum(status, "objects"), 2 * kServices + 1);
  absl::SleepFor(absl::Seconds(1));
  EXPECT_THAT(agent.Events("reconciled", mark), IsEmpty()) << agent.log().substr(mark);
  EXPECT_EQ(KernelGeneration(), programmed);
  EXPECT_EQ(api->Requests().size(), requests);
}

TEST_F(KubeTest, WaitsForItsNodeAndItsPodCidrs) {
  const std::unique_ptr<support::FakeApi> api = StartApi();
  Put(*api, Numbered(0));
  kube::Node other = NodeAt({"192.0.2.99"});
  other.mutable_metadata()->set_name("node-b");
  api->Put(other);
  const std::vector<std::string> args = With(Config("config", *api), {"--detect-local-mode", "NodeCIDR"});
  support::AgentProcess agent(node(), args);

  EXPECT_TRUE(support::Eventually(kSoon, [&] { return WaitsFor(agent, "the Node"); })) << agent.log();
  absl::SleepFor(absl::Seconds(2));
  EXPECT_THAT(agent.Events("ready"), IsEmpty());
  EXPECT_EQ(Ruleset(), "");

  api->Put(NodeAt({"192.0.2.1"}));
  EXPECT_TRUE(support::Eventually(kSoon, [&] { return WaitsFor(agent, "podCIDRs"); })) << agent.log();
  absl::SleepFor(absl::Seconds(1));
  EXPECT_THAT(agent.Events("ready"), IsEmpty());
  EXPECT_EQ(Ruleset(), "");

  kube::Node complete = NodeAt({"192.0.2.1"});
  complete.mutable_spec()->add_pod_cidrs("203.0.113.0/24");
  api->Put(complete);
  EXPECT_TRUE(agent.WaitReady()) << agent.log();
  EXPECT_THAT(Ruleset(), HasSubstr("203.0.113.0/24"));
  EXPECT_TRUE(Same(args));
}

TEST_F(KubeTest, FollowsItsNode) {
  // Given endpoints for two zones, a NodePort, and pods known by the Node's ranges.
  const std::unique_ptr<support::FakeApi> api = StartApi();
  node().Ip("addr add 192.0.2.77/24 dev client\n");
  kube::Node now = NodeAt({"192.0.2.1"});
  now.mutable_spec()->add_pod_cidrs("203.0.113.0/24");
  api->Put(now);
  const support::Manifest web{
      .name = "shop/web", .ip = "198.51.100.80", .node_port = 30080, .endpoints = {"203.0.113.11", "203.0.113.12"}};
  api->Put(ServiceOf(web));
  kube::EndpointSlice slice = SliceOf(web);
  slice.mutable_endpoints(0)->mutable_hints()->add_for_zones()->set_name("zone-1");
  slice.mutable_endpoints(1)->mutable_hints()->add_for_zones()->set_name("zone-2");
  api->Put(slice);
  const std::vector<std::string> args = With(Config("config", *api), {"--detect-local-mode", "NodeCIDR"});
  support::AgentProcess agent(node(), args);
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  EXPECT_THAT(Endpoints(), AllOf(HasSubstr("203.0.113.11 . 8080"), HasSubstr("203.0.113.12 . 8080")));
  const auto node_port_at = [&](const std::string& address) {
    return support::Ask(world_.client(), Protocol::kTcp, {support::Ip(address), 30080}, absl::Milliseconds(300)).name ==
           "pod-0";
  };
  support::NameServer first(world_.pod(0), "pod-0");
  first.Listen(Protocol::kTcp, {world_.pod_ip(0, Family::kIpv4), 8080});

  // When the node is in a zone, then its endpoints alone are used.
  (*now.mutable_metadata()->mutable_labels())["topology.kubernetes.io/zone"] = "zone-1";
  api->Put(now);
  EXPECT_TRUE(support::Eventually(absl::Seconds(3), [&] {
    return !absl::StrContains(Endpoints(), "203.0.113.12 . 8080");
  })) << agent.log();
  EXPECT_THAT(Endpoints(), HasSubstr("203.0.113.11 . 8080"));
  EXPECT_TRUE(Same(args));
  EXPECT_TRUE(node_port_at("192.0.2.1"));
  EXPECT_FALSE(node_port_at("192.0.2.77"));

  // When it has another address, then NodePorts answer there and no longer here.
  now.mutable_status()->mutable_addresses(0)->set_address("192.0.2.77");
  api->Put(now);
  EXPECT_TRUE(support::Eventually(absl::Seconds(3), [&] { return node_port_at("192.0.2.77"); })) << agent.log();
  EXPECT_FALSE(node_port_at("192.0.2.1"));
  EXPECT_TRUE(Same(args));

  // When it has other ranges for pods, then those are in the rules.
  now.mutable_spec()->set_pod_cidrs(0, "203.0.112.0/23");
  api->Put(now);
  EXPECT_TRUE(support::Eventually(absl::Seconds(3), [&] { return absl::StrContains(Ruleset(), "203.0.112.0/23"); }))
      << agent.log();
  EXPECT_THAT(Ruleset(), Not(HasSubstr("203.0.113.0/24")));
  EXPECT_TRUE(Same(args));

  // When it is tainted, then that changes no rule.
  const Generation programmed = KernelGeneration();
  now.mutable_spec()->add_taints()->set_key("ToBeDeletedByClusterAutoscaler");
  api->Put(now);
  absl::SleepFor(absl::Seconds(1));
  EXPECT_EQ(KernelGeneration(), programmed);

  // When it leaves the zone, then all endpoints are back, and all of that was one process.
  now.mutable_metadata()->clear_labels();
  api->Put(now);
  EXPECT_TRUE(support::Eventually(absl::Seconds(3), [&] {
    return absl::StrContains(Endpoints(), "203.0.113.12 . 8080");
  })) << agent.log();
  EXPECT_TRUE(Same(args));
  EXPECT_TRUE(agent.process().running());
  EXPECT_THAT(agent.Events("ready"), SizeIs(1));
  EXPECT_THAT(agent.Events("failed"), IsEmpty()) << agent.log();
}

TEST_F(KubeTest, RulesStayWhenItEndsAndAreFoundRightAfterwards) {
  const std::unique_ptr<support::FakeApi> api = StartApi();
  api->Put(NodeAt({"192.0.2.1"}));
  for (int i = 0; i < 20; ++i) Put(*api, Numbered(i));
  const std::vector<std::string> args = With(Config("config", *api), {"-v"});
  {
    support::AgentProcess agent(node(), args);
    ASSERT_TRUE(agent.WaitReady()) << agent.log();
    const absl::Time begin = absl::Now();
    EXPECT_EQ(agent.Terminate().exit_code, 0) << agent.log();
    EXPECT_LT(absl::Now() - begin, absl::Seconds(2));
  }
  const Generation programmed = KernelGeneration();
  const std::string ruleset = Ruleset();
  EXPECT_THAT(ruleset, HasSubstr("198.19.0.20"));

  // When it comes back and the server is away, then it waits, says so, and touches nothing.
  api->Stop();
  support::AgentProcess agent(node(), args);
  ASSERT_TRUE(agent.WaitForEvent("api_error", kSoon)) << agent.log();
  EXPECT_THAT(agent.Events("api_error")[0].text, HasSubstr(absl::StrCat("127.0.0.1:", api->port())));
  absl::SleepFor(absl::Seconds(3));
  EXPECT_TRUE(agent.process().running());
  EXPECT_EQ(KernelGeneration(), programmed);
  EXPECT_THAT(agent.Events("ready"), IsEmpty()) << agent.log();
  EXPECT_THAT(agent.Events("reconciled"), IsEmpty()) << agent.log();

  // When the server is back with what it had, then there is nothing to write.
  Restart(*api);
  ASSERT_TRUE(agent.WaitReady(absl::Seconds(40))) << agent.log();
  EXPECT_THAT(agent.Events("reconciled"), SizeIs(1)) << agent.log();
  for (const support::LogLine& pass : agent.Events("reconciled"))
    EXPECT_EQ(pass.Number("transactions"), 0) << pass.text;
  EXPECT_EQ(KernelGeneration(), programmed);
  EXPECT_EQ(Ruleset(), ruleset);

  // And what changes from there on is followed.
  Put(*api, Numbered(20));
  EXPECT_TRUE(support::Eventually(absl::Seconds(2), [&] { return HasFrontend("198.19.0.21", 80); })) << agent.log();
  EXPECT_EQ(agent.Terminate().exit_code, 0);
}

TEST_F(KubeTest, EndsAtOnceWhateverTheServerDoes) {
  const std::unique_ptr<support::FakeApi> api = StartApi();
  api->Put(NodeAt({"192.0.2.1"}));
  Put(*api, Numbered(0));
  const std::vector<std::string> args = With(Config("config", *api));
  struct Case {
    const char* name;
    bool known;  // everything, before that happens
    std::function<void()> happens;
    std::function<void()> over;
  };
  const std::vector<Case> cases = {
      {"frozen before", false, [&] { api->Freeze(); }, [&] { api->Thaw(); }},
      {"frozen after", true, [&] { api->Freeze(); }, [&] { api->Thaw(); }},
      {"away before", false, [&] { api->Stop(); }, [&] { Restart(*api); }},
      {"away after", true, [&] { api->Stop(); }, [&] { Restart(*api); }},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    if (!c.known) c.happens();
    support::AgentProcess agent(node(), args);
    if (c.known) {
      ASSERT_TRUE(agent.WaitReady()) << agent.log();
      c.happens();
    }
    absl::SleepFor(absl::Seconds(1));
    const absl::Time begin = absl::Now();
    EXPECT_EQ(agent.Terminate().exit_code, 0) << agent.log();
    EXPECT_LT(absl::Now() - begin, absl::Seconds(1));
    c.over();
  }
}

TEST_F(KubeTest, DumpNeedsNoPrivilegesAndDiffTellsWhatIsMissing) {
  const std::unique_ptr<support::FakeApi> api = StartApi();
  api->Put(NodeAt({"192.0.2.1"}));
  for (int i = 0; i < 5; ++i) Put(*api, Numbered(i));
  api->AllowToken("secret");
  support::WriteFile(dir_.File("token"), "secret\n");
  const std::vector<std::string> args = With(Config("config", *api, dir_.File("token")));
  EXPECT_EQ(Pointsman("diff", args).exit_code, 1) << "an empty kernel passes for a full one";
  EXPECT_EQ(Ruleset(), "") << "diff has written";
  {
    support::AgentProcess agent(node(), args);
    ASSERT_TRUE(agent.WaitReady()) << agent.log();
    EXPECT_EQ(agent.Terminate().exit_code, 0);
  }

  std::vector<std::string> command = {"setpriv",    "--bounding-set",           "-net_admin", "--inh-caps",
                                      "-net_admin", support::PointsmanBinary(), "dump"};
  command.insert(command.end(), args.begin(), args.end());
  const support::ProcessResult dump = support::RunProcess(node(), command, {.timeout = absl::Seconds(20)});
  EXPECT_EQ(dump.exit_code, 0) << dump.err;
  EXPECT_EQ(dump.err, "");
  EXPECT_EQ(dump.out, Pointsman("dump", args).out);

  // That is what the agent has programmed: nft makes the same of both.
  support::NetNs elsewhere("elsewhere");
  const support::ProcessResult load =
      support::RunProcess(elsewhere, {"nft", "-f", "-"}, {.stdin_text = dump.out, .timeout = absl::Seconds(20)});
  EXPECT_EQ(load.exit_code, 0) << load.err;
  EXPECT_EQ(support::RunProcess(elsewhere, {"nft", "list", "map", "ip", "pointsman", "frontends"}).out,
            Nft({"list", "map", "ip", "pointsman", "frontends"}));
  EXPECT_EQ(support::RunProcess(elsewhere, {"nft", "list", "map", "ip", "pointsman", "endpoints"}).out, Endpoints());
  const support::ProcessResult same = Pointsman("diff", args);
  EXPECT_EQ(same.exit_code, 0) << same.out << same.err;
  EXPECT_EQ(same.err, "");

  Put(*api, Numbered(5));
  const support::ProcessResult missing = Pointsman("diff", args);
  EXPECT_EQ(missing.exit_code, 1) << missing.err;
  EXPECT_THAT(missing.out, HasSubstr("198.18.1.6"));
  EXPECT_THAT(missing.out, Not(HasSubstr("198.18.1.5")));
  support::WriteFile(dir_.File("token"), "wrong");
  const support::ProcessResult refused = Pointsman("diff", args);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("401"));
}

// The objects of examples/, in the form they have in a cluster.
void PutExamples(support::FakeApi& api) {
  Put(api, {.name = "default/discovery-service",
            .ip = "10.96.0.61",
            .port = 8761,
            .node_port = 30007,
            .endpoints = {"10.244.1.11", "10.244.1.12"},
            .target_port = 8761});

  const support::Manifest web{.name = "shop/web", .ip = "10.96.0.80", .endpoints = {"10.244.1.11", "10.244.1.12"}};
  kube::Service service = ServiceOf(web);
  service.mutable_spec()->mutable_ports(0)->set_name("http");
  api.Put(service);
  kube::EndpointSlice slice = SliceOf(web);
  slice.mutable_ports(0)->set_name("http");
  api.Put(slice);
  slice.mutable_metadata()->set_name("web-2");
  slice.mutable_endpoints()->DeleteSubrange(1, 1);
  slice.mutable_endpoints(0)->set_addresses(0, "10.244.1.13");
  api.Put(slice);

  const support::Manifest dns{.name = "kube-system/kube-dns",
                              .ip = "10.96.0.10",
                              .port = 53,
                              .protocol = "UDP",
                              .endpoints = {"10.244.1.13"},
                              .target_port = 53};
  service = ServiceOf(dns);
  service.mutable_spec()->mutable_ports(0)->set_name("dns");
  kube::ServicePort& tcp = *service.mutable_spec()->add_ports();
  tcp.set_name("dns-tcp");
  tcp.set_protocol("TCP");
  tcp.set_port(53);
  api.Put(service);
  slice = SliceOf(dns);
  slice.mutable_ports(0)->set_name("dns");
  kube::EndpointPort& tcp_port = *slice.add_ports();
  tcp_port.set_name("dns-tcp");
  tcp_port.set_protocol("TCP");
  tcp_port.set_port(53);
  api.Put(slice);
}

TEST_F(KubeTest, ExamplesAreTheSameFromTheServerAndFromTheirFiles) {
  const support::ProcessResult files =
      Pointsman("dump", {"--manifests", support::SourceDir() + "/examples", "--node-name", kNodeName});
  ASSERT_EQ(files.exit_code, 0) << files.err;
  ASSERT_THAT(files.out, HasSubstr("10.244.1.13"));

  struct Case {
    const char* name;
    support::FakeApi::Options options;
    std::vector<std::string> flags;
    const char* accept;  // a part of what is asked for
  };
  const std::vector<Case> cases = {
      {"protobuf", {}, {}, "protobuf"},
      {"json-asked", {}, {"--kube-api-content-type", "application/json"}, "application/json"},
      {"json-server", {.protobuf = false}, {}, "protobuf"},
      {"lists", {.watch_list = false}, {}, "protobuf"},
      {"pages",
       {.watch_list = false, .page_limit = 1},
       {"--kube-api-qps", "50", "--kube-api-burst", "100"},
       "protobuf"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const std::unique_ptr<support::FakeApi> api = StartApi(c.options);
    PutExamples(*api);
    const support::ProcessResult dump = Pointsman("dump", With(Config(c.name, *api), c.flags));
    EXPECT_EQ(dump.exit_code, 0) << dump.err;
    EXPECT_EQ(dump.out, files.out);
    EXPECT_GT(api->Requests().size(), 0U);
    for (const support::SeenRequest& request : api->Requests()) {
      EXPECT_THAT(request.headers.at("accept"), HasSubstr(c.accept));
    }

    // And the same through `run`, which watches.
    support::AgentProcess agent(node(), With(dir_.File(c.name), c.flags));
    api->Put(NodeAt({"192.0.2.1"}));
    ASSERT_TRUE(agent.WaitReady()) << agent.log();
    EXPECT_TRUE(Same(With(dir_.File(c.name), c.flags))) << agent.log();
    EXPECT_TRUE(HasFrontend("10.96.0.61", 8761));
    EXPECT_EQ(agent.Terminate().exit_code, 0);
    EXPECT_EQ(Pointsman("cleanup", {}).exit_code, 0);
  }
}

TEST_F(KubeTest, MasterGoesBeforeTheKubeconfigAndIsTriedInTurn) {
  const std::unique_ptr<support::FakeApi> api = StartApi();
  api->Put(NodeAt({"192.0.2.1"}));
  Put(*api, Numbered(0));
  const std::string config = dir_.File("config");
  support::WriteFile(config, support::Kubeconfig("https://127.0.0.1:1", ca_.pem()));
  for (const std::string& masters : {api->url(), absl::StrCat("https://127.0.0.1:2,", api->url())}) {
    SCOPED_TRACE(masters);
    const std::vector<std::string> args = With(config, {"--master", masters});
    const support::ProcessResult dump = Pointsman("dump", args);
    EXPECT_EQ(dump.exit_code, 0) << dump.err;
    EXPECT_THAT(dump.out, HasSubstr("198.18.1.1"));
    support::AgentProcess agent(node(), args);
    EXPECT_TRUE(agent.WaitReady()) << agent.log();
    EXPECT_EQ(agent.Terminate().exit_code, 0);
  }
}

TEST_F(KubeTest, UnusableFlagsAreToldAtOnce) {
  const std::unique_ptr<support::FakeApi> api = StartApi();
  const std::string config = Config("config", *api);
  struct Case {
    std::vector<std::string> args;
    const char* said;
  };
  const std::vector<Case> cases = {
      {{"--kubeconfig", dir_.File("missing")}, "missing"},
      {{}, "--kubeconfig"},
      {{"--kubeconfig", config, "--manifests", dir_.path()}, "--manifests"},
      {{"--kubeconfig", config, "--kube-api-content-type", "text/plain"}, "--kube-api-content-type"},
  };
  for (const Case& c : cases) {
    const support::ProcessResult run = Pointsman("run", c.args);
    EXPECT_FALSE(run.timed_out);
    EXPECT_THAT(run.exit_code, ::testing::AnyOf(1, 2)) << run.err;
    EXPECT_THAT(run.err, HasSubstr(c.said));
    EXPECT_EQ(run.out, "");
  }
  EXPECT_THAT(api->Requests(), IsEmpty());
}

}  // namespace
}  // namespace pointsman
