// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace pointsman {

enum class Severity { kNote, kWarning, kError };

// What is wrong with an input, for the person who wrote it. The pure core returns these; only `agent/` prints them.
struct Diagnostic {
  Severity severity = Severity::kError;
  std::string where;    // "web.yaml:12:9" when known, else empty
  std::string object;   // "Service shop/web", or empty when the text did not get that far
  std::string field;    // "spec.ports[0].protocol", or empty
  std::string problem;  // "unknown protocol \"ICMP\""
  std::string effect;   // what was done about it: "this port is skipped"
  std::string hint;     // what to do: "use TCP, UDP or SCTP"; may be empty

  friend auto operator<=>(const Diagnostic&, const Diagnostic&) = default;
};

// One line: `web.yaml:12:9: error: Service shop/web: spec.ports[0].protocol: unknown protocol "ICMP"; this port is
// skipped (use TCP, UDP or SCTP)`. Empty parts are left out.
std::string FormatDiagnostic(const Diagnostic& diagnostic);

using Diagnostics = std::vector<Diagnostic>;

}  // namespace pointsman
