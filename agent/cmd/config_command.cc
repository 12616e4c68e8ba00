// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "agent/cmd/command.h"
#include "agent/kube/text_file.h"
#include "agent/options/render.h"
#include "pointsman/diagnostic.h"
#include "pointsman/log.h"

namespace pointsman {
namespace {

bool WriteAll(std::FILE* file, const std::string& text) {
  return std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fflush(file) == 0;
}

}  // namespace

void LogSettings(const options::Settings& settings) {
  for (const options::Remark& remark : settings.remarks) {
    LogText(LogLevel::kWarning, "configuration", options::FormatRemark(remark));
  }
  for (const auto& [name, value] : options::FlagValues(settings)) {
    LogText(LogLevel::kVerbose, "flag", absl::StrCat("--", name, "=", value));
  }
}

int WriteConfig(const options::Settings& settings) {
  const std::string& path = settings.invocation.write_config_to;
  const std::string text = options::ConfigurationYaml(settings);
  std::FILE* file = std::fopen(path.c_str(), "we");
  const bool written = file != nullptr && WriteAll(file, text);
  const int error = errno;
  if (file != nullptr) std::fclose(file);
  if (!written) {
    PrintError(absl::UnavailableError(absl::StrCat("--write-config-to: ", path, ": ", std::strerror(error))));
    return 1;
  }
  Log(LogLevel::kInfo, "wrote_configuration", {{"file", path}, {"text", text}});
  return 0;
}

int ConfigCommand(const Flags& flags) {
  const options::Loaded loaded = options::LoadSettings(flags.line, kube::ReadTextFile);
  for (const Diagnostic& error : loaded.errors) absl::FPrintF(stderr, "%s\n", FormatDiagnostic(error));
  if (!loaded.errors.empty()) return 1;
  const options::Settings& settings = loaded.settings;
  const std::string text = flags.config_output == "yaml"   ? options::EffectiveYaml(settings)
                           : flags.config_output == "json" ? options::EffectiveJson(settings)
                                                           : options::EffectiveText(settings);
  if (!WriteAll(stdout, text)) {
    PrintError(absl::UnavailableError("cannot write to standard output"));
    return 1;
  }
  const bool unknown = std::any_of(settings.remarks.begin(), settings.remarks.end(), [](const options::Remark& remark) {
    return remark.kind == options::Remark::Kind::kUnknown;
  });
  return unknown ? 1 : 0;
}

}  // namespace pointsman
