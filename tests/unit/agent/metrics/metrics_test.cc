// SPDX-License-Identifier: Apache-2.0
#include "agent/metrics/metrics.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/loop/clock.h"

namespace pointsman {
namespace {

using testing::ElementsAreArray;
using testing::Not;

// The text format, taken apart line by line. A line that is none of it fails the test.
struct Exposition {
  struct Of {
    std::string help;
    std::string type;
    std::map<std::string, double> samples;  // by name and labels as they are written
    std::set<std::string> labels;           // names, `le` apart
    std::vector<std::string> buckets;       // of the first labels with buckets
  };
  std::map<std::string, Of> families;

  explicit Exposition(const std::string& text) {
    EXPECT_EQ(text.back(), '\n');
    std::string current;
    std::string first_series;
    for (const std::string& line : std::vector<std::string>(absl::StrSplit(text, '\n', absl::SkipEmpty()))) {
      if (absl::StartsWith(line, "# ")) {
        const std::vector<std::string> words = absl::StrSplit(line, absl::MaxSplits(' ', 3));
        if (words.size() != 4) {
          ADD_FAILURE() << line;
          continue;
        }
        if (words[1] == "HELP") {
          EXPECT_EQ(families.count(words[2]), 0U) << "twice: " << line;
          families[words[2]].help = words[3];
          current = words[2];
          first_series.clear();
        } else {
          EXPECT_EQ(words[1], "TYPE") << line;
          EXPECT_EQ(words[2], current) << line;
          families[current].type = words[3];
        }
        continue;
      }
      const size_t blank = line.rfind(' ');
      const std::string series = line.substr(0, blank);
      double value;
      EXPECT_TRUE(absl::SimpleAtod(line.substr(blank + 1), &value)) << line;
      EXPECT_TRUE(absl::StartsWith(series, current)) << line;
      Of& of = families[current];
      EXPECT_TRUE(of.samples.emplace(series, value).second) << "twice: " << line;
      const size_t brace = series.find('{');
      if (brace == std::string::npos) continue;
      EXPECT_EQ(series.back(), '}') << line;
      std::string others;
      std::string bound;
      const std::string inside = series.substr(brace + 1, series.size() - brace - 2);
      for (const std::string& label : std::vector<std::string>(absl::StrSplit(inside, ','))) {
        const std::pair<std::string, std::string> pair = absl::StrSplit(label, absl::MaxSplits('=', 1));
        if (pair.first == "le") {
          bound = pair.second.substr(1, pair.second.size() - 2);
        } else {
          of.labels.insert(pair.first);
          absl::StrAppend(&others, label);
        }
      }
      if (bound.empty()) continue;
      if (of.buckets.empty()) first_series = others;
      if (others == first_series) of.buckets.push_back(bound);
    }
  }

