// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

#include "agent/metrics/metrics.h"
#include "agent/serve/board.h"
#include "agent/serve/http.h"

namespace pointsman::serve {

// What the metrics server answers: one function from request to response, for HttpServer.
struct MetricsEndpoints {
  Metrics* metrics = nullptr;    // not null; outlives the server, like `board`
  const Board* board = nullptr;  // not null
  std::string proxy_mode = "nftables";
  std::string version;
  absl::Time started;                                      // calendar time
  std::function<std::string()> configz;                    // the configuration in force, JSON
  std::function<std::string()> source;                     // how the source of objects stands, JSON; may be empty
  std::vector<std::pair<std::string, std::string>> flags;  // for /flagz, in this order

  Response operator()(const Request& request) const;
};

// What the health server answers: /healthz, /livez, /readyz.
struct HealthEndpoints {
  const Board* board = nullptr;  // not null; outlives the server
  Metrics* metrics = nullptr;    // counts the answers; may be null
  absl::Duration limit;          // a change that has waited for so long is too late

  Response operator()(const Request& request) const;
};

}  // namespace pointsman::serve
