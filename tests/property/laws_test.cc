// SPDX-License-Identifier: Apache-2.0
//
// The laws of the house, over random clusters. On a failure RapidCheck prints the seed and the smallest case.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "pointsman/nft_program.h"
#include "pointsman/plan.h"
#include "tests/support/gen.h"
#include "tests/support/normalise.h"

namespace pointsman {
namespace {

using support::ArbChange;
using support::ArbNode;
using support::ArbPolicy;
using support::Normalise;

constexpr int kServices = 5;

std::vector<ObjectChange> ArbHistory(int most) {
  std::vector<ObjectChange> changes;
  const int count = *rc::gen::inRange(1, most);
  for (int i = 0; i < count; ++i) changes.push_back(ArbChange(kServices));
  return changes;
}

Touched Everything() { return {.all = true}; }

std::vector<std::shared_ptr<const ServicePlan>> PlansOf(const PlanPatch& patch) {
  std::vector<std::shared_ptr<const ServicePlan>> plans;
  for (const auto& [name, plan] : patch.services) {
    if (plan) plans.push_back(plan);
  }
  return plans;
}

std::vector<std::shared_ptr<const ServicePlan>> PlanAll(const Store& store, const NodeInfo& node,
                                                        const Policy& policy) {
  Planner planner;
  return PlansOf(planner.Plan(store, Everything(), node, policy));
}

nft::BaseSettings SettingsFor(const Policy& policy) {
  return {.policy = policy, .service_cidrs = {support::Net("192.0.2.0/25"), support::Net("2001:db8::/112")}};
}

// A kernel that is kept up to date event by event.
struct Machine {
  Store store;
  Planner planner;
  nft::Programmer programmer;
  nft::Ruleset kernel;
  NodeInfo node;
  nft::BaseSettings settings;

