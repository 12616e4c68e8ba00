// SPDX-License-Identifier: Apache-2.0
//
// The subcommands. Each returns the exit status of the process.
#pragma once

#include <string>
#include <vector>

#include "agent/config.h"
#include "agent/source/manifest_set.h"
#include "pointsman/nft.h"

namespace pointsman {

enum class OutputFormat { kText, kJson };

// The flags as they were given; ParseConfig makes a Config of them.
struct Flags {
  std::vector<std::string> manifests;
  std::string kubeconfig;
  std::vector<std::string> masters;
  std::string kube_api_content_type = kube::kProtobufType;
  double kube_api_qps = 5;
  int kube_api_burst = 10;
  std::string allocate_from;
  std::string node_name;
  std::string cluster_cidr;
  std::string detect_local_mode = "ClusterCIDR";
  std::string pod_bridge_interface;
  std::string pod_interface_name_prefix;
  std::string service_cidr;
  std::string node_port_addresses = "primary";
  bool masquerade_all = false;
  int masquerade_bit = 14;
  bool close_unranged_vips = false;
  bool clean_tcp = false;
  uint32_t affinity_size = 262144;

  OutputFormat output = OutputFormat::kText;
  bool once = false;
  bool verbose = false;
  bool dry_run = false;

  // trace
  std::string trace_source;
  std::string trace_dest;
  std::string in_interface;
};

// Reads the kubeconfig too, unless there are manifests.
// Errors: kInvalidArgument naming the flag; those of kube::FindAccess.
absl::StatusOr<Config> ParseConfig(const Flags& flags);

int RunCommand(const Flags& flags);      // 0, or 1 if it cannot run (or converge, with --once)
int DumpCommand(const Flags& flags);     // 0, or 2
int DiffCommand(const Flags& flags);     // 0 same, 1 different, 2 error
int CleanupCommand(const Flags& flags);  // 0, or 2
int TraceCommand(const Flags& flags);    // 0 plan and kernel agree, 1 they differ, 2 error

// Writes `pointsman: MESSAGE` to standard error.
void PrintError(const absl::Status& status);

// Everything there is, once.
struct ReadObjects {
  std::vector<ObjectChange> changes;
  Diagnostics diagnostics;
};

// Reads the manifests, or the API server.
// Errors: kNotFound when a path given cannot be looked into; those of kube::ReadCluster.
absl::StatusOr<ReadObjects> ReadSource(const Config& config);

// What the objects mean on this node right now.
struct Desired {
  PlanPatch plan;
  NodeInfo node;
  nft::BaseSettings settings;

  std::vector<std::shared_ptr<const ServicePlan>> plans() const;
};

// Reads the source and plans all of it; every Diagnostic goes to standard error.
absl::StatusOr<Desired> LoadDesired(const Config& config);

}  // namespace pointsman
