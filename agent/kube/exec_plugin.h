// SPDX-License-Identifier: Apache-2.0
//
// Credential plug-ins: programs that print who to be.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "agent/kube/access.h"

namespace pointsman::kube {

struct PluginAnswer {
  std::string token;        // may be empty if there is a certificate; without blanks and control characters
  std::string certificate;  // PEM; empty together with `key`
  std::string key;          // PEM
  absl::Time expires = absl::InfiniteFuture();  // by the calendar

  friend bool operator==(const PluginAnswer&, const PluginAnswer&) = default;
};

// What a plug-in is told in KUBERNETES_EXEC_INFO: JSON.
//
// Inputs:  `access.exec` is set; `ca` is what is trusted now, PEM or empty.
// Source:  client.authentication.k8s.io/v1 ExecCredential.
std::string FormatExecInfo(const Access& access, absl::string_view ca);

// What a plug-in has printed.
// Errors: kFailedPrecondition: it is no such answer, or of another version. The message shows nothing of it.
absl::StatusOr<PluginAnswer> ParseExecCredential(absl::string_view api_version, absl::string_view text);

// Runs a plug-in, one run at a time, on a thread of its own.
class PluginRunner {
 public:
  // `wake` is called from that thread when there is something to take. A run that takes longer than `time_limit` is
  // killed, with all of its process group.
  PluginRunner(ExecPlugin plugin, absl::Duration time_limit, absl::AnyInvocable<void()> wake);
  ~PluginRunner();  // kills what runs
  PluginRunner(const PluginRunner&) = delete;
  PluginRunner& operator=(const PluginRunner&) = delete;

  // True from Start until Take has given the answer.
  bool running() const;
  // Only if nothing is running.
  void Start(const std::string& exec_info);
  // The answer, once, when it is there.
  // Errors: kFailedPrecondition: one line with the command, what became of it, and the last line of its complaint.
  std::optional<absl::StatusOr<PluginAnswer>> Take();

 private:
  class Run;
  const ExecPlugin plugin_;
  const absl::Duration time_limit_;
  absl::AnyInvocable<void()> wake_;
  std::unique_ptr<Run> run_;
};

}  // namespace pointsman::kube
