// SPDX-License-Identifier: Apache-2.0
//
// The language of the scenario cases: hosts, manifests, and rows that say what a packet meets. See README.md.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "pointsman/api.h"
#include "pointsman/net.h"
#include "pointsman/store.h"

namespace pointsman::scenario {

// --- the bed ---

enum class HostKind {
  kNode,    // the node under test
  kPod,     // behind the node or a router
  kRouter,  // another node: routes to its pods, and no more
  kClient,  // on the LAN, sends what it has no route for to the node
  kWorld,   // where the node sends what it has no route for
};

struct Host {
  std::string name;
  HostKind kind = HostKind::kPod;
  std::string on;                                          // of a pod: the node or router it is behind
  absl::btree_map<Family, std::vector<IpAddr>> addresses;  // a client may have several; the first is its own

  // Null if it has none of this family.
  const IpAddr* Address(Family family) const;
  bool Has(const IpAddr& addr) const;
};

// More addresses of the node: what they are called, and whether they are on an interface of their own or on loopback.
struct Alias {
  std::string name;
  bool loopback = false;
  absl::btree_map<Family, IpAddr> addresses;
};

struct SysctlLine {
  std::string host;
  std::string name;
  std::string value;
};

struct BedPlan {
  std::vector<Host> hosts;  // in the order written; the node is one of them
  std::vector<Alias> aliases;
  absl::btree_map<Family, IpAddr> gateway;  // what pods of this node see of it
  std::string bridge;                       // not empty: this node's pods hang on a bridge of this name
  std::vector<SysctlLine> sysctls;

  const Host* Find(absl::string_view name) const;  // null if there is none
  const Host& node() const;
  const Host* world() const;  // null if there is none
  bool IsNodeAddress(const IpAddr& addr) const;
  std::vector<IpAddr> NodeAddresses() const;  // every address of the node but loopback's own; sorted, unique
  // The interface through which packets of `host` reach the node; empty for the node itself.
  std::string InterfaceOf(const Host& host) const;
};

// The name of the interface on the router's (or node's) side of a pod.
std::string PodInterface(absl::string_view pod);
inline constexpr char kLanInterface[] = "lan";

// --- rows ---

// What the sender's address looks like from the endpoint.
enum class Source {
  kKept,
  kMasq,     // the node's address on the outgoing interface
  kPrimary,  // the node's first address, with or without masquerading
};

enum class Verdict {
  kDeliver,
  kReject,
  kDrop,
  kRouted,  // not touched, and not for the node itself
  kHost,    // not touched, delivered to the node's own stack
  kHealth,  // an HTTP answer of the health-check port
};

// As written: {P1,Q1:8443~=masq}
struct EndpointText {
  std::string host;
  uint16_t port = 0;  // 0: whatever the slices say
  bool lost = false;  // chosen, but its answer does not come back through this node
  std::optional<Source> source;
};

enum class Ask {
  kEvery,    // new connections until every endpoint of the set has answered
  kSticky,   // the same endpoint each time, and the same as for this client's last sticky row of the Service
  kFresh,    // as kSticky, but the choice may be a new one
  kChanged,  // some address of the client has another endpoint than in the last sticky row
  kSpread,   // one question from each of the client's addresses; together they reach all of the set
};

enum class Where { kEverywhere, kPlanOnly, kPacketsOnly };

struct Expectation {
  Verdict verdict = Verdict::kDeliver;
  std::vector<EndpointText> endpoints;  // kDeliver
  std::optional<Source> source;         // of those that do not say
  int count = 0;                        // kHealth: local ready endpoints
  Ask ask = Ask::kEvery;
  int times = 1;      // of verdicts that are not a set
  bool soon = false;  // of a flow: it may take a while until it is so
  std::optional<Family> family;
  Where where = Where::kEverywhere;
  std::string why;
};

// "el/vip:80/tcp", "A2:30010", "192.0.2.1:80/udp", "[2001:db8::1]:80/tcp", "cl/cluster/icmp"
struct Address {
  std::string text;
  std::string object;  // name of a Service, a host, an alias, "localhost", or an address
  std::string kind;    // cluster, external, vip, nodeport, health; empty unless `object` is a Service
  std::string at;      // of nodeport and health: whose address, if not the node's own
  int index = 0;       // of external and vip: which, from 0
  uint16_t port = 0;
  std::vector<std::string> protocols;  // tcp udp sctp icmp; empty: those of the Service
};

struct Sender {
  std::string host;
  std::optional<Address> as;  // bound to this address
};

struct Row {
  std::string id;
  std::vector<Sender> from;
  std::vector<Address> to;
  Expectation expect;
};
struct Apply {
  std::string file;
};
struct Restart {};
struct Stop {};
struct Start {};
struct Wait {
  absl::Duration time;
};
// Another program on the node drops all it would forward.
struct Firewall {};
struct Flow {
  std::string name;
  Sender from;
  Address to;
  std::optional<Family> family;
};
struct AskFlow {
  std::string id;
  std::string flow;
  Expectation expect;
};
struct NotRun {
  std::string id;
  std::string why;
};

struct Step {
  int line = 0;
  std::variant<Row, Apply, Restart, Stop, Start, Wait, Firewall, Flow, AskFlow, NotRun> what;
};

struct Case {
  std::string name;
  std::string path;
  std::string description;
  BedPlan bed;
  std::vector<std::string> flags;
  std::string settings;
  std::map<std::string, std::string> clusters;  // by file name; "cluster.yaml" is there from the beginning
  std::vector<Step> steps;
};

// Errors: kInvalidArgument, "PATH:LINE: what is wrong". Unknown words, sections and hosts are errors.
absl::StatusOr<Case> ParseCase(const std::string& path, const std::string& text);

// --- what rows mean in a cluster ---

// The objects of one state, as rows name them.
struct Cluster {
  std::vector<std::shared_ptr<const Object>> objects;

  const Service* FindService(absl::string_view name) const;  // by name alone; null if there is none
};

enum class Wire { kTcp, kUdp, kSctp, kIcmp };
const char* FormatWire(Wire wire);
Protocol ProtocolOf(Wire wire);  // not of kIcmp

struct ExpectedEndpoint {
  std::string host;
  SocketAddr at;
  bool lost = false;
  Source source = Source::kKept;
};

// One row for one sender, destination, family and protocol.
struct Question {
  std::string id;
  int line = 0;
  std::string text;  // "P2 -> cl/cluster:80"
  const Host* from = nullptr;
  std::optional<IpAddr> bound_to;
  Family family = Family::kIpv4;
  Wire wire = Wire::kTcp;
  SocketAddr to;
  std::string service;  // that answers there; empty: none
  std::vector<ExpectedEndpoint> endpoints;
  Expectation expect;

  IpAddr source() const { return bound_to ? *bound_to : *from->Address(family); }
  bool from_node() const { return from->kind == HostKind::kNode; }
};

// Where the sender's address counts: what `endpoint` must see.
IpAddr SeenAs(const BedPlan& bed, const Question& question, const ExpectedEndpoint& endpoint);

// Every combination the row stands for. Errors: kInvalidArgument with the place; no combination at all is one.
absl::StatusOr<std::vector<Question>> Expand(const Case& scenario, const Cluster& cluster, int line, const Row& row);
absl::StatusOr<std::vector<Question>> Expand(const Case& scenario, const Cluster& cluster, int line, const Flow& flow);
// The endpoints of `expect` for the questions of an earlier Expand of the flow, in the cluster as it is now.
absl::Status ExpectOf(const Case& scenario, const Cluster& cluster, int line, const Expectation& expect,
                      Question& question);

}  // namespace pointsman::scenario
