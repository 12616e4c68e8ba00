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

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "agent/cmd/command.h"
#include "agent/cmd/config_watch.h"
#include "agent/cmd/telemetry.h"
#include "agent/kube/kube_source.h"
#include "agent/loop/clock.h"
#include "agent/loop/inbox.h"
#include "agent/make_config.h"
#include "agent/node/setup.h"
#include "agent/reconcile/driver.h"
#include "agent/reconcile/flow_cleaner.h"
#include "agent/source/file_source.h"
#include "pointsman/leftovers.h"
#include "pointsman/log.h"
#include "pointsman/netlink.h"
#include "pointsman/status.h"

namespace pointsman {
namespace {

// With --once: so often something may go wrong before it is given up.
constexpr int kOnceFailures = 5;
// And so long the cleaning of flows may take.
constexpr absl::Duration kOnceCleaning = absl::Seconds(30);
// Between two attempts to remove what a kube-proxy has left.
constexpr absl::Duration kTakeOverPause = absl::Seconds(10);

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
  inbox.Put(std::move(read->changes), SteadyNow());
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

// The source that the configuration names.
class Source {
 public:
  Source(const Config& config, Inbox& inbox) {
    if (config.api) {
      kube_.emplace(*config.api, inbox, ReportDiagnostic);
    } else {
      files_.emplace(config.manifests, config.allocate_from, inbox, ReportDiagnostic);
    }
  }

  // Null when objects come from files.
  const kube::KubeSource* kube() const { return kube_ ? &*kube_ : nullptr; }

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

// What a kube-proxy has left in the kernel: told at the start, and removed once our own rules are in place, if that is
// what the settings say.
class TakeOver {
 public:
  explicit TakeOver(bool wanted) : wanted_(wanted) {
    const absl::StatusOr<Leftovers> found = FindLeftovers();
    if (!found.ok()) {
      ReportError(found.status(), "find_leftovers");
      return;
    }
    pending_ = wanted_ && !found->empty();
    for (const std::string& line : found->kept) LogText(LogLevel::kWarning, "leftover_kept", line);
    if (found->empty()) return;
    Log(LogLevel::kWarning, "leftovers",
        {{"of", "kube-proxy"},
         {"found", Summarise(*found)},
         {"next", wanted_
                      ? "removing them once our own rules are in place"
                      : "leaving them: remove them with --pointsman.take-over or `pointsman cleanup --kube-proxy`"}});
  }

  // The rules are in place. Returns: when to come back.
  absl::Time Step(absl::Time now) {
    if (!pending_) return absl::InfiniteFuture();
    if (now < next_) return next_;
    // What is there now: somebody may have been at work since.
    const absl::StatusOr<Leftovers> found = FindLeftovers();
    std::vector<std::string> removed;
    absl::Status status = found.status();
    if (found.ok()) status = RemoveLeftovers(*found, &removed);
    if (!removed.empty()) {
      Log(LogLevel::kInfo, "took_over", {{"removed", removed.size()}, {"found", Summarise(*found)}});
    }
    for (const std::string& line : removed) LogText(LogLevel::kVerbose, "removed", line);
    if (!status.ok()) ReportError(status, "take_over");
    pending_ = !status.ok();
    next_ = now + kTakeOverPause;
    return pending_ ? next_ : absl::InfiniteFuture();
  }

