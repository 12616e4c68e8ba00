// SPDX-License-Identifier: Apache-2.0
#include "pointsman/log.h"

#include <string>

#include "absl/strings/match.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pointsman {
namespace {

using ::testing::MatchesRegex;

std::string Logged(LogLevel level, absl::string_view event, const std::vector<LogField>& fields) {
  ::testing::internal::CaptureStderr();
  Log(level, event, fields);
  return ::testing::internal::GetCapturedStderr();
}

class LogTest : public ::testing::Test {
 protected:
  void TearDown() override { SetLogLevel(LogLevel::kInfo); }
};

TEST_F(LogTest, ALineHoldsTimeLevelEventAndFields) {
  const std::string line = Logged(LogLevel::kInfo, "reconciled", {{"services", 3}, {"backend", "nft"}});

  EXPECT_THAT(line, MatchesRegex("....-..-..T..:..:...[0-9][0-9][0-9]Z INFO reconciled services=3 backend=nft\n"));
}

TEST_F(LogTest, AValueThatWouldBreakTheLineIsQuoted) {
  const std::string line =
      Logged(LogLevel::kError, "failed", {{"why", "no \"such\" file"}, {"text", "a\nb"}, {"none", ""}, {"eq", "a=b"}});

  EXPECT_TRUE(absl::StrContains(line, R"(ERROR failed why="no \"such\" file" text="a\nb" none="" eq="a=b")")) << line;
}

TEST_F(LogTest, LinesAboveTheLevelAreDropped) {
  EXPECT_EQ(Logged(LogLevel::kVerbose, "detail", {}), "");
  SetLogLevel(LogLevel::kError);
  EXPECT_EQ(Logged(LogLevel::kWarning, "odd", {}), "");
  EXPECT_FALSE(LogEnabled(LogLevel::kWarning));
  SetLogLevel(LogLevel::kVerbose);
  EXPECT_NE(Logged(LogLevel::kVerbose, "detail", {}), "");
}

}  // namespace
}  // namespace pointsman
