// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/strings/match.h"

#include "pointsman/nft.h"

namespace pointsman::support {

// A program with what is history taken out: the order of slots, the width of size classes, chains that nobody uses, and
// the skeleton of session affinity, which stays when the last Service that wanted it goes.
inline nft::Ruleset Normalise(nft::Ruleset ruleset) {
  const auto for_affinity = [](const nft::Rule& rule) {
    return std::any_of(rule.exprs.begin(), rule.exprs.end(), [](const nft::Expr& expr) {
      const auto* lookup = std::get_if<nft::Lookup>(&expr);
      return lookup != nullptr && lookup->set == "aff_services";
    });
  };
  for (auto& [family, table] : ruleset.tables) {
    for (auto& [name, set] : table.sets) {
      absl::btree_map<nft::Bytes, nft::ElementValue> elements;
      if (name == "endpoints" || name == "endpoints_local") {
        // Slots must be 0..N-1 whoever sits in them: keep keys, and the sorted data under them.
        absl::btree_map<nft::Bytes, std::vector<nft::Bytes>> data;
        for (const auto& [key, value] : set.elements) {
          const nft::Bytes frontend(key.begin(), key.end() - 4);
          data[frontend].push_back(std::get<nft::Bytes>(value.data));
        }
        for (auto& [frontend, list] : data) std::sort(list.begin(), list.end());
        absl::btree_map<nft::Bytes, size_t> next;
        for (const auto& [key, value] : set.elements) {
          const nft::Bytes frontend(key.begin(), key.end() - 4);
          elements[key].data = data[frontend][next[frontend]++];
        }
      } else {
        for (const auto& [key, value] : set.elements) {
          nft::ElementValue plain = value;
          if (auto* verdict = std::get_if<nft::Verdict>(&plain.data)) {
            const size_t pick = verdict->chain->find("pick_");
            if (pick != std::string::npos) verdict->chain = verdict->chain->substr(0, pick + 5);
          }
          elements[key] = plain;
        }
      }
      set.elements = std::move(elements);
    }
    for (auto it = table.chains.begin(); it != table.chains.end();) {
      it = absl::StrContains(it->first, "pick_") ? table.chains.erase(it) : std::next(it);
    }

    const auto services = table.sets.find("aff_services");
    if (services == table.sets.end() || !services->second.elements.empty()) continue;
    for (const char* name : {"affinity", "aff_services"}) table.sets.erase(name);
    // Without a Service that wants it, nothing may be left to remember.
    if (const auto it = table.sets.find("aff_endpoints"); it != table.sets.end() && it->second.elements.empty()) {
      table.sets.erase(it);
    }
    for (const char* name : {"nat_input", "input_dnat"}) table.chains.erase(name);
    for (auto& [name, chain] : table.chains) std::erase_if(chain.rules, for_affinity);
  }
  return ruleset;
}

}  // namespace pointsman::support
