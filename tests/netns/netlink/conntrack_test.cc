// SPDX-License-Identifier: Apache-2.0
//
// Cleaning a real connection tracking table. Needs the right to make a network namespace, and fails without.
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "pointsman/flows.h"
#include "pointsman/net.h"
#include "pointsman/netlink.h"
#include "tests/netns/netlink/flow_fixture.h"
#include "tests/support/process.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace pointsman {
namespace {

using support::At;
using support::FlowEntry;
using support::FlowNamespace;
using support::FormatFlow;
using ::testing::IsEmpty;

FlowReport Clean(FlowTable& table, std::vector<FlowCheck> checks) {
  std::sort(checks.begin(), checks.end(),
            [](const FlowCheck& a, const FlowCheck& b) { return a.frontend < b.frontend; });
  const absl::StatusOr<FlowReport> report = table.Clean(checks);
  EXPECT_TRUE(report.ok()) << report.status();
  return report.value_or(FlowReport());
}

// The addresses of one Service with its endpoints, in one family.
struct Scene {
  Family family;
  std::vector<std::string> frontends;  // ClusterIP, load balancer, external: all port 8000
  std::string other_port;              // of the ClusterIP
  std::string node_port;
  std::string serving, old_port, not_serving, deleted;
  std::string foreign;  // a host elsewhere, on the number of the NodePort
  std::string client;   // without a port
};

Scene SceneOf(Family family) {
  if (family == Family::kIpv4) {
    return {.family = family,
            .frontends = {"192.0.2.80:8000", "198.51.100.4:8000", "198.51.100.100:8000"},
            .other_port = "192.0.2.80:3000",
            .node_port = "192.0.2.1:32000",
            .serving = "203.0.113.4:9090",
            .old_port = "203.0.113.4:8080",
            .not_serving = "203.0.113.5:9090",
            .deleted = "203.0.113.6:9090",
            .foreign = "198.51.100.77:32000",
            .client = "192.0.2.2"};
  }
  return {.family = family,
          .frontends = {"[2001:db8::80]:8000", "[2001:db8:51::4]:8000", "[2001:db8:51::100]:8000"},
          .other_port = "[2001:db8::80]:3000",
          .node_port = "[2001:db8::1]:32000",
          .serving = "[2001:db8:113::4]:9090",
          .old_port = "[2001:db8:113::4]:8080",
          .not_serving = "[2001:db8:113::5]:9090",
          .deleted = "[2001:db8:113::6]:9090",
          .foreign = "[2001:db8:51::77]:32000",
          .client = "2001:db8::2"};
}

FlowCheck Check(const std::string& frontend, std::vector<std::string> keep, Protocol protocol = Protocol::kUdp) {
  FlowCheck check{.frontend = {At(frontend).addr, protocol, At(frontend).port}};
  for (const std::string& endpoint : keep) check.keep.push_back(At(endpoint));
  std::sort(check.keep.begin(), check.keep.end());
  return check;
}

FlowCheck Withdrawn(const std::string& frontend, Protocol protocol = Protocol::kUdp) {
  FlowCheck check = Check(frontend, {}, protocol);
  check.translated_only = true;
  return check;
}

// Both ways of asking: by destination, and for everything because there is so much to ask for.
class CleaningTest : public ::testing::TestWithParam<std::tuple<Family, bool>> {
 protected:
  FlowEntry Entry(const std::string& dest, const std::string& endpoint, Protocol protocol = Protocol::kUdp,
                  uint16_t zone = 0) {
    FlowEntry flow = {.protocol = protocol,
                      .source = {support::Ip(scene_.client), next_port_++},
                      .dest = At(dest),
                      .endpoint = {},
                      .zone = zone};
    if (!endpoint.empty()) flow.endpoint = At(endpoint);
    return flow;
  }

  void Add(const char* why, std::vector<FlowEntry>& to, const FlowEntry& flow) {
    flows_.Add({flow});
    to.push_back(flow);
    why_.emplace_back(FormatFlow(flow), why);
  }
  void Goes(const char* why, const FlowEntry& flow) { Add(why, goes_, flow); }
  void Stays(const char* why, const FlowEntry& flow) { Add(why, stays_, flow); }

