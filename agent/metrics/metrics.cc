// SPDX-License-Identifier: Apache-2.0
#include "agent/metrics/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "agent/loop/clock.h"
#include "agent/metrics/collect.h"

namespace pointsman {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;

Buckets SyncBuckets() {
  Buckets buckets;
  for (int i = 0; i < 15; ++i) buckets.push_back(std::ldexp(0.001, i));
  return buckets;
}

Buckets ProgrammingBuckets() {
  Buckets buckets = {0.25, 0.5};
  for (int s = 1; s < 60; ++s) buckets.push_back(s);
  for (int s = 60; s < 120; s += 5) buckets.push_back(s);
  for (int s = 120; s <= 300; s += 30) buckets.push_back(s);
  return buckets;
}

// From what planning one Service takes to what a node takes that is in trouble.
const Buckets kStageSeconds = {0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                               0.05,    0.1,      0.25,    0.5,    1,       2.5,    5,     10,     30,    60};
const Buckets kRequestSeconds = {0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60};
const Buckets kLookupSeconds = {0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30};
const Buckets kRequestBytes = {64, 256, 512, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216};

std::string FamilyLabel(Family family) {
  const absl::string_view text = FormatFamily(family);
  return {text.data(), text.size()};
}

std::string CodeLabel(int status) { return status == 0 ? "<error>" : absl::StrCat(status); }

double UnixSeconds(absl::Time time) { return absl::ToDoubleSeconds(time - absl::UnixEpoch()); }

std::string Serialize(metrics::Families all) {
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, all);
  return text.str();
}

constexpr std::array<const char*, 8> kStages = {"wait",   "plan",  "compile", "encode",
                                                "commit", "sweep", "flows",   "observe"};

}  // namespace

struct Metrics::Impl {
  explicit Impl(Options o);

  prometheus::Family<Counter>& Counters(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  }
  prometheus::Family<Gauge>& Gauges(const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
  }
  prometheus::Family<Histogram>& Histograms(const char* name, const char* help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
  }
  // What there is once for each family, in the order of `options.families`.
  struct OfFamily {
    Family family;
    Histogram* sync;
    Histogram* full_sync;
    Histogram* partial_sync;
    Histogram* programming;
    Histogram* conntrack_pass;
    Counter* conntrack_deleted;
    Counter* sync_failures;
    Counter* cleanup_failures;
    Gauge* no_local_internal;
    Gauge* no_local_external;
  };
  OfFamily* Of(Family family) {
    for (OfFamily& of : families) {
      if (of.family == family) return &of;
    }
    return nullptr;
  }

  const Options options;
  prometheus::Registry registry;
  std::vector<OfFamily> families;

  // These have no sample before the first sync, as a time of 0 would look like a very old one.
  prometheus::Family<Gauge>& last_synced = Gauges("kubeproxy_sync_proxy_rules_last_timestamp_seconds",
                                                  "[ALPHA] The last time proxy rules were successfully synced");
  prometheus::Family<Gauge>& last_queued = Gauges("kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
                                                  "[ALPHA] The last time a sync of proxy rules was queued");
  Gauge& slices_pending =
      Gauges("kubeproxy_sync_proxy_rules_endpoint_changes_pending", "[ALPHA] Pending proxy rules Endpoint changes")
          .Add({});
  Counter& slice_changes =
      Counters("kubeproxy_sync_proxy_rules_endpoint_changes_total", "[ALPHA] Cumulative proxy rules Endpoint changes")
          .Add({});
  Gauge& services_pending =
      Gauges("kubeproxy_sync_proxy_rules_service_changes_pending", "[ALPHA] Pending proxy rules Service changes")
          .Add({});
  Counter& service_changes =
      Counters("kubeproxy_sync_proxy_rules_service_changes_total", "[ALPHA] Cumulative proxy rules Service changes")
          .Add({});
  prometheus::Family<Counter>& healthz =
      Counters("kubeproxy_proxy_healthz_total", "[ALPHA] Cumulative proxy healthz HTTP status");
  prometheus::Family<Counter>& livez =
      Counters("kubeproxy_proxy_livez_total", "[ALPHA] Cumulative proxy livez HTTP status");

