// SPDX-License-Identifier: Apache-2.0
#include "agent/metrics/collect.h"

#include <sys/utsname.h>

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"

namespace pointsman::metrics {

using prometheus::MetricType;

void AddFamily(Families& to, MetricType type, std::string name, std::string help, const std::vector<Sample>& samples) {
  prometheus::MetricFamily family{.name = std::move(name), .help = std::move(help), .type = type, .metric = {}};
  for (const Sample& sample : samples) {
    prometheus::ClientMetric metric;
    metric.label = sample.labels;
    if (type == MetricType::Counter) {
      metric.counter.value = sample.value;
    } else {
      metric.gauge.value = sample.value;
    }
    family.metric.push_back(std::move(metric));
  }
  to.push_back(std::move(family));
}

void AddBoard(Families& to, const serve::Board& board, absl::Time steady_now) {
  struct Figures {
    double services = 0;
    double generation = 0;
    double failures = 0;
    double ready = 0;
    double pending_seconds = 0;
    std::array<double, 3> diagnostics = {};  // by severity
  };
  const Figures figures = board.Read([&](const serve::Standing& standing) {
    Figures f = {.services = static_cast<double>(standing.services),
                 .generation = static_cast<double>(standing.generation),
                 .failures = static_cast<double>(standing.failures),
                 .ready = standing.ready ? 1.0 : 0.0};
    for (const auto& [family, of] : standing.families) {
      if (!of.pending) continue;
      f.pending_seconds = std::max(f.pending_seconds, absl::ToDoubleSeconds(steady_now - of.pending->steady));
    }
    for (const auto& [name, diagnostics] : standing.diagnostics) {
      for (const Diagnostic& diagnostic : diagnostics) ++f.diagnostics[static_cast<size_t>(diagnostic.severity)];
    }
    return f;
  });
  const auto gauge = [&](const char* name, const char* help, double value) {
    AddFamily(to, MetricType::Gauge, name, help, {{{}, value}});
  };
  gauge("pointsman_services", "Services in the kernel", figures.services);
  gauge("pointsman_ruleset_generation", "Generation of the ruleset, as last left or found", figures.generation);
  gauge("pointsman_failures", "Failures in a row", figures.failures);
  gauge("pointsman_ready", "1 once the rules are in the kernel for the first time", figures.ready);
  gauge("pointsman_pending_since_seconds",
        "For how long the oldest change that is not in the kernel yet has been waiting; 0 if there is none",
        figures.pending_seconds);
  AddFamily(to, MetricType::Gauge, "pointsman_diagnostics", "Complaints about objects, as of now",
            {{{{"severity", "note"}}, figures.diagnostics[static_cast<size_t>(Severity::kNote)]},
             {{{"severity", "warning"}}, figures.diagnostics[static_cast<size_t>(Severity::kWarning)]},
             {{{"severity", "error"}}, figures.diagnostics[static_cast<size_t>(Severity::kError)]}});
}

void AddSource(Families& to, const Metrics::Source& source) {
  const auto by_kind = [&](MetricType type, const char* name, const char* help, int64_t Metrics::OfKind::*field) {
    std::vector<Sample> samples;
    for (const Metrics::OfKind& of : source.kinds) {
      samples.push_back({{{"kind", of.kind}}, static_cast<double>(of.*field)});
    }
    if (!samples.empty()) AddFamily(to, type, name, help, samples);
  };
  by_kind(MetricType::Gauge, "pointsman_objects", "Objects held", &Metrics::OfKind::objects);
  by_kind(MetricType::Counter, "pointsman_ignored_updates_total", "Updates that changed nothing we use",
          &Metrics::OfKind::ignored);
  by_kind(MetricType::Counter, "pointsman_undecodable_objects_total", "Objects that could not be read",
          &Metrics::OfKind::undecodable);
  by_kind(MetricType::Counter, "pointsman_watches_total", "Watches begun", &Metrics::OfKind::watches);
  by_kind(MetricType::Counter, "pointsman_relists_total", "Complete listings after the first",
          &Metrics::OfKind::relists);
  by_kind(MetricType::Counter, "pointsman_source_failures_total", "Lists and watches that failed",
          &Metrics::OfKind::failures);
  if (source.stale) {
    AddFamily(to, MetricType::Gauge, "pointsman_api_stale_seconds",
              "For how long Services or EndpointSlices have not been followed; 0 while they are",
              {{{}, absl::ToDoubleSeconds(*source.stale)}});
  }
}

void AddBuild(Families& to, const std::string& version, const std::string& commit) {
  utsname system = {};
  uname(&system);
  const std::string machine = system.machine;
  const std::string platform = absl::StrCat("linux/", machine == "x86_64"    ? "amd64"
                                                      : machine == "aarch64" ? "arm64"
                                                                             : machine);
  AddFamily(to, MetricType::Gauge, "pointsman_build_info", "What this is, in its labels",
            {{{{"commit", commit}, {"compiler", __VERSION__}, {"platform", platform}, {"version", version}}, 1}});
  // What it stands in for; its own version is the part that Semantic Versioning ignores.
  AddFamily(to, MetricType::Gauge, "kubernetes_build_info",
            "[ALPHA] A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree "
            "state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is "
            "running.",
            {{{{"build_date", ""},
               {"compiler", "gcc"},
               {"git_commit", commit},
               {"git_tree_state", ""},
               {"git_version", absl::StrCat("v1.36.2+pointsman.", version)},
               {"go_version", ""},
               {"major", "1"},
               {"minor", "36"},
               {"platform", platform}},
              1}});
}

}  // namespace pointsman::metrics
