// SPDX-License-Identifier: Apache-2.0
//
// Flows that outlive what the Services say of them, from the manifest to the client that has never closed its socket.
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "netlink/conntrack/messages.h"
#include "netlink/core/ask.h"
#include "netlink/core/socket.h"
#include "netlink/core/uapi.h"
#include "pointsman/net.h"
#include "tests/netns/netlink/flow_fixture.h"
#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace pointsman {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Key;

// What is promised: so long after the manifest no more than this may a client be left with what it said before.
constexpr absl::Duration kPromise = absl::Seconds(1);
constexpr absl::Duration kPace = absl::Milliseconds(20);
constexpr int64_t kUnrelated = 200'000;

constexpr char kTerminatingButServing[] = "ready: false, serving: true, terminating: true";
constexpr char kTerminating[] = "ready: false, serving: false, terminating: true";

// A connected socket inside `from`; ends the test program if there is none to be had.
int Connected(support::NetNs& from, int type, const SocketAddr& to) {
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = type;
  addrinfo* found = nullptr;
  if (getaddrinfo(FormatIp(to.addr).c_str(), absl::StrCat(to.port).c_str(), &hints, &found) != 0) {
    support::Fatal(absl::StrCat("not an address: ", FormatSocketAddr(to)));
  }
  const int fd = from.Socket(found->ai_family, type);
  if (connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
    support::FatalErrno(absl::StrCat("connect to ", FormatSocketAddr(to)));
  }
  freeaddrinfo(found);
  return fd;
}

// What can be read within `timeout`; "" if nothing, the end or an error comes.
std::string Read(int fd, absl::Duration timeout) {
  pollfd waiting = {.fd = fd, .events = POLLIN, .revents = 0};
  if (poll(&waiting, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout))) != 1) return "";
  std::array<char, 4096> buffer = {};
  const ssize_t size = recv(fd, buffer.data(), buffer.size(), 0);
  return size <= 0 ? "" : std::string(buffer.data(), static_cast<size_t>(size));
}

// A client that keeps one socket, and so one flow: a datagram every kPace, whatever becomes of it.
class Stream {
 public:
  Stream(support::NetNs& from, const SocketAddr& to) : fd_(Connected(from, SOCK_DGRAM, to)) {
    thread_ = std::thread([this] { Work(); });
  }
  ~Stream() {
    stop_.store(true, std::memory_order_relaxed);
    thread_.join();
    close(fd_);
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // How often who answered from `since` on.
  std::map<std::string, int> AnswersSince(absl::Time since) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::map<std::string, int> counts;
    for (const auto& [when, name] : answers_) {
      if (when >= since) ++counts[name];
    }
    return counts;
  }
  // From `since` to the first answer of `name` after it, which is waited for; a minute if it did not come so soon.
  absl::Duration TimeToAnswerOf(const std::string& name, absl::Time since) {
    absl::Duration took = absl::Minutes(1);
    support::Eventually(absl::Seconds(10), [&] {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (const auto& [when, who] : answers_) {
        if (when < since || who != name) continue;
        took = when - since;
        return true;
      }
      return false;
    });
    return took;
  }
  // Who answers in a while from now on.
  std::map<std::string, int> AnswersNow() {
    const absl::Time start = absl::Now();
    absl::SleepFor(15 * kPace);
    return AnswersSince(start);
  }

 private:
  void Work() {
    absl::Time next = absl::Now();
    while (!stop_.load(std::memory_order_relaxed)) {
      if (absl::Now() >= next) {
        (void)send(fd_, "who", 3, 0);  // that there is nobody is told by the next call on this socket
        next += kPace;
      }
      const std::string answer =
          Read(fd_, absl::Ceil(std::max(next - absl::Now(), absl::ZeroDuration()), absl::Milliseconds(1)));
      if (answer.empty()) continue;
      const std::lock_guard<std::mutex> lock(mutex_);
      answers_.emplace_back(absl::Now(), answer.substr(0, answer.find(' ')));
    }
  }

  const int fd_;
  std::atomic<bool> stop_ = false;
  std::mutex mutex_;
  std::vector<std::pair<absl::Time, std::string>> answers_;
  std::thread thread_;
};

// An entry as a dump has it.
struct Listed {
  uint64_t born;  // when it was made: not even the kernel's number tells it from a later one with the same addresses
  Match dest;
  SocketAddr answering;
  bool translated;
  std::string tuple;  // as it came: who with whom
};

