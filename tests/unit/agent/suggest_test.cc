// SPDX-License-Identifier: Apache-2.0
#include "agent/cmd/suggest.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace pointsman {
namespace {

struct Row {
  const char* name;
  const char* why;
  const char* word;
  const char* nearest;
};

class NearestRow : public ::testing::TestWithParam<Row> {};

TEST_P(NearestRow, IsWhatWasMeant) {
  const Row& row = GetParam();
  const std::vector<std::string> commands = {
      "run", "dump", "diff", "cleanup", "version", "--masquerade-all", "--masquerade-bit"};

  EXPECT_EQ(Nearest(row.word, commands), row.nearest) << row.why;
}

INSTANTIATE_TEST_SUITE_P(Cmd, NearestRow,
                         ::testing::ValuesIn(std::vector<Row>{
                             {"Itself", "distance nought", "dump", "dump"},
                             {"OneLetterWrong", "replaced", "dumb", "dump"},
                             {"OneLetterMissing", "left out", "clenup", "cleanup"},
                             {"OneLetterTooMany", "put in", "difff", "diff"},
                             {"Swapped", "two letters changed places: two edits", "rnu", "run"},
                             {"Flag", "long words may be further off", "--masqerade-al", "--masquerade-all"},
                             {"NearerOfTwo", "the nearest, not the first", "--masquerade-bi", "--masquerade-bit"},
                             {"AnotherWord", "too far from all of them", "install", ""},
                             {"ShortOtherWord", "no letter in common", "foo", ""},
                             {"Empty", "nothing was meant", "", ""},
                         }),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(NearestTest, OfEquallyNearTheFirstIsTaken) { EXPECT_EQ(Nearest("bat", {"cat", "hat"}), "cat"); }

TEST(NearestTest, ALetterTooManyIsOneEditEvenInTheShortestWord) { EXPECT_EQ(Nearest("vx", {"v"}), "v"); }

TEST(NearestTest, WithoutCandidatesThereIsNone) { EXPECT_EQ(Nearest("run", {}), ""); }

}  // namespace
}  // namespace pointsman