  double operator[](const std::string& series) const {
    for (const auto& [family, of] : families) {
      const auto it = of.samples.find(series);
      if (it != of.samples.end()) return it->second;
    }
    ADD_FAILURE() << "no sample " << series;
    return std::nan("");
  }
  bool Has(const std::string& family) const { return families.contains(family); }
};

const std::vector<std::string> kSync = {"0.001", "0.002", "0.004", "0.008", "0.016", "0.032", "0.064",  "0.128",
                                        "0.256", "0.512", "1.024", "2.048", "4.096", "8.192", "16.384", "+Inf"};
std::vector<std::string> Programming() {
  std::vector<std::string> buckets = {"0.25", "0.5"};
  for (int s = 1; s <= 59; ++s) buckets.push_back(absl::StrCat(s));
  for (int s = 60; s <= 115; s += 5) buckets.push_back(absl::StrCat(s));
  for (int s = 120; s <= 300; s += 30) buckets.push_back(absl::StrCat(s));
  EXPECT_EQ(buckets.size(), 80U);
  buckets.emplace_back("+Inf");
  return buckets;
}
const std::vector<std::string> kStages = {"1e-05", "2.5e-05", "5e-05", "0.0001", "0.00025", "0.0005", "0.001", "0.0025",
                                          "0.005", "0.01",    "0.025", "0.05",   "0.1",     "0.25",   "0.5",   "1",
                                          "2.5",   "5",       "10",    "30",     "60",      "+Inf"};
const std::vector<std::string> kSeconds = {"0.005", "0.025", "0.1", "0.25", "0.5", "1",   "2",
                                           "4",     "8",     "15",  "30",   "60",  "+Inf"};
const std::vector<std::string> kLookup = {"0.005", "0.025", "0.1", "0.25", "0.5", "1",
                                          "2",     "4",     "8",   "15",   "30",  "+Inf"};
const std::vector<std::string> kBytes = {"64",    "256",    "512",     "1024",    "4096",     "16384",
                                         "65536", "262144", "1048576", "4194304", "16777216", "+Inf"};

Metrics::Options Both() { return {.families = {Family::kIpv4, Family::kIpv6}, .version = "1.2.3", .commit = "abc"}; }

// Everything at least once.
void Exercise(Metrics& m) {
  m.Queued(absl::FromUnixSeconds(100));
  m.Changes(2, 3);
  m.ObservePass(
      {.duration = absl::Milliseconds(3), .full = true, .transactions = 1, .ops = 5, .messages = 7, .bytes = 9});
  m.ObservePass({.duration = absl::Milliseconds(30)});
  m.ObserveApiRequest({.host = "h",
                       .status = 200,
                       .duration = absl::Seconds(3),
                       .name_lookup = absl::Milliseconds(1),
                       .request_bytes = 100,
                       .response_bytes = 1000});
  m.ObserveApiRequest({.host = "h", .status = 0});
  m.ObserveApiRateLimit("h", "GET", absl::Milliseconds(1));
  m.CountApiRetry("h", "GET", 429);
  m.Synced(absl::FromUnixSeconds(200) + absl::Milliseconds(250));
}

struct Row {
  std::string name;
  std::string type;
  std::set<std::string> labels;
  std::vector<std::string> buckets = {};
};

// kube-proxy's metrics in mode nftables, and those of its API client.
TEST(MetricsTest, KubeProxysMetricsHaveItsNamesTypesLabelsAndBuckets) {
  Metrics metrics(Both());
  Exercise(metrics);
  const Exposition text(metrics.Text());
  const std::set<std::string> family = {"ip_family"};
  const std::set<std::string> verb = {"host", "verb"};
  const std::vector<Row> rows = {
      {"kubeproxy_sync_proxy_rules_duration_seconds", "histogram", family, kSync},
      {"kubeproxy_sync_full_proxy_rules_duration_seconds", "histogram", family, kSync},
      {"kubeproxy_sync_partial_proxy_rules_duration_seconds", "histogram", family, kSync},
      {"kubeproxy_sync_proxy_rules_last_timestamp_seconds", "gauge", family},
      {"kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds", "gauge", family},
      {"kubeproxy_network_programming_duration_seconds", "histogram", family, Programming()},
      {"kubeproxy_sync_proxy_rules_endpoint_changes_pending", "gauge", {}},
      {"kubeproxy_sync_proxy_rules_endpoint_changes_total", "counter", {}},
      {"kubeproxy_sync_proxy_rules_service_changes_pending", "gauge", {}},
      {"kubeproxy_sync_proxy_rules_service_changes_total", "counter", {}},
      {"kubeproxy_sync_proxy_rules_no_local_endpoints_total", "gauge", {"ip_family", "traffic_policy"}},
      {"kubeproxy_proxy_healthz_total", "counter", {"code"}},
      {"kubeproxy_proxy_livez_total", "counter", {"code"}},
      {"kubeproxy_sync_proxy_rules_nftables_sync_failures_total", "counter", family},
      {"kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total", "counter", family},
      {"kubeproxy_conntrack_reconciler_sync_duration_seconds", "histogram", family, kSync},
      {"kubeproxy_conntrack_reconciler_deleted_entries_total", "counter", family},
      {"rest_client_requests_total", "counter", {"code", "host", "method"}},
      {"rest_client_request_duration_seconds", "histogram", verb, kSeconds},
      {"rest_client_dns_resolution_duration_seconds", "histogram", {"host"}, kLookup},
      {"rest_client_request_size_bytes", "histogram", verb, kBytes},
      {"rest_client_response_size_bytes", "histogram", verb, kBytes},
      {"rest_client_rate_limiter_duration_seconds", "histogram", verb, kSeconds},
      {"rest_client_request_retries_total", "counter", {"code", "host", "verb"}},
      {"kubernetes_build_info",
       "gauge",
       {"major", "minor", "git_version", "git_commit", "git_tree_state", "build_date", "go_version", "compiler",
        "platform"}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const auto it = text.families.find(row.name);
    if (it == text.families.end()) {
      ADD_FAILURE() << "missing";
      continue;
    }
    EXPECT_EQ(it->second.type, row.type);
    EXPECT_EQ(it->second.labels, row.labels);
    EXPECT_THAT(it->second.buckets, ElementsAreArray(row.buckets));
    EXPECT_THAT(it->second.help, testing::StartsWith("[ALPHA] "));
  }
  for (const auto& [name, of] : text.families) {
    EXPECT_THAT(of.help, Not(testing::IsEmpty())) << name;
    if (!absl::StartsWith(name, "kubeproxy_")) continue;
    EXPECT_TRUE(std::any_of(rows.begin(), rows.end(), [&, &n = name](const Row& row) { return row.name == n; }))
        << name << " is not kube-proxy's";
  }
}

TEST(MetricsTest, EveryStageHasItsDurationsFromMicrosecondsToAMinute) {
  Metrics metrics(Both());
  const std::vector<std::pair<Metrics::Stage, std::string>> stages = {
      {Metrics::Stage::kWait, "wait"},     {Metrics::Stage::kPlan, "plan"},      {Metrics::Stage::kCompile, "compile"},
      {Metrics::Stage::kEncode, "encode"}, {Metrics::Stage::kCommit, "commit"},  {Metrics::Stage::kSweep, "sweep"},
      {Metrics::Stage::kFlows, "flows"},   {Metrics::Stage::kObserve, "observe"}};
  for (size_t i = 0; i < stages.size(); ++i) {
    for (size_t n = 0; n <= i; ++n) metrics.ObserveStage(stages[i].first, absl::Microseconds(20));
  }
  const Exposition text(metrics.Text());
  const Exposition::Of& of = text.families.at("pointsman_stage_duration_seconds");
  EXPECT_EQ(of.type, "histogram");
  EXPECT_THAT(of.buckets, ElementsAreArray(kStages));
  for (size_t i = 0; i < stages.size(); ++i) {
    const std::string label = absl::StrCat("{stage=\"", stages[i].second, "\"");
    const auto observed = static_cast<double>(i + 1);
    EXPECT_EQ(text[absl::StrCat("pointsman_stage_duration_seconds_count", label, "}")], observed);
    EXPECT_EQ(text[absl::StrCat("pointsman_stage_duration_seconds_bucket", label, ",le=\"1e-05\"}")], 0);
    EXPECT_EQ(text[absl::StrCat("pointsman_stage_duration_seconds_bucket", label, ",le=\"2.5e-05\"}")], observed);
  }
}

TEST(MetricsTest, ClocksThatDifferMakeNoNegativeLatency) {
  Metrics metrics(Both());
  metrics.ObserveNetworkProgramming(Family::kIpv4, -absl::Seconds(5));
  const Exposition text(metrics.Text());
  EXPECT_EQ(text[R"(kubeproxy_network_programming_duration_seconds_bucket{ip_family="IPv4",le="0.25"})"], 1);
  EXPECT_EQ(text[R"(kubeproxy_network_programming_duration_seconds_sum{ip_family="IPv4"})"], 0);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr absl::Duration kCountingMayTake = absl::Microseconds(20);
#else
constexpr absl::Duration kCountingMayTake = absl::Microseconds(2);
#endif

// A change takes some hundred microseconds. What is observed of it must be nothing beside that.
TEST(MetricsTest, APassIsCountedInLessThanTwoMicroseconds) {
  Metrics metrics(Both());
  constexpr int kPasses = 20'000;
  absl::Duration best = absl::InfiniteDuration();
  for (int attempt = 0; attempt < 5; ++attempt) {
    const absl::Time start = SteadyNow();
    for (int i = 0; i < kPasses; ++i) {
      metrics.ObservePass({.duration = absl::Microseconds(300), .transactions = 1, .ops = 2, .messages = 2});
      for (int stage = 0; stage <= static_cast<int>(Metrics::Stage::kSweep); ++stage) {
        metrics.ObserveStage(static_cast<Metrics::Stage>(stage), absl::Microseconds(100));
      }
      metrics.ObserveNetworkProgramming(Family::kIpv4, absl::Milliseconds(300));
    }
    best = std::min(best, (SteadyNow() - start) / kPasses);
  }
  RecordProperty("nanoseconds", static_cast<int>(absl::ToInt64Nanoseconds(best)));
  EXPECT_LT(best, kCountingMayTake);
}

TEST(MetricsTest, WhatIsObservedIsCounted) {
  Metrics metrics(Both());
  Exercise(metrics);
  metrics.Changes(1, 1);
  metrics.ObserveStage(Metrics::Stage::kCommit, absl::Milliseconds(1));
  metrics.ObserveNetworkProgramming(Family::kIpv6, absl::Seconds(2));
  metrics.SyncFailed();
  metrics.CleanupFailed();
  metrics.GenerationConflict();
  metrics.DriftFound();
  metrics.SetNoLocalEndpoints(Family::kIpv4, 4, 5);
  metrics.AffinityNotRemembered(6);
  metrics.ObserveConntrackPass(Family::kIpv4, absl::Milliseconds(1), 100, 7);
  metrics.CountHealthz(503);
  metrics.CountLivez(200);

  const Exposition text(metrics.Text());

  const std::map<std::string, double> expected = {
      {R"(kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"})", 2},
      {R"(kubeproxy_sync_proxy_rules_duration_seconds_bucket{ip_family="IPv4",le="0.004"})", 1},
      {R"(kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family="IPv6"})", 1},
      {R"(kubeproxy_sync_partial_proxy_rules_duration_seconds_sum{ip_family="IPv6"})", 0.03},
      {R"(kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family="IPv4"})", 100},
      {R"(kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv6"})", 200.25},
      {"kubeproxy_sync_proxy_rules_endpoint_changes_pending", 1},
      {"kubeproxy_sync_proxy_rules_endpoint_changes_total", 4},
      {"kubeproxy_sync_proxy_rules_service_changes_pending", 1},
      {"kubeproxy_sync_proxy_rules_service_changes_total", 6},  // once for each family
      {R"(kubeproxy_network_programming_duration_seconds_bucket{ip_family="IPv6",le="2"})", 1},
      {R"(kubeproxy_network_programming_duration_seconds_bucket{ip_family="IPv6",le="1"})", 0},
      {R"(kubeproxy_network_programming_duration_seconds_count{ip_family="IPv4"})", 0},
      {R"(kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family="IPv4"})", 1},
      {R"(kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total{ip_family="IPv6"})", 1},
      {R"(kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family="IPv4",traffic_policy="internal"})", 4},
      {R"(kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family="IPv4",traffic_policy="external"})", 5},
      {R"(kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family="IPv6",traffic_policy="external"})", 0},
      {R"(kubeproxy_conntrack_reconciler_sync_duration_seconds_count{ip_family="IPv4"})", 1},
      {R"(kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family="IPv4"})", 7},
      {R"(kubeproxy_proxy_healthz_total{code="503"})", 1},
      {R"(kubeproxy_proxy_healthz_total{code="200"})", 0},
      {R"(kubeproxy_proxy_livez_total{code="200"})", 1},
      {R"(rest_client_requests_total{code="200",host="h",method="GET"})", 1},
      {R"(rest_client_requests_total{code="<error>",host="h",method="GET"})", 1},
      {R"(rest_client_request_duration_seconds_bucket{host="h",verb="GET",le="4"})", 2},
      {R"(rest_client_response_size_bytes_sum{host="h",verb="GET"})", 1000},
      {R"(rest_client_request_retries_total{code="429",host="h",verb="GET"})", 1},
      {"pointsman_transactions_total", 1},
      {"pointsman_ops_total", 5},
      {"pointsman_messages_total", 7},
      {"pointsman_bytes_total", 9},
      {R"(pointsman_stage_duration_seconds_count{stage="commit"})", 1},
      {R"(pointsman_stage_duration_seconds_count{stage="plan"})", 0},
      {"pointsman_generation_conflicts_total", 1},
      {"pointsman_drift_total", 1},
      {"pointsman_affinity_not_remembered_total", 6},
      {"pointsman_conntrack_seen_entries_total", 100},
  };
  for (const auto& [series, value] : expected) EXPECT_DOUBLE_EQ(text[series], value) << series;
}

TEST(MetricsTest, AtFirstThereAreZeroesButNoTimes) {
  Metrics metrics({.families = {Family::kIpv4}});
  const Exposition text(metrics.Text());
  EXPECT_EQ(text[R"(kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"})"], 0);
  EXPECT_EQ(text[R"(kubeproxy_proxy_livez_total{code="503"})"], 0);
  EXPECT_FALSE(text.Has("kubeproxy_sync_proxy_rules_last_timestamp_seconds"));
  EXPECT_FALSE(text.Has("pointsman_api_stale_seconds"));
  EXPECT_THAT(metrics.Text(), Not(testing::HasSubstr("IPv6")));
}

TEST(MetricsTest, TheProcessShowsWhatTheClientLibrariesShow) {
  Metrics metrics({});
  const Exposition text(metrics.Text());
  EXPECT_NEAR(text["process_start_time_seconds"], absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()), 600);
  EXPECT_LE(text["process_start_time_seconds"], absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()) + 2);
  EXPECT_GT(text["process_resident_memory_bytes"], 1 << 20);
  EXPECT_GT(text["process_virtual_memory_bytes"], text["process_resident_memory_bytes"]);
  EXPECT_GE(text["process_cpu_seconds_total"], 0);
  EXPECT_GT(text["process_max_fds"], 10);
  EXPECT_NE(text["process_virtual_memory_max_bytes"], 0);
  EXPECT_GE(text["process_network_receive_bytes_total"], 0);
  EXPECT_GE(text["process_network_transmit_bytes_total"], 0);

