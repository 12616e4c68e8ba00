// SPDX-License-Identifier: Apache-2.0
#include <net/if.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "agent/cmd/command.h"
#include "pointsman/netlink.h"
#include "pointsman/status.h"

namespace pointsman {
namespace {

void Print(const Diagnostics& diagnostics) {
  for (const Diagnostic& d : diagnostics) absl::FPrintF(stderr, "%s\n", FormatDiagnostic(d));
}

// As the kubelet does: the name of the host, in lower case.
std::string HostName() {
  char name[256] = "";
  if (gethostname(name, sizeof name - 1) != 0) return "";
  return absl::AsciiStrToLower(name);
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
  config.node_name = flags.node_name.empty() ? HostName() : flags.node_name;
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

absl::StatusOr<Desired> LoadDesired(const Config& config) {
  Desired desired;
  desired.loaded = LoadManifests(config.manifests, config.allocate_from);
  Print(desired.loaded.diagnostics);
  if (!desired.loaded.complete) return absl::NotFoundError("a path given with --manifests cannot be read");

  PM_ASSIGN_OR_RETURN(const std::vector<IpAddr> addresses, ReadAddresses());
  ObjectBatch batch;
  for (const LocatedObject& object : desired.loaded.objects) {
    batch.changes.push_back({KeyOf(*object.object), object.object});
  }
  Store store;
  const Touched touched = store.Apply(batch);
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
