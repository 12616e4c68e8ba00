// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <compare>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/types/span.h"

#include "pointsman/nft_program.h"
#include "pointsman/status.h"
#include "rules/nft/element_delta.h"
#include "rules/nft/element_order.h"
#include "rules/nft/history.h"
#include "rules/nft/layout.h"
#include "rules/nft/packed_fragment.h"

namespace pointsman::nft {
namespace {

using Fragments = absl::flat_hash_set<PackedFragment, PackedFragment::Hash, PackedFragment::SameName>;
using ChainKey = std::pair<Family, std::string>;

// An element that several Services may contribute: its set and its key in one string of bytes.
class SharedKey {
 public:
  explicit SharedKey(const SetElement& e) {
    bytes_.reserve(1 + e.element.key.size());
    bytes_.push_back(NumberOf(e.family, e.set));
    bytes_.insert(bytes_.end(), e.element.key.begin(), e.element.key.end());
  }
  SetNumber set() const { return bytes_.front(); }
  Bytes key() const { return {bytes_.begin() + 1, bytes_.end()}; }

  friend bool operator==(const SharedKey&, const SharedKey&) = default;
  friend bool operator<(const SharedKey& a, const SharedKey& b) { return CompareKeys(a.bytes_, b.bytes_) < 0; }
  template <typename H>
  friend H AbslHashValue(H h, const SharedKey& k) {
    return H::combine(std::move(h), absl::MakeConstSpan(k.bytes_));
  }