  const double before = text["process_open_fds"];
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  EXPECT_EQ(Exposition(metrics.Text())["process_open_fds"], before + 2);
  close(fds[0]);
  close(fds[1]);
}

TEST(MetricsTest, TheBoardIsReadWhenAsked) {
  serve::Board board;
  Metrics metrics({.families = {Family::kIpv4}, .board = &board});
  EXPECT_EQ(Exposition(metrics.Text())["pointsman_pending_since_seconds"], 0);
  board.Update([](serve::Standing& s) {
    s.Begin({Family::kIpv4}, {.steady = SteadyNow()});
    s.Queue({.steady = SteadyNow() - absl::Seconds(30)});
    s.services = 12;
    s.failures = 2;
    s.diagnostics[{"a", "b"}] = {{.severity = Severity::kWarning}, {.severity = Severity::kError}};
    s.diagnostics[{"a", "c"}] = {{.severity = Severity::kError}};
  });
  const Exposition text(metrics.Text());
  EXPECT_NEAR(text["pointsman_pending_since_seconds"], 30, 5);
  EXPECT_EQ(text["pointsman_services"], 12);
  EXPECT_EQ(text["pointsman_failures"], 2);
  EXPECT_EQ(text["pointsman_ready"], 0);
  EXPECT_EQ(text[R"(pointsman_diagnostics{severity="error"})"], 2);
  EXPECT_EQ(text[R"(pointsman_diagnostics{severity="warning"})"], 1);
  EXPECT_EQ(text[R"(pointsman_diagnostics{severity="note"})"], 0);
}

