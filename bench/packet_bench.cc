// SPDX-License-Identifier: Apache-2.0
//
// What packets pay for the rules: through Pointsman's tables of several sizes, through kube-proxy's layout of the same
// Services, through one hand-written rule, and through none. In network namespaces of its own; needs root.
//
// "random/10" is against the same layout with ten Services, "/kp" against kube-proxy's of the same size, "/rule"
// against the one rule.
//
// All are loaded at once and measured in turn, round by round, so that whatever else the machine does hits all alike.
// Figures are medians over the rounds.
#include <cstdio>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"

#include "bench/cluster.h"
#include "bench/kube_proxy_layout.h"
#include "bench/packet_probes.h"
#include "bench/packet_road.h"
#include "bench/report.h"
#include "pointsman/netlink.h"
#include "pointsman/status.h"

namespace pointsman::bench {
namespace {

constexpr int kEndpoints = 10;
constexpr int kFewest = 10;
constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

// The kernel takes a time that grows with the square of the anonymous maps: some 20 s for 10,000 Services, several
// minutes for 50,000.
constexpr int kMostForKubeProxy = 10'000;
constexpr int kKubeProxyChunk = 1'000;

enum class Layout { kNone, kOneRule, kKubeProxy, kPointsman };

// A road with rules on it.
struct Node {
  Layout layout;
  int services;
  PacketRoad road;
  std::vector<SocketAddr> services_at;  // the first is the one that is hot
  std::vector<SocketAddr> pods_at;
};

std::string NameOf(Layout layout, int services) {
  switch (layout) {
    case Layout::kNone:
      return "forwarding, no Service";
    case Layout::kOneRule:
      return "one DNAT rule";
    case Layout::kKubeProxy:
      return absl::StrCat("kube-proxy's, ", FormatSize(services, kEndpoints));
    case Layout::kPointsman:
      return absl::StrCat("pointsman, ", FormatSize(services, kEndpoints));
  }
  return "";
}

Cidr Pods() { return BenchSettings().policy.pods.cidrs[0]; }

SocketAddr Parse(const std::string& address, uint16_t port) { return {*IpAddr::Parse(address), port}; }

std::vector<SocketAddr> FrontendsOf(const ObjectBatch& cluster) {
  std::vector<SocketAddr> out;
  for (const ObjectChange& change : cluster.changes) {
    const Object object = change.object.Unpack();
    if (const auto* service = std::get_if<Service>(&object)) {
      out.push_back(Parse(service->cluster_ips[0], service->ports[0].port));
    }
  }
  return out;
}

std::vector<SocketAddr> EndpointsOf(const ObjectBatch& cluster) {
  std::vector<SocketAddr> out;
  for (const ObjectChange& change : cluster.changes) {
    const Object object = change.object.Unpack();
    if (const auto* slice = std::get_if<EndpointSlice>(&object)) {
      for (const auto& endpoint : slice->endpoints) out.push_back(Parse(endpoint.addresses[0], *slice->ports[0].port));
    }
  }
  return out;
}

void LoadPointsman(Node& node, const ObjectBatch& cluster) {
  Store store;
  Planner planner;
  nft::Programmer programmer;
  const nft::BaseSettings settings = BenchSettings();
  const Touched touched = store.Apply(cluster);
  node.road.node().Run([&] {
    auto dataplane = OpenNftDataplane();
    PM_CHECK(dataplane.ok());
    programmer.Observe((*dataplane)->Observe().value().ruleset);
    const nft::Changes changes =
        programmer.Stage(planner.Plan(store, touched, BenchNode(), settings.policy), settings, /*full=*/true);
    PM_CHECK((*dataplane)->Commit(changes.commit, kUnknownGeneration).ok());
  });
}

void Load(Node& node) {
  const ObjectBatch cluster = MakeCluster(node.services, kEndpoints);
  node.services_at = FrontendsOf(cluster);
  node.pods_at = EndpointsOf(cluster);
  node.road.DropOneWay();
  switch (node.layout) {
    case Layout::kNone:
      node.road.Nft(
          "table ip forwarding { chain forward { type filter hook forward priority 0; ct state invalid drop; }; }");
      return;
    case Layout::kOneRule: {
      const SocketAddr from = node.services_at[0];
      node.road.Nft(absl::StrCat(
          "table ip one {\n  chain in {\n    type nat hook prerouting priority -100\n    ip daddr ",
          FormatIp(from.addr), " tcp dport ", from.port, " dnat to ", FormatSocketAddr(node.pods_at[0]),
          "\n  }\n  chain out {\n    type nat hook postrouting priority 100\n    ct status dnat ip saddr != ",
          FormatCidr(Pods()), " masquerade fully-random\n  }\n}\n"));
      return;
    }
    case Layout::kKubeProxy:
      for (const std::string& text :
           KubeProxyLayout(cluster, BenchNode(), Pods(), *Cidr::Parse("172.16.0.0/12"), kKubeProxyChunk)) {
        node.road.Nft(text);
      }
      return;
    case Layout::kPointsman:
      LoadPointsman(node, cluster);
      return;
  }
}

// --- rounds ---

using Probe = std::function<std::vector<double>(Node&, absl::Span<const SocketAddr>)>;

// What one kind of probe found of one node.
class Figures {
 public:
  void Add(std::vector<double> round) {
    // The first ones meet caches that the node before has filled.
    round.erase(round.begin(), round.begin() + static_cast<std::ptrdiff_t>(round.size() / 4));
    p50_.push_back(Percentile(round, 0.50));
    p99_.push_back(Percentile(round, 0.99));
  }
  double p50() const { return Median(p50_); }
  double p99() const { return Median(p99_); }

