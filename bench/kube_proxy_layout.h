// SPDX-License-Identifier: Apache-2.0
//
// kube-proxy's nftables layout, for comparison: what version 1.36 puts into the kernel for the same cluster.
#pragma once

#include <string>
#include <vector>

#include "pointsman/plan.h"
#include "pointsman/store.h"

namespace pointsman::bench {

// As text for `nft -f`, to be loaded in order: first the tables, base chains and stock rules, then the Services, a
// chain with an anonymous map for each, `chunk` of them at a time.
//
// Inputs:  Services with ClusterIPs and no session affinity, IPv4, each with one slice of its own name.
std::vector<std::string> KubeProxyLayout(const ObjectBatch& cluster, const NodeInfo& node, const Cidr& pods,
                                         const Cidr& services, int chunk);

}  // namespace pointsman::bench
