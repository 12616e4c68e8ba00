// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "pointsman/nft_program.h"
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

class FragmentHistory : public History {
 public:
  explicit FragmentHistory(const Fragment& fragment) : fragment_(fragment) {}

  const ElementValue* Find(Family family, const char* set, const Bytes& key) const override {
    const SetElement wanted = {family, set, {key, {}}};
    const auto it = std::lower_bound(fragment_.elements.begin(), fragment_.elements.end(), wanted, ElementLess{});
    return it == fragment_.elements.end() || CompareElements(*it, wanted) != 0 ? nullptr : &it->element.value;
  }

 private:
  const Fragment& fragment_;
};

}  // namespace

std::unique_ptr<History> HistoryOf(const Ruleset& ruleset) { return std::make_unique<RulesetHistory>(ruleset); }
std::unique_ptr<History> HistoryOf(const Fragment& fragment) { return std::make_unique<FragmentHistory>(fragment); }

}  // namespace pointsman::nft