 private:
  static double Median(std::vector<double> rounds) { return rounds.empty() ? kNothing : Percentile(rounds, 0.5); }

  std::vector<double> p50_;
  std::vector<double> p99_;
};

struct Result {
  Figures random;  // Services drawn at random
  Figures hot;     // always the same one
  Figures pods;    // no Service: pods drawn at random
};
using Results = std::map<std::pair<Layout, int>, Result>;  // by layout and number of Services

const Result& Of(const Results& results, Layout layout, int services) {
  static const Result& none = *new Result;
  const auto it = results.find({layout, services});
  return it == results.end() ? none : it->second;
}

Results Measure(std::deque<Node>& nodes, int rounds, size_t count, const Probe& probe) {
  Results results;
  std::mt19937 random;
  for (int round = 0; round < rounds; ++round) {
    for (Node& node : nodes) {
      Result& result = results[{node.layout, node.services}];
      std::vector<SocketAddr> targets(count);
      const auto draw = [&](const std::vector<SocketAddr>& from) {
        std::uniform_int_distribution<size_t> index(0, from.size() - 1);
        for (SocketAddr& target : targets) target = from[index(random)];
      };
      if (node.layout == Layout::kPointsman || node.layout == Layout::kKubeProxy) {
        draw(node.services_at);
        result.random.Add(probe(node, targets));
      }
      if (node.layout != Layout::kNone) {
        draw({node.services_at[0]});
        result.hot.Add(probe(node, targets));
      }
      draw(node.pods_at);
      result.pods.Add(probe(node, targets));
    }
  }
  return results;
}

// --- tables ---

double PerSecond(double microseconds) { return 1e6 / microseconds; }

const Result& KubeProxys(const Results& results, const Node& node) {
  static const Result& none = *new Result;
  return node.layout == Layout::kPointsman ? Of(results, Layout::kKubeProxy, node.services) : none;
}

// Services at random, against the same layout with the fewest.
double ToTen(const Results& results, const Node& node) {
  return Of(results, node.layout, node.services).random.p50() / Of(results, node.layout, kFewest).random.p50();
}

using MakeRow = std::function<std::vector<double>(const Node&)>;

void Rows(Report& report, const std::deque<Node>& nodes, const MakeRow& row) {
  for (const Node& node : nodes) report.Row(NameOf(node.layout, node.services), row(node));
  const Node& last = nodes.back();
  if (last.services > kMostForKubeProxy) {
    report.Row(NameOf(Layout::kKubeProxy, last.services), std::vector<double>(row(last).size(), kNothing));
  }
}

void FirstPacket(Report& report, std::deque<Node>& nodes) {
  const Results results = Measure(nodes, report.options().quick ? 5 : 60, 600, [](Node& node, auto targets) {
    return RoundTrips(node.road, PacketRoad::PodAddress(), targets);
  });
  report.Begin(
      "first packet",
      "round trip of a SYN from a pod, refused by the endpoint; Services at random, one hot one, pods directly",
      {{"random", "us", 2},
       {"p99", "us", 2},
       {"hot", "us", 2},
       {"p99", "us", 2},
       {"pods", "us", 2},
       {"random/10", "x", 2},
       {"random/kp", "x", 2},
       {"hot/kp", "x", 2},
       {"pods/kp", "x", 2},
       {"hot/rule", "x", 2}});
  Rows(report, nodes, [&](const Node& node) -> std::vector<double> {
    const Result& own = Of(results, node.layout, node.services);
    const Result& other = KubeProxys(results, node);
    return {own.random.p50(),
            own.random.p99(),
            own.hot.p50(),
            own.hot.p99(),
            own.pods.p50(),
            ToTen(results, node),
            own.random.p50() / other.random.p50(),
            own.hot.p50() / other.hot.p50(),
            own.pods.p50() / other.pods.p50(),
            own.hot.p50() / Of(results, Layout::kOneRule, 1).hot.p50()};
  });
}

void KernelPath(Report& report, std::deque<Node>& nodes) {
  std::map<const PacketRoad*, int64_t> sent;
  const auto measure = [&](const IpAddr& source) {
    return Measure(nodes, report.options().quick ? 3 : 24, 16 * kBurst, [&](Node& node, auto targets) {
      sent[&node.road] += static_cast<int64_t>(targets.size());
      return OneWay(node.road, source, targets);
    });
  };
  const auto table = [&](const char* name, const char* caption, const Results& results) {
    report.Begin(name, caption,
                 {{"random", "ns", 0},
                  {"hot", "ns", 0},
                  {"pods", "ns", 0},
                  {"random/10", "x", 2},
                  {"random/kp", "x", 2},
                  {"hot/kp", "x", 2},
                  {"pods/kp", "x", 2},
                  {"hot/rule", "x", 2}});
    Rows(report, nodes, [&](const Node& node) -> std::vector<double> {
      const Result& own = Of(results, node.layout, node.services);
      const Result& other = KubeProxys(results, node);
      return {own.random.p50(),
              own.hot.p50(),
              own.pods.p50(),
              ToTen(results, node),
              own.random.p50() / other.random.p50(),
              own.hot.p50() / other.hot.p50(),
              own.pods.p50() / other.pods.p50(),
              own.hot.p50() / Of(results, Layout::kOneRule, 1).hot.p50()};
    });
  };
  table("kernel path, pod", "a SYN sent, and dropped by the node once translated; a packet",
        measure(PacketRoad::PodAddress()));
  table("kernel path, outside", "the same from outside the pods' network: masqueraded too",
        measure(PacketRoad::OutsideAddress()));
  for (Node& node : nodes) PM_CHECK(node.road.Dropped() == sent[&node.road]);
}

void NewConnections(Report& report, std::deque<Node>& nodes) {
  const Results results = Measure(nodes, report.options().quick ? 3 : 20, 400,
                                  [](Node& node, auto targets) { return Connections(node.road, targets); });
  report.Begin("new connections", "connect, accept, reset, close, one after another from a pod; at the median of one",
               {{"random", "/s", 0},
                {"hot", "/s", 0},
                {"pods", "/s", 0},
                {"random/10", "x", 2},
                {"random/kp", "x", 2},
                {"hot/kp", "x", 2},
                {"pods/kp", "x", 2}});
  // Rates: a ratio of them is that of the times the other way round.
  Rows(report, nodes, [&](const Node& node) -> std::vector<double> {
    const Result& own = Of(results, node.layout, node.services);
    const Result& other = KubeProxys(results, node);
    return {PerSecond(own.random.p50()),
            PerSecond(own.hot.p50()),
            PerSecond(own.pods.p50()),
            1 / ToTen(results, node),
            other.random.p50() / own.random.p50(),
            other.hot.p50() / own.hot.p50(),
            other.pods.p50() / own.pods.p50()};
  });
}

void Established(Report& report, std::deque<Node>& nodes) {
  struct Found {
    Figures exchange;
    std::vector<double> throughput;
  };
  std::map<const PacketRoad*, Found> found;
  const int rounds = report.options().quick ? 3 : 24;
  for (int round = 0; round < rounds; ++round) {
    for (Node& node : nodes) {
      const SocketAddr& target = node.layout == Layout::kNone ? node.pods_at[0] : node.services_at[0];
      found[&node.road].exchange.Add(Exchanges(node.road, target, 1'000));
      found[&node.road].throughput.push_back(Throughput(node.road, target, absl::Milliseconds(100)));
    }
  }
  report.Begin("established",
               "on an open connection from a pod: a byte and a byte back; as much as one processor moves",
               {{"exchange", "us", 2}, {"p99", "us", 2}, {"bulk", "Gbit/s", 1}});
  Rows(report, nodes, [&](const Node& node) -> std::vector<double> {
    Found& own = found[&node.road];
    return {own.exchange.p50(), own.exchange.p99(), Percentile(own.throughput, 0.5)};
  });
}

void Run(const Options& options) {
  Report report("packet_bench", options);
  std::deque<Node> nodes;
  const auto add = [&](Layout layout, int services) {
    nodes.emplace_back();
    nodes.back().layout = layout;
    nodes.back().services = services;
    Load(nodes.back());
    printf("loaded: %s\n", NameOf(layout, services).c_str());
    fflush(stdout);
  };
  const std::vector<int> sizes =
      options.quick ? std::vector<int>{kFewest, 1'000} : std::vector<int>{kFewest, 1'000, 10'000, 50'000};
  add(Layout::kNone, sizes.back());
  add(Layout::kOneRule, 1);
  for (const int services : sizes) {
    if (services <= kMostForKubeProxy) add(Layout::kKubeProxy, services);
    add(Layout::kPointsman, services);
  }
  if (options.Wants("first packet")) FirstPacket(report, nodes);
  if (options.Wants("kernel path, pod") || options.Wants("kernel path, outside")) KernelPath(report, nodes);
  if (options.Wants("new connections")) NewConnections(report, nodes);
  if (options.Wants("established")) Established(report, nodes);
}

}  // namespace
}  // namespace pointsman::bench

int main(int argc, char** argv) {
  pointsman::bench::Run(pointsman::bench::ParseOptions({argv + 1, argv + argc}));
  return 0;
}
