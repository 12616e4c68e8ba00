// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <exception>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

#include <CLI/CLI.hpp>

#include "agent/cmd/command.h"
#include "agent/cmd/suggest.h"

namespace pointsman {
namespace {

constexpr int kUsageError = 2;

void AddSourceFlags(CLI::App* app, Flags& flags) {
  app->add_option("--manifests", flags.manifests,
                  "file or directory of YAML or JSON manifests (*.yaml, *.yml, *.json); may be repeated")
      ->type_name("PATH")
      ->option_text("PATH ...");
  app->add_option("--kubeconfig", flags.kubeconfig,
                  "take the objects from the API server of this file's current context; without it and without "
                  "--manifests: from that of the pod this runs in")
      ->type_name("FILE");
  app->add_option("--master", flags.masters,
                  "API server, instead of the kubeconfig's; of several the next is tried when one is away")
      ->delimiter(',')
      ->type_name("URL,...")
      ->option_text("URL,...");
  app->add_option("--kube-api-content-type", flags.kube_api_content_type, "what to speak with the API server")
      ->type_name("TYPE")
      ->capture_default_str();
  app->add_option("--kube-api-qps", flags.kube_api_qps, "lists asked for in a second; below 0: no limit")
      ->type_name("N")
      ->capture_default_str();
  app->add_option("--kube-api-burst", flags.kube_api_burst, "of them at once")
      ->check(CLI::NonNegativeNumber.description(""))
      ->type_name("N")
      ->capture_default_str();
  app->add_option(
         "--allocate-from", flags.allocate_from,
         "give Services without a clusterIP (and nodePort) one from this range, always the same for the same Services")
      ->type_name("CIDR[,CIDR6]");
  app->add_option("--cluster-cidr", flags.cluster_cidr,
                  "where pods are; other sources are masqueraded on their way to a ClusterIP")
      ->type_name("CIDR,...");
  app->add_option(
         "--detect-local-mode", flags.detect_local_mode,
         "how pods are known: by --cluster-cidr, by the podCIDRs of this node's Node object, or by the interface "
         "they come in through")
      ->type_name("MODE")
      ->option_text("ClusterCIDR|NodeCIDR|BridgeInterface|InterfaceNamePrefix");
  app->add_option("--pod-bridge-interface", flags.pod_bridge_interface, "the bridge pods are on")->type_name("NAME");
  app->add_option("--pod-interface-name-prefix", flags.pod_interface_name_prefix,
                  "what the names of the pods' interfaces begin with")
      ->type_name("PREFIX");
  app->add_option("--service-cidr", flags.service_cidr,
                  "Service addresses, besides those of ServiceCIDR objects; what is sent to one not in use is dropped")
      ->type_name("CIDR,...");
  app->add_option("--nodeport-addresses", flags.node_port_addresses,
                  "where NodePorts answer: \"primary\" (the first address of each family of this node's Node object; "
                  "without one, every "
                  "address of its interfaces) or CIDRs")
      ->type_name("primary|CIDR,...")
      ->capture_default_str();
  app->add_option("--node-name,--hostname-override", flags.node_name,
                  "name of this node (default: the host's name in lower case)")
      ->type_name("NAME");
  app->add_flag("--masquerade-all", flags.masquerade_all, "masquerade everything sent to a ClusterIP");
  app->add_flag(
      "--pointsman.close-unranged-vips", flags.close_unranged_vips,
      "load-balancer addresses of a family for which their Service has no source ranges, while it has some of "
      "the other: let nobody in (kube-proxy: everybody)");
  app->add_flag("--pointsman.clean-tcp", flags.clean_tcp,
                "remove conntrack entries of TCP connections too when their endpoint is gone");
  app->add_option("--pointsman.affinity-size", flags.affinity_size,
                  "clients remembered for session affinity, over all Services, per address family")
      ->check(CLI::Range(1u, 1u << 30).description(""))
      ->type_name("N")
      ->capture_default_str();
  app->add_option("--masquerade-bit", flags.masquerade_bit, "bit of the packet mark that asks for masquerading")
      ->check(CLI::Range(0, 31).description(""))
      ->type_name("0-31")
      ->capture_default_str();
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

int Main(int argc, char** argv) {
  Flags flags;
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
      "  pointsman dump --manifests examples/ | less       what it would program; needs no privileges\n"
      "  pointsman diff --manifests examples/              what the kernel has instead; exit status 0, 1 or 2\n"
      "  pointsman trace --manifests examples/ 10.244.1.9 10.96.0.80:80\n"
      "                                                    where that packet goes, and why\n"
      "  pointsman cleanup --dry-run                       what of it is in the kernel\n");

  CLI::App* run =
      app.add_subcommand("run", "program the kernel and keep it equal to the manifests, or to what an API server has");
  AddSourceFlags(run, flags);
  run->add_flag("--once", flags.once, "converge and exit");
  run->add_flag("-v,--verbose", flags.verbose, "log passes that changed nothing too");
  run->footer(
      "Runs until SIGTERM or SIGINT and leaves the rules in place. SIGHUP reads all files again; SIGUSR1 writes to the "
      "log how\n"
      "the API server is being followed. Needs CAP_NET_ADMIN.\n"
      "Exit status: 0, or 1 if it cannot run or, with --once, did not converge.");

  CLI::App* dump = app.add_subcommand("dump", "print the program for the manifests; touches nothing");
  AddSourceFlags(dump, flags);
  AddOutputFlag(dump, flags);
  dump->footer("The text loads with `nft -f`. Needs no privileges.\nExit status: 0, or 2 on an error.");

  CLI::App* diff = app.add_subcommand("diff", "compare the program for the manifests with the kernel's");
  AddSourceFlags(diff, flags);
  AddOutputFlag(diff, flags);
  diff->footer(
      "Lines with a minus are in the kernel and should not be, lines with a plus are missing. As JSON: the commands "
      "that would\n"
      "mend it. Needs CAP_NET_ADMIN; changes nothing.\nExit status: 0 no differences, 1 differences, 2 an error.");

  CLI::App* trace = app.add_subcommand("trace", "explain where a packet goes, by the manifests and by the kernel");
  AddSourceFlags(trace, flags);
  trace->add_option("SOURCE", flags.trace_source, "address of the sender, or \"node\" for this node")
      ->required()
      ->type_name("");
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

  CLI::App* cleanup = app.add_subcommand("cleanup", "remove everything pointsman has put into the kernel");
  cleanup->add_flag("--dry-run", flags.dry_run, "only say what would be removed");
  AddOutputFlag(cleanup, flags);
  cleanup->footer(
      "Removes the tables `ip pointsman` and `ip6 pointsman`, nothing else.\nExit status: 0, or 2 on an error.");

  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForVersion& version) {
    return app.exit(version);
  } catch (const CLI::ParseError& error) {
    return UsageError(app, error);
  }
  if (run->parsed()) return RunCommand(flags);
  if (dump->parsed()) return DumpCommand(flags);
  if (diff->parsed()) return DiffCommand(flags);
  if (trace->parsed()) return TraceCommand(flags);
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
