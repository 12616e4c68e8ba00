// SPDX-License-Identifier: Apache-2.0
//
// Names and shapes of the nf_tables layout: one place for the compiler, the simulator and whoever reads a listing.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

#include "pointsman/nft.h"
#include "pointsman/plan.h"

namespace pointsman::nft {

// Sets and maps. "F" is a frontend: address . protocol . port.
inline constexpr char kFrontends[] = "frontends";             // F -> verdict
inline constexpr char kEndpoints[] = "endpoints";             // F . slot -> address . port
inline constexpr char kEndpointsLocal[] = "endpoints_local";  // the same, endpoints on this node only
inline constexpr char kFwNext[] = "fw_next";                  // F -> verdict, once the source is allowed
inline constexpr char kFwSources[] = "fw_sources";            // F . source range
inline constexpr char kExtInternal[] = "ext_internal";        // F -> verdict, for pods and the node itself
inline constexpr char kExtExternal[] = "ext_external";        // F -> verdict, for everyone else
inline constexpr char kHairpin[] = "hairpin";                 // address . the same address
inline constexpr char kPodCidrs[] = "pod_cidrs";
inline constexpr char kServiceCidrs[] = "service_cidrs";

// Chains.
inline constexpr char kServices[] = "services";
inline constexpr char kRejectIt[] = "reject_it";
inline constexpr char kFw[] = "fw";
inline constexpr char kExtLocal[] = "ext_local";
inline constexpr char kPostDnat[] = "post_dnat";
inline constexpr char kNatPrerouting[] = "nat_prerouting";
inline constexpr char kNatOutput[] = "nat_output";
inline constexpr char kNatPostrouting[] = "nat_postrouting";

// A chain that picks an endpoint from a list of at most `size` entries, a power of two:
// `[masq_|offcl_][local_]pick_SIZE`.
struct PickChain {
  Snat snat = Snat::kNever;
  bool local = false;
  uint32_t size = 1;

  friend bool operator==(const PickChain&, const PickChain&) = default;
};

std::string FormatPickChain(const PickChain& chain);
std::optional<PickChain> ParsePickChain(absl::string_view name);  // nullopt unless the name is exactly of that form

// Shapes of all sets of a family, by name.
absl::btree_map<std::string, SetSpec> SetSpecs(Family family);

// The shape of one set of the layout; aborts for other names.
const SetSpec& SpecOf(Family family, absl::string_view set);

// --- keys and data ---

Bytes FrontendKey(const Match& match);
Bytes SlotKey(const Match& match, uint32_t slot);
Bytes AddrKey(const IpAddr& addr);
Bytes PairKey(const IpAddr& a, const IpAddr& b);
Bytes SourceKey(const Match& match, const IpAddr& source);
Bytes SocketAddrData(const SocketAddr& addr);
// The inverse of SocketAddrData; nullopt for bytes of another length.
std::optional<SocketAddr> ParseSocketAddrData(Family family, const Bytes& data);

}  // namespace pointsman::nft
