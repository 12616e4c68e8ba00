// SPDX-License-Identifier: Apache-2.0
//
// Metrics that are not counted as things happen, but read when somebody asks.
#pragma once

#include <prometheus/metric_family.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/metrics/metrics.h"
#include "agent/serve/board.h"

namespace pointsman::metrics {

using Families = std::vector<prometheus::MetricFamily>;
using Label = prometheus::ClientMetric::Label;

// A family with one sample a row.
struct Sample {
  std::vector<Label> labels;
  double value = 0;
};
void AddFamily(Families& to, prometheus::MetricType type, std::string name, std::string help,
               const std::vector<Sample>& samples);

// process_*: as the Prometheus client libraries have it. What cannot be read is left out.
void AddProcess(Families& to, const std::string& proc);
// The connection tracking table's size and limit; nothing where there is none.
void AddConntrack(Families& to, const std::string& proc);
void AddBoard(Families& to, const serve::Board& board, absl::Time steady_now);
void AddSource(Families& to, const Metrics::Source& source);
void AddBuild(Families& to, const std::string& version, const std::string& commit);

}  // namespace pointsman::metrics
