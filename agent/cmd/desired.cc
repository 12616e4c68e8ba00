// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "agent/cmd/command.h"
#include "agent/kube/kube_source.h"
#include "agent/kube/text_file.h"
#include "agent/make_config.h"
#include "agent/options/render.h"
#include "pointsman/netlink.h"
#include "pointsman/status.h"

namespace pointsman {
namespace {

// How long a command waits for all there is.
constexpr absl::Duration kReadPatience = absl::Minutes(1);

void Print(const Diagnostics& diagnostics) {
  for (const Diagnostic& d : diagnostics) absl::FPrintF(stderr, "%s\n", FormatDiagnostic(d));
}

}  // namespace

absl::StatusOr<options::Settings> LoadSettings(const Flags& flags) {
  options::Loaded loaded = options::LoadSettings(flags.line, kube::ReadTextFile);
  if (loaded.errors.empty()) return std::move(loaded.settings);
  return absl::InvalidArgumentError(absl::StrJoin(
      loaded.errors, "\n", [](std::string* out, const Diagnostic& d) { out->append(FormatDiagnostic(d)); }));
}

absl::StatusOr<Config> ParseConfig(const Flags& flags) {
  PM_ASSIGN_OR_RETURN(const options::Settings settings, LoadSettings(flags));
  for (const options::Remark& remark : settings.remarks) {
    absl::FPrintF(stderr, "%s\n", options::FormatRemark(remark));
  }
  return MakeConfig(settings);
}

void PrintError(const absl::Status& status) {
  for (const absl::string_view line : absl::StrSplit(status.message(), '\n')) {
    absl::FPrintF(stderr, "pointsman: %s\n", std::string(line));
  }
}

std::vector<std::shared_ptr<const ServicePlan>> Desired::plans() const {
  std::vector<std::shared_ptr<const ServicePlan>> plans;
  for (const auto& [name, service] : plan.services) {
    if (service != nullptr) plans.push_back(service);
  }
  return plans;
}

absl::StatusOr<ReadObjects> ReadSource(const Config& config) {
  ReadObjects read;
  if (config.api) {
    PM_ASSIGN_OR_RETURN(kube::ClusterObjects cluster, kube::ReadCluster(*config.api, kReadPatience));
    read.diagnostics = std::move(cluster.diagnostics);
    read.changes = std::move(cluster.objects);
  } else {
    LoadedManifests loaded = LoadManifests(config.manifests, config.allocate_from);
    if (!loaded.complete) {
      Print(loaded.diagnostics);
      return absl::NotFoundError("a path given with --manifests cannot be read");
    }
    read.diagnostics = std::move(loaded.diagnostics);
    for (const LocatedObject& located : loaded.objects) {
      read.changes.push_back({KeyOf(*located.object), PackedObject(*located.object)});
    }
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

absl::StatusOr<std::vector<NftTrial>> LeaveOutFamilies(Config& config) {
  PM_ASSIGN_OR_RETURN(std::vector<NftTrial> trials, ProbeNft(nft::CompileTrial()));
  std::erase_if(trials, [](const NftTrial& trial) { return trial.verdict == NftTrial::Verdict::kWorks; });
  for (const NftTrial& trial : trials) std::erase(config.families, trial.family);
  return trials;
}

}  // namespace pointsman