  // Cleans, and compares what is left with what was said.
  void Expect(std::vector<FlowCheck> checks) {
    if (std::get<1>(GetParam())) {
      const char* elsewhere = scene_.family == Family::kIpv4 ? "192.0.2.200:" : "[2001:db8::200]:";
      for (int i = 1; i <= 20; ++i) checks.push_back(Check(absl::StrCat(elsewhere, i), {scene_.serving}));
    }
    EXPECT_EQ(flows_.Count(), static_cast<int64_t>(goes_.size() + stays_.size()));
    const FlowReport report = Clean(flows_.table(), checks);
    EXPECT_EQ(report.deleted, static_cast<int64_t>(goes_.size()));
    std::vector<std::string> wrong;
    for (const FlowEntry& flow : goes_) {
      if (flows_.Has(flow)) wrong.push_back(absl::StrCat("still there: ", FormatFlow(flow)));
    }
    for (const FlowEntry& flow : stays_) {
      if (!flows_.Has(flow)) wrong.push_back(absl::StrCat("gone: ", FormatFlow(flow)));
    }
    EXPECT_THAT(wrong, IsEmpty()) << ::testing::PrintToString(why_);
    EXPECT_EQ(flows_.Count(), static_cast<int64_t>(stays_.size()));
    EXPECT_EQ(Clean(flows_.table(), checks).deleted, 0) << "once is enough";
  }

  const Scene scene_ = SceneOf(std::get<0>(GetParam()));
  FlowNamespace flows_{"flows"};

