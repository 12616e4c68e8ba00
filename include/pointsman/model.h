// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"

#include "pointsman/api.h"
#include "pointsman/diagnostic.h"
#include "pointsman/net.h"
#include "pointsman/rare.h"

namespace pointsman {

// Identifies one port of one Service; what a frontend is labelled with.
struct ServicePortName {
  NamespacedName service;
  std::string port;  // port name, may be empty
  Protocol protocol = Protocol::kTcp;

  friend auto operator<=>(const ServicePortName&, const ServicePortName&) = default;
};

std::string FormatServicePort(const ServicePortName& name);  // "shop/web:http", or "shop/web" for an unnamed port

struct Endpoint {
  SocketAddr addr;
  bool ready = true;
  bool serving = true;
  bool terminating = false;
  std::optional<std::string> node;  // nullopt: nobody said where it runs
  Rare<std::vector<std::string>> zone_hints;
  Rare<std::vector<std::string>> node_hints;

  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// One port of one Service in one family, joined with its endpoints.
struct ServicePort {
  ServicePortName name;
  Family family = Family::kIpv4;
  IpAddr cluster_ip;
  uint16_t port = 0;
  uint16_t node_port = 0;                 // 0: none
  std::vector<IpAddr> external_ips;       // of this family, unique, in the order given
  std::vector<IpAddr> load_balancer_ips;  // ipMode VIP only, of this family, unique
  std::vector<Cidr> source_ranges;        // of this family; empty: nobody is kept out
  bool ranged_elsewhere = false;          // there are ranges, but none of this family
  uint16_t health_check_node_port = 0;    // 0: none; only type LoadBalancer with external policy Local has one
  TrafficPolicy internal_policy = TrafficPolicy::kCluster;
  TrafficPolicy external_policy = TrafficPolicy::kCluster;  // kLocal only if the Service takes external traffic
  std::optional<absl::Duration> affinity;
  std::vector<Endpoint> endpoints;             // unique by addr, sorted by addr
  absl::Time creation = absl::InfinitePast();  // of the Service: the oldest claimant owns a frontend

  friend bool operator==(const ServicePort&, const ServicePort&) = default;
};

struct BuiltService {
  std::vector<ServicePort> ports;  // by family, then in the order of the spec
  Diagnostics diagnostics;
};

// Joins a Service with its slices, per family, and drops what is malformed with a Diagnostic.
//
// Inputs:  `slices` in any order; duplicates by (addr, port) collapse: the better state wins (ready, then serving),
//          then the slice that sorts first by name.
// Returns: no ports for ExternalName and headless Services and those another proxy serves.
// Errors:  none; a bad field costs that field or port alone.
// Cost:    O(n log n) in the endpoints of this Service.
// Source:  core/v1 Service, discovery.k8s.io/v1 EndpointSlice.
BuiltService BuildService(const Service& service, absl::Span<const EndpointSlice* const> slices);

}  // namespace pointsman
