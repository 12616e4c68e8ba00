// SPDX-License-Identifier: Apache-2.0
#include "agent/cmd/telemetry.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <optional>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

#include <nlohmann/json.hpp>

#include "agent/loop/clock.h"
#include "agent/metrics/metrics.h"
#include "agent/options/effective.h"
#include "agent/options/render.h"
#include "agent/options/validate.h"
#include "agent/serve/board.h"
#include "agent/serve/endpoints.h"
#include "agent/serve/health_check_ports.h"
#include "agent/serve/http_server.h"
#include "agent/serve/proxy_health.h"
#include "pointsman/log.h"

namespace pointsman {
namespace {

using serve::Moment;
using serve::Standing;

Moment Now() { return {.calendar = absl::Now(), .steady = SteadyNow()}; }

void LogPass(const PassReport& report) {
  if (report.first) {
    Log(LogLevel::kInfo, "cold_start",
        {{"first", "the API server's Service and the cluster's DNS"}, {"after", absl::FormatDuration(*report.first)}});
  }
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
       {"planning", absl::FormatDuration(report.planning + report.compiling)},
       {"committing", absl::FormatDuration(report.encoding.value_or(absl::ZeroDuration()) + report.committing)}});
}

void LogNotRemembered(uint64_t connections, uint32_t size) {
  Log(LogLevel::kWarning, "affinity_full",
      {{"connections_not_remembered", static_cast<int64_t>(connections)},
       {"size", static_cast<int64_t>(size)},
       {"hint", "raise --pointsman.affinity-size"}});
}

// Called from the server's thread.
void LogHealthCheckPort(const serve::HealthCheckPorts::News& news) {
  const std::string address = absl::StrCat(news.port, "/", FormatFamily(news.family));
  if (news.status.ok()) {
    Log(LogLevel::kVerbose, "health_check_port", {{"service", FormatName(news.service)}, {"port", address}});
    return;
  }
  Log(LogLevel::kError, "health_check_port",
      {{"service", FormatName(news.service)},
       {"port", address},
       {"error", news.status.message()},
       {"next", "trying again; load balancers take this node for one without endpoints"}});
}

Metrics::Source MetricsOf(const kube::SourceStatus& status) {
  Metrics::Source source;
  source.stale = status.stale;
  for (int kind = 0; kind < kKinds; ++kind) {
    const auto& of = status.kinds[static_cast<size_t>(kind)];
    source.kinds.push_back({.kind = FormatKind(static_cast<Kind>(kind)),
                            .objects = static_cast<int64_t>(of.objects),
                            .ignored = of.unchanged,
                            .undecodable = of.undecodable,
                            .watches = of.counts.watches,
                            .relists = of.counts.relists,
                            .failures = of.counts.failures});
  }
  return source;
}

std::string JsonOf(const kube::SourceStatus& status) {
  nlohmann::ordered_json json = {{"server", status.server},
                                 {"connected", status.connected},
                                 {"released", status.released},
                                 {"staleSeconds", absl::ToDoubleSeconds(status.stale)}};
  for (int kind = 0; kind < kKinds; ++kind) {
    const auto& of = status.kinds[static_cast<size_t>(kind)];
    json["kinds"][FormatKind(static_cast<Kind>(kind))] = {{"synced", of.synced},
                                                          {"following", of.following},
                                                          {"objects", of.objects},
                                                          {"ignored", of.unchanged},
                                                          {"undecodable", of.undecodable},
                                                          {"lists", of.counts.lists},
                                                          {"watches", of.counts.watches},
                                                          {"relists", of.counts.relists},
                                                          {"failures", of.counts.failures},
                                                          {"error", of.error.ok() ? "" : of.error.ToString()}};
  }
  return json.dump();
}

// Sums over all Services, kept up to date one by one.
class NoLocalSums {
 public:
  void Set(const NamespacedName& service, const ServiceFacts& facts) {
    const std::array<NoLocalEndpoints, 2> now = {facts.no_local_ipv4, facts.no_local_ipv6};
    std::array<NoLocalEndpoints, 2> before;
    if (const auto it = services_.find(service); it != services_.end()) before = it->second;
    for (size_t i = 0; i < now.size(); ++i) {
      sums_[i].internal += now[i].internal - before[i].internal;
      sums_[i].external += now[i].external - before[i].external;
    }
    if (now == std::array<NoLocalEndpoints, 2>{}) {
      services_.erase(service);
    } else {
      services_[service] = now;
    }
  }
  void Clear() {
    services_.clear();
    sums_ = {};
  }
  const NoLocalEndpoints& of(Family family) const { return sums_[family == Family::kIpv4 ? 0 : 1]; }

