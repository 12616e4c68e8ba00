// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/proxy_health.h"

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/loop/clock.h"
#include "agent/metrics/metrics.h"
#include "agent/serve/endpoints.h"
#include "agent/serve/http_server.h"
#include "nlohmann/json.hpp"
#include "tests/support/netns.h"
#include "tests/unit/agent/serve/client.h"

namespace pointsman::serve {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(10);
// Seconds from now on, in both times.
Moment After(absl::Time start, int seconds) {
  return {.calendar = absl::FromUnixSeconds(1777629600 + seconds), .steady = start + absl::Seconds(seconds)};
}

// The worked cases of kube-proxy's health server: what happens, when it is asked, and the answers.
struct Case {
  const char* name;
  std::vector<Family> families;  // whose loops start at 0
  // What happens; `at` makes a moment of a number of seconds.
  std::function<void(Standing&, const std::function<Moment(int)>& at)> happens;
  int asked = 0;
  int healthz = 200;
  int livez = 200;
  bool healthy = true;
  bool eligible = true;
  std::vector<std::pair<const char*, bool>> status;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

const std::vector<Family> kBoth = {Family::kIpv4, Family::kIpv6};
void Update(Standing& s, Family family, Moment now) { s.families[family] = {.updated = now}; }
void QueueBoth(Standing& s, const std::function<Moment(int)>& at) { s.Queue(at(0)); }

const Case kCases[] = {
    {"Z01_nothing_started", {}, [](Standing&, auto) {}, 0, 200, 200, true, true, {}},
    {"Z02_idle_stays_healthy",
     kBoth,
     [](Standing& s, auto at) { s.Synced(at(0)); },
     25,
     200,
     200,
     true,
     true,
     {{"IPv4", true}, {"IPv6", true}}},
    {"Z03_waiting_not_for_long", kBoth, QueueBoth, 9, 200, 200, true, true, {{"IPv4", true}, {"IPv6", true}}},
    {"Z04_waiting_for_the_limit", kBoth, QueueBoth, 10, 503, 503, false, true, {{"IPv4", false}, {"IPv6", false}}},
    {"Z05_one_family_has_caught_up",
     kBoth,
     [](Standing& s, auto at) {
       s.Queue(at(0));
       Update(s, Family::kIpv4, at(10));
     },
     10,
     503,
     503,
     false,
     true,
     {{"IPv4", true}, {"IPv6", false}}},
    {"Z06_both_have",
     kBoth,
     [](Standing& s, auto at) {
       s.Queue(at(0));
       Update(s, Family::kIpv4, at(10));
       Update(s, Family::kIpv6, at(10));
     },
     10,
     200,
     200,
     true,
     true,
     {{"IPv4", true}, {"IPv6", true}}},
    {"Z07_the_oldest_change_counts",
     kBoth,
     [](Standing& s, auto at) {
       s.Queue(at(0));
       s.Queue(at(8));
     },
     11,
     503,
     503,
     false,
     true,
     {{"IPv4", false}, {"IPv6", false}}},
    {"Z08_node_to_be_deleted",
     kBoth,
     [](Standing& s, auto) {
       s.node_taints = {"other", "ToBeDeletedByClusterAutoscaler"};
     },
     0,
     503,
     200,
     true,
     false,
     {{"IPv4", true}, {"IPv6", true}}},
    {"Z09_not_any_more",
     kBoth,
     [](Standing& s, auto) {
       s.node_taints = {"ToBeDeletedByClusterAutoscaler"};
       s.node_taints.clear();
     },
     0,
     200,
     200,
     true,
     true,
     {{"IPv4", true}, {"IPv6", true}}},
    {"Z10_node_going",
     kBoth,
     [](Standing& s, auto) { s.node_deleting = true; },
     0,
     503,
     200,
     true,
     false,
     {{"IPv4", true}, {"IPv6", true}}},
    {"Z11_node_never_seen",
     kBoth,
     [](Standing& s, auto) { s.node_seen = false; },
     0,
     503,
     200,
     true,
     false,
     {{"IPv4", true}, {"IPv6", true}}},
    {"Z12_other_taints",
     kBoth,
     [](Standing& s, auto) { s.node_taints = {"node.kubernetes.io/not-ready"}; },
     0,
     200,
     200,
     true,
     true,
     {{"IPv4", true}, {"IPv6", true}}},
    {"Z13_single_stack", {Family::kIpv4}, QueueBoth, 10, 503, 503, false, true, {{"IPv4", false}}},
};

class WorkedCases : public testing::TestWithParam<Case> {};

TEST_P(WorkedCases, AreAnsweredAsKubeProxyDoesOverHttp) {
  const Case& c = GetParam();
  support::NetNs ns("health");
  ns.Ip("link set lo up");
  Metrics metrics({.families = kBoth});
  Board board;
  // The case has happened so that now is when it is asked.
  const absl::Time start = SteadyNow() - absl::Seconds(c.asked);
  board.Update([&](Standing& s) {
    const auto at = [&](int seconds) { return After(start, seconds); };
    s.node_seen = true;
    s.Begin(c.families, at(0));
    c.happens(s, at);
  });
  auto server = ns.Call([] { return std::make_unique<HttpServer>(); });
  server->Listen({.addresses = {At("127.0.0.1", 10256)},
                  .handler = HealthEndpoints{.board = &board, .metrics = &metrics, .limit = kLimit}});
  server->Flush();

  const Reply healthz = Get(ns, At("127.0.0.1", 10256), "/healthz");
  const Reply livez = Get(ns, At("127.0.0.1", 10256), "/livez");

  EXPECT_EQ(healthz.status, c.healthz);
  EXPECT_EQ(livez.status, c.livez);
  EXPECT_EQ(healthz.Header("content-type"), "application/json");
  EXPECT_EQ(healthz.Header("x-content-type-options"), "nosniff");
  const auto node = nlohmann::json::parse(healthz.body);
  const auto proxy = nlohmann::json::parse(livez.body);
  EXPECT_EQ(node["healthy"], c.healthy);
  EXPECT_EQ(proxy["healthy"], c.healthy);
  EXPECT_EQ(node["nodeEligible"], c.eligible);
  EXPECT_FALSE(proxy.contains("nodeEligible"));
  EXPECT_EQ(node.contains("status"), !c.status.empty());
  ASSERT_EQ(node.value("status", nlohmann::json::object()).size(), c.status.size());
  for (const auto& [family, healthy] : c.status) EXPECT_EQ(node["status"][family]["healthy"], healthy) << family;
  EXPECT_THAT(metrics.Text(),
              testing::HasSubstr(absl::StrCat("kubeproxy_proxy_healthz_total{code=\"", c.healthz, "\"} 1\n")));
  EXPECT_THAT(metrics.Text(),
              testing::HasSubstr(absl::StrCat("kubeproxy_proxy_livez_total{code=\"", c.livez, "\"} 1\n")));
}

INSTANTIATE_TEST_SUITE_P(Z, WorkedCases, testing::ValuesIn(kCases),
                         [](const auto& c) { return std::string(c.param.name); });

TEST(ProxyHealthTest, TheLimitItselfIsTooLate) {
  const absl::Time start = absl::UnixEpoch();
  Standing standing;
  standing.Begin({Family::kIpv4}, After(start, 0));
  standing.Queue(After(start, 5));
  EXPECT_TRUE(Assess(standing, kLimit, start + absl::Seconds(15) - absl::Nanoseconds(1)).healthy);
  EXPECT_FALSE(Assess(standing, kLimit, start + absl::Seconds(15)).healthy);
}

TEST(ProxyHealthTest, BodiesAreThoseOfKubeProxyByteForByte) {
  ProxyHealth health = {.healthy = true, .eligible = true};
  const absl::Time updated = absl::FromUnixSeconds(1777629598);
  const absl::Time now = updated + absl::Seconds(2) + absl::Microseconds(1500);
  const absl::TimeZone utc = absl::UTCTimeZone();
  EXPECT_EQ(Livez(health, now, utc).body,
            R"({"lastUpdated":"2026-05-01T10:00:00.0015Z","currentTime":"2026-05-01T10:00:00.0015Z","healthy":true})");

  health.families[Family::kIpv4] = {.updated = updated, .healthy = true};
  health.families[Family::kIpv6] = {.updated = updated - absl::Seconds(1), .healthy = false};
  health.healthy = false;
  const Response response = Healthz(health, now, utc);
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body, R"({"lastUpdated":"2026-05-01T09:59:58Z","currentTime":"2026-05-01T10:00:00.0015Z",)"
                           R"("nodeEligible":true,"healthy":false,"status":{)"
                           R"("IPv4":{"lastUpdated":"2026-05-01T09:59:58Z","healthy":true},)"
                           R"("IPv6":{"lastUpdated":"2026-05-01T09:59:57Z","healthy":false}}})");
}

TEST(ProxyHealthTest, TimesAreWrittenAsGoWritesThem) {
  EXPECT_EQ(FormatGoTime(absl::InfinitePast(), absl::UTCTimeZone()), "0001-01-01T00:00:00Z");
  EXPECT_EQ(FormatGoTime(absl::UnixEpoch() + absl::Nanoseconds(1), absl::UTCTimeZone()),
            "1970-01-01T00:00:00.000000001Z");
  EXPECT_EQ(FormatGoTime(absl::UnixEpoch(), absl::FixedTimeZone(-3600 * 5)), "1969-12-31T19:00:00-05:00");
}

TEST(ProxyHealthTest, ReadinessWaitsForTheFirstSyncAndOutlivesFailures) {
  Standing standing;
  const absl::Time start = absl::UnixEpoch();
  standing.Begin(kBoth, After(start, 0));
  EXPECT_EQ(Readyz(Assess(standing, kLimit, start)).status, 503);
  standing.Synced(After(start, 1));
  standing.Queue(After(start, 2));
  EXPECT_EQ(Readyz(Assess(standing, kLimit, start + absl::Hours(1))).status, 200);
}

}  // namespace
}  // namespace pointsman::serve
