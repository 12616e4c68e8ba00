// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace pointsman::kube {

// One request to the API server, as whoever counts wants to hear of it.
struct SeenRequest {
  std::string host;  // and port, if one was given, as in the server's URL
  std::string method = "GET";
  int status = 0;                             // of HTTP; 0: there was no answer
  absl::Duration duration;                    // to the head of the answer, or to the end if none came
  std::optional<absl::Duration> name_lookup;  // nullopt: none was needed
  int64_t request_bytes = 0;
  std::optional<int64_t> response_bytes;  // of the body, as they came over the wire; nullopt: a watch has begun
};

// Who hears what is asked of the API server; empty functions are not called. All from the thread that asks.
struct Observer {
  // A request is over, or a watch has its answer: that may go on for minutes. Not told of are requests that were given
  // up for a reason of our own.
  std::function<void(const SeenRequest&)> request;
  // A request that the rate limit counts goes out now, and was kept waiting by it for so long; zero, mostly.
  std::function<void(const std::string& host, absl::Duration waited)> rate_limit;
  // A request is made again: the connection went under it (`status` 0), or the server wants it later (Retry-After).
  std::function<void(const std::string& host, int status)> retry;
};

}  // namespace pointsman::kube
