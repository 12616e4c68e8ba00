// SPDX-License-Identifier: Apache-2.0
#include "agent/options/command_line.h"

#include <algorithm>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

namespace pointsman::options {
namespace {

constexpr char kVerbosity[] = "v";
constexpr char kVerbose[] = "2";  // of a -v without a number

absl::string_view BaseName(absl::string_view path) { return path.substr(path.rfind('/') + 1); }

bool IsFlag(absl::string_view arg) { return arg.size() > 1 && arg[0] == '-' && arg != "--"; }

bool IsNumber(absl::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == absl::string_view::npos;
}

struct Word {
  const Flag* flag = nullptr;  // null: none of the table
  std::optional<std::string> value;
};

// "--name", "--name=value", "-v4", "-v=4"; underscores in a name are hyphens.
Word Understand(absl::string_view arg) {
  if (!absl::ConsumePrefix(&arg, "--")) {
    if (!absl::ConsumePrefix(&arg, "-v")) return {};
    const bool equals = absl::ConsumePrefix(&arg, "=");
    if (arg.empty() && !equals) return {FindFlag(kVerbosity), std::nullopt};
    return equals || IsNumber(arg) ? Word{FindFlag(kVerbosity), std::string(arg)} : Word{};
  }
  const size_t equals = arg.find('=');
  const std::string name = absl::StrReplaceAll(arg.substr(0, equals), {{"_", "-"}});
  Word word = {FindFlag(name), std::nullopt};
  if (equals != absl::string_view::npos) word.value = std::string(arg.substr(equals + 1));
  return word;
}

// Which subcommand is named, and which of them take the flags of the table.
bool TakesSettings(absl::string_view command) {
  for (const char* known : {"run", "dump", "diff", "trace", "config"}) {
    if (command == known) return true;
  }
  return false;
}

bool IsVerbosity(const Flag& flag) { return flag.name == "v" || flag.name == "verbose"; }

}  // namespace

absl::StatusOr<CommandLine> SplitCommandLine(absl::Span<const std::string> args) {
  CommandLine line;
  line.rest = {args.empty() ? "pointsman" : args[0]};
  size_t next = 1;
  const bool by_name = BaseName(line.rest[0]) == "kube-proxy";
  const bool helpless = args.size() > 1 && (args[1] == "-h" || args[1] == "--help" || args[1] == "--help-all" ||
                                            absl::StartsWith(args[1], "--version"));
  line.of_kube_proxy = by_name || (args.size() > 1 && IsFlag(args[1]) && !helpless);
  if (line.of_kube_proxy) {
    line.rest.emplace_back("run");
  } else if (args.size() > 1) {
    line.rest.push_back(args[next++]);
  }
  if (line.rest.size() < 2 || !TakesSettings(line.rest[1])) {
    line.rest.insert(line.rest.end(), args.begin() + static_cast<ptrdiff_t>(std::min(next, args.size())), args.end());
    return line;
  }
  while (next < args.size()) {
    const std::string& arg = args[next++];
    if (arg == "--") {
      line.rest.insert(line.rest.end(), args.begin() + static_cast<ptrdiff_t>(next) - 1, args.end());
      break;
    }
    Word word = Understand(arg);
    if (word.flag == nullptr) {
      line.rest.push_back(arg);
      continue;
    }
    if (!word.value && word.flag->IsBool()) word.value = "true";
    if (!word.value && IsVerbosity(*word.flag)) {
      word.value = next < args.size() && IsNumber(args[next]) ? args[next++] : kVerbose;
    }
    if (!word.value) {
      if (next == args.size()) return absl::InvalidArgumentError(absl::StrCat(arg, " needs a value"));
      word.value = args[next++];
    }
    line.given.push_back({word.flag, *std::move(word.value)});
    // `--manifests A B`; where there are other arguments, each needs a flag of its own.
    while (word.flag->name == "manifests" && line.rest[1] != "trace" && next < args.size() && !IsFlag(args[next])) {
      line.given.push_back({word.flag, args[next++]});
    }
  }
  return line;
}

}  // namespace pointsman::options
