// SPDX-License-Identifier: Apache-2.0
//
// kube-proxy's command lines, in the syntax of its flags (pflag), which differs from that of the other flags here.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

#include "agent/options/fields.h"
#include "agent/options/settings.h"
#include "pointsman/diagnostic.h"

namespace pointsman::options {

// A flag as somebody gave it.
struct Given {
  const Flag* flag;  // of AllFlags
  std::string value;

  friend bool operator==(const Given&, const Given&) = default;
};

struct CommandLine {
  // It is kube-proxy's: the program goes by that name, or the first argument is a flag.
  bool of_kube_proxy = false;
  std::vector<Given> given;       // in their order
  std::vector<std::string> rest;  // what is left, beginning with the program's name and a subcommand
};

// Takes the flags of the table out of a command line.
//
// Inputs:  what main() was given.
// Returns: `rest` for the parser of subcommands. Where none is named it is "run"; unknown flags are still in it.
// Errors:  kInvalidArgument: a flag has no value behind it.
absl::StatusOr<CommandLine> SplitCommandLine(absl::Span<const std::string> args);

struct Loaded {
  Settings settings;
  Diagnostics errors;  // all of them; with any, the settings are not to be used
};

// Makes the effective settings from the flags and the file that --config names, by kube-proxy's precedence, and
// checks them.
//
// Inputs: `read` reads a file.
Loaded LoadSettings(const CommandLine& line,
                    absl::FunctionRef<absl::StatusOr<std::string>(const std::string& path)> read);

}  // namespace pointsman::options