 private:
  absl::btree_map<NamespacedName, std::array<NoLocalEndpoints, 2>> services_;  // those that count
  std::array<NoLocalEndpoints, 2> sums_;
};

}  // namespace

struct Telemetry::Impl {
  Impl(const options::Settings& all_settings, const Config& the_config)
      : settings(all_settings),
        config(the_config),
        limit(2 * options::ActiveModeSettings(all_settings.proxy).sync_period),
        metrics({.families = the_config.families,
                 .version = PM_VERSION,
                 .board = &board,
                 .source = [this] { return source == nullptr ? Metrics::Source{} : MetricsOf(source->status()); }}),
        started(absl::Now()),
        failed_fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}
  ~Impl() {
    server.reset();  // its thread writes there
    close(failed_fd);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  bool Healthy() const {
    return board.Read([&](const Standing& s) { return serve::Assess(s, limit, SteadyNow()).healthy; });
  }

  void Listen(const char* what, const std::string& field, const std::string& address,
              serve::HttpServer::Handler handler) {
    const bool asked = config.api.has_value() || settings.OriginOf(field) != options::Origin::kDefault;
    if (address.empty() || !asked) return;
    const std::optional<SocketAddr> at = options::ParseSocketAddr(address);
    if (!at) return;  // validation has said so
    server->Listen({.addresses = {*at},
                    .any_family = at->addr.IsUnspecified(),
                    .handler = std::move(handler),
                    .report = [this, what, address](const absl::Status& status) {
                      if (status.ok()) {
                        Log(LogLevel::kInfo, "serving", {{"what", what}, {"address", address}});
                        return;
                      }
                      Log(LogLevel::kError, "serving",
                          {{"what", what},
                           {"address", address},
                           {"error", status.message()},
                           {"next", settings.proxy.bind_address_hard_fail ? "giving up, as bindAddressHardFail says"
                                                                          : "trying again"}});
                      if (settings.proxy.bind_address_hard_fail) Fail();
                    }});
  }

  // From any thread.
  void Fail() {
    failed = true;
    eventfd_write(failed_fd, 1);
  }

  void TakeFacts(const absl::btree_map<NamespacedName, ServiceFacts>& facts, bool all) {
    if (all) no_local.Clear();
    std::vector<serve::HealthCheckPorts::Change> changes;
    std::vector<std::pair<NamespacedName, HealthCheck>> everything;
    for (const auto& [name, of] : facts) {
      no_local.Set(name, of);
      if (all && of.health) everything.emplace_back(name, *of.health);
      if (!all) changes.emplace_back(name, of.health);
    }
    for (const Family family : config.families) {
      metrics.SetNoLocalEndpoints(family, no_local.of(family).internal, no_local.of(family).external);
    }
    if (!ports) return;
    if (all) {
      ports->Replace(everything);
    } else {
      ports->Update(changes);
    }
  }

  // What the settings say that does not go with this node; told when it becomes so.
  void TellMisfits(const Node* node) {
    options::Misfits now =
        options::FindMisfits(settings, FindNodeAddresses(config, node).primary, config.families.size() > 1,
                             node == nullptr ? std::vector<std::string>{} : node->pod_cidrs);
    if (now.errors == misfits.errors && now.remarks == misfits.remarks) return;
    for (const options::Remark& remark : now.remarks) {
      LogText(LogLevel::kWarning, "configuration", options::FormatRemark(remark));
    }
    for (const Diagnostic& error : now.errors) {
      LogText(LogLevel::kError, "configuration", FormatDiagnostic(error));
    }
    misfits = std::move(now);
  }

  void TakeNode(const Node* node, const NodeInfo& info) {
    if (config.api) TellMisfits(node);
    board.Update([&](Standing& s) {
      s.node_seen = s.node_seen || node != nullptr;
      if (node == nullptr) return;  // the last one seen stays in force
      s.node_deleting = node->deleting;
      s.node_taints = node->taints;
    });
    if (!ports) return;
    for (const Family family : config.families) {
      // Where NodePorts are open everywhere, so is this.
      if (config.node_ports_everywhere) {
        ports->SetAddresses(family, std::nullopt);
        continue;
      }
      std::vector<IpAddr> addresses;
      for (const IpAddr& addr : info.node_port_addresses) {
        if (addr.family() == family) addresses.push_back(addr);
      }
      ports->SetAddresses(family, std::move(addresses));
    }
  }

  void TakePass(const PassReport& report) {
    LogPass(report);
    CountPass(report);
    metrics.ObserveStage(Metrics::Stage::kSweep, report.sweeping);
    if (report.repaired) metrics.DriftFound();
    if (report.triggers.empty()) return;
    const absl::Time done = absl::Now() - (SteadyNow() - report.done);
    for (const auto& [family, at] : report.triggers) metrics.ObserveNetworkProgramming(family, done - at);
  }

  // Also one that failed, as far as it came.
  void CountPass(const PassReport& report) {
    const absl::Duration encoding = report.encoding.value_or(absl::ZeroDuration());
    metrics.ObservePass({.duration = report.first.value_or(absl::ZeroDuration()) + report.planning + report.compiling +
                                     encoding + report.committing + report.sweeping,
                         .full = report.full,
                         .transactions = report.transactions,
                         .ops = report.commit.ops,
                         .messages = report.commit.messages,
                         .bytes = report.commit.bytes});
    if (report.waiting) metrics.ObserveStage(Metrics::Stage::kWait, *report.waiting);
    metrics.ObserveStage(Metrics::Stage::kPlan, report.planning);
    metrics.ObserveStage(Metrics::Stage::kCompile, report.compiling);
    if (report.encoding) metrics.ObserveStage(Metrics::Stage::kEncode, encoding);
    metrics.ObserveStage(Metrics::Stage::kCommit, report.committing);
  }

  void TakeError(const absl::Status& status, absl::string_view stage) {
    if (stage == "commit") metrics.SyncFailed();
    if (stage == "sweep") metrics.CleanupFailed();
    board.Update([&](Standing& s) { s.pending_reason = absl::StrCat(stage, ": ", status.message()); });
  }

  const options::Settings& settings;
  const Config& config;
  const absl::Duration limit;  // a change that waits for so long is too late
  serve::Board board;
  Metrics metrics;
  const absl::Time started;
  const kube::KubeSource* source = nullptr;  // set while nobody serves
  options::Misfits misfits;                  // as told
  std::atomic<bool> failed = false;
  const int failed_fd;
  NoLocalSums no_local;
  // Last, so that its thread is gone before what it reads is.
  std::optional<serve::HttpServer> server;
  std::optional<serve::HealthCheckPorts> ports;
};