 private:
  Bytes bytes_;
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

// Moves the elements of `fragment` into `ruleset`, which has the sets.
void MoveInto(Ruleset& ruleset, Fragment& fragment) {
  for (auto* list : {&fragment.elements, &fragment.shared}) {
    for (SetElement& e : *list) {
      ruleset.tables[e.family].sets[e.set].elements.try_emplace(std::move(e.element.key), std::move(e.element.value));
    }
  }
}

// Calls `removed` and `added`, which may take the element, for what tells two sorted lists apart; an element with
// another value is both.
template <typename Removed, typename Added>
void Compare(std::vector<SetElement>& before, std::vector<SetElement>& after, Removed removed, Added added) {
  auto b = before.begin();
  auto a = after.begin();
  while (b != before.end() || a != after.end()) {
    const auto order = b == before.end()  ? std::weak_ordering::less
                       : a == after.end() ? std::weak_ordering::greater
                                          : CompareElements(*a, *b);
    if (order < 0) {
      added(*a++);
    } else if (order > 0) {
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
  for (Fragment& fragment : fragments) MoveInto(ruleset, fragment);
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

  // What Accept makes of it. Fragments are packed as soon as they are compiled: their elements go on into the changes.
  struct Staged {
    std::optional<BaseSettings> settings;        // none: they stay
    ChainNames chains;                           // to add; those that are there already do no harm
    std::vector<PackedFragment> fragments;       // new, or not what they were
    std::vector<NamespacedName> gone;            // Services
    absl::flat_hash_map<SharedKey, int> shared;  // changes of the counts
    absl::btree_map<ChainKey, int> affinity;     // likewise; in order, so that equal patches give equal changes
  };
  std::optional<Staged> staged;

  Changes StageAfresh(const PlanPatch& patch, bool shrink);
  Changes StageChanges(const PlanPatch& patch, bool full, bool shrink);
  // Compiles one Service anew, null: it is gone, and adds what that changes to `elements` and, which are chains that
  // the ledger has not, to `wanted`.
  void StageService(const NamespacedName& name, const ServicePlan* plan, bool shrink, ElementDelta& elements,
                    ChainNames& wanted);
  void StageShared(ElementDelta& elements) const;
  std::vector<NamespacedName> HeldBesides(const PlanPatch& patch) const;  // sorted

  // The table of a family that is left out from now on takes all with it.
  bool Goes(Family family) const { return !(staged->settings ? *staged->settings : settings).policy.Programs(family); }

  bool HasChain(Family family, const std::string& name) const {
    const auto it = chains.find(family);
    return it != chains.end() && it->second.contains(name);
  }

  ChainNames WithSkeleton(ChainNames names) const {
    for (const Family family : affinity_skeleton) names[family].insert(kAffinitySkeleton);
    return names;
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
  ledger_->staged.emplace();
  if (full) ledger_->staged->settings = settings;
  return ledger_->observed ? ledger_->StageAfresh(patch, shrink) : ledger_->StageChanges(patch, full, shrink);
}

// The kernel's own contents are the history, and all that there is to compare with.
Changes Programmer::Ledger::StageAfresh(const PlanPatch& patch, bool shrink) {
  // Chains of the layout that are there already stay, used or not, if they may come to be used.
  for (const auto& [family, table] : observed->tables) {
    for (const auto& [name, chain] : table.chains) {
      if (!ForAffinity(name)) staged->chains[family].insert(name);
    }
    if (table.sets.contains(kAffServices)) staged->chains[family].insert(kAffinitySkeleton);
  }
  const std::unique_ptr<History> history = HistoryOf(*observed);
  SetElements elements;
  // Elements of a set come one after the other.
  const SetElement* last = nullptr;
  std::vector<Element>* list = nullptr;
  const auto take = [&](SetElement& e) {
    if (last == nullptr || last->family != e.family || last->set != e.set) list = &elements[{e.family, e.set}];
    last = &e;
    list->push_back(std::move(e.element));
  };
  staged->fragments.reserve(patch.services.size());
  for (const auto& [name, plan] : patch.services) {
    if (plan == nullptr) continue;
    Fragment fragment = CompileService(*plan, *history, shrink);
    staged->fragments.emplace_back(name, fragment);
    CollectChains(fragment, staged->chains);
    last = nullptr;
    for (SetElement& e : fragment.elements) {
      ForEachAffinityChain(e, [&](const ChainKey& chain) { ++staged->affinity[chain]; });
      take(e);
    }
    for (SetElement& e : fragment.shared) {
      if (++staged->shared[SharedKey(e)] == 1) take(e);
    }
  }
  return Diff(CompileBase(*staged->settings, staged->chains), *observed, std::move(elements));
}

Changes Programmer::Ledger::StageChanges(const PlanPatch& patch, bool full, bool shrink) {
  ElementDelta elements;
  ChainNames wanted;
  for (const auto& [name, plan] : patch.services) StageService(name, plan.get(), shrink, elements, wanted);
  if (full) {
    for (const NamespacedName& name : HeldBesides(patch)) StageService(name, nullptr, shrink, elements, wanted);
  }
  StageShared(elements);

  Changes changes;
  if (staged->settings && *staged->settings != settings) {
    staged->chains = chains;
    for (auto& [family, names] : wanted) staged->chains[family].merge(names);
    changes =
        Diff(CompileBase(*staged->settings, WithSkeleton(staged->chains)), CompileBase(settings, WithSkeleton(chains)));
  } else if (!wanted.empty()) {
    staged->chains = std::move(wanted);
    Ruleset want = CompileBase(settings, WithSkeleton(staged->chains));
    Ruleset have = CompileBase(settings, WithSkeleton({}));
    // Only what is new is of interest here; what that in turn goes to may be there already.
    for (auto& [family, table] : want.tables) {
      for (const auto& [name, chain] : table.chains) {
        if (HasChain(family, name)) have.tables[family].chains[name] = chain;
      }
    }
    changes = Diff(want, have);
  }
  std::move(elements).AppendTo(changes.commit);

  // Chains that nothing leads to any more go in the second transaction, when the elements that did are gone for good.
  for (const bool flush : {true, false}) {
    for (const auto& [chain, change] : staged->affinity) {
      const auto it = affinity.find(chain);
      if (it == affinity.end() || it->second + change > 0 || Goes(chain.first)) continue;
      if (flush) changes.sweep.push_back(FlushChain{chain.first, chain.second});
      if (!flush) changes.sweep.push_back(DeleteChain{chain.first, chain.second});
    }
  }
  return changes;
}

void Programmer::Ledger::StageService(const NamespacedName& name, const ServicePlan* plan, bool shrink,
                                      ElementDelta& elements, ChainNames& wanted) {
  const auto held = fragments.find(name);
  Fragment before = held == fragments.end() ? Fragment() : held->Unpack();
  Fragment after = plan == nullptr ? Fragment() : CompileService(*plan, FragmentHistory(before), shrink);
  if (plan == nullptr) {
    staged->gone.push_back(name);
  } else if (held == fragments.end() || after != before) {
    staged->fragments.emplace_back(name, after);
  }
  Compare(
      before.elements, after.elements,
      [&](SetElement& e) {
        ForEachAffinityChain(e, [&](const ChainKey& chain) { --staged->affinity[chain]; });
        if (!Goes(e.family)) elements.Delete(e.family, e.set, SpecOf(e.family, e.set), std::move(e.element));
      },
      [&](SetElement& e) {
        ForEachAffinityChain(e, [&](const ChainKey& chain) { ++staged->affinity[chain]; });
        const auto* verdict = std::get_if<Verdict>(&e.element.value.data);
        if (verdict != nullptr && MadeOnDemand(*verdict->chain) && !HasChain(e.family, *verdict->chain)) {
          wanted[e.family].insert(*verdict->chain);
        }
        elements.Add(e.family, e.set, SpecOf(e.family, e.set), std::move(e.element));
      });
  Compare(
      before.shared, after.shared, [&](const SetElement& e) { --staged->shared[SharedKey(e)]; },
      [&](const SetElement& e) { ++staged->shared[SharedKey(e)]; });
}

// Shared elements that got their first Service, or lost their last.
void Programmer::Ledger::StageShared(ElementDelta& elements) const {
  std::vector<std::pair<SharedKey, int>> changed(staged->shared.begin(), staged->shared.end());
  std::sort(changed.begin(), changed.end());
  for (const auto& [key, change] : changed) {
    const auto it = shared.find(key);
    const int before = it == shared.end() ? 0 : it->second;
    const Family family = FamilyOf(key.set());
    const char* const set = NameOf(key.set());
    if (before == 0 && before + change > 0) elements.Add(family, set, SpecOf(key.set()), {key.key(), {}});
    if (before > 0 && before + change == 0 && !Goes(family)) {
      elements.Delete(family, set, SpecOf(key.set()), {key.key(), {}});
    }
  }
}

std::vector<NamespacedName> Programmer::Ledger::HeldBesides(const PlanPatch& patch) const {
  std::vector<NamespacedName> names;
  for (const PackedFragment& fragment : fragments) {
    NamespacedName name = fragment.Name();
    if (!patch.services.contains(name)) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
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
  if (staged.settings) ledger_->settings = *std::move(staged.settings);
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
  if (fresh) ledger_->fragments.reserve(staged.fragments.size());
  for (PackedFragment& fragment : staged.fragments) {
    if (fragment.shrinkable()) {
      ledger_->shrinkable.insert(fragment.Name());
    } else if (!ledger_->shrinkable.empty()) {
      ledger_->shrinkable.erase(fragment.Name());
    }
    if (const auto it = ledger_->fragments.find(fragment); it != ledger_->fragments.end()) {
      it->Replace(std::move(fragment));
    } else {
      ledger_->fragments.insert(std::move(fragment));
    }
  }
  for (const NamespacedName& name : staged.gone) {
    ledger_->shrinkable.erase(name);
    ledger_->fragments.erase(name);
  }
  if (fresh) {
    ledger_->shared = std::move(staged.shared);
    return;
  }
  for (const auto& [key, change] : staged.shared) {
    const auto it = ledger_->shared.try_emplace(key, 0).first;
    it->second += change;
    if (it->second == 0) ledger_->shared.erase(it);
  }
}

}  // namespace pointsman::nft
