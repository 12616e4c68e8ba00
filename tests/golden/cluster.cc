// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/cluster.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"

#include "agent/config.h"
#include "agent/source/allocate.h"
#include "agent/source/yaml_codec.h"
#include "tests/support/settings.h"

namespace pointsman::golden {

Cluster PlanCase(const support::Txtar& scenario) {
  Cluster cluster;
  const Config config = support::ConfigOf(support::FlagsOf(scenario.file("settings"))).value();
  const auto tell = [&](const Diagnostics& diagnostics) {
    for (const Diagnostic& d : diagnostics) absl::StrAppend(&cluster.diagnostics, FormatDiagnostic(d), "\n");
  };
  ParsedManifests parsed = ParseManifests("cluster.yaml", scenario.file("cluster.yaml"));
  tell(parsed.diagnostics);
  AllocatedObjects allocated = AllocateAddresses(std::move(parsed.objects), config.allocate_from);
  tell(allocated.diagnostics);
  ObjectBatch batch;
  for (const LocatedObject& object : allocated.objects)
    batch.changes.push_back({KeyOf(*object.object), PackedObject(*object.object)});
  Store store;
  const Touched touched = store.Apply(batch);
  cluster.node = MakeNodeInfo(config, store.FindNode(config.node_name), {});
  cluster.node.local_addresses = cluster.node.node_port_addresses;
  Diagnostics diagnostics;
  cluster.settings = MakeBaseSettings(config, store, diagnostics);
  tell(diagnostics);
  Planner planner;
  const PlanPatch patch = planner.Plan(store, touched, cluster.node, cluster.settings.policy);
  for (const auto& [name, plan] : patch.services) {
    if (plan != nullptr) cluster.plans.push_back(plan);
    tell(patch.diagnostics.at(name));
  }
  return cluster;
}

std::string Read(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<std::filesystem::path> CasesIn(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() == ".txtar") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::string CaseName(const std::filesystem::path& path) {
  std::string name = path.stem().string();
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

}  // namespace pointsman::golden