Telemetry::Telemetry(const options::Settings& settings, const Config& config)
    : impl_(std::make_unique<Impl>(settings, config)) {}
Telemetry::~Telemetry() = default;

void Telemetry::Serve(const kube::KubeSource* source) {
  Impl& impl = *impl_;
  impl.source = source;
  impl.server.emplace();
  impl.ports.emplace(
      *impl.server, [&impl] { return impl.Healthy(); }, LogHealthCheckPort);
  impl.Listen("health", "healthzBindAddress", impl.settings.proxy.healthz_bind_address,
              serve::HealthEndpoints{.board = &impl.board, .metrics = &impl.metrics, .limit = impl.limit});
  impl.Listen(
      "metrics", "metricsBindAddress", impl.settings.proxy.metrics_bind_address,
      serve::MetricsEndpoints{
          .metrics = &impl.metrics,
          .board = &impl.board,
          .version = PM_VERSION,
          .started = impl.started,
          .configz =
              [&impl] {
                return absl::StrCat("{\"kubeproxy.config.k8s.io\":", options::ConfigurationJson(impl.settings), "}");
              },
          .source = source == nullptr ? std::function<std::string()>() : [source] { return JsonOf(source->status()); },
          .flags = options::FlagValues(impl.settings)});
  impl.board.Update([&](Standing& s) {
    s.Begin(impl.config.families, Now());
    s.node_seen = !impl.config.api.has_value();  // who needs no Node is not waiting for one
  });
}

void Telemetry::Close() {
  impl_->ports.reset();
  impl_->server.reset();
  impl_->source = nullptr;
}

