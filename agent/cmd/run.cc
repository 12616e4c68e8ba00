// SPDX-License-Identifier: Apache-2.0
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <optional>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

#include "agent/cmd/command.h"
#include "agent/kube/kube_source.h"
#include "agent/loop/clock.h"
#include "agent/loop/inbox.h"
#include "agent/reconcile/driver.h"
#include "agent/reconcile/flow_cleaner.h"
#include "agent/source/file_source.h"
#include "pointsman/log.h"
#include "pointsman/netlink.h"
#include "pointsman/status.h"

namespace pointsman {
namespace {

// With --once: so often something may go wrong before it is given up.
constexpr int kOnceFailures = 5;
// And so long the cleaning of flows may take.
constexpr absl::Duration kOnceCleaning = absl::Seconds(30);

void ReportDiagnostic(const Diagnostic& diagnostic) {
  const LogLevel level = diagnostic.severity == Severity::kError     ? LogLevel::kError
                         : diagnostic.severity == Severity::kWarning ? LogLevel::kWarning
                                                                     : LogLevel::kInfo;
  LogText(level, "bad_input", FormatDiagnostic(diagnostic));
}

void ReportPass(const PassReport& report) {
  const bool changed = report.transactions > 0;
  if (!changed && !LogEnabled(LogLevel::kVerbose)) return;
  Log(changed ? LogLevel::kInfo : LogLevel::kVerbose, "reconciled",
      {{"services", report.services},
       {"transactions", report.transactions},
       {"ops", report.commit.ops},
       {"messages", report.commit.messages},
       {"bytes", report.commit.bytes},
       {"full", report.full ? "yes" : "no"},
       {"flow_checks", report.flow_checks},
       {"planning", absl::FormatDuration(report.planning)},
       {"committing", absl::FormatDuration(report.committing)}});
}

void ReportError(const absl::Status& status, const char* stage) {
  Log(LogLevel::kError, "failed",
      {{"stage", stage}, {"error", status.message()}, {"next", "the rules stay as they are; trying again"}});
}

// Called from the cleaner's thread.
void ReportCleaning(const absl::StatusOr<FlowReport>& report) {
  if (!report.ok()) {
    Log(LogLevel::kWarning, "failed",
        {{"stage", "clean_flows"}, {"error", report.status().message()}, {"next", "trying again"}});
    return;
  }
  Log(report->deleted > 0 ? LogLevel::kInfo : LogLevel::kVerbose, "cleaned_flows",
      {{"seen", report->seen}, {"deleted", report->deleted}});
}

void ReportNotRemembered(uint64_t connections, uint32_t size) {
  Log(LogLevel::kWarning, "affinity_full",
      {{"connections_not_remembered", static_cast<int64_t>(connections)},
       {"size", static_cast<int64_t>(size)},
       {"hint", "raise --pointsman.affinity-size"}});
}

// Signals as a file descriptor. Must be made before any thread is.
class Signals {
 public:
  Signals() {
    sigset_t mask;
    sigemptyset(&mask);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&mask, signal);
    pthread_sigmask(SIG_BLOCK, &mask, nullptr);
    fd_ = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
  }
  ~Signals() { close(fd_); }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  int fd() const { return fd_; }
  // The next pending signal; 0 if there is none.
  int Next() {
    signalfd_siginfo info;
    return read(fd_, &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
  }

 private:
  int fd_ = -1;
};

class Epoll {
 public:
  Epoll() : fd_(epoll_create1(EPOLL_CLOEXEC)) {}
  ~Epoll() { close(fd_); }
  Epoll(const Epoll&) = delete;
  Epoll& operator=(const Epoll&) = delete;

  void Watch(int fd) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    PM_CHECK(epoll_ctl(fd_, EPOLL_CTL_ADD, fd, &event) == 0);
  }
  // Waits until something is readable or `until` has come.
  std::vector<int> Wait(absl::Time until) {
    int timeout_ms = -1;
    if (until != absl::InfiniteFuture()) {
      const absl::Duration left = std::clamp(until - SteadyNow(), absl::ZeroDuration(), absl::Hours(1));
      timeout_ms = static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1))));
    }
    std::array<epoll_event, 8> events;
    const int n = epoll_wait(fd_, events.data(), static_cast<int>(events.size()), timeout_ms);
    std::vector<int> ready;
    ready.reserve(events.size());
    for (int i = 0; i < n; ++i) ready.push_back(events[static_cast<size_t>(i)].data.fd);
    return ready;
  }

 private:
  const int fd_;
};