TEST(MetricsTest, TheSourceIsReadWhenAsked) {
  Metrics metrics({.source = [] {
    return Metrics::Source{.kinds = {{.kind = "Service",
                                      .objects = 3,
                                      .ignored = 4,
                                      .undecodable = 5,
                                      .watches = 6,
                                      .relists = 7,
                                      .failures = 8}},
                           .stale = absl::Seconds(9)};
  }});
  const Exposition text(metrics.Text());
  EXPECT_EQ(text[R"(pointsman_objects{kind="Service"})"], 3);
  EXPECT_EQ(text[R"(pointsman_ignored_updates_total{kind="Service"})"], 4);
  EXPECT_EQ(text[R"(pointsman_undecodable_objects_total{kind="Service"})"], 5);
  EXPECT_EQ(text[R"(pointsman_watches_total{kind="Service"})"], 6);
  EXPECT_EQ(text[R"(pointsman_relists_total{kind="Service"})"], 7);
  EXPECT_EQ(text[R"(pointsman_source_failures_total{kind="Service"})"], 8);
  EXPECT_EQ(text["pointsman_api_stale_seconds"], 9);
  EXPECT_EQ(text.families.at("pointsman_ignored_updates_total").type, "counter");
}

}  // namespace
}  // namespace pointsman
