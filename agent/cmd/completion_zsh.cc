// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

#include "agent/cmd/completion.h"

namespace pointsman {
namespace {

// Text inside of an argument to _arguments and _describe.
std::string Escape(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"\\", "\\\\"}, {":", "\\:"}, {"[", "\\["}, {"]", "\\]"}});
}

std::string ActionOf(const OptionSyntax& option) {
  if (option.TakesPath()) return "_files";
  const std::vector<std::string> words = option.Words();
  return words.empty() ? "" : absl::StrCat("(", absl::StrJoin(words, " "), ")");
}

// A line of arguments to _arguments for each name; each excludes the others, unless it may be repeated.
void AddOption(std::string& to, const OptionSyntax& option) {
  const bool repeated = option.TakesMany() || absl::StrContains(option.value, ",...");
  const std::string before = repeated ? "*" : absl::StrCat("(", absl::StrJoin(option.names, " "), ")");
  for (const std::string& name : option.names) {
    const bool is_long = absl::StartsWith(name, "--");
    std::string spec = absl::StrCat(before, name);
    if (option.IsSwitch()) {
      // `--flag=false`, in one word or not at all.
      absl::StrAppend(&spec, is_long ? "=-" : "", "[", Escape(option.help), "]", is_long ? "::value:(true false)" : "");
    } else {
      absl::StrAppend(&spec, is_long ? "=" : "+", "[", Escape(option.help), "]", option.TakesMany() ? ":*-*" : "", ":",
                      Escape(option.value), ":", ActionOf(option));
    }
    absl::StrAppend(&to, " \\\n        ", ShellQuote(spec));
  }
}

constexpr char kScript[] = R"(#compdef PROGRAM
# Completion of PROGRAM for zsh, made by `PROGRAM completion zsh`.

_PROGRAM() {
  local command=$words[2]
  if [[ $command == -* ]]; then
    # As kube-proxy is started: a flag in front, and no subcommand.
    command=run
    (( CURRENT == 2 )) && command=
  elif (( CURRENT == 2 )); then
    local -a commands=(
COMMANDS    )
    _describe -t commands command commands
    return
  else
    shift words
    (( --CURRENT ))
  fi
  case $command in
ARMS  esac
}

# Autoloaded from $fpath this file is the function's body; sourced it only defines the function.
if [[ $funcstack[1] == _PROGRAM ]]; then
  _PROGRAM "$@"
else
  compdef _PROGRAM PROGRAM
fi
)";

}  // namespace

std::string ZshCompletion(const Syntax& syntax) {
  std::string commands;
  std::string arms = "    '')\n      _arguments";
  for (const OptionSyntax& option : Offered(syntax.options)) AddOption(arms, option);
  absl::StrAppend(&arms, "\n      ;;\n");
  for (const CommandSyntax& command : syntax.commands) {
    if (command.listed) {
      absl::StrAppend(&commands, "      ", ShellQuote(absl::StrCat(command.name, ":", Escape(command.summary))), "\n");
    }
    absl::StrAppend(&arms, "    ", command.name, ")\n      _arguments");
    for (const OptionSyntax& option : Offered(command.options)) AddOption(arms, option);
    for (const ArgumentSyntax& argument : command.arguments) {
      const std::string words =
          argument.words.empty() ? "" : absl::StrCat("(", absl::StrJoin(argument.words, " "), ")");
      absl::StrAppend(&arms, " \\\n        ", ShellQuote(absl::StrCat(":", Escape(argument.name), ":", words)));
    }
    absl::StrAppend(&arms, "\n      ;;\n");
  }
  return absl::StrReplaceAll(kScript, {{"COMMANDS", commands}, {"ARMS", arms}, {"PROGRAM", syntax.program}});
}

}  // namespace pointsman
