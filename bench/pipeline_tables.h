// SPDX-License-Identifier: Apache-2.0
//
// The tables of pipeline_bench. Each measures if the options want it.
#pragma once

#include <limits>

#include "absl/time/time.h"

#include "bench/report.h"
#include "tests/support/netns.h"

namespace pointsman::bench {

inline constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

struct Size {
  int services = 0;
  int endpoints = 0;  // of each
};

// pipeline_change.cc
void MeasureOneChange(Report& report);
void MeasureVerdicts(Report& report);
// pipeline_start.cc
void MeasureColdStart(Report& report);
void MeasureWarmRestart(Report& report);
// pipeline_churn.cc
void MeasureChurn(Report& report);
void MeasureBurst(Report& report);

// So long the kernel goes on moving hash tables after a large commit, or taking a namespace of such a size down.
void LetTheKernelSettle(Size size);

// Processor time of the calling thread, in the kernel and outside.
absl::Duration ThreadTime();

// A network namespace with nothing but loopback.
class EmptyNode : public support::NetNs {
 public:
  EmptyNode() : NetNs("bench") { Ip("link set lo up"); }
};

inline double Us(absl::Duration d) { return absl::ToDoubleMicroseconds(d); }
inline double Ms(absl::Duration d) { return absl::ToDoubleMilliseconds(d); }

}  // namespace pointsman::bench
