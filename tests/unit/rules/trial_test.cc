// SPDX-License-Identifier: Apache-2.0
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "pointsman/nft_program.h"
#include "rules/nft/layout.h"

namespace pointsman::nft {
namespace {

TEST(CompileTrialTest, UsesEverySetAndEveryKindOfChainInBothFamilies) {
  Ruleset kernel;
  ASSERT_EQ(Apply(CompileTrial(), kernel), absl::OkStatus());

  for (const Family family : kFamilies) {
    SCOPED_TRACE(static_cast<int>(family));
    const Table& table = kernel.tables.at(family);
    for (const auto& [name, spec] : SetSpecs(family)) {
      ASSERT_TRUE(table.sets.contains(name)) << name;
      EXPECT_EQ(table.sets.at(name).elements.empty(), spec.dynamic) << name;
    }
    std::set<std::string> kinds;
    for (const auto& [name, chain] : table.chains) {
      if (const auto pick = ParsePickChain(name)) {
        kinds.insert(pick->snat == Snat::kAlways        ? "masquerades"
                     : pick->snat == Snat::kOutsidePods ? "masquerades some"
                     : pick->affinity                   ? "asks the memory"
                     : pick->local                      ? "draws locally"
                                                        : "draws");
      }
      if (const auto record = ParseRecordChain(name)) kinds.insert(record->external_local ? "divides" : "remembers");
    }
    EXPECT_THAT(kinds, ::testing::UnorderedElementsAre("masquerades", "masquerades some", "asks the memory",
                                                       "draws locally", "draws", "divides", "remembers"));
  }
}

}  // namespace
}  // namespace pointsman::nft
