// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"

#include "pointsman/plan.h"

namespace pointsman {
namespace {

template <typename Range, typename Format>
std::string Join(const Range& range, Format format) {
  return absl::StrJoin(range, " ", [&](std::string* out, const auto& item) { absl::StrAppend(out, format(item)); });
}

std::string FormatAction(const Action& action) {
  std::string text;
  switch (action.scope) {
    case Scope::kCluster:
      text = "cluster";
      break;
    case Scope::kLocal:
      text = "local";
      break;
    case Scope::kExternalLocal:
      text = "inside cluster, outside local";
      break;
  }
  if (action.snat == Snat::kAlways) absl::StrAppend(&text, ", snat");
  if (action.snat == Snat::kOutsidePods) absl::StrAppend(&text, ", snat outside pods");
  if (action.fenced) {
    absl::StrAppend(&text, ", only from ", action.allow.empty() ? "nowhere" : Join(action.allow, FormatCidr));
  }
  if (action.affinity > absl::ZeroDuration()) {
    absl::StrAppend(&text, ", client affinity ", absl::FormatDuration(action.affinity));
  }
  return text;
}

}  // namespace

std::string FormatPlan(const ServicePlan& plan) {
  std::string text;
  for (const PortPlan& port : plan.ports) {
    absl::StrAppend(&text, FormatServicePort(port.name), " ", FormatProtocol(port.name.protocol), "\n");
    for (const Frontend& frontend : port.frontends) {
      absl::StrAppend(&text, "  ", FormatMatch(frontend.match), " -> ", FormatAction(frontend.action), "\n");
    }
    if (!port.cluster.empty()) absl::StrAppend(&text, "  cluster: ", Join(port.cluster, FormatSocketAddr), "\n");
    if (!port.local.empty()) absl::StrAppend(&text, "  local: ", Join(port.local, FormatSocketAddr), "\n");
    if (!port.hairpin.empty()) absl::StrAppend(&text, "  hairpin: ", Join(port.hairpin, FormatIp), "\n");
    if (!port.serving.empty()) absl::StrAppend(&text, "  serving: ", Join(port.serving, FormatSocketAddr), "\n");
  }
  if (plan.health) {
    std::vector<std::string> counts;
    if (plan.health->local_ipv4) counts.push_back(absl::StrCat(*plan.health->local_ipv4, " IPv4"));
    if (plan.health->local_ipv6) counts.push_back(absl::StrCat(*plan.health->local_ipv6, " IPv6"));
    absl::StrAppend(&text, "health check on port ", plan.health->port, ": ", absl::StrJoin(counts, ", "), "\n");
  }
  return text;
}

}  // namespace pointsman
