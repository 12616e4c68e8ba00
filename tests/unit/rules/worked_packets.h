// SPDX-License-Identifier: Apache-2.0
//
// Packets and what must become of them, worked out by hand from the semantics of Services. The plan and every backend
// are held against the same rows.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "pointsman/nft_program.h"
#include "pointsman/packet.h"
#include "tests/support/builders.h"

namespace pointsman::support {

// A planned cluster as seen from one node.
struct World {
  std::vector<std::shared_ptr<const ServicePlan>> plans;
  nft::BaseSettings settings;
  std::vector<IpAddr> node_addresses;

  Surroundings around() const { return {settings.policy, settings.service_cidrs, node_addresses}; }
};

struct PacketRow {
  std::string name;
  std::shared_ptr<const World> world;
  Packet packet;
  Outcome expected;
  std::string why;
};

inline std::ostream& operator<<(std::ostream& out, const PacketRow& row) {
  return out << FormatIp(row.packet.source) << " -> "
             << FormatMatch({row.packet.dest, row.packet.protocol, row.packet.port});
}

// "pod", "node", "outside", or an address; "192.0.2.1:80", or with "/udp" or "/sctp".
inline Packet Send(const std::string& from, const std::string& to) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(to, absl::MaxSplits('/', 1));
  const SocketAddr dest = At(parts.first);
  const bool v4 = dest.addr.family() == Family::kIpv4;
  Packet packet{.dest = dest.addr, .port = dest.port, .from_node = from == "node"};
  packet.protocol = parts.second == "udp" ? Protocol::kUdp : parts.second == "sctp" ? Protocol::kSctp : Protocol::kTcp;
  packet.source = from == "pod"       ? Ip(v4 ? "10.0.0.2" : "fd00:10::2")
                  : from == "node"    ? Ip(v4 ? "192.168.0.2" : "2001:db8::2")
                  : from == "outside" ? Ip(v4 ? "203.0.113.2" : "2001:db8:f::2")
                                      : Ip(from);
  return packet;
}

// "A1 B1 snat" is delivery to 10.180.0.1:80 and 10.180.1.1:80, masqueraded; "6A1" is [fd00:180::1]:80; an endpoint may
// be written out. Or "reject", "drop", "pass".
inline Outcome Expect(const std::string& text) {
  if (text == "reject") return {Outcome::Verdict::kReject, {}};
  if (text == "drop") return {Outcome::Verdict::kDrop, {}};
  if (text == "pass") return {Outcome::Verdict::kPass, {}};
  Outcome outcome{Outcome::Verdict::kDeliver, {}};
  const bool snat = absl::EndsWith(text, " snat");
  for (const std::string& word : std::vector<std::string>(absl::StrSplit(text, ' '))) {
    if (word == "snat") continue;
    std::string endpoint = word;
    if (word[0] == 'A') endpoint = absl::StrCat("10.180.0.", word.substr(1), ":80");
    if (word[0] == 'B') endpoint = absl::StrCat("10.180.1.", word.substr(1), ":80");
    if (absl::StartsWith(word, "6A")) endpoint = absl::StrCat("[fd00:180::", word.substr(2), "]:80");
    outcome.deliveries.insert({At(endpoint), snat});
  }
  return outcome;
}

inline NodeInfo ThisNode() {
  NodeInfo node{.name = "this"};
  node.local_addresses = {Ip("192.168.0.2"), Ip("2001:db8::2")};
  node.node_port_addresses = node.local_addresses;
  return node;
}

inline nft::BaseSettings WithDetector() {
  nft::BaseSettings settings;
  settings.policy.pods.cidrs = {Net("10.0.0.0/8"), Net("fd00:10::/32")};
  return settings;
}

inline std::shared_ptr<const World> MakeWorld(std::vector<ObjectChange> objects, nft::BaseSettings settings,
                                              const NodeInfo& node = ThisNode()) {
  Store store;
  const Touched touched = store.Apply(Batch(std::move(objects)));
  World world{.plans = {}, .settings = std::move(settings), .node_addresses = node.local_addresses};
  for (auto& [name, plan] : Planner().Plan(store, touched, node, world.settings.policy).services) {
    if (plan != nullptr) world.plans.push_back(std::move(plan));
  }
  return std::make_shared<const World>(std::move(world));
}