std::vector<Listed> List(support::NetNs& ns, Family family) {
  absl::Status status;
  for (int attempt = 0; attempt < 10; ++attempt) {  // a dump may be interrupted
    std::vector<Listed> listed;
    absl::StatusOr<std::unique_ptr<nl::Socket>> socket = ns.Call([] { return nl::Socket::Open(); });
    EXPECT_TRUE(socket.ok()) << socket.status();
    status = nl::Ask(**socket, nl::EncodeQuery({.family = family}, 1), [&](nl::ByteSpan message) {
      const absl::StatusOr<std::optional<nl::Flow>> flow = nl::DecodeFlow(message);
      EXPECT_TRUE(flow.ok()) << flow.status();
      if (!flow.ok() || !flow->has_value()) return true;
      const nl::Flow& f = **flow;
      nl::Attrs attrs(message.subspan(MNL_ALIGN(sizeof(nlmsghdr)) + MNL_ALIGN(sizeof(nfgenmsg))));
      const uint64_t born = attrs.Nested(CTA_TIMESTAMP).U64(CTA_TIMESTAMP_START);
      EXPECT_NE(born, 0u);
      listed.push_back({born, f.original, f.reply_source, f.translated, std::string(f.tuple.begin(), f.tuple.end())});
      return true;
    });
    if (status.ok()) return listed;
  }
  ADD_FAILURE() << status;
  return {};
}

class UdpFlowTest : public ::testing::TestWithParam<Family> {
 protected:
  static constexpr uint16_t kPort = 5300;
  static constexpr uint16_t kOtherPort = 5301;
  static constexpr uint16_t kNodePort = 30053;
  static constexpr uint16_t kTargetPort = 5353;

  UdpFlowTest() {
    world_.node().Sysctl("net/netfilter/nf_conntrack_timestamp", "1");
    // What the node has no better way for goes to a host that takes no notice: else nothing would be tracked of it.
    world_.node().Ip(absl::StrCat("route add 0.0.0.0/0 via ", FormatIp(world_.pod_ip(3, Family::kIpv4)), " dev pod3\n",
                                  "route add ::/0 via ", FormatIp(world_.pod_ip(3, Family::kIpv6)), " dev pod3\n"));
    for (const Protocol protocol : {Protocol::kUdp, Protocol::kTcp}) {
      first_.Listen(protocol, {world_.pod_ip(0, GetParam()), kTargetPort});
      second_.Listen(protocol, {world_.pod_ip(1, GetParam()), kTargetPort});
    }
  }

  SocketAddr ClusterIp(uint16_t port = kPort) const {
    return {support::Ip(GetParam() == Family::kIpv4 ? "198.51.100.10" : "2001:db8:51::10"), port};
  }
  SocketAddr NodePort() const { return {world_.node_ip(GetParam()), kNodePort}; }
  std::string Endpoint(int pod) const { return FormatIp(world_.pod_ip(pod, GetParam())); }

  // The Service shop/dns as it is at first.
  support::Manifest Dns(std::vector<std::string> endpoints = {}) const {
    return {.name = "shop/dns",
            .ip = FormatIp(ClusterIp().addr),
            .port = kPort,
            .node_port = kNodePort,
            .protocol = "UDP",
            .endpoints = std::move(endpoints),
            .target_port = kTargetPort};
  }
  // Services and slices are in files of their own, so that one can change without the other.
  static std::string Service(const support::Manifest& manifest) {
    return support::WithoutKind(manifest.Yaml(), "EndpointSlice");
  }
  static std::string Slice(const support::Manifest& manifest) {
    return support::WithoutKind(manifest.Yaml(), "Service");
  }
  std::string ServiceFile() const { return dir_.File("service.yaml"); }
  std::string SliceFile() const { return dir_.File("slice.yaml"); }

  // The slice, with the conditions of some endpoints.
  std::string Slice(const std::map<std::string, std::string>& endpoints) const {
    support::Manifest manifest = Dns();
    for (const auto& [ip, conditions] : endpoints) manifest.endpoints.push_back(ip);
    std::string yaml = Slice(manifest);
    for (const auto& [ip, conditions] : endpoints) {
      const std::string line = absl::StrCat("  - addresses: [\"", ip, "\"]\n");
      EXPECT_TRUE(absl::StrContains(yaml, line)) << yaml;
      yaml = absl::StrReplaceAll(yaml, {{line, absl::StrCat(line, "    conditions: {", conditions, "}\n")}});
    }
    return yaml;
  }

