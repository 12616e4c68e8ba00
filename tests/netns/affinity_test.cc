// SPDX-License-Identifier: Apache-2.0
//
// Session affinity: a client stays with its endpoint, whatever happens to others.
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "pointsman/netlink.h"
#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace pointsman {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Ne;

constexpr int kPods = 4;
// A client that is sent away tries again after a second.
constexpr absl::Duration kPatience = absl::Seconds(8);

struct KernelAddr {
  sockaddr_storage storage = {};
  socklen_t length = 0;

  explicit KernelAddr(const SocketAddr& at) {
    if (at.addr.family() == Family::kIpv4) {
      sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(at.port), .sin_addr = {}, .sin_zero = {}};
      std::memcpy(&in.sin_addr, at.addr.bytes().data(), sizeof in.sin_addr);
      std::memcpy(&storage, &in, length = sizeof in);
    } else {
      sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons(at.port)};
      std::memcpy(&in.sin6_addr, at.addr.bytes().data(), sizeof in.sin6_addr);
      std::memcpy(&storage, &in, length = sizeof in);
    }
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// Asks for the server's name once from each of `sources`, all at the same time and from the same port.
// Returns: a name per source; "" where none came within `kPatience`.
std::vector<std::string> AskAll(support::NetNs& from, Protocol protocol, const std::vector<IpAddr>& sources,
                                uint16_t source_port, const SocketAddr& to) {
  struct Question {
    int fd = -1;
    bool asked = false;
    std::string answer;
    absl::Time again;  // of a datagram
  };
  const bool udp = protocol == Protocol::kUdp;
  const bool v4 = to.addr.family() == Family::kIpv4;
  const KernelAddr target(to);
  std::vector<Question> questions(sources.size());
  std::vector<std::string> names(sources.size());
  for (size_t i = 0; i < sources.size(); ++i) {
    const int fd = from.Socket(v4 ? AF_INET : AF_INET6, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_FREEBIND : IPV6_FREEBIND, &on, sizeof on);
    // Closed by a reset, a connection leaves nothing behind that keeps the port.
    const linger abruptly = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &abruptly, sizeof abruptly);
    const KernelAddr source({sources[i], source_port});
    if (bind(fd, source.get(), source.length) != 0) support::FatalErrno("bind a client");
    if (connect(fd, target.get(), target.length) != 0 && errno != EINPROGRESS) support::FatalErrno("connect a client");
    questions[i].fd = fd;
  }
  const std::string request = "GET / HTTP/1.1\r\nHost: affinity\r\n\r\n";
  size_t open = questions.size();
  for (const absl::Time end = absl::Now() + kPatience; open > 0 && absl::Now() < end;) {
    std::vector<pollfd> polls;
    for (Question& q : questions) {
      if (udp && q.fd >= 0 && (!q.asked || q.again < absl::Now())) {
        (void)send(q.fd, request.data(), request.size(), MSG_NOSIGNAL);
        q.asked = true;
        q.again = absl::Now() + absl::Seconds(1);
      }
      const short events = q.asked ? POLLIN : POLLOUT;
      polls.push_back({.fd = q.fd, .events = events, .revents = 0});
    }
    poll(polls.data(), polls.size(), 100);
    for (size_t i = 0; i < questions.size(); ++i) {
      Question& q = questions[i];
      if (q.fd < 0 || polls[i].revents == 0) continue;
      bool done = (polls[i].revents & (POLLERR | POLLNVAL)) != 0;
      if (!done && !q.asked) {
        q.asked = send(q.fd, request.data(), request.size(), MSG_NOSIGNAL) > 0;
        done = !q.asked;
      } else if (!done) {
        char buffer[1024];
        const ssize_t n = recv(q.fd, buffer, sizeof buffer, 0);
        if (n > 0) q.answer.append(buffer, static_cast<size_t>(n));
        done = n <= 0 || udp;
      }
      if (!done) continue;
      const size_t body = q.answer.find("\r\n\r\n");
      const std::string line = udp || body == std::string::npos ? q.answer : q.answer.substr(body + 4);
      names[i] = line.substr(0, line.find(' '));
      close(q.fd);
      q.fd = -1;
      --open;
    }
  }
  for (const Question& q : questions) {
    if (q.fd >= 0) close(q.fd);
  }
  return names;
}