class PacketRows {
 public:
  // Rows from here on are about `world`, and get `prefix` in front of their names.
  PacketRows& In(std::shared_ptr<const World> world, const std::string& prefix = "") {
    world_ = std::move(world);
    prefix_ = prefix;
    return *this;
  }
  PacketRows& Row(const std::string& name, const std::string& from, const std::string& to, const std::string& expected,
                  const std::string& why = "") {
    rows_.push_back({absl::StrCat(prefix_, name), world_, Send(from, to), Expect(expected), why});
    return *this;
  }
  std::vector<PacketRow> Take() && { return std::move(rows_); }

 private:
  std::shared_ptr<const World> world_;
  std::string prefix_;
  std::vector<PacketRow> rows_;
};

// Every cell of the table "destination, policy, sender", in four configurations: with and without a detector of pods,
// with and without masqueradeAll.
inline void AddPolicyMatrix(PacketRows& rows) {
  const auto svc = [](const char* n, const char* vip, uint16_t node_port) {
    return Svc(absl::StrCat("ns/svc", n)).ClusterIp(absl::StrCat("172.30.0.4", n)).Vip(vip).Tcp(80, "p80", node_port);
  };
  const auto slice = [](const std::string& n) {
    return Slice(absl::StrCat("ns/svc", n, "-1"), absl::StrCat("svc", n))
        .Port(80, "p80")
        .Ready(absl::StrCat("10.180.0.", n), "this")
        .Ready(absl::StrCat("10.180.1.", n), "other")
        .Put();
  };
  const std::vector<ObjectChange> objects = {
      svc("1", "1.2.3.4", 3001).Put(),
      svc("2", "5.6.7.8", 3002).ExternalLocal().Put(),
      svc("3", "9.10.11.12", 3003).InternalLocal().Put(),
      slice("1"),
      slice("2"),
      slice("3"),
  };
  struct Cell {
    const char* name;
    const char* from;
    const char* to;
    const char* outcome[4];  // "=" is as in the first
  };
  const std::vector<Cell> cells = {
      {"P01", "pod", "172.30.0.41:80", {"A1 B1", "=", "A1 B1 snat", "A1 B1 snat"}},
      {"P02", "pod", "192.168.0.2:3001", {"A1 B1 snat", "=", "=", "="}},
      {"P03", "pod", "1.2.3.4:80", {"A1 B1 snat", "=", "=", "="}},
      {"P04", "node", "172.30.0.41:80", {"A1 B1 snat", "A1 B1", "=", "="}},
      {"P05", "node", "192.168.0.2:3001", {"A1 B1 snat", "=", "=", "="}},
      {"P06", "node", "1.2.3.4:80", {"A1 B1 snat", "=", "=", "="}},
      {"P07", "outside", "172.30.0.41:80", {"A1 B1 snat", "A1 B1", "=", "="}},
      {"P08", "outside", "192.168.0.2:3001", {"A1 B1 snat", "=", "=", "="}},
      {"P09", "outside", "1.2.3.4:80", {"A1 B1 snat", "=", "=", "="}},
      {"P10", "pod", "172.30.0.42:80", {"A2 B2", "=", "A2 B2 snat", "A2 B2 snat"}},
      {"P11", "pod", "192.168.0.2:3002", {"A2 B2", "A2", "=", "A2"}},
      {"P12", "pod", "5.6.7.8:80", {"A2 B2", "A2", "=", "A2"}},
      {"P13", "node", "172.30.0.42:80", {"A2 B2 snat", "A2 B2", "=", "="}},
      {"P14", "node", "192.168.0.2:3002", {"A2 B2 snat", "=", "=", "="}},
      {"P15", "node", "5.6.7.8:80", {"A2 B2 snat", "=", "=", "="}},
      {"P16", "outside", "172.30.0.42:80", {"A2 B2 snat", "A2 B2", "=", "="}},
      {"P17", "outside", "192.168.0.2:3002", {"A2", "=", "=", "="}},
      {"P18", "outside", "5.6.7.8:80", {"A2", "=", "=", "="}},
      {"P19", "pod", "172.30.0.43:80", {"A3", "=", "A3 snat", "A3 snat"}},
      {"P20", "pod", "192.168.0.2:3003", {"A3 B3 snat", "=", "=", "="}},
      {"P21", "pod", "9.10.11.12:80", {"A3 B3 snat", "=", "=", "="}},
      {"P22", "node", "172.30.0.43:80", {"A3 snat", "A3", "=", "="}},
      {"P23", "node", "192.168.0.2:3003", {"A3 B3 snat", "=", "=", "="}},
      {"P24", "node", "9.10.11.12:80", {"A3 B3 snat", "=", "=", "="}},
      {"P25", "outside", "172.30.0.43:80", {"A3 snat", "A3", "=", "="}},
      {"P26", "outside", "192.168.0.2:3003", {"A3 B3 snat", "=", "=", "="}},
      {"P27", "outside", "9.10.11.12:80", {"A3 B3 snat", "=", "=", "="}},
  };
  for (int v = 0; v < 4; ++v) {
    nft::BaseSettings settings = v == 0 || v == 2 ? WithDetector() : nft::BaseSettings{};
    settings.policy.masquerade_all = v >= 2;
    rows.In(MakeWorld(objects, settings), absl::StrCat("V", v + 1));
    for (const Cell& cell : cells) {
      const std::string outcome = cell.outcome[v];
      rows.Row(cell.name, cell.from, cell.to, outcome == "=" ? cell.outcome[0] : outcome);
    }
  }
}

