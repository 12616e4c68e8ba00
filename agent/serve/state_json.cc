// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/state_json.h"

#include <utility>

#include "absl/strings/string_view.h"

#include "agent/serve/proxy_health.h"
#include "nlohmann/json.hpp"

namespace pointsman::serve {
namespace {

using Value = nlohmann::ordered_json;

const char* SeverityName(Severity severity) {
  switch (severity) {
    case Severity::kNote:
      return "note";
    case Severity::kWarning:
      return "warning";
    case Severity::kError:
      return "error";
  }
  return "?";
}

Value Of(const FamilyStanding& family, absl::Time now) {
  Value json = {{"updated", FormatGoTime(family.updated.calendar, absl::UTCTimeZone())}, {"pending", nullptr}};
  if (family.pending) {
    json["pending"] = {{"since", FormatGoTime(family.pending->calendar, absl::UTCTimeZone())},
                       {"seconds", absl::ToDoubleSeconds(now - family.pending->steady)}};
  }
  return json;
}

}  // namespace

std::string FormatState(const Standing& standing, const std::string& source, absl::Time now) {
  Value families = Value::object();
  for (const auto& [family, of] : standing.families) {
    const absl::string_view name = FormatFamily(family);
    families[std::string(name.data(), name.size())] = Of(of, now);
  }
  Value diagnostics = Value::object();
  for (const auto& [service, list] : standing.diagnostics) {
    Value& lines = diagnostics[FormatName(service)] = Value::array();
    for (const Diagnostic& diagnostic : list) {
      lines.push_back({{"severity", SeverityName(diagnostic.severity)}, {"text", FormatDiagnostic(diagnostic)}});
    }
  }
  Value state = {
      {"started", standing.started},
      {"ready", standing.ready},
      {"families", std::move(families)},
      {"pendingReason", standing.pending_reason},
      {"failures", standing.failures},
      {"services", standing.services},
      {"generation", standing.generation},
      {"node", {{"seen", standing.node_seen}, {"deleting", standing.node_deleting}, {"taints", standing.node_taints}}},
      {"diagnostics", std::move(diagnostics)}};
  if (!source.empty()) {
    Value parsed = Value::parse(source, nullptr, /*allow_exceptions=*/false);
    state["source"] = parsed.is_discarded() ? Value(source) : std::move(parsed);
  }
  return state.dump(2, ' ', false, Value::error_handler_t::replace) + "\n";
}

}  // namespace pointsman::serve