 private:
  uint16_t next_port_ = 40000;
  std::vector<FlowEntry> goes_;
  std::vector<FlowEntry> stays_;
  std::vector<std::pair<std::string, std::string>> why_;
};

INSTANTIATE_TEST_SUITE_P(, CleaningTest, ::testing::Combine(::testing::ValuesIn(kFamilies), ::testing::Bool()),
                         [](const auto& param) {
                           return absl::StrCat(FormatFamily(std::get<0>(param.param)),
                                               std::get<1>(param.param) ? "ManyChecks" : "FewChecks");
                         });

TEST_P(CleaningTest, RemovesWhatNoServingEndpointAnswersAndNothingElse) {
  for (const std::string& frontend : scene_.frontends) {
    Stays("K01", Entry(frontend, scene_.serving));
    Goes("K02", Entry(frontend, scene_.old_port));
    Goes("K03", Entry(frontend, scene_.not_serving));
    Goes("K04", Entry(frontend, scene_.deleted));
  }
  Stays("K05", Entry(scene_.other_port, scene_.serving));
  Stays("K05", Entry(scene_.other_port, scene_.deleted));
  Stays("K06", Entry(scene_.node_port, scene_.serving));
  Goes("K07", Entry(scene_.node_port, scene_.not_serving));
  Goes("K07", Entry(scene_.node_port, scene_.deleted));
  for (const Protocol other : {Protocol::kTcp, Protocol::kSctp}) {
    Stays("K08", Entry(scene_.frontends[0], scene_.old_port, other));
    Stays("K08", Entry(scene_.frontends[0], scene_.deleted, other));
    Stays("K08", Entry(scene_.node_port, scene_.deleted, other));
    Stays("K08", Entry(scene_.frontends[0], "", other));
  }
  Goes("K09", Entry(scene_.frontends[0], ""));
  Stays("K10", Entry(scene_.other_port, ""));
  Stays("somebody else's, as it happens on the same port number", Entry(scene_.foreign, ""));
  Stays("somebody else's, translated", Entry(scene_.foreign, scene_.deleted));
  Stays("another zone", Entry(scene_.frontends[0], scene_.deleted, Protocol::kUdp, 7));
  Stays("another zone", Entry(scene_.node_port, "", Protocol::kUdp, 7));

  std::vector<FlowCheck> checks = {Check(scene_.node_port, {scene_.serving})};
  for (const std::string& frontend : scene_.frontends) checks.push_back(Check(frontend, {scene_.serving}));
  Expect(checks);
}

TEST_P(CleaningTest, LeavesFlowsAloneThatNoCheckNames) {  // K11: without a serving endpoint there is no check
  Stays("K11", Entry(scene_.frontends[0], scene_.serving));
  Stays("K11", Entry(scene_.frontends[0], scene_.deleted));
  Stays("K11", Entry(scene_.frontends[0], ""));
  Expect({Check(scene_.frontends[1], {scene_.serving})});
}

TEST_P(CleaningTest, OfAWithdrawnFrontendRemovesWhatWasTranslated) {
  Goes("an endpoint of the Service that is gone", Entry(scene_.frontends[0], scene_.serving));
  Stays("never translated, so never the Service's", Entry(scene_.frontends[0], ""));
  Goes("on a NodePort", Entry(scene_.node_port, scene_.serving));
  Stays("the node's own server on that port", Entry(scene_.node_port, ""));
  Stays("a frontend that is still there", Entry(scene_.frontends[1], scene_.serving));
  Expect({Withdrawn(scene_.frontends[0]), Withdrawn(scene_.node_port)});
}

TEST_P(CleaningTest, CleansTheProtocolThatIsNamed) {
  for (const Protocol protocol : {Protocol::kTcp, Protocol::kSctp}) {
    Goes("named", Entry(scene_.frontends[0], scene_.deleted, protocol));
    Stays("served", Entry(scene_.frontends[0], scene_.serving, protocol));
    Stays("another port of the same address", Entry(scene_.other_port, scene_.deleted, protocol));
  }
  // Two ports of one address, of which the kernel filters SCTP by the address alone.
  Goes("named too", Entry(scene_.other_port, scene_.serving, Protocol::kUdp));
  Stays("not named", Entry(scene_.frontends[0], scene_.deleted, Protocol::kUdp));
  Expect({Check(scene_.frontends[0], {scene_.serving}, Protocol::kTcp),
          Check(scene_.frontends[0], {scene_.serving}, Protocol::kSctp),
          Check(scene_.other_port, {scene_.old_port}, Protocol::kUdp)});
}

TEST_P(CleaningTest, CountsASctpFlowOnceWhenTwoPortsOfItsAddressAreChecked) {
  Goes("one", Entry(scene_.frontends[0], scene_.deleted, Protocol::kSctp));
  Goes("other", Entry(scene_.other_port, scene_.deleted, Protocol::kSctp));
  Expect({Check(scene_.frontends[0], {scene_.serving}, Protocol::kSctp),
          Check(scene_.other_port, {scene_.serving}, Protocol::kSctp)});
}

TEST_P(CleaningTest, RemovesMoreThanOneDatagramOfDeletions) {
  for (int i = 0; i < 1000; ++i) Goes("one of many", Entry(scene_.frontends[0], scene_.deleted));
  Stays("served", Entry(scene_.frontends[0], scene_.serving));
  Expect({Check(scene_.frontends[0], {scene_.serving})});
}

// The kernel's side of the bargain: a narrow question brings what was asked for, not the whole table. In IPv6 it is by
// port.
TEST(ConntrackTest, TheKernelFiltersByDestination) {
  for (const Family family : kFamilies) {
    const bool v4 = family == Family::kIpv4;
    FlowNamespace flows("flows");
    const IpAddr client = support::Ip(v4 ? "192.0.2.2" : "2001:db8::2");
    const SocketAddr endpoint = At(v4 ? "203.0.113.4:9090" : "[2001:db8:113::4]:9090");
    const char* service = v4 ? "192.0.2.80" : "[2001:db8::80]";
    std::vector<FlowEntry> others;
    for (uint16_t i = 0; i < 100; ++i) {
      others.push_back({.source = {client, static_cast<uint16_t>(50000 + i)},
                        .dest = At(absl::StrCat(service, ":3000")),
                        .endpoint = endpoint});
    }
    flows.Add(others);
    flows.Add({{.source = {client, 40000}, .dest = At(absl::StrCat(service, ":8000")), .endpoint = endpoint}});

    const FlowReport report =
        Clean(flows.table(), {Check(absl::StrCat(service, ":8000"), {FormatSocketAddr(endpoint)})});

    EXPECT_EQ(report.seen, 1);
    EXPECT_EQ(report.deleted, 0);
  }
}

TEST(ConntrackTest, CleansBothFamiliesInOneGo) {
  FlowNamespace flows("flows");
  const FlowEntry v4 = {
      .source = At("192.0.2.2:40000"), .dest = At("192.0.2.80:8000"), .endpoint = At("203.0.113.6:9")};
  const FlowEntry v6 = {
      .source = At("[2001:db8::2]:40000"), .dest = At("[2001:db8::80]:8000"), .endpoint = At("[2001:db8:113::6]:9")};
  flows.Add({v4, v6});

  const FlowReport report = Clean(flows.table(), {Check("192.0.2.80:8000", {"203.0.113.4:9"}),
                                                  Check("[2001:db8::80]:8000", {"[2001:db8:113::4]:9"})});

  EXPECT_EQ(report.deleted, 2);
  EXPECT_EQ(flows.Count(), 0);
}

TEST(ConntrackTest, AnEmptyTableAndNoChecksAreNoError) {
  FlowNamespace flows("flows");
  EXPECT_EQ(Clean(flows.table(), {}).seen, 0);
  EXPECT_EQ(Clean(flows.table(), {Check("192.0.2.80:8000", {})}).seen, 0);
}

TEST(ConntrackTest, ATableStaysInItsNamespace) {
  FlowNamespace here("here");
  FlowNamespace there("there");
  const FlowEntry flow = {
      .source = At("192.0.2.2:40000"), .dest = At("192.0.2.80:8000"), .endpoint = At("203.0.113.6:9")};
  here.Add({flow});
  there.Add({flow});

  EXPECT_EQ(Clean(here.table(), {Check("192.0.2.80:8000", {"203.0.113.4:9"})}).deleted, 1);

  EXPECT_TRUE(there.Has(flow));
}

// --- among very many ---

constexpr int64_t kUnrelated = 200'000;

absl::Duration TimeOf(FlowTable& table, const std::vector<FlowCheck>& checks, const char* what) {
  absl::Duration best = absl::InfiniteDuration();
  FlowReport report;
  for (int i = 0; i < 3; ++i) {
    const absl::Time start = absl::Now();
    const FlowReport one = Clean(table, checks);
    best = std::min(best, absl::Now() - start);
    report.seen = one.seen;
    report.deleted += one.deleted;
  }
  std::printf("%-46s %8.2f ms, %lld entries seen, %lld deleted\n", what, absl::ToDoubleMilliseconds(best),
              static_cast<long long>(report.seen), static_cast<long long>(report.deleted));
  return best;
}

TEST(ConntrackTest, AmongVeryManyOthersOnlyTheStaleOnesGo) {
  FlowNamespace flows("many");
  // What the kernel of a small machine has room for.
  const auto count = static_cast<int>(std::min(kUnrelated, flows.Limit() / 10 * 9));
  ASSERT_GE(count, 10'000);
  std::vector<FlowEntry> unrelated;
  for (int i = 0; i < count; ++i) {
    // A quarter each: UDP and TCP, to another Service and to the world.
    const bool service = i % 4 < 2;
    FlowEntry flow;
    flow.protocol = i % 2 == 0 ? Protocol::kUdp : Protocol::kTcp;
    flow.source = {support::Ip(absl::StrCat("198.51.100.", 1 + i % 8)), static_cast<uint16_t>(1024 + i / 8)};
    flow.dest = At(service ? "192.0.2.81:8000" : "198.51.100.200:32000");
    if (service) flow.endpoint = At("203.0.113.9:9090");
    unrelated.push_back(flow);
  }
  flows.Add(unrelated);
  ASSERT_EQ(flows.Count(), count);
  std::vector<FlowEntry> stale;
  for (uint16_t i = 0; i < 50; ++i) {
    const SocketAddr source = {support::Ip("192.0.2.2"), static_cast<uint16_t>(40000 + i)};
    stale.push_back({.source = source, .dest = At("192.0.2.80:8000"), .endpoint = At("203.0.113.6:9090")});
  }
  flows.Add(stale);

  const std::vector<FlowCheck> one = {Check("192.0.2.80:8000", {"203.0.113.4:9090"})};
  const FlowReport report = Clean(flows.table(), one);
  EXPECT_EQ(report.deleted, 50);
  EXPECT_EQ(report.seen, 50);
  EXPECT_EQ(flows.Count(), count);

  // Nothing is stale any more; what the asking costs.
  std::vector<FlowCheck> few;
  std::vector<FlowCheck> many;
  for (int i = 1; i <= 200; ++i) {
    many.push_back(Check(absl::StrCat("192.0.2.80:", i), {"203.0.113.4:9090"}));
    if (i <= 4) few.push_back(many.back());
  }
  std::vector<FlowCheck> mixed = many;
  mixed.push_back(Check("192.0.2.80:1", {"203.0.113.4:9090"}, Protocol::kTcp));
  std::printf("among %d entries:\n", count);
  TimeOf(flows.table(), one, "one check: by destination");
  TimeOf(flows.table(), few, "four checks: by destination, four times");
  TimeOf(flows.table(), many, "200 checks of UDP: by protocol");
  TimeOf(flows.table(), mixed, "201 checks of UDP and TCP: all");
  EXPECT_EQ(flows.Count(), count);
}

// --- real packets ---

// A connected UDP socket: what a client is that resolves once and keeps on asking.
class Client {
 public:
  Client(support::NetNs& ns, const SocketAddr& to)
      : fd_(ns.Socket(to.addr.family() == Family::kIpv4 ? AF_INET : AF_INET6, SOCK_DGRAM)) {
    sockaddr_in v4 = {};
    sockaddr_in6 v6 = {};
    v4.sin_family = AF_INET;
    v6.sin6_family = AF_INET6;
    v4.sin_port = v6.sin6_port = htons(to.port);
    const bool is_v4 = to.addr.family() == Family::kIpv4;
    std::copy(to.addr.bytes().begin(), to.addr.bytes().end(),
              is_v4 ? reinterpret_cast<uint8_t*>(&v4.sin_addr) : reinterpret_cast<uint8_t*>(&v6.sin6_addr));
    const auto* address = is_v4 ? reinterpret_cast<const sockaddr*>(&v4) : reinterpret_cast<const sockaddr*>(&v6);
    EXPECT_EQ(connect(fd_, address, is_v4 ? sizeof(v4) : sizeof(v6)), 0);
  }
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Who answers, or "nobody".
  std::string Ask() const {
    if (send(fd_, "who", 3, 0) < 0) return "nobody";
    pollfd waiting = {.fd = fd_, .events = POLLIN, .revents = 0};
    if (poll(&waiting, 1, 1000) != 1) return "nobody";
    std::array<char, 256> answer = {};
    const ssize_t size = recv(fd_, answer.data(), answer.size(), 0);
    if (size <= 0) return "nobody";
    const std::string text(answer.data(), static_cast<size_t>(size));
    return text.substr(0, text.find(' '));
  }

 private:
  const int fd_;
};

class TrafficTest : public ::testing::TestWithParam<Family> {};
INSTANTIATE_TEST_SUITE_P(, TrafficTest, ::testing::ValuesIn(kFamilies),
                         [](const auto& param) { return std::string(FormatFamily(param.param)); });

TEST_P(TrafficTest, AClientThatKeepsItsSocketMovesToAServingEndpointAndOthersStay) {
  const bool v4 = GetParam() == Family::kIpv4;
  support::World world({.pods = 2});
  std::vector<std::unique_ptr<support::NameServer>> servers;
  std::vector<SocketAddr> endpoints;
  for (int i = 0; i < 2; ++i) {
    endpoints.push_back({world.pod_ip(i, GetParam()), 9053});
    servers.push_back(std::make_unique<support::NameServer>(world.pod(i), absl::StrCat("pod-", i)));
    servers.back()->Listen(Protocol::kUdp, endpoints.back());
  }
  const SocketAddr frontend = At(v4 ? "198.51.100.80:53" : "[2001:db8:80::1]:53");
  const SocketAddr twin = {frontend.addr, 54};
  const auto program = [&](const SocketAddr& endpoint) {
    const char* ip = v4 ? "ip" : "ip6";
    const std::string rules =
        absl::StrCat("table ", ip, " t\ndelete table ", ip, " t\ntable ", ip,
                     " t { chain c { type nat hook prerouting priority dstnat; ", ip, " daddr ",
                     FormatIp(frontend.addr), " udp dport { 53, 54 } dnat to ", FormatSocketAddr(endpoint), "; }; }\n");
    const support::ProcessResult done = support::RunProcess(world.node(), {"nft", "-f", "-"}, {.stdin_text = rules});
    ASSERT_EQ(done.exit_code, 0) << done.err << rules;
  };
  program(endpoints[0]);
  const Client client(world.client(), frontend);
  const Client neighbour(world.client(), twin);
  ASSERT_EQ(client.Ask(), "pod-0");
  ASSERT_EQ(neighbour.Ask(), "pod-0");
  program(endpoints[1]);
  EXPECT_EQ(client.Ask(), "pod-0") << "the first packet has settled it: this is what cleaning is for";
  absl::StatusOr<std::unique_ptr<FlowTable>> table = world.node().Call([] { return OpenFlowTable(); });
  ASSERT_TRUE(table.ok()) << table.status();

  const FlowReport report =
      Clean(**table, {{.frontend = {frontend.addr, Protocol::kUdp, frontend.port}, .keep = {endpoints[1]}}});

  EXPECT_EQ(report.deleted, 1);
  EXPECT_EQ(client.Ask(), "pod-1");
  EXPECT_EQ(neighbour.Ask(), "pod-0") << "nobody asked about that one";
}

}  // namespace
}  // namespace pointsman