 private:
  const bool wanted_;
  bool pending_ = false;
  absl::Time next_ = absl::InfinitePast();
};

// The file that --config names, or nothing.
std::string ConfigFile(const Flags& flags) {
  std::string path;
  for (const options::Given& given : flags.line.given) {
    if (given.flag->name == "config") path = given.value;
  }
  return path;
}

// The file now says something else. A mistake in it must not cost the rules that are in force.
void StartOver(const Flags& flags) {
  const absl::StatusOr<options::Settings> settings = LoadSettings(flags);
  if (!settings.ok()) {
    Log(LogLevel::kError, "configuration_changed",
        {{"error", settings.status().message()}, {"next", "going on with the last one"}});
    return;
  }
  Log(LogLevel::kInfo, "configuration_changed", {{"next", "starting over with it; the rules stay in place meanwhile"}});
  ReportError(ExecuteAnew(), "start_over");
}

// What runs until it is told to stop.
struct Parts {
  const Flags& flags;
  const options::Settings& settings;
  ConfigWatch& configuration;
  Source& source;
  Inbox& inbox;
  Driver& driver;
  AddressMonitor& addresses;
  Telemetry& telemetry;
  Signals& signals;
};

int RunUntilTold(Parts parts) {
  auto& [flags, settings, configuration, source, inbox, driver, addresses, telemetry, signals] = parts;
  TakeOver take_over(settings.own.take_over);
  Epoll epoll;
  epoll.Watch(inbox.fd());
  epoll.Watch(addresses.fd());
  epoll.Watch(signals.fd());
  epoll.Watch(telemetry.failed_fd());
  if (configuration.fd() >= 0) epoll.Watch(configuration.fd());
  bool ready = false;
  absl::Time until = absl::InfinitePast();
  while (!telemetry.failed()) {
    for (const int fd : epoll.Wait(until)) {
      if (fd == inbox.fd()) driver.Wake();
      if (fd == addresses.fd()) {
        const absl::StatusOr<bool> changed = addresses.Update();
        if (!changed.ok()) ReportError(changed.status(), "addresses");
        if (changed.ok() && *changed) driver.SetAddresses(addresses.addresses());
      }
      if (fd == configuration.fd() && configuration.Changed()) StartOver(flags);
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
    telemetry.Look(driver);
    if (!driver.idle()) continue;
    if (!ready) Log(LogLevel::kInfo, "ready");
    ready = true;
    until = std::min(until, take_over.Step(SteadyNow()));
  }
  return 1;
}

// Leaves the families to `config` that this kernel can do, and says so.
absl::Status TryOut(Config& config) {
  PM_ASSIGN_OR_RETURN(const std::vector<NftTrial> left_out, LeaveOutFamilies(config));
  std::string refused;
  for (const NftTrial& trial : left_out) {
    const bool off = trial.verdict == NftTrial::Verdict::kFamilyOff;
    Log(off ? LogLevel::kInfo : LogLevel::kError, "family_left_out",
        {{"family", FormatFamily(trial.family)}, {"reason", trial.why}});
    if (!off) refused = trial.why;
  }
  if (!config.families.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("this kernel cannot do what is needed: ", refused));
}

// Everything that has to be said and done before the first rule. The exit status if it ends here.
std::optional<int> Prepare(const Flags& flags, const options::Settings& settings) {
  if (settings.proxy.logging.verbosity > 0) SetLogLevel(LogLevel::kVerbose);
  LogSettings(settings);
  if (!settings.invocation.write_config_to.empty()) return WriteConfig(settings);
  if (settings.invocation.cleanup) {
    Flags cleanup = flags;
    cleanup.kube_proxy = true;
    return CleanupCommand(cleanup) == 0 ? 0 : 1;
  }
  return std::nullopt;
}

}  // namespace

int RunCommand(const Flags& flags) {
  ConfigWatch configuration(ConfigFile(flags));  // from before it is read: no change is missed
  const absl::StatusOr<options::Settings> settings = LoadSettings(flags);
  if (!settings.ok()) {
    PrintError(settings.status());
    return 1;
  }
  if (const std::optional<int> status = Prepare(flags, *settings)) return *status;
  if (settings->invocation.init_only) {
    // Trying rules out makes the kernel load what has the parameters to be set.
    if (const auto tried = ProbeNft(nft::CompileTrial()); !tried.ok()) ReportError(tried.status(), "try_out");
    const absl::Status set_up = node::SetUp(*settings);
    if (!set_up.ok()) PrintError(set_up);
    return set_up.ok() ? 0 : 1;
  }
  absl::StatusOr<Config> config = MakeConfig(*settings);
  if (!config.ok()) {
    PrintError(config.status());
    return 1;
  }
  if (const absl::Status allowed = CheckNetAdmin(); !allowed.ok()) {
    PrintError(allowed);
    return 1;
  }
  if (const absl::Status probed = TryOut(*config); !probed.ok()) {
    PrintError(probed);
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
  // A machine that only runs manifests is nobody's node: its kernel parameters are its owner's.
  if (config->api && !flags.once) node::SetUp(*settings).IgnoreError();  // it has been told

  Inbox inbox;
  Telemetry telemetry(*settings, *config);
  FlowCleaner cleaner(*std::move(flows),
                      [&](const absl::StatusOr<FlowReport>& report) { telemetry.ReportCleaning(report); });
  Driver driver(*config, inbox, **dataplane,
                telemetry.Hooks([&](std::vector<FlowCheck> checks) { cleaner.Submit(std::move(checks)); }));
  driver.SetAddresses((*addresses)->addresses());
  if (!flags.once) {
    if (config->api) config->api->observer = telemetry.ApiObserver();
    Source source(*config, inbox);
    telemetry.Serve(source.kube());
    const int status =
        RunUntilTold({flags, *settings, configuration, source, inbox, driver, **addresses, telemetry, signals});
    telemetry.Close();
    return status;
  }
  const int status = RunOnce(*config, driver, inbox);
  if (status == 0 && !cleaner.Drain(kOnceCleaning)) {
    PrintError(absl::DeadlineExceededError("the rules are in place, but stale flows could not be removed in time"));
    return 1;
  }
  return status;
}

}  // namespace pointsman
