// SPDX-License-Identifier: Apache-2.0
//
// Each stage between objects and the kernel's messages by itself: time, allocations, bytes.
#include <benchmark/benchmark.h>

#include "bench/allocations.h"
#include "bench/stages.h"

namespace pointsman::bench {
namespace {

void Run(benchmark::State& state, const Stage& stage) {
  Stages stages(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)));
  (stages.*stage.run)();  // what is only done the first time does not count
  int64_t bytes = 0;
  const int64_t before = Allocations();
  for (auto _ : state) bytes += (stages.*stage.run)();
  const auto each = benchmark::Counter::kAvgIterations;
  state.counters["allocations"] = benchmark::Counter(static_cast<double>(Allocations() - before), each);
  if (bytes != 0) state.counters["bytes"] = benchmark::Counter(static_cast<double>(bytes), each);
}

[[maybe_unused]] const bool registered = [] {
  for (const Stage& stage : kStages) {
    benchmark::RegisterBenchmark(stage.name, Run, stage)
        ->ArgNames({"services", "endpoints"})
        ->Args({100, 5})
        ->Args({1'000, 10})
        ->Args({10'000, 10})
        ->Unit(benchmark::kMicrosecond);
  }
  return true;
}();

}  // namespace
}  // namespace pointsman::bench
