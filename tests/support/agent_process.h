// SPDX-License-Identifier: Apache-2.0
//
// The binary under test, as a user starts it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"

#include "tests/support/netns.h"
#include "tests/support/process.h"

namespace pointsman::support {

// The binary the tests were built with, and the top of the source tree.
std::string PointsmanBinary();
std::string SourceDir();

// `pointsman ARGS...` inside `ns`, to its end.
ProcessResult RunPointsman(NetNs& ns, const std::vector<std::string>& args, const ProcessOptions& options = {});

// A line of the log, taken apart: "TIME LEVEL event key=value ...".
struct LogLine {
  std::string level;
  std::string event;
  std::map<std::string, std::string> fields;  // quotes removed, escapes left alone
  std::string text;

  // The value as a number; -1 if there is none.
  int Number(const std::string& key) const;
};
std::vector<LogLine> ParseLog(const std::string& text);

// `pointsman run ARGS...`, which goes on until told otherwise.
class AgentProcess {
 public:
  AgentProcess(NetNs& node, const std::vector<std::string>& args);

  Process& process() { return process_; }
  std::string log() { return process_.err(); }
  // A point in the log, for `since` below.
  size_t Mark() { return process_.err().size(); }
  std::vector<LogLine> Events(const std::string& event, size_t since = 0);
  // False when `timeout` or the end of the process came first.
  bool WaitForEvent(const std::string& event, absl::Duration timeout, size_t since = 0);
  // The first reconcile is done.
  bool WaitReady(absl::Duration timeout = absl::Seconds(20)) { return WaitForEvent("ready", timeout); }
  // SIGTERM, then waits.
  ProcessResult Terminate();

 private:
  Process process_;
};

// Asks `condition` again and again until it says yes or `timeout` is over; what it said last.
bool Eventually(absl::Duration timeout, const std::function<bool()>& condition);

// A Service with one port and its EndpointSlice, as YAML documents.
struct Manifest {
  std::string name;  // "shop/web"
  std::string ip;    // decides the family
  int port = 80;
  int node_port = 0;  // 0: type ClusterIP
  std::string protocol = "TCP";
  std::vector<std::string> endpoints;
  int target_port = 8080;

  std::string Yaml() const;
};

// The documents of a YAML stream that do not say `kind: KIND`.
std::string WithoutKind(const std::string& yaml, const std::string& kind);

}  // namespace pointsman::support
