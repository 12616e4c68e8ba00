// SPDX-License-Identifier: Apache-2.0
#include "agent/loop/inbox.h"

#include <poll.h>

#include <set>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"

#include "gtest/gtest.h"

#include "tests/support/builders.h"

namespace pointsman {
namespace {

using support::Gone;
using support::Svc;

bool IsReadable(const Inbox& inbox) {
  pollfd fd = {inbox.fd(), POLLIN, 0};
  return poll(&fd, 1, 0) == 1;
}

const absl::Time kNoon = absl::FromUnixSeconds(1'700'000'000);

TEST(InboxTest, AnInboxIsQuietUntilSomethingIsPutAndAgainAfterTake) {
  Inbox inbox;
  EXPECT_FALSE(IsReadable(inbox));

  inbox.Put({Svc("shop/web").Put()}, kNoon);
  EXPECT_TRUE(IsReadable(inbox));

  const ObjectBatch batch = inbox.Take().batch;
  ASSERT_EQ(batch.changes.size(), 1u);
  EXPECT_EQ(FormatKey(batch.changes[0].key), "Service shop/web");
  EXPECT_FALSE(IsReadable(inbox));
  EXPECT_TRUE(inbox.Take().batch.changes.empty());
}

TEST(InboxTest, TheNewestChangeOfAnObjectWins) {
  Inbox inbox;
  inbox.Put({Svc("shop/web").Tcp(80).Put(), Svc("shop/db").Put()}, kNoon);
  inbox.Put({Svc("shop/web").Tcp(81).Put(), Gone(Kind::kService, "shop/db")}, kNoon);

  const ObjectBatch batch = inbox.Take().batch;

  ASSERT_EQ(batch.changes.size(), 2u);
  for (const ObjectChange& change : batch.changes) {
    if (change.key.name.name == "db") {
      EXPECT_FALSE(change.object);
    } else {
      EXPECT_EQ(std::get<Service>(change.object.Unpack()), Svc("shop/web").Tcp(81).Build());
    }
  }
}

TEST(InboxTest, TheOldestTimeSurvivesCoalescingAndEndsWithTake) {
  Inbox inbox;
  inbox.Put({Svc("shop/web").Put()}, kNoon);
  inbox.Put({Svc("shop/web").Tcp(80).Put()}, kNoon + absl::Seconds(5));
  EXPECT_EQ(inbox.Take().batch.oldest, kNoon);

  inbox.Put({Svc("shop/web").Put()}, kNoon + absl::Seconds(9));
  EXPECT_EQ(inbox.Take().batch.oldest, kNoon + absl::Seconds(9));
  EXPECT_EQ(inbox.Take().batch.oldest, absl::InfiniteFuture());
}

ObjectChange SliceAt(std::vector<int> seconds) {
  ObjectChange change = support::Slice("shop/web-1", "web").Put();
  std::vector<absl::Time> triggers;
  for (const int second : seconds) triggers.push_back(kNoon + absl::Seconds(second));
  change.triggers = triggers;
  return change;
}

TEST(InboxTest, EveryTriggerTimeSurvivesCoalescing) {
  Inbox inbox;
  inbox.Put({SliceAt({1})}, kNoon);
  inbox.Put({SliceAt({})}, kNoon);
  inbox.Put({SliceAt({2, 3})}, kNoon);
  inbox.Put({SliceAt({4})}, kNoon);

  const ObjectBatch batch = inbox.Take().batch;
  ASSERT_EQ(batch.changes.size(), 1u);
  EXPECT_EQ(batch.changes[0].triggers, SliceAt({1, 2, 3, 4}).triggers);

  inbox.Put({SliceAt({5})}, kNoon);
  EXPECT_EQ(inbox.Take().batch.changes.at(0).triggers, SliceAt({5}).triggers) << "each is taken once";
}

TEST(InboxTest, WhatIsGoneHasNoTriggerTimesAndWhatComesAfterHasItsOwn) {
  Inbox inbox;
  inbox.Put({SliceAt({1})}, kNoon);
  inbox.Put({Gone(Kind::kEndpointSlice, "shop/web-1")}, kNoon);
  EXPECT_TRUE(inbox.Take().batch.changes.at(0).triggers->empty());

  inbox.Put({SliceAt({1})}, kNoon);
  inbox.Put({Gone(Kind::kEndpointSlice, "shop/web-1")}, kNoon);
  inbox.Put({SliceAt({2})}, kNoon);
  EXPECT_EQ(inbox.Take().batch.changes.at(0).triggers, SliceAt({2}).triggers);
}

TEST(InboxTest, AnEmptyPutIsNoNews) {
  Inbox inbox;
  inbox.Put({}, kNoon);

  EXPECT_FALSE(IsReadable(inbox));
  EXPECT_EQ(inbox.Take().batch.oldest, absl::InfiniteFuture());
}

TEST(InboxTest, MarkSyncedWakesTheReaderAndLasts) {
  Inbox inbox;
  EXPECT_FALSE(inbox.synced());

  inbox.MarkSynced();

  EXPECT_TRUE(IsReadable(inbox));
  const Inbox::Delivery delivery = inbox.Take();
  EXPECT_TRUE(delivery.batch.changes.empty());
  EXPECT_TRUE(delivery.synced);
  EXPECT_TRUE(inbox.synced());
  EXPECT_FALSE(IsReadable(inbox));
}

TEST(InboxTest, NoPutIsLostOrTornWhileAReaderTakes) {
  Inbox inbox;
  constexpr int kPuts = 500;
  std::thread writer([&] {
    for (int i = 0; i < kPuts; ++i) {
      // Two objects a Put: a Take must see both or neither.
      inbox.Put({Svc(absl::StrCat("a/s", i)).Put(), Svc(absl::StrCat("b/s", i)).Put()}, kNoon);
    }
    inbox.MarkSynced();
  });

  std::set<std::string> seen;
  bool torn = false;
  for (bool last = false; !last;) {
    pollfd fd = {inbox.fd(), POLLIN, 0};
    ASSERT_EQ(poll(&fd, 1, 60'000), 1);
    const Inbox::Delivery delivery = inbox.Take();
    last = delivery.synced;
    int of_a = 0;
    int of_b = 0;
    for (const ObjectChange& change : delivery.batch.changes) {
      seen.insert(FormatKey(change.key));
      ++(change.key.name.ns == "a" ? of_a : of_b);
    }
    torn |= of_a != of_b;
  }
  writer.join();

  EXPECT_EQ(seen.size(), 2u * kPuts);
  EXPECT_FALSE(torn);
}

}  // namespace
}  // namespace pointsman
