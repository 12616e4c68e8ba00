// SPDX-License-Identifier: Apache-2.0
//
// On a node where nothing is yet: what every pod waits for is in the kernel before the rest of a large cluster.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/unit/agent/driver_agent.h"

namespace pointsman {
namespace {

using support::Agent;
using support::Endpoints;
using support::FlushFrontends;
using support::ServiceAt;
using support::Slice;
using support::Svc;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int kMany = 1000;

// A cluster of so many Services besides the API server's and the DNS.
std::vector<ObjectChange> Cluster(int services) {
  std::vector<ObjectChange> changes;
  for (int i = 0; i < services; ++i) {
    const std::string name = absl::StrCat("ns/s", i);
    changes.push_back(ServiceAt(name, absl::StrCat("192.0.", 4 + i / 256, ".", i % 256)));
    changes.push_back(Endpoints(name, 1));
  }
  changes.push_back(ServiceAt("default/kubernetes", "192.0.2.1"));
  changes.push_back(Endpoints("default/kubernetes", 1));
  changes.push_back(Svc("kube-system/names").ClusterIp("192.0.2.10").Udp(53).Label("k8s-app", "kube-dns").Put());
  changes.push_back(Slice("kube-system/names-1", "names").Port(53, "", Protocol::kUdp).Ready("203.0.113.53").Put());
  return changes;
}

// The frontends there were in the kernel after each transaction.
struct History {
  explicit History(Agent<>& agent) {
    agent.kernel.committed = [this, &agent] {
      frontends.push_back(agent.kernel.ruleset.tables.at(Family::kIpv4).sets.at("frontends").elements.size());
      api.push_back(agent.Ask("pod", "192.0.2.1:80"));
    };
  }
  std::vector<size_t> frontends;
  std::vector<std::string> api;
};

void Start(Agent<>& agent, std::vector<ObjectChange> cluster) {
  agent.Put(std::move(cluster));
  agent.Sync();
  agent.Settle();
}

TEST(ColdStartTest, TheApiServerAndTheDnsComeFirst) {
  Agent agent;
  const History history(agent);

  Start(agent, Cluster(kMany));

  EXPECT_THAT(history.frontends, ElementsAre(2, kMany + 2));
  EXPECT_EQ(history.api.front(), "deliver 203.0.113.1:80");
  ASSERT_THAT(agent.passes, SizeIs(1)) << "one pass, in two transactions";
  EXPECT_EQ(agent.passes[0].transactions, 2);
  EXPECT_EQ(agent.passes[0].services, kMany + 2);
  EXPECT_TRUE(agent.passes[0].first.has_value());
  ASSERT_THAT(agent.facts, SizeIs(1)) << "and told of once";
  EXPECT_TRUE(agent.facts[0].second);
  EXPECT_THAT(agent.cleaned, ElementsAre("192.0.2.10:53/udp 1")) << "flows that went past the DNS, once";
}

TEST(ColdStartTest, WhatItLeadsToIsWhatAStartInOnePieceLeadsTo) {
  Agent staged;
  Start(staged, Cluster(kMany));
  Agent over;
  over.kernel.ruleset = staged.kernel.ruleset;

  Start(over, Cluster(kMany));

  EXPECT_EQ(over.kernel.commits, 0) << "a start over it finds nothing to write";
}

TEST(ColdStartTest, ASmallClusterIsOneTransaction) {
  Agent agent;

  Start(agent, Cluster(10));

  EXPECT_EQ(agent.kernel.transactions, 1);
  EXPECT_FALSE(agent.passes[0].first.has_value());
}

TEST(ColdStartTest, AStartOverAFullKernelIsOneTransaction) {
  Agent before;
  Start(before, Cluster(kMany));
  Agent agent;
  agent.kernel.ruleset = before.kernel.ruleset;
  FlushFrontends(agent.kernel.ruleset);

  Start(agent, Cluster(kMany));

  EXPECT_EQ(agent.kernel.transactions, 1);
}

TEST(ColdStartTest, LaterChangesAreOneTransactionEach) {
  Agent agent;
  Start(agent, Cluster(kMany));

  agent.Put({Endpoints("ns/s7", 2)});
  agent.Settle();
  agent.Put({Endpoints("default/kubernetes", 2)});
  agent.Settle();

  EXPECT_EQ(agent.kernel.transactions, 4);
  EXPECT_FALSE(agent.passes.back().first.has_value());
  EXPECT_EQ(agent.Ask("pod", "192.0.2.1:80"), "deliver 203.0.113.1:80 203.0.113.2:80");
}

TEST(ColdStartTest, AFirstTransactionThatFailsIsTriedAgain) {
  Agent agent;
  const History history(agent);
  agent.kernel.commit_faults = {absl::UnavailableError("lost")};

  Start(agent, Cluster(kMany));

  EXPECT_THAT(agent.errors, ElementsAre("commit: lost"));
  EXPECT_THAT(history.frontends, ElementsAre(2, kMany + 2));
  EXPECT_EQ(agent.kernel.observations, 2);
}

TEST(ColdStartTest, ASecondTransactionThatFailsLeavesTheFirst) {
  Agent agent;
  const History history(agent);
  bool failed = false;
  agent.kernel.committed = [&, tell = agent.kernel.committed] {
    tell();
    if (!std::exchange(failed, true)) agent.kernel.commit_faults = {absl::UnavailableError("lost")};
  };

  Start(agent, Cluster(kMany));

  EXPECT_THAT(agent.errors, ElementsAre("commit: lost"));
  EXPECT_THAT(history.frontends, ElementsAre(2, kMany + 2)) << "not a third time: something is there";
  EXPECT_EQ(history.api.back(), "deliver 203.0.113.1:80");
}

TEST(ColdStartTest, AStrangerInBetweenIsNoError) {
  Agent agent;
  bool meddled = false;
  agent.kernel.committed = [&] {
    if (!std::exchange(meddled, true)) agent.kernel.Meddle([](nft::Ruleset&) {});
  };

  Start(agent, Cluster(kMany));

  EXPECT_THAT(agent.errors, IsEmpty());
  EXPECT_EQ(agent.Ask("pod", "192.0.4.7:80"), "deliver 203.0.113.1:80");
}

}  // namespace
}  // namespace pointsman
