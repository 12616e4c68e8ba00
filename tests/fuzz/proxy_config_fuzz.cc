// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

#include "agent/options/command_line.h"
#include "agent/options/config_file.h"
#include "agent/options/render.h"
#include "agent/options/validate.h"
#include "pointsman/diagnostic.h"
#include "pointsman/status.h"

using pointsman::Diagnostic;
using pointsman::Diagnostics;
using pointsman::options::Settings;

namespace {

void CheckLine(const std::string& line) { PM_CHECK(!absl::StrContains(line, "\n")); }

}  // namespace

// Whatever the text: every message is one line, and what is taken is written and read as the same configuration.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto line = pointsman::options::SplitCommandLine(std::vector<std::string>{"kube-proxy", "--config=fuzz.conf"});
  const pointsman::options::Loaded loaded =
      pointsman::options::LoadSettings(*line, [&](const std::string&) -> absl::StatusOr<std::string> { return text; });
  for (const Diagnostic& error : loaded.errors) CheckLine(FormatDiagnostic(error));
  for (const auto& remark : loaded.settings.remarks) CheckLine(pointsman::options::FormatRemark(remark));
  if (!loaded.errors.empty()) return 0;
  pointsman::options::EffectiveText(loaded.settings);
  pointsman::options::EffectiveJson(loaded.settings);

  Settings again;
  const std::string written = pointsman::options::ConfigurationYaml(loaded.settings, true);
  const Diagnostics errors = pointsman::options::ReadConfigFile("again.conf", written, again);
  PM_CHECK(errors.empty());
  PM_CHECK(again.remarks.empty());
  again.own = loaded.settings.own;
  PM_CHECK(again.proxy == loaded.settings.proxy);
  PM_CHECK(Validate(again).empty());
  return 0;
}
