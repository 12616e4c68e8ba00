// SPDX-License-Identifier: Apache-2.0
//
// The tables of others are none of our business.
#include <string>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/netns.h"

namespace pointsman {
namespace {

using ::testing::HasSubstr;

// Among them one that has our name in another family, and chains at our own hooks.
constexpr char kForeign[] = R"(
table inet pointsman {
  set frontends { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2 }; }
  chain services { ip saddr @frontends accept; }
}
table ip firewall {
  set bad { type ipv4_addr; flags interval; elements = { 198.51.100.0/25, 203.0.113.250 }; }
  map ports { type inet_service : ipv4_addr; elements = { 80 : 192.0.2.8, 443 : 192.0.2.9 }; }
  map ways { type ipv4_addr . inet_service : verdict; elements = { 192.0.2.7 . 22 : accept, 192.0.2.7 . 23 : drop }; }
  chain pre {
    type nat hook prerouting priority dstnat + 10; policy accept;
    ip daddr 192.0.2.200 dnat to tcp dport map @ports
  }
  chain input {
    type filter hook input priority filter; policy accept;
    ip saddr @bad drop
    ip saddr . tcp dport vmap @ways
  }
}
table ip6 firewall {
  chain forward {
    type filter hook forward priority filter; policy accept;
    ip6 saddr 2001:db8:bad::/48 reject
  }
}
)";

support::Manifest Web(int endpoints) {
  support::Manifest web{.name = "shop/web", .ip = "192.0.2.80", .node_port = 30080, .endpoints = {}};
  for (int i = 0; i < endpoints; ++i) web.endpoints.push_back(absl::StrCat("203.0.113.", 11 + i));
  return web;
}

TEST(ForeignTableTest, StaysByteForByteWhatItWas) {
  // Given tables of others.
  support::NetNs node("node");
  const auto listing = [&] { return support::RunProcess(node, {"nft", "--stateless", "list", "ruleset"}).out; };
  const support::ProcessResult loaded = support::RunProcess(node, {"nft", "-f", "-"}, {.stdin_text = kForeign});
  ASSERT_EQ(loaded.exit_code, 0) << loaded.err;
  const std::string before = listing();
  ASSERT_THAT(before, HasSubstr("table inet pointsman"));

  // When the agent starts, changes its own tables often, and is stopped.
  support::TempDir dir;
  support::WriteFile(dir.File("web.yaml"), Web(1).Yaml());
  support::AgentProcess agent(node, {"--manifests", dir.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  for (const int endpoints : {3, 0, 9, 2, 17, 1}) {
    const size_t mark = agent.Mark();
    support::ReplaceFile(dir.File("web.yaml"), Web(endpoints).Yaml());
    ASSERT_TRUE(agent.WaitForEvent("reconciled", absl::Seconds(5), mark)) << agent.log();
  }
  agent.process().Signal(SIGHUP);
  // Then the others' tables stand where they stood, and say what they said.
  const std::string during = listing();
  EXPECT_THAT(during, HasSubstr("table ip pointsman"));
  EXPECT_EQ(during.substr(0, before.size()), before);
  agent.Terminate();

  // And once we have cleaned up, nobody can tell that we were there.
  const support::ProcessResult dry = support::RunPointsman(node, {"cleanup", "--dry-run"});
  EXPECT_EQ(dry.exit_code, 0) << dry.err;
  EXPECT_THAT(listing(), HasSubstr("table ip pointsman"));
  const support::ProcessResult cleaned = support::RunPointsman(node, {"cleanup"});
  EXPECT_EQ(cleaned.exit_code, 0) << cleaned.err;
  EXPECT_EQ(listing(), before);
  EXPECT_EQ(support::RunPointsman(node, {"cleanup"}).exit_code, 0) << "nothing to clean up is no mistake";
}

}  // namespace
}  // namespace pointsman