kube::Observer Telemetry::ApiObserver() {
  Metrics& metrics = impl_->metrics;
  return {.request =
              [&metrics](const kube::SeenRequest& request) {
                metrics.ObserveApiRequest({.host = request.host,
                                           .method = request.method,
                                           .status = request.status,
                                           .duration = request.duration,
                                           .name_lookup = request.name_lookup,
                                           .request_bytes = request.request_bytes,
                                           .response_bytes = request.response_bytes});
              },
          .rate_limit = [&metrics](const std::string& host,
                                   absl::Duration waited) { metrics.ObserveApiRateLimit(host, "GET", waited); },
          .retry = [&metrics](const std::string& host, int status) { metrics.CountApiRetry(host, "GET", status); }};
}

bool Telemetry::failed() const { return impl_->failed; }
int Telemetry::failed_fd() const { return impl_->failed_fd; }

Driver::Hooks Telemetry::Hooks(absl::AnyInvocable<void(std::vector<FlowCheck>)> clean) {
  Impl& impl = *impl_;
  return {
      .diagnostic = ReportDiagnostic,
      .pass = [&impl](const PassReport& report) { impl.TakePass(report); },
      .error =
          [&impl](const absl::Status& status, const char* stage) {
            ReportError(status, stage);
            impl.TakeError(status, stage);
          },
      .clean = std::move(clean),
      .not_remembered =
          [&impl](uint64_t n) {
            LogNotRemembered(n, impl.config.affinity_size);
            impl.metrics.AffinityNotRemembered(n);
          },
      .took = [&impl](int services, int slices) { impl.metrics.Changes(services, slices); },
      .pending =
          [&impl] {
            const Moment now = Now();
            impl.metrics.Queued(now.calendar);
            impl.board.Update([&](Standing& s) {
              s.started = true;
              s.Queue(now);
            });
          },
      .settled =
          [&impl] {
            const Moment now = Now();
            impl.metrics.Synced(now.calendar);
            impl.board.Update([&](Standing& s) { s.Synced(now); });
          },
      .pass_failed = [&impl](const PassReport& report) { impl.CountPass(report); },
      .conflict = [&impl] { impl.metrics.GenerationConflict(); },
      .observed = [&impl](const absl::Status&,
                          absl::Duration took) { impl.metrics.ObserveStage(Metrics::Stage::kObserve, took); },
      .facts = [&impl](const absl::btree_map<NamespacedName, ServiceFacts>& facts,
                       bool all) { impl.TakeFacts(facts, all); },
      .node = [&impl](const Node* node, const NodeInfo& info) { impl.TakeNode(node, info); },
      .diagnosed =
          [&impl](const NamespacedName& service, const Diagnostics& diagnostics) {
            impl.board.Update([&](Standing& s) {
              if (diagnostics.empty()) {
                s.diagnostics.erase(service);
              } else {
                s.diagnostics[service] = diagnostics;
              }
            });
          },
  };
}

void Telemetry::Look(const Driver& driver) {
  impl_->board.Update([&](Standing& s) {
    s.services = static_cast<int64_t>(driver.services());
    s.generation = driver.generation();
    s.failures = driver.failures();
  });
}

void Telemetry::ReportCleaning(const absl::StatusOr<FlowReport>& report) {
  if (!report.ok()) {
    Log(LogLevel::kWarning, "failed",
        {{"stage", "clean_flows"}, {"error", report.status().message()}, {"next", "trying again"}});
    return;
  }
  absl::Duration took;
  for (const FlowPass& pass : report->passes) {
    took += pass.duration;
    impl_->metrics.ObserveConntrackPass(pass.family, pass.duration, pass.seen, pass.deleted);
  }
  impl_->metrics.ObserveStage(Metrics::Stage::kFlows, took);
  Log(report->deleted > 0 ? LogLevel::kInfo : LogLevel::kVerbose, "cleaned_flows",
      {{"seen", report->seen}, {"deleted", report->deleted}});
}

void ReportDiagnostic(const Diagnostic& diagnostic) {
  const LogLevel level = diagnostic.severity == Severity::kError     ? LogLevel::kError
                         : diagnostic.severity == Severity::kWarning ? LogLevel::kWarning
                                                                     : LogLevel::kInfo;
  LogText(level, "bad_input", FormatDiagnostic(diagnostic));
}

void ReportError(const absl::Status& status, const char* stage) {
  Log(LogLevel::kError, "failed",
      {{"stage", stage}, {"error", status.message()}, {"next", "the rules stay as they are; trying again"}});
}

}  // namespace pointsman
