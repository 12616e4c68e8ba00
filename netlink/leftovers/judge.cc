// SPDX-License-Identifier: Apache-2.0
#include "netlink/leftovers/judge.h"

#include <algorithm>

#include "absl/container/btree_set.h"
#include "absl/strings/str_cat.h"

#include "netlink/leftovers/names.h"

namespace pointsman::nl {
namespace {

// Adds to `stays` the chains among `ours` that can be reached from `chain`, itself included, and counts the new ones.
int Keep(const IptablesTable& table, const absl::btree_set<std::string>& ours, const std::string& chain,
         absl::btree_set<std::string>& stays) {
  int added = 0;
  std::vector<std::string> next = {chain};
  while (!next.empty()) {
    const std::string name = std::move(next.back());
    next.pop_back();
    if (!ours.contains(name) || !stays.insert(name).second) continue;
    ++added;
    for (const ChainRule& rule : table.chains.at(name).rules) next.push_back(rule.target);
  }
  return added;
}

}  // namespace

std::string TableText(Family family, const std::string& table) {
  return absl::StrCat(family == Family::kIpv4 ? "iptables " : "ip6tables ", table);
}

const char* VariantText(IptablesVariant variant) { return variant == IptablesVariant::kNft ? "nft" : "legacy"; }

Judgement Judge(const IptablesTable& table) {
  Judgement judgement;
  judgement.goes = {.variant = table.variant, .family = table.family, .name = table.name};
  absl::btree_set<std::string> ours;
  for (const auto& [name, chain] : table.chains) {
    if (!chain.builtin && IsKubeProxyChain(table.name, name)) ours.insert(name);
  }

  absl::btree_set<std::string> stays;
  const auto keep = [&](const std::string& chain, const std::string& reason) {
    const int others = Keep(table, ours, chain, stays) - 1;
    std::string line = absl::StrCat(TableText(table.family, table.name), " chain ", chain, " (",
                                    VariantText(table.variant), ") stays");
    if (others > 0) absl::StrAppend(&line, " with ", others, others == 1 ? " chain" : " chains", " it leads to");
    judgement.kept.push_back(absl::StrCat(line, ": ", reason));
  };
  for (const auto& [name, chain] : table.chains) {
    if (ours.contains(name)) {
      if (chain.used_elsewhere) keep(name, "something that is no rule leads to it, a map perhaps");
      continue;
    }
    for (const ChainRule& rule : chain.rules) {
      if (!ours.contains(rule.target)) continue;
      if (chain.builtin && IsKubeProxyJump(rule.target, rule.comment)) {
        judgement.goes.jumps.push_back({name, rule.target});
        judgement.rules.push_back({name, rule.handle});
      } else {
        keep(rule.target, absl::StrCat("the rule `-A ", name, " ... -j ", rule.target, "` is not kube-proxy's"));
      }
    }
  }
  std::sort(judgement.goes.jumps.begin(), judgement.goes.jumps.end());
  std::set_difference(ours.begin(), ours.end(), stays.begin(), stays.end(), std::back_inserter(judgement.goes.chains));
  return judgement;
}

}  // namespace pointsman::nl
