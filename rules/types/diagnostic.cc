// SPDX-License-Identifier: Apache-2.0
#include "pointsman/diagnostic.h"

#include "absl/strings/str_cat.h"

namespace pointsman {

std::string FormatDiagnostic(const Diagnostic& d) {
  static constexpr const char* kNames[] = {"note", "warning", "error"};
  std::string line;
  for (const std::string& part : {d.where, std::string(kNames[static_cast<int>(d.severity)]), d.object, d.field}) {
    if (!part.empty()) absl::StrAppend(&line, part, ": ");
  }
  absl::StrAppend(&line, d.problem);
  if (!d.effect.empty()) absl::StrAppend(&line, "; ", d.effect);
  if (!d.hint.empty()) absl::StrAppend(&line, " (", d.hint, ")");
  return line;
}

}  // namespace pointsman
