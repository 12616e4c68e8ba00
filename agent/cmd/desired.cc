// SPDX-License-Identifier: Apache-2.0
#include <net/if.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "agent/cmd/command.h"
#include "agent/kube/access.h"
#include "agent/kube/kube_source.h"
#include "pointsman/netlink.h"
#include "pointsman/status.h"

namespace pointsman {
namespace {

// How long a command waits for all there is.
constexpr absl::Duration kReadPatience = absl::Minutes(1);

void Print(const Diagnostics& diagnostics) {
  for (const Diagnostic& d : diagnostics) absl::FPrintF(stderr, "%s\n", FormatDiagnostic(d));
}

// As the kubelet does: the name of the host, in lower case.
std::string HostName() {
  char name[256] = "";
  if (gethostname(name, sizeof name - 1) != 0) return "";
  return absl::AsciiStrToLower(name);
}

absl::StatusOr<std::string> NodeName(const std::string& given) {
  if (given.empty()) return HostName();
  const std::string name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(given));
  if (name.empty()) return absl::InvalidArgumentError("--hostname-override: give a name, or leave it out");
  return name;
}

// What is to be asked of which API server; nullopt: there are manifests instead.
absl::StatusOr<std::optional<kube::SourceOptions>> ParseApi(const Flags& flags, const Config& config) {
  if (!flags.manifests.empty()) {
    if (flags.kubeconfig.empty() && flags.masters.empty()) return std::nullopt;
    return absl::InvalidArgumentError("--manifests: the objects come from there or from an API server, not both");
  }
  if (!flags.allocate_from.empty()) {
    return absl::InvalidArgumentError(
        "--allocate-from: an API server gives addresses itself; it goes with --manifests");
  }
  if (!kube::EncodingOf(flags.kube_api_content_type)) {
    return absl::InvalidArgumentError(absl::StrCat("--kube-api-content-type: \"", flags.kube_api_content_type,
                                                   "\" is not spoken here: write ", kube::kProtobufType, " or ",
                                                   kube::kJsonType));
  }
  absl::StatusOr<kube::Access> access = kube::FindAccess(flags.kubeconfig, flags.masters);
  if (!access.ok()) {
    if (!flags.kubeconfig.empty() || !flags.masters.empty()) return access.status();
    return absl::FailedPreconditionError(
        absl::StrCat("where are the objects? Give --manifests PATH or --kubeconfig FILE: ", access.status().message()));
  }
  return kube::SourceOptions{.access = *std::move(access),
                             .node_name = config.node_name,
                             .content_type = flags.kube_api_content_type,
                             // 0 is the default, as in kube-proxy's configuration.
                             .qps = flags.kube_api_qps == 0 ? 5 : flags.kube_api_qps,
                             .burst = flags.kube_api_burst == 0 ? 10 : flags.kube_api_burst,
                             .need_pod_cidrs = config.detect_local_mode == DetectLocalMode::kNodeCidr};
}

// The name of an interface, or its beginning, as far as the detect-local mode in use asks for it.
absl::StatusOr<std::string> InterfaceOf(DetectLocalMode of, DetectLocalMode mode, const char* flag,
                                        const std::string& name) {
  if (mode != of) return std::string();
  if (name.empty()) return absl::InvalidArgumentError(absl::StrCat(flag, " is needed in this --detect-local-mode"));
  if (name.size() >= IFNAMSIZ) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, ": \"", name, "\" is too long: interface names have at most ", IFNAMSIZ - 1, " characters"));
  }
  return name;
}

}  // namespace

