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
inline constexpr char kClusterIps[] = "cluster_ips";
inline constexpr char kServiceCidrs[] = "service_cidrs";
// Session affinity; only there when some Service asks for it. "I" is an AffinityId in two words.
inline constexpr char kAffinity[] = "affinity";           // client . I -> address . port; written by packets
inline constexpr char kAffServices[] = "aff_services";    // F -> jump to the chain that remembers
inline constexpr char kAffEndpoints[] = "aff_endpoints";  // I . address . port: endpoints that may be remembered

// A set of a family as a number, in the order of (family, name).
using SetNumber = uint8_t;
SetNumber NumberOf(Family family, absl::string_view set);  // aborts for other names
Family FamilyOf(SetNumber number);
const char* NameOf(SetNumber number);

// Chains.
inline constexpr char kServices[] = "services";
inline constexpr char kRejectIt[] = "reject_it";
inline constexpr char kFw[] = "fw";
inline constexpr char kExtLocal[] = "ext_local";
inline constexpr char kPostDnat[] = "post_dnat";
inline constexpr char kNatPrerouting[] = "nat_prerouting";
inline constexpr char kNatOutput[] = "nat_output";
inline constexpr char kNatPostrouting[] = "nat_postrouting";
inline constexpr char kNatInput[] = "nat_input";    // with session affinity only
inline constexpr char kInputDnat[] = "input_dnat";  // likewise

// Which memory of clients: one per Service port and endpoint list, shared by all addresses of the port.
using AffinityId = uint64_t;
// The hash of the port's full name; bit 0 tells the local list.
AffinityId AffinityOf(const ServicePortName& name, bool local);

// A chain that picks an endpoint from a list of at most `size` entries, a power of two:
// `[masq_|offcl_][aff_ID_][local_]pick_SIZE`.
struct PickChain {
  Snat snat = Snat::kNever;
  std::optional<AffinityId> affinity;  // first ask who served this client before
  bool local = false;
  uint32_t size = 1;

  friend bool operator==(const PickChain&, const PickChain&) = default;
};

std::string FormatPickChain(const PickChain& chain);
std::optional<PickChain> ParsePickChain(absl::string_view name);  // nullopt unless the name is exactly of that form

// A chain that remembers which endpoint a client was sent to: `aff_[ext_]SECONDS_ID`.
struct RecordChain {
  bool external_local = false;  // pods and the node have the cluster list, everyone else the local one
  int64_t seconds = 0;          // to remember it
  AffinityId id = 0;

  friend bool operator==(const RecordChain&, const RecordChain&) = default;
};

std::string FormatRecordChain(const RecordChain& chain);
std::optional<RecordChain> ParseRecordChain(absl::string_view name);

// Stands among the names of chains for what session affinity needs besides its chains: sets, a hook, a rule.
inline constexpr char kAffinitySkeleton[] = "affinity";

// True for chains that are made when an element first names them, of which the name says all.
bool MadeOnDemand(absl::string_view name);
// True for those of one Service port, which are of no use to any other.
bool ForAffinity(absl::string_view name);
// `name` and the chains made on demand that it goes on to, itself first.
std::vector<std::string> WithTargets(const std::string& name);

// Shapes of all sets of a family, by name; `affinity` has no size there.
absl::btree_map<std::string, SetSpec> SetSpecs(Family family);

// The shape of one set of the layout; aborts for other names.
const SetSpec& SpecOf(SetNumber number);
inline const SetSpec& SpecOf(Family family, absl::string_view set) { return SpecOf(NumberOf(family, set)); }

// --- keys and data ---

Bytes FrontendKey(const Match& match);
Bytes SlotKey(const Match& match, uint32_t slot);
void SetSlot(Bytes& key, uint32_t slot);  // makes it that of another slot
Bytes AddrKey(const IpAddr& addr);
Bytes PairKey(const IpAddr& a, const IpAddr& b);
Bytes SourceKey(const Match& match, const IpAddr& source);
Bytes AffinityEndpointKey(AffinityId id, const SocketAddr& endpoint);
Bytes SocketAddrData(const SocketAddr& addr);
// The two words that spell an id in a key, in host order.
uint32_t HighWord(AffinityId id);
uint32_t LowWord(AffinityId id);
// The inverse of SocketAddrData; nullopt for bytes of another length.
std::optional<SocketAddr> ParseSocketAddrData(Family family, const Bytes& data);

}  // namespace pointsman::nft
