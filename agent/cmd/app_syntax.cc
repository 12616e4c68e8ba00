// SPDX-License-Identifier: Apache-2.0
#include "agent/cmd/app_syntax.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "agent/options/fields.h"

namespace pointsman {
namespace {

OptionSyntax OptionOf(const CLI::Option& option) {
  OptionSyntax syntax;
  for (const std::string& name : option.get_snames()) syntax.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) {
    syntax.names.push_back("--" + name);
    const options::Flag* flag = options::FindFlag(name);
    if (flag == nullptr) continue;
    syntax.setting = true;
    syntax.offered = flag->fields.front()->group != options::Group::kIgnored;
  }
  if (option.get_items_expected_max() > 0) {
    // "N [131072]"
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(option.get_option_text(), absl::MaxSplits(" [", 1));
    syntax.value = !parts.first.empty()             ? parts.first
                   : option.get_type_name().empty() ? "VALUE"
                                                    : option.get_type_name();
    syntax.standard = std::string(absl::StripSuffix(parts.second, "]"));
  }
  syntax.help = option.get_description();
  syntax.group = option.get_group();
  return syntax;
}

std::vector<OptionSyntax> OptionsOf(const CLI::App& app) {
  std::vector<OptionSyntax> options;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional()) options.push_back(OptionOf(*option));
  }
  return options;
}

}  // namespace

Syntax SyntaxOf(const CLI::App& app, absl::string_view version) {
  Syntax syntax = {.program = app.get_name(),
                   .version = std::string(version),
                   .description = app.get_description(),
                   .footer = app.get_footer(),
                   .options = OptionsOf(app)};
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    CommandSyntax command = {.name = sub->get_name(),
                             .summary = sub->get_description(),
                             .footer = sub->get_footer(),
                             .listed = !sub->get_group().empty(),
                             .options = OptionsOf(*sub)};
    for (const CLI::Option* option : sub->get_options()) {
      if (!option->get_positional()) continue;
      // Its words are between bars, as in "bash|zsh|fish".
      command.arguments.push_back(
          {option->get_name(true), option->get_description(), WordsOf(option->get_option_text())});
    }
    syntax.commands.push_back(std::move(command));
  }
  return syntax;
}

}  // namespace pointsman