absl::StatusOr<Config> ParseConfig(const Flags& flags) {
  Config config;
  config.manifests = flags.manifests;
  PM_ASSIGN_OR_RETURN(config.node_name, NodeName(flags.node_name));
  config.masquerade_all = flags.masquerade_all;
  config.masquerade_bit = flags.masquerade_bit;
  config.close_unranged_vips = flags.close_unranged_vips;
  config.clean_tcp = flags.clean_tcp;
  config.affinity_size = flags.affinity_size;

  const auto annotate = [](const auto& result, const char* flag) { return Annotate(result.status(), flag); };
  absl::StatusOr<AllocationRanges> ranges = ParseAllocationRanges(flags.allocate_from);
  if (!ranges.ok()) return annotate(ranges, "--allocate-from");
  config.allocate_from = *std::move(ranges);
  absl::StatusOr<std::vector<Cidr>> pods = ParseCidrs(flags.cluster_cidr);
  if (!pods.ok()) return annotate(pods, "--cluster-cidr");
  config.cluster_cidrs = *std::move(pods);
  const absl::StatusOr<DetectLocalMode> mode = ParseDetectLocalMode(flags.detect_local_mode);
  if (!mode.ok()) return annotate(mode, "--detect-local-mode");
  config.detect_local_mode = *mode;
  PM_ASSIGN_OR_RETURN(config.pod_bridge_interface, InterfaceOf(DetectLocalMode::kBridgeInterface, *mode,
                                                               "--pod-bridge-interface", flags.pod_bridge_interface));
  PM_ASSIGN_OR_RETURN(config.pod_interface_name_prefix,
                      InterfaceOf(DetectLocalMode::kInterfaceNamePrefix, *mode, "--pod-interface-name-prefix",
                                  flags.pod_interface_name_prefix));
  absl::StatusOr<std::vector<Cidr>> services = ParseCidrs(flags.service_cidr);
  if (!services.ok()) return annotate(services, "--service-cidr");
  config.service_cidrs = *std::move(services);
  if (flags.node_port_addresses != "primary") {
    absl::StatusOr<std::vector<Cidr>> addresses = ParseCidrs(flags.node_port_addresses);
    if (!addresses.ok()) return annotate(addresses, "--nodeport-addresses");
    config.node_port_addresses = *std::move(addresses);
  }
  PM_ASSIGN_OR_RETURN(config.api, ParseApi(flags, config));
  return config;
}

void PrintError(const absl::Status& status) { absl::FPrintF(stderr, "pointsman: %s\n", std::string(status.message())); }

std::vector<std::shared_ptr<const ServicePlan>> Desired::plans() const {
  std::vector<std::shared_ptr<const ServicePlan>> plans;
  for (const auto& [name, service] : plan.services) {
    if (service != nullptr) plans.push_back(service);
  }
  return plans;
}

absl::StatusOr<ReadObjects> ReadSource(const Config& config) {
  ReadObjects read;
  std::vector<std::shared_ptr<const Object>> objects;
  if (config.api) {
    PM_ASSIGN_OR_RETURN(kube::ClusterObjects cluster, kube::ReadCluster(*config.api, kReadPatience));
    read.diagnostics = std::move(cluster.diagnostics);
    objects = std::move(cluster.objects);
  } else {
    LoadedManifests loaded = LoadManifests(config.manifests, config.allocate_from);
    if (!loaded.complete) {
      Print(loaded.diagnostics);
      return absl::NotFoundError("a path given with --manifests cannot be read");
    }
    read.diagnostics = std::move(loaded.diagnostics);
    for (LocatedObject& located : loaded.objects) objects.push_back(std::move(located.object));
  }
  for (std::shared_ptr<const Object>& object : objects) {
    ObjectKey key = KeyOf(*object);
    read.changes.push_back({std::move(key), std::move(object)});
  }
  return read;
}

absl::StatusOr<Desired> LoadDesired(const Config& config) {
  Desired desired;
  PM_ASSIGN_OR_RETURN(ReadObjects read, ReadSource(config));
  Print(read.diagnostics);

  PM_ASSIGN_OR_RETURN(const std::vector<IpAddr> addresses, ReadAddresses());
  Store store;
  const Touched touched = store.Apply({.changes = std::move(read.changes)});
  if (config.api && store.FindNode(config.node_name) == nullptr) {
    Print({{.severity = Severity::kWarning,
            .object = absl::StrCat("Node ", config.node_name),
            .problem = "there is none of that name",
            .effect = "NodePorts are taken to answer at the addresses of this machine, and zones are not known",
            .hint = "name another with --node-name"}});
  }
  desired.node = MakeNodeInfo(config, store.FindNode(config.node_name), addresses);
  Diagnostics node_wide;
  desired.settings = MakeBaseSettings(config, store, node_wide);
  Print(node_wide);
  Planner planner;
  desired.plan = planner.Plan(store, touched, desired.node, desired.settings.policy);
  for (const auto& [name, diagnostics] : desired.plan.diagnostics) Print(diagnostics);
  return desired;
}

}  // namespace pointsman
