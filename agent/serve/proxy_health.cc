// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/proxy_health.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace pointsman::serve {
namespace {

// The cluster autoscaler is about to take the node away.
constexpr char kToBeDeletedTaint[] = "ToBeDeletedByClusterAutoscaler";

std::string Quoted(absl::Time time, absl::TimeZone zone) {
  return absl::StrCat(R"(")", FormatGoTime(time, zone), R"(")");
}
const char* Bool(bool value) { return value ? "true" : "false"; }

// The order of the keys is kube-proxy's.
Response Report(const ProxyHealth& health, bool ok, bool with_node, absl::Time now, absl::TimeZone zone) {
  absl::Time updated = absl::InfinitePast();
  for (const auto& [family, of] : health.families) updated = std::max(updated, of.updated);
  std::string body =
      absl::StrCat(R"({"lastUpdated":)", Quoted(ok ? now : updated, zone), R"(,"currentTime":)", Quoted(now, zone));
  if (with_node) absl::StrAppend(&body, R"(,"nodeEligible":)", Bool(health.eligible));
  absl::StrAppend(&body, R"(,"healthy":)", Bool(health.healthy));
  const char* before = R"(,"status":{)";
  for (const auto& [family, of] : health.families) {
    absl::StrAppend(&body, before, R"(")", FormatFamily(family), R"(":{"lastUpdated":)", Quoted(of.updated, zone),
                    R"(,"healthy":)", Bool(of.healthy), "}");
    before = ",";
  }
  absl::StrAppend(&body, health.families.empty() ? "}" : "}}");
  return Json(ok ? 200 : 503, std::move(body));
}

}  // namespace

ProxyHealth Assess(const Standing& standing, absl::Duration limit, absl::Time now) {
  ProxyHealth health;
  for (const auto& [family, of] : standing.families) {
    const bool healthy = !of.pending || now - of.pending->steady < limit;
    health.families[family] = {.updated = of.updated.calendar, .healthy = healthy};
    health.healthy = health.healthy && healthy;
  }
  const auto& taints = standing.node_taints;
  health.eligible = standing.node_seen && !standing.node_deleting &&
                    std::find(taints.begin(), taints.end(), kToBeDeletedTaint) == taints.end();
  health.ready = standing.ready;
  return health;
}

std::string FormatGoTime(absl::Time time, absl::TimeZone zone) {
  if (time == absl::InfinitePast()) return "0001-01-01T00:00:00Z";
  const std::string text = absl::FormatTime("%E4Y-%m-%d%ET%H:%M:%E*S%Ez", time, zone);
  absl::string_view utc = text;
  return absl::ConsumeSuffix(&utc, "+00:00") ? absl::StrCat(utc, "Z") : text;
}

Response Healthz(const ProxyHealth& health, absl::Time now, absl::TimeZone zone) {
  return Report(health, health.healthy && health.eligible, true, now, zone);
}
Response Livez(const ProxyHealth& health, absl::Time now, absl::TimeZone zone) {
  return Report(health, health.healthy, false, now, zone);
}
Response Readyz(const ProxyHealth& health) {
  return health.ready ? Text(200, "ok") : Text(503, "the rules are not in the kernel yet");
}

}  // namespace pointsman::serve
