// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

#include "agent/source/allocate.h"
#include "pointsman/nft_program.h"
#include "pointsman/plan.h"
#include "pointsman/store.h"

namespace pointsman {

// What decides the program besides the objects. Names are those of the flags.
struct Config {
  std::vector<std::string> manifests;
  AllocationRanges allocate_from;
  std::string node_name;
  LocalDetector cluster_cidr;
  bool masquerade_all = false;
  int masquerade_bit = 14;
  std::vector<Cidr> node_port_addresses;  // empty: the node's primary addresses
  std::vector<Cidr> service_cidrs;        // besides those of ServiceCIDR objects and `allocate_from`
};

// Parses "CIDR[,CIDR6]" with at most one of a family.
absl::StatusOr<LocalDetector> ParseClusterCidr(const std::string& text);
// Parses a comma-separated list of CIDRs.
absl::StatusOr<std::vector<Cidr>> ParseCidrs(const std::string& text);

// This node as its Node object (null: there is none) and its interfaces show it.
//
// Inputs:  `addresses` live, sorted.
// Returns: NodePorts answer at the first InternalIP of each family of the Node; without a Node, or with an explicit
//          list of CIDRs, at every address of the interfaces (inside the CIDRs of that family, if it has any). Never
//          at loopback, and at link-local addresses only where a CIDR names them.
NodeInfo MakeNodeInfo(const Config& config, const Node* node, absl::Span<const IpAddr> addresses);

nft::BaseSettings MakeBaseSettings(const Config& config, const Store& store);

}  // namespace pointsman
