// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

#include "pointsman/nft_program.h"
#include "pointsman/status.h"
#include "rules/nft/element_delta.h"
#include "rules/nft/element_order.h"
#include "rules/nft/layout.h"

namespace pointsman::nft {
namespace {

using Fragments = absl::flat_hash_map<NamespacedName, std::shared_ptr<const Fragment>>;
using ChainKey = std::pair<Family, std::string>;

// An element that several Services may contribute.
struct SharedKey {
  Family family;
  absl::string_view set;
  Bytes key;

  explicit SharedKey(const SetElement& e) : family(e.family), set(e.set), key(e.element.key) {}
  friend bool operator==(const SharedKey&, const SharedKey&) = default;
  friend bool operator<(const SharedKey& a, const SharedKey& b) {
    return std::tie(a.family, a.set, a.key) < std::tie(b.family, b.set, b.key);
  }
  template <typename H>
  friend H AbslHashValue(H h, const SharedKey& k) {
    return H::combine(std::move(h), k.family, k.set, absl::MakeConstSpan(k.key));
  }
};

// Calls `visit` with the chains of session affinity that `e` leads to: those no other Service has a use for.
template <typename Visit>
void ForEachAffinityChain(const SetElement& e, Visit visit) {
  const auto* verdict = std::get_if<Verdict>(&e.element.value.data);
  if (verdict == nullptr || !ForAffinity(*verdict->chain)) return;
  for (const std::string& name : WithTargets(*verdict->chain)) {
    if (ForAffinity(name)) visit(ChainKey{e.family, name});
  }
}

void CollectChains(const Fragment& fragment, ChainNames& names) {
  for (const SetElement& e : fragment.elements) {
    if (const auto* verdict = std::get_if<Verdict>(&e.element.value.data)) names[e.family].insert(*verdict->chain);
  }
}

// Merges the elements of `fragment` into `ruleset`, which has the sets.
void MergeInto(Ruleset& ruleset, const Fragment& fragment) {
  for (const auto* list : {&fragment.elements, &fragment.shared}) {
    for (const SetElement& e : *list) {
      ruleset.tables[e.family].sets[e.set].elements[e.element.key] = e.element.value;
    }
  }
}

// Calls `removed` and `added` for what tells two sorted lists apart; an element with another value is both.
template <typename Removed, typename Added>
void Compare(const std::vector<SetElement>& before, const std::vector<SetElement>& after, Removed removed,
             Added added) {
  auto b = before.begin();
  auto a = after.begin();
  while (b != before.end() || a != after.end()) {
    if (b == before.end() || (a != after.end() && CompareElements(*a, *b) < 0)) {
      added(*a++);
    } else if (a == after.end() || CompareElements(*b, *a) < 0) {
      removed(*b++);
    } else {
      if (b->element.value != a->element.value) {
        removed(*b);
        added(*a);
      }
      ++b;
      ++a;
    }
  }
}

const Fragment& NoFragment() {
  static const auto* const kNone = new Fragment;
  return *kNone;
}

}  // namespace

Ruleset CompileAll(absl::Span<const std::shared_ptr<const ServicePlan>> plans, const BaseSettings& settings) {
  const std::unique_ptr<History> history = HistoryOf(NoFragment());
  ChainNames chains;
  std::vector<Fragment> fragments;
  fragments.reserve(plans.size());
  for (const auto& plan : plans) {
    fragments.push_back(CompileService(*plan, *history, /*shrink=*/false));
    CollectChains(fragments.back(), chains);
  }
  Ruleset ruleset = CompileBase(settings, chains);
  for (const Fragment& fragment : fragments) MergeInto(ruleset, fragment);
  return ruleset;
}

struct Programmer::Ledger {
  // What the kernel was last told.
  std::optional<Ruleset> observed;  // set between Observe and Accept: then this, and nothing below, is what it holds
  bool known = false;
  BaseSettings settings;
  ChainNames chains;  // those made on demand that exist, with the right rules
  Fragments fragments;
  absl::flat_hash_map<SharedKey, int> shared;   // how many fragments hold each shared element
  absl::flat_hash_map<ChainKey, int> affinity;  // how many elements lead to each chain of session affinity
  absl::btree_set<Family> affinity_skeleton;    // it stays when the last of them goes
  absl::btree_set<NamespacedName> shrinkable;

  // What Accept makes of it.
  struct Staged {
    BaseSettings settings;
    ChainNames chains;  // to add; those that are there already do no harm
    // Both in order, so that equal patches give equal changes.
    absl::btree_map<NamespacedName, std::shared_ptr<const Fragment>> fragments;  // null: gone
    absl::btree_map<SharedKey, int> shared;                                      // changes of the counts
    absl::btree_map<ChainKey, int> affinity;                                     // likewise
  };
  std::optional<Staged> staged;

