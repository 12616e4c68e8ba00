// SPDX-License-Identifier: Apache-2.0
//
// The whole way into the kernel, in network namespaces of its own, beside the nft program given the same. Needs root.
// Arguments: Services, endpoints of each.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "bench/cluster.h"
#include "pointsman/netlink.h"
#include "pointsman/nft_format.h"
#include "pointsman/nft_program.h"
#include "pointsman/status.h"
#include "tests/support/files.h"
#include "tests/support/netns.h"
#include "tests/support/process.h"

namespace pointsman::bench {
namespace {

using support::NetNs;

void Sizes(benchmark::internal::Benchmark* b) {
  b->Args({1'000, 10})->Args({10'000, 10})->Unit(benchmark::kMillisecond)->UseRealTime();
}

int Services(const benchmark::State& state) { return static_cast<int>(state.range(0)); }
int Endpoints(const benchmark::State& state) { return static_cast<int>(state.range(1)); }

// A node with everything in its kernel.
struct Node {
  NetNs ns{"bench"};
  std::unique_ptr<Dataplane> dataplane = ns.Call([] { return OpenNftDataplane(); }).value();
  Store store;
  Planner planner;
  nft::Programmer programmer;
  NodeInfo node = BenchNode();
  nft::BaseSettings settings = BenchSettings();
  Touched touched;

  explicit Node(const benchmark::State& state) : touched(store.Apply(MakeCluster(Services(state), Endpoints(state)))) {}

  CommitReport Pass(bool full) {
    const PlanPatch patch = planner.Plan(store, touched, node, settings.policy);
    const nft::Changes changes = programmer.Stage(patch, settings, full);
    const auto report = ns.Call([&] { return dataplane->Commit(changes.commit, kUnknownGeneration); });
    PM_CHECK(report.ok());
    programmer.Accept();
    return *report;
  }
  void Observe() {
    programmer.Observe(ns.Call([&] { return dataplane->Observe(); }).value().ruleset);
  }
  void Start() {
    Observe();
    Pass(/*full=*/true);
  }
};

absl::Duration Nft(NetNs& ns, const std::string& text) {
  const support::TempDir dir;
  support::WriteFile(dir.File("program.nft"), text);
  const absl::Time start = absl::Now();
  const auto result = support::RunProcess(ns, {"nft", "-f", dir.File("program.nft")}, {.timeout = absl::Minutes(10)});
  PM_CHECK(result.exit_code == 0);
  return absl::Now() - start;
}

void Compare(benchmark::State& state, absl::Duration ours, absl::Duration peer) {
  state.counters["nft_ms"] = absl::ToDoubleMilliseconds(peer);
  state.counters["times_faster_than_nft"] = absl::FDivDuration(peer, ours);
}

// From objects to a full kernel, from nothing. The peer: `nft -f` of the same program.
void ColdStart(benchmark::State& state) {
  absl::Duration ours;
  CommitReport report;
  for (auto _ : state) {
    state.PauseTiming();
    auto node = std::make_unique<Node>(state);
    state.ResumeTiming();
    const absl::Time start = absl::Now();
    node->Observe();
    report = node->Pass(/*full=*/true);
    ours += absl::Now() - start;
    state.PauseTiming();
    node.reset();
    state.ResumeTiming();
  }
  ours /= state.iterations();
  Node node(state);
  const auto plans = PlansOf(node.planner.Plan(node.store, node.touched, node.node, node.settings.policy));
  Compare(state, ours, Nft(node.ns, nft::FormatText(nft::CompileAll(plans, node.settings))));
  state.counters["messages"] = report.messages;
  state.counters["bytes"] = static_cast<double>(report.bytes);
}
BENCHMARK(ColdStart)->Apply(Sizes)->Iterations(3);

// A restart over a kernel that holds everything already: list it, compile, find nothing to do.
void Restart(benchmark::State& state) {
  Node node(state);
  node.Start();
  for (auto _ : state) {
    node.Observe();
    const CommitReport report = node.Pass(/*full=*/true);
    PM_CHECK(report.messages == 0);
  }
}
BENCHMARK(Restart)->Apply(Sizes);

// One endpoint changes in a full kernel. The peer: `nft -f` of the same two elements.
void OneEndpointChanges(benchmark::State& state) {
  Node node(state);
  node.Start();
  int variant = 0;
  absl::Duration ours;
  CommitReport report;
  for (auto _ : state) {
    state.PauseTiming();
    const ObjectBatch batch = {.changes = {MakeSlice(7, Endpoints(state), ++variant % 100 + 1)}};
    state.ResumeTiming();
    const absl::Time start = absl::Now();
    node.touched = node.store.Apply(batch);
    report = node.Pass(/*full=*/false);
    ours += absl::Now() - start;
  }
  ours /= state.iterations();
  node.touched = node.store.Apply({.changes = {MakeSlice(7, Endpoints(state), 120)}});
  const PlanPatch patch = node.planner.Plan(node.store, node.touched, node.node, node.settings.policy);
  Compare(state, ours, Nft(node.ns, nft::FormatChanges(node.programmer.Stage(patch, node.settings, false).commit)));
  state.counters["messages"] = report.messages;
  state.counters["bytes"] = static_cast<double>(report.bytes);
}
BENCHMARK(OneEndpointChanges)->Apply(Sizes);

}  // namespace
}  // namespace pointsman::bench
