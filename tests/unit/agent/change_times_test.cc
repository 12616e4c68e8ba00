// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/change_times.h"

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/builders.h"

namespace pointsman {
namespace {

using support::Batch;
using support::Gone;
using support::Name;
using support::Slice;
using support::Svc;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

using Trigger = ChangeTimes::Trigger;

const absl::Time kNoon = absl::FromUnixSeconds(1'700'000'000);

absl::Time At(int second) { return kNoon + absl::Seconds(second); }

ObjectChange Changed(const std::string& slice, const std::string& service, std::vector<int> seconds,
                     Family family = Family::kIpv4) {
  ObjectChange change = Slice(slice, service, family).Put();
  std::vector<absl::Time> triggers;
  for (const int second : seconds) triggers.push_back(At(second));
  change.triggers = std::move(triggers);
  return change;
}

// What is applied, and makes a difference to all of these Services.
void Apply(ChangeTimes& times, std::vector<ObjectChange> changes, const std::vector<std::string>& services) {
  times.Note(Batch(std::move(changes)));
  Touched touched;
  for (const std::string& service : services) touched.services.insert(Name(service));
  times.Applied(touched);
}

TEST(ChangeTimesTest, EveryTimeOfEveryChangeIsGivenOnce) {
  ChangeTimes times;
  Apply(times, {Changed("ns/web-1", "web", {1, 2}), Changed("ns/web-2", "web", {3}, Family::kIpv6)}, {"ns/web"});
  Apply(times, {Changed("ns/web-1", "web", {4})}, {"ns/web"});

  EXPECT_THAT(times.Take(), UnorderedElementsAre(Trigger{Family::kIpv4, At(1)}, Trigger{Family::kIpv4, At(2)},
                                                 Trigger{Family::kIpv6, At(3)}, Trigger{Family::kIpv4, At(4)}));
  EXPECT_THAT(times.Take(), IsEmpty());
}

TEST(ChangeTimesTest, AChangeThatMakesNoDifferenceIsNotTimed) {
  ChangeTimes times;
  Apply(times, {Changed("ns/web-1", "web", {1}), Changed("ns/api-1", "api", {2})}, {"ns/api"});
  EXPECT_THAT(times.Take(), ElementsAre(Trigger{Family::kIpv4, At(2)}));

  Apply(times, {}, {"ns/web"});
  EXPECT_THAT(times.Take(), IsEmpty()) << "nor is it when something else makes one";
}

TEST(ChangeTimesTest, ASliceThatIsGoneTakesItsTimesAlongAndNoOthers) {
  ChangeTimes times;
  Apply(times, {Changed("ns/web-1", "web", {1}), Changed("ns/web-2", "web", {2})}, {"ns/web"});
  Apply(times, {Gone(Kind::kEndpointSlice, "ns/web-1")}, {"ns/web"});
  EXPECT_THAT(times.Take(), ElementsAre(Trigger{Family::kIpv4, At(2)}));
}

TEST(ChangeTimesTest, AServiceThatIsGoneTakesNoneAlong) {
  ChangeTimes times;
  Apply(times, {Changed("ns/web", "web", {1})}, {"ns/web"});
  Apply(times, {Gone(Kind::kService, "ns/web")}, {"ns/web"});
  EXPECT_THAT(times.Take(), SizeIs(1));
}

TEST(ChangeTimesTest, WhatIsOfNoServiceOrHasNoAddressesIsNotTimed) {
  EndpointSlice names = Slice("ns/web-2", "web").Build();
  names.address_type = std::nullopt;
  EndpointSlice nobodys = Slice("ns/web-3", "web").Build();
  nobodys.meta.labels.clear();
  std::vector<ObjectChange> changes = {Svc("ns/web").Put(), Changed("ns/web-1", "web", {})};
  for (const EndpointSlice& slice : {names, nobodys}) {
    changes.push_back({{Kind::kEndpointSlice, slice.meta.name}, PackedObject(slice), {{At(1)}}});
  }
  ChangeTimes times;
  Apply(times, std::move(changes), {"ns/web"});
  EXPECT_THAT(times.Take(), IsEmpty());
}

TEST(ChangeTimesTest, WhileNothingGoesIntoTheKernelTheyDoNotGrowWithoutEnd) {
  ChangeTimes times;
  for (int i = 0; i < 20'000; ++i) Apply(times, {Changed("ns/web-1", "web", {i})}, {"ns/web"});
  const std::vector<Trigger> taken = times.Take();
  EXPECT_THAT(taken, SizeIs(10'000));
  EXPECT_EQ(taken.front().at, At(0)) << "the oldest tell most";
}

}  // namespace
}  // namespace pointsman
