// SPDX-License-Identifier: Apache-2.0
//
// Every row of every case with packets, through the binary, in a kernel.
#include "tests/scenario/packets.h"

#include <cstdio>
#include <string>
#include <tuple>

#include "gtest/gtest.h"

#include "tests/scenario/cases.h"
#include "tests/scenario/matrix.h"
#include "tests/scenario/wrong_rows.h"

namespace pointsman::scenario {
namespace {

const ::testing::Environment* const kMatrix = ::testing::AddGlobalTestEnvironment(new Matrix({Column::kPackets}));

class EveryCase : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(EveryCase, HoldsForPackets) {
  const auto& [backend, path] = GetParam();
  const absl::StatusOr<Case> scenario = ParseCase(path, ReadText(path));
  ASSERT_TRUE(scenario.ok()) << scenario.status().message();
  PacketRun run(*scenario, backend, TheReport());
  const size_t before = TheReport().Failures().size();
  const absl::Status status = run.Run();
  EXPECT_TRUE(status.ok()) << status.message();
  // What fails without packets, too, scenario_plan_test tells better; it is the same row.
  for (size_t i = before; i < TheReport().Failures().size(); ++i) ADD_FAILURE() << TheReport().Failures()[i];
  if (HasFailure()) std::fprintf(stderr, "%s", run.agent_log().c_str());
}

TEST(Packets, FailEveryWrongRowAndNoOther) {
  const absl::StatusOr<Case> scenario = ParseCase("case.txtar", RightAndWrongRows(R"(
wrong X -> web/cluster:80     {P,Q} masq sticky
wrong X -> web/cluster:80     {P,Q,R:8080} masq spread
flow f P -> web/cluster:80
ask wrong f drop
ask wrong f {R:8080} kept soon
)"));
  ASSERT_TRUE(scenario.ok()) << scenario.status();
  Report report;
  PacketRun run(*scenario, Backends().front(), report);
  const absl::Status status = run.Run();
  ASSERT_TRUE(status.ok()) << status;
  for (const bool right : {true, false}) {
    const std::string id = right ? "right" : "wrong";
    EXPECT_GT(report.Ran(Column::kPackets, id), 0);
    EXPECT_EQ(report.Passed(Column::kPackets, id), right ? report.Ran(Column::kPackets, id) : 0) << report.Text();
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, EveryCase,
                         ::testing::Combine(::testing::ValuesIn(Backends()), ::testing::ValuesIn(CasePaths())),
                         [](const auto& param) {
                           return std::get<0>(param.param) + "_" + TestName(std::get<1>(param.param));
                         });

}  // namespace
}  // namespace pointsman::scenario
