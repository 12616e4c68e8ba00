// SPDX-License-Identifier: Apache-2.0
//
// What a kube-proxy of whatever mode has left in the kernel, and its removal. Everything acts on the network namespace
// of the calling thread. No kernel module is loaded for it: what is not there cannot have been used.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "pointsman/net.h"

namespace pointsman {

// The two ways the kernel keeps iptables' rules; a node may have both.
enum class IptablesVariant { kNft, kLegacy };

// A rule of a built-in chain that leads into one of kube-proxy's.
struct LeftoverJump {
  std::string chain;
  std::string target;

  friend auto operator<=>(const LeftoverJump&, const LeftoverJump&) = default;
};

// What goes from one table of iptables.
struct LeftoverTable {
  IptablesVariant variant = IptablesVariant::kNft;
  Family family = Family::kIpv4;
  std::string name;                 // "nat"
  std::vector<LeftoverJump> jumps;  // sorted; a rule that is there twice is here twice
  std::vector<std::string> chains;  // sorted

  friend auto operator<=>(const LeftoverTable&, const LeftoverTable&) = default;
};

struct LeftoverDevice {
  std::string name;
  std::vector<IpAddr> addresses;  // sorted

  friend bool operator==(const LeftoverDevice&, const LeftoverDevice&) = default;
};

struct Leftovers {
  std::vector<Family> nft_tables;      // `ip kube-proxy`, `ip6 kube-proxy`
  std::vector<LeftoverTable> tables;   // of iptables; sorted, none is empty
  std::vector<std::string> ipsets;     // sorted
  std::vector<Match> virtual_servers;  // of IPVS, on addresses of the device; sorted
  std::optional<LeftoverDevice> device;

  // What is kube-proxy's and stays, because something that is not kube-proxy's leads to it, and what may be and could
  // not be looked into: a line for each, with the reason.
  std::vector<std::string> kept;

  bool empty() const {
    return nft_tables.empty() && tables.empty() && ipsets.empty() && virtual_servers.empty() && !device.has_value();
  }
  friend bool operator==(const Leftovers&, const Leftovers&) = default;
};

// Looks for all of it, and changes nothing. Rules and chains are kube-proxy's if both their names and their places are;
// what the kubelet makes (KUBE-FIREWALL, KUBE-KUBELET-CANARY, KUBE-IPTABLES-HINT) is not.
//
// Errors: kPermissionDenied; kUnavailable, kDataLoss: what is there does not hold still.
// Cost:   lists the rules of the iptables tables that kube-proxy has chains in.
absl::StatusOr<Leftovers> FindLeftovers();

// Removes exactly what was found: the rules first, each of nf_tables and the legacy tables at once, then what those
// rules referred to. Packets meet all of a table or nothing of it; so while rules that do the same are in place, no
// connection fails.
//
// Inputs: `removed`, unless null, is given the lines of Describe() that have come true, on an error too.
// Errors: kAborted: there is something else by now than was found, as if a kube-proxy were running; of the tables
//         concerned nothing was removed. kUnavailable: somebody holds the lock of iptables, or a set is in use. Where
//         one thing fails the others go all the same, but nothing goes that a rule still there may need.
absl::Status RemoveLeftovers(const Leftovers& found, std::vector<std::string>* removed = nullptr);

// One line for each thing, in the order in which they go: "table ip kube-proxy", "iptables nat chain KUBE-SERVICES
// (nft)", "ipset KUBE-CLUSTER-IP", "device kube-ipvs0". Without those that are kept.
std::vector<std::string> Describe(const Leftovers& found);

// The same in one line for a log, with numbers of chains and rules: "table ip kube-proxy, iptables nat (nft): 12
// chains, 3 rules".
// Empty if there is nothing.
std::string Summarise(const Leftovers& found);

}  // namespace pointsman
