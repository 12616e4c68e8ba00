// SPDX-License-Identifier: Apache-2.0
#include "tests/support/agent_process.h"

#include <signal.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

namespace pointsman::support {
namespace {

std::vector<std::string> Command(std::vector<std::string> args) {
  args.insert(args.begin(), PointsmanBinary());
  return args;
}

std::vector<std::string> RunCommand(std::vector<std::string> args) {
  args.insert(args.begin(), "run");
  return Command(std::move(args));
}

// Cuts `key=value` or `key="value"` off the front of `rest`.
std::pair<std::string, std::string> TakeField(absl::string_view& rest) {
  const size_t equals = rest.find('=');
  if (equals == absl::string_view::npos) return {std::string(std::exchange(rest, {})), ""};
  const std::string key(rest.substr(0, equals));
  rest.remove_prefix(equals + 1);
  size_t end = 0;
  if (absl::ConsumePrefix(&rest, "\"")) {
    while (end < rest.size() && rest[end] != '"') end += rest[end] == '\\' ? 2 : 1;
  } else {
    end = rest.find(' ');
  }
  const std::string value(rest.substr(0, end));
  rest.remove_prefix(std::min(rest.size(), end));
  rest.remove_prefix(std::min(rest.size(), rest.find_first_not_of("\" ")));
  return {key, value};
}

}  // namespace

std::string PointsmanBinary() { return PM_BINARY; }
std::string SourceDir() { return PM_SOURCE_DIR; }

ProcessResult RunPointsman(NetNs& ns, const std::vector<std::string>& args, const ProcessOptions& options) {
  return RunProcess(ns, Command(args), options);
}

int LogLine::Number(const std::string& key) const {
  const auto field = fields.find(key);
  int number = -1;
  if (field == fields.end() || !absl::SimpleAtoi(field->second, &number)) return -1;
  return number;
}

std::vector<LogLine> ParseLog(const std::string& text) {
  std::vector<LogLine> lines;
  const size_t end = text.rfind('\n');  // the last line may be on its way
  for (const absl::string_view line : absl::StrSplit(text.substr(0, end == std::string::npos ? 0 : end), '\n')) {
    const std::vector<absl::string_view> head = absl::StrSplit(line, absl::MaxSplits(' ', 3));
    if (head.size() < 3 || !absl::EndsWith(head[0], "Z")) continue;  // not a line of the log
    LogLine parsed{std::string(head[1]), std::string(head[2]), {}, std::string(line)};
    absl::string_view rest = head.size() > 3 ? head[3] : "";
    while (!rest.empty()) parsed.fields.insert(TakeField(rest));
    lines.push_back(std::move(parsed));
  }
  return lines;
}

AgentProcess::AgentProcess(NetNs& node, const std::vector<std::string>& args) : process_(node, RunCommand(args)) {}

std::vector<LogLine> AgentProcess::Events(const std::string& event, size_t since) {
  std::vector<LogLine> found;
  for (LogLine& line : ParseLog(process_.err().substr(since))) {
    if (line.event == event) found.push_back(std::move(line));
  }
  return found;
}

bool AgentProcess::WaitForEvent(const std::string& event, absl::Duration timeout, size_t since) {
  return process_.WaitForErr(
      [&](const std::string& log) {
        for (const LogLine& line : ParseLog(log.substr(since))) {
          if (line.event == event) return true;
        }
        return false;
      },
      timeout);
}

ProcessResult AgentProcess::Terminate() {
  process_.Signal(SIGTERM);
  return process_.Wait(absl::Seconds(10));
}

bool Eventually(absl::Duration timeout, const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    if (condition()) return true;
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(10));
  }
}

std::string Manifest::Yaml() const {
  const std::pair<std::string, std::string> names = absl::StrSplit(name, absl::MaxSplits('/', 1));
  const auto& [ns, service] = names;
  const bool v6 = absl::StrContains(ip, ":");
  std::string yaml = absl::StrCat("apiVersion: v1\nkind: Service\nmetadata:\n  namespace: ", ns, "\n  name: ", service,
                                  "\nspec:\n  type: ", node_port == 0 ? "ClusterIP" : "NodePort", "\n  clusterIP: \"",
                                  ip, "\"\n  clusterIPs: [\"", ip, "\"]\n  ipFamilies: [", v6 ? "IPv6" : "IPv4",
                                  "]\n  ports:\n    - port: ", port, "\n      protocol: ", protocol,
                                  "\n      targetPort: ", target_port, "\n");
  if (node_port != 0) absl::StrAppend(&yaml, "      nodePort: ", node_port, "\n");
  absl::StrAppend(&yaml, "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  namespace: ", ns,
                  "\n  name: ", service, "-1\n  labels:\n    kubernetes.io/service-name: ", service,
                  "\naddressType: ", v6 ? "IPv6" : "IPv4", "\nports:\n  - port: ", target_port,
                  "\n    protocol: ", protocol, "\n", endpoints.empty() ? "endpoints: []\n" : "endpoints:\n");
  for (const std::string& endpoint : endpoints) absl::StrAppend(&yaml, "  - addresses: [\"", endpoint, "\"]\n");
  return yaml;
}

std::string WithoutKind(const std::string& yaml, const std::string& kind) {
  std::vector<std::string> kept;
  std::string document;
  const auto finish = [&] {
    if (!absl::StrContains(absl::StrCat("\n", document), absl::StrCat("\nkind: ", kind, "\n")))
      kept.push_back(document);
    document.clear();
  };
  for (const absl::string_view line : absl::StrSplit(yaml, '\n')) {
    if (line == "---") {
      finish();
    } else {
      absl::StrAppend(&document, line, "\n");
    }
  }
  finish();
  std::string rest;
  for (const std::string& d : kept) absl::StrAppend(&rest, "---\n", d);
  return rest;
}

}  // namespace pointsman::support
