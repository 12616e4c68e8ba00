// SPDX-License-Identifier: Apache-2.0
//
// One file a scenario, in cases/: the manifests, the settings, and what comes of them: the plan, the elements in the
// kernel's maps, and what packets meet, by the plan and by the program. PM_UPDATE_GOLDEN=1 rewrites them; the diff is
// the review.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "agent/config.h"
#include "agent/source/allocate.h"
#include "agent/source/yaml_codec.h"
#include "pointsman/nft_format.h"
#include "pointsman/nft_program.h"
#include "pointsman/nft_simulate.h"
#include "pointsman/packet.h"
#include "tests/support/txtar.h"

namespace pointsman {
namespace {

using support::FormatTxtar;
using support::ParseTxtar;
using support::Txtar;

std::string Read(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<std::filesystem::path> Cases() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(PM_GOLDEN_DIR "/cases")) {
    if (entry.path().extension() == ".txtar") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// The case's settings are the flags of the command; those that change the program are understood here.
Config ConfigOf(const std::string& settings) {
  Config config;
  const std::vector<std::string> flags = support::FlagsOf(settings);
  for (size_t i = 0; i < flags.size(); ++i) {
    if (flags[i] == "--masquerade-all") {
      config.masquerade_all = true;
      continue;
    }
    const std::string& value = flags.at(i + 1);
    if (flags[i] == "--node-name") {
      config.node_name = value;
    } else if (flags[i] == "--cluster-cidr") {
      config.cluster_cidr = ParseClusterCidr(value).value();
    } else if (flags[i] == "--service-cidr") {
      config.service_cidrs = ParseCidrs(value).value();
    } else if (flags[i] == "--nodeport-addresses") {
      config.node_port_addresses = ParseCidrs(value).value();
    } else if (flags[i] == "--allocate-from") {
      config.allocate_from = ParseAllocationRanges(value).value();
    } else {
      ADD_FAILURE() << "unknown setting " << flags[i];
    }
    ++i;
  }
  return config;
}

struct World {
  std::vector<std::shared_ptr<const ServicePlan>> plans;
  nft::BaseSettings settings;
  std::string diagnostics;
};

World Build(const Txtar& scenario) {
  World world;
  const Config config = ConfigOf(scenario.file("settings"));
  const auto tell = [&](const Diagnostics& diagnostics) {
    for (const Diagnostic& d : diagnostics) absl::StrAppend(&world.diagnostics, FormatDiagnostic(d), "\n");
  };
  ParsedManifests parsed = ParseManifests("cluster.yaml", scenario.file("cluster.yaml"));
  tell(parsed.diagnostics);
  AllocatedObjects allocated = AllocateAddresses(std::move(parsed.objects), config.allocate_from);
  tell(allocated.diagnostics);
  ObjectBatch batch;
  for (const LocatedObject& object : allocated.objects) batch.changes.push_back({KeyOf(*object.object), object.object});
  Store store;
  const Touched touched = store.Apply(batch);
  const NodeInfo node = MakeNodeInfo(config, store.FindNode(config.node_name), {});
  world.settings = MakeBaseSettings(config, store);
  Planner planner;
  const PlanPatch patch = planner.Plan(store, touched, node, world.settings.policy);
  for (const auto& [name, plan] : patch.services) {
    if (plan != nullptr) world.plans.push_back(plan);
    tell(patch.diagnostics.at(name));
  }
  return world;
}

std::string FormatElements(const nft::Ruleset& ruleset) {
  std::string text;
  for (const auto& [family, table] : ruleset.tables) {
    for (const auto& [name, set] : table.sets) {
      for (const auto& [key, value] : set.elements) {
        absl::StrAppend(&text, name, "  ", nft::FormatElement(set.spec, {key, value}), "\n");
      }
    }
  }
  return text;
}

// `pod 203.0.113.9 -> 192.0.2.1:80/tcp   deliver …`: the sender's kind, for the reader and to mark the node's own;
// source, destination; and the outcome, which is written anew.
std::string RunPackets(const World& world, const nft::Ruleset& program, const std::string& packets) {
  std::string text;
  for (absl::string_view line : absl::StrSplit(packets, '\n', absl::SkipWhitespace())) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipWhitespace());
    EXPECT_GE(words.size(), 4u) << line;
    if (words.size() < 4) continue;
    const std::vector<std::string> dest = absl::StrSplit(words[3], '/');
    const size_t colon = dest[0].rfind(':');
    std::string addr = dest[0].substr(0, colon);
    if (addr.front() == '[') addr = addr.substr(1, addr.size() - 2);
    const Packet packet = {.source = IpAddr::Parse(words[1]).value(),
                           .dest = IpAddr::Parse(addr).value(),
                           .protocol = dest[1] == "udp"    ? Protocol::kUdp
                                       : dest[1] == "sctp" ? Protocol::kSctp
                                                           : Protocol::kTcp,
                           .port = static_cast<uint16_t>(std::stoi(dest[0].substr(colon + 1))),
                           .from_node = words[0] == "node"};
    const Outcome planned = Resolve(world.plans, world.settings.service_cidrs, world.settings.policy, packet);
    const absl::StatusOr<Outcome> programmed = nft::Simulate(program, packet);
    EXPECT_TRUE(programmed.ok()) << line << ": " << programmed.status();
    if (programmed.ok()) {
      EXPECT_EQ(FormatOutcome(*programmed), FormatOutcome(planned)) << line;
    }
    absl::StrAppend(&text, words[0], " ", words[1], " -> ", words[3], "  ", FormatOutcome(planned), "\n");
  }
  return text;
}

class GoldenTest : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(GoldenTest, ComesOutAsWritten) {
  const std::string written = Read(GetParam());
  Txtar scenario = ParseTxtar(written);
  ASSERT_NE(scenario.file("cluster.yaml"), "");

  const World world = Build(scenario);
  const nft::Ruleset program = nft::CompileAll(world.plans, world.settings);
  std::string plan;
  for (const auto& service : world.plans) absl::StrAppend(&plan, FormatPlan(*service));
  scenario.Set("diagnostics", world.diagnostics);
  scenario.Set("plan", plan);
  scenario.Set("elements", FormatElements(program));
  scenario.Set("packets", RunPackets(world, program, scenario.file("packets")));

  if (std::getenv("PM_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(GetParam()) << FormatTxtar(scenario);
  } else {
    EXPECT_EQ(FormatTxtar(scenario), written) << "to take it over: PM_UPDATE_GOLDEN=1 ./dev test golden";
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenTest, ::testing::ValuesIn(Cases()), [](const auto& param) {
  std::string name = param.param.stem().string();
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
});

}  // namespace
}  // namespace pointsman
