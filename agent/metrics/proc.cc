// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

#include "agent/metrics/collect.h"

namespace pointsman::metrics {
namespace {

using prometheus::MetricType;

std::string Read(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::optional<double> Number(absl::string_view text) {
  double value;
  if (!absl::SimpleAtod(text, &value)) return std::nullopt;
  return value;
}

// The words of the first line that begins with `name`, after it.
std::vector<std::string> Line(const std::string& text, absl::string_view name) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::StartsWith(line, name)) return absl::StrSplit(line.substr(name.size()), ' ', absl::SkipWhitespace());
  }
  return {};
}

void Add(Families& to, MetricType type, const char* name, const char* help, std::optional<double> value) {
  if (value) AddFamily(to, type, name, help, {{{}, *value}});
}

std::optional<double> OpenDescriptors(const std::string& directory) {
  DIR* const dir = opendir(directory.c_str());
  if (dir == nullptr) return std::nullopt;
  double count = -1;  // the one that reads the directory is not counted
  while (const dirent* entry = readdir(dir)) {
    if (entry->d_name[0] != '.') ++count;
  }
  closedir(dir);
  return count;
}

// /proc/net/netstat has a line of names and a line of values for each group.
std::optional<double> Netstat(const std::string& text, absl::string_view group, absl::string_view name) {
  std::vector<std::string> names;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::StartsWith(line, group)) continue;
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipWhitespace());
    if (names.empty()) {
      names = words;
      continue;
    }
    for (size_t i = 0; i < names.size() && i < words.size(); ++i) {
      if (names[i] == name) return Number(words[i]);
    }
  }
  return std::nullopt;
}

}  // namespace

void AddProcess(Families& to, const std::string& proc) {
  // The second field is the name in brackets, which may hold anything; what follows the last bracket is numbers, the
  // third field first (proc(5)).
  const std::string stat = Read(proc + "/self/stat");
  const size_t bracket = stat.rfind(')');
  if (bracket != std::string::npos) {
    const std::vector<std::string> fields = absl::StrSplit(stat.substr(bracket + 1), ' ', absl::SkipWhitespace());
    const auto field = [&](size_t n) { return n - 3 < fields.size() ? Number(fields[n - 3]) : std::nullopt; };
    const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    const std::optional<double> user = field(14);
    const std::optional<double> system = field(15);
    const std::optional<double> start = field(22);
    const std::optional<double> pages = field(24);
    if (user && system) {
      Add(to, MetricType::Counter, "process_cpu_seconds_total", "Total user and system CPU time spent in seconds.",
          (*user + *system) / ticks);
    }
    const std::vector<std::string> boot = Line(Read(proc + "/stat"), "btime ");
    if (start && !boot.empty()) {
      if (const std::optional<double> booted = Number(boot[0])) {
        Add(to, MetricType::Gauge, "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.", *booted + *start / ticks);
      }
    }
    Add(to, MetricType::Gauge, "process_virtual_memory_bytes", "Virtual memory size in bytes.", field(23));
    if (pages) {
      Add(to, MetricType::Gauge, "process_resident_memory_bytes", "Resident memory size in bytes.",
          *pages * static_cast<double>(sysconf(_SC_PAGESIZE)));
    }
  }
  const std::string limits = Read(proc + "/self/limits");
  // "unlimited" is -1 by tradition.
  const auto limit = [&](const char* name) -> std::optional<double> {
    const std::vector<std::string> words = Line(limits, name);
    if (words.empty()) return std::nullopt;
    return words[0] == "unlimited" ? -1 : Number(words[0]);
  };
  Add(to, MetricType::Gauge, "process_virtual_memory_max_bytes", "Maximum amount of virtual memory available in bytes.",
      limit("Max address space"));
  Add(to, MetricType::Gauge, "process_max_fds", "Maximum number of open file descriptors.", limit("Max open files"));
  Add(to, MetricType::Gauge, "process_open_fds", "Number of open file descriptors.",
      OpenDescriptors(proc + "/self/fd"));
  const std::string netstat = Read(proc + "/self/net/netstat");
  Add(to, MetricType::Counter, "process_network_receive_bytes_total",
      "Number of bytes received by the process over the network.", Netstat(netstat, "IpExt:", "InOctets"));
  Add(to, MetricType::Counter, "process_network_transmit_bytes_total",
      "Number of bytes sent by the process over the network.", Netstat(netstat, "IpExt:", "OutOctets"));
}

void AddConntrack(Families& to, const std::string& proc) {
  const std::string directory = proc + "/sys/net/netfilter/nf_conntrack_";
  Add(to, MetricType::Gauge, "pointsman_conntrack_entries", "Entries in the connection tracking table",
      Number(Read(directory + "count")));
  Add(to, MetricType::Gauge, "pointsman_conntrack_max", "Entries the connection tracking table may have",
      Number(Read(directory + "max")));
}

}  // namespace pointsman::metrics
