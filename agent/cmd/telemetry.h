// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "agent/config.h"
#include "agent/kube/kube_source.h"
#include "agent/kube/observer.h"
#include "agent/options/settings.h"
#include "agent/reconcile/driver.h"
#include "agent/reconcile/flow_cleaner.h"

namespace pointsman {

// Tells the world what the pipeline does: the log, the metrics, and the answers over HTTP.
class Telemetry {
 public:
  // Both arguments outlive this.
  Telemetry(const options::Settings& settings, const Config& config);
  ~Telemetry();
  Telemetry(const Telemetry&) = delete;
  Telemetry& operator=(const Telemetry&) = delete;

  // Opens the servers: health and metrics as the settings say. A cluster's node has them always; beside manifests only
  // those that were asked for by name are opened. `source` is null when objects come from files, and must outlive what
  // is between this and Close.
  void Serve(const kube::KubeSource* source);
  void Close();
  // Set when a server could not be opened although the settings insist; the loop ends then. From any thread.
  bool failed() const;
  // Readable from then on.
  int failed_fd() const;

  // What the driver is to tell. `clean` gets the flows.
  Driver::Hooks Hooks(absl::AnyInvocable<void(std::vector<FlowCheck>)> clean);
  // After each step: what a look at the driver shows.
  void Look(const Driver& driver);

  // What the source is to tell, from its own thread.
  kube::Observer ApiObserver();
  // Of a conntrack pass; from the cleaner's thread.
  void ReportCleaning(const absl::StatusOr<FlowReport>& report);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Writes a Diagnostic to the log.
void ReportDiagnostic(const Diagnostic& diagnostic);
// An error that will be tried again.
void ReportError(const absl::Status& status, const char* stage);

}  // namespace pointsman
