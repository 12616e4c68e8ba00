// SPDX-License-Identifier: Apache-2.0
//
// From plans to nf_tables changes. Services live in the elements of a few shared maps; chains and rules are a skeleton
// that does not grow with the cluster. Layout and reasons: docs/nftables.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

#include "pointsman/nft.h"
#include "pointsman/plan.h"

namespace pointsman::nft {

// The node-wide part of a program.
struct BaseSettings {
  uint32_t mark = 0x4000;  // exactly one bit: "masquerade this connection"
  Policy policy;
  std::vector<Cidr>
      service_cidrs;  // destinations inside, neither a ClusterIP nor the node's own, are dropped; Canonical
  uint32_t affinity_size = 262144;  // clients remembered, over all Services, per family; 94 bytes each

  friend bool operator==(const BaseSettings&, const BaseSettings&) = default;
};

// One element with the set it belongs to.
struct SetElement {
  Family family = Family::kIpv4;
  const char* set = "";  // a name of the layout, static storage
  Element element;

  friend bool operator==(const SetElement& a, const SetElement& b) {
    return a.family == b.family && absl::string_view(a.set) == b.set && a.element == b.element;
  }
};

// What one Service contributes.
struct Fragment {
  std::vector<SetElement> elements;  // sorted by (family, set, key), unique
  std::vector<SetElement> shared;    // likewise; other Services may contribute the same, the kernel holds them once;
                                     // keys without values
  bool shrinkable = false;           // a list has become much smaller than its size class

  friend bool operator==(const Fragment&, const Fragment&) = default;
};

// What an earlier program did with slots and size classes, so that a new one moves nothing that can stay.
class History {
 public:
  virtual ~History() = default;
  // The element of `set` at `key`; null if there is none.
  virtual const ElementValue* Find(Family family, const char* set, const Bytes& key) const = 0;
};

// The history of a kernel that holds `ruleset`, or of a Service that held `fragment`. The argument must outlive it.
std::unique_ptr<History> HistoryOf(const Ruleset& ruleset);
std::unique_ptr<History> HistoryOf(const Fragment& fragment);

// Compiles one Service.
//
// Inputs:  `history` may be empty; survivors keep the slot they have in it, the rest fill the holes, and a size class
//          that still fits is kept, however much too large, unless `shrink`.
// Returns: slots 0..N-1 without holes. Deterministic: equal plans with equal histories give equal fragments.
// Cost:    O(frontends x endpoints).
Fragment CompileService(const ServicePlan& plan, const History& history, bool shrink);

// The chains that elements go to, by family.
using ChainNames = absl::btree_map<Family, absl::btree_set<std::string>>;

// The constant part: tables, stock chains, sets and node-wide elements, and the chains named in `chains` with all that
// they in turn go to. Names that are not of the layout are left out.
Ruleset CompileBase(const BaseSettings& settings, const ChainNames& chains);

// A whole program from nothing: what `dump` prints and what an empty kernel would be given.
Ruleset CompileAll(absl::Span<const std::shared_ptr<const ServicePlan>> plans, const BaseSettings& settings);

// `commit` in one transaction; `sweep` in a second one: objects in our tables that are not ours. Until `commit` is in,
// they may still be referenced, and kernels before 6.2 count references from elements deleted in the same transaction.
struct Changes {
  ChangeSet commit;
  ChangeSet sweep;
  bool empty() const { return commit.empty() && sweep.empty(); }
};

// Elements by family and set, a set's in any order, its keys unique.
using SetElements = absl::btree_map<std::pair<Family, absl::string_view>, std::vector<Element>>;

// Desired against observed: what makes `have` equal to `want`, in a safe order.
//
// Comments of tables, chains and sets and the intervals of garbage collection cannot be changed in place and change no
// packet: they are not compared. Nor are the contents of sets that packets fill. A set that is not complete is flushed
// and filled anew.
//
// Inputs:  `services`: elements wanted besides those in `want`, which has their sets. A cluster's worth: moved into the
//          changes, not copied, and sorted only where there is something to compare them with.
// Cost:    O(elements), and sorting them.
Changes Diff(const Ruleset& want, const Ruleset& have, SetElements services = {});

// What a kernel must be able to execute to be of use: from nothing, in both families, every kind of set, chain, rule
// and element that a program may come to have. For trying out; its addresses are made up.
ChangeSet CompileTrial();

// Executes `changes` on `ruleset` as the kernel would, or not at all.
// Errors: what the kernel would refuse: the index of the op and why, kFailedOpPayload set.
absl::Status Apply(const ChangeSet& changes, Ruleset& ruleset);

// The desired program of the node and what the kernel was last told, per Service: the ledger.
class Programmer {
 public:
  Programmer();
  ~Programmer();
  Programmer(Programmer&&) noexcept;
  Programmer& operator=(Programmer&&) noexcept;

  // Forgets what the kernel was told: it holds `have`. The next Stage must be full.
  void Observe(Ruleset have);
  bool observed() const;  // false until the first Observe, and after Doubt
  void Doubt();           // the kernel may hold anything; observe again

  // Compiles what `patch` names and returns the changes against what the kernel holds. The ledger moves only with
  // Accept: a second Stage starts from the same point as the first.
  //
  // Inputs: `full`: `patch` names every Service there is. Required after Observe and when `settings` change.
  //         `shrink`: move lists that have become much smaller than their size class to a fitting one.
  // Cost:   O(patch), independent of how many Services there are, unless `full`.
  Changes Stage(const PlanPatch& patch, const BaseSettings& settings, bool full, bool shrink = false);
  // The staged changes are in the kernel.
  void Accept();

  // Services with a list much smaller than its size class.
  const absl::btree_set<NamespacedName>& shrinkable() const;
  // Whether some Service has session affinity.
  bool affinity() const;
  size_t services() const;

 private:
  struct Ledger;
  std::unique_ptr<Ledger> ledger_;
};

}  // namespace pointsman::nft
