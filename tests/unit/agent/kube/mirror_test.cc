// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/mirror.h"

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/unit/agent/kube/decoded_samples.h"

namespace pointsman::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

// Holds a:80 and b:80, and what changed so far is known.
class MirrorTest : public testing::Test {
 protected:
  MirrorTest() {
    mirror_.Upsert(Svc("a"));
    mirror_.Upsert(Svc("b"));
    mirror_.TakeChanges();
  }

  std::vector<std::string> Changes() { return Describe(mirror_.TakeChanges()); }
  uint16_t PortOf(absl::string_view name) {
    const PackedObject object = mirror_.Find(InShop(name));
    return object ? std::get<Service>(object.Unpack()).ports.at(0).port : 0;
  }

  Mirror mirror_{Kind::kService};
};

TEST_F(MirrorTest, GivesWhatChangedOnce) {
  mirror_.Upsert(Svc("a", "", 81));
  mirror_.Upsert(Svc("c"));
  mirror_.Remove(InShop("b"));
  EXPECT_THAT(Changes(), UnorderedElementsAre("a:81", "b gone", "c:80"));
  EXPECT_THAT(Changes(), IsEmpty());
  EXPECT_EQ(mirror_.size(), 2U);
}

TEST_F(MirrorTest, ChangesCarryTheirKind) {
  Mirror nodes(Kind::kNode);
  Node node;
  node.meta.name.name = "n1";
  nodes.Upsert({.key = {Kind::kNode, node.meta.name}, .object = std::make_shared<const Object>(node)});
  const std::vector<ObjectChange> changes = nodes.TakeChanges();
  ASSERT_THAT(changes, SizeIs(1));
  EXPECT_EQ(FormatKey(changes[0].key), "Node n1");
}

TEST_F(MirrorTest, OfManyChangesOfAnObjectTheLastOneIsGiven) {
  mirror_.Upsert(Svc("a", "", 81));
  mirror_.Upsert(Svc("a", "", 82));
  mirror_.Remove(InShop("b"));
  mirror_.Upsert(Svc("b", "", 83));
  EXPECT_THAT(Changes(), UnorderedElementsAre("a:82", "b:83"));
}

TEST_F(MirrorTest, AnUpdateThatChangesNothingIsCountedAndStops) {
  mirror_.Upsert(Svc("a", "17"));
  mirror_.Upsert(Svc("a", "18"));
  EXPECT_EQ(mirror_.unchanged(), 2);
  EXPECT_THAT(Changes(), IsEmpty());
}

TEST_F(MirrorTest, WhatIsNotHeldCannotBeRemoved) {
  mirror_.Remove(InShop("x"));
  EXPECT_THAT(Changes(), IsEmpty());
}

TEST_F(MirrorTest, WhatCannotBeDecodedIsToldAndItsLastGoodVersionStays) {
  mirror_.Upsert(Undecodable("a"));
  mirror_.Upsert(Undecodable(""));
  EXPECT_EQ(mirror_.undecodable(), 2);
  EXPECT_THAT(mirror_.TakeDiagnostics(), SizeIs(2));
  EXPECT_THAT(mirror_.TakeDiagnostics(), IsEmpty());
  EXPECT_THAT(Changes(), IsEmpty());
  EXPECT_EQ(PortOf("a"), 80);
}

TEST_F(MirrorTest, OnlyObjectsThatChangeAreComplainedOf) {
  Decoded odd = Svc("a", "", 81);
  odd.diagnostics.push_back({.problem = "odd"});
  mirror_.Upsert(odd);
  EXPECT_THAT(mirror_.TakeDiagnostics(), SizeIs(1));
  mirror_.Upsert(odd);
  mirror_.StartRelist();
  mirror_.Collect(odd);
  mirror_.FinishRelist();
  EXPECT_THAT(mirror_.TakeDiagnostics(), IsEmpty());
}

