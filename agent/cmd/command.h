// SPDX-License-Identifier: Apache-2.0
//
// The subcommands. Each returns the exit status of the process.
#pragma once

#include <string>
#include <vector>

#include "agent/config.h"
#include "agent/options/command_line.h"
#include "agent/options/settings.h"
#include "agent/source/manifest_set.h"
#include "pointsman/netlink.h"
#include "pointsman/nft.h"

namespace pointsman {

enum class OutputFormat { kText, kJson };

// What the command line says.
struct Flags {
  options::CommandLine line;  // the flags that configure; LoadSettings makes Settings of them

  OutputFormat output = OutputFormat::kText;
  bool once = false;
  bool dry_run = false;
  bool kube_proxy = false;  // cleanup: what kube-proxy has left too

  // trace
  std::string trace_source;
  std::string trace_dest;
  std::string in_interface;

  // config
  std::string config_output = "text";  // or yaml, json
};

// Reads the file that --config names too.
// Errors: kInvalidArgument, with a line for each mistake.
absl::StatusOr<options::Settings> LoadSettings(const Flags& flags);
// Makes a Config of them, with MakeConfig; remarks on the settings go to standard error.
absl::StatusOr<Config> ParseConfig(const Flags& flags);

// Leaves the families to `config` that this kernel can do, by trying.
// Returns: those left out, and why. Errors: kPermissionDenied, kUnavailable.
absl::StatusOr<std::vector<NftTrial>> LeaveOutFamilies(Config& config);

// Logs the remarks, and each flag with its value if the log is verbose.
void LogSettings(const options::Settings& settings);
// Carries --write-config-to out. Returns the exit status of the process.
int WriteConfig(const options::Settings& settings);

int RunCommand(const Flags& flags);      // 0, or 1 if it cannot run (or converge, with --once)
int DumpCommand(const Flags& flags);     // 0, or 2
int DiffCommand(const Flags& flags);     // 0 same, 1 different, 2 error
int CleanupCommand(const Flags& flags);  // 0, or 2
int ConfigCommand(const Flags& flags);   // 0, or 1: there are mistakes, unknown fields included
int TraceCommand(const Flags& flags);    // 0 plan and kernel agree, 1 they differ, 2 error

// Writes `pointsman: MESSAGE` to standard error, line by line.
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
