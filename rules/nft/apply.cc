// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

#include "pointsman/dataplane.h"
#include "pointsman/nft_program.h"
#include "pointsman/status.h"

namespace pointsman::nft {
namespace {

absl::Status Refused(absl::string_view what, absl::string_view name, absl::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat(what, " ", name, ": ", why));
}

const std::string* TargetOf(const Verdict& verdict) {
  const bool to_chain = verdict.code == Verdict::Code::kJump || verdict.code == Verdict::Code::kGoto;
  return to_chain ? &*verdict.chain : nullptr;
}

// What a rule refers to must exist.
absl::Status CheckReferences(const Table& table, const Rule& rule) {
  for (const Expr& expr : rule.exprs) {
    const std::string* set = nullptr;
    const std::string* chain = nullptr;
    if (const auto* lookup = std::get_if<Lookup>(&expr)) set = &lookup->set;
    if (const auto* dynset = std::get_if<Dynset>(&expr)) set = &dynset->set;
    if (const auto* immediate = std::get_if<Immediate>(&expr)) chain = TargetOf(immediate->verdict);
    if (set != nullptr && !table.sets.contains(*set)) return Refused("rule names set", *set, "no such set");
    if (chain != nullptr && !table.chains.contains(*chain)) return Refused("rule names chain", *chain, "no such chain");
  }
  return absl::OkStatus();
}

bool Refers(const Rule& rule, const std::string& chain) {
  return std::any_of(rule.exprs.begin(), rule.exprs.end(), [&](const Expr& expr) {
    const auto* immediate = std::get_if<Immediate>(&expr);
    return immediate != nullptr && TargetOf(immediate->verdict) != nullptr && immediate->verdict.chain == chain;
  });
}

bool RefersToSet(const Rule& rule, const std::string& set) {
  return std::any_of(rule.exprs.begin(), rule.exprs.end(), [&](const Expr& expr) {
    const auto* lookup = std::get_if<Lookup>(&expr);
    const auto* dynset = std::get_if<Dynset>(&expr);
    return (lookup != nullptr && lookup->set == set) || (dynset != nullptr && dynset->set == set);
  });
}

bool ChainInUse(const Table& table, const std::string& name) {
  for (const auto& [other, chain] : table.chains) {
    if (std::any_of(chain.rules.begin(), chain.rules.end(), [&](const Rule& r) { return Refers(r, name); }))
      return true;
  }
  for (const auto& [other, set] : table.sets) {
    for (const auto& [key, value] : set.elements) {
      const auto* verdict = std::get_if<Verdict>(&value.data);
      if (verdict != nullptr && TargetOf(*verdict) != nullptr && verdict->chain == name) return true;
    }
  }
  return false;
}

bool SetInUse(const Table& table, const std::string& name) {
  return std::any_of(table.chains.begin(), table.chains.end(), [&](const auto& entry) {
    const std::vector<Rule>& rules = entry.second.rules;
    return std::any_of(rules.begin(), rules.end(), [&](const Rule& r) { return RefersToSet(r, name); });
  });
}

class Executor {
 public:
  explicit Executor(Ruleset& ruleset) : ruleset_(ruleset) {}

