// SPDX-License-Identifier: Apache-2.0
//
// The language of the cases is strict, and a row that is wrong fails.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/scenario/model.h"
#include "tests/scenario/wrong_rows.h"

namespace pointsman::scenario {
namespace {

using ::testing::HasSubstr;

struct Mistake {
  const char* name;
  std::string bed;
  std::string rows;
  const char* says;  // with the line, counted from the top of the file
};

class MistakeTest : public ::testing::TestWithParam<Mistake> {};

// The bed begins at line 3.
constexpr char kBed[] =
    "world W 192.0.2.1 2001:db8::1\n"
    "node A 192.0.2.2 2001:db8::2\n";
// Then the first row is in line 7.
constexpr char kRow[] = "1 A -> 198.51.100.1:80/tcp routed\n";

INSTANTIATE_TEST_SUITE_P(
    , MistakeTest,
    ::testing::Values(
        Mistake{"UnknownBedWord", absl::StrCat(kBed, "nod B 192.0.2.3 -\n"), kRow, "case.txtar:5: \"nod\" is no word"},
        Mistake{"NameTaken", absl::StrCat(kBed, "client A 192.0.2.3 -\n"), kRow, "case.txtar:5: A is taken"},
        Mistake{"WrongFamily", absl::StrCat(kBed, "client X 2001:db8::3 -\n"), kRow, "is not an IPv4 address"},
        Mistake{"NoAddress", absl::StrCat(kBed, "client X - -\n"), kRow, "neither an IPv4 nor an IPv6"},
        Mistake{"NoSuchRouter", absl::StrCat(kBed, "pod P B 192.0.2.3 -\n"), kRow,
                "B is neither the node nor a router"},
        Mistake{"NoNode", "world W 192.0.2.1 -\n", kRow, "exactly one node"},
        Mistake{"UnknownHost", kBed, "1 Z -> 198.51.100.1:80/tcp routed\n", "case.txtar:7: there is no host Z"},
        Mistake{"UnknownVerb", kBed, "aply cluster.yaml\n", "case.txtar:7: \"aply\" is no verb"},
        Mistake{"UnknownState", kBed, "apply cluster-2.yaml\n", "case.txtar:7: there is no cluster-2.yaml"},
        Mistake{"UnknownWord", kBed, "1 A -> 198.51.100.1:80/tcp drop soonish\n", "\"soonish\" is no word"},
        Mistake{"UnknownPlace", kBed, "1 A -> web/clusterip:80 drop\n", "\"clusterip\" in web/clusterip:80 is none of"},
        Mistake{"NoSource", kBed, "1 A -> web/cluster:80 {A}\n", "kept or masq?"},
        Mistake{"SourceOfNothing", kBed, "1 A -> web/cluster:80 drop kept\n", "only a set has a source"},
        Mistake{"EmptySet", kBed, "1 A -> web/cluster:80 {} kept\n", "an empty set"},
        Mistake{"NoExpectation", kBed, "1 A -> web/cluster:80\n", "this is no row"},
        Mistake{"NoReason", kBed, "1 A -> 198.51.100.1:80/tcp drop plan-only\n", "say why"},
        Mistake{"NoReasonNotToRun", kBed, "notrun 1\n", "say why"},
        Mistake{"UnknownFlow", kBed, "ask 1 f drop\n", "there is no flow f"},
        Mistake{"SoonForARow", kBed, "1 A -> 198.51.100.1:80/tcp drop soon\n", "soon is for flows"},
        Mistake{"NoRows", kBed, "# nothing\n", "there are no rows"}),
    [](const auto& row) { return row.param.name; });

TEST_P(MistakeTest, IsToldWithItsPlace) {
  const std::string text =
      absl::StrCat("A case.\n-- bed --\n", GetParam().bed, "-- cluster.yaml --\n-- rows --\n", GetParam().rows);
  const absl::StatusOr<Case> scenario = ParseCase("some/case.txtar", text);
  ASSERT_FALSE(scenario.ok());
  EXPECT_THAT(std::string(scenario.status().message()), HasSubstr(GetParam().says));
}

TEST(Rows, ThatNameWhatIsNotThereAreErrors) {
  const absl::StatusOr<Case> scenario = ParseCase("case.txtar", RightAndWrongRows(""));
  ASSERT_TRUE(scenario.ok()) << scenario.status();
  const absl::StatusOr<Model> model = BuildModel(*scenario, scenario->clusters.at("cluster.yaml"), Backends().front());
  ASSERT_TRUE(model.ok()) << model.status();
  for (const char* row :
       {"1 X -> none/cluster:80 drop", "1 X -> web/vip:80 drop", "1 X -> web/cluster:81 drop",
        "1 X -> web/cluster:80 {P,R} kept", "1 X -> 192.0.2.200:80 drop", "1 X -> web/cluster:80 drop v6"}) {
    const absl::StatusOr<Case> with = ParseCase("case.txtar", RightAndWrongRows(row));
    ASSERT_TRUE(with.ok()) << with.status();
    const auto* parsed = std::get_if<Row>(&with->steps.back().what);
    ASSERT_NE(parsed, nullptr);
    EXPECT_FALSE(Expand(*with, model->cluster, with->steps.back().line, *parsed).ok()) << row;
  }
}

TEST(PlanAndProgram, FailEveryWrongRowAndNoOther) {
  const absl::StatusOr<Case> scenario = ParseCase("case.txtar", RightAndWrongRows(""));
  ASSERT_TRUE(scenario.ok()) << scenario.status();
  for (const std::string& backend : Backends()) {
    const absl::StatusOr<Model> model = BuildModel(*scenario, scenario->clusters.at("cluster.yaml"), backend);
    ASSERT_TRUE(model.ok()) << model.status();
    for (const Step& step : scenario->steps) {
      const auto* row = std::get_if<Row>(&step.what);
      ASSERT_NE(row, nullptr);
      const auto questions = Expand(*scenario, model->cluster, step.line, *row);
      ASSERT_TRUE(questions.ok()) << questions.status();
      for (const Question& question : *questions) {
        Report report;
        AskModel(*scenario, *model, question, report);
        EXPECT_EQ(report.Failures().size(), row->id == "wrong" ? 2u : 0u) << Name(question) << "\n" << report.Text();
        EXPECT_EQ(report.Ran(Column::kResolve), 1);
        EXPECT_EQ(report.Ran(Column::kSimulate), 1);
      }
    }
  }
}

}  // namespace
}  // namespace pointsman::scenario
