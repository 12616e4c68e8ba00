// SPDX-License-Identifier: Apache-2.0
#include "agent/cmd/completion.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace pointsman {

absl::StatusOr<std::string> CompletionScript(const Syntax& syntax, absl::string_view shell) {
  if (shell == "bash") return BashCompletion(syntax);
  if (shell == "zsh") return ZshCompletion(syntax);
  if (shell == "fish") return FishCompletion(syntax);
  return absl::InvalidArgumentError(absl::StrCat("no completion for ", shell, ": bash, zsh, fish"));
}

std::vector<OptionSyntax> Offered(const std::vector<OptionSyntax>& options) {
  std::vector<OptionSyntax> offered;
  for (const OptionSyntax& option : options) {
    if (option.offered && !option.group.empty()) offered.push_back(option);
  }
  return offered;
}

std::string ShellQuote(absl::string_view text) {
  // '\'' ends the quotes, and begins them again.
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

}  // namespace pointsman
