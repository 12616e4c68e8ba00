// SPDX-License-Identifier: Apache-2.0
#include "rules/nft/history.h"

#include <algorithm>

#include "rules/nft/element_order.h"

namespace pointsman::nft {
namespace {

class RulesetHistory : public History {
 public:
  explicit RulesetHistory(const Ruleset& ruleset) : ruleset_(ruleset) {}

  const ElementValue* Find(Family family, const char* set, const Bytes& key) const override {
    const auto table = ruleset_.tables.find(family);
    if (table == ruleset_.tables.end()) return nullptr;
    const auto found = table->second.sets.find(set);
    if (found == table->second.sets.end()) return nullptr;
    const auto element = found->second.elements.find(key);
    return element == found->second.elements.end() ? nullptr : &element->second;
  }

 private:
  const Ruleset& ruleset_;
};

}  // namespace

const ElementValue* FragmentHistory::Find(Family family, const char* set, const Bytes& key) const {
  const auto it =
      std::lower_bound(fragment_.elements.begin(), fragment_.elements.end(), key,
                       [&](const SetElement& e, const Bytes& k) { return CompareToPlace(e, family, set, k) < 0; });
  const bool found = it != fragment_.elements.end() && CompareToPlace(*it, family, set, key) == 0;
  return found ? &it->element.value : nullptr;
}

std::unique_ptr<History> HistoryOf(const Ruleset& ruleset) { return std::make_unique<RulesetHistory>(ruleset); }
std::unique_ptr<History> HistoryOf(const Fragment& fragment) { return std::make_unique<FragmentHistory>(fragment); }

}  // namespace pointsman::nft
