// SPDX-License-Identifier: Apache-2.0
//
// Each stage a fixed number of times, for callgrind to count its instructions: instructions_test runs this. One dump is
// written for each stage, named after it.
#include <valgrind/callgrind.h>

#include <cstdio>

#include "bench/stages.h"

namespace {

constexpr int kServices = 500;
constexpr int kEndpoints = 10;

}  // namespace

int main() {
  using pointsman::bench::Stage;
  pointsman::bench::Stages stages(kServices, kEndpoints);
  for (const Stage& stage : pointsman::bench::kStages) {
    const bool small = stage.run == &pointsman::bench::Stages::OneChange;
    (stages.*stage.run)();  // what is only done the first time does not count
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
    for (int i = 0; i < (small ? 100 : 1); ++i) (stages.*stage.run)();
    CALLGRIND_DUMP_STATS_AT(stage.name);
    CALLGRIND_STOP_INSTRUMENTATION;
    std::puts(stage.name);
  }
}
