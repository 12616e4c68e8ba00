// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/numeric/int128.h"
#include "absl/strings/string_view.h"

#include "pointsman/nft_program.h"
#include "rules/nft/element_delta.h"
#include "rules/nft/element_order.h"

namespace pointsman::nft {
namespace {

// What the kernel cannot change in place and no packet sees.
SetSpec Essence(SetSpec spec) {
  spec.comment.clear();
  spec.gc_interval = absl::ZeroDuration();  // nft cannot write one for a map
  return spec;
}

// An element that is wanted, wherever it is held.
struct Wanted {
  absl::uint128 beginning;  // of the key; nearly always enough to tell two of them apart
  const Bytes* key;
  const ElementValue* value;

  Wanted(const Bytes& k, const ElementValue& v) : beginning(BeginningOf(k)), key(&k), value(&v) {}
  static absl::uint128 BeginningOf(const Bytes& key) {
    absl::uint128 beginning = 0;
    for (size_t i = 0; i < sizeof beginning; ++i) beginning = beginning << 8 | (i < key.size() ? key[i] : 0);
    return beginning;
  }
  friend bool operator<(const Wanted& a, const Wanted& b) {
    return a.beginning != b.beginning ? a.beginning < b.beginning : CompareKeys(*a.key, *b.key) < 0;
  }
};

// One table against what is there of it.
class TableDiff {
 public:
  TableDiff(Family family, const Table& want, const Table& have, SetElements& services, Changes& out,
            ElementDelta& elements)
      : family_(family), want_(want), have_(have), services_(services), out_(out), elements_(elements) {}

  void Run() {
    // A set of another shape must go, and cannot while a rule refers to it: then all rules are written anew.
    for (const auto& [name, set] : want_.sets) {
      const auto there = have_.sets.find(name);
      if (there != have_.sets.end() && Essence(there->second.spec) != Essence(set.spec)) {
        reshaped_.insert(name);
      }
    }
    if (!reshaped_.empty()) {
      for (const auto& [name, chain] : have_.chains) out_.commit.push_back(FlushChain{family_, name});
      // Rules of strangers' sets and verdict elements must not hold on to them either.
      for (const std::string& name : reshaped_) out_.commit.push_back(FlushSet{family_, name, ThereIsMap(name)});
      for (const std::string& name : reshaped_) out_.commit.push_back(DeleteSet{family_, name, ThereIsMap(name)});
    }
    Sets();
    Chains();
    Foreign();
  }

 private:
  void Sets() {
    static const auto* const kNone = new Set;
    for (const auto& [name, set] : want_.sets) {
      const auto there = have_.sets.find(name);
      const bool fresh = there == have_.sets.end() || reshaped_.contains(name);
      if (fresh) out_.commit.push_back(AddSet{family_, name, set.spec});
      if (!set.spec.dynamic) Elements(name, set, fresh ? *kNone : there->second);
    }
  }

  void Elements(const std::string& name, const Set& want, const Set& have) {
    const auto it = services_.find(std::pair<Family, absl::string_view>(family_, name));
    std::vector<Element> services = it == services_.end() ? std::vector<Element>() : std::move(it->second);
    if (have.complete && want.elements.empty() && services.empty() && have.elements.empty()) return;
    ElementDelta::OfSet& delta = elements_.At(family_, name, want.spec);
    delta.flush = !have.complete;
    if (!have.complete || have.elements.empty()) {
      delta.added = std::move(services);
      delta.added.reserve(delta.added.size() + want.elements.size());
      for (const auto& [key, value] : want.elements) delta.added.push_back({key, value});
      return;
    }
    std::vector<Wanted> wanted;
    wanted.reserve(want.elements.size() + services.size());
    for (const auto& [key, value] : want.elements) wanted.emplace_back(key, value);
    for (const Element& element : services) wanted.emplace_back(element.key, element.value);
    if (!services.empty()) std::sort(wanted.begin(), wanted.end());
    // Both are sorted by key: one walk.
    auto w = wanted.begin();
    auto h = have.elements.begin();
    while (w != wanted.end() || h != have.elements.end()) {
      if (h == have.elements.end() || (w != wanted.end() && *w->key < h->first)) {
        delta.added.push_back({*w->key, *w->value});
        ++w;
      } else if (w == wanted.end() || h->first < *w->key) {
        delta.removed.push_back({h->first, h->second});
        ++h;
      } else {
        if (*w->value != h->second) {
          delta.removed.push_back({h->first, h->second});
          delta.added.push_back({*w->key, *w->value});
        }
        ++w;
        ++h;
      }
    }
  }

  // All chains before any rule: rules refer to chains in any direction.
  void Chains() {
    std::vector<std::string> rewritten;
    for (const auto& [name, chain] : want_.chains) {
      const auto there = have_.chains.find(name);
      if (there == have_.chains.end()) {
        out_.commit.push_back(AddChain{family_, name, chain.hook, chain.comment});
        rewritten.push_back(name);
      } else if (there->second.hook != chain.hook) {
        // A hook cannot be changed in place.
        out_.commit.push_back(FlushChain{family_, name});
        out_.commit.push_back(DeleteChain{family_, name});
        out_.commit.push_back(AddChain{family_, name, chain.hook, chain.comment});
        rewritten.push_back(name);
      } else if (!reshaped_.empty()) {
        rewritten.push_back(name);  // flushed above
      } else if (there->second.rules != chain.rules) {
        out_.commit.push_back(FlushChain{family_, name});
        rewritten.push_back(name);
      }
    }
    for (const std::string& name : rewritten) {
      for (const Rule& rule : want_.chains.at(name).rules) out_.commit.push_back(AddRule{family_, name, rule});
    }
  }

  bool ThereIsMap(const std::string& name) const { return have_.sets.at(name).spec.is_map(); }

  void Foreign() {
    for (const auto& [name, chain] : have_.chains) {
      if (!want_.chains.contains(name)) out_.sweep.push_back(FlushChain{family_, name});
    }
    for (const auto& [name, set] : have_.sets) {
      if (!want_.sets.contains(name)) out_.sweep.push_back(FlushSet{family_, name, set.spec.is_map()});
    }
    for (const auto& [name, chain] : have_.chains) {
      if (!want_.chains.contains(name)) out_.sweep.push_back(DeleteChain{family_, name});
    }
    for (const auto& [name, set] : have_.sets) {
      if (!want_.sets.contains(name)) out_.sweep.push_back(DeleteSet{family_, name, set.spec.is_map()});
    }
  }

  const Family family_;
  const Table& want_;
  const Table& have_;
  SetElements& services_;
  Changes& out_;
  ElementDelta& elements_;
  absl::btree_set<std::string> reshaped_;
};

}  // namespace

Changes Diff(const Ruleset& want, const Ruleset& have, SetElements services) {
  static const auto* const kNone = new Table;
  Changes changes;
  ElementDelta elements;
  for (const auto& [family, table] : want.tables) {
    const auto there = have.tables.find(family);
    if (there == have.tables.end()) changes.commit.push_back(AddTable{family, table.comment});
    TableDiff(family, table, there == have.tables.end() ? *kNone : there->second, services, changes, elements).Run();
  }
  for (const auto& [family, table] : have.tables) {
    if (!want.tables.contains(family)) changes.commit.push_back(DeleteTable{family});
  }
  std::move(elements).AppendTo(changes.commit);
  return changes;
}

}  // namespace pointsman::nft
