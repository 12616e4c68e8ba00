// SPDX-License-Identifier: Apache-2.0
//
// Alerts and dashboard: that they are what Prometheus and Grafana read, and that each alert fires when it should and
// not otherwise. Whether the agent gives them what they ask for is monitoring_scrape_test's question.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/deploy/monitoring_files.h"
#include "tests/support/files.h"

namespace pointsman::deploy {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string Read(const std::string& path) { return support::ReadFile(absl::StrCat(PM_SOURCE_DIR, "/", path)); }
std::string Rules() { return Read("deploy/monitoring/prometheus-rule.yaml"); }
std::string Dashboard() { return Read("deploy/monitoring/dashboard.json"); }

support::ProcessResult Check(const std::string& rules) {
  const support::TempDir dir;
  support::WriteFile(dir.File("rules.yaml"), rules);
  return Promtool(PM_SOURCE_DIR, {"check", "rules", dir.File("rules.yaml")});
}
support::ProcessResult TestAlerts(const std::string& rules) {
  const support::TempDir dir;
  support::WriteFile(dir.File("rules.yaml"), RulesFile(rules, false));
  support::WriteFile(dir.File("alerts.yaml"), Read("tests/deploy/monitoring/alerts.yaml"));
  return Promtool(PM_SOURCE_DIR, {"test", "rules", dir.File("alerts.yaml")});
}

TEST(RulesTest, PrometheusTakesThem) {
  const support::ProcessResult result = Check(RulesFile(Rules(), true));
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_THAT(result.out, HasSubstr(absl::StrCat(Alerts(Rules()).size(), " rules found")));
}

TEST(RulesTest, EveryAlertFiresOnItsSeriesAndOnNoOthers) {
  const support::ProcessResult result = TestAlerts(Rules());
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  const Cases cases = AlertCases(Read("tests/deploy/monitoring/alerts.yaml"));
  EXPECT_EQ(cases.firing, Alerts(Rules())) << "these have a case where they fire";
  EXPECT_EQ(cases.silent, Alerts(Rules())) << "these have one where they come near";
}

TEST(RulesTest, EveryAlertIsInTheReadme) {
  const std::string readme = Read("deploy/monitoring/README.md");
  for (const std::string& alert : Alerts(Rules())) EXPECT_THAT(readme, HasSubstr(absl::StrCat("| ", alert, " |")));
}

// Each alert, made to fire too early, too late, or on others, is found out.
struct Mistake {
  const char* name;
  const char* right;
  const char* wrong;
};
std::ostream& operator<<(std::ostream& out, const Mistake& mistake) { return out << mistake.name; }

class RuleMistakeTest : public ::testing::TestWithParam<Mistake> {};

TEST_P(RuleMistakeTest, IsSeen) {
  const Mistake& mistake = GetParam();
  const std::string rules = Rules();
  ASSERT_THAT(rules, HasSubstr(mistake.right));
  const support::ProcessResult result = TestAlerts(absl::StrReplaceAll(rules, {{mistake.right, mistake.wrong}}));
  EXPECT_EQ(result.exit_code, 1) << result.out << result.err;
}

INSTANTIATE_TEST_SUITE_P(, RuleMistakeTest,
                         ::testing::Values(Mistake{"Threshold", "pointsman_pending_since_seconds > 60",
                                                   "pointsman_pending_since_seconds > 600"},
                                           Mistake{"NoLimit", "(pointsman_conntrack_max > 0)",
                                                   "pointsman_conntrack_max"},
                                           Mistake{"Quantile", "histogram_quantile(0.99", "histogram_quantile(0.0"},
                                           Mistake{"Duration", "for: 10m", "for: 1m"},
                                           Mistake{"Severity", "severity: info", "severity: warning"}),
                         [](const auto& param) { return param.param.name; });

TEST(DashboardTest, HoldsTogether) { EXPECT_THAT(DashboardProblems(Dashboard()), IsEmpty()); }

TEST(DashboardTest, PrometheusTakesItsQueries) {
  const std::vector<Query> queries = DashboardQueries(Dashboard());
  ASSERT_THAT(queries, SizeIs(testing::Gt(50U)));
  const support::ProcessResult result = Check(AsRules(queries));
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_EQ(Check(AsRules({{"a", "sum by (", ""}})).exit_code, 1) << "would not see a mistake";
}

class DashboardMistakeTest : public ::testing::TestWithParam<Mistake> {};

TEST_P(DashboardMistakeTest, IsSeen) {
  const Mistake& mistake = GetParam();
  std::string text = Dashboard();
  ASSERT_THAT(text, HasSubstr(mistake.right));
  text.replace(text.find(mistake.right), std::string(mistake.right).size(), mistake.wrong);
  EXPECT_THAT(DashboardProblems(text), Contains(HasSubstr(mistake.name))) << text.size();
}

INSTANTIATE_TEST_SUITE_P(
    , DashboardMistakeTest,
    ::testing::Values(Mistake{"JSON", "\"panels\": [",
                              "\"panels\": ["
                              "["},
                      Mistake{"uid", "\"uid\": \"pointsman\"", "\"uid\": \"p\""},
                      Mistake{"no variable node", "instance=~\\\"$instance\\\"", "instance=~\\\"$node\\\""},
                      Mistake{"is not used", "\"name\": \"instance\",", "\"name\": \"instance\", \"name\": \"job\","},
                      Mistake{"another panel has its id", "\"id\": 3,", "\"id\": 2,"},
                      Mistake{"lies over", "\"x\": 4, \"y\": 1", "\"x\": 3, \"y\": 1"},
                      Mistake{"no description", "\"description\": \"Agents that answer", "\"text\": \"Agents that"},
                      Mistake{"no unit", "{\"unit\": \"short\"", "{\"units\": \"short\""},
                      Mistake{"refId", "\"refId\": \"B\"", "\"refId\": \"A\""}),
    [](const auto& param) { return absl::StrCat("Case", param.index); });

TEST(QueryTest, NamesWhatAScrapeHasNot) {
  const Scrape scrape = ParseScrape(
      "# HELP a_total A counter\n# TYPE a_total counter\na_total{code=\"200\",host=\"h\"} 1\na_total{code=\"503\"} 2\n"
      "b 3\nc_bucket{le=\"1\"} 1\n");
  EXPECT_THAT(scrape, SizeIs(3));
  struct Row {
    const char* expr;
    const char* text;
    std::vector<std::string> problems;
  };
  const std::vector<Row> rows = {
      {R"(sum by (code) (rate(a_total{instance=~".*",host="h"}[5m])) / on (instance) b > bool 0.5)", "{{code}}", {}},
      {R"(histogram_quantile(0.99, sum by (le) (rate(c_bucket[5m]))) or vector(0))", "p99", {}},
      {"time() - b", "{{ $labels.instance }} {{ $value | humanize }}", {}},
      {R"(count(up{job="x"} == 0))", "", {}},
      {"rate(c_sum[5m])", "", {"q: no series c_sum"}},
      {R"(b{code=~"5.."})", "", {"q: no label code on b"}},
      {R"(a_total{code="404"})", "", {"q: no a_total with code=\"404\""}},
      {"max by (kind) (b)", "", {"q: grouped by kind, which no series of it has"}},
      {"sum by (code) (a_total)", "{{host}}", {"q: the text names host, which the result has not"}},
      {"sum(a_total)", "{{ $labels.code }}", {"q: the text names code, which the result has not"}},
      {"sum(rate(b[$range]))", "", {"q: a variable nobody knows"}},
      {"vector(1)", "", {"q: no series at all"}},
  };
  for (const Row& row : rows) {
    EXPECT_THAT(QueryProblems({"q", row.expr, row.text}, scrape), testing::ElementsAreArray(row.problems)) << row.expr;
  }
}

TEST(LintTest, WouldSeeABadMetric) {
  EXPECT_THAT(LintMetrics(PM_SOURCE_DIR, "# TYPE a_total gauge\na_total 1\n"), SizeIs(2));
  EXPECT_THAT(LintMetrics(PM_SOURCE_DIR, "a{b=c} 1\n"), Contains("exit 1"));
}

}  // namespace
}  // namespace pointsman::deploy
