// SPDX-License-Identifier: Apache-2.0
//
// The law that every backend must keep, in a program of its own for its many rounds: what the plan says becomes of a
// packet is what the program does with it.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <memory>
#include <vector>

#include "pointsman/nft_program.h"
#include "pointsman/nft_simulate.h"
#include "pointsman/packet.h"
#include "pointsman/plan.h"
#include "tests/support/gen.h"

namespace pointsman {
namespace {

using support::ArbNode;
using support::ArbPacket;
using support::ArbPolicy;

constexpr int kServices = 5;

std::vector<std::shared_ptr<const ServicePlan>> ArbPlans(const NodeInfo& node, const Policy& policy) {
  Store store;
  const int events = *rc::gen::inRange(1, 15);
  for (int i = 0; i < events; ++i) store.Apply({.changes = {support::ArbChange(kServices)}});
  std::vector<std::shared_ptr<const ServicePlan>> plans;
  for (const auto& [name, plan] : Planner().Plan(store, {.all = true}, node, policy).services) {
    if (plan) plans.push_back(plan);
  }
  return plans;
}

RC_GTEST_PROP(Agreement, TheProgramDoesWithEachPacketWhatThePlanSays, ()) {
  const NodeInfo node = ArbNode();
  const Policy policy = ArbPolicy();
  const auto plans = ArbPlans(node, policy);
  const Surroundings around = {
      policy,
      {support::Net(support::Pick({"192.0.2.0/25", "192.0.2.0/24"})), support::Net("2001:db8::/112")},
      node.local_addresses};
  const nft::Ruleset program = nft::CompileAll(plans, {.policy = policy, .service_cidrs = around.service_cidrs});
  for (int i = 0; i < 4; ++i) {
    const Packet packet = ArbPacket(plans);
    const Outcome wanted = Resolve(plans, around, packet);
    const absl::StatusOr<Outcome> got = nft::Simulate(program, node.local_addresses, packet);
    RC_ASSERT(got.status() == absl::OkStatus());
    RC_LOG() << FormatIp(packet.source) << (packet.from_node ? " (node)" : "") << " -> "
             << FormatMatch({packet.dest, packet.protocol, packet.port}) << ": plan " << FormatOutcome(wanted)
             << ", program " << FormatOutcome(*got) << "\n";
    RC_ASSERT(*got == wanted);
  }
}

}  // namespace
}  // namespace pointsman
