// SPDX-License-Identifier: Apache-2.0
//
// The cluster of a golden case, planned: what is common to the tests over these files.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "pointsman/nft_program.h"
#include "pointsman/packet.h"
#include "pointsman/plan.h"
#include "tests/support/txtar.h"

namespace pointsman::golden {

struct Cluster {
  std::vector<std::shared_ptr<const ServicePlan>> plans;
  NodeInfo node;
  nft::BaseSettings settings;
  std::string diagnostics;  // a line each

  Surroundings around() const { return {settings.policy, settings.service_cidrs, node.local_addresses}; }
};

// Plans `cluster.yaml` of the case under its `settings`, which are flags of the command. The node has the addresses
// where NodePorts answer and no others.
Cluster PlanCase(const support::Txtar& scenario);

std::string Read(const std::filesystem::path& path);
// The .txtar files of a directory, sorted.
std::vector<std::filesystem::path> CasesIn(const std::filesystem::path& directory);
// Fit for the name of a test.
std::string CaseName(const std::filesystem::path& path);

}  // namespace pointsman::golden