  prometheus::Family<Counter>& api_requests = Counters(
      "rest_client_requests_total", "[ALPHA] Number of HTTP requests, partitioned by status code, method, and host.");
  prometheus::Family<Histogram>& api_duration = Histograms(
      "rest_client_request_duration_seconds", "[ALPHA] Request latency in seconds. Broken down by verb, and host.");
  prometheus::Family<Histogram>& api_lookup = Histograms(
      "rest_client_dns_resolution_duration_seconds", "[ALPHA] DNS resolver latency in seconds. Broken down by host.");
  prometheus::Family<Histogram>& api_request_size =
      Histograms("rest_client_request_size_bytes", "[ALPHA] Request size in bytes. Broken down by verb and host.");
  prometheus::Family<Histogram>& api_response_size =
      Histograms("rest_client_response_size_bytes", "[ALPHA] Response size in bytes. Broken down by verb and host.");
  prometheus::Family<Histogram>& api_limited =
      Histograms("rest_client_rate_limiter_duration_seconds",
                 "[ALPHA] Client side rate limiter latency in seconds. Broken down by verb, and host.");
  prometheus::Family<Counter>& api_retries =
      Counters("rest_client_request_retries_total",
               "[ALPHA] Number of request retries, partitioned by status code, verb, and host.");

  Counter& transactions = Counters("pointsman_transactions_total", "Transactions committed to the kernel").Add({});
  Counter& ops = Counters("pointsman_ops_total", "Operations in them").Add({});
  Counter& messages = Counters("pointsman_messages_total", "Netlink messages in them").Add({});
  Counter& bytes = Counters("pointsman_bytes_total", "Bytes in them").Add({});
  Counter& conflicts = Counters("pointsman_generation_conflicts_total",
                                "Transactions given up because somebody else had changed the ruleset")
                           .Add({});
  Counter& drift = Counters("pointsman_drift_total", "Times that what somebody else did had to be repaired").Add({});
  Counter& conntrack_seen =
      Counters("pointsman_conntrack_seen_entries_total", "Connection tracking entries looked at while cleaning")
          .Add({});
  Counter& not_remembered = Counters("pointsman_affinity_not_remembered_total",
                                     "Connections whose client could not be remembered, for want of room")
                                .Add({});
  std::array<Histogram*, kStages.size()> stages = {};
  std::atomic<int64_t> pings = 0;
};

Metrics::Impl::Impl(Options o) : options(std::move(o)) {
  const Buckets sync_buckets = SyncBuckets();
  const Buckets programming_buckets = ProgrammingBuckets();
  auto& sync = Histograms("kubeproxy_sync_proxy_rules_duration_seconds", "[ALPHA] SyncProxyRules latency in seconds");
  auto& full = Histograms("kubeproxy_sync_full_proxy_rules_duration_seconds",
                          "[ALPHA] SyncProxyRules latency in seconds for full resyncs");
  auto& partial = Histograms("kubeproxy_sync_partial_proxy_rules_duration_seconds",
                             "[ALPHA] SyncProxyRules latency in seconds for partial resyncs");
  auto& programming = Histograms("kubeproxy_network_programming_duration_seconds",
                                 "[ALPHA] In Cluster Network Programming Latency in seconds");
  auto& conntrack = Histograms("kubeproxy_conntrack_reconciler_sync_duration_seconds",
                               "[ALPHA] ReconcileConntrackFlowsLatency latency in seconds");
  auto& deleted = Counters("kubeproxy_conntrack_reconciler_deleted_entries_total",
                           "[ALPHA] Cumulative conntrack flows deleted by conntrack reconciler");
  auto& failures = Counters("kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
                            "[ALPHA] Cumulative proxy nftables sync failures");
  auto& cleanup = Counters("kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total",
                           "[ALPHA] Cumulative proxy nftables cleanup failures");
  auto& no_local = Gauges("kubeproxy_sync_proxy_rules_no_local_endpoints_total",
                          "[ALPHA] Number of services with a Local traffic policy and no endpoints");
  for (const Family family : options.families) {
    const std::string name = FamilyLabel(family);
    const prometheus::Labels label = {{"ip_family", name}};
    families.push_back({.family = family,
                        .sync = &sync.Add(label, sync_buckets),
                        .full_sync = &full.Add(label, sync_buckets),
                        .partial_sync = &partial.Add(label, sync_buckets),
                        .programming = &programming.Add(label, programming_buckets),
                        .conntrack_pass = &conntrack.Add(label, sync_buckets),
                        .conntrack_deleted = &deleted.Add(label),
                        .sync_failures = &failures.Add(label),
                        .cleanup_failures = &cleanup.Add(label),
                        .no_local_internal = &no_local.Add({{"ip_family", name}, {"traffic_policy", "internal"}}),
                        .no_local_external = &no_local.Add({{"ip_family", name}, {"traffic_policy", "external"}})});
  }
  for (const char* code : {"200", "503"}) {
    healthz.Add({{"code", code}});
    livez.Add({{"code", code}});
  }
  auto& stage = Histograms("pointsman_stage_duration_seconds",
                           "Duration of the stages from a change that is known to the kernel, and of listings");
  for (size_t i = 0; i < kStages.size(); ++i) stages[i] = &stage.Add({{"stage", kStages[i]}}, kStageSeconds);
}

