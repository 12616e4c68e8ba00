// SPDX-License-Identifier: Apache-2.0
//
// Every row of every case against the plan (Resolve) and against the backend's program (Simulate), without a kernel.
#include <string>
#include <tuple>

#include "gtest/gtest.h"

#include "tests/scenario/cases.h"
#include "tests/scenario/matrix.h"
#include "tests/scenario/model.h"
#include "tests/scenario/report.h"
#include "tests/scenario/scenario.h"

namespace pointsman::scenario {
namespace {

const ::testing::Environment* const kMatrix =
    ::testing::AddGlobalTestEnvironment(new Matrix({Column::kResolve, Column::kSimulate}));

class EveryCase : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(EveryCase, HoldsForPlanAndProgram) {
  const auto& [backend, path] = GetParam();
  const absl::StatusOr<Case> scenario = ParseCase(path, ReadText(path));
  ASSERT_TRUE(scenario.ok()) << scenario.status().message();
  Report here;
  std::string state = "cluster.yaml";
  absl::StatusOr<Model> model = BuildModel(*scenario, scenario->clusters.at(state), backend);
  ASSERT_TRUE(model.ok()) << model.status().message();
  for (const Step& step : scenario->steps) {
    if (const auto* apply = std::get_if<Apply>(&step.what)) {
      model = BuildModel(*scenario, scenario->clusters.at(apply->file), backend);
      ASSERT_TRUE(model.ok()) << model.status().message();
    } else if (const auto* row = std::get_if<Row>(&step.what)) {
      const absl::StatusOr<std::vector<Question>> questions = Expand(*scenario, model->cluster, step.line, *row);
      ASSERT_TRUE(questions.ok()) << questions.status().message();
      for (const Question& question : *questions) {
        const size_t before = here.Failures().size();
        AskModel(*scenario, *model, question, here);
        AskModel(*scenario, *model, question, TheReport());
        for (size_t i = before; i < here.Failures().size(); ++i) ADD_FAILURE() << here.Failures()[i];
      }
    } else if (const auto* flow = std::get_if<Flow>(&step.what)) {
      // Flows are the kernel's; here it is only checked that they make sense.
      const auto questions = Expand(*scenario, model->cluster, step.line, *flow);
      ASSERT_TRUE(questions.ok()) << questions.status().message();
    } else if (const auto* absent = std::get_if<NotRun>(&step.what)) {
      TheReport().NotRun(scenario->name, absent->id, absent->why);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, EveryCase,
                         ::testing::Combine(::testing::ValuesIn(Backends()), ::testing::ValuesIn(CasePaths())),
                         [](const auto& param) {
                           return std::get<0>(param.param) + "_" + TestName(std::get<1>(param.param));
                         });

}  // namespace
}  // namespace pointsman::scenario
