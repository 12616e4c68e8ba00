// SPDX-License-Identifier: Apache-2.0
//
// The backend-neutral plan: what each Service address means on this node, every Kubernetes question settled.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "pointsman/flows.h"
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

// How to recognise traffic that comes from a pod: by its source address, or by the interface it comes in through.
// Nothing set: no pod is recognised.
struct LocalDetector {
  std::vector<Cidr> cidrs;        // of both families; sorted, none inside another
  std::string interface;          // if not empty, this decides, and for both families
  bool interface_prefix = false;  // `interface` is the beginning of the names

  // Whether pods can be told apart at all in this family.
  bool Detects(Family family) const;
  // `in_interface` is empty for packets that the node itself sends.
  bool IsPod(const IpAddr& source, absl::string_view in_interface) const;

  friend bool operator==(const LocalDetector&, const LocalDetector&) = default;
};

struct Policy {
  LocalDetector pods;
  bool masquerade_all = false;
  // A load-balancer address whose Service has source ranges of the other family only: closed instead of open.
  bool close_unranged = false;
  // Clean conntrack entries of TCP Services too, not just of those where no connection ends by itself.
  bool clean_tcp = false;
  bool external_ips = true;  // false: spec.externalIPs are not answered
  // Those that are programmed. Of the others nothing is in the plans nor in the kernel, whatever the Services have.
  std::vector<Family> families = {kFamilies.begin(), kFamilies.end()};  // sorted, unique

  bool Programs(Family family) const { return std::find(families.begin(), families.end(), family) != families.end(); }

  friend bool operator==(const Policy&, const Policy&) = default;
};

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
  bool fenced = false;                             // only sources in `allow` are let in, others dropped
  std::vector<Cidr> allow;                         // Canonical; empty unless fenced
  absl::Duration affinity = absl::ZeroDuration();  // zero: none

  friend bool operator==(const Action&, const Action&) = default;
};

struct Frontend {
  Match match;
  Action action;
  bool node_port = false;  // gives way to whoever was given exactly this address

  friend bool operator==(const Frontend&, const Frontend&) = default;
};

// One Service port in one family. Its frontends share the two lists.
struct PortPlan {
  ServicePortName name;
  std::vector<Frontend> frontends;  // sorted by match, unique
  std::vector<SocketAddr> cluster;  // sorted, unique
  std::vector<SocketAddr> local;    // sorted, unique; filled only if some frontend's scope is not kCluster
  std::vector<IpAddr> hairpin;      // endpoint addresses that may call themselves through this node; sorted, unique
  // Endpoints whose established flows go on, whatever the lists above say: all that serve, anywhere. Sorted, unique;
  // filled for protocols whose flows Pointsman cleans (FlowTracker).
  std::vector<SocketAddr> serving;

  friend bool operator==(const PortPlan&, const PortPlan&) = default;
};

// What load balancers are told of a Service when they ask this node.
struct HealthCheck {
  uint16_t port = 0;
  // Distinct addresses of ready endpoints on this node, over all ports; nullopt: no port is of this family.
  std::optional<int> local_ipv4;
  std::optional<int> local_ipv6;

  friend bool operator==(const HealthCheck&, const HealthCheck&) = default;
};

// Ports in one family with traffic policy Local, that have endpoints, but none on this node.
struct NoLocalEndpoints {
  int internal = 0;
  int external = 0;

  friend bool operator==(const NoLocalEndpoints&, const NoLocalEndpoints&) = default;
};

struct ServicePlan {
  NamespacedName service;
  absl::Time creation = absl::InfinitePast();
  std::vector<PortPlan> ports;
  std::vector<IpAddr> cluster_ips;  // connections to other ports of these are rejected; sorted, unique
  std::optional<HealthCheck> health;
  NoLocalEndpoints no_local_ipv4;
  NoLocalEndpoints no_local_ipv6;

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

// Which Service owns each match, and who else claims it. An exact address beats a NodePort; then the oldest Service
// wins, then the lesser name.
class FrontendTable {
 public:
  // What one Service claims; true for NodePorts.
  using Claims = absl::btree_map<Match, bool>;

  // Replaces the claims of one Service.
  // Returns: the *other* Services with a claim to a match whose owner changed by it: what they own, or whom they are
  //          told it belongs to, is another now.
  // Cost:    per claim added or withdrawn: O(1), or the number of those who claim the same.
  absl::btree_set<NamespacedName> Claim(const NamespacedName& service, absl::Time creation, const Claims& claims);

  // The owner of `match`; null if nobody claims it.
  const NamespacedName* Owner(const Match& match) const;
  // Those who claim anything. Cost: O(services).
  absl::btree_set<NamespacedName> Services() const;

 private:
  struct Claimant {
    NamespacedName service;
    absl::Time creation = absl::InfinitePast();
    std::vector<std::pair<Match, bool>> claims;  // as Claims
  };
  struct ByName {
    using is_transparent = void;
    static const NamespacedName& Of(const std::unique_ptr<Claimant>& claimant) { return claimant->service; }
    static const NamespacedName& Of(const NamespacedName& name) { return name; }

    size_t operator()(const auto& key) const { return absl::HashOf(Of(key)); }
    bool operator()(const auto& a, const auto& b) const { return Of(a) == Of(b); }
  };

  // Enters or strikes out one claim, as `claimant` now has it; adds to `others` as Claim does.
  void Settle(const Match& match, const Claimant& claimant, absl::btree_set<NamespacedName>& others);

  absl::flat_hash_set<std::unique_ptr<Claimant>, ByName, ByName> claimants_;
  absl::flat_hash_map<Match, const Claimant*> owners_;
  absl::flat_hash_map<Match, std::vector<const Claimant*>> waiting_;  // who claims what another owns: few
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
};

// Knows which flows the program in the kernel lets through, and says which of them a new one leaves stale.
//
// Works like nft::Programmer: Stage compares with what was last accepted, so what a failed commit would have left stale
// is found again with the next.
class FlowTracker {
 public:
  // Flows that are stale once `patch` is in the kernel: to a frontend that is new (they bypassed it), that lost a
  // serving endpoint or got its first, or that is gone. While a frontend has no serving endpoint its flows are left
  // alone (reference: kube-proxy's conntrack cleaning). One that only gained endpoints has a check that renews. Sorted
  // by frontend, unique.
  //
  // Inputs: `full`: `patch` names every Service there is; what it does not name is gone.
  // Cost:   O(patch).
  std::vector<FlowCheck> Stage(const PlanPatch& patch, bool full);
  // The staged patch is in the kernel.
  void Accept();

 private:
  struct Port {
    std::vector<Match> frontends;     // sorted
    std::vector<SocketAddr> serving;  // sorted
  };
  using Ports = std::vector<Port>;
  absl::flat_hash_map<NamespacedName, Ports> accepted_;  // Services with ports of interest only
  absl::btree_map<NamespacedName, Ports> staged_;
};

// Readable, stable text: what golden files and `-v` show.
std::string FormatPlan(const ServicePlan& plan);

}  // namespace pointsman