TEST_F(MirrorTest, ARelistCountsOnlyOnceItIsComplete) {
  mirror_.StartRelist();
  mirror_.Collect(Svc("a", "", 81));
  mirror_.Collect(Svc("c"));
  EXPECT_TRUE(mirror_.relisting());
  EXPECT_THAT(Changes(), IsEmpty());
  EXPECT_EQ(PortOf("a"), 80);

  mirror_.FinishRelist();
  EXPECT_FALSE(mirror_.relisting());
  EXPECT_THAT(Changes(), UnorderedElementsAre("a:81", "b gone", "c:80"));
  EXPECT_EQ(PortOf("a"), 81);
}

TEST_F(MirrorTest, ARelistThatIsBegunAnewForgetsWhatWasCollected) {
  mirror_.StartRelist();
  mirror_.Collect(Svc("c"));
  mirror_.Collect(Undecodable(""));
  mirror_.StartRelist();
  mirror_.Collect(Svc("a"));
  mirror_.FinishRelist();
  EXPECT_THAT(Changes(), ElementsAre("b gone"));
}

TEST_F(MirrorTest, ARelistThatTellsTheSameChangesNothingAndKeepsWhatIsHeld) {
  const PackedObject before = mirror_.Find(InShop("a"));
  mirror_.StartRelist();
  mirror_.Collect(Svc("b", "20"));
  mirror_.Collect(Svc("a", "20"));
  mirror_.FinishRelist();
  EXPECT_THAT(Changes(), IsEmpty());
  EXPECT_EQ(mirror_.unchanged(), 2);
  EXPECT_EQ(mirror_.Find(InShop("a")).name().name.data(), before.name().name.data()) << "the same, not another like it";
}

TEST_F(MirrorTest, WhatIsDeletedWhileTheListIsUnderWayIsGoneAtItsEnd) {
  mirror_.StartRelist();
  mirror_.Collect(Svc("a"));
  mirror_.Collect(Svc("b"));
  mirror_.Collect(Svc("c"));
  mirror_.Discard(InShop("b"));
  mirror_.Discard(InShop("c"));
  mirror_.FinishRelist();
  EXPECT_THAT(Changes(), ElementsAre("b gone"));
}

// --- Trigger times ---

