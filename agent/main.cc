// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <exception>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

#include <CLI/CLI.hpp>

#include "agent/cmd/app_syntax.h"
#include "agent/cmd/command.h"
#include "agent/cmd/completion.h"
#include "agent/cmd/man_page.h"
#include "agent/cmd/suggest.h"
#include "agent/options/command_line.h"
#include "agent/options/fields.h"
#include "agent/options/value.h"

namespace pointsman {
namespace {

constexpr int kUsageError = 2;

constexpr char kKubernetesVersion[] = "v1.36.2";  // whose kube-proxy this stands in for

const char* Title(options::Group group) {
  switch (group) {
    case options::Group::kSources:
      return "Where the configuration and the objects come from";
    case options::Group::kProgram:
      return "What is programmed";
    case options::Group::kNode:
      return "This node";
    case options::Group::kServing:
      return "Serving and logging";
    case options::Group::kIgnored:
      return "Taken for kube-proxy's sake, without effect here";
  }
  return "";
}

// "N [131072]"
std::string ValueText(const options::Field& field) {
  static const options::Settings& defaults = *new options::Settings;
  const bool bare = field.flags.front() == "proxy-mode" || options::IsZero(field.slot, defaults);
  return bare ? std::string(field.type)
              : absl::StrCat(field.type, " [", options::FormatFlagValue(field.slot, defaults), "]");
}

// What concerns the start of the agent.
constexpr absl::string_view kOfStart[] = {"write-config-to", "init-only", "cleanup", "pointsman.take-over"};

// For the help, and to know the words: SplitCommandLine has taken the flags themselves out before.
void AddSettings(CLI::App* app, bool running = false) {
  std::set<absl::string_view> added;
  for (const options::Field& field : options::Fields()) {
    std::vector<std::string> names;
    for (const absl::string_view flag : field.flags) {
      if (!added.insert(flag).second) continue;
      if (flag == "v") names.emplace_back("-v");
      names.push_back(absl::StrCat("--", flag));
    }
    if (names.empty()) continue;
    const std::string all = absl::StrJoin(names, ",");
    const std::string help(field.ignored.empty() ? field.help : field.ignored);
    CLI::Option* option = nullptr;
    if (std::holds_alternative<options::Place<bool>>(field.slot)) {
      option = app->add_flag_function(
          all, [](int64_t) {}, help);
    } else {
      option = app->add_option_function<std::string>(
          all, [](const std::string&) {}, help);
      option->option_text(ValueText(field));
    }
    // What only a running agent does need not be read before the rest; it is taken all the same.
    const bool of_others = field.group == options::Group::kSources || field.group == options::Group::kProgram ||
                           field.flags.front() == "node-name";
    const bool starts = std::find(std::begin(kOfStart), std::end(kOfStart), field.flags.front()) != std::end(kOfStart);
    const bool shown = running || (of_others && !starts);
    option->group(shown ? Title(field.group) : "");
  }
}

void AddOutputFlag(CLI::App* app, Flags& flags, const char* description = "text, or json in the schema of nft -j") {
  static const std::map<std::string, OutputFormat> kFormats = {{"text", OutputFormat::kText},
                                                               {"json", OutputFormat::kJson}};
  app->add_option("-o,--output", flags.output, description)
      ->transform(CLI::CheckedTransformer(kFormats).description(""))
      ->type_name("text|json")
      ->option_text("text|json");
}

std::vector<std::string> KnownWords(const CLI::App& app, bool flags) {
  std::vector<std::string> words;
  if (flags) {
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
    }
  } else {
    for (const CLI::App* sub : app.get_subcommands({})) words.push_back(sub->get_name());
  }
  return words;
}

// CLI11 says what it could not place; a person wants to know what it should have been.
int UsageError(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* command = &app;
  for (const CLI::App* sub : app.get_subcommands()) command = sub;
  std::string line = absl::StrCat("pointsman: ", error.what());
  for (const std::string& extra : command->remaining(true)) {
    const bool flag = absl::StartsWith(extra, "-");
    const std::string word = extra.substr(0, extra.find('='));
    const std::string near = Nearest(word, KnownWords(*command, flag));
    line = absl::StrCat("pointsman: unknown ", flag ? "flag " : "argument ", word,
                        near.empty() ? "" : absl::StrCat("; did you mean ", near, "?"));
    break;
  }
  const std::string name = command == &app ? "" : absl::StrCat(" ", command->get_name());
  absl::FPrintF(stderr, "%s\nTry: pointsman%s --help\n", line, name);
  return kUsageError;
}

// kube-proxy's --version: nothing, true or raw. `--version=v1.2.3` claims to be another, which has no effect.
bool TakeVersion(std::vector<std::string>& args) {
  bool asked = false;
  const auto end = std::remove_if(args.begin(), args.end(), [&](const std::string& arg) {
    if (arg == "--version" || arg == "--version=true" || arg == "--version=raw") asked = true;
    return arg == "--version" || absl::StartsWith(arg, "--version=");
  });
  args.erase(end, args.end());
  return asked;
}

int Print(const std::string& text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0 ? 0 : 2;
}

int Main(int argc, char** argv) {
  Flags flags;
  absl::StatusOr<options::CommandLine> line = options::SplitCommandLine(std::vector<std::string>(argv, argv + argc));
  if (!line.ok()) {
    PrintError(line.status());
    return kUsageError;
  }
  flags.line = *std::move(line);
  const bool of_kube_proxy = flags.line.of_kube_proxy;
  if (of_kube_proxy && TakeVersion(flags.line.rest)) {
    absl::PrintF("Kubernetes %s\npointsman %s\n", kKubernetesVersion, PM_VERSION);
    return 0;
  }
  CLI::App app{
      "Programs a node's kernel with Kubernetes Services: compiles Services and EndpointSlices into nftables and "
      "keeps the "
      "kernel equal to them.",
      "pointsman"};
  app.require_subcommand(1);
  app.set_version_flag("--version", "pointsman " PM_VERSION);
  app.footer(
      "Examples:\n"
      "  pointsman run --manifests examples/               program the kernel, follow the files\n"
      "  pointsman run --kubeconfig FILE                   the same, following an API server\n"
      "  pointsman run --config FILE                       the same, configured as kube-proxy is\n"
      "  pointsman config --config FILE                    what that file amounts to, and what is wrong with it\n"
      "  pointsman dump --manifests examples/ | less       what it would program; needs no privileges\n"
      "  pointsman diff --manifests examples/              what the kernel has instead; exit status 0, 1 or 2\n"
      "  pointsman trace --manifests examples/ 10.244.1.9 10.96.0.80:80\n"
      "                                                    where that packet goes, and why\n"
      "  pointsman cleanup --dry-run                       what of it is in the kernel\n");

  CLI::App* run =
      app.add_subcommand("run", "program the kernel and keep it equal to the manifests, or to what an API server has");
  run->add_flag("--once", flags.once, "converge and exit");
  AddSettings(run, true);
  run->footer(
      "Runs until SIGTERM or SIGINT and leaves the rules in place. SIGHUP reads all files again; SIGUSR1 writes to the "
      "log how\n"
      "the API server is being followed. Needs CAP_NET_ADMIN.\n"
      "kube-proxy's command lines mean `run`: under the name kube-proxy, or with a flag in front. With --config the\n"
      "file counts, and of the flags that have a word in it only --hostname-override and those of the log.\n"
      "Exit status: 0, or 1 if it cannot run or, with --once, did not converge.");

  CLI::App* dump = app.add_subcommand("dump", "print the program for the manifests; touches nothing");
  AddSettings(dump);
  AddOutputFlag(dump, flags);
  dump->footer("The text loads with `nft -f`. Needs no privileges.\nExit status: 0, or 2 on an error.");

  CLI::App* diff = app.add_subcommand("diff", "compare the program for the manifests with the kernel's");
  AddSettings(diff);
  AddOutputFlag(diff, flags);
  diff->footer(
      "Lines with a minus are in the kernel and should not be, lines with a plus are missing. As JSON: the commands "
      "that would\n"
      "mend it. Needs CAP_NET_ADMIN; changes nothing.\nExit status: 0 no differences, 1 differences, 2 an error.");

  CLI::App* trace = app.add_subcommand("trace", "explain where a packet goes, by the manifests and by the kernel");
  AddSettings(trace);
  trace->add_option("SOURCE", flags.trace_source, "address of the sender, or \"node\" for this node")
      ->required()
      ->type_name("")
      ->option_text("node|ADDRESS");
  trace
      ->add_option("DEST", flags.trace_dest,
                   "where to: ADDRESS:PORT[/PROTOCOL], [ADDRESS6]:PORT[/PROTOCOL]; the protocol is tcp, udp or sctp")
      ->required()
      ->type_name("");
  trace->add_option("--in-interface", flags.in_interface, "interface the packet comes in through")->type_name("NAME");
  AddOutputFlag(trace, flags, "text, or json: one object");
  trace->footer(
      "Follows the first packet of a connection: who the sender is taken for, which Service has the destination, what\n"
      "must happen by the manifests (plan), what the kernel's tables make of it (kernel), and by which rules. Where\n"
      "the kernel remembers the client for session affinity, that is told apart (memory). Reading the kernel needs\n"
      "CAP_NET_ADMIN; without it the path is through the rules the kernel should have. Changes nothing.\n\n"
      "Examples:\n"
      "  pointsman trace --manifests examples/ 10.244.1.9 10.96.0.80:80\n"
      "  pointsman trace --manifests examples/ node 10.96.0.10:53/udp\n"
      "  pointsman trace --manifests examples/ 2001:db8::9 [2001:db8:1::80]:443 -o json\n\n"
      "Exit status: 0 plan and kernel agree, 1 they differ (a kernel without our tables lets everything pass),\n"
      "2 an error, or the kernel cannot be read.");

  CLI::App* config = app.add_subcommand("config", "show the configuration in force, and where each value comes from");
  AddSettings(config, true);
  config->add_option("-o,--output", flags.config_output, "text, a file with comments, or one object")
      ->check(CLI::IsMember({"text", "yaml", "json"}).description(""))
      ->option_text("text|yaml|json");
  config->footer(
      "Takes the flags of `run`. Needs no privileges, and asks no API server.\n"
      "Exit status: 0, or 1: there are mistakes, or fields or feature gates that nobody knows.");

  CLI::App* cleanup = app.add_subcommand("cleanup", "remove everything pointsman has put into the kernel");
  cleanup->add_flag("--dry-run", flags.dry_run, "only say what would be removed");
  cleanup->add_flag("--kube-proxy", flags.kube_proxy, "also remove what a kube-proxy, of whatever mode, has left");
  AddOutputFlag(cleanup, flags);
  cleanup->footer(
      "Removes the tables `ip pointsman` and `ip6 pointsman`, and nothing else without --kube-proxy.\n"
      "Exit status: 0, or 2 on an error.");

  std::string shell;
  CLI::App* completion = app.add_subcommand("completion", "print a script by which a shell completes command lines");
  completion->add_option("SHELL", shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}).description(""))
      ->type_name("")
      ->option_text("bash|zsh|fish");
  completion->footer(
      "Examples:\n"
      "  source <(pointsman completion bash)               in ~/.bashrc, or ~/.zshrc with zsh\n"
      "  pointsman completion bash > /usr/share/bash-completion/completions/pointsman\n"
      "  pointsman completion zsh > /usr/share/zsh/vendor-completions/_pointsman\n"
      "  pointsman completion fish > /usr/share/fish/vendor_completions.d/pointsman.fish\n");

  CLI::App* man = app.add_subcommand("man", "print the manual page, for man -l")->group("")->footer("");

  try {
    std::vector<const char*> rest;
    for (const std::string& arg : flags.line.rest) rest.push_back(arg.c_str());
    app.parse(static_cast<int>(rest.size()), rest.data());
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForVersion& version) {
    return app.exit(version);
  } catch (const CLI::ParseError& error) {
    const int status = UsageError(app, error);
    return of_kube_proxy ? 1 : status;
  }
  if (run->parsed()) return RunCommand(flags);
  if (dump->parsed()) return DumpCommand(flags);
  if (diff->parsed()) return DiffCommand(flags);
  if (trace->parsed()) return TraceCommand(flags);
  if (config->parsed()) return ConfigCommand(flags);
  if (completion->parsed()) return Print(*CompletionScript(SyntaxOf(app, PM_VERSION), shell));
  if (man->parsed()) return Print(ManPage(SyntaxOf(app, PM_VERSION)));
  return CleanupCommand(flags);
}

}  // namespace
}  // namespace pointsman

int main(int argc, char** argv) {
  try {
    return pointsman::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "pointsman: %s\n", error.what());
    return pointsman::kUsageError;
  }
}
