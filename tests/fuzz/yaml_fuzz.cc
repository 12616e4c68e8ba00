// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

#include "agent/source/yaml_codec.h"
#include "pointsman/status.h"

// Whatever the text, parsing ends, and what it says of itself holds.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const pointsman::ParsedManifests parsed = pointsman::ParseManifests("fuzz.yaml", text);
  PM_CHECK(parsed.diagnostics.size() <= static_cast<size_t>(pointsman::kMaxDiagnostics));
  PM_CHECK(parsed.sound || (parsed.objects.empty() && !parsed.diagnostics.empty()));
  for (const pointsman::LocatedObject& located : parsed.objects) {
    PM_CHECK(!pointsman::MetaOf(*located.object).name.name.empty());
  }
  for (const pointsman::Diagnostic& diagnostic : parsed.diagnostics) {
    // One line each, so that no text can forge a second.
    PM_CHECK(pointsman::FormatDiagnostic(diagnostic).find('\n') == std::string::npos);
  }
  return 0;
}