inline void AddClusterIps(PacketRows& rows) {
  nft::BaseSettings settings = WithDetector();
  settings.service_cidrs = {Net("172.30.0.0/16")};
  const auto world = MakeWorld({Svc("ns/svc1").ClusterIp("172.30.0.41").Tcp(80, "http").Put(),
                                Slice("ns/svc1-1", "svc1").Port(80, "http").Ready("10.180.0.1", "this").Put(),
                                Svc("ns/svc2")
                                    .ClusterIp("172.30.0.42")
                                    .Tcp(80, "http")
                                    .Tcp(443, "https")
                                    .Udp(53, "dns-udp")
                                    .Tcp(53, "dns-tcp")
                                    .Port(Protocol::kSctp, 53, "dns-sctp", 0)
                                    .Put(),
                                Slice("ns/svc2-1", "svc2")
                                    .Port(80, "http")
                                    .Port(8443, "https")
                                    .Port(53, "dns-udp", Protocol::kUdp)
                                    .Port(5353, "dns-tcp")
                                    .Port(53, "dns-sctp", Protocol::kSctp)
                                    .Ready("10.180.0.1", "this")
                                    .Ready("10.180.2.1", "other")
                                    .Put()},
                               settings);
  rows.In(world)
      .Row("B01", "10.180.0.2", "172.30.0.41:80", "A1")
      .Row("B02", "10.180.0.1", "172.30.0.41:80", "A1 snat", "an endpoint that is its own client")
      .Row("B03", "10.180.0.2", "172.30.0.42:80", "A1 10.180.2.1:80")
      .Row("B04", "10.180.0.2", "172.30.0.42:443", "10.180.0.1:8443 10.180.2.1:8443")
      .Row("B05", "10.180.0.2", "172.30.0.42:53", "10.180.0.1:5353 10.180.2.1:5353")
      .Row("B06", "10.180.0.2", "172.30.0.42:53/udp", "10.180.0.1:53 10.180.2.1:53")
      .Row("B07", "10.180.0.2", "172.30.0.42:53/sctp", "10.180.0.1:53 10.180.2.1:53")
      .Row("B08", "10.180.0.2", "172.30.0.42:80/udp", "reject", "another protocol is another port")
      .Row("B09", "10.180.0.2", "172.30.0.41:443", "reject", "a port the Service has not")
      .Row("B10", "10.180.0.2", "172.30.0.50:80", "drop", "an address nobody has")
      .Row("B11", "10.180.0.2", "172.31.0.50:80", "pass", "outside the Service CIDRs it is none of our business")
      .Row("B12", "node", "192.168.0.2:80", "pass", "the node's own ports stay its own");
}

