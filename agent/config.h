// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

#include "agent/kube/session.h"
#include "agent/source/allocate.h"
#include "pointsman/nft_program.h"
#include "pointsman/plan.h"
#include "pointsman/store.h"

namespace pointsman {

// How a pod is told from others; kube-proxy's names.
enum class DetectLocalMode { kClusterCidr, kNodeCidr, kBridgeInterface, kInterfaceNamePrefix };

// What decides the program besides the objects. Names are those of the flags.
struct Config {
  std::optional<kube::SourceOptions> api;  // where the objects come from; nullopt: from `manifests`
  std::vector<std::string> manifests;
  AllocationRanges allocate_from;
  std::string node_name;
  DetectLocalMode detect_local_mode = DetectLocalMode::kClusterCidr;
  std::vector<Cidr> cluster_cidrs;
  std::string pod_bridge_interface;
  std::string pod_interface_name_prefix;
  bool masquerade_all = false;
  int masquerade_bit = 14;
  std::vector<Cidr> node_port_addresses;  // empty: the node's primary addresses
  bool node_ports_everywhere = false;     // or, if there are none above, every address of its interfaces
  std::optional<IpAddr> bind_address;     // is primary, whatever the Node says
  std::vector<Cidr> service_cidrs;        // besides those of ServiceCIDR objects and `allocate_from`
  bool close_unranged_vips = false;
  bool clean_tcp = false;
  uint32_t affinity_size = 262144;
  bool external_ips = true;  // false: there are no rules for spec.externalIPs
  std::vector<Family> families = {kFamilies.begin(), kFamilies.end()};  // that are programmed; sorted
};

// Takes kube-proxy's spelling.
absl::StatusOr<DetectLocalMode> ParseDetectLocalMode(const std::string& text);
// Parses a comma-separated list of CIDRs.
absl::StatusOr<std::vector<Cidr>> ParseCidrs(const std::string& text);

// The addresses of this node by kube-proxy's rules; loopback while nothing says better.
struct NodeAddresses {
  Family primary = Family::kIpv4;
  IpAddr ipv4;
  IpAddr ipv6;

  friend bool operator==(const NodeAddresses&, const NodeAddresses&) = default;
};

// Inputs: `node` is null if there is none.
// Source: k8s.io/component-helpers GetNodeHostIPs, kube-proxy's detectNodeIPs
NodeAddresses FindNodeAddresses(const Config& config, const Node* node);

// This node as its Node object (null: there is none) and its interfaces show it.
//
// Inputs:  `addresses` live, sorted.
// Returns: NodePorts answer at the first address of each family of the Node, InternalIPs before ExternalIPs, and at the
//          bind address instead of that of its family; where neither is known, with `node_ports_everywhere` or with an
//          explicit list of CIDRs, at every address of the interfaces (inside the CIDRs of that family, if it has any).
//          Never at loopback, and at link-local addresses only where a CIDR names them.
NodeInfo MakeNodeInfo(const Config& config, const Node* node, absl::Span<const IpAddr> addresses);

// Ranges of ServiceCIDR objects that cannot be read are left out and told of in `diagnostics`.
nft::BaseSettings MakeBaseSettings(const Config& config, const Store& store, Diagnostics& diagnostics);

}  // namespace pointsman
