// SPDX-License-Identifier: Apache-2.0
//
// The pure stages: store, plan, compile, diff. Arguments: Services, endpoints of each.
#include <benchmark/benchmark.h>

#include "bench/allocations.h"
#include "bench/cluster.h"
#include "pointsman/nft_format.h"
#include "pointsman/nft_program.h"

namespace pointsman::bench {
namespace {

void Sizes(benchmark::internal::Benchmark* b) {
  b->Args({100, 5})->Args({1'000, 10})->Args({10'000, 10})->Unit(benchmark::kMicrosecond);
}

int Services(const benchmark::State& state) { return static_cast<int>(state.range(0)); }
int Endpoints(const benchmark::State& state) { return static_cast<int>(state.range(1)); }

struct Loaded {
  Store store;
  Planner planner;
  nft::Programmer programmer;
  NodeInfo node = BenchNode();
  nft::BaseSettings settings = BenchSettings();

  explicit Loaded(const benchmark::State& state) {
    const Touched touched = store.Apply(MakeCluster(Services(state), Endpoints(state)));
    programmer.Observe({});
    programmer.Stage(planner.Plan(store, touched, node, settings.policy), settings, /*full=*/true);
    programmer.Accept();
  }
};

void PlanEverything(benchmark::State& state) {
  Store store;
  const Touched touched = store.Apply(MakeCluster(Services(state), Endpoints(state)));
  for (auto _ : state) {
    Planner planner;
    benchmark::DoNotOptimize(planner.Plan(store, touched, BenchNode(), {}));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(PlanEverything)->Apply(Sizes);

void CompileEverything(benchmark::State& state) {
  Store store;
  const Touched touched = store.Apply(MakeCluster(Services(state), Endpoints(state)));
  Planner planner;
  const auto plans = PlansOf(planner.Plan(store, touched, BenchNode(), {}));
  for (auto _ : state) benchmark::DoNotOptimize(nft::CompileAll(plans, BenchSettings()));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(CompileEverything)->Apply(Sizes);

// What one changed endpoint costs in user space, from the object to the change set: it must not grow with the cluster.
void OneEndpointChanges(benchmark::State& state) {
  Loaded loaded(state);
  int variant = 0;
  int64_t allocations = 0;
  for (auto _ : state) {
    state.PauseTiming();
    const ObjectBatch batch = {.changes = {MakeSlice(7, Endpoints(state), ++variant % 100 + 1)}};
    state.ResumeTiming();
    const int64_t before = Allocations();
    const Touched touched = loaded.store.Apply(batch);
    const PlanPatch patch = loaded.planner.Plan(loaded.store, touched, loaded.node, loaded.settings.policy);
    benchmark::DoNotOptimize(loaded.programmer.Stage(patch, loaded.settings, /*full=*/false));
    loaded.programmer.Accept();
    allocations += Allocations() - before;
  }
  state.counters["allocations"] = static_cast<double>(allocations) / static_cast<double>(state.iterations());
}
BENCHMARK(OneEndpointChanges)->Apply(Sizes);

void DiffOfEquals(benchmark::State& state) {
  Store store;
  const Touched touched = store.Apply(MakeCluster(Services(state), Endpoints(state)));
  Planner planner;
  const nft::Ruleset ruleset = nft::CompileAll(PlansOf(planner.Plan(store, touched, BenchNode(), {})), BenchSettings());
  for (auto _ : state) benchmark::DoNotOptimize(nft::Diff(ruleset, ruleset));
}
BENCHMARK(DiffOfEquals)->Apply(Sizes);

void FormatAsText(benchmark::State& state) {
  Store store;
  const Touched touched = store.Apply(MakeCluster(Services(state), Endpoints(state)));
  Planner planner;
  const nft::Ruleset ruleset = nft::CompileAll(PlansOf(planner.Plan(store, touched, BenchNode(), {})), BenchSettings());
  int64_t bytes = 0;
  for (auto _ : state) bytes += static_cast<int64_t>(nft::FormatText(ruleset).size());
  state.SetBytesProcessed(bytes);
}
BENCHMARK(FormatAsText)->Apply(Sizes);

}  // namespace
}  // namespace pointsman::bench