inline void AddNoEndpoints(PacketRows& rows) {
  const auto world = MakeWorld(
      {Svc("ns/svc1").ClusterIp("172.30.0.41").ExternalIp("192.168.99.11").Vip("1.2.3.4").Tcp(80, "p80", 3001).Put(),
       Svc("ns/svc2")
           .ClusterIp("172.30.0.42")
           .Vip("5.6.7.8")
           .Tcp(80, "p80", 3002)
           .InternalLocal()
           .ExternalLocal()
           .Put(),
       Slice("ns/svc2-1", "svc2").Port(80, "p80").NotReady("10.180.0.2").Put()},
      WithDetector());
  rows.In(world)
      .Row("N01", "pod", "172.30.0.41:80", "reject")
      .Row("N02", "outside", "192.168.99.11:80", "reject")
      .Row("N03", "pod", "192.168.0.2:3001", "reject")
      .Row("N04", "outside", "192.168.0.2:3001", "reject")
      .Row("N05", "pod", "1.2.3.4:80", "reject")
      .Row("N06", "outside", "1.2.3.4:80", "reject")
      .Row("N07", "node", "192.168.99.11:80", "reject")
      .Row("N08", "pod", "172.30.0.42:80", "reject", "nothing anywhere is refused whatever the policies")
      .Row("N09", "outside", "5.6.7.8:80", "reject", "nothing anywhere is refused whatever the policies")
      .Row("N10", "node", "192.168.0.2:3002", "reject", "nothing anywhere is refused whatever the policies");
}

inline void AddExternalPolicies(PacketRows& rows) {
  const auto svc = [] {
    return Svc("ns/svc1").ClusterIp("172.30.0.41").ExternalIp("192.168.99.11").Vip("1.2.3.4").Tcp(80, "p80", 3001);
  };
  const auto slice = [](bool with_local) {
    Slice made = Slice("ns/svc1-1", "svc1").Port(80, "p80").Ready("10.180.1.1", "other");
    if (with_local) made.Ready("10.180.0.1", "this");
    return made.Put();
  };
  struct Destination {
    const char* name;
    const char* to;
  };
  const std::vector<Destination> external = {
      {"ExternalIp", "192.168.99.11:80"}, {"Vip", "1.2.3.4:80"}, {"NodePort", "192.168.0.2:3001"}};

  rows.In(MakeWorld({svc().ExternalLocal().Put(), slice(true)}, WithDetector()), "XLocal")
      .Row("PodClusterIp", "pod", "172.30.0.41:80", "A1 B1", "X01: the policy is for external traffic")
      .Row("NodeClusterIp", "node", "172.30.0.41:80", "A1 B1 snat");
  for (const Destination& d : external) {
    rows.Row(absl::StrCat("Pod", d.name), "pod", d.to, "A1 B1", "X02, X04, X06: as if from the cluster, without SNAT")
        .Row(absl::StrCat("Node", d.name), "node", d.to, "A1 B1 snat", "so is the node, with")
        .Row(absl::StrCat("Outside", d.name), "outside", d.to, "A1", "X03, X05, X07");
  }
  rows.In(MakeWorld({svc().Put(), slice(true)}, WithDetector()), "XCluster")
      .Row("PodClusterIp", "pod", "172.30.0.41:80", "A1 B1", "X08");
  for (const Destination& d : external) {
    for (const char* from : {"pod", "node", "outside"}) {
      rows.Row(absl::StrCat(from, d.name), from, d.to, "A1 B1 snat", "X09, X10");
    }
  }
  rows.In(MakeWorld({svc().ExternalLocal().Put(), slice(false)}, WithDetector()), "XNoneHere");
  for (const Destination& d : external) {
    rows.Row(absl::StrCat("Outside", d.name), "outside", d.to, "drop", "X11: another node has one, try there")
        .Row(absl::StrCat("Pod", d.name), "pod", d.to, "B1", "X12")
        .Row(absl::StrCat("Node", d.name), "node", d.to, "B1 snat", "X13");
  }
}