  void Start(const support::Manifest& manifest, std::vector<std::string> flags = {}) {
    support::WriteFile(ServiceFile(), Service(manifest));
    support::WriteFile(SliceFile(), Slice(manifest));
    Start(std::move(flags));
  }
  void Start(std::vector<std::string> flags = {}) {
    flags.insert(flags.end(), {"--manifests", dir_.path(), "--verbose"});
    agent_ = std::make_unique<support::AgentProcess>(world_.node(), flags);
    ASSERT_TRUE(agent_->WaitReady()) << agent_->log();
    WaitUntilDone(0);
  }

  // Waits until a change was carried out: what there was to commit, and to clean of flows after it.
  void WaitUntilDone(size_t since) {
    const bool done = support::Eventually(absl::Seconds(10), [&] {
      for (const support::LogLine& pass : agent_->Events("reconciled", since)) {
        const bool cleans = pass.Number("flow_checks") > 0;
        if (pass.Number("transactions") < 1 && !cleans) continue;
        return !cleans || !agent_->Events("cleaned_flows", since).empty();
      }
      return false;
    });
    ASSERT_TRUE(done) << agent_->log();
  }
  // Returns: when the new text was about to be there.
  absl::Time Change(const std::string& file, const std::string& text) {
    const size_t mark = agent_->Mark();
    const absl::Time start = absl::Now();
    support::ReplaceFile(file, text);
    WaitUntilDone(mark);
    return start;
  }

  // The node's flows to `dest`.
  std::vector<Listed> FlowsTo(const SocketAddr& dest, Protocol protocol = Protocol::kUdp) {
    std::vector<Listed> flows = List(world_.node(), GetParam());
    flows.erase(std::remove_if(flows.begin(), flows.end(),
                               [&](const Listed& flow) {
                                 return flow.dest != Match{dest.addr, protocol, dest.port};
                               }),
                flows.end());
    return flows;
  }
  bool AnyTranslated(const SocketAddr& dest, Protocol protocol = Protocol::kUdp) {
    const std::vector<Listed> flows = FlowsTo(dest, protocol);
    return std::any_of(flows.begin(), flows.end(), [](const Listed& flow) { return flow.translated; });
  }
  // When it was made; there must be one alone.
  uint64_t FlowTo(const SocketAddr& dest, Protocol protocol = Protocol::kUdp) {
    const std::vector<Listed> flows = FlowsTo(dest, protocol);
    EXPECT_EQ(flows.size(), 1u) << FormatSocketAddr(dest);
    return flows.empty() ? 0 : flows.front().born;
  }

  std::vector<support::FlowEntry> UnrelatedFlows(int64_t count) const;

  support::World world_{{.pods = 4}};
  support::TempDir dir_;
  support::NameServer first_{world_.pod(0), "first"};
  support::NameServer second_{world_.pod(1), "second"};
  std::unique_ptr<support::AgentProcess> agent_;
};

INSTANTIATE_TEST_SUITE_P(, UdpFlowTest, ::testing::ValuesIn(kFamilies),
                         [](const auto& row) { return std::string(FormatFamily(row.param)); });

// As near to the Service's own as can be.
std::vector<support::FlowEntry> UdpFlowTest::UnrelatedFlows(int64_t count) const {
  const SocketAddr old_endpoint = {world_.pod_ip(0, GetParam()), kTargetPort};
  const bool v4 = GetParam() == Family::kIpv4;
  const IpAddr foreign = support::Ip(v4 ? "198.51.100.77" : "2001:db8:51::77");
  std::vector<IpAddr> sources;
  for (int i = 0; i < 8; ++i)
    sources.push_back(support::Ip(absl::StrCat(v4 ? "198.51.100." : "2001:db8:52::", 101 + i)));
  std::vector<support::FlowEntry> flows;
  flows.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    support::FlowEntry& flow = flows.emplace_back();
    flow.source = {sources[static_cast<size_t>(i % 8)], static_cast<uint16_t>(1024 + i / 8)};
    switch (i % 4) {
      case 0:  // another port of the same address, to the very endpoint that goes
        flow.dest = ClusterIp(kOtherPort);
        flow.endpoint = old_endpoint;
        break;
      case 1:  // the same port, in TCP
        flow.protocol = Protocol::kTcp;
        flow.dest = ClusterIp();
        flow.endpoint = old_endpoint;
        break;
      case 2:  // a host elsewhere, on the number of the NodePort
        flow.dest = {foreign, kNodePort};
        break;
      default:  // to the endpoint without the Service
        flow.dest = old_endpoint;
    }
  }
  return flows;
}

