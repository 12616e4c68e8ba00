// SPDX-License-Identifier: Apache-2.0
//
// By which names kube-proxy's things are known.
#pragma once

#include "absl/strings/string_view.h"

#include "pointsman/net.h"

namespace pointsman::nl {

inline constexpr char kKubeProxyTable[] = "kube-proxy";
inline constexpr char kKubeProxyDevice[] = "kube-ipvs0";

// The tables of iptables in which kube-proxy has chains, in the order in which to remove them: what filters may refer
// to marks of nat, nothing the other way round.
inline constexpr const char* kIptablesTables[] = {"filter", "nat", "mangle"};

// The chains that iptables' tables are made with.
bool IsBuiltinChain(absl::string_view name);

// Whether `chain` of the iptables table `table` is one that kube-proxy makes, in mode iptables or ipvs.
bool IsKubeProxyChain(absl::string_view table, absl::string_view chain);

// Whether a rule of a built-in chain is one of kube-proxy's own ways into its chains: it leads to one of those chains
// that kube-proxy enters from outside, and has a comment as all of these rules have.
bool IsKubeProxyJump(absl::string_view target, absl::string_view comment);

bool IsKubeProxyIpset(absl::string_view name);

}  // namespace pointsman::nl
