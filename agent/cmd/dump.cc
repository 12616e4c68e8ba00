// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "agent/cmd/command.h"
#include "pointsman/nft_format.h"

namespace pointsman {

int DumpCommand(const Flags& flags) {
  const absl::StatusOr<Config> config = ParseConfig(flags);
  const absl::StatusOr<Desired> desired = config.ok() ? LoadDesired(*config) : config.status();
  if (!desired.ok()) {
    PrintError(desired.status());
    return 2;
  }
  const nft::Ruleset ruleset = nft::CompileAll(desired->plans(), desired->settings);
  const std::string text = flags.output == OutputFormat::kJson ? nft::FormatJson(ruleset) : nft::FormatText(ruleset);
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    PrintError(absl::UnavailableError("cannot write to standard output"));
    return 2;
  }
  return 0;
}

}  // namespace pointsman
