// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

#include "agent/config.h"
#include "agent/loop/inbox.h"
#include "agent/reconcile/change_times.h"
#include "agent/reconcile/controller.h"
#include "pointsman/dataplane.h"
#include "pointsman/nft_program.h"
#include "pointsman/plan.h"

namespace pointsman {

// What one pass over the pipeline did.
struct PassReport {
  int services = 0;     // compiled
  CommitReport commit;  // of all transactions of the pass
  int transactions = 0;
  bool full = false;
  int flow_checks = 0;    // frontends whose established flows are looked at
  bool repaired = false;  // what a stranger had done was put right
  // How long it took, stage by stage.
  std::optional<absl::Duration> waiting;   // since the oldest change from the Inbox was known, until the pass began
  absl::Duration planning;                 // from objects to plans
  absl::Duration compiling;                // from those to changes
  std::optional<absl::Duration> encoding;  // from those to bytes; nullopt: there was nothing to send, or it failed
  absl::Duration committing;               // until the kernel had acknowledged; with the encoding, if it failed
  absl::Duration sweeping;                 // what is of no more use
  // On a cold start: until what other Services depend on was in the kernel, in a transaction before all else. It is not
  // part of the durations above.
  std::optional<absl::Duration> first;
  // When changes happened that are now in the kernel, and when they were there, by the steady clock.
  std::vector<ChangeTimes::Trigger> triggers;
  absl::Time done;
};

// What those who ask about a Service, or about all of them, are told.
struct ServiceFacts {
  std::optional<HealthCheck> health;
  NoLocalEndpoints no_local_ipv4;
  NoLocalEndpoints no_local_ipv6;

  friend bool operator==(const ServiceFacts&, const ServiceFacts&) = default;
};

// Carries out what the Controller decides: the pipeline from the Inbox to the kernel.
class Driver {
 public:
  // What a driver tells, and to whom it leaves what is not its own to do.
  struct Hooks {
    // These must be set.
    absl::AnyInvocable<void(const Diagnostic&)> diagnostic;
    absl::AnyInvocable<void(const PassReport&)> pass;
    absl::AnyInvocable<void(const absl::Status&, const char* stage)> error;
    // Flows that what is now in the kernel has made stale.
    absl::AnyInvocable<void(std::vector<FlowCheck>)> clean;
    // So many connections since the last time went to an endpoint that could not be remembered for their client: there
    // is no room for more clients.
    absl::AnyInvocable<void(uint64_t)> not_remembered;

    // These need not.
    // Changes of so many Services and slices were taken from the Inbox, and make a difference. They count as pending
    // until `settled`.
    absl::AnyInvocable<void(int services, int slices)> took = [](int, int) {};
    // There is something to bring into the kernel: told when it becomes so, and for each change that comes on top.
    absl::AnyInvocable<void()> pending = [] {};
    // All there was is in the kernel. The pass that did it was told before, if there was one.
    absl::AnyInvocable<void()> settled = [] {};
    // A pass ended without its changes being in the kernel; why is told next.
    absl::AnyInvocable<void(const PassReport&)> pass_failed = [](const PassReport&) {};
    // A stranger's commit came between: looking again.
    absl::AnyInvocable<void()> conflict = [] {};
    // A pass or a listing has ended, well or not, and took so long.
    absl::AnyInvocable<void(const absl::Status&, absl::Duration)> observed = [](const absl::Status&, absl::Duration) {};
    // What is in the kernel now means this for these Services; for one that is not named, with `all`, nothing.
    absl::AnyInvocable<void(absl::btree_map<NamespacedName, ServiceFacts>, bool all)> facts =
        [](const absl::btree_map<NamespacedName, ServiceFacts>&, bool) {};
    // The Node object of this node, before a pass that follows a change of it; null if there is none.
    absl::AnyInvocable<void(const Node*, const NodeInfo&)> node = [](const Node*, const NodeInfo&) {};
    // What is wrong with the objects, by Service; empty: nothing any more.
    absl::AnyInvocable<void(const NamespacedName&, const Diagnostics&)> diagnosed = [](const NamespacedName&,
                                                                                       const Diagnostics&) {};
  };

  Driver(Config config, Inbox& inbox, Dataplane& dataplane, Hooks hooks, Controller::Options options = {});

  // The addresses of this node are now these.
  void SetAddresses(std::vector<IpAddr> addresses);

  // Something may be in the Inbox.
  void Wake();

  // Does the next thing there is to do.
  // Inputs:  steady time (SteadyNow), as all times here.
  // Returns: when to come back; the past if at once.
  absl::Time Step(absl::Time now);

  // True when everything known is in the kernel.
  bool idle() const { return controller_.idle(); }
  int failures() const { return controller_.failures(); }
  absl::Status last_error() const { return last_error_; }
  size_t services() const { return programmer_.services(); }  // in the kernel
  Generation generation() const { return generation_; }

 private:
  // Tells what became of having something to do.
  void TellProgress();
  void Observe(absl::Time now);
  void Reconcile(absl::Time now, const Controller::Next& next);
  void CheckGeneration(absl::Time now);
  // Asks the kernel's counters, now and then, while anybody is to be remembered.
  void CountNotRemembered(absl::Time now);
  // Takes in what is node-wide.
  // Returns: what is to be compiled.
  Touched Prepare(bool shrink);
  // The first transaction on a node where nothing is yet: the Services that the others depend on.
  absl::Status CommitFirst(bool guarded, PassReport& report);
  // Compiles `todo`; sets `report`'s planning half.
  nft::Changes Stage(const Touched& todo, bool shrink, PassReport& report);
  absl::Status Commit(const nft::ChangeSet& changes, bool guarded, PassReport& report);
  void Failed(const absl::Status& status, const PassReport& report);
  void Tell(const PlanPatch& patch);
  void TellNodeWide(Diagnostics diagnostics);

  const Config config_;
  Inbox& inbox_;
  Dataplane& dataplane_;
  Hooks hooks_;

  Controller controller_;
  Store store_;
  Planner planner_;
  nft::Programmer programmer_;
  FlowTracker flows_;
  std::vector<FlowCheck> stale_;                         // by what is staged
  absl::btree_map<NamespacedName, ServiceFacts> facts_;  // likewise
  std::vector<IpAddr> addresses_;
  Touched touched_;  // not yet committed
  ChangeTimes times_;
  absl::Time oldest_ = absl::InfiniteFuture();  // when the oldest of them was known
  NodeInfo node_;
  nft::BaseSettings settings_;
  bool full_ = true;  // the next pass must name every Service
  Generation generation_ = kUnknownGeneration;
  absl::btree_set<Family> tables_;  // seen at the last observation
  absl::flat_hash_map<NamespacedName, Diagnostics> told_;
  Diagnostics told_node_wide_;
  uint64_t not_remembered_ = 0;  // when last asked
  absl::Time count_at_ = absl::InfinitePast();
  absl::Status last_error_;
  bool told_pending_ = false;
  bool moved_ = false;  // the next listing is because of a stranger's commit
};

}  // namespace pointsman