  absl::Status operator()(const AddTable& op) {
    ruleset_.tables.try_emplace(op.family, Table{.comment = op.comment});
    return absl::OkStatus();
  }
  absl::Status operator()(const DeleteTable& op) {
    return ruleset_.tables.erase(op.family) == 1 ? absl::OkStatus() : Refused("delete table", kTableName, "not there");
  }
  absl::Status operator()(const AddChain& op) {
    PM_ASSIGN_OR_RETURN(Table* const table, TableOf(op.family));
    const auto [it, fresh] = table->chains.try_emplace(op.name, Chain{op.hook, op.comment, {}});
    return fresh || it->second.hook == op.hook ? absl::OkStatus() : Refused("add chain", op.name, "has another hook");
  }
  absl::Status operator()(const FlushChain& op) {
    PM_ASSIGN_OR_RETURN(Chain* const chain, ChainOf(op.family, op.name));
    chain->rules.clear();
    return absl::OkStatus();
  }
  absl::Status operator()(const DeleteChain& op) {
    PM_ASSIGN_OR_RETURN(Chain* const chain, ChainOf(op.family, op.name));
    Table& table = ruleset_.tables[op.family];
    if (!chain->rules.empty() || ChainInUse(table, op.name)) return Refused("delete chain", op.name, "in use");
    table.chains.erase(op.name);
    return absl::OkStatus();
  }
  absl::Status operator()(const AddRule& op) {
    PM_ASSIGN_OR_RETURN(Chain* const chain, ChainOf(op.family, op.chain));
    PM_RETURN_IF_ERROR(CheckReferences(ruleset_.tables[op.family], op.rule));
    chain->rules.push_back(op.rule);
    return absl::OkStatus();
  }
  absl::Status operator()(const AddSet& op) {
    PM_ASSIGN_OR_RETURN(Table* const table, TableOf(op.family));
    const auto [it, fresh] = table->sets.try_emplace(op.name, Set{.spec = op.spec});
    return fresh || it->second.spec == op.spec ? absl::OkStatus() : Refused("add set", op.name, "has another shape");
  }
  absl::Status operator()(const FlushSet& op) {
    PM_ASSIGN_OR_RETURN(Set* const set, SetOf(op.family, op.name));
    set->elements.clear();
    set->complete = true;
    return absl::OkStatus();
  }
  absl::Status operator()(const DeleteSet& op) {
    PM_RETURN_IF_ERROR(SetOf(op.family, op.name).status());
    Table& table = ruleset_.tables[op.family];
    if (SetInUse(table, op.name)) return Refused("delete set", op.name, "in use");
    table.sets.erase(op.name);
    return absl::OkStatus();
  }
  absl::Status operator()(const nft::AddElements& op) {
    PM_ASSIGN_OR_RETURN(Set* const set, SetOf(op.family, op.set));
    const Table& table = ruleset_.tables[op.family];
    for (const Element& element : op.elements) {
      const auto* verdict = std::get_if<Verdict>(&element.value.data);
      if (verdict != nullptr && TargetOf(*verdict) != nullptr && !table.chains.contains(*verdict->chain)) {
        return Refused("add element to", op.set, absl::StrCat("no chain ", *verdict->chain));
      }
      const auto [it, fresh] = set->elements.try_emplace(element.key, element.value);
      // The kernel takes an identical element as done, its comment apart, and refuses other data.
      if (!fresh && (it->second.data != element.value.data || it->second.end != element.value.end)) {
        return Refused("add element to", op.set, "exists with other data");
      }
    }
    return absl::OkStatus();
  }
  absl::Status operator()(const DeleteElements& op) {
    PM_ASSIGN_OR_RETURN(Set* const set, SetOf(op.family, op.set));
    for (const Element& element : op.elements) {
      if (set->elements.erase(element.key) == 0) return Refused("delete element from", op.set, "not there");
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<Table*> TableOf(Family family) {
    const auto it = ruleset_.tables.find(family);
    if (it == ruleset_.tables.end()) return Refused("table", kTableName, "not there");
    return &it->second;
  }
  absl::StatusOr<Chain*> ChainOf(Family family, const std::string& name) {
    PM_ASSIGN_OR_RETURN(Table* const table, TableOf(family));
    const auto it = table->chains.find(name);
    if (it == table->chains.end()) return Refused("chain", name, "not there");
    return &it->second;
  }
  absl::StatusOr<Set*> SetOf(Family family, const std::string& name) {
    PM_ASSIGN_OR_RETURN(Table* const table, TableOf(family));
    const auto it = table->sets.find(name);
    if (it == table->sets.end()) return Refused("set", name, "not there");
    return &it->second;
  }

  Ruleset& ruleset_;
};

}  // namespace

absl::Status Apply(const ChangeSet& changes, Ruleset& ruleset) {
  Ruleset result = ruleset;
  Executor executor(result);
  for (size_t i = 0; i < changes.size(); ++i) {
    absl::Status status = std::visit(executor, changes[i]);
    if (!status.ok()) {
      status.SetPayload(kFailedOpPayload, absl::Cord(absl::StrCat(i)));
      return status;
    }
  }
  ruleset = std::move(result);
  return absl::OkStatus();
}

}  // namespace pointsman::nft
