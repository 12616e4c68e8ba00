// SPDX-License-Identifier: Apache-2.0
//
// The command line as data: what its help, its completion and its man page have in common.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace pointsman {

struct OptionSyntax {
  std::vector<std::string> names;  // "-o", "--output": with dashes, the usual one last
  std::string value;               // as the help calls it: "FILE"; empty: a switch
  std::string standard;            // the value without the flag, where there is one to tell
  std::string help;
  std::string group;     // under which the help shows it; empty: it does not
  bool setting = false;  // of the table of settings
  bool offered = true;   // it has an effect, so that completion offers it

  bool IsSwitch() const { return value.empty(); }
  // The value is a file or a directory.
  bool TakesPath() const;
  // More values may follow, without the flag.
  bool TakesMany() const;
  // Words that may stand there; a value may also be something else.
  std::vector<std::string> Words() const;
};

struct ArgumentSyntax {
  std::string name;
  std::string help;
  std::vector<std::string> words;

  friend bool operator==(const ArgumentSyntax&, const ArgumentSyntax&) = default;
};

struct CommandSyntax {
  std::string name;
  std::string summary;
  std::string footer;  // lines as they are to be shown
  bool listed = true;  // in the overview
  std::vector<OptionSyntax> options;
  std::vector<ArgumentSyntax> arguments;
};

struct Syntax {
  std::string program;
  std::string version;
  std::string description;
  std::string footer;
  std::vector<OptionSyntax> options;  // without a subcommand
  std::vector<CommandSyntax> commands;
};

// Words in the help's name of a value: "text|json", "primary|CIDR,...". What is in capitals stands for something else.
std::vector<std::string> WordsOf(absl::string_view value);

}  // namespace pointsman
