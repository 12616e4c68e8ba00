// SPDX-License-Identifier: Apache-2.0
//
// From plans to nf_tables changes. Services live in the elements of a few shared maps; chains and rules are a skeleton
// that does not grow with the cluster. Layout and reasons: docs/nftables.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "pointsman/nft.h"
#include "pointsman/plan.h"

namespace pointsman::nft {

// The node-wide part of a program.
struct BaseSettings {
  uint32_t mark = 0x4000;            // exactly one bit: "masquerade this connection"
  Policy policy;
  std::vector<Cidr> service_cidrs;   // destinations inside that nobody owns are rejected; sorted, unique

  friend bool operator==(const BaseSettings&, const BaseSettings&) = default;
};

// One element with the set it belongs to.
struct SetElement {
  Family family;
  const char* set;  // a name of the layout, static storage
  Element element;
};

// What one Service contributes: elements, sorted by (family, set, key), and the pick chains its verdicts name.
struct Fragment {
  std::vector<SetElement> elements;
  std::vector<SetElement> shared;  // elements other Services may contribute too; the kernel holds them once
};

// What an earlier program did with the slots and size classes, so that a new one moves nothing that can stay.
class History {
 public:
  virtual ~History() = default;
  // The element of `set` at `key`; null if there is none.
  virtual const ElementValue* Find(Family family, absl::string_view set, const Bytes& key) const = 0;
};

// Compiles one Service.
//
// Inputs:  `history` may be empty; survivors keep the slot they have in it, leavers are paired with comers, and a size
//          class that still fits is kept.
// Returns: slots 0..N-1 without holes. Deterministic: equal plans with equal histories give equal fragments.
// Cost:    O(frontends x endpoints).
Fragment CompileService(const ServicePlan& plan, const BaseSettings& settings, const History& history);

// The constant part: tables, stock chains, sets and node-wide elements, and the chains named in `chains` with all that they
// in turn go to. Names that are not ours are left out.
Ruleset CompileBase(const BaseSettings& settings, const absl::btree_map<Family, absl::btree_set<std::string>>& chains);

// A whole program from nothing: what `dump` prints and what an empty kernel would be given.
Ruleset CompileAll(absl::Span<const std::shared_ptr<const ServicePlan>> plans, const BaseSettings& settings);

// Desired against observed: the changes that make `have` equal to `want`, in a safe order.
//
// Returns: `commit` in one transaction; `sweep` in a second one, for objects in our tables that are not ours and may still be
//          referenced until `commit` is in. Chains of the layout that nobody uses at the moment are left alone; contents of
//          sets the kernel fills itself are none of our business.
struct Changes {
  ChangeSet commit;
  ChangeSet sweep;
  bool empty() const { return commit.empty() && sweep.empty(); }
};
Changes Diff(const Ruleset& want, const Ruleset& have);

// Executes `changes` on `ruleset` as the kernel would: adding what differs from what is there is an error, and so is
// deleting what is absent. Index of the failing op and why, as a status message.
absl::Status Apply(const ChangeSet& changes, Ruleset& ruleset);

// Desired state of the whole node, step by step. Holds what the kernel was last told, per Service.
class Programmer {
 public:
  // Forgets everything known about the kernel; the next Stage compares with `have`.
  void Observe(Ruleset have);
  bool observed() const { return observed_; }

  // Compiles what `patch` names and returns the changes against what the kernel holds.
  // The state moves only with Accept(); without it the next Stage starts from the same point.
  // `full`: `patch` names every Service there is. Required after Observe and when `settings` differ from the last accepted.
  // Cost: O(patch), independent of how many Services there are, unless `full`.
  Changes Stage(const PlanPatch& patch, const BaseSettings& settings, bool full);
  void Accept();

  // Moves Services whose lists have shrunk far below their size class to a smaller one; they are staged with the next Stage.
  size_t elements() const;

 private:
  struct Impl;
  bool observed_ = false;
  std::shared_ptr<Impl> impl_;
};

}  // namespace pointsman::nft
