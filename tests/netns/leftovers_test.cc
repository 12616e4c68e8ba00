// SPDX-License-Identifier: Apache-2.0
//
// What a kube-proxy leaves is found and removed to the last piece, and nothing else is.
#include "pointsman/leftovers.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/netns/leftovers_world.h"

namespace pointsman {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Leftovers Find(support::NetNs& node) {
  return node.Call([] {
    absl::StatusOr<Leftovers> found = FindLeftovers();
    if (!found.ok()) support::Fatal(std::string(found.status().message()));
    return *std::move(found);
  });
}

absl::Status Remove(support::NetNs& node, const Leftovers& found, std::vector<std::string>* removed = nullptr) {
  return node.Call([&] { return RemoveLeftovers(found, removed); });
}

std::vector<std::string> NonEmptyLines(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

class LeftoversTest : public ::testing::Test {
 protected:
  LeftoversTest() { node_.Ip("link set lo up\n"); }

  support::NetNs node_{"node"};
};

class LeftoversOfTest : public LeftoversTest, public ::testing::WithParamInterface<Old> {};
INSTANTIATE_TEST_SUITE_P(, LeftoversOfTest, ::testing::ValuesIn(kOlds),
                         [](const auto& row) { return OldName(row.param); });

TEST_F(LeftoversTest, NothingIsFoundWhereKubeProxyNeverWas) {
  EXPECT_EQ(Find(node_), Leftovers());
  AddStrangers(node_);
  const std::string before = Snapshot(node_);
  const Leftovers found = Find(node_);
  EXPECT_EQ(found, Leftovers());
  EXPECT_TRUE(Remove(node_, found).ok());
  EXPECT_EQ(Snapshot(node_), before);
}

TEST_P(LeftoversOfTest, GoToTheLastPieceAndStrangersStay) {
  AddStrangers(node_);
  const std::string before = Snapshot(node_);
  AddKubeProxy(node_, GetParam());
  ASSERT_NE(Snapshot(node_), before);

  const Leftovers found = Find(node_);
  EXPECT_FALSE(found.empty());
  EXPECT_THAT(found.kept, IsEmpty());
  std::vector<std::string> removed;
  const absl::Status status = Remove(node_, found, &removed);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(removed, Describe(found));
  EXPECT_EQ(Snapshot(node_), before);
  EXPECT_EQ(Find(node_), Leftovers());
}

TEST_P(LeftoversOfTest, DryRunNamesExactlyWhatThenGoes) {
  AddStrangers(node_);
  const std::string before = Snapshot(node_);
  AddKubeProxy(node_, GetParam());
  const std::string full = Snapshot(node_);
  const auto cleanup = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), "cleanup");
    const support::ProcessResult result = support::RunPointsman(node_, flags);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return NonEmptyLines(result.out);
  };
  EXPECT_THAT(cleanup({}), ElementsAre("nothing to remove"));  // what is kube-proxy's goes when asked for
  std::vector<std::string> would = cleanup({"--kube-proxy", "--dry-run"});
  EXPECT_EQ(Snapshot(node_), full);
  const std::vector<std::string> json = cleanup({"--kube-proxy", "--dry-run", "-o", "json"});
  EXPECT_THAT(absl::StrJoin(json, "\n"), HasSubstr("\"kube-proxy\": ["));
  EXPECT_EQ(Snapshot(node_), full);

  for (std::string& line : would) {
    EXPECT_EQ(line.rfind("would delete ", 0), 0U) << line;
    line = line.substr(std::string("would ").size());
  }
  EXPECT_EQ(cleanup({"--kube-proxy"}), would);
  EXPECT_EQ(Snapshot(node_), before);
  EXPECT_THAT(cleanup({"--kube-proxy"}), ElementsAre("nothing to remove"));
}

TEST_F(LeftoversTest, AreNamedAsAUserWouldWriteThem) {
  for (const Old old : {Old::kNftables, Old::kIptablesNft, Old::kIpvsLegacy}) AddKubeProxy(node_, old);
  const std::vector<std::string> lines = Describe(Find(node_));
  for (const char* line :
       {"table ip kube-proxy", "table ip6 kube-proxy", "iptables nat chain KUBE-SERVICES (nft)",
        "ip6tables nat chain KUBE-SERVICES (legacy)", "iptables mangle chain KUBE-PROXY-CANARY (nft)",
        "iptables nat rule -A PREROUTING ... -j KUBE-SERVICES (nft)", "ipset KUBE-CLUSTER-IP",
        "ipset KUBE-6-LOAD-BALANCER-SOURCE-CID", "device kube-ipvs0"}) {
    EXPECT_THAT(lines, Contains(line));
  }
  const Leftovers found = Find(node_);
  ASSERT_TRUE(found.device.has_value());
  EXPECT_EQ(found.device->addresses.size(), 4U);
}

// As in a pod with CAP_NET_ADMIN alone.
TEST_F(LeftoversTest, WhatCannotBeLookedIntoIsSaidAndTheRestGoes) {
  for (const Old old : {Old::kNftables, Old::kIpvsLegacy}) AddKubeProxy(node_, old);
  const support::ProcessResult cleanup =
      support::RunProcess(node_, {"setpriv", "--bounding-set", "-all,+net_admin", "--inh-caps", "-all,+net_admin",
                                  "--no-new-privs", support::PointsmanBinary(), "cleanup", "--kube-proxy"});
  EXPECT_EQ(cleanup.exit_code, 0) << cleanup.err;
  EXPECT_THAT(NonEmptyLines(cleanup.out),
              ElementsAre("delete table ip kube-proxy", "delete table ip6 kube-proxy",
                          HasSubstr("iptables (legacy): not looked into, that needs CAP_NET_RAW")));
  const Leftovers left = Find(node_);
  EXPECT_THAT(left.nft_tables, IsEmpty());
  EXPECT_THAT(left.tables, Not(IsEmpty()));
  EXPECT_THAT(left.ipsets, Not(IsEmpty()));
}