// Converges once on what the source says now.
int RunOnce(const Config& config, Driver& driver, Inbox& inbox) {
  absl::StatusOr<ReadObjects> read = ReadSource(config);
  if (!read.ok()) {
    PrintError(Annotate(read.status(), "nothing was changed"));
    return 1;
  }
  for (const Diagnostic& diagnostic : read->diagnostics) ReportDiagnostic(diagnostic);
  inbox.Put(std::move(read->changes), absl::Now());
  inbox.MarkSynced();
  driver.Wake();
  while (!driver.idle()) {
    const absl::Time next = driver.Step(SteadyNow());
    if (driver.failures() >= kOnceFailures) {
      PrintError(driver.last_error());
      return 1;
    }
    absl::SleepFor(std::max(next - SteadyNow(), absl::ZeroDuration()));
  }
  return 0;
}

// The source that the configuration names, until it is told to stop.
class Source {
 public:
  Source(const Config& config, Inbox& inbox) {
    if (config.api) {
      kube_.emplace(*config.api, inbox, ReportDiagnostic);
    } else {
      files_.emplace(config.manifests, config.allocate_from, inbox, ReportDiagnostic);
    }
  }

  void Reload() {
    Log(LogLevel::kInfo, "reload",
        {{"reason", "SIGHUP"},
         {"effect", files_ ? "reading all files again" : "none: the API server tells of changes"}});
    if (files_) files_->Reload();
  }
  void LogStatus() {
    if (kube_) kube_->LogStatus();
  }

 private:
  std::optional<FileSource> files_;
  std::optional<kube::KubeSource> kube_;
};

int RunUntilTold(const Config& config, Driver& driver, Inbox& inbox, AddressMonitor& addresses, Signals& signals) {
  Source source(config, inbox);
  Epoll epoll;
  epoll.Watch(inbox.fd());
  epoll.Watch(addresses.fd());
  epoll.Watch(signals.fd());
  bool ready = false;
  absl::Time until = absl::InfinitePast();
  while (true) {
    for (const int fd : epoll.Wait(until)) {
      if (fd == inbox.fd()) driver.Wake();
      if (fd == addresses.fd()) {
        const absl::StatusOr<bool> changed = addresses.Update();
        if (!changed.ok()) ReportError(changed.status(), "addresses");
        if (changed.ok() && *changed) driver.SetAddresses(addresses.addresses());
      }
    }
    while (const int signal = signals.Next()) {
      if (signal == SIGHUP) {
        source.Reload();
      } else if (signal == SIGUSR1) {
        source.LogStatus();
      } else {
        Log(LogLevel::kInfo, "stopping", {{"signal", strsignal(signal)}, {"rules", "left in place"}});
        return 0;
      }
    }
    until = driver.Step(SteadyNow());
    if (!ready && driver.idle()) {
      ready = true;
      Log(LogLevel::kInfo, "ready");
    }
  }
}

}  // namespace

int RunCommand(const Flags& flags) {
  if (flags.verbose) SetLogLevel(LogLevel::kVerbose);
  const absl::StatusOr<Config> config = ParseConfig(flags);
  if (!config.ok()) {
    PrintError(config.status());
    return 1;
  }
  if (const absl::Status allowed = CheckNetAdmin(); !allowed.ok()) {
    PrintError(allowed);
    return 1;
  }
  absl::StatusOr<std::unique_ptr<Dataplane>> dataplane = OpenNftDataplane();
  if (!dataplane.ok()) {
    PrintError(dataplane.status());
    return 1;
  }
  Signals signals;
  absl::StatusOr<std::unique_ptr<AddressMonitor>> addresses = WatchAddresses();
  if (!addresses.ok()) {
    PrintError(addresses.status());
    return 1;
  }
  absl::StatusOr<std::unique_ptr<FlowTable>> flows = OpenFlowTable();
  if (!flows.ok()) {
    PrintError(flows.status());
    return 1;
  }
  FlowCleaner cleaner(*std::move(flows), ReportCleaning);
  Inbox inbox;
  Driver driver(*config, inbox, **dataplane,
                {.diagnostic = ReportDiagnostic,
                 .pass = ReportPass,
                 .error = ReportError,
                 .clean = [&](std::vector<FlowCheck> checks) { cleaner.Submit(std::move(checks)); },
                 .not_remembered = [&](uint64_t n) { ReportNotRemembered(n, config->affinity_size); }});
  driver.SetAddresses((*addresses)->addresses());
  if (!flags.once) return RunUntilTold(*config, driver, inbox, **addresses, signals);
  const int status = RunOnce(*config, driver, inbox);
  if (status == 0 && !cleaner.Drain(kOnceCleaning)) {
    PrintError(absl::DeadlineExceededError("the rules are in place, but stale flows could not be removed in time"));
    return 1;
  }
  return status;
}

}  // namespace pointsman
