// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/driver.h"

#include <malloc.h>

#include <algorithm>
#include <utility>

#include "agent/loop/clock.h"
#include "pointsman/status.h"

namespace pointsman {
namespace {

constexpr absl::Duration kCountEvery = absl::Minutes(1);
constexpr int kManyServices = 1000;

void Merge(Touched& into, Touched from) {
  into.all = into.all || from.all;
  if (into.services.empty()) {
    into.services = std::move(from.services);
  } else {
    into.services.merge(from.services);
  }
}

// A step over everything has needed much that nobody needs again. The heap gives it back only when told to.
void ReturnMemory(const PassReport& report) {
  if (report.full && report.services >= kManyServices) malloc_trim(0);
}

}  // namespace

Driver::Driver(Config config, Inbox& inbox, Dataplane& dataplane, Hooks hooks, Controller::Options options)
    : config_(std::move(config)),
      inbox_(inbox),
      dataplane_(dataplane),
      hooks_(std::move(hooks)),
      controller_(options) {}

void Driver::SetAddresses(std::vector<IpAddr> addresses) {
  if (addresses == addresses_) return;
  addresses_ = std::move(addresses);
  touched_.all = true;  // which Services it concerns, the comparison of NodeInfo decides
  controller_.Dirty();
  TellProgress();
}

void Driver::Wake() {
  const Inbox::Delivery delivery = inbox_.Take();
  int services = 0;
  int slices = 0;
  for (const ObjectChange& change : delivery.batch.changes) {
    if (change.key.kind == Kind::kService) ++services;
    if (change.key.kind == Kind::kEndpointSlice) ++slices;
  }
  times_.Note(delivery.batch);
  Touched touched = store_.Apply(delivery.batch);
  times_.Applied(touched);
  if (!touched.empty()) {
    oldest_ = std::min(oldest_, delivery.batch.oldest);
    if (services + slices > 0) hooks_.took(services, slices);
    told_pending_ = false;  // each counts
    controller_.Dirty();
  }
  Merge(touched_, std::move(touched));
  if (delivery.synced) controller_.Synced();
  TellProgress();
}

void Driver::TellProgress() {
  if (!controller_.synced() || controller_.idle() == !told_pending_) return;
  told_pending_ = !controller_.idle();
  if (told_pending_) {
    hooks_.pending();
  } else {
    hooks_.settled();
  }
}

absl::Time Driver::Step(absl::Time now) {
  const Controller::Next next = controller_.Decide(now);
  switch (next.what) {
    case Controller::Do::kWait:
      return next.until;
    case Controller::Do::kObserve:
      Observe(now);
      break;
    case Controller::Do::kReconcile:
    case Controller::Do::kShrink:
    case Controller::Do::kRebuild:
      Reconcile(now, next);
      break;
    case Controller::Do::kCheckGeneration:
      CheckGeneration(now);
      break;
  }
  TellProgress();
  return absl::InfinitePast();
}

void Driver::CheckGeneration(absl::Time now) {
  const absl::StatusOr<Generation> generation = dataplane_.CurrentGeneration();
  moved_ = !generation.ok() || *generation != generation_;
  controller_.GenerationChecked(now, moved_);
  CountNotRemembered(now);
}

void Driver::CountNotRemembered(absl::Time now) {
  if (now < count_at_ || !programmer_.affinity()) return;
  count_at_ = now + kCountEvery;
  const absl::StatusOr<uint64_t> counted = dataplane_.CountedPackets();
  if (!counted.ok()) {
    hooks_.error(counted.status(), "count");
    return;
  }
  // A chain that was written anew counts from nothing.
  if (*counted > not_remembered_) hooks_.not_remembered(*counted - not_remembered_);
  not_remembered_ = *counted;
}

void Driver::Observe(absl::Time now) {
  absl::StatusOr<Observation> observation = dataplane_.Observe();
  const absl::Time done = SteadyNow();
  controller_.Observed(done, observation.status(), done - now);
  hooks_.observed(observation.status(), done - now);
  if (!observation.ok()) {
    last_error_ = observation.status();
    hooks_.error(last_error_, "observe");
    return;
  }
  generation_ = observation->generation;
  tables_.clear();
  for (const auto& [family, table] : observation->ruleset.tables) tables_.insert(family);
  programmer_.Observe(std::move(observation->ruleset));
  full_ = true;
}

Touched Driver::Prepare(bool shrink) {
  Touched todo{.all = full_};
  if (full_ || touched_.all) {
    NodeInfo node = MakeNodeInfo(config_, store_.FindNode(config_.node_name), addresses_);
    Diagnostics node_wide;
    nft::BaseSettings settings = MakeBaseSettings(config_, store_, node_wide);
    TellNodeWide(std::move(node_wide));
    // Node-wide objects may change without changing what we use of them.
    todo.all = todo.all || node != node_ || settings != settings_;
    node_ = std::move(node);
    settings_ = std::move(settings);
    // Also for what others than the program go by: taints.
    hooks_.node(store_.FindNode(config_.node_name), node_);
  }
  if (!todo.all) todo.services = touched_.services;
  if (shrink) todo.services.insert(programmer_.shrinkable().begin(), programmer_.shrinkable().end());
  return todo;
}

absl::Status Driver::CommitFirst(bool guarded, PassReport& report) {
  const absl::Time start = SteadyNow();
  const PlanPatch patch = planner_.Plan(store_, {.services = store_.First()}, node_, settings_.policy);
  const nft::Changes changes = programmer_.Stage(patch, settings_, /*full=*/true);
  std::vector<FlowCheck> stale = flows_.Stage(patch, /*full=*/true);
  PM_RETURN_IF_ERROR(Commit(changes.commit, guarded, report));
  programmer_.Accept();
  flows_.Accept();
  if (!stale.empty()) hooks_.clean(std::move(stale));
  report.first = SteadyNow() - start;
  return absl::OkStatus();
}

nft::Changes Driver::Stage(const Touched& todo, bool shrink, PassReport& report) {
  const absl::Time start = SteadyNow();
  const PlanPatch patch = planner_.Plan(store_, todo, node_, settings_.policy);
  const absl::Time planned = SteadyNow();
  Tell(patch);
  facts_.clear();
  for (const auto& [name, plan] : patch.services) {
    const ServiceFacts facts =
        plan == nullptr ? ServiceFacts{} : ServiceFacts{plan->health, plan->no_local_ipv4, plan->no_local_ipv6};
    if (!todo.all || facts != ServiceFacts{}) facts_[name] = facts;
  }
  nft::Changes changes = programmer_.Stage(patch, settings_, todo.all, shrink);
  stale_ = flows_.Stage(patch, todo.all);
  report.services = static_cast<int>(patch.services.size());
  report.flow_checks = static_cast<int>(
      std::count_if(stale_.begin(), stale_.end(), [](const FlowCheck& check) { return !check.renews; }));
  report.full = todo.all;
  report.planning = planned - start;
  report.compiling = SteadyNow() - planned;
  return changes;
}

absl::Status Driver::Commit(const nft::ChangeSet& changes, bool guarded, PassReport& report) {
  if (changes.empty()) return absl::OkStatus();
  PM_ASSIGN_OR_RETURN(const CommitReport done, dataplane_.Commit(changes, guarded ? generation_ : kUnknownGeneration));
  generation_ = done.generation;
  report.commit.ops += done.ops;
  report.commit.messages += done.messages;
  report.commit.bytes += done.bytes;
  report.commit.generation = done.generation;
  report.commit.encoding += done.encoding;
  report.commit.committing += done.committing;
  ++report.transactions;
  return absl::OkStatus();
}

void Driver::Reconcile(absl::Time, const Controller::Next& next) {
  PassReport report;
  if (oldest_ != absl::InfiniteFuture()) report.waiting = SteadyNow() - oldest_;
  const bool rebuild = next.what == Controller::Do::kRebuild;
  const bool guarded = next.guarded && !rebuild;
  const bool shrink = next.what == Controller::Do::kShrink;
  if (rebuild) programmer_.Observe({});
  const Touched todo = Prepare(shrink);
  if (full_ && tables_.empty() && !store_.First().empty() && store_.size() >= kManyServices) {
    // The rest takes a while, and nobody serves meanwhile.
    if (const absl::Status first = CommitFirst(guarded, report); !first.ok()) return Failed(first, report);
  }
  nft::Changes changes = Stage(todo, shrink, report);
  ReturnMemory(report);
  if (rebuild) {
    nft::ChangeSet from_nothing;
    for (const Family family : tables_) from_nothing.push_back(nft::DeleteTable{family});
    from_nothing.insert(from_nothing.end(), std::make_move_iterator(changes.commit.begin()),
                        std::make_move_iterator(changes.commit.end()));
    changes.commit = std::move(from_nothing);
  }

  const absl::Duration encoding_before = report.commit.encoding;
  const absl::Time start = SteadyNow();
  const absl::Status status = Commit(changes.commit, guarded, report);
  const absl::Time done = SteadyNow();
  report.committing = done - start;
  if (!status.ok()) return Failed(status, report);
  if (!changes.commit.empty()) {
    report.encoding = report.commit.encoding - encoding_before;
    report.committing -= *report.encoding;
  }
  report.triggers = times_.Take();
  report.done = done;
  oldest_ = absl::InfiniteFuture();
  controller_.Committed(done, absl::OkStatus());
  programmer_.Accept();
  flows_.Accept();
  if (!stale_.empty()) hooks_.clean(std::move(stale_));
  stale_.clear();
  hooks_.facts(std::move(facts_), report.full);
  facts_.clear();
  full_ = false;
  touched_ = {};
  last_error_ = absl::OkStatus();
  controller_.Shrinkable(done, !programmer_.shrinkable().empty());

  // What is in our tables and not ours, or of no more use. Nothing depends on it; but what is left must be known.
  const absl::Time sweeping = SteadyNow();
  const absl::Status swept = Commit(changes.sweep, next.guarded, report);
  controller_.Swept(SteadyNow(), swept);
  report.sweeping = SteadyNow() - sweeping;
  report.repaired = moved_ && report.transactions > 0;
  moved_ = false;
  if (!swept.ok()) {
    programmer_.Doubt();
    full_ = true;
    if (absl::IsAborted(swept)) {
      hooks_.conflict();
    } else {
      hooks_.error(swept, "sweep");
    }
  }
  changes = {};
  ReturnMemory(report);
  hooks_.pass(report);
  CountNotRemembered(done);
}

void Driver::Failed(const absl::Status& status, const PassReport& report) {
  hooks_.pass_failed(report);
  controller_.Committed(SteadyNow(), status);
  programmer_.Doubt();
  full_ = true;
  last_error_ = status;
  // A stranger's commit is no error, just a reason to look again.
  if (absl::IsAborted(status)) {
    hooks_.conflict();
  } else {
    hooks_.error(status, "commit");
  }
}

void Driver::TellNodeWide(Diagnostics diagnostics) {
  if (diagnostics == told_node_wide_) return;
  for (const Diagnostic& diagnostic : diagnostics) hooks_.diagnostic(diagnostic);
  told_node_wide_ = std::move(diagnostics);
}

void Driver::Tell(const PlanPatch& patch) {
  for (const auto& [name, diagnostics] : patch.diagnostics) {
    const auto told = told_.find(name);
    if (told != told_.end() && told->second == diagnostics) continue;
    for (const Diagnostic& diagnostic : diagnostics) hooks_.diagnostic(diagnostic);
    if (told != told_.end() || !diagnostics.empty()) hooks_.diagnosed(name, diagnostics);
    if (diagnostics.empty()) {
      told_.erase(name);
    } else {
      told_[name] = diagnostics;
    }
  }
}

}  // namespace pointsman
