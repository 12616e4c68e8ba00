// SPDX-License-Identifier: Apache-2.0
//
// What dashboard and alerts ask for is there in a scrape of a running agent.
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/deploy/monitoring_files.h"
#include "tests/netns/kube_world.h"
#include "tests/unit/agent/serve/client.h"

namespace pointsman {
namespace {

using ::testing::IsEmpty;

constexpr uint16_t kPort = 10249;

class MonitoringScrapeTest : public KubeWorld {
 protected:
  // Of an agent that has followed an API server, programmed a Service, been refused once, and had to ask for a list.
  std::string ScrapeText() {
    const auto api = StartApi();
    api->Put(NodeAt({"192.0.2.1", "2001:db8::1"}));
    Put(*api, {.name = "shop/web", .ip = "198.51.100.80", .endpoints = {"203.0.113.11"}});
    api->Add({.resource = "services", .times = 1, .code = 503, .message = "not now"});
    api->Add({.resource = "servicecidrs", .watch = true, .times = 1, .code = 422, .reason = "Invalid"});
    support::AgentProcess agent(node(),
                                With(Config("kubeconfig", *api), {"--metrics-bind-address", "127.0.0.1:10249"}));
    EXPECT_TRUE(agent.WaitReady()) << agent.log();
    std::string text;
    EXPECT_TRUE(support::Eventually(absl::Seconds(10), [&] {
      text = serve::Ask(node(), serve::At("127.0.0.1", kPort), "GET", "/metrics").body;
      return text.find("kubeproxy_sync_proxy_rules_last_timestamp_seconds{") != std::string::npos &&
             text.find("rest_client_rate_limiter_duration_seconds_count{") != std::string::npos;
    })) << agent.log();
    return text;
  }
};

// What alerts and dashboard ask for.
std::vector<deploy::Query> Queries() {
  const std::string directory = support::SourceDir() + "/deploy/monitoring/";
  std::vector<deploy::Query> all = deploy::DashboardQueries(support::ReadFile(directory + "dashboard.json"));
  for (deploy::Query& query : deploy::RuleQueries(support::ReadFile(directory + "prometheus-rule.yaml"))) {
    all.push_back(std::move(query));
  }
  return all;
}

TEST_F(MonitoringScrapeTest, HasEverySeriesAndLabelThatIsAskedFor) {
  const std::string text = ScrapeText();
  const deploy::Scrape scrape = deploy::ParseScrape(text);
  const std::vector<deploy::Query> queries = Queries();
  EXPECT_GT(queries.size(), 65U);
  for (const deploy::Query& query : queries) EXPECT_THAT(deploy::QueryProblems(query, scrape), IsEmpty());
  EXPECT_THAT(deploy::LintMetrics(support::SourceDir(), text), IsEmpty()) << text;
}

}  // namespace
}  // namespace pointsman
