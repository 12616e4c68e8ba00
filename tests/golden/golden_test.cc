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

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "pointsman/nft_format.h"
#include "pointsman/nft_program.h"
#include "pointsman/nft_simulate.h"
#include "pointsman/packet.h"
#include "tests/golden/cluster.h"
#include "tests/support/txtar.h"

namespace pointsman {
namespace {

using golden::Cluster;
using golden::PlanCase;
using support::FormatTxtar;
using support::ParseTxtar;
using support::Txtar;

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
// source, destination, after an @ the interface it comes in through; and the outcome, which is written anew.
std::string RunPackets(const Cluster& cluster, const nft::Ruleset& program, const std::string& packets) {
  std::string text;
  for (absl::string_view line : absl::StrSplit(packets, '\n', absl::SkipWhitespace())) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipWhitespace());
    EXPECT_GE(words.size(), 4u) << line;
    if (words.size() < 4) continue;
    const std::pair<std::string, std::string> to = absl::StrSplit(words[3], '@');
    const std::vector<std::string> dest = absl::StrSplit(to.first, '/');
    const size_t colon = dest[0].rfind(':');
    std::string addr = dest[0].substr(0, colon);
    if (addr.front() == '[') addr = addr.substr(1, addr.size() - 2);
    const Packet packet = {.source = IpAddr::Parse(words[1]).value(),
                           .dest = IpAddr::Parse(addr).value(),
                           .protocol = dest[1] == "udp"    ? Protocol::kUdp
                                       : dest[1] == "sctp" ? Protocol::kSctp
                                                           : Protocol::kTcp,
                           .port = static_cast<uint16_t>(std::stoi(dest[0].substr(colon + 1))),
                           .from_node = words[0] == "node",
                           .in_interface = to.second};
    const Outcome planned = Resolve(cluster.plans, cluster.around(), packet);
    const absl::StatusOr<Outcome> programmed = nft::Simulate(program, cluster.node.local_addresses, packet);
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
  const std::string written = golden::Read(GetParam());
  Txtar scenario = ParseTxtar(written);
  ASSERT_NE(scenario.file("cluster.yaml"), "");

  const Cluster cluster = PlanCase(scenario);
  const nft::Ruleset program = nft::CompileAll(cluster.plans, cluster.settings);
  std::string plan;
  for (const auto& service : cluster.plans) absl::StrAppend(&plan, FormatPlan(*service));
  scenario.Set("diagnostics", cluster.diagnostics);
  scenario.Set("plan", plan);
  scenario.Set("elements", FormatElements(program));
  scenario.Set("packets", RunPackets(cluster, program, scenario.file("packets")));

  if (std::getenv("PM_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(GetParam()) << FormatTxtar(scenario);
  } else {
    EXPECT_EQ(FormatTxtar(scenario), written) << "to take it over: PM_UPDATE_GOLDEN=1 ./dev test golden";
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenTest, ::testing::ValuesIn(golden::CasesIn(PM_GOLDEN_DIR "/cases")),
                         [](const auto& row) { return golden::CaseName(row.param); });

}  // namespace
}  // namespace pointsman
