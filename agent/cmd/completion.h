// SPDX-License-Identifier: Apache-2.0
//
// Scripts by which shells complete the command line. They hold all they need: completing starts no program.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "agent/cmd/syntax.h"

namespace pointsman {

// `shell`: bash, zsh or fish.
// Errors:  kInvalidArgument: another one.
absl::StatusOr<std::string> CompletionScript(const Syntax& syntax, absl::string_view shell);

// Needs nothing but bash itself; the package bash-completion may be there or not.
std::string BashCompletion(const Syntax& syntax);
// To be read by `source`, or as a file `_pointsman` of $fpath.
std::string ZshCompletion(const Syntax& syntax);
std::string FishCompletion(const Syntax& syntax);

// What of the options is offered.
std::vector<OptionSyntax> Offered(const std::vector<OptionSyntax>& options);

// In single quotes, as all three shells read them back.
std::string ShellQuote(absl::string_view text);

}  // namespace pointsman
