// SPDX-License-Identifier: Apache-2.0
//
// Whatever happens to a small cluster, and in whatever order: after each step the kernel holds what a newcomer would
// give it. On a failure RapidCheck prints the seed and the smallest case.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "pointsman/netlink.h"
#include "pointsman/nft_format.h"
#include "pointsman/nft_program.h"
#include "pointsman/plan.h"
#include "tests/support/gen.h"
#include "tests/support/netns.h"
#include "tests/support/normalise.h"

namespace pointsman {
namespace {

constexpr int kServices = 5;
constexpr int kSteps = 8;

// Lines of `a` that are not in `b`, each with `sign` before it.
std::string Missing(const std::string& a, const std::string& b, absl::string_view sign) {
  const std::vector<absl::string_view> lines = absl::StrSplit(b, '\n');
  const std::set<absl::string_view> there(lines.begin(), lines.end());
  std::string out;
  for (const absl::string_view line : absl::StrSplit(a, '\n')) {
    if (!there.contains(line)) absl::StrAppend(&out, sign, line, "\n");
  }
  return out;
}

// A node: a kernel, and what an agent there would know.
class Node {
 public:
  Node() {
    ns_.Run([this] {
      auto dataplane = OpenNftDataplane();
      if (dataplane.ok()) dataplane_ = *std::move(dataplane);
    });
  }
  bool open() const { return dataplane_ != nullptr; }

  // An empty kernel and a cluster without objects.
  void Reset(NodeInfo node, const Policy& policy) {
    nft::ChangeSet changes;
    for (const auto& [family, table] : Observe().tables) changes.push_back(nft::DeleteTable{family});
    Commit(changes);
    store_ = {};
    planner_ = {};
    node_ = std::move(node);
    SetPolicy(policy);
    Restart();
    Reconcile({.all = true}, /*full=*/true);
  }

  // A new agent finds the kernel as the old one left it. It may have been given other flags.
  void Restart() {
    settings_.affinity_size = *rc::gen::element(100U, 262144U);
    programmer_ = {};
    programmer_.Observe(Observe());
  }

  void SetPolicy(const Policy& policy) { settings_.policy = policy; }

  void Apply(std::vector<ObjectChange> changes) {
    Reconcile(store_.Apply({.changes = std::move(changes)}), /*full=*/false);
  }

  void Reconcile(const Touched& touched, bool full) {
    const PlanPatch patch = planner_.Plan(store_, touched, node_, settings_.policy);
    const nft::Changes changes = programmer_.Stage(patch, settings_, full, *rc::gen::inRange(0, 5) == 0);
    Commit(changes.commit);
    programmer_.Accept();
    Commit(changes.sweep);
  }

  // Fails unless the kernel holds what the objects say.
  void Check() {
    Planner planner;
    std::vector<std::shared_ptr<const ServicePlan>> plans;
    for (const auto& [name, plan] : planner.Plan(store_, {.all = true}, node_, settings_.policy).services) {
      if (plan) plans.push_back(plan);
    }
    const nft::Ruleset want = support::Normalise(nft::CompileAll(plans, settings_));
    const nft::Ruleset have = support::Normalise(Observe());
    if (have == want) return;
    const std::string wanted = nft::FormatText(want);
    const std::string held = nft::FormatText(have);
    RC_FAIL(absl::StrCat("the kernel is not as it should be:\n", Missing(held, wanted, "has   "),
                         Missing(wanted, held, "lacks ")));
  }

 private:
  nft::Ruleset Observe() {
    absl::StatusOr<Observation> observed = ns_.Call([this] { return dataplane_->Observe(); });
    if (!observed.ok()) RC_FAIL(observed.status().ToString());
    return std::move(observed->ruleset);
  }
  void Commit(const nft::ChangeSet& changes) {
    const absl::Status status = ns_.Call([&] { return dataplane_->Commit(changes, kUnknownGeneration).status(); });
    if (!status.ok()) RC_FAIL(absl::StrCat(status.ToString(), "\nin\n", nft::FormatChanges(changes)));
  }

  support::NetNs ns_{"node"};
  std::unique_ptr<Dataplane> dataplane_;
  Store store_;
  Planner planner_;
  nft::Programmer programmer_;
  NodeInfo node_;
  nft::BaseSettings settings_ = {.service_cidrs = {support::Net("192.0.2.0/25"), support::Net("2001:db8::/112")}};
};

Node& TheNode() {
  static auto* const kNode = new Node;
  return *kNode;
}

RC_GTEST_PROP(SequencesTest, AfterEachStepTheKernelHoldsWhatTheObjectsSay, ()) {
  Node& node = TheNode();
  RC_ASSERT(node.open());
  node.Reset(support::ArbNode(), support::ArbPolicy());
  for (int step = 0; step < kSteps; ++step) {
    switch (*rc::gen::inRange(0, 12)) {
      case 0:
        node.Restart();
        node.Reconcile({.all = true}, /*full=*/true);
        break;
      case 1:
        node.SetPolicy(support::ArbPolicy());
        node.Reconcile({.all = true}, /*full=*/true);
        break;
      default: {
        std::vector<ObjectChange> changes;
        for (int i = *rc::gen::inRange(1, 6); i > 0; --i) {
          ObjectChange change = support::ArbChange(kServices);
          std::erase_if(changes, [&](const ObjectChange& other) { return other.key == change.key; });
          changes.push_back(std::move(change));
        }
        node.Apply(std::move(changes));
        break;
      }
    }
    node.Check();
  }
}

}  // namespace
}  // namespace pointsman