  Machine(NodeInfo n, const Policy& policy) : node(std::move(n)), settings(SettingsFor(policy)) {
    programmer.Observe(kernel);
    Run(Everything(), true);
  }
  nft::ChangeSet Run(const Touched& touched, bool full) {
    const PlanPatch patch = planner.Plan(store, touched, node, settings.policy);
    nft::Changes changes = programmer.Stage(patch, settings, full, *rc::gen::inRange(0, 5) == 0);
    const absl::Status status = nft::Apply(changes.commit, kernel);
    if (!status.ok()) RC_FAIL(std::string(status.message()));
    programmer.Accept();
    // What only one Service had a use for goes when it does.
    RC_ASSERT(nft::Apply(changes.sweep, kernel) == absl::OkStatus());
    return changes.commit;
  }
};

RC_GTEST_PROP(Laws, TheOrderInWhichObjectsArriveDoesNotShow, ()) {
  std::vector<ObjectChange> changes = ArbHistory(20);
  // Newest wins, so that a permutation means the same.
  absl::btree_map<ObjectKey, PackedObject> last;
  for (const ObjectChange& change : changes) last[change.key] = change.object;
  std::vector<ObjectChange> one;
  for (const auto& [key, object] : last) one.push_back({key, object});
  std::vector<ObjectChange> other = *rc::gen::exec([&] {
    std::vector<ObjectChange> shuffled = one;
    for (size_t i = shuffled.size(); i > 1; --i) {
      std::swap(shuffled[i - 1], shuffled[static_cast<size_t>(*rc::gen::inRange(0, static_cast<int>(i)))]);
    }
    return shuffled;
  });
  const NodeInfo node = ArbNode();
  const Policy policy = ArbPolicy();
  const auto compile = [&](const std::vector<ObjectChange>& objects) {
    Store store;
    for (const ObjectChange& change : objects) store.Apply({.changes = {change}});
    return nft::CompileAll(PlanAll(store, node, policy), SettingsFor(policy));
  };
  RC_ASSERT(compile(one) == compile(other));
}

RC_GTEST_PROP(Laws, DiffIsExactAndNothingDiffersFromItself, ()) {
  const NodeInfo node = ArbNode();
  Store before;
  before.Apply({.changes = ArbHistory(20)});
  Store after;
  after.Apply({.changes = ArbHistory(20)});
  const Policy policy = ArbPolicy();
  nft::Ruleset have = *rc::gen::inRange(0, 4) == 0
                          ? nft::Ruleset{}
                          : nft::CompileAll(PlanAll(before, node, policy), SettingsFor(policy));
  const Policy other = ArbPolicy();
  const nft::Ruleset want = nft::CompileAll(PlanAll(after, node, other), SettingsFor(other));
  const nft::Changes changes = nft::Diff(want, have);
  RC_ASSERT(nft::Apply(changes.commit, have) == absl::OkStatus());
  RC_ASSERT(nft::Apply(changes.sweep, have) == absl::OkStatus());
  RC_ASSERT(have == want);
  RC_ASSERT(nft::Diff(want, have).empty());
}

RC_GTEST_PROP(Laws, StepByStepComesToTheSameAsFromNothing, ()) {
  Machine machine(ArbNode(), ArbPolicy());
  const int steps = *rc::gen::inRange(1, 25);
  for (int i = 0; i < steps; ++i) {
    machine.Run(machine.store.Apply({.changes = {ArbChange(kServices)}}), /*full=*/false);
  }
  const auto plans = PlanAll(machine.store, machine.node, machine.settings.policy);
  RC_ASSERT(Normalise(machine.kernel) == Normalise(nft::CompileAll(plans, machine.settings)));
  // Nor is there a difference for a newcomer that looks at the kernel and knows no history.
  nft::Programmer newcomer;
  newcomer.Observe(machine.kernel);
  Planner planner;
  const PlanPatch patch = planner.Plan(machine.store, Everything(), machine.node, machine.settings.policy);
  RC_ASSERT(newcomer.Stage(patch, machine.settings, /*full=*/true).empty());
}

// The part of a key that names the frontend: address . protocol . port, each padded to four bytes.
nft::Bytes KeyOf(const Match& match) {
  nft::Bytes key(match.dest.bytes().begin(), match.dest.bytes().end());
  key.insert(key.end(), {static_cast<uint8_t>(match.protocol), 0, 0, 0});
  key.insert(key.end(), {static_cast<uint8_t>(match.port >> 8), static_cast<uint8_t>(match.port & 0xff), 0, 0});
  return key;
}

nft::Bytes EndpointKey(const SocketAddr& endpoint) {
  nft::Bytes key(endpoint.addr.bytes().begin(), endpoint.addr.bytes().end());
  key.insert(key.end(), {static_cast<uint8_t>(endpoint.port >> 8), static_cast<uint8_t>(endpoint.port & 0xff), 0, 0});
  return key;
}

std::set<nft::Bytes> KeysOf(const PlanPatch& patch) {
  std::set<nft::Bytes> keys;
  for (const auto& [name, plan] : patch.services) {
    if (!plan) continue;
    for (const PortPlan& port : plan->ports) {
      for (const Frontend& frontend : port.frontends) keys.insert(KeyOf(frontend.match));
      for (const IpAddr& addr : port.hairpin) {
        nft::Bytes pair(addr.bytes().begin(), addr.bytes().end());
        pair.insert(pair.end(), addr.bytes().begin(), addr.bytes().end());
        keys.insert(pair);
      }
      for (const auto* list : {&port.cluster, &port.local}) {
        for (const SocketAddr& endpoint : *list) keys.insert(EndpointKey(endpoint));
      }
    }
    for (const IpAddr& addr : plan->cluster_ips) keys.emplace(addr.bytes().begin(), addr.bytes().end());
  }
  return keys;
}

RC_GTEST_PROP(Laws, AnEventChangesNothingButTheServicesItTouches, ()) {
  Machine machine(ArbNode(), ArbPolicy());
  machine.Run(machine.store.Apply({.changes = ArbHistory(25)}), false);
  Planner planner;
  PlanPatch before = planner.Plan(machine.store, Everything(), machine.node, machine.settings.policy);
  const Touched touched = machine.store.Apply({.changes = {ArbChange(kServices)}});
  const PlanPatch patch = machine.planner.Plan(machine.store, touched, machine.node, machine.settings.policy);
  // Planned: the Services touched, and those they take a frontend from or leave one to.
  for (auto it = before.services.begin(); it != before.services.end();) {
    it = patch.services.contains(it->first) ? std::next(it) : before.services.erase(it);
  }
  std::set<nft::Bytes> concerned = KeysOf(before);
  concerned.merge(KeysOf(patch));

  const nft::Changes changes = machine.programmer.Stage(patch, machine.settings, /*full=*/false);

  const auto check = [&](const auto& op) {
    for (const nft::Element& element : op.elements) {
      nft::Bytes key = element.key;
      if (op.set.starts_with("endpoints")) key.resize(key.size() - 4);
      if (op.set == "fw_sources") key.resize(key.size() - (op.family == Family::kIpv4 ? 4 : 16));
      if (op.set == "aff_endpoints") key.erase(key.begin(), key.begin() + 8);  // which memory
      RC_ASSERT(concerned.contains(key));
    }
  };
  for (const nft::Op& op : changes.commit) {
    if (const auto* add = std::get_if<nft::AddElements>(&op)) check(*add);
    if (const auto* gone = std::get_if<nft::DeleteElements>(&op)) check(*gone);
    // The first Service with session affinity adds to the skeleton.
    if (const auto* flush = std::get_if<nft::FlushChain>(&op)) RC_ASSERT(flush->name == "post_dnat");
    RC_ASSERT(!std::holds_alternative<nft::FlushSet>(op));
  }
  if (touched.empty()) RC_ASSERT(changes.empty());
}

RC_GTEST_PROP(Laws, FromAnyPrefixOfOurOpsOneReconcileConverges, ()) {
  const NodeInfo node = ArbNode();
  const Policy policy = ArbPolicy();
  Store store;
  store.Apply({.changes = ArbHistory(20)});
  const nft::BaseSettings settings = SettingsFor(policy);
  nft::ChangeSet ops = nft::Diff(nft::CompileAll(PlanAll(store, node, policy), settings), {}).commit;
  ops.resize(static_cast<size_t>(*rc::gen::inRange(0, static_cast<int>(ops.size()) + 1)));
  nft::Ruleset kernel;
  // Every prefix is executable in itself.
  RC_ASSERT(nft::Apply(ops, kernel) == absl::OkStatus());

  store.Apply({.changes = ArbHistory(10)});
  Planner planner;
  nft::Programmer programmer;
  programmer.Observe(kernel);
  const PlanPatch patch = planner.Plan(store, Everything(), node, policy);
  const nft::Changes changes = programmer.Stage(patch, settings, true);
  RC_ASSERT(nft::Apply(changes.commit, kernel) == absl::OkStatus());
  RC_ASSERT(nft::Apply(changes.sweep, kernel) == absl::OkStatus());
  RC_ASSERT(Normalise(kernel) == Normalise(nft::CompileAll(PlansOf(patch), settings)));
}

RC_GTEST_PROP(Laws, ASettingThatChangesIsFollowedWithoutAnObservation, ()) {
  Machine machine(ArbNode(), ArbPolicy());
  machine.Run(machine.store.Apply({.changes = ArbHistory(20)}), false);
  machine.settings.policy = ArbPolicy();
  machine.settings.service_cidrs = {};
  machine.Run(Everything(), /*full=*/true);
  const auto plans = PlanAll(machine.store, machine.node, machine.settings.policy);
  RC_ASSERT(Normalise(machine.kernel) == Normalise(nft::CompileAll(plans, machine.settings)));
}

}  // namespace
}  // namespace pointsman
