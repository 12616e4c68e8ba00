// SPDX-License-Identifier: Apache-2.0
//
// The trial of a program against a real kernel: what it says, and that nothing comes of it.
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "pointsman/netlink.h"
#include "pointsman/nft_program.h"
#include "tests/support/netns.h"
#include "tests/support/process.h"

namespace pointsman {
namespace {

using support::NetNs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Verdict = NftTrial::Verdict;

const NftTrial kIpv4Works = {.family = Family::kIpv4};
const NftTrial kIpv6Works = {.family = Family::kIpv6};

// What is in nf_tables, and how often that has changed.
struct Picture {
  std::string listing;
  Generation generation = kUnknownGeneration;
  friend bool operator==(const Picture&, const Picture&) = default;
};

Picture Look(NetNs& ns) {
  Picture picture{.listing = support::RunProcess(ns, {"nft", "list", "ruleset"}).out};
  ns.Run([&] { picture.generation = OpenNftDataplane().value()->CurrentGeneration().value(); });
  return picture;
}

absl::StatusOr<std::vector<NftTrial>> Probe(NetNs& ns, const nft::ChangeSet& program = nft::CompileTrial()) {
  return ns.Call([&] { return ProbeNft(program); });
}

TEST(ProbeTest, BothFamiliesWorkHereAndNothingRemains) {
  NetNs ns("probe");
  const Picture before = Look(ns);
  EXPECT_EQ(before.listing, "");

  for (int i = 0; i < 20; ++i) {
    const absl::StatusOr<std::vector<NftTrial>> trials = Probe(ns);
    ASSERT_TRUE(trials.ok()) << trials.status();
    EXPECT_THAT(*trials, ElementsAre(kIpv4Works, kIpv6Works)) << trials->front().why << trials->back().why;
  }

  EXPECT_EQ(Look(ns), before);
}

TEST(ProbeTest, ARunningProgramIsNotTouched) {
  NetNs ns("probe");
  const nft::ChangeSet program = nft::CompileTrial();
  ns.Run([&] { ASSERT_TRUE(OpenNftDataplane().value()->Commit(program, kUnknownGeneration).ok()); });
  const Picture before = Look(ns);
  ASSERT_THAT(before.listing, HasSubstr("table ip6 pointsman {"));

  EXPECT_THAT(Probe(ns).value(), ElementsAre(kIpv4Works, kIpv6Works));

  EXPECT_EQ(Look(ns), before);
}

TEST(ProbeTest, WhatTheKernelRefusesIsSaidAndNothingRemains) {
  NetNs ns("probe");
  const Picture before = Look(ns);
  nft::Lookup nowhere = {.set = "nowhere"};
  const nft::ChangeSet program = {
      nft::AddTable{Family::kIpv4, ""},
      nft::AddChain{Family::kIpv4, "nat", nft::Hook{}, ""},
      nft::AddRule{Family::kIpv4, "nat", {.exprs = {nft::Numgen{.modulus = 2}, nowhere}, .comment = ""}},
      nft::AddTable{Family::kIpv6, ""},
  };

  const std::vector<NftTrial> trials = Probe(ns, program).value();

  ASSERT_EQ(trials.size(), 2U);
  EXPECT_EQ(trials[0].verdict, Verdict::kRefused);
  EXPECT_THAT(trials[0].why, HasSubstr("add rule pointsman/nat (ip): No such file or directory"));
  EXPECT_EQ(trials[1], kIpv6Works) << "a family stands for itself";
  EXPECT_EQ(Look(ns), before);
}

TEST(ProbeTest, WhereIpv6IsDisabledItIsOffThoughNfTablesWouldTakeIt) {
  NetNs ns("probe");
  ns.Sysctl("net/ipv6/conf/all/disable_ipv6", "1");

  const std::vector<NftTrial> trials = Probe(ns).value();

  ASSERT_EQ(trials.size(), 2U);
  EXPECT_EQ(trials[0], kIpv4Works);
  EXPECT_EQ(trials[1].verdict, Verdict::kFamilyOff);
  EXPECT_EQ(trials[1].why, "IPv6 is off: net.ipv6.conf.all.disable_ipv6 is 1");
  ns.Run([] { EXPECT_TRUE(OpenNftDataplane().value()->Commit(nft::CompileTrial(), kUnknownGeneration).ok()); });
}

TEST(ProbeTest, OnlyTheFamiliesOfTheProgramAreTried) {
  NetNs ns("probe");
  EXPECT_THAT(Probe(ns, {}).value(), ElementsAre());
  EXPECT_THAT(Probe(ns, {nft::AddTable{Family::kIpv6, ""}}).value(), ElementsAre(kIpv6Works));
}

}  // namespace
}  // namespace pointsman