inline void AddSourceRanges(PacketRows& rows) {
  const auto svc = [] {
    return Svc("ns/svc1")
        .ClusterIp("172.30.0.41")
        .Vip("1.2.3.4")
        .Vip("5.6.7.8")
        .ExternalIp("192.168.99.11")
        .Tcp(80, "p80", 3001);
  };
  const ObjectChange slice = Slice("ns/svc1-1", "svc1").Port(80, "p80").Ready("10.180.0.1", "this").Put();
  rows.In(MakeWorld({svc().SourceRange("192.168.0.0/24").SourceRange(" 203.0.113.0/25").Put(), slice}, WithDetector()))
      .Row("L01", "pod", "172.30.0.41:80", "A1", "ranges are for load-balancer addresses")
      .Row("L02", "203.0.113.2", "192.168.0.2:3001", "A1 snat")
      .Row("L03", "203.0.113.130", "192.168.0.2:3001", "A1 snat", "not for NodePorts")
      .Row("L03External", "203.0.113.130", "192.168.99.11:80", "A1 snat", "nor external IPs")
      .Row("L04", "203.0.113.2", "1.2.3.4:80", "A1 snat")
      .Row("L04Other", "203.0.113.2", "5.6.7.8:80", "A1 snat")
      .Row("L05", "203.0.113.130", "1.2.3.4:80", "drop")
      .Row("L05Other", "203.0.113.130", "5.6.7.8:80", "drop")
      .Row("L06", "pod", "1.2.3.4:80", "drop", "pods are no exception")
      .Row("L07", "node", "1.2.3.4:80", "A1 snat", "the node is inside a range")
      .Row("L08", "1.2.3.4", "1.2.3.4:80", "A1 snat", "a node that is inside may use the address as its source")
      .Row("L09", "5.6.7.8", "5.6.7.8:80", "A1 snat");
  rows.In(MakeWorld({svc().SourceRange("203.0.113.0/25").Put(), slice}, WithDetector()), "L12")
      .Row("Node", "node", "1.2.3.4:80", "drop", "this node is in no range")
      .Row("Own", "1.2.3.4", "1.2.3.4:80", "drop");
  rows.In(MakeWorld({svc().SourceRange("203.0.113.0/25").SourceRange("0.0.0.0/0").Put(), slice}, WithDetector()))
      .Row("L10", "198.51.100.1", "1.2.3.4:80", "A1 snat", "one range of everything admits everyone");
  rows.In(MakeWorld({svc().SourceRange("2001:db8::/32").Put(), slice}, WithDetector()))
      .Row("L11", "198.51.100.1", "1.2.3.4:80", "A1 snat", "ranges of the other family do not restrict this one");
  rows.In(MakeWorld(
              {svc().SourceRange("203.0.113.0/25").SourceRange("203.0.113.64/26").SourceRange("203.0.113.0/24").Put(),
               slice},
              WithDetector()))
      .Row("LNested", "203.0.113.200", "1.2.3.4:80", "A1 snat", "ranges inside others are allowed");
  rows.In(MakeWorld({svc().SourceRange("203.0.113.0/25").ExternalLocal().Put(),
                     Slice("ns/svc1-1", "svc1").Port(80, "p80").Ready("10.180.1.1", "other").Put()},
                    WithDetector()),
          "LLocal")
      .Row("OutsideOutOfRange", "203.0.113.130", "1.2.3.4:80", "drop")
      .Row("OutsideInRange", "203.0.113.2", "1.2.3.4:80", "drop", "admitted, but there is no endpoint here")
      .Row("PodInRange", "203.0.113.2", "172.30.0.41:80", "B1 snat");
  rows.In(MakeWorld({svc().SourceRange("203.0.113.0/25").Put()}, WithDetector()), "LEmpty")
      .Row("OutOfRange", "203.0.113.130", "1.2.3.4:80", "drop", "ranges come before the refusal")
      .Row("InRange", "203.0.113.2", "1.2.3.4:80", "reject");
}

