// SPDX-License-Identifier: Apache-2.0
//
// A mistake in one file costs that file, and is told once, with its place.
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace pointsman {
namespace {

using ::testing::ContainsRegex;
using ::testing::ElementsAre;

std::vector<std::string> LinesWith(const std::string& text, const std::string& part) {
  std::vector<std::string> found;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::StrContains(line, part)) found.emplace_back(line);
  }
  return found;
}

TEST(BadManifestTest, ProgramsTheOthersAndNamesThePlace) {
  support::World world({.pods = 2});
  support::NameServer good(world.pod(0), "good");
  good.Listen(Protocol::kTcp, {world.pod_ip(0, Family::kIpv4), 8080});
  support::NameServer broken(world.pod(1), "broken");
  broken.Listen(Protocol::kTcp, {world.pod_ip(1, Family::kIpv4), 8080});
  const SocketAddr good_at{support::Ip("198.51.100.80"), 80};
  const SocketAddr broken_at{support::Ip("198.51.100.81"), 80};
  const auto ask = [&](const SocketAddr& at) { return support::Ask(world.client(), Protocol::kTcp, at).name; };

  // Given a file that is right, and one whose `protocol:` stands two columns too deep under its `- port:`.
  support::TempDir dir;
  support::WriteFile(
      dir.File("good.yaml"),
      support::Manifest{.name = "shop/good", .ip = "198.51.100.80", .endpoints = {"203.0.113.11"}}.Yaml());
  const std::string right =
      support::Manifest{.name = "shop/broken", .ip = "198.51.100.81", .endpoints = {"203.0.113.12"}}.Yaml();
  std::string wrong;
  int line = 0;
  for (const absl::string_view l : absl::StrSplit(right, '\n')) {
    const bool first = absl::StartsWith(l, "      protocol:") && !absl::StrContains(wrong, "protocol:");
    absl::StrAppend(&wrong, first ? "  " : "", l, "\n");
    if (!absl::StrContains(wrong, "protocol:") || first) ++line;
  }
  ASSERT_NE(wrong, right + "\n");
  support::WriteFile(dir.File("broken.yaml"), wrong);

  // When the agent runs on both.
  support::AgentProcess agent(world.node(), {"--manifests", dir.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();

  // Then the right one serves, and one line says where the other is wrong.
  EXPECT_EQ(ask(good_at), "good");
  EXPECT_EQ(ask(broken_at), "");
  absl::SleepFor(absl::Seconds(1));
  EXPECT_THAT(LinesWith(agent.log(), "broken.yaml"),
              ElementsAre(ContainsRegex(absl::StrCat("broken\\.yaml:", line, ":[0-9]+"))))
      << agent.log();
  EXPECT_TRUE(agent.process().running());

  // And changes to the right one still arrive.
  support::ReplaceFile(
      dir.File("good.yaml"),
      support::Manifest{.name = "shop/good", .ip = "198.51.100.80", .endpoints = {"203.0.113.12"}}.Yaml());
  EXPECT_TRUE(support::Eventually(absl::Seconds(2), [&] { return ask(good_at) == "broken"; })) << agent.log();

  // When it is repaired, then it serves, too, and nothing more is said about it.
  support::ReplaceFile(dir.File("broken.yaml"), right);
  EXPECT_TRUE(support::Eventually(absl::Seconds(2), [&] { return ask(broken_at) == "broken"; })) << agent.log();
  EXPECT_EQ(LinesWith(agent.log(), "broken.yaml:").size(), 1U) << agent.log();

  // When it breaks again, then what was programmed stays: a typing mistake must not cut a Service off.
  support::ReplaceFile(dir.File("broken.yaml"), wrong);
  EXPECT_TRUE(support::Eventually(absl::Seconds(2), [&] { return LinesWith(agent.log(), "broken.yaml:").size() == 2; }))
      << agent.log();
  EXPECT_EQ(ask(broken_at), "broken");
}

}  // namespace
}  // namespace pointsman
