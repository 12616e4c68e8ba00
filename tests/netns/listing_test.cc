// SPDX-License-Identifier: Apache-2.0
//
// What an operator sees: our tables as Debian 12's nft lists them, against a golden text. PM_UPDATE_GOLDEN=1 rewrites
// it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "pointsman/netlink.h"
#include "pointsman/nft_program.h"
#include "tests/support/builders.h"
#include "tests/support/files.h"
#include "tests/support/netns.h"
#include "tests/support/process.h"

namespace pointsman {
namespace {

using support::Batch;
using support::Ip;
using support::Net;
using support::Slice;
using support::Svc;

nft::Ruleset Sample() {
  Store store;
  store.Apply(Batch({
      Svc("shop/web")
          .Type(ServiceType::kNodePort)
          .ClusterIp("192.0.2.1")
          .ClusterIp("2001:db8::1")
          .Tcp(80, "http", 30080)
          .Put(),
      Slice("shop/web-4", "web").Port(8080, "http").Ready("203.0.113.11", "n1").Ready("203.0.113.12", "n2").Put(),
      Slice("shop/web-6", "web", Family::kIpv6).Port(8080, "http").Ready("2001:db8:1::11", "n1").Put(),
      Svc("mail/smtp")
          .ClusterIp("192.0.2.25")
          .Tcp(25, "smtp")
          .Vip("198.51.100.50")
          .SourceRange("192.0.2.128/25")
          .ExternalLocal()
          .Put(),
      Slice("mail/smtp-4", "smtp").Port(2525, "smtp").Ready("203.0.113.14", "n1").Ready("203.0.113.26", "n2").Put(),
      Svc("kube-system/kube-dns").ClusterIp("192.0.2.10").Udp(53, "dns").Put(),
  }));
  NodeInfo node{.name = "n1", .node_port_addresses = {Ip("198.51.100.1"), Ip("2001:db8:100::1")}};
  node.local_addresses = node.node_port_addresses;
  const Policy policy{.pods = {.cidrs = {Net("203.0.113.0/24"), Net("2001:db8:1::/64")}}};
  Planner planner;
  std::vector<std::shared_ptr<const ServicePlan>> plans;
  for (const auto& [name, plan] : planner.Plan(store, {.all = true}, node, policy).services) plans.push_back(plan);
  return nft::CompileAll(plans, {.policy = policy, .service_cidrs = {Net("192.0.2.0/25"), Net("2001:db8::/112")}});
}

// Elements in order, one a line: the kernel lists a hash table as it lies.
std::string WithSortedElements(const std::string& listing) {
  std::string out;
  std::vector<std::string> elements;
  bool inside = false;
  for (absl::string_view line : absl::StrSplit(absl::StripSuffix(listing, "\n"), '\n')) {
    absl::string_view text = absl::StripAsciiWhitespace(line);
    if (absl::ConsumePrefix(&text, "elements = {")) inside = true;
    if (!inside) {
      absl::StrAppend(&out, line, "\n");
      continue;
    }
    const bool last = absl::ConsumeSuffix(&text, "}");
    for (absl::string_view element : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
      elements.emplace_back(absl::StripAsciiWhitespace(element));
    }
    if (!last) continue;
    std::sort(elements.begin(), elements.end());
    absl::StrAppend(&out, "\t\telements = {\n");
    for (const std::string& element : elements) absl::StrAppend(&out, "\t\t\t", element, "\n");
    absl::StrAppend(&out, "\t\t}\n");
    elements.clear();
    inside = false;
  }
  return out;
}

TEST(ListingTest, IsWhatDebiansNftShows) {
  support::NetNs node("node");
  const absl::Status committed = node.Call([] {
    auto dataplane = OpenNftDataplane();
    return dataplane.ok() ? (*dataplane)->Commit(nft::Diff(Sample(), {}).commit, kUnknownGeneration).status()
                          : dataplane.status();
  });
  ASSERT_TRUE(committed.ok()) << committed;

  const support::ProcessResult listed = support::RunProcess(node, {"nft", "list", "ruleset"});

  ASSERT_EQ(listed.exit_code, 0) << listed.err;
  const std::string path = PM_SOURCE_DIR "/tests/golden/listing.nft";
  const std::string listing = WithSortedElements(listed.out);
  if (std::getenv("PM_UPDATE_GOLDEN") != nullptr) support::WriteFile(path, listing);
  EXPECT_EQ(listing, support::ReadFile(path)) << "to take it over: PM_UPDATE_GOLDEN=1 ./dev test netns -R listing";
}

}  // namespace
}  // namespace pointsman
