// SPDX-License-Identifier: Apache-2.0
#include "agent/cmd/man_page.h"

#include <algorithm>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace pointsman {
namespace {

// Text as it is: no character of it is one of roff's.
std::string Plain(absl::string_view text) {
  std::string plain = absl::StrReplaceAll(
      text, {{"\\", "\\e"}, {"-", "\\-"}, {"`", "\\(ga"}, {"'", "\\(aq"}, {"^", "\\(ha"}, {"~", "\\(ti"}});
  if (absl::StartsWith(plain, ".")) plain = "\\&" + plain;
  return plain;
}
std::string Bold(absl::string_view text) { return absl::StrCat("\\fB", Plain(text), "\\fR"); }
std::string Italic(absl::string_view text) { return absl::StrCat("\\fI", Plain(text), "\\fR"); }

class Page {
 public:
  explicit Page(const Syntax& syntax) : syntax_(syntax) {}

  std::string Write() {
    Line(absl::StrCat(".\\\" Made by `", syntax_.program, " man`."));
    Line(absl::StrCat(".TH ", absl::AsciiStrToUpper(syntax_.program), R"( 8 "" ")", syntax_.program, " ",
                      syntax_.version, R"(" "System Administration")"));
    Line(".SH NAME");
    Line(absl::StrCat(syntax_.program, " \\- program a node's kernel with Kubernetes Services"));
    Line(".SH SYNOPSIS");
    Synopsis();
    Line(".SH DESCRIPTION");
    Line(Plain(syntax_.description));
    Line(".SH COMMANDS");
    for (const CommandSyntax& command : syntax_.commands) Command(command);
    Settings();
    Line(".SH EXAMPLES");
    Lines(syntax_.footer);
    Line(".SH SEE ALSO");
    Line(".BR nft (8),");
    Line(".BR conntrack (8),");
    Line(".BR kube\\-proxy (8)");
    return text_;
  }

 private:
  void Line(const std::string& line) { absl::StrAppend(&text_, line, "\n"); }

  // Runs of lines that begin with a blank are examples; what else stands together is a paragraph.
  void Lines(const std::string& text) {
    bool example = false;
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      const bool indented = absl::StartsWith(line, " ");
      if (indented != example) Line(indented ? ".PP\n.nf" : ".fi");
      example = indented;
      const bool heading = line == "Examples:";
      if (line.empty() || absl::StartsWith(line, "Exit status")) Line(".PP");
      if (line.empty() || heading) continue;
      Line(Plain(line));
    }
    if (example) Line(".fi");
  }

  void Synopsis() {
    bool first = true;
    for (const CommandSyntax& command : syntax_.commands) {
      if (!first) Line(".br");
      first = false;
      std::string line = absl::StrCat(Bold(absl::StrCat(syntax_.program, " ", command.name)));
      for (const ArgumentSyntax& argument : command.arguments) absl::StrAppend(&line, " ", Italic(argument.name));
      const bool flags = std::any_of(command.options.begin(), command.options.end(),
                                     [](const OptionSyntax& option) { return !IsHelp(option); });
      Line(absl::StrCat(line, flags ? absl::StrCat(" [", Italic("FLAG"), "...]") : ""));
    }
  }

  void Command(const CommandSyntax& command) {
    Line(absl::StrCat(".SS ", syntax_.program, " ", command.name));
    std::string summary = command.summary;
    if (!summary.empty()) summary[0] = absl::ascii_toupper(static_cast<unsigned char>(summary[0]));
    Line(Plain(absl::StrCat(summary, ".")));
    for (const ArgumentSyntax& argument : command.arguments) {
      Line(".TP");
      Line(Italic(argument.name));
      Line(Plain(argument.help));
    }
    for (const OptionSyntax& option : command.options) {
      if (!option.setting && !IsHelp(option)) Option(option);
    }
    if (command.footer.empty()) return;
    Line(".PP");
    Lines(command.footer);
  }

  // Of the command that shows most of them; the others take the same.
  void Settings() {
    const auto count = [](const CommandSyntax& command) {
      return std::count_if(command.options.begin(), command.options.end(),
                           [](const OptionSyntax& option) { return option.setting && !option.group.empty(); });
    };
    const auto most = std::max_element(syntax_.commands.begin(), syntax_.commands.end(),
                                       [&](const auto& a, const auto& b) { return count(a) < count(b); });
    if (most == syntax_.commands.end() || count(*most) == 0) return;
    std::vector<std::string> takers;
    for (const CommandSyntax& command : syntax_.commands) {
      const bool takes = std::any_of(command.options.begin(), command.options.end(),
                                     [](const OptionSyntax& option) { return option.setting; });
      if (takes) takers.push_back(Bold(command.name));
    }
    Line(".SH SETTINGS");
    Line(absl::StrCat("Taken by ", absl::StrJoin(takers, ", "), "."));
    Line("A value stands behind its flag or, after an equals sign, in the same word.");
    Line("A flag without a value is a switch, and can be turned off with " + Bold("=false") + ".");
    Line("What counts without the flag is in brackets.");
    std::set<std::string> shown;
    for (const OptionSyntax& first : most->options) {
      if (!first.setting || first.group.empty() || !shown.insert(first.group).second) continue;
      Line(absl::StrCat(".SS ", Plain(first.group)));
      for (const OptionSyntax& option : most->options) {
        if (option.setting && option.group == first.group) Option(option);
      }
    }
  }

  static bool IsHelp(const OptionSyntax& option) { return option.names.back() == "--help"; }

  void Option(const OptionSyntax& option) {
    Line(".TP");
    std::vector<std::string> names;
    names.reserve(option.names.size());
    for (const std::string& name : option.names) names.push_back(Bold(name));
    Line(absl::StrCat(absl::StrJoin(names, ", "), option.value.empty() ? "" : absl::StrCat(" ", Italic(option.value))));
    Line(absl::StrCat(Plain(option.help),
                      option.standard.empty() ? "" : absl::StrCat(" [", Plain(option.standard), "]")));
  }

  const Syntax& syntax_;
  std::string text_;
};

}  // namespace

std::string ManPage(const Syntax& syntax) { return Page(syntax).Write(); }

}  // namespace pointsman