// A stranger's rule must not lose what it leads to, whichever table it is in.
TEST_F(LeftoversTest, WhatAStrangerLeadsToStaysAndIsNamed) {
  for (const char* variant : {"nft", "legacy"}) {
    const std::string iptables = Iptables(Family::kIpv4, variant);
    Tool(node_, {iptables + "-restore", "--noflush"}, support::ReadFile(RulesFile("iptables.v4")));
    Tool(node_, {iptables + "-restore", "--noflush"},
         "*nat\n:MINE - [0:0]\n-A PREROUTING -j MINE\n-A MINE -s 192.0.2.7 -j KUBE-MARK-MASQ\nCOMMIT\n");
  }
  const Leftovers found = Find(node_);
  const std::string why = "stays: the rule `-A MINE ... -j KUBE-MARK-MASQ` is not kube-proxy's";
  EXPECT_THAT(found.kept, ElementsAre("iptables nat chain KUBE-MARK-MASQ (nft) " + why,
                                      "iptables nat chain KUBE-MARK-MASQ (legacy) " + why));
  EXPECT_THAT(Describe(found), Not(Contains(HasSubstr("chain KUBE-MARK-MASQ"))));
  const absl::Status status = Remove(node_, found);
  EXPECT_TRUE(status.ok()) << status;
  for (const char* variant : {"nft", "legacy"}) {
    const std::string nat = Tool(node_, {Iptables(Family::kIpv4, variant) + "-save", "-t", "nat"});
    EXPECT_THAT(nat, HasSubstr("-A MINE -s 192.0.2.7/32 -j KUBE-MARK-MASQ")) << variant;
    EXPECT_THAT(nat, HasSubstr("-A KUBE-MARK-MASQ -j MARK")) << variant;
    EXPECT_THAT(nat, Not(HasSubstr("KUBE-SERVICES"))) << variant;
  }
  EXPECT_TRUE(Find(node_).empty());
}

// Only the kernel's count of uses tells of these.
TEST_F(LeftoversTest, WhatAMapLeadsToStays) {
  AddKubeProxy(node_, Old::kIptablesNft);
  Tool(node_, {"nft", "-f", "-"},
       "add map ip nat m { type mark : verdict; elements = { 7 : jump KUBE-POSTROUTING } }\n");
  const Leftovers found = Find(node_);
  EXPECT_THAT(found.kept, ElementsAre(HasSubstr("chain KUBE-POSTROUTING (nft) stays: something that is no rule")));
  const absl::Status status = Remove(node_, found);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(Find(node_).empty());
}

TEST_F(LeftoversTest, WhatHasChangedSinceItWasFoundIsLeftAlone) {
  AddStrangers(node_);
  for (const Old old : {Old::kNftables, Old::kIptablesNft, Old::kIpvsLegacy}) AddKubeProxy(node_, old);
  const Leftovers found = Find(node_);
  for (const char* variant : {"nft", "legacy"}) {
    Tool(node_, {Iptables(Family::kIpv4, variant), "-t", "nat", "-N", "KUBE-SVC-AAAAAAAAAAAAAAAA"});
  }
  const std::string full = Snapshot(node_);
  std::vector<std::string> removed;
  const absl::Status status = Remove(node_, found, &removed);
  EXPECT_TRUE(absl::IsAborted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("is a kube-proxy still running?"));
  // Of the legacy tables only the one that has changed stays; nothing that its rules use is touched.
  EXPECT_THAT(removed, Not(Contains(HasSubstr("(nft)"))));
  EXPECT_THAT(removed, Not(Contains(HasSubstr("iptables nat"))));
  EXPECT_THAT(removed, Not(Contains(HasSubstr("ipset"))));
  EXPECT_THAT(Snapshot(node_), HasSubstr("table ip kube-proxy\n"));
  EXPECT_THAT(Snapshot(node_), HasSubstr("device kube-ipvs0\n"));

  const absl::Status again = Remove(node_, Find(node_));
  EXPECT_TRUE(again.ok()) << again;
  EXPECT_TRUE(Find(node_).empty());
}

TEST_F(LeftoversTest, AnIpsetThatAStrangersRuleUsesIsReportedAndTheOthersGo) {
  AddKubeProxy(node_, Old::kIpvsNft);
  Tool(node_,
       {"iptables-nft", "-A", "FORWARD", "-m", "set", "--match-set", "KUBE-CLUSTER-IP", "dst,dst", "-j", "DROP"});
  std::vector<std::string> removed;
  const absl::Status status = Remove(node_, Find(node_), &removed);
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(status.message(), "remove ipset KUBE-CLUSTER-IP: something refers to it");
  EXPECT_EQ(Find(node_).ipsets, std::vector<std::string>{"KUBE-CLUSTER-IP"});
  EXPECT_THAT(removed, Contains("device kube-ipvs0"));
}

}  // namespace
}  // namespace pointsman