TEST_P(UdpFlowTest, AClientMovesToTheNewEndpointInTimeAmongVeryManyUnrelatedFlows) {
  // Given a table that is full of others' flows, and two clients that talk to the one endpoint there is.
  support::FlowNamespace table(world_.node());
  const int64_t count = std::min(kUnrelated, table.Limit() / 10 * 9);
  if (count < kUnrelated) {
    absl::PrintF("*** THE KERNEL TRACKS %d CONNECTIONS AT MOST: ONLY %d UNRELATED FLOWS HERE, NOT %d ***\n",
                 table.Limit(), count, kUnrelated);
  }
  ASSERT_GE(count, 10'000);
  table.Add(UnrelatedFlows(count));
  std::vector<std::string> unrelated;
  for (Listed& flow : List(world_.node(), GetParam())) unrelated.push_back(std::move(flow.tuple));
  std::sort(unrelated.begin(), unrelated.end());
  ASSERT_EQ(std::unique(unrelated.begin(), unrelated.end()) - unrelated.begin(), count);
  Start(Dns({Endpoint(0)}));
  Stream cluster(world_.client(), ClusterIp());
  Stream node(world_.client(), NodePort());
  for (Stream* client : {&cluster, &node}) ASSERT_THAT(client->AnswersNow(), ElementsAre(Key("first")));

  // When another takes its place, while it would still answer.
  const absl::Time start = Change(SliceFile(), Slice(Dns({Endpoint(1)})));

  // Then they are answered by that one in time, and by nobody else.
  const absl::Duration took = std::max(cluster.TimeToAnswerOf("second", start), node.TimeToAnswerOf("second", start));
  absl::PrintF("%s: moved %s after the manifest changed, among %d unrelated flows\n", FormatFamily(GetParam()),
               absl::FormatDuration(absl::Trunc(took, absl::Microseconds(100))), count);
  EXPECT_LT(took, kPromise);
  EXPECT_THAT(cluster.AnswersNow(), ElementsAre(Key("second")));
  EXPECT_THAT(node.AnswersNow(), ElementsAre(Key("second")));

  // And the others' flows are there, each of them.
  std::vector<std::string> left;
  for (Listed& flow : List(world_.node(), GetParam())) left.push_back(std::move(flow.tuple));
  std::sort(left.begin(), left.end());
  std::vector<std::string> gone;
  std::set_difference(unrelated.begin(), unrelated.end(), left.begin(), left.end(), std::back_inserter(gone));
  EXPECT_EQ(gone.size(), 0u);
}

TEST_P(UdpFlowTest, AServiceThatChangesAloneTakesItsFlowsAlong) {
  // Given clients at both addresses, and a pod that talks to a foreign host on the number of the NodePort.
  support::NameServer foreign_server(world_.client(), "foreign");
  const SocketAddr foreign_at = {world_.client_ip(GetParam()), kNodePort};
  foreign_server.Listen(Protocol::kUdp, foreign_at);
  Start(Dns({Endpoint(0)}));
  Stream cluster(world_.client(), ClusterIp());
  Stream node(world_.client(), NodePort());
  Stream foreign(world_.pod(2), foreign_at);
  ASSERT_THAT(cluster.AnswersNow(), ElementsAre(Key("first")));
  ASSERT_THAT(node.AnswersNow(), ElementsAre(Key("first")));
  ASSERT_THAT(foreign.AnswersNow(), ElementsAre(Key("foreign")));
  ASSERT_TRUE(AnyTranslated(ClusterIp()));
  const uint64_t node_flow = FlowTo(NodePort());
  const uint64_t foreign_flow = FlowTo(foreign_at);

  // When its port changes, then the flow to the old one goes, and that to the NodePort, which is the same, stays.
  support::Manifest dns = Dns();
  dns.port = kOtherPort;
  Change(ServiceFile(), Service(dns));
  EXPECT_FALSE(AnyTranslated(ClusterIp()));
  EXPECT_THAT(cluster.AnswersNow(), IsEmpty());
  EXPECT_THAT(node.AnswersNow(), ElementsAre(Key("first")));
  EXPECT_EQ(FlowTo(NodePort()), node_flow);
  Stream other(world_.client(), ClusterIp(kOtherPort));
  EXPECT_THAT(other.AnswersNow(), ElementsAre(Key("first")));
  ASSERT_TRUE(AnyTranslated(ClusterIp(kOtherPort)));

  // When its protocol changes, then all of them go.
  dns.protocol = "TCP";
  Change(ServiceFile(), Service(dns));
  EXPECT_FALSE(AnyTranslated(ClusterIp(kOtherPort)));
  EXPECT_FALSE(AnyTranslated(NodePort()));
  EXPECT_THAT(other.AnswersNow(), IsEmpty());
  EXPECT_THAT(node.AnswersNow(), IsEmpty());

  // And nothing of this has concerned the pod.
  EXPECT_EQ(FlowTo(foreign_at), foreign_flow);
  EXPECT_THAT(foreign.AnswersNow(), ElementsAre(Key("foreign")));
}

TEST_P(UdpFlowTest, TheFlowsOfADeletedServiceAreRemoved) {
  support::NameServer foreign_server(world_.client(), "foreign");
  const SocketAddr foreign_at = {world_.client_ip(GetParam()), kNodePort};
  foreign_server.Listen(Protocol::kUdp, foreign_at);
  Start(Dns({Endpoint(0)}));
  Stream cluster(world_.client(), ClusterIp());
  Stream node(world_.client(), NodePort());
  Stream foreign(world_.pod(2), foreign_at);
  ASSERT_THAT(cluster.AnswersNow(), ElementsAre(Key("first")));
  ASSERT_THAT(node.AnswersNow(), ElementsAre(Key("first")));
  ASSERT_TRUE(AnyTranslated(ClusterIp()));
  ASSERT_TRUE(AnyTranslated(NodePort()));
  const uint64_t foreign_flow = FlowTo(foreign_at);

  const size_t mark = agent_->Mark();
  std::filesystem::remove(ServiceFile());
  WaitUntilDone(mark);

  EXPECT_FALSE(AnyTranslated(ClusterIp()));
  EXPECT_FALSE(AnyTranslated(NodePort()));
  EXPECT_THAT(cluster.AnswersNow(), IsEmpty());
  EXPECT_THAT(node.AnswersNow(), IsEmpty());
  EXPECT_EQ(FlowTo(foreign_at), foreign_flow);
  EXPECT_THAT(foreign.AnswersNow(), ElementsAre(Key("foreign")));
}

TEST_P(UdpFlowTest, AClientThatWasThereBeforeTheServiceIsAnsweredInTime) {
  // Given endpoints, and clients that keep flows alive that nobody translates.
  support::WriteFile(SliceFile(), Slice(Dns({Endpoint(0)})));
  Start();
  Stream cluster(world_.client(), ClusterIp());
  Stream node(world_.client(), NodePort());
  EXPECT_THAT(cluster.AnswersNow(), IsEmpty());
  EXPECT_THAT(node.AnswersNow(), IsEmpty());
  FlowTo(ClusterIp());
  FlowTo(NodePort());
  ASSERT_FALSE(AnyTranslated(ClusterIp()));
  ASSERT_FALSE(AnyTranslated(NodePort()));

  const absl::Time start = Change(ServiceFile(), Service(Dns()));

  const absl::Duration took = std::max(cluster.TimeToAnswerOf("first", start), node.TimeToAnswerOf("first", start));
  absl::PrintF("%s: answered %s after the Service appeared\n", FormatFamily(GetParam()),
               absl::FormatDuration(absl::Trunc(took, absl::Microseconds(100))));
  EXPECT_LT(took, kPromise);
}

TEST_P(UdpFlowTest, AnEndpointThatTerminatesKeepsItsFlowsForAsLongAsItServes) {
  Start(Dns({Endpoint(0)}));
  Stream cluster(world_.client(), ClusterIp());
  Stream node(world_.client(), NodePort());
  ASSERT_THAT(cluster.AnswersNow(), ElementsAre(Key("first")));
  ASSERT_THAT(node.AnswersNow(), ElementsAre(Key("first")));
  const uint64_t cluster_flow = FlowTo(ClusterIp());
  const uint64_t node_flow = FlowTo(NodePort());

  // When it begins to terminate, then others go elsewhere, and who is there already stays.
  Change(SliceFile(), Slice({{Endpoint(0), kTerminatingButServing}, {Endpoint(1), "ready: true"}}));
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(support::Ask(world_.client(), Protocol::kUdp, ClusterIp()).name, "second");
  }
  EXPECT_THAT(cluster.AnswersNow(), ElementsAre(Key("first")));
  EXPECT_THAT(node.AnswersNow(), ElementsAre(Key("first")));
  const auto has = [&](const SocketAddr& dest, uint64_t born) {
    const std::vector<Listed> flows = FlowsTo(dest);
    return std::any_of(flows.begin(), flows.end(), [&](const Listed& flow) { return flow.born == born; });
  };
  EXPECT_TRUE(has(ClusterIp(), cluster_flow));
  EXPECT_TRUE(has(NodePort(), node_flow));

  // When it no longer serves, though it would still answer.
  const absl::Time start = Change(SliceFile(), Slice({{Endpoint(0), kTerminating}, {Endpoint(1), "ready: true"}}));
  EXPECT_LT(cluster.TimeToAnswerOf("second", start), kPromise);
  EXPECT_LT(node.TimeToAnswerOf("second", start), kPromise);
  EXPECT_THAT(cluster.AnswersNow(), ElementsAre(Key("second")));
  EXPECT_THAT(node.AnswersNow(), ElementsAre(Key("second")));
  EXPECT_FALSE(has(ClusterIp(), cluster_flow));
  EXPECT_FALSE(has(NodePort(), node_flow));
}