const absl::Time kBegan = absl::FromUnixSeconds(1'700'000'000);

Decoded At(Decoded decoded, int second) {
  decoded.trigger = kBegan + absl::Seconds(second);
  return decoded;
}

class TimedMirrorTest : public testing::Test {
 protected:
  // "a 1 2" for an object and the seconds when its changes happened; in order.
  std::vector<std::string> Times() {
    std::vector<std::string> lines;
    for (const ObjectChange& change : mirror_.TakeChanges()) {
      std::string& line = lines.emplace_back(change.key.name.name);
      for (const absl::Time at : *change.triggers) absl::StrAppend(&line, " ", absl::ToInt64Seconds(at - kBegan));
    }
    std::sort(lines.begin(), lines.end());
    return lines;
  }

  Mirror mirror_{Kind::kService, kBegan};
};

TEST_F(TimedMirrorTest, EachChangeBringsItsTimeAndOneThatChangesNothingBringsNone) {
  mirror_.Upsert(At(Svc("a", "", 80), 1));
  mirror_.Upsert(At(Svc("a", "", 81), 2));
  mirror_.Upsert(At(Svc("a", "", 81), 3));
  mirror_.Upsert(Svc("b"));
  EXPECT_THAT(Times(), ElementsAre("a 1 2", "b"));

  mirror_.Upsert(At(Svc("a", "", 82), 4));
  EXPECT_THAT(Times(), ElementsAre("a 4"));
}

TEST_F(TimedMirrorTest, WhatHappenedBeforeTheBeginningIsNotTimed) {
  mirror_.Upsert(At(Svc("a"), 0));
  mirror_.Upsert(At(Svc("b"), -1));
  mirror_.StartRelist();
  mirror_.Collect(At(Svc("a", "", 81), -2));
  mirror_.FinishRelist();
  EXPECT_THAT(Times(), ElementsAre("a", "b"));
}

TEST_F(TimedMirrorTest, WhatIsGoneHasNoTime) {
  mirror_.Upsert(At(Svc("a"), 1));
  mirror_.Remove(InShop("a"));
  EXPECT_THAT(Times(), ElementsAre("a"));

  mirror_.Upsert(At(Svc("b"), 2));
  mirror_.StartRelist();
  mirror_.FinishRelist();
  EXPECT_THAT(Times(), ElementsAre("b"));
}

TEST_F(TimedMirrorTest, ARelistBringsTheTimesOfWhatItChangesOnceItIsComplete) {
  mirror_.Upsert(Svc("a"));
  mirror_.Upsert(Svc("b"));
  Times();

  mirror_.StartRelist();
  mirror_.Collect(At(Svc("a"), 1));
  mirror_.Collect(At(Svc("b", "", 81), 2));
  mirror_.Collect(At(Svc("c"), 3));
  mirror_.Collect(At(Svc("d"), 4));
  mirror_.Discard(InShop("d"));
  EXPECT_THAT(Times(), IsEmpty());
  mirror_.FinishRelist();
  EXPECT_THAT(Times(), ElementsAre("b 2", "c 3"));
}

TEST_F(TimedMirrorTest, ARelistThatIsBegunAnewForgetsTheTimesToo) {
  mirror_.Upsert(Svc("a"));
  Times();
  mirror_.StartRelist();
  mirror_.Collect(At(Svc("a", "", 81), 1));
  mirror_.StartRelist();
  mirror_.Collect(Svc("a", "", 82));
  mirror_.FinishRelist();
  EXPECT_THAT(Times(), ElementsAre("a"));
}

struct PoisonRow {
  const char* name;
  std::vector<Decoded> collected;
  std::vector<std::string> changes;
};
void PrintTo(const PoisonRow& row, std::ostream* out) { *out << row.name; }

class PoisonedRelist : public MirrorTest, public testing::WithParamInterface<PoisonRow> {};

TEST_P(PoisonedRelist, DeletesNothingThatItMayHaveMeant) {
  mirror_.StartRelist();
  for (const Decoded& decoded : GetParam().collected) mirror_.Collect(decoded);
  mirror_.FinishRelist();
  EXPECT_THAT(Changes(), testing::UnorderedElementsAreArray(GetParam().changes));
  EXPECT_EQ(mirror_.undecodable(), 1);
}

INSTANTIATE_TEST_SUITE_P(
    All, PoisonedRelist,
    testing::Values(PoisonRow{"AKnownNameKeepsItsLastGoodVersionAndTheMissingGo", {Undecodable("a")}, {"b gone"}},
                    PoisonRow{"AnUnknownNameKeepsAllThatIsMissing", {Svc("a", "", 81), Undecodable("")}, {"a:81"}},
                    PoisonRow{"ANameNeverHeldIsNothing", {Svc("a"), Svc("b"), Undecodable("c")}, {}},
                    PoisonRow{"AGoodVersionOfThisListIsNewerThanWhatIsHeld",
                              {Svc("a", "", 81), Svc("b"), Undecodable("a")},
                              {"a:81"}},
                    PoisonRow{"AGoodVersionMayFollow", {Undecodable("a"), Svc("a", "", 81), Svc("b")}, {"a:81"}}),
    [](const auto& row) { return std::string(row.param.name); });

TEST_F(MirrorTest, ANameThatCouldNotBeReadIsForgottenWithTheNextRelist) {
  mirror_.StartRelist();
  mirror_.Collect(Undecodable(""));
  mirror_.FinishRelist();
  ASSERT_EQ(mirror_.size(), 2U);
  mirror_.StartRelist();
  mirror_.Collect(Svc("a"));
  mirror_.FinishRelist();
  EXPECT_THAT(Changes(), ElementsAre("b gone"));
}

}  // namespace
}  // namespace pointsman::kube