struct Row {
  Family family;
  Protocol protocol;
};

void PrintTo(const Row& row, std::ostream* out) {
  *out << FormatFamily(row.family) << " " << FormatProtocol(row.protocol);
}

class AffinityTest : public ::testing::TestWithParam<Row> {
 protected:
  AffinityTest() {
    // A socket per client.
    rlimit files = {};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = std::min<rlim_t>(files.rlim_max, 8192);
    setrlimit(RLIMIT_NOFILE, &files);

    world_.client().Ip(
        "route add local 10.77.0.0/16 dev lo\n"
        "route add local fd77::/64 dev lo\n");
    world_.node().Ip(
        "route add 10.77.0.0/16 via 192.0.2.2 dev client\n"
        "route add fd77::/64 via 2001:db8::2 dev client\n");
    for (int i = 0; i < kPods; ++i) {
      servers_.push_back(std::make_unique<support::NameServer>(world_.pod(i), absl::StrCat("pod-", i)));
      servers_.back()->Listen(GetParam().protocol, {world_.pod_ip(i, GetParam().family), 8080});
    }
  }

  bool v4() const { return GetParam().family == Family::kIpv4; }
  SocketAddr ClusterIp() const { return {support::Ip(v4() ? "198.51.100.80" : "2001:db8:96::80"), 80}; }
  SocketAddr NodePort() const { return {world_.node_ip(GetParam().family), 30080}; }

  std::vector<IpAddr> Clients(int count) const {
    std::vector<IpAddr> clients;
    for (int i = 1; i <= count; ++i) {
      clients.push_back(support::Ip(v4() ? absl::StrCat("10.77.", i / 250, ".", i % 250 + 1)
                                         : absl::StrCat("fd77::", i / 250, ":", i % 250 + 1)));
    }
    return clients;
  }

  // Every round has a port of its own: nothing is answered out of an old connection.
  std::vector<std::string> Ask(const std::vector<IpAddr>& clients, const SocketAddr& to) {
    return AskAll(world_.client(), GetParam().protocol, clients, ++round_, to);
  }

