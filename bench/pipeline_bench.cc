// SPDX-License-Identifier: Apache-2.0
//
// The whole way from an object to the kernel's acknowledgement, in network namespaces of its own, beside its limit (the
// same bytes from a bare libmnl loop) and a peer (nft given the same). Needs root.
#include <time.h>

#include <string>
#include <vector>

#include "absl/time/clock.h"

#include "bench/pipeline_tables.h"
#include "bench/report.h"

namespace pointsman::bench {

absl::Duration ThreadTime() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return absl::DurationFromTimespec(now);
}

void LetTheKernelSettle(Size size) {
  const double elements = static_cast<double>(size.services) * (size.endpoints + 1);
  absl::SleepFor(absl::Milliseconds(300) + elements / 100'000 * absl::Milliseconds(400));
}

}  // namespace pointsman::bench

int main(int argc, char** argv) {
  using namespace pointsman::bench;  // NOLINT(google-build-using-namespace): nothing else is here
  Report report("pipeline_bench", ParseOptions({argv + 1, argv + argc}));
  MeasureOneChange(report);
  MeasureVerdicts(report);
  MeasureColdStart(report);
  MeasureWarmRestart(report);
  MeasureChurn(report);
  MeasureBurst(report);
}
