// SPDX-License-Identifier: Apache-2.0
#include "agent/node/sysctl.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"

#include "pointsman/status.h"

namespace pointsman::node {
namespace {

constexpr int64_t kMostConnections = 1 << 20;
constexpr char kNetfilter[] = "proc/sys/net/netfilter/nf_conntrack_";
constexpr char kHashSize[] = "sys/module/nf_conntrack/parameters/hashsize";

absl::Status FileError(int error, const std::string& what) {
  const std::string message = absl::StrCat(what, ": ", strerror(error));
  if (error == EROFS) return absl::FailedPreconditionError(message);
  return absl::ErrnoToStatus(error, what);
}

absl::StatusOr<std::string> Read(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FileError(errno, absl::StrCat("read ", path));
  const absl::Cleanup closing = [&] { close(fd); };
  char text[4096];
  const ssize_t n = read(fd, text, sizeof text);
  if (n < 0) return FileError(errno, absl::StrCat("read ", path));
  return std::string(text, static_cast<size_t>(n));
}

absl::StatusOr<int64_t> ReadNumber(const std::string& path) {
  PM_ASSIGN_OR_RETURN(const std::string text, Read(path));
  int64_t value = 0;
  if (!absl::SimpleAtoi(text, &value)) {
    return absl::DataLossError(
        absl::StrCat("read ", path, ": \"", absl::StripAsciiWhitespace(text), "\" is no number"));
  }
  return value;
}

absl::Status WriteNumber(const std::string& path, int64_t value) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return FileError(errno, absl::StrCat("write ", path));
  const absl::Cleanup closing = [&] { close(fd); };
  const std::string text = absl::StrCat(value);
  if (write(fd, text.data(), text.size()) < 0) return FileError(errno, absl::StrCat("write ", path));
  return absl::OkStatus();
}

SysctlOutcome Set(const Sysctl& sysctl, const std::string& root) {
  SysctlOutcome outcome{.sysctl = sysctl};
  const std::string path = absl::StrCat(root, sysctl.path);
  const absl::StatusOr<int64_t> before = ReadNumber(path);
  if (!before.ok()) {
    outcome.status = before.status();
    return outcome;
  }
  outcome.before = *before;
  if (*before == sysctl.wanted || (sysctl.at_least && *before > sysctl.wanted)) return outcome;
  outcome.status = WriteNumber(path, sysctl.wanted);
  outcome.written = outcome.status.ok();
  return outcome;
}

// The kernel counts in whole seconds; half of one is more than none.
int64_t WholeSeconds(absl::Duration duration) { return absl::ToInt64Seconds(absl::Ceil(duration, absl::Seconds(1))); }

}  // namespace

int64_t ConntrackMax(int32_t max_per_core, int32_t min, int cpus) {
  if (max_per_core <= 0) return 0;
  const int64_t scaled = int64_t{max_per_core} * cpus;
  if (scaled > kMostConnections) return kMostConnections;
  return std::max(scaled, int64_t{min});
}

std::vector<Sysctl> WantedSysctls(const options::Settings& settings, int cpus) {
  const auto& conntrack = settings.proxy.conntrack;
  std::vector<Sysctl> wanted;
  if (const int64_t max = ConntrackMax(conntrack.max_per_core, conntrack.min, cpus); max > 0) {
    wanted.push_back({.path = absl::StrCat(kNetfilter, "max"), .wanted = max});
    // A fuller table than this is slow to look into.
    wanted.push_back({.path = kHashSize, .wanted = max / 4, .at_least = true});
  }
  const auto timeout = [&](const char* name, absl::Duration duration) {
    if (duration > absl::ZeroDuration()) {
      wanted.push_back({.path = absl::StrCat(kNetfilter, name), .wanted = WholeSeconds(duration)});
    }
  };
  timeout("tcp_timeout_established", conntrack.tcp_established_timeout);
  timeout("tcp_timeout_close_wait", conntrack.tcp_close_wait_timeout);
  if (conntrack.tcp_be_liberal) wanted.push_back({.path = absl::StrCat(kNetfilter, "tcp_be_liberal"), .wanted = 1});
  timeout("udp_timeout", conntrack.udp_timeout);
  timeout("udp_timeout_stream", conntrack.udp_stream_timeout);
  if (settings.own.ip_forward) {
    wanted.push_back({.path = "proc/sys/net/ipv4/ip_forward", .wanted = 1});
    wanted.push_back({.path = "proc/sys/net/ipv6/conf/all/forwarding", .wanted = 1});
  }
  return wanted;
}

std::vector<SysctlOutcome> SetSysctls(absl::Span<const Sysctl> sysctls, const std::string& root) {
  std::vector<SysctlOutcome> outcomes;
  outcomes.reserve(sysctls.size());
  for (const Sysctl& sysctl : sysctls) outcomes.push_back(Set(sysctl, root));
  return outcomes;
}

int CountCpus(const std::string& root) {
  // Ranges and numbers, "0-3,8": linux/Documentation/admin-guide/cputopology.rst
  if (const absl::StatusOr<std::string> present = Read(absl::StrCat(root, "sys/devices/system/cpu/present"));
      present.ok()) {
    int count = 0;
    for (const absl::string_view part : absl::StrSplit(absl::StripAsciiWhitespace(*present), ',')) {
      const std::pair<absl::string_view, absl::string_view> range = absl::StrSplit(part, absl::MaxSplits('-', 1));
      int first = 0;
      int last = 0;
      if (!absl::SimpleAtoi(range.first, &first)) continue;
      if (range.second.empty() || !absl::SimpleAtoi(range.second, &last)) last = first;
      count += std::max(last - first + 1, 0);
    }
    if (count > 0) return count;
  }
  return std::max(static_cast<int>(sysconf(_SC_NPROCESSORS_CONF)), 1);
}

}  // namespace pointsman::node
