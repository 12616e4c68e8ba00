// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "pointsman/plan.h"
#include "tests/support/builders.h"

namespace pointsman {
namespace {

using support::At;
using support::Ip;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// "e3 R L z:a,b n:node-1" is 10.0.0.3:80, ready, on this node, hinted. States: R; ST (serving, terminating); N
// (neither); NS (terminating, not serving); S (serving only); RT (ready, terminating).
Endpoint ParseEndpoint(const std::string& text, const std::string& here) {
  const std::vector<std::string> words = absl::StrSplit(text, ' ');
  Endpoint e{.addr = At(absl::StrCat("10.0.0.", words[0].substr(1), ":80"))};
  e.node = "elsewhere";
  for (size_t i = 1; i < words.size(); ++i) {
    absl::string_view word = words[i];
    if (word == "L") {
      e.node = here;
    } else if (word == "?") {
      e.node = std::nullopt;
    } else if (absl::ConsumePrefix(&word, "z:")) {
      e.zone_hints = std::vector<std::string>(absl::StrSplit(word, ','));
    } else if (absl::ConsumePrefix(&word, "n:")) {
      e.node_hints = std::vector<std::string>(absl::StrSplit(word, ','));
    } else {
      e.ready = word == "R" || word == "RT";
      e.serving = e.ready || word == "ST" || word == "S";
      e.terminating = word == "ST" || word == "NS" || word == "RT";
    }
  }
  return e;
}

ServicePort Port(const std::string& policies, const std::string& endpoints, const std::string& here) {
  ServicePort port{.cluster_ip = Ip("192.0.2.1"), .port = 80};
  port.internal_policy = policies[0] == 'L' ? TrafficPolicy::kLocal : TrafficPolicy::kCluster;
  port.external_policy = policies[1] == 'L' ? TrafficPolicy::kLocal : TrafficPolicy::kCluster;
  port.node_port = policies[2] == '+' ? 8080 : 0;
  for (absl::string_view text : absl::StrSplit(endpoints, "; ", absl::SkipEmpty())) {
    port.endpoints.push_back(ParseEndpoint(std::string(text), here));
  }
  return port;
}

std::string Names(const std::vector<SocketAddr>& list) {
  return absl::StrJoin(list, " ", [](std::string* out, const SocketAddr& a) {
    absl::StrAppend(out, "e", absl::StripPrefix(FormatIp(a.addr), "10.0.0."));
  });
}

struct Row {
  const char* name;
  const char* node;
  const char* zone;
  const char* policies;  // internal and external policy (C, L), and whether the port takes external traffic (+, -)
  const char* endpoints;
  const char* cluster;
  const char* local;
  bool any;
  const char* why;
};

class ChooseEndpointsRow : public ::testing::TestWithParam<Row> {};

TEST_P(ChooseEndpointsRow, GivesTheseLists) {
  const Row& row = GetParam();
  const NodeInfo node{.name = row.node, .zone = row.zone};

  const EndpointChoice choice = ChooseEndpoints(Port(row.policies, row.endpoints, row.node), node);

  EXPECT_EQ(Names(choice.cluster), row.cluster) << row.why;
  EXPECT_EQ(Names(choice.local), row.local) << row.why;
  EXPECT_EQ(choice.any, row.any) << row.why;
}

constexpr char kFour[] = "e3 R z:a n:node-1; e4 R z:b n:node-2; e5 R z:c n:node-3; e6 R z:a n:node-4";
constexpr char kMixed[] = "e3 R z:a L; e4 R z:b L; e5 R z:c; e6 R z:a";

INSTANTIATE_TEST_SUITE_P(
    WorkedCases, ChooseEndpointsRow,
    ::testing::ValuesIn(std::vector<Row>{
        // Zone hints.
        {"C01", "n", "a", "CC-", "e3 R z:a; e4 R z:b; e5 R z:c; e6 R z:a", "e3 e6", "", true, "this zone's"},
        {"C02", "n", "a", "CL+", kMixed, "e3 e6", "e3 e4", true, "hints never narrow the local list"},
        {"C03", "n", "a", "LC+", kMixed, "e3 e6", "e3 e4", true, "nor with the internal policy"},
        {"C04", "n", "", "CC-", "e3 R z:a", "e3", "", true, "a node without a zone ignores zones"},
        {"C06", "n", "b", "CC-", "e3 R z:a", "e3", "", true, "no endpoint for this zone: all"},
        {"C07", "n", "a", "CC-", "e3 R z:a; e4 R z:b; e5 R z:c; e6 N z:a", "e3", "", true, "only what is ready"},
        {"C08", "n", "a", "CC-", "e3 N z:a; e4 R z:b; e5 R z:c; e6 N z:a", "e4 e5", "", true,
         "the hinted ones are not ready: all"},
        {"C09", "n", "a", "CC-", "e3 R z:a; e4 R z:b; e5 R; e6 R z:a", "e3 e4 e5 e6", "", true,
         "one ready endpoint without a hint ends it"},
        {"C10", "n", "c", "CC-", "e3 R z:a,b,c; e4 R z:b,c; e5 R z:b,d; e6 R z:c", "e3 e4 e6", "", true,
         "an endpoint may serve several zones"},
        {"C15", "n", "a", "CL+", "e0 R z:a L; e1 R z:b L; e2 R z:a; e3 R z:b", "e0 e2", "e0 e1", true, "as C02"},
        {"C35", "n", "a", "CC-", "e3 ST z:b; e4 ST z:a", "e3 e4", "", true, "the fallback ignores hints"},
        {"C36", "n", "a", "CC-", "e3 R z:a; e4 ST", "e3", "", true, "who is not ready needs no hint"},
        {"UnknownZoneEmptyHint", "n", "", "CC-", "e3 R z:; e4 R z:b", "e3 e4", "", true,
         "an empty zone matches nothing, not even an empty hint"},
        // Node hints.
        {"C12", "node-1", "a", "CC-", kFour, "e3", "", true, "the node before the zone"},
        {"C13", "node-1", "a", "CC-", "e3 R z:a n:node-1; e4 R; e5 R z:c n:node-3; e6 R z:a n:node-4", "e3 e4 e5 e6",
         "", true, "one without any hint ends both"},
        {"C14", "node-0", "a", "CC-", kFour, "e3 e6", "", true, "none for this node: by zone"},
        {"C33", "node-1", "", "CC-", "e3 R n:node-1; e4 R n:node-2", "e3", "", true, "node hints need no zone"},
        {"C34", "node-9", "", "CC-", "e3 R n:node-1; e4 R n:node-2", "e3 e4", "", true, "none for us, no zones: all"},
        {"C40", "node-1", "a", "CC-", "e3 R z:a n:node-1; e4 R z:a n:node-2; e5 R z:b n:node-1", "e3 e5", "", true,
         "by node, zones are ignored"},
        {"SomeLackNodeHints", "node-1", "a", "CC-", "e3 R z:a n:node-1; e4 R z:a; e5 R z:b", "e3 e4", "", true,
         "not all have node hints: by zone"},
        {"NamelessNode", "", "", "CC-", "e3 R n:; e4 R n:x", "e3 e4", "", true,
         "a node without a name matches nothing"},
        // Local policies.
        {"C16", "n", "", "LC-", "", "", "", false, "no endpoints at all"},
        {"C17", "n", "", "LC-", "e0 R; e1 R", "", "", true, "none here, but elsewhere: drop, not refuse"},
        {"C18", "n", "", "LC-", "e0 R L; e1 R L", "", "e0 e1", true, "the cluster list is not used"},
        {"C19", "n", "", "LC-", "e0 R L; e1 R", "", "e0", true, "this node's"},
        {"C23", "n", "", "LC+", "e0 R L; e1 R", "e0 e1", "e0", true, "external traffic needs the cluster list"},
        {"C24", "n", "", "CL+", "e0 R L; e1 R", "e0 e1", "e0", true, "both lists"},
        {"C25", "n", "", "LL+", "e0 R L; e1 R", "e0 e1", "e0", true, "both lists"},
        {"C26", "n", "", "LL+", "e0 R; e1 R", "e0 e1", "", true, "none here"},
        {"C27", "n", "", "LL+", "e0 ST; e1 ST", "e0 e1", "", true, "none here, all leaving"},
        {"C28", "n", "", "CL+", "e0 R; e1 N L; e2 ST L; e3 ST", "e0", "e2", true,
         "each list falls back for itself: local to who is leaving"},
        {"C29", "n", "", "CL-", "e0 R; e1 R L", "e0 e1", "", true, "no external traffic: no local list"},
        {"C30", "n", "", "LC-", "e0 R; e1 R L", "", "e1", true, "this node's"},
        {"C39", "n", "", "LC-", "e0 N L; e1 ST L; e2 R", "", "e1", true,
         "local fallback while others are ready elsewhere"},
        {"E01", "n", "", "CL+", "e1 R L; e2 R L; e3 ST L; e4 NS L; e5 R", "e1 e2 e5", "e1 e2", true,
         "no fallback while one is ready"},
        {"E02", "n", "", "CL+", "e2 ST L; e3 ST L; e4 NS L; e5 R", "e5", "e2 e3", true, "local fallback only"},
        {"E03", "n", "", "CL+", "e5 ST", "e5", "", true, "cluster fallback only"},
        {"E04", "n", "", "CL+", "e5 NS L; e6 NS", "", "", false, "nobody serves"},
        {"NamelessNodeLocal", "", "", "LC-", "e0 R ?; e1 R", "", "", true, "no name, nothing local"},
        // States.
        {"C20", "n", "", "CC-", "e0 N; e1 N", "", "", false, "none ready"},
        {"C21", "n", "", "CC-", "e0 N; e1 R", "e1", "", true, "ready only"},
        {"C22", "n", "", "CC-", "e0 ST L; e1 ST", "e0 e1", "", true, "all leaving: those"},
        {"C31", "n", "", "CC-", "", "", "", false, "no endpoints"},
        {"C32", "n", "a", "CC-", "e0 N", "", "", false, "none ready"},
        {"C37", "n", "", "CC-", "e0 S", "", "", false, "serving and not leaving is a contradiction: never used"},
        {"C38", "n", "", "CC-", "e0 RT", "e0", "", true, "ready wins over terminating: publishNotReadyAddresses"},
        {"E05", "n", "", "CC+", "e1 R L; e2 R L; e3 ST; e4 N; e5 R", "e1 e2 e5", "", true,
         "no fallback while one is ready"},
        {"E06", "n", "", "CC+", "e2 ST L; e3 ST L; e4 N; e5 ST", "e2 e3 e5", "", true, "fallback"},
        {"MixedFallback", "n", "", "CC-", "e0 ST; e1 S; e2 NS; e3 N", "e0", "", true, "of these only one is usable"},
    }),
    [](const auto& row) { return std::string(row.param.name); });

// What exists anywhere and on this node (section 7.6 of the reference, states only).
INSTANTIATE_TEST_SUITE_P(
    TruthTable, ChooseEndpointsRow,
    ::testing::ValuesIn(std::vector<Row>{
        {"ReadyReady", "n", "", "CL+", "e0 R L; e1 R; e2 ST L; e3 ST", "e0 e1", "e0", true, "R anywhere, R here"},
        {"ReadyLeaving", "n", "", "CL+", "e1 R; e2 ST L; e3 ST", "e1", "e2", true, "R anywhere, ST here"},
        {"ReadyNone", "n", "", "CL+", "e1 R; e3 ST; e4 N L", "e1", "", true, "R anywhere, nothing here"},
        {"LeavingLeaving", "n", "", "CL+", "e2 ST L; e3 ST", "e2 e3", "e2", true, "ST anywhere, ST here"},
        {"LeavingNone", "n", "", "CL+", "e3 ST; e4 N L", "e3", "", true, "ST anywhere, nothing here"},
        {"NoneNone", "n", "", "CL+", "e4 N L; e5 NS; e6 S", "", "", false, "nothing anywhere"},
    }),
    [](const auto& row) { return std::string(row.param.name); });

TEST(ChooseEndpointsTest, EachKindOfExternalAddressTakesExternalTraffic) {
  const NodeInfo node{.name = "n"};
  ServicePort vip = Port("CL-", "e0 R L", "n");
  vip.load_balancer_ips = {Ip("198.51.100.1")};
  ServicePort external = Port("CL-", "e0 R L", "n");
  external.external_ips = {Ip("198.51.100.1")};

  EXPECT_EQ(Names(ChooseEndpoints(vip, node).local), "e0");
  EXPECT_EQ(Names(ChooseEndpoints(external, node).local), "e0");
  EXPECT_EQ(Names(ChooseEndpoints(Port("CL-", "e0 R L", "n"), node).local), "");
}

TEST(ChooseEndpointsTest, OnlyUsableEndpointsThatMayBeHereCanBeTheirOwnClients) {
  const NodeInfo node{.name = "n"};

  const EndpointChoice choice = ChooseEndpoints(Port("CC-", "e1 R L; e2 R; e3 R ?; e4 ST L; e5 N L", "n"), node);

  EXPECT_THAT(choice.hairpin, ElementsAre(Ip("10.0.0.1"), Ip("10.0.0.3")))
      << "on this node, or on nobody knows which; not the one that gets no traffic";
}

TEST(ChooseEndpointsTest, AnEndpointOfTheLocalListOnlyMayBeItsOwnClientToo) {
  const NodeInfo node{.name = "n", .zone = "b"};

  const EndpointChoice choice = ChooseEndpoints(Port("CL+", "e1 R L z:a; e2 R z:b", "n"), node);

  ASSERT_EQ(Names(choice.cluster), "e2");
  EXPECT_THAT(choice.hairpin, ElementsAre(Ip("10.0.0.1"), Ip("10.0.0.2")));
}

TEST(ChooseEndpointsTest, APodOfAnotherNodeMayComeBackToItselfThroughAShortCut) {
  const NodeInfo node{.name = "n"};

  // Under external policy Local its address is kept; under Cluster it is rewritten on every way.
  EXPECT_THAT(ChooseEndpoints(Port("CL+", "e1 R", "n"), node).hairpin, ElementsAre(Ip("10.0.0.1")));
  EXPECT_THAT(ChooseEndpoints(Port("CC+", "e1 R", "n"), node).hairpin, IsEmpty());
}

TEST(ChooseEndpointsTest, TwoPortsOfOneAddressAreOneHairpin) {
  ServicePort port = Port("CC-", "e1 R L; e1 R L", "n");
  port.endpoints[1].addr.port = 8080;

  EXPECT_THAT(ChooseEndpoints(port, {.name = "n"}).hairpin, ElementsAre(Ip("10.0.0.1")));
}

TEST(ChooseEndpointsTest, NothingUsableIsNoHairpin) {
  EXPECT_THAT(ChooseEndpoints(Port("CC-", "e1 N L", "n"), {.name = "n"}).hairpin, IsEmpty());
}

}  // namespace
}  // namespace pointsman