inline void AddPoliciesAndStates(PacketRows& rows) {
  const auto internal_local = [](const Slice& slice) {
    return MakeWorld({Svc("ns/svc1").ClusterIp("172.30.1.1").Tcp(80).InternalLocal().Put(), slice.Put()},
                     WithDetector());
  };
  const auto slice = [] { return Slice("ns/svc1-1", "svc1").Port(80); };
  rows.In(internal_local(slice().Ready("10.180.0.1", "this").Ready("10.180.0.2", "other")))
      .Row("T02", "pod", "172.30.1.1:80", "A1");
  rows.In(internal_local(slice().Ready("10.180.0.1", "this").Ready("10.180.0.2", "this").Ready("10.180.0.3", "other")))
      .Row("T03", "pod", "172.30.1.1:80", "A1 A2");
  rows.In(internal_local(slice().Ready("10.180.0.1", "other").Ready("10.180.0.2", "other")))
      .Row("T04", "pod", "172.30.1.1:80", "drop", "endpoints exist, none here");
  rows.In(internal_local(slice())).Row("T04Gone", "pod", "172.30.1.1:80", "reject", "no endpoint anywhere");

  const auto external_local = [](const Slice& made) {
    return MakeWorld({Svc("ns/svc1").ClusterIp("172.30.1.1").Vip("1.2.3.4").Tcp(80).ExternalLocal().Put(), made.Put()},
                     WithDetector());
  };
  rows.In(external_local(
              slice().Ready("10.180.0.1", "this").Terminating("10.180.0.3", "this").Ready("10.180.0.5", "other")))
      .Row("E01Pod", "pod", "172.30.1.1:80", "A1 A5")
      .Row("E01Outside", "outside", "1.2.3.4:80", "A1");
  rows.In(external_local(
              slice().Terminating("10.180.0.2", "this").Terminating("10.180.0.3", "this").Ready("10.180.0.5", "other")))
      .Row("E02Pod", "pod", "172.30.1.1:80", "A5")
      .Row("E02Outside", "outside", "1.2.3.4:80", "A2 A3", "each list falls back for itself");
  rows.In(external_local(slice().Terminating("10.180.0.5", "other")))
      .Row("E03Pod", "pod", "172.30.1.1:80", "A5")
      .Row("E03Outside", "outside", "1.2.3.4:80", "drop");
  rows.In(external_local(slice().NotReady("10.180.0.5")))
      .Row("E04Pod", "pod", "172.30.1.1:80", "reject")
      .Row("E04Outside", "outside", "1.2.3.4:80", "reject");
}

inline void AddIpv6(PacketRows& rows) {
  nft::BaseSettings settings = WithDetector();
  settings.service_cidrs = {Net("172.30.0.0/16"), Net("fd00:30::/112")};
  const auto world = MakeWorld({Svc("ns/svc1")
                                    .ClusterIp("172.30.0.41")
                                    .ClusterIp("fd00:30::41")
                                    .Vip("2001:db8:1::4")
                                    .SourceRange("2001:db8:f::/64")
                                    .Tcp(80, "p80", 3001)
                                    .ExternalLocal()
                                    .Put(),
                                Slice("ns/svc1-6", "svc1", Family::kIpv6)
                                    .Port(80, "p80")
                                    .Ready("fd00:180::1", "this")
                                    .Ready("fd00:180::2", "other")
                                    .Put()},
                               settings);
  rows.In(world, "V6")
      .Row("ClusterIpPod", "pod", "[fd00:30::41]:80", "6A1 6A2")
      .Row("ClusterIpOutside", "outside", "[fd00:30::41]:80", "6A1 6A2 snat")
      .Row("NodePortOutside", "outside", "[2001:db8::2]:3001", "6A1")
      .Row("NodePortNode", "node", "[2001:db8::2]:3001", "6A1 6A2 snat")
      .Row("VipOutside", "outside", "[2001:db8:1::4]:80", "6A1")
      .Row("VipOutOfRange", "2001:db8:e::2", "[2001:db8:1::4]:80", "drop")
      .Row("OtherPort", "pod", "[fd00:30::41]:81", "reject")
      .Row("OtherPortUdp", "pod", "[fd00:30::41]:80/udp", "reject")
      .Row("Hairpin", "fd00:180::1", "[fd00:30::41]:80/udp", "reject", "no port, no hairpin")
      .Row("Ipv4HasNoEndpoints", "pod", "172.30.0.41:80", "reject", "each family for itself");
}

inline std::vector<PacketRow> WorkedPackets() {
  PacketRows rows;
  AddPolicyMatrix(rows);
  AddClusterIps(rows);
  AddNoEndpoints(rows);
  AddExternalPolicies(rows);
  AddSourceRanges(rows);
  AddPoliciesAndStates(rows);
  AddIpv6(rows);
  return std::move(rows).Take();
}

}  // namespace pointsman::support