// A TCP connection that has asked for half of what it wants, so that its server waits for the rest.
class HalfAsked {
 public:
  HalfAsked(support::NetNs& from, const SocketAddr& to) : fd_(Connected(from, SOCK_STREAM, to)) {
    Send("GET / HTTP/1.1\r\n");
  }
  ~HalfAsked() { close(fd_); }
  HalfAsked(const HalfAsked&) = delete;
  HalfAsked& operator=(const HalfAsked&) = delete;

  // Asks for the rest. Returns: the answer, "" for none.
  std::string Finish() {
    Send("\r\n");
    return Read(fd_, absl::Seconds(2));
  }

 private:
  void Send(const std::string& text) {
    EXPECT_EQ(send(fd_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }

  const int fd_;
};

class TcpFlowTest : public UdpFlowTest {
 protected:
  support::Manifest Web(std::vector<std::string> endpoints) const {
    support::Manifest manifest = Dns(std::move(endpoints));
    manifest.protocol = "TCP";
    return manifest;
  }
};

INSTANTIATE_TEST_SUITE_P(, TcpFlowTest, ::testing::ValuesIn(kFamilies),
                         [](const auto& row) { return std::string(FormatFamily(row.param)); });

TEST_P(TcpFlowTest, AConnectionToARemovedEndpointGoesOn) {
  Start(Web({Endpoint(0)}));
  HalfAsked connection(world_.client(), ClusterIp());
  const uint64_t flow = FlowTo(ClusterIp(), Protocol::kTcp);

  Change(SliceFile(), Slice(Web({Endpoint(1)})));

  ASSERT_EQ(support::Ask(world_.client(), Protocol::kTcp, NodePort()).name, "second");
  EXPECT_EQ(FlowTo(ClusterIp(), Protocol::kTcp), flow);
  EXPECT_THAT(connection.Finish(), ::testing::HasSubstr("first "));
}

TEST_P(TcpFlowTest, AConnectionToARemovedEndpointIsForgottenWhereThatIsWanted) {
  Start(Web({Endpoint(0)}), {"--pointsman.clean-tcp"});
  HalfAsked lost(world_.client(), ClusterIp());
  ASSERT_TRUE(AnyTranslated(ClusterIp(), Protocol::kTcp));

  const absl::Time start = Change(SliceFile(), Slice(Web({Endpoint(1)})));

  EXPECT_THAT(FlowsTo(ClusterIp(), Protocol::kTcp), IsEmpty());
  EXPECT_LT(absl::Now() - start, kPromise);
  EXPECT_EQ(lost.Finish(), "");

  // And one to an endpoint that stays is left alone.
  HalfAsked kept(world_.client(), ClusterIp());
  Change(SliceFile(), Slice(Web({Endpoint(0), Endpoint(1)})));
  EXPECT_THAT(kept.Finish(), ::testing::HasSubstr("second "));
}

}  // namespace
}  // namespace pointsman
