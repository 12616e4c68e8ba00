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

// fish reads a backslash between single quotes.
std::string FishQuote(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

// " -s o -l output -x -a 'text json' -d '...'"
std::string OptionText(const OptionSyntax& option) {
  std::string text;
  for (const std::string& name : option.names) {
    absl::StrAppend(&text, absl::StartsWith(name, "--") ? " -l " + name.substr(2) : " -s " + name.substr(1));
  }
  const std::vector<std::string> words = option.Words();
  if (option.TakesPath()) {
    absl::StrAppend(&text, " -r -F");
  } else if (!option.IsSwitch()) {
    absl::StrAppend(&text, " -x");
    if (!words.empty()) absl::StrAppend(&text, " -a ", FishQuote(absl::StrJoin(words, " ")));
  }
  return absl::StrCat(text, " -d ", FishQuote(option.help));
}

// Options with the commands that have them, in the order of the first.
std::vector<std::pair<std::string, std::vector<std::string>>> OptionsWithCommands(const Syntax& syntax) {
  std::vector<std::pair<std::string, std::vector<std::string>>> all;
  for (const CommandSyntax& command : syntax.commands) {
    for (const OptionSyntax& option : Offered(command.options)) {
      const std::string text = OptionText(option);
      bool known = false;
      for (auto& [other, commands] : all) {
        if (other != text) continue;
        commands.push_back(command.name);
        known = true;
      }
      if (!known) all.push_back({text, {command.name}});
    }
  }
  return all;
}

}  // namespace

std::string FishCompletion(const Syntax& syntax) {
  const std::string complete = absl::StrCat("complete -c ", syntax.program);
  std::string text = absl::StrCat("# Completion of ", syntax.program, " for fish, made by `", syntax.program,
                                  " completion fish`.\n\n", complete, " -f\n");
  for (const OptionSyntax& option : Offered(syntax.options)) {
    absl::StrAppend(&text, complete, " -n __fish_use_subcommand", OptionText(option), "\n");
  }
  const auto seen = [](const std::vector<std::string>& commands, const std::string& more = "") {
    return absl::StrCat(" -n '__fish_seen_subcommand_from ", absl::StrJoin(commands, " "), more, "'");
  };
  for (const CommandSyntax& command : syntax.commands) {
    if (command.listed) {
      absl::StrAppend(&text, complete, " -n __fish_use_subcommand -a ", command.name, " -d ",
                      FishQuote(command.summary), "\n");
    }
    for (const ArgumentSyntax& argument : command.arguments) {
      if (argument.words.empty()) continue;
      absl::StrAppend(&text, complete, seen({command.name}), " -a ", FishQuote(absl::StrJoin(argument.words, " ")),
                      " -d ", FishQuote(argument.name), "\n");
    }
    for (const OptionSyntax& option : Offered(command.options)) {
      if (!option.TakesMany() || !command.arguments.empty()) continue;
      absl::StrAppend(&text, complete,
                      seen({command.name}, "; and __fish_contains_opt " + option.names.back().substr(2)), " -F\n");
    }
  }
  for (const auto& [option, commands] : OptionsWithCommands(syntax)) {
    absl::StrAppend(&text, complete, seen(commands), option, "\n");
  }
  return text;
}

}  // namespace pointsman