  // The Service with all pods but `without`; with `not_ready`, that one is there and not ready.
  std::string Yaml(int seconds, int without = -1, bool not_ready = false) const {
    const char* const protocol = GetParam().protocol == Protocol::kUdp ? "UDP" : "TCP";
    std::string yaml = absl::StrCat(
        "apiVersion: v1\nkind: Service\nmetadata: {namespace: shop, name: cart}\nspec:\n  type: NodePort\n"
        "  clusterIPs: [\"",
        FormatIp(ClusterIp().addr), "\"]\n  ipFamilies: [", FormatFamily(GetParam().family),
        "]\n  sessionAffinity: ClientIP\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: ", seconds,
        "}}\n  ports: [{port: 80, protocol: ", protocol, ", nodePort: 30080}]\n---\n",
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {namespace: shop, name: cart-1, labels: "
        "{kubernetes.io/service-name: cart}}\naddressType: ",
        FormatFamily(GetParam().family), "\nports: [{port: 8080, protocol: ", protocol, "}]\nendpoints:\n");
    for (int i = 0; i < kPods; ++i) {
      if (i == without && !not_ready) continue;
      absl::StrAppend(&yaml, "  - {addresses: [\"", FormatIp(world_.pod_ip(i, GetParam().family)),
                      "\"], conditions: {ready: ", i == without ? "false" : "true", "}}\n");
    }
    return yaml;
  }

  void Apply(support::AgentProcess& agent, const std::string& file, const std::string& yaml) {
    const size_t mark = agent.Mark();
    support::ReplaceFile(dir_.File(file), yaml);
    ASSERT_TRUE(agent.WaitForEvent("reconciled", absl::Seconds(10), mark)) << agent.log();
  }

  // Packets that the record chains could not remember a client for.
  uint64_t Refusals() {
    return world_.node().Call([] {
      uint64_t packets = 0;
      const auto dataplane = OpenNftDataplane();
      const auto observed = (*dataplane)->Observe();
      if (!observed.ok()) support::Fatal(observed.status().ToString());
      for (const auto& [family, table] : observed->ruleset.tables) {
        for (const auto& [name, chain] : table.chains) {
          for (const nft::Rule& rule : chain.rules) {
            for (const nft::Expr& expr : rule.exprs) {
              if (const auto* counter = std::get_if<nft::Counter>(&expr)) packets += counter->packets;
            }
          }
        }
      }
      return packets;
    });
  }

  support::World world_{{.pods = kPods}};
  std::vector<std::unique_ptr<support::NameServer>> servers_;
  support::TempDir dir_;
  uint16_t round_ = 20000;
};

INSTANTIATE_TEST_SUITE_P(, AffinityTest,
                         ::testing::Values(Row{Family::kIpv4, Protocol::kTcp}, Row{Family::kIpv6, Protocol::kTcp},
                                           Row{Family::kIpv4, Protocol::kUdp}),
                         [](const auto& row) {
                           return absl::StrCat(FormatFamily(row.param.family),
                                               row.param.protocol == Protocol::kTcp ? "Tcp" : "Udp");
                         });

std::string Different(const std::vector<std::string>& before, const std::vector<std::string>& after) {
  std::vector<std::string> lines;
  for (size_t i = 0; i < before.size(); ++i) {
    if (before[i] != after[i]) lines.push_back(absl::StrCat("client ", i, ": ", before[i], " -> ", after[i]));
  }
  return absl::StrCat(lines.size(), " clients moved\n", absl::StrJoin(lines, "\n").substr(0, 500));
}

TEST_P(AffinityTest, AThousandClientsStayWhileOthersComeAndGo) {
  support::WriteFile(dir_.File("cart.yaml"), Yaml(10800));
  const std::vector<IpAddr> clients = Clients(1000);
  std::vector<std::string> home;
  {
    support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
    ASSERT_TRUE(agent.WaitReady()) << agent.log();
    home = Ask(clients, ClusterIp());
    ASSERT_THAT(home, Each(Ne(""))) << agent.log();
    std::map<std::string, int> load;
    for (const std::string& name : home) ++load[name];
    ASSERT_EQ(load.size(), size_t{kPods});
    for (const auto& [name, count] : load) EXPECT_GT(count, 1000 / kPods / 2) << name << ": clients are not spread";

    // Other Services, with affinity and without, of one endpoint up to so many that new chains are needed.
    for (int i = 0; i < 20; ++i) {
      support::Manifest other{
          .name = absl::StrCat("shop/other-", i % 4),
          .ip = v4() ? absl::StrCat("198.51.100.", i % 4 + 1) : absl::StrCat("2001:db8:96::", i % 4 + 1),
          .port = 100 + i,
          .endpoints = {}};
      for (int e = 0; e <= i % 4 * i; ++e) {
        other.endpoints.push_back(v4() ? absl::StrCat("198.18.0.", e + 1) : absl::StrCat("2001:db8:18::", e + 1));
      }
      std::string yaml = other.Yaml();
      if (i % 2 == 1) yaml.replace(yaml.find("spec:\n"), 6, "spec:\n  sessionAffinity: ClientIP\n");
      Apply(agent, absl::StrCat("other-", i % 4, ".yaml"), i % 5 == 4 ? "# nothing\n" : yaml);
      const std::vector<std::string> now = Ask(clients, ClusterIp());
      ASSERT_EQ(now, home) << "after change " << i << ": " << Different(home, now);
    }
    agent.Terminate();
  }
  // What packets have written is no difference, and nft can list it.
  const support::ProcessResult diff = support::RunPointsman(world_.node(), {"diff", "--manifests", dir_.path()});
  EXPECT_EQ(diff.exit_code, 0) << diff.out << diff.err;
  for (const char* how : {"-y", "-j"}) {
    const support::ProcessResult listing = support::RunProcess(world_.node(), {"nft", how, "list", "ruleset"});
    EXPECT_EQ(listing.exit_code, 0) << listing.err;
    EXPECT_THAT(listing.out, HasSubstr(FormatIp(clients.front())));
  }

  // An agent that goes and comes back.
  ASSERT_EQ(Ask(clients, ClusterIp()), home);
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  const std::vector<std::string> now = Ask(clients, ClusterIp());
  EXPECT_EQ(now, home) << Different(home, now);
}

TEST_P(AffinityTest, OnlyTheClientsOfAnEndpointThatGoesAreMoved) {
  for (const bool not_ready : {false, true}) {
    SCOPED_TRACE(not_ready ? "the endpoint is not ready" : "the endpoint is gone");
    support::WriteFile(dir_.File("cart.yaml"), Yaml(10800));
    support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
    ASSERT_TRUE(agent.WaitReady()) << agent.log();
    const std::vector<IpAddr> clients = Clients(1000);
    const std::vector<std::string> home = Ask(clients, ClusterIp());
    ASSERT_THAT(home, Each(Ne("")));

    Apply(agent, "cart.yaml", Yaml(10800, 1, not_ready));
    const std::vector<std::string> now = Ask(clients, ClusterIp());

    EXPECT_THAT(now, Each(Ne(""))) << Different(home, now);
    EXPECT_THAT(now, Each(Ne("pod-1"))) << Different(home, now);
    int moved = 0;
    for (size_t i = 0; i < clients.size(); ++i) {
      if (home[i] != "pod-1") {
        EXPECT_EQ(now[i], home[i]) << "client " << i;
      } else {
        ++moved;
      }
    }
    EXPECT_GT(moved, 0);
    // Where they went, they stay, also when the endpoint is back.
    EXPECT_EQ(Ask(clients, ClusterIp()), now);
    Apply(agent, "cart.yaml", Yaml(10800));
    EXPECT_EQ(Ask(clients, ClusterIp()), now);
    agent.Terminate();
    ASSERT_EQ(support::RunPointsman(world_.node(), {"cleanup"}).exit_code, 0);
  }
}

TEST_P(AffinityTest, AllAddressesOfAServiceLeadAClientToTheSameEndpoint) {
  support::WriteFile(dir_.File("cart.yaml"), Yaml(10800));
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  const std::vector<IpAddr> clients = Clients(200);

  const std::vector<std::string> by_cluster_ip = Ask(clients, ClusterIp());
  const std::vector<std::string> by_node_port = Ask(clients, NodePort());

  EXPECT_THAT(by_cluster_ip, Each(Ne("")));
  EXPECT_EQ(by_node_port, by_cluster_ip) << Different(by_cluster_ip, by_node_port);
}

TEST_P(AffinityTest, AnEndpointInTheNetworkOfTheNodeIsRememberedToo) {
  // Connections to it leave by the input hook, not by postrouting.
  support::NameServer host(world_.node(), "node");
  host.Listen(GetParam().protocol, {world_.node_ip(GetParam().family), 8080});
  const std::string with_node =
      absl::StrCat(Yaml(10800), "  - {addresses: [\"", FormatIp(world_.node_ip(GetParam().family)), "\"]}\n");
  support::WriteFile(dir_.File("cart.yaml"), with_node);
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  const std::vector<IpAddr> clients = Clients(200);

  const std::vector<std::string> home = Ask(clients, ClusterIp());
  EXPECT_THAT(home, Contains("node"));
  EXPECT_THAT(home, Each(Ne("")));
  const std::vector<std::string> again = Ask(clients, ClusterIp());
  EXPECT_EQ(again, home) << Different(home, again);

  Apply(agent, "cart.yaml", Yaml(10800));
  const std::vector<std::string> now = Ask(clients, ClusterIp());
  EXPECT_THAT(now, Each(Ne("")));
  EXPECT_THAT(now, Each(Ne("node")));
}

TEST_P(AffinityTest, AClientIsForgottenWhenItWasAwayForTheTimeout) {
  support::WriteFile(dir_.File("cart.yaml"), Yaml(2));
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  const std::vector<IpAddr> clients = Clients(200);
  const std::vector<std::string> home = Ask(clients, ClusterIp());
  ASSERT_THAT(home, Each(Ne("")));

  // Each new connection begins the time anew.
  for (int i = 1; i <= 6; ++i) {
    absl::SleepFor(absl::Milliseconds(500));
    ASSERT_EQ(Ask(clients, ClusterIp()), home) << "after " << i * 500 << " ms";
  }
  absl::SleepFor(absl::Milliseconds(2500));
  const std::vector<std::string> later = Ask(clients, ClusterIp());

  EXPECT_THAT(later, Each(Ne("")));
  int moved = 0;
  for (size_t i = 0; i < clients.size(); ++i) moved += later[i] != home[i] ? 1 : 0;
  // Three of four, by chance; fewer than half is as good as impossible.
  EXPECT_GT(moved, 100);
}

TEST_P(AffinityTest, AShorterTimeoutHoldsForClientsThatComeBack) {
  support::WriteFile(dir_.File("cart.yaml"), Yaml(10800));
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  const std::vector<IpAddr> clients = Clients(200);
  const std::vector<std::string> home = Ask(clients, ClusterIp());

  Apply(agent, "cart.yaml", Yaml(1));
  const std::vector<std::string> now = Ask(clients, ClusterIp());
  EXPECT_EQ(now, home) << Different(home, now);
  absl::SleepFor(absl::Milliseconds(1500));

  EXPECT_NE(Ask(clients, ClusterIp()), home);
}

TEST_P(AffinityTest, ItCanBeTurnedOffAndOnAgain) {
  std::string off = Yaml(10800);
  const size_t at = off.find("ClientIP\n");
  ASSERT_NE(at, std::string::npos);
  off.replace(at, 8, "None");
  support::WriteFile(dir_.File("cart.yaml"), off);
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  const std::vector<IpAddr> clients = Clients(200);
  EXPECT_NE(Ask(clients, ClusterIp()), Ask(clients, ClusterIp())) << "by chance, for once in 4^200";

  Apply(agent, "cart.yaml", Yaml(10800));
  const std::vector<std::string> home = Ask(clients, ClusterIp());
  EXPECT_THAT(home, Each(Ne("")));
  EXPECT_EQ(Ask(clients, ClusterIp()), home);

  Apply(agent, "cart.yaml", off);
  EXPECT_NE(Ask(clients, ClusterIp()), home);
  const support::ProcessResult diff = support::RunPointsman(world_.node(), {"diff", "--manifests", dir_.path()});
  EXPECT_EQ(diff.exit_code, 0) << diff.out << diff.err;
}

TEST_P(AffinityTest, TraceTellsWhereARememberedClientGoes) {
  support::WriteFile(dir_.File("cart.yaml"), Yaml(10800));
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  const std::vector<IpAddr> clients = Clients(2);
  const std::string home = Ask({clients[0]}, ClusterIp()).at(0);
  const auto trace = [&](const IpAddr& client) {
    const Match match = {ClusterIp().addr, GetParam().protocol, ClusterIp().port};
    const support::ProcessResult traced = support::RunPointsman(
        world_.node(), {"trace", "--manifests", dir_.path(), FormatIp(client), FormatMatch(match)});
    EXPECT_EQ(traced.exit_code, 0) << traced.out << traced.err;
    return traced.out;
  };

  const IpAddr pod = world_.pod_ip(home.back() - '0', GetParam().family);
  EXPECT_THAT(trace(clients[0]), HasSubstr("memory:  the kernel remembers this client: deliver\n           " +
                                           FormatSocketAddr({pod, 8080})));
  EXPECT_THAT(trace(clients[1]), Not(HasSubstr("memory:")));
}

TEST_P(AffinityTest, WhenTheMemoryIsFullClientsAreServedAllTheSame) {
  support::WriteFile(dir_.File("cart.yaml"), Yaml(10800));
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path(), "--pointsman.affinity-size", "100"});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  const std::vector<IpAddr> clients = Clients(300);
  const std::vector<IpAddr> early(clients.begin(), clients.begin() + 50);
  const std::vector<std::string> home = Ask(early, ClusterIp());
  EXPECT_EQ(Refusals(), 0U);

  EXPECT_THAT(Ask(clients, ClusterIp()), Each(Ne("")));

  EXPECT_EQ(Refusals(), 200U);
  EXPECT_EQ(Ask(early, ClusterIp()), home) << "those who are remembered stay";
}

}  // namespace
}  // namespace pointsman
