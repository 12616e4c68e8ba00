// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "agent/serve/board.h"
#include "pointsman/net.h"

namespace pointsman {

// What a Prometheus server sees of this process: kube-proxy's metrics by its names, and our own as pointsman_*.
//
// To count is a lock nobody else wants and an addition; all else is done when somebody asks for the text.
//
// Threads: all methods from any.
class Metrics {
 public:
  // How a source of objects stands, by kind. Totals are those since the start.
  struct OfKind {
    std::string kind;  // "Service"
    int64_t objects = 0;
    int64_t ignored = 0;      // updates that changed nothing we use
    int64_t undecodable = 0;  // objects that could not be read
    int64_t watches = 0;      // requests
    int64_t relists = 0;
    int64_t failures = 0;  // of requests
  };
  struct Source {
    std::vector<OfKind> kinds;
    std::optional<absl::Duration> stale;  // so long the objects may be out of date; nullopt: there is no API server
  };
  struct Options {
    std::vector<Family> families;         // those that are programmed
    std::string version;                  // of Pointsman
    std::string commit;                   // it was built from, if known
    const serve::Board* board = nullptr;  // asked for each text, if not null; outlives this
    std::function<Source()> source;       // likewise
    std::string proc = "/proc";
  };

  explicit Metrics(Options options);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // The text exposition format, version 0.0.4; families by name.
  std::string Text() const;

  // The same for the one check that components of Kubernetes have in common: whether they answer at all.
  std::string SliText() const;
  void CountPing();
  void ResetPings();

  // --- what the loop does

  // There are changes to bring into the kernel. `now` is calendar time, here and below.
  void Queued(absl::Time now);
  // Everything is in the kernel: nothing is pending.
  void Synced(absl::Time now);
  // So many changes of objects were taken from the source.
  void Changes(int64_t services, int64_t endpoint_slices);

  // One pass of the pipeline, whether it went well or not.
  struct Pass {
    absl::Duration duration;  // all of it
    bool full = false;
    int64_t transactions = 0;
    int64_t ops = 0;
    int64_t messages = 0;
    int64_t bytes = 0;
  };
  void ObservePass(const Pass& pass);
  // In the order in which a change passes them; a listing of the kernel stands apart.
  enum class Stage { kWait, kPlan, kCompile, kEncode, kCommit, kSweep, kFlows, kObserve };
  void ObserveStage(Stage stage, absl::Duration duration);
  // From the moment when somebody changed a Service's endpoints until that was in the kernel. Clocks that differ may
  // make it negative, which counts as none.
  void ObserveNetworkProgramming(Family family, absl::Duration duration);

  void SyncFailed();          // a transaction was refused
  void CleanupFailed();       // what is of no more use could not be removed
  void GenerationConflict();  // a stranger's commit came between
  void DriftFound();          // what a stranger did had to be repaired
  // Service ports with policy Local that have endpoints, but none on this node.
  void SetNoLocalEndpoints(Family family, int64_t internal, int64_t external);
  void AffinityNotRemembered(uint64_t connections);

  // --- what others do

  void ObserveConntrackPass(Family family, absl::Duration duration, int64_t seen, int64_t deleted);
  void CountHealthz(int status);
  void CountLivez(int status);

  // One request to the API server, `duration` to the head of the answer.
  struct ApiRequest {
    std::string host;
    std::string method = "GET";
    int status = 0;  // 0: there was no answer
    absl::Duration duration;
    std::optional<absl::Duration> name_lookup;
    int64_t request_bytes = 0;
    std::optional<int64_t> response_bytes;  // nullopt: it goes on, as a watch does
  };
  void ObserveApiRequest(const ApiRequest& request);
  void ObserveApiRateLimit(absl::string_view host, absl::string_view method, absl::Duration waited);
  void CountApiRetry(absl::string_view host, absl::string_view method, int status);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pointsman
