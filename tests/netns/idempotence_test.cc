// SPDX-License-Identifier: Apache-2.0
//
// What is right already costs nothing; what has changed costs what has changed.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "pointsman/netlink.h"
#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/netns.h"

namespace pointsman {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Generation GenerationIn(support::NetNs& ns) {
  const auto read = [] {
    const auto dataplane = OpenNftDataplane();
    return dataplane.ok() ? (*dataplane)->CurrentGeneration() : dataplane.status();
  };
  const absl::StatusOr<Generation> generation = ns.Call(read);
  EXPECT_TRUE(generation.ok()) << generation.status();
  return generation.value_or(kUnknownGeneration);
}

std::string Endpoint(int service, int i) { return absl::StrCat("198.18.", i, ".", service % 250 + 1); }

support::Manifest Numbered(int service) {
  return {.name = absl::StrCat("load/s", service),
          .ip = absl::StrCat("198.19.", service / 250, ".", service % 250 + 1),
          .endpoints = {Endpoint(service, 1), Endpoint(service, 2)}};
}

// `services` Services with two endpoints each, fifty a file.
void WriteMany(const support::TempDir& dir, int services) {
  for (int file = 0; file * 50 < services; ++file) {
    std::string yaml;
    for (int s = file * 50; s < std::min(services, file * 50 + 50); ++s) {
      absl::StrAppend(&yaml, "---\n", Numbered(s).Yaml());
    }
    support::WriteFile(dir.File(absl::StrCat("services-", file, ".yaml")), yaml);
  }
}

TEST(IdempotenceTest, SecondRunSendsNothing) {
  support::NetNs node("node");
  support::TempDir dir;
  WriteMany(dir, 100);
  const std::vector<std::string> once = {"run", "--once", "-v", "--manifests", dir.path()};

  const Generation before = GenerationIn(node);
  const support::ProcessResult first = support::RunPointsman(node, once);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const Generation programmed = GenerationIn(node);
  EXPECT_NE(programmed, before) << "the first run did nothing";
  const std::string listing = support::RunProcess(node, {"nft", "list", "ruleset"}).out;
  EXPECT_THAT(listing, HasSubstr("table ip pointsman"));

  const support::ProcessResult second = support::RunPointsman(node, once);
  EXPECT_EQ(second.exit_code, 0) << second.err;
  EXPECT_EQ(GenerationIn(node), programmed) << second.err;
  EXPECT_EQ(support::RunProcess(node, {"nft", "list", "ruleset"}).out, listing);
  int passes = 0;
  for (const support::LogLine& line : support::ParseLog(second.err)) {
    if (line.event != "reconciled") continue;
    ++passes;
    EXPECT_EQ(line.Number("messages"), 0) << line.text;
    EXPECT_EQ(line.Number("ops"), 0) << line.text;
    EXPECT_EQ(line.Number("services"), 100) << line.text;
  }
  EXPECT_EQ(passes, 1) << second.err;
}

TEST(IdempotenceTest, RunningAgentIsSilentWhileNothingChanges) {
  support::NetNs node("node");
  support::TempDir dir;
  WriteMany(dir, 100);
  support::AgentProcess agent(node, {"--manifests", dir.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  const Generation programmed = GenerationIn(node);
  const size_t mark = agent.Mark();

  // The same text under a new date, a stranger in the directory, and a reload.
  support::ReplaceFile(dir.File("services-0.yaml"), support::ReadFile(dir.File("services-0.yaml")));
  support::WriteFile(dir.File("notes.txt"), "not a manifest");
  agent.process().Signal(SIGHUP);
  absl::SleepFor(absl::Seconds(3));
  EXPECT_THAT(agent.Events("reconciled", mark), IsEmpty()) << agent.log();
  EXPECT_EQ(GenerationIn(node), programmed);
}

// The number that a node with many Services lives by.
TEST(OneChangeTest, OneEndpointAmongFiveThousandServicesIsAHandfulOfMessages) {
  constexpr int kServices = 5000;
  support::NetNs node("node");
  support::TempDir dir;
  WriteMany(dir, kServices);
  support::AgentProcess agent(node, {"--manifests", dir.path()});
  ASSERT_TRUE(agent.WaitReady(absl::Seconds(60))) << agent.log();
  const size_t mark = agent.Mark();

  // When one endpoint of one of them changes its address.
  support::Manifest changed = Numbered(2345);
  changed.endpoints[1] = "198.18.99.99";
  std::string yaml = support::ReadFile(dir.File("services-46.yaml"));
  const std::string old_yaml = Numbered(2345).Yaml();
  const size_t at = yaml.find(old_yaml);
  ASSERT_NE(at, std::string::npos);
  yaml.replace(at, old_yaml.size(), changed.Yaml());
  support::ReplaceFile(dir.File("services-46.yaml"), yaml);

  // Then that is one transaction about one Service.
  ASSERT_TRUE(agent.WaitForEvent("reconciled", absl::Seconds(10), mark)) << agent.log().substr(mark);
  absl::SleepFor(absl::Milliseconds(500));
  const std::vector<support::LogLine> passes = agent.Events("reconciled", mark);
  ASSERT_THAT(passes, SizeIs(1));
  EXPECT_EQ(passes[0].Number("transactions"), 1) << passes[0].text;
  EXPECT_EQ(passes[0].Number("services"), 1) << passes[0].text;
  EXPECT_GE(passes[0].Number("messages"), 1) << passes[0].text;
  EXPECT_LE(passes[0].Number("messages"), 6) << passes[0].text;

  // And it is the change that was asked for.
  const support::ProcessResult diff = support::RunPointsman(node, {"diff", "--manifests", dir.path()});
  EXPECT_EQ(diff.exit_code, 0) << diff.out.substr(0, 2000) << diff.err;
  const support::ProcessResult slots = support::RunProcess(node, {"nft", "list", "map", "ip", "pointsman", "endpoints"},
                                                           {.timeout = absl::Seconds(120)});
  EXPECT_THAT(slots.out, HasSubstr("198.18.99.99 . 8080"));
}

}  // namespace
}  // namespace pointsman
