// SPDX-License-Identifier: Apache-2.0
//
// The backend-neutral plan: what each Service address means on this node, every Kubernetes question settled.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"

#include "pointsman/model.h"
#include "pointsman/net.h"
#include "pointsman/store.h"

namespace pointsman {

// This node, as far as planning needs it.
struct NodeInfo {
  std::string name;
  std::string zone;                         // empty: unknown
  std::vector<IpAddr> node_port_addresses;  // where NodePorts answer; sorted, unique
  std::vector<IpAddr> local_addresses;      // every address of the node; sorted, unique

  friend bool operator==(const NodeInfo&, const NodeInfo&) = default;
};

// How to recognise traffic that comes from a pod, per family; nothing set: no pod is recognised.
struct LocalDetector {
  std::optional<Cidr> ipv4;
  std::optional<Cidr> ipv6;

  const std::optional<Cidr>& cidr(Family family) const { return family == Family::kIpv4 ? ipv4 : ipv6; }
  friend bool operator==(const LocalDetector&, const LocalDetector&) = default;
};

struct Policy {
  LocalDetector pods;
  bool masquerade_all = false;

  friend bool operator==(const Policy&, const Policy&) = default;
};

// The destination of a new connection.
struct Match {
  IpAddr dest;
  Protocol protocol = Protocol::kTcp;
  uint16_t port = 0;

  friend auto operator<=>(const Match&, const Match&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Match& m) {
    return H::combine(std::move(h), m.dest, m.protocol, m.port);
  }
};

std::string FormatMatch(const Match& match);  // "192.0.2.1:80/tcp"

enum class Snat {
  kNever,
  kAlways,
  kOutsidePods,  // when the source is not a pod the detector recognises
};

enum class Scope {
  kCluster,        // everyone gets the cluster list
  kLocal,          // everyone gets the node-local list; an empty one drops
  kExternalLocal,  // pods and the node itself get the cluster list, everyone else the node-local one
};

// What happens to a connection that matches. An empty cluster list rejects.
struct Action {
  Scope scope = Scope::kCluster;
  Snat snat = Snat::kNever;
  std::vector<Cidr> allow;                         // sources let in; empty: everyone. Others are dropped.
  absl::Duration affinity = absl::ZeroDuration();  // zero: none

  friend bool operator==(const Action&, const Action&) = default;
};

struct Frontend {
  Match match;
  Action action;

  friend bool operator==(const Frontend&, const Frontend&) = default;
};

// One Service port in one family. Its frontends share the two lists.
struct PortPlan {
  ServicePortName name;
  std::vector<Frontend> frontends;  // sorted by match, unique
  std::vector<SocketAddr> cluster;  // sorted, unique
  std::vector<SocketAddr> local;    // sorted, unique; filled only if some frontend's scope is not kCluster
  std::vector<IpAddr> hairpin;      // endpoint addresses that may call themselves through this node; sorted, unique

  friend bool operator==(const PortPlan&, const PortPlan&) = default;
};

struct ServicePlan {
  NamespacedName service;
  absl::Time creation = absl::InfinitePast();
  std::vector<PortPlan> ports;

  friend bool operator==(const ServicePlan&, const ServicePlan&) = default;
};

// The endpoint lists of one Service port as seen from one node.
struct EndpointChoice {
  std::vector<SocketAddr> cluster;  // sorted, unique
  std::vector<SocketAddr> local;    // sorted, unique
  std::vector<IpAddr> hairpin;      // sorted, unique
  bool any = false;                 // some endpoint is usable somewhere
};

// Chooses where traffic to `port` may go from this node.
//
// Inputs:  `port.endpoints` unique by address.
// Returns: lists that the port does not use are empty. See service-traffic-policy and topology-aware routing.
// Cost:    O(n).
// Source:  Service.spec.{internal,external}TrafficPolicy, EndpointSlice hints; KEP-1669, KEP-2086, KEP-2433, KEP-3015.
EndpointChoice ChooseEndpoints(const ServicePort& port, const NodeInfo& node);

// Settles every policy of one Service: the only place where Kubernetes semantics become frontends and lists.
//
// Returns: frontends may still collide with those of other Services; FrontendTable decides who owns them. Within the
//          Service the first port in order keeps a contested match, with a Diagnostic.
// Cost:    O(ports x frontends + endpoints).
ServicePlan PlanService(const NamespacedName& name, absl::Span<const ServicePort> ports, const NodeInfo& node,
                        const Policy& policy, Diagnostics& diagnostics);

// Which Service owns each match, and who else claims it. The oldest Service wins, then the lesser name.
class FrontendTable {
 public:
  // Replaces the claims of one Service.
  // Returns: the *other* Services whose owned frontends changed by it (hand-overs, both ways).
  // Cost:    O(log n) per claim added or withdrawn.
  absl::btree_set<NamespacedName> Claim(const NamespacedName& service, absl::Time creation,
                                        const absl::btree_set<Match>& matches);

  // The owner of `match`; null if nobody claims it.
  const NamespacedName* Owner(const Match& match) const;

 private:
  struct Claimant {
    absl::Time creation;
    NamespacedName service;
    friend bool operator<(const Claimant& a, const Claimant& b) {
      return a.creation != b.creation ? a.creation < b.creation : a.service < b.service;
    }
  };
  absl::flat_hash_map<Match, absl::btree_set<Claimant>> claims_;
  absl::flat_hash_map<NamespacedName, std::pair<absl::Time, absl::btree_set<Match>>> by_service_;
};

// New plans by Service, and null for Services that are gone.
struct PlanPatch {
  absl::btree_map<NamespacedName, std::shared_ptr<const ServicePlan>> services;
  absl::flat_hash_map<NamespacedName, Diagnostics> diagnostics;  // of the Services in `services` only
};

// Holds what planning must remember between events: who owns each frontend.
class Planner {
 public:
  // Plans the touched Services, and those that gain or lose a frontend by it.
  // Cost: the Services named and the Services they collide with; with `touched.all`, every Service.
  PlanPatch Plan(const Store& store, const Touched& touched, const NodeInfo& node, const Policy& policy);

 private:
  FrontendTable frontends_;
  absl::btree_set<NamespacedName> planned_;
};

// Readable, stable text: what golden files and `-v` show.
std::string FormatPlan(const ServicePlan& plan);

}  // namespace pointsman
