// SPDX-License-Identifier: Apache-2.0
//
// A driver between an inbox and a kernel in memory, with all it tells.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "gtest/gtest.h"

#include "agent/loop/clock.h"
#include "agent/reconcile/driver.h"
#include "pointsman/nft_simulate.h"
#include "tests/support/builders.h"
#include "tests/support/fake_dataplane.h"
#include "tests/unit/rules/packets.h"

namespace pointsman::support {

template <typename Kernel = FakeDataplane>
struct Agent {
  explicit Agent(Config config = {.node_name = "n1"})
      : driver(
            std::move(config), inbox, kernel,
            {.diagnostic = [this](const Diagnostic& d) { diagnostics.push_back(FormatDiagnostic(d)); },
             .pass =
                 [this](const PassReport& report) {
                   passes.push_back(report);
                   told.emplace_back("pass");
                 },
             .error =
                 [this](const absl::Status& status, const char* stage) {
                   errors.push_back(absl::StrCat(stage, ": ", std::string(status.message())));
                   told.emplace_back("error");
                 },
             .clean =
                 [this](std::vector<FlowCheck> checks) {
                   for (const FlowCheck& check : checks) {
                     if (check.renews) continue;
                     cleaned.push_back(absl::StrCat(FormatMatch(check.frontend), " ", check.keep.size()));
                   }
                 },
             .not_remembered = [this](uint64_t count) { not_remembered.push_back(count); },
             .took = [this](int services, int slices) { told.push_back(absl::StrCat("took ", services, "+", slices)); },
             .pending = [this] { told.emplace_back("pending"); },
             .settled = [this] { told.emplace_back("settled"); },
             .pass_failed = [this](const PassReport& report) { failed.push_back(report); },
             .conflict = [this] { told.emplace_back("conflict"); },
             .observed = [this](const absl::Status& status,
                                absl::Duration) { told.push_back(status.ok() ? "observed" : "not observed"); },
             .facts =
                 [this](absl::btree_map<NamespacedName, ServiceFacts> of, bool all) {
                   told.emplace_back("facts");
                   facts.emplace_back(std::move(of), all);
                 },
             .node =
                 [this](const Node* node, const NodeInfo&) {
                   nodes.push_back(node == nullptr ? "none"
                                                   : absl::StrCat("taints=", absl::StrJoin(node->taints, ","),
                                                                  node->deleting ? " deleting" : ""));
                 },
             .diagnosed =
                 [this](const NamespacedName& service, const Diagnostics& of) {
                   diagnosed.push_back(absl::StrCat(FormatName(service), " ", of.size()));
                 }}) {}

  void Put(std::vector<ObjectChange> changes) {
    inbox.Put(std::move(changes), SteadyNow());
    driver.Wake();
  }
  void Sync() {
    inbox.MarkSynced();
    driver.Wake();
  }
  // Goes on until there is nothing left to do. `ahead` skips delays.
  void Settle(absl::Duration ahead = absl::Minutes(1)) {
    for (int i = 0; i < 100 && !driver.idle(); ++i) driver.Step(SteadyNow() + ahead);
    ASSERT_TRUE(driver.idle()) << driver.last_error();
  }
  // As time goes by without events: the drift check and what it leads to.
  void LaterOn(absl::Duration ahead) {
    driver.Step(SteadyNow() + ahead);
    Settle(ahead);
  }
  // What becomes of a packet.
  std::string Ask(const std::string& from, const std::string& to) {
    const absl::StatusOr<Outcome> outcome = nft::Simulate(kernel.ruleset, {}, Send(from, to));
    return outcome.ok() ? FormatOutcome(*outcome) : std::string(outcome.status().message());
  }
  std::string ChainOf(const std::string& comment) {
    for (const auto& [key, value] : kernel.ruleset.tables.at(Family::kIpv4).sets.at("frontends").elements) {
      if (value.comment == comment) return std::get<nft::Verdict>(value.data).chain;
    }
    return "";
  }
  // What was told since the last time: each hook's name, in order.
  std::vector<std::string> Told() { return std::exchange(told, {}); }

  Inbox inbox;
  Kernel kernel;
  std::vector<std::string> diagnostics;
  std::vector<PassReport> passes;
  std::vector<PassReport> failed;
  std::vector<std::string> errors;
  std::vector<std::string> cleaned;  // frontend, and how many may go on to serve its flows
  std::vector<uint64_t> not_remembered;
  std::vector<std::string> told;
  std::vector<std::pair<absl::btree_map<NamespacedName, ServiceFacts>, bool>> facts;  // and whether they are all
  std::vector<std::string> nodes;
  std::vector<std::string> diagnosed;  // "NAME COUNT"
  Driver driver;
};

inline ObjectChange ServiceAt(const std::string& name, const std::string& cluster_ip) {
  return Svc(name).ClusterIp(cluster_ip).Tcp(80).Put();
}
inline ObjectChange Endpoints(const std::string& service, int count) {
  const std::string name = service.substr(service.find('/') + 1);
  Slice slice(service + "-1", name);
  slice.Port(80);
  for (int i = 1; i <= count; ++i) slice.Ready(absl::StrCat("203.0.113.", i));
  return slice.Put();
}
inline ObjectChange PutNode(Node node) {
  node.meta.name = {"", "n1"};
  return {{Kind::kNode, node.meta.name}, PackedObject(std::move(node))};
}

// What others do to our tables.
inline void AddForeignChain(nft::Ruleset& ruleset) { ruleset.tables[Family::kIpv4].chains["mine"]; }
inline void FlushFrontends(nft::Ruleset& ruleset) { ruleset.tables[Family::kIpv4].sets["frontends"].elements.clear(); }

// One Service with one endpoint, in the kernel.
template <typename Kernel = FakeDataplane>
std::unique_ptr<Agent<Kernel>> Running(Config config = {.node_name = "n1"}) {
  auto agent = std::make_unique<Agent<Kernel>>(std::move(config));
  agent->Put({ServiceAt("ns/web", "192.0.2.1"), Endpoints("ns/web", 1)});
  agent->Sync();
  agent->Settle();
  return agent;
}

}  // namespace pointsman::support
