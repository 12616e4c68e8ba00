// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

#include "agent/cmd/completion.h"

namespace pointsman {
namespace {

// What a flag wants behind it, as the script keeps it.
std::string KindOf(const OptionSyntax& option) {
  if (option.IsSwitch()) return "switch";
  if (option.TakesPath()) return option.TakesMany() ? "files" : "file";
  const std::vector<std::string> words = option.Words();
  return words.empty() ? "any" : absl::StrCat("words ", absl::StrJoin(words, " "));
}

// Flags by what they want: "*' --config'" where all commands agree, else "'config --output'".
std::map<std::string, std::vector<std::string>> FlagsByKind(const Syntax& syntax) {
  std::map<std::string, std::set<std::string>> kinds;  // by flag
  for (const CommandSyntax& command : syntax.commands) {
    for (const OptionSyntax& option : command.options) {
      for (const std::string& name : option.names) kinds[name].insert(KindOf(option));
    }
  }
  std::map<std::string, std::vector<std::string>> flags;
  std::set<std::string> done;
  for (const CommandSyntax& command : syntax.commands) {
    for (const OptionSyntax& option : command.options) {
      for (const std::string& name : option.names) {
        const bool agreed = kinds[name].size() == 1;
        if (agreed && !done.insert(name).second) continue;
        flags[KindOf(option)].push_back(agreed ? absl::StrCat("*' ", name, "'")
                                               : absl::StrCat("'", command.name, " ", name, "'"));
      }
    }
  }
  return flags;
}

std::string Names(const std::vector<OptionSyntax>& options) {
  std::vector<std::string> names;
  for (const OptionSyntax& option : Offered(options)) {
    for (const std::string& name : option.names) {
      if (name.size() > 2) names.push_back(name);
    }
  }
  return absl::StrJoin(names, " ");
}

constexpr char kScript[] = R"(# Completion of PROGRAM for bash, made by `PROGRAM completion bash`.

# What FLAG of COMMAND wants behind it: nothing, a file, files, words, or any value.
_PROGRAM_kind() {  # COMMAND FLAG
  case "$1 $2" in
KINDS    *) kind='' ;;
  esac
}

_PROGRAM() {
  local command=${COMP_WORDS[1]} cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
  local flag='' prefix='' kind='' words='' i
  COMPREPLY=()
  # As kube-proxy is started: a flag in front, and no subcommand.
  if [[ $command == -* ]]; then command=run; fi

  # `--flag=value` has come as three words, unless somebody has taken `=` out of COMP_WORDBREAKS.
  if [[ $cur == = ]]; then
    flag=$prev cur=''
  elif [[ $prev == = ]]; then
    flag=${COMP_WORDS[COMP_CWORD - 2]}
  elif [[ $cur == --*=* ]]; then
    flag=${cur%%=*} prefix=${cur%%=*}= cur=${cur#*=}
  fi
  if [[ $flag ]]; then
    _PROGRAM_kind "$command" "$flag"
    if [[ $kind == switch ]]; then kind='words true false'; fi
  elif ((COMP_CWORD > 1)) && [[ $prev == -* ]]; then
    _PROGRAM_kind "$command" "$prev"
    if [[ $kind == switch ]]; then kind=''; fi
  fi
  # `--manifests A B`
  if [[ ! $kind && $cur != -* ]]; then
    for ((i = COMP_CWORD - 1; i > 1; --i)); do
      if [[ ${COMP_WORDS[i]} == -* ]]; then
        _PROGRAM_kind "$command" "${COMP_WORDS[i]}"
        break
      fi
    done
    if [[ $kind != files || $command == trace ]]; then kind=''; fi
  fi

  case $kind in
    file | files)
      # Nothing found is left to readline, which knows how to quote a file's name.
      if [[ $prefix ]]; then mapfile -t COMPREPLY < <(compgen -f -- "$cur"); else compopt -o default; fi
      ;;
    words*) words=${kind#words} ;;
    any) ;;
    *)
      if ((COMP_CWORD == 1)) && [[ $cur == -* ]]; then
        words='TOP'
      elif ((COMP_CWORD == 1)); then
        words='COMMANDS'
      elif [[ $cur == -* ]]; then
        case $command in
FLAGS        esac
      else
        case $command in
ARGUMENTS        esac
      fi
      ;;
  esac
  if [[ $words ]]; then mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur"); fi
  if [[ $prefix ]]; then COMPREPLY=("${COMPREPLY[@]/#/$prefix}"); fi
}

complete -F _PROGRAM PROGRAM
)";

}  // namespace

std::string BashCompletion(const Syntax& syntax) {
  std::string kinds;
  for (const auto& [kind, flags] : FlagsByKind(syntax)) {
    absl::StrAppend(&kinds, "    ", absl::StrJoin(flags, " | \\\n      "), ")\n      kind=", ShellQuote(kind),
                    "\n      ;;\n");
  }
  std::string commands;
  std::string flags;
  std::string arguments;
  for (const CommandSyntax& command : syntax.commands) {
    if (command.listed) absl::StrAppend(&commands, commands.empty() ? "" : " ", command.name);
    absl::StrAppend(&flags, "          ", command.name, ") words='", Names(command.options), "' ;;\n");
    // The words of the first argument: no command has a second one with words.
    if (command.arguments.empty() || command.arguments.front().words.empty()) continue;
    absl::StrAppend(&arguments, "          ", command.name, ") ((COMP_CWORD == 2)) && words='",
                    absl::StrJoin(command.arguments.front().words, " "), "' ;;\n");
  }
  return absl::StrReplaceAll(kScript, {{"KINDS", kinds},
                                       {"TOP", Names(syntax.options)},
                                       {"COMMANDS", commands},
                                       {"FLAGS", flags},
                                       {"ARGUMENTS", arguments},
                                       {"PROGRAM", syntax.program}});
}

}  // namespace pointsman
