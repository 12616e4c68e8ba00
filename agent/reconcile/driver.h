// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

#include "agent/config.h"
#include "agent/loop/inbox.h"
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
  int flow_checks = 0;        // frontends whose established flows are looked at
  absl::Duration planning;    // from objects to changes
  absl::Duration committing;  // in the kernel
};

// Carries out what the Controller decides: the pipeline from the Inbox to the kernel.
class Driver {
 public:
  // What a driver tells, and to whom it leaves what is not its own to do. All of them must be set.
  struct Hooks {
    absl::AnyInvocable<void(const Diagnostic&)> diagnostic;
    absl::AnyInvocable<void(const PassReport&)> pass;
    absl::AnyInvocable<void(const absl::Status&, const char* stage)> error;
    // Flows that what is now in the kernel has made stale.
    absl::AnyInvocable<void(std::vector<FlowCheck>)> clean;
    // So many connections since the last time went to an endpoint that could not be remembered for their client: there
    // is no room for more clients.
    absl::AnyInvocable<void(uint64_t)> not_remembered;
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

 private:
  void Observe(absl::Time now);
  void Reconcile(absl::Time now, const Controller::Next& next);
  void CheckGeneration(absl::Time now);
  // Asks the kernel's counters, now and then, while anybody is to be remembered.
  void CountNotRemembered(absl::Time now);
  // Compiles what is dirty; sets `report`'s planning half.
  nft::Changes Stage(bool shrink, PassReport& report);
  absl::Status Commit(const nft::ChangeSet& changes, bool guarded, PassReport& report);
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
  std::vector<FlowCheck> stale_;  // by what is staged
  std::vector<IpAddr> addresses_;
  Touched touched_;  // not yet committed
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
};

}  // namespace pointsman
