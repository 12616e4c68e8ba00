// SPDX-License-Identifier: Apache-2.0
//
// Which chains and rules of a table of iptables go, whichever way the kernel keeps it. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"

#include "pointsman/leftovers.h"

namespace pointsman::nl {

// A rule that leads to another chain; of no other rules anything needs to be known.
struct ChainRule {
  std::string target;
  std::string comment;
  uint64_t handle = 0;  // by which it can be deleted: nf_tables' handle, or its number in the chain from 1
};

struct Chain {
  bool builtin = false;
  std::vector<ChainRule> rules;
  // What is no rule of this table, such as a map of nf_tables, leads to it too.
  bool used_elsewhere = false;
};

struct IptablesTable {
  IptablesVariant variant = IptablesVariant::kNft;
  Family family = Family::kIpv4;
  std::string name;
  absl::btree_map<std::string, Chain> chains;
};

struct CondemnedRule {
  std::string chain;
  uint64_t handle = 0;
};

struct Judgement {
  LeftoverTable goes;                // may have neither jumps nor chains
  std::vector<CondemnedRule> rules;  // those of goes.jumps; by chain, in the order in which they stand there
  std::vector<std::string> kept;     // as Leftovers::kept
};

// A chain that something foreign leads to stays as it is, and so do those that it leads to. Of rules only such go that
// are kube-proxy's and lead to chains of its.
Judgement Judge(const IptablesTable& table);

// Why what was found is not removed.
inline constexpr char kChangedMeanwhile[] = "they are not what was found (is a kube-proxy still running?); look again";

// "iptables nat", "ip6tables filter"
std::string TableText(Family family, const std::string& table);
// "nft", "legacy"
const char* VariantText(IptablesVariant variant);

}  // namespace pointsman::nl