  // Puts those of `wanted` that are made on demand and not there yet into `missing`; true if there are any.
  bool Miss(const ChainNames& wanted, ChainNames& missing) const {
    bool any = false;
    for (const auto& [family, names] : wanted) {
      const auto there = chains.find(family);
      for (const std::string& name : names) {
        if (!MadeOnDemand(name) || (there != chains.end() && there->second.contains(name))) continue;
        missing[family].insert(name);
        any = true;
      }
    }
    return any;
  }

  ChainNames WithSkeleton(ChainNames names) const {
    for (const Family family : affinity_skeleton) names[family].insert(kAffinitySkeleton);
    return names;
  }

  std::shared_ptr<const Fragment> Held(const NamespacedName& name) const {
    const auto it = fragments.find(name);
    return it == fragments.end() ? nullptr : it->second;
  }
};

Programmer::Programmer() : ledger_(std::make_unique<Ledger>()) {}
Programmer::~Programmer() = default;
Programmer::Programmer(Programmer&&) noexcept = default;
Programmer& Programmer::operator=(Programmer&&) noexcept = default;

bool Programmer::observed() const { return ledger_->known || ledger_->observed.has_value(); }
const absl::btree_set<NamespacedName>& Programmer::shrinkable() const { return ledger_->shrinkable; }
bool Programmer::affinity() const { return !ledger_->affinity.empty(); }
size_t Programmer::services() const { return ledger_->fragments.size(); }

void Programmer::Observe(Ruleset have) {
  ledger_->observed = std::move(have);
  ledger_->known = false;
  ledger_->staged.reset();
}

void Programmer::Doubt() {
  ledger_->observed.reset();
  ledger_->known = false;
  ledger_->staged.reset();
}

Changes Programmer::Stage(const PlanPatch& patch, const BaseSettings& settings, bool full, bool shrink) {
  PM_CHECK(observed());
  PM_CHECK(full || (ledger_->known && settings == ledger_->settings));
  Ledger::Staged& staged = ledger_->staged.emplace();
  staged.settings = settings;

  // After an observation the kernel's own contents are the history; without one, what each Service was last given.
  const std::unique_ptr<History> observed = ledger_->observed ? HistoryOf(*ledger_->observed) : nullptr;
  for (const auto& [name, plan] : patch.services) {
    std::shared_ptr<const Fragment> fragment;
    if (plan != nullptr) {
      const std::shared_ptr<const Fragment> held = ledger_->Held(name);
      const std::unique_ptr<History> own = observed ? nullptr : HistoryOf(held ? *held : NoFragment());
      fragment = std::make_shared<const Fragment>(CompileService(*plan, observed ? *observed : *own, shrink));
    }
    staged.fragments[name] = std::move(fragment);
  }

  if (full && ledger_->observed) {
    // Chains of the layout that are there already stay, used or not, if they may come to be used.
    for (const auto& [family, table] : ledger_->observed->tables) {
      for (const auto& [name, chain] : table.chains) {
        if (!ForAffinity(name)) staged.chains[family].insert(name);
      }
      if (table.sets.contains(kAffServices)) staged.chains[family].insert(kAffinitySkeleton);
    }
    for (const auto& [name, fragment] : staged.fragments) {
      if (fragment) CollectChains(*fragment, staged.chains);
    }
    const Ruleset want = CompileBase(settings, staged.chains);
    // A cluster's worth of elements: pointed to, not copied.
    std::vector<const SetElement*> elements;
    for (const auto& [name, fragment] : staged.fragments) {
      if (fragment == nullptr) continue;
      for (const auto* list : {&fragment->elements, &fragment->shared}) {
        for (const SetElement& e : *list) elements.push_back(&e);
      }
      for (const SetElement& e : fragment->shared) ++staged.shared[SharedKey(e)];
      for (const SetElement& e : fragment->elements) {
        ForEachAffinityChain(e, [&](const ChainKey& chain) { ++staged.affinity[chain]; });
      }
    }
    std::sort(elements.begin(), elements.end(),
              [](const SetElement* a, const SetElement* b) { return ElementLess{}(*a, *b); });
    const auto same = [](const SetElement* a, const SetElement* b) { return CompareElements(*a, *b) == 0; };
    elements.erase(std::unique(elements.begin(), elements.end(), same), elements.end());
    return Diff(want, *ledger_->observed, elements);
  }

  Changes changes;
  ElementDelta elements;
  if (full) {
    // A full patch names every Service there is: what it does not name is gone.
    for (const auto& [name, fragment] : ledger_->fragments) staged.fragments.try_emplace(name, nullptr);
  }
  // The table of a family that is left out from now on takes all with it.
  const auto goes = [&](Family family) { return !settings.policy.Programs(family); };
  ChainNames wanted;
  for (const auto& [name, fragment] : staged.fragments) {
    const std::shared_ptr<const Fragment> held = ledger_->Held(name);
    const Fragment& before = held ? *held : NoFragment();
    const Fragment& after = fragment ? *fragment : NoFragment();
    Compare(
        before.elements, after.elements,
        [&](const SetElement& e) {
          if (!goes(e.family)) elements.Delete(e.family, e.set, SpecOf(e.family, e.set), e.element);
          ForEachAffinityChain(e, [&](const ChainKey& chain) { --staged.affinity[chain]; });
        },
        [&](const SetElement& e) {
          elements.Add(e.family, e.set, SpecOf(e.family, e.set), e.element);
          ForEachAffinityChain(e, [&](const ChainKey& chain) { ++staged.affinity[chain]; });
        });
    Compare(
        before.shared, after.shared, [&](const SetElement& e) { --staged.shared[SharedKey(e)]; },
        [&](const SetElement& e) { ++staged.shared[SharedKey(e)]; });
    CollectChains(after, wanted);
  }
  for (const auto& [key, change] : staged.shared) {
    const auto it = ledger_->shared.find(key);
    const int before = it == ledger_->shared.end() ? 0 : it->second;
    const SetSpec& spec = SpecOf(key.family, key.set);
    if (before == 0 && before + change > 0) elements.Add(key.family, key.set, spec, {key.key, {}});
    if (before > 0 && before + change == 0 && !goes(key.family))
      elements.Delete(key.family, key.set, spec, {key.key, {}});
  }

  // Chains named for the first time, or all that changed with the settings.
  if (full && settings != ledger_->settings) {
    staged.chains = ledger_->chains;
    for (const auto& [family, names] : wanted) staged.chains[family].insert(names.begin(), names.end());
    changes = Diff(CompileBase(settings, ledger_->WithSkeleton(staged.chains)),
                   CompileBase(ledger_->settings, ledger_->WithSkeleton(ledger_->chains)));
  } else if (ledger_->Miss(wanted, staged.chains)) {
    Ruleset want = CompileBase(settings, ledger_->WithSkeleton(staged.chains));
    Ruleset have = CompileBase(settings, ledger_->WithSkeleton({}));
    // Only what is new is of interest here; what that in turn goes to may be there already.
    for (auto& [family, table] : want.tables) {
      for (const auto& [name, chain] : table.chains) {
        if (ledger_->chains[family].contains(name)) have.tables[family].chains[name] = chain;
      }
    }
    changes = Diff(want, have);
  }
  std::move(elements).AppendTo(changes.commit);

  // Chains that nothing leads to any more go in the second transaction, when the elements that did are gone for good.
  for (const bool flush : {true, false}) {
    for (const auto& [chain, change] : staged.affinity) {
      const auto it = ledger_->affinity.find(chain);
      if (it == ledger_->affinity.end() || it->second + change > 0 || goes(chain.first)) continue;
      if (flush) changes.sweep.push_back(FlushChain{chain.first, chain.second});
      if (!flush) changes.sweep.push_back(DeleteChain{chain.first, chain.second});
    }
  }
  return changes;
}

void Programmer::Accept() {
  PM_CHECK(ledger_->staged.has_value());
  Ledger::Staged staged = *std::move(ledger_->staged);
  ledger_->staged.reset();
  const bool fresh = ledger_->observed.has_value();
  if (fresh) {
    ledger_->fragments.clear();
    ledger_->shared.clear();
    ledger_->affinity.clear();
    ledger_->affinity_skeleton.clear();
    ledger_->shrinkable.clear();
    ledger_->chains.clear();
    ledger_->observed.reset();
    ledger_->known = true;
  }
  ledger_->settings = std::move(staged.settings);
  for (auto& [family, names] : staged.chains) {
    if (names.contains(kAffinitySkeleton)) ledger_->affinity_skeleton.insert(family);
    for (const std::string& named : names) {
      if (!MadeOnDemand(named)) continue;
      for (const std::string& name : WithTargets(named)) {
        ledger_->chains[family].insert(name);
        if (ForAffinity(name)) ledger_->affinity_skeleton.insert(family);
      }
    }
  }
  for (const auto& [chain, change] : staged.affinity) {
    const auto it = ledger_->affinity.try_emplace(chain, 0).first;
    it->second += change;
    if (it->second > 0) continue;
    ledger_->affinity.erase(it);
    ledger_->chains[chain.first].erase(chain.second);
  }
  for (const Family family : kFamilies) {
    if (ledger_->settings.policy.Programs(family)) continue;
    ledger_->chains.erase(family);
    ledger_->affinity_skeleton.erase(family);
  }
  for (auto& [name, fragment] : staged.fragments) {
    if (fragment && fragment->shrinkable) {
      ledger_->shrinkable.insert(name);
    } else {
      ledger_->shrinkable.erase(name);
    }
    if (fragment) {
      ledger_->fragments[name] = std::move(fragment);
    } else {
      ledger_->fragments.erase(name);
    }
  }
  for (const auto& [key, change] : staged.shared) {
    const auto it = ledger_->shared.try_emplace(key, 0).first;
    it->second += change;
    if (it->second == 0) ledger_->shared.erase(it);
  }
}

}  // namespace pointsman::nft