Metrics::Metrics(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Metrics::~Metrics() = default;

std::string Metrics::Text() const {
  const Impl& self = *impl_;
  metrics::Families all = self.registry.Collect();
  metrics::AddProcess(all, self.options.proc);
  metrics::AddConntrack(all, self.options.proc);
  metrics::AddBuild(all, self.options.version, self.options.commit);
  if (self.options.board != nullptr) metrics::AddBoard(all, *self.options.board, SteadyNow());
  if (self.options.source) metrics::AddSource(all, self.options.source());
  return Serialize(std::move(all));
}

std::string Metrics::SliText() const {
  metrics::Families all;
  metrics::AddProcess(all, impl_->options.proc);
  std::erase_if(all, [](const auto& family) { return family.name != "process_start_time_seconds"; });
  metrics::AddFamily(all, prometheus::MetricType::Gauge, "kubernetes_healthcheck",
                     "[STABLE] This metric records the result of a single healthcheck.",
                     {{{{"name", "ping"}, {"type", "healthz"}}, 1}});
  metrics::AddFamily(all, prometheus::MetricType::Counter, "kubernetes_healthchecks_total",
                     "[STABLE] This metric records the results of all healthcheck.",
                     {{{{"name", "ping"}, {"status", "success"}, {"type", "healthz"}},
                       static_cast<double>(impl_->pings.load(std::memory_order_relaxed))}});
  return Serialize(std::move(all));
}
void Metrics::CountPing() { impl_->pings.fetch_add(1, std::memory_order_relaxed); }
void Metrics::ResetPings() { impl_->pings.store(0, std::memory_order_relaxed); }

void Metrics::Queued(absl::Time now) {
  for (const auto& of : impl_->families) {
    impl_->last_queued.Add({{"ip_family", FamilyLabel(of.family)}}).Set(UnixSeconds(now));
  }
}

void Metrics::Synced(absl::Time now) {
  for (const auto& of : impl_->families) {
    impl_->last_synced.Add({{"ip_family", FamilyLabel(of.family)}}).Set(UnixSeconds(now));
  }
  impl_->slices_pending.Set(0);
  impl_->services_pending.Set(0);
}

void Metrics::Changes(int64_t services, int64_t endpoint_slices) {
  impl_->slices_pending.Increment(static_cast<double>(endpoint_slices));
  impl_->slice_changes.Increment(static_cast<double>(endpoint_slices));
  impl_->services_pending.Increment(static_cast<double>(services));
  // kube-proxy counts a Service once for each family.
  impl_->service_changes.Increment(static_cast<double>(services) * static_cast<double>(impl_->families.size()));
}

void Metrics::ObservePass(const Pass& pass) {
  const double seconds = absl::ToDoubleSeconds(pass.duration);
  for (const auto& of : impl_->families) {
    of.sync->Observe(seconds);
    (pass.full ? of.full_sync : of.partial_sync)->Observe(seconds);
  }
  impl_->transactions.Increment(static_cast<double>(pass.transactions));
  impl_->ops.Increment(static_cast<double>(pass.ops));
  impl_->messages.Increment(static_cast<double>(pass.messages));
  impl_->bytes.Increment(static_cast<double>(pass.bytes));
}

void Metrics::ObserveStage(Stage stage, absl::Duration duration) {
  impl_->stages[static_cast<size_t>(stage)]->Observe(absl::ToDoubleSeconds(duration));
}

void Metrics::ObserveNetworkProgramming(Family family, absl::Duration duration) {
  const auto* of = impl_->Of(family);
  if (of != nullptr) of->programming->Observe(std::max(absl::ToDoubleSeconds(duration), 0.0));
}

void Metrics::SyncFailed() {
  for (const auto& of : impl_->families) of.sync_failures->Increment();
}
void Metrics::CleanupFailed() {
  for (const auto& of : impl_->families) of.cleanup_failures->Increment();
}
void Metrics::GenerationConflict() { impl_->conflicts.Increment(); }
void Metrics::DriftFound() { impl_->drift.Increment(); }

void Metrics::SetNoLocalEndpoints(Family family, int64_t internal, int64_t external) {
  const auto* of = impl_->Of(family);
  if (of == nullptr) return;
  of->no_local_internal->Set(static_cast<double>(internal));
  of->no_local_external->Set(static_cast<double>(external));
}

void Metrics::AffinityNotRemembered(uint64_t connections) {
  impl_->not_remembered.Increment(static_cast<double>(connections));
}

void Metrics::ObserveConntrackPass(Family family, absl::Duration duration, int64_t seen, int64_t deleted) {
  impl_->conntrack_seen.Increment(static_cast<double>(seen));
  const auto* of = impl_->Of(family);
  if (of == nullptr) return;
  of->conntrack_pass->Observe(absl::ToDoubleSeconds(duration));
  of->conntrack_deleted->Increment(static_cast<double>(deleted));
}

void Metrics::CountHealthz(int status) { impl_->healthz.Add({{"code", absl::StrCat(status)}}).Increment(); }
void Metrics::CountLivez(int status) { impl_->livez.Add({{"code", absl::StrCat(status)}}).Increment(); }

void Metrics::ObserveApiRequest(const ApiRequest& request) {
  const prometheus::Labels verb = {{"host", request.host}, {"verb", request.method}};
  impl_->api_requests.Add({{"code", CodeLabel(request.status)}, {"host", request.host}, {"method", request.method}})
      .Increment();
  impl_->api_duration.Add(verb, kRequestSeconds).Observe(absl::ToDoubleSeconds(request.duration));
  impl_->api_request_size.Add(verb, kRequestBytes).Observe(static_cast<double>(request.request_bytes));
  if (request.name_lookup) {
    impl_->api_lookup.Add({{"host", request.host}}, kLookupSeconds)
        .Observe(absl::ToDoubleSeconds(*request.name_lookup));
  }
  if (request.status != 0) {
    if (request.response_bytes) {
      impl_->api_response_size.Add(verb, kRequestBytes).Observe(static_cast<double>(*request.response_bytes));
    }
  }
}

void Metrics::ObserveApiRateLimit(absl::string_view host, absl::string_view method, absl::Duration waited) {
  impl_->api_limited.Add({{"host", std::string(host)}, {"verb", std::string(method)}}, kRequestSeconds)
      .Observe(absl::ToDoubleSeconds(waited));
}

void Metrics::CountApiRetry(absl::string_view host, absl::string_view method, int status) {
  impl_->api_retries.Add({{"code", CodeLabel(status)}, {"host", std::string(host)}, {"verb", std::string(method)}})
      .Increment();
}

}  // namespace pointsman
