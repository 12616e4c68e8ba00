// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "agent/kube/session.h"
#include "agent/loop/inbox.h"
#include "pointsman/api.h"
#include "pointsman/diagnostic.h"

namespace pointsman::kube {

// Keeps an Inbox up to date with the API server, from a thread of its own: all kinds over one connection.
//
// Nothing is synced before Services and EndpointSlices are complete (see Gate). While the server is away what is known
// stays in force. Errors are told in the log, each once a minute at most; bad objects through `report`.
class KubeSource {
 public:
  // Called from the source's thread.
  using Report = absl::AnyInvocable<void(const Diagnostic&)>;

  // Starts at once. `inbox` must outlive the source.
  KubeSource(SourceOptions options, Inbox& inbox, Report report);
  ~KubeSource();
  KubeSource(const KubeSource&) = delete;
  KubeSource& operator=(const KubeSource&) = delete;

  // From any thread.
  SourceStatus status() const;
  // Writes the status to the log, a line a kind, soon. From any thread.
  void LogStatus();

 private:
  class Worker;

  std::unique_ptr<Worker> worker_;
};

struct ClusterObjects {
  std::vector<ObjectChange> objects;
  Diagnostics diagnostics;
};

// Reads everything once, and only reads.
//
// Returns: a Node or ServiceCIDRs that cannot be had are a warning.
// Errors:  the first that keeps Services or EndpointSlices from being read, after every server was tried;
//          kDeadlineExceeded after `patience`.
absl::StatusOr<ClusterObjects> ReadCluster(const SourceOptions& options, absl::Duration patience);

}  // namespace pointsman::kube
