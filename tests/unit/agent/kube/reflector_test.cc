// SPDX-License-Identifier: Apache-2.0
//
// The protocol: which request follows which answer, and when. Time is passed in, and nothing goes over a wire.
#include "agent/kube/reflector.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/kube/circuit.h"
#include "tests/unit/agent/kube/decoded_samples.h"

namespace pointsman::kube {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using Type = WatchEvent::Type;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

// What a request asks for, with what every request of its form must have checked on the way:
// "watch-list newest", "watch-list from 7", "watch from 7", "list 500 of 0", "list from 7", "list 500 newest", "page
// T".
std::string InShort(const Reflector::Request& request) {
  const std::vector<std::string> parts = absl::StrSplit(request.path, '?');
  std::map<std::string, std::string> query;
  for (absl::string_view pair : absl::StrSplit(parts.at(1), '&')) {
    const std::vector<std::string> both = absl::StrSplit(pair, '=');
    EXPECT_EQ(both.size(), 2U) << request.path;
    EXPECT_TRUE(query.emplace(both.front(), both.back()).second) << "twice in " << request.path;
  }
  EXPECT_EQ(query["labelSelector"], "%21service.kubernetes.io%2Fservice-proxy-name");
  EXPECT_EQ(query["fieldSelector"], "spec.clusterIP%21%3DNone");
  const std::string from =
      query["resourceVersion"].empty() ? "newest" : absl::StrCat("from ", query["resourceVersion"]);
  if (!query["watch"].empty()) {
    EXPECT_EQ(request.form, BodyReader::Form::kWatch);
    EXPECT_EQ(query["allowWatchBookmarks"], "true") << request.path;
    int seconds = 0;
    EXPECT_TRUE(absl::SimpleAtoi(query["timeoutSeconds"], &seconds)) << request.path;
    EXPECT_THAT(seconds, AllOf(Ge(300), Le(600)));
    EXPECT_GT(request.timeout, absl::Seconds(seconds)) << "the server is to end it";
    const bool all = query["sendInitialEvents"] == "true";
    EXPECT_EQ(query["resourceVersionMatch"], all ? "NotOlderThan" : "") << request.path;
    return absl::StrCat(all ? "watch-list " : "watch ", from);
  }
  EXPECT_EQ(request.form, BodyReader::Form::kList);
  EXPECT_EQ(query["resourceVersionMatch"], "") << request.path;
  if (!query["continue"].empty()) {
    EXPECT_EQ(from, "newest") << "a page has its version in its token";
    EXPECT_EQ(query["limit"], "500");
    return absl::StrCat("page ", query["continue"]);
  }
  return absl::StrCat("list ", query["limit"].empty() ? "" : absl::StrCat(query["limit"], " "), from);
}

// A Reflector of Services and the time. Requests are begun when they are due, and each answer takes 1 ms.
struct Drive {
  explicit Drive(const Reflector::Options& options = {}, uint32_t seed = 1)
      : reflector(ResourceOf(Kind::kService), "", options, seed) {}

  // How long until the next request.
  absl::Duration Wait() const { return std::max(reflector.Due() - now, absl::ZeroDuration()); }
  // The next request, once it is due.
  std::string Next() {
    now += Wait();
    return InShort(reflector.Begin(now));
  }
  // Next, if that is at once.
  std::string AtOnce() { return Wait() > absl::ZeroDuration() ? "a pause" : Next(); }

  Drive& Answer() {
    now += absl::Milliseconds(1);
    reflector.Answered(now);
    return *this;
  }
  Drive& Say(Type type, Decoded decoded) {
    EXPECT_TRUE(reflector.Take(now, WatchEvent{.type = type, .decoded = std::move(decoded)}));
    return *this;
  }
  Drive& Bookmark(absl::string_view version, bool end = false) {
    return Say(Type::kBookmark, {.resource_version = std::string(version), .initial_events_end = end});
  }
  Drive& Item(Decoded decoded) {
    EXPECT_TRUE(reflector.Take(now, ListItem{std::move(decoded)}));
    return *this;
  }
  Drive& Info(absl::string_view version, absl::string_view more = "") {
    EXPECT_TRUE(reflector.Take(now, ListInfo{std::string(version), std::string(more)}));
    return *this;
  }
  Drive& Pass(absl::Duration time) {
    now += time;
    return *this;
  }
  absl::Status EndWell() { return reflector.Ended(now, {.code = 200}); }
  // The server said this in place of what was asked.
  absl::Status Refuse(const ApiStatus& failure) {
    Answer();
    // Whoever drives a Reflector calls Answered for successes only.
    return reflector.Ended(now, {.code = failure.code, .failure = failure});
  }
  absl::Status SayError(const ApiStatus& status) {
    EXPECT_FALSE(reflector.Take(now, WatchEvent{.type = Type::kError, .status = status}));
    return EndWell();
  }
  absl::Status Cut() {
    return reflector.Ended(now, {.transport = absl::UnavailableError("stream reset"), .code = 200});
  }
  absl::Status NotReached() {
    return reflector.Ended(now, {.transport = absl::UnavailableError("connection refused")});
  }
  // As whoever drives it does it at the Deadline.
  absl::Status EndForSilence() {
    now = reflector.Deadline();
    return reflector.Ended(now, {.transport = absl::DeadlineExceededError("silence"), .code = 200});
  }

  // Comes to hold a:80, b:80 at version 7, with the watch running.
  Drive& Synced() {
    EXPECT_EQ(Next(), "watch-list newest");
    Answer().Say(Type::kAdded, Svc("a", "3")).Say(Type::kAdded, Svc("b", "2")).Bookmark("7", true);
    EXPECT_THAT(Changes(), UnorderedElementsAre("a:80", "b:80"));
    return *this;
  }
  std::vector<std::string> Changes() { return Describe(reflector.mirror().TakeChanges()); }

  absl::Time now = absl::FromUnixSeconds(5000);
  Reflector reflector;
};

const ApiStatus kGone = {410, "Expired", "too old resource version: 7 (99)"};
const ApiStatus kInvalid = {422, "Invalid", "sendInitialEvents: Forbidden"};
const ApiStatus kTooLarge = {504, "Timeout", "Too large resource version: 7, current: 5", absl::Seconds(1), true};
const ApiStatus kBroken = {500, "InternalError", "etcd is away"};
const ApiStatus kForbidden = {403, "Forbidden", "forbidden: User \"system:serviceaccount:kube-system:proxy\" cannot"};

auto FirstPause() { return AllOf(Ge(absl::Seconds(0.8)), Le(absl::Seconds(1.6))); }

// --- Requests ---

struct PathRow {
  const char* name;
  Kind kind;
  const char* before;
  const char* after;
};
void PrintTo(const PathRow& row, std::ostream* out) { *out << row.name; }

class Paths : public testing::TestWithParam<PathRow> {};

TEST_P(Paths, AreThoseOfKubeProxy) {
  const PathRow& row = GetParam();
  Reflector reflector(ResourceOf(row.kind), "n1", {}, 1);
  const std::string path = reflector.Begin(absl::FromUnixSeconds(5000)).path;
  EXPECT_THAT(path, testing::StartsWith(absl::StrCat(row.before, "?watch=1&allowWatchBookmarks=true&timeoutSeconds=")));
  EXPECT_THAT(path,
              testing::EndsWith(absl::StrCat("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", row.after)));
}

INSTANTIATE_TEST_SUITE_P(
    All, Paths,
    testing::Values(PathRow{"EndpointSlices", Kind::kEndpointSlice, "/apis/discovery.k8s.io/v1/endpointslices",
                            "&labelSelector=%21service.kubernetes.io%2Fheadless"},
                    PathRow{"TheNode", Kind::kNode, "/api/v1/nodes", "&fieldSelector=metadata.name%3Dn1"},
                    PathRow{"ServiceCidrs", Kind::kServiceCidr, "/apis/networking.k8s.io/v1/servicecidrs", ""}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(ReflectorTest, WatchesOfManyNodesEndAtDifferentTimes) {
  std::vector<absl::Duration> timeouts;
  for (uint32_t seed = 1; seed <= 50; ++seed) {
    Reflector reflector(ResourceOf(Kind::kService), "", {}, seed * 7919);
    timeouts.push_back(reflector.Begin(absl::FromUnixSeconds(5000)).timeout);
  }
  std::sort(timeouts.begin(), timeouts.end());
  EXPECT_GT(timeouts.back() - timeouts.front(), absl::Seconds(150));
}

// --- The first picture ---

TEST(ReflectorTest, WatchListIsSyncedAtItsEndBookmarkAndGoesOnAsAWatch) {
  Drive drive;
  EXPECT_EQ(drive.AtOnce(), "watch-list newest");
  drive.Answer().Say(Type::kAdded, Svc("a")).Say(Type::kAdded, Svc("b")).Say(Type::kAdded, Svc("c"));
  EXPECT_FALSE(drive.reflector.synced());
  EXPECT_FALSE(drive.reflector.following());
  EXPECT_THAT(drive.Changes(), IsEmpty());

  drive.Bookmark("7", true);
  EXPECT_TRUE(drive.reflector.synced());
  EXPECT_TRUE(drive.reflector.following());
  EXPECT_THAT(drive.Changes(), UnorderedElementsAre("a:80", "b:80", "c:80"));

  drive.Say(Type::kModified, Svc("b", "8", 81));
  EXPECT_THAT(drive.Changes(), ElementsAre("b:81"));
  EXPECT_EQ(drive.reflector.Due(), absl::InfiniteFuture()) << "one request at a time";
}

TEST(ReflectorTest, ChangesAmongTheInitialEventsCountToo) {
  Drive drive;
  drive.Next();
  drive.Answer().Say(Type::kAdded, Svc("a")).Say(Type::kAdded, Svc("b")).Say(Type::kModified, Svc("a", "9", 81));
  drive.Say(Type::kDeleted, Svc("b")).Bookmark("8").Bookmark("9", true);
  EXPECT_THAT(drive.Changes(), ElementsAre("a:81"));
}

TEST(ReflectorTest, AWatchListCutInTheMiddleSyncsNothingAndIsAskedForAgain) {
  Drive drive;
  drive.Next();
  drive.Answer().Say(Type::kAdded, Svc("a", "99")).Say(Type::kAdded, Svc("b", "98"));
  EXPECT_FALSE(drive.Cut().ok());
  EXPECT_FALSE(drive.reflector.synced());
  EXPECT_THAT(drive.Wait(), FirstPause());
  EXPECT_EQ(drive.Next(), "watch-list newest") << "versions of initial events are in no order";
  drive.Answer().Say(Type::kAdded, Svc("c")).Bookmark("100", true);
  EXPECT_THAT(drive.Changes(), ElementsAre("c:80"));
}

TEST(ReflectorTest, AfterThreeWatchListsThatBrokeOffAListIsAskedFor) {
  Drive drive;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(drive.Next(), "watch-list newest");
    drive.Answer().Say(Type::kAdded, Svc("a")).Pass(absl::Seconds(10));
    EXPECT_FALSE((i == 1 ? drive.EndWell() : drive.Cut()).ok());
  }
  EXPECT_EQ(drive.Next(), "list 500 from 0");
}

TEST(ReflectorTest, AServerThatDoesNotKnowInitialEventsIsAskedForAListAtOnceAndForTenMinutes) {
  Drive drive;
  drive.Next();
  EXPECT_TRUE(drive.Refuse(kInvalid).ok()) << "that is no failure";
  const absl::Time refused = drive.now;
  EXPECT_EQ(drive.AtOnce(), "list 500 from 0");
  drive.Answer().Item(Svc("a")).Item(Svc("b")).Info("7");
  EXPECT_FALSE(drive.reflector.synced());
  EXPECT_TRUE(drive.EndWell().ok());
  EXPECT_TRUE(drive.reflector.synced());
  EXPECT_THAT(drive.Changes(), UnorderedElementsAre("a:80", "b:80"));

  EXPECT_EQ(drive.AtOnce(), "watch from 7");
  EXPECT_FALSE(drive.Refuse(kGone).ok());
  EXPECT_EQ(drive.Next(), "list from 7") << "still within the ten minutes";
  drive.Answer().Item(Svc("a")).Info("20");
  EXPECT_TRUE(drive.EndWell().ok());
  EXPECT_THAT(drive.Changes(), ElementsAre("b gone"));

  EXPECT_EQ(drive.AtOnce(), "watch from 20");
  drive.now = refused + absl::Minutes(10);
  EXPECT_FALSE(drive.Refuse(kGone).ok());
  EXPECT_EQ(drive.Next(), "watch-list from 20");
}

TEST(ReflectorTest, AServerThatNeverTellsTheEndOfTheInitialEventsIsAskedForAList) {
  Drive drive;
  drive.Next();
  EXPECT_EQ(drive.reflector.Deadline(), absl::InfiniteFuture()) << "until it answers";
  drive.Answer().Pass(absl::Seconds(3)).Say(Type::kAdded, Svc("a", "3"));
  EXPECT_EQ(drive.reflector.Deadline(), drive.now + absl::Seconds(30));
  EXPECT_EQ(drive.EndForSilence().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(drive.Changes(), IsEmpty());
  EXPECT_EQ(drive.AtOnce(), "list 500 from 0");
}

TEST(ReflectorTest, AServerThatNeverTellsTheEndNorIsSilentIsAskedForAListToo) {
  Drive drive;
  drive.Next();
  drive.Answer();
  const absl::Time answered = drive.now;
  while (drive.now + absl::Seconds(20) < drive.reflector.Deadline() && drive.now < answered + absl::Minutes(9)) {
    drive.Pass(absl::Seconds(20)).Say(Type::kModified, Svc("a"));
  }
  EXPECT_LE(drive.reflector.Deadline(), answered + absl::Minutes(2));
  EXPECT_FALSE(drive.EndForSilence().ok());
  EXPECT_EQ(drive.AtOnce(), "list 500 from 0");
}

TEST(ReflectorTest, AfterTheInitialEventsSilenceIsNoFault) {
  Drive drive;
  drive.Synced();
  EXPECT_EQ(drive.reflector.Deadline(), absl::InfiniteFuture());
}

TEST(ReflectorTest, AnEndBookmarkWithoutVersionIsNoEnd) {
  Drive drive;
  drive.Next();
  drive.Answer().Say(Type::kAdded, Svc("a")).Bookmark("", true);
  EXPECT_FALSE(drive.reflector.synced());
}

// --- Lists ---

// Asked for a list, since the server does not know initial events.
Drive Listing() {
  Drive drive;
  drive.Next();
  EXPECT_TRUE(drive.Refuse(kInvalid).ok());
  return drive;
}

TEST(ReflectorTest, PagesMakeOnePicture) {
  Drive drive = Listing();
  drive.Next();
  drive.Answer().Info("7", "t+1/=").Item(Svc("a"));
  EXPECT_TRUE(drive.EndWell().ok());
  EXPECT_FALSE(drive.reflector.synced());
  EXPECT_EQ(drive.AtOnce(), "page t%2B1%2F%3D");
  drive.Answer().Item(Svc("b")).Info("7");
  EXPECT_TRUE(drive.EndWell().ok());
  EXPECT_THAT(drive.Changes(), UnorderedElementsAre("a:80", "b:80"));
  EXPECT_EQ(drive.AtOnce(), "watch from 7");
}

TEST(ReflectorTest, APageThatFailsIsAskedForAgain) {
  Drive drive = Listing();
  drive.Next();
  drive.Answer().Item(Svc("a")).Info("7", "t");
  EXPECT_TRUE(drive.EndWell().ok());
  drive.Next();
  drive.Answer().Item(Svc("b"));
  EXPECT_FALSE(drive.Cut().ok());
  EXPECT_EQ(drive.Next(), "page t");
  EXPECT_FALSE(drive.Refuse(kBroken).ok());
  EXPECT_EQ(drive.Next(), "page t");
  drive.Answer().Item(Svc("b")).Info("7");
  EXPECT_TRUE(drive.EndWell().ok());
  EXPECT_THAT(drive.Changes(), UnorderedElementsAre("a:80", "b:80"));
}

TEST(ReflectorTest, WithAnExpiredContinueTokenEverythingIsAskedForAgain) {
  Drive drive = Listing();
  drive.Next();
  drive.Answer().Item(Svc("gone")).Info("7", "t");
  EXPECT_TRUE(drive.EndWell().ok());
  drive.Next();
  EXPECT_EQ(drive.Refuse(kGone).code(), absl::StatusCode::kOutOfRange);
  EXPECT_FALSE(drive.reflector.synced());
  EXPECT_THAT(drive.Wait(), FirstPause());
  EXPECT_EQ(drive.Next(), "list 500 newest");
  drive.Answer().Item(Svc("a")).Info("9");
  EXPECT_TRUE(drive.EndWell().ok());
  EXPECT_THAT(drive.Changes(), ElementsAre("a:80"));
}

TEST(ReflectorTest, AListThatFailsForLongIsNoReasonNotToTryAWatchListAgain) {
  Drive drive = Listing();
  const absl::Time end = drive.now + absl::Minutes(10);
  while (drive.now + drive.Wait() < end) {
    EXPECT_EQ(drive.Next(), "list 500 from 0");
    EXPECT_FALSE(drive.Refuse(kBroken).ok());
  }
  EXPECT_EQ(drive.Next(), "watch-list newest");
}

TEST(ReflectorTest, AListGivenUpIsAskedForAnew) {
  Drive drive = Listing();
  drive.Next();
  drive.Answer().Item(Svc("old"));
  EXPECT_TRUE(drive.reflector.Ended(drive.now, {.transport = absl::CancelledError(), .given_up = true}).ok());
  EXPECT_EQ(drive.AtOnce(), "list 500 from 0");
  EXPECT_TRUE(drive.Answer().Item(Svc("a")).Info("7").EndWell().ok());
  EXPECT_THAT(drive.Changes(), ElementsAre("a:80"));
}

TEST(ReflectorTest, AListThatTellsNoVersionIsNone) {
  for (const bool info : {false, true}) {
    Drive drive = Listing();
    drive.Next();
    drive.Answer().Item(Svc("a"));
    if (info) drive.Info("");
    EXPECT_EQ(drive.EndWell().code(), absl::StatusCode::kDataLoss);
    EXPECT_FALSE(drive.reflector.synced());
    EXPECT_THAT(drive.Wait(), FirstPause());
    EXPECT_EQ(drive.Next(), "list 500 from 0");
  }
}

// --- Watching ---

TEST(ReflectorTest, AWatchThatTimesOutIsTakenUpAtOnceFromTheLastVersion) {
  Drive drive;
  drive.Synced().Say(Type::kModified, Svc("a", "8", 81)).Pass(absl::Minutes(6));
  EXPECT_TRUE(drive.EndWell().ok());
  EXPECT_EQ(drive.AtOnce(), "watch from 8");
  drive.Answer().Bookmark("50").Pass(absl::Minutes(6));
  EXPECT_TRUE(drive.EndWell().ok());
  EXPECT_EQ(drive.AtOnce(), "watch from 50");
  EXPECT_EQ(drive.reflector.counts().relists, 0);
  EXPECT_EQ(drive.reflector.counts().bookmarks, 2);
}

TEST(ReflectorTest, ABookmarkIsNoObject) {
  Drive drive;
  drive.Synced().Bookmark("8");
  EXPECT_EQ(drive.reflector.mirror().size(), 2U);
  EXPECT_THAT(drive.Changes(), IsEmpty());
}

TEST(ReflectorTest, WhatLeavesTheSelectorIsGone) {
  Drive drive;
  drive.Synced().Say(Type::kDeleted, Svc("a", "8"));
  EXPECT_THAT(drive.Changes(), ElementsAre("a gone"));
  EXPECT_TRUE(drive.Pass(absl::Minutes(1)).EndWell().ok());
  EXPECT_EQ(drive.Next(), "watch from 8");
}

TEST(ReflectorTest, AnEventOfAnUnknownTypeIsIgnored) {
  Drive drive;
  drive.Synced().Say(Type::kOther, {}).Pass(absl::Minutes(1));
  EXPECT_TRUE(drive.EndWell().ok());
  EXPECT_THAT(drive.Changes(), IsEmpty());
  EXPECT_EQ(drive.Next(), "watch from 7");
}

TEST(ReflectorTest, UpdatesThatChangeNothingStopButTheirVersionCounts) {
  Drive drive;
  drive.Synced().Say(Type::kModified, Svc("a", "8")).Say(Type::kModified, Svc("a", "9")).Pass(absl::Minutes(1));
  EXPECT_THAT(drive.Changes(), IsEmpty());
  EXPECT_EQ(drive.reflector.mirror().unchanged(), 2);
  EXPECT_EQ(drive.reflector.counts().events, 4);
  EXPECT_TRUE(drive.EndWell().ok());
  EXPECT_EQ(drive.Next(), "watch from 9");
}

TEST(ReflectorTest, AnEventThatCannotBeDecodedDeletesNothingAndIsNotAskedForAgain) {
  for (const Type type : {Type::kAdded, Type::kModified}) {
    Drive drive;
    drive.Synced().Say(type, Undecodable("a", "8")).Say(type, Undecodable("", "9")).Pass(absl::Minutes(1));
    EXPECT_THAT(drive.Changes(), IsEmpty());
    EXPECT_EQ(drive.reflector.mirror().size(), 2U);
    EXPECT_EQ(drive.reflector.mirror().undecodable(), 2);
    EXPECT_TRUE(drive.Cut().ok());
    EXPECT_EQ(drive.Next(), "watch from 9");
  }
}

TEST(ReflectorTest, ADeletionNeedsNoMoreThanAName) {
  Drive drive;
  drive.Synced().Say(Type::kDeleted, Undecodable("a", "8"));
  EXPECT_THAT(drive.Changes(), ElementsAre("a gone"));
}

TEST(ReflectorTest, ADeletionOfNobodyKnowsWhatIsTold) {
  Drive drive;
  drive.Synced().Say(Type::kDeleted, Undecodable("", "8"));
  EXPECT_THAT(drive.Changes(), IsEmpty());
  EXPECT_EQ(drive.reflector.mirror().undecodable(), 1);
  EXPECT_THAT(drive.reflector.mirror().TakeDiagnostics(), SizeIs(1));
}

TEST(ReflectorTest, AStreamThatIsCutIsTakenUpWithoutAPause) {
  Drive drive;
  drive.Synced().Pass(absl::Seconds(40));
  EXPECT_TRUE(drive.Cut().ok());
  EXPECT_FALSE(drive.reflector.following());
  EXPECT_EQ(drive.AtOnce(), "watch from 7");
  EXPECT_TRUE(drive.Answer().Pass(absl::Seconds(2)).Cut().ok());
  EXPECT_EQ(drive.AtOnce(), "watch from 7");
  EXPECT_EQ(drive.reflector.counts().failures, 0);
  EXPECT_THAT(drive.Changes(), IsEmpty());
}

struct EarlyEndRow {
  const char* name;
  bool cut;
  bool word;  // a bookmark came
};
void PrintTo(const EarlyEndRow& row, std::ostream* out) { *out << row.name; }

class EarlyEnds : public testing::TestWithParam<EarlyEndRow> {};

TEST_P(EarlyEnds, AgainAndAgainMakeGrowingPausesUntilAWatchGoesOn) {
  Drive drive;
  drive.Synced().Pass(absl::Minutes(5));
  EXPECT_TRUE(drive.EndWell().ok());
  const auto end_at_once = [&] {
    EXPECT_EQ(drive.Next(), "watch from 7");
    drive.Answer();
    if (GetParam().word) drive.Bookmark("7");
    return GetParam().cut ? drive.Cut() : drive.EndWell();
  };
  if (GetParam().word) {
    EXPECT_TRUE(end_at_once().ok()) << "once is nothing";
    EXPECT_EQ(drive.Wait(), absl::ZeroDuration());
  }
  for (const double seconds : {0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0}) {
    EXPECT_EQ(end_at_once().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(drive.Wait(), AllOf(Ge(absl::Seconds(seconds)), Le(absl::Seconds(2 * seconds))));
  }
  EXPECT_EQ(drive.reflector.counts().short_watches, 8);
  EXPECT_EQ(drive.reflector.counts().relists, 0) << "the version is good";

  drive.Next();
  EXPECT_TRUE(drive.Answer().Pass(absl::Seconds(31)).Cut().ok());
  EXPECT_EQ(drive.AtOnce(), "watch from 7");
  EXPECT_FALSE(drive.Refuse(kBroken).ok());
  EXPECT_THAT(drive.Wait(), FirstPause());
}

INSTANTIATE_TEST_SUITE_P(All, EarlyEnds,
                         testing::Values(EarlyEndRow{"ClosedWithoutAWord", false, false},
                                         EarlyEndRow{"ClosedAfterAWord", false, true},
                                         EarlyEndRow{"CutWithoutAWord", true, false},
                                         EarlyEndRow{"CutAfterAWord", true, true}),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(ReflectorTest, AProxyThatLetsNoWatchGoOnForLongIsFollowedAllTheSame) {
  Drive drive;
  drive.Synced();
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(drive.Pass(absl::Seconds(10)).Cut().ok());
    EXPECT_EQ(drive.AtOnce(), "watch from 7");
    drive.Answer();
  }
}

TEST(ReflectorTest, ABodyThatIsNoWatchMakesAPauseAndANewPicture) {
  Drive drive;
  drive.Synced().Pass(absl::Seconds(10));
  const absl::Status told =
      drive.reflector.Ended(drive.now, {.transport = absl::DataLossError("no frame"), .code = 200});
  EXPECT_EQ(told.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Message(told), "watch services: no frame");
  EXPECT_THAT(drive.Wait(), FirstPause());
  EXPECT_EQ(drive.Next(), "watch-list from 7");
}

TEST(ReflectorTest, WhatWasGivenUpIsTakenUpWhereItWas) {
  Drive drive;
  drive.Synced();
  EXPECT_TRUE(drive.reflector.Ended(drive.now, {.transport = absl::CancelledError(), .given_up = true}).ok());
  EXPECT_EQ(drive.AtOnce(), "watch from 7");
}

// --- Versions the server does not know any more ---

TEST(ReflectorTest, AnExpiredWatchAsksForAPictureNoOlderAndKeepsEverythingUntilItIsComplete) {
  Drive drive;
  drive.Synced().Bookmark("8");
  EXPECT_EQ(drive.SayError(kGone).code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(drive.Wait(), FirstPause());
  EXPECT_EQ(drive.Next(), "watch-list from 8");
  drive.Answer().Say(Type::kAdded, Svc("b", "2"));
  EXPECT_THAT(drive.Changes(), IsEmpty());
  EXPECT_EQ(drive.reflector.mirror().size(), 2U);
  drive.Bookmark("99", true);
  EXPECT_THAT(drive.Changes(), ElementsAre("a gone"));
  EXPECT_EQ(drive.reflector.counts().relists, 1);
}

TEST(ReflectorTest, ANewPictureThatIsTheSameChangesNothing) {
  Drive drive;
  drive.Synced();
  EXPECT_FALSE(drive.SayError(kGone).ok());
  drive.Next();
  drive.Answer().Say(Type::kAdded, Svc("a")).Say(Type::kAdded, Svc("b")).Bookmark("99", true);
  EXPECT_THAT(drive.Changes(), IsEmpty());
  EXPECT_EQ(drive.reflector.mirror().unchanged(), 2);
}

TEST(ReflectorTest, ANewPictureThatIsCutDeletesNothing) {
  Drive drive;
  drive.Synced();
  EXPECT_FALSE(drive.SayError(kGone).ok());
  drive.Next();
  EXPECT_FALSE(drive.Answer().Say(Type::kAdded, Svc("b")).Cut().ok());
  EXPECT_THAT(drive.Changes(), IsEmpty());
  EXPECT_EQ(drive.reflector.mirror().size(), 2U);
  EXPECT_TRUE(drive.reflector.synced()) << "it was, once";
}

TEST(ReflectorTest, AnObjectThatCannotBeDecodedIsNotMissedFromANewPicture) {
  for (const char* name : {"a", ""}) {
    Drive drive;
    drive.Synced();
    EXPECT_FALSE(drive.SayError(kGone).ok());
    drive.Next();
    drive.Answer().Say(Type::kAdded, Undecodable(name)).Say(Type::kAdded, Svc("b")).Bookmark("99", true);
    EXPECT_THAT(drive.Changes(), IsEmpty()) << name;
    EXPECT_EQ(drive.reflector.mirror().size(), 2U);
  }
}

// What follows when the request `step` meets `failure`.
struct RefusalRow {
  const char* name;
  const char*
      step;  // "initial": of the first picture; "relist": of a later one, by WatchList; "list": of a later one; "watch"
  ApiStatus failure;
  const char* then;
  absl::Duration at_least = absl::Milliseconds(800);
  absl::StatusCode told = absl::StatusCode::kUnavailable;
};
void PrintTo(const RefusalRow& row, std::ostream* out) { *out << row.name; }

class Refused : public testing::TestWithParam<RefusalRow> {};

TEST_P(Refused, IsFollowedByTheRightRequestAfterAPause) {
  const RefusalRow& row = GetParam();
  const std::string step = row.step;
  Drive drive = step == "list" ? Listing() : Drive();
  if (step == "list") {
    drive.Next();
    EXPECT_TRUE(drive.Answer().Item(Svc("a")).Item(Svc("b")).Info("7").EndWell().ok());
    EXPECT_EQ(drive.Next(), "watch from 7");
  } else if (step != "initial") {
    drive.Synced();
  }
  if (step == "relist" || step == "list") {
    EXPECT_FALSE(drive.Refuse(kGone).ok());
    drive.Pass(absl::Minutes(4));  // what came before is forgotten
  } else if (step == "watch") {
    EXPECT_TRUE(drive.Pass(absl::Minutes(5)).EndWell().ok());
  }
  drive.Next();

  EXPECT_EQ(drive.Refuse(row.failure).code(), row.told);
  EXPECT_GE(drive.Wait(), row.at_least);
  EXPECT_LE(drive.Wait(), std::max(row.at_least, absl::Seconds(1.6)));
  EXPECT_EQ(drive.Next(), row.then);
  EXPECT_EQ(drive.reflector.mirror().size(), step == "initial" ? 0U : 2U);
}

constexpr absl::StatusCode kOutOfRange = absl::StatusCode::kOutOfRange;
const ApiStatus kBusy = {429, "TooManyRequests", "later", absl::Seconds(3)};
const ApiStatus kBusyPlain = {429, "", "Too many requests, please try again later."};

INSTANTIATE_TEST_SUITE_P(
    All, Refused,
    testing::Values(
        RefusalRow{"AWatchWithA410NeedsAPictureNoOlder", "watch", kGone, "watch-list from 7", absl::Milliseconds(800),
                   kOutOfRange},
        RefusalRow{"AWatchListWithA410TheNewest", "relist", kGone, "watch-list newest", absl::Milliseconds(800),
                   kOutOfRange},
        RefusalRow{"AListWithA410TheNewest", "list", kGone, "list 500 newest", absl::Milliseconds(800), kOutOfRange},
        RefusalRow{"AWatchListFromTheFutureTheNewest", "relist", kTooLarge, "watch-list newest", absl::Seconds(1)},
        RefusalRow{"AListFromTheFutureTheNewest", "list", kTooLarge, "list 500 newest", absl::Seconds(1)},
        RefusalRow{"AWatchFromTheFutureTheNewest", "watch", kTooLarge, "watch-list newest", absl::Seconds(1)},
        RefusalRow{"AnotherTimeoutIsNotAboutTheVersion", "list", {504, "Timeout", ""}, "list from 7"},
        RefusalRow{"ABusyServerIsGivenTheTimeItAsksFor", "list", kBusy, "list from 7", absl::Seconds(3)},
        RefusalRow{"ABusyServerIsGivenTheTimeItAsksForByAWatchList", "initial", kBusy, "watch-list newest",
                   absl::Seconds(3)},
        RefusalRow{"A503MaySayWhenToo", "watch", {503, "", "", absl::Seconds(7)}, "watch from 7", absl::Seconds(7)},
        RefusalRow{"NobodyWaitsForHours", "watch", {503, "", "", absl::Hours(24)}, "watch from 7", absl::Minutes(10)},
        RefusalRow{"ABusyServerWithoutATimeLeavesTheVersionGood", "watch", kBusyPlain, "watch from 7"},
        RefusalRow{"A500AtAWatch", "watch", kBroken, "watch from 7"},
        RefusalRow{"A500AtAWatchList", "relist", kBroken, "watch-list from 7"},
        RefusalRow{"A403AtAWatch", "watch", kForbidden, "watch from 7", absl::Milliseconds(800),
                   absl::StatusCode::kPermissionDenied},
        RefusalRow{"A401AtAWatch",
                   "watch",
                   {401, "Unauthorized", ""},
                   "watch from 7",
                   absl::Milliseconds(800),
                   absl::StatusCode::kUnauthenticated},
        RefusalRow{"A404AtFirst",
                   "initial",
                   {404, "NotFound", ""},
                   "watch-list newest",
                   absl::Milliseconds(800),
                   absl::StatusCode::kNotFound},
        RefusalRow{"A400AtAWatchNeedsTheNewestPicture",
                   "watch",
                   {400, "BadRequest", ""},
                   "watch-list newest",
                   absl::Milliseconds(800),
                   absl::StatusCode::kFailedPrecondition}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(ReflectorTest, ErrorEventsAreRefusalsToo) {
  Drive drive;
  drive.Synced();
  EXPECT_FALSE(drive.SayError(kBusy).ok());
  EXPECT_EQ(drive.Wait(), absl::Seconds(3));
  EXPECT_EQ(drive.Next(), "watch from 7");
  EXPECT_FALSE(drive.Answer().SayError({.message = "an error event that cannot be decoded"}).ok());
  EXPECT_GT(drive.Wait(), absl::ZeroDuration());
  EXPECT_EQ(drive.Next(), "watch-list newest");
}

TEST(ReflectorTest, A403NamesVerbsResourceAndServiceAccount) {
  Drive drive;
  drive.Next();
  EXPECT_THAT(Message(drive.Refuse(kForbidden)),
              HasSubstr("grant ServiceAccount kube-system/proxy the verbs list and watch on services"));
}

TEST(ReflectorTest, OnceTheNewestPictureIsThereLaterOnesNeedNotBe) {
  Drive drive;
  drive.Synced();
  EXPECT_FALSE(drive.SayError(kTooLarge).ok());
  EXPECT_EQ(drive.Next(), "watch-list newest");
  drive.Answer().Bookmark("5", true);
  EXPECT_FALSE(drive.SayError(kGone).ok());
  EXPECT_EQ(drive.Next(), "watch-list from 5");
}

// --- Pace ---

TEST(ReflectorTest, PausesGrowAndAreForgottenAfterACalm) {
  Drive drive;
  for (const double seconds : {0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0}) {
    drive.Next();
    EXPECT_FALSE(drive.Refuse(kBroken).ok());
    EXPECT_THAT(drive.Wait(), AllOf(Ge(absl::Seconds(seconds)), Le(absl::Seconds(2 * seconds))));
  }
  drive.Synced().Pass(absl::Minutes(3));
  EXPECT_FALSE(drive.SayError(kGone).ok());
  EXPECT_THAT(drive.Wait(), FirstPause());
}

TEST(ReflectorTest, AServerThatCannotBeReachedForAMinuteCostsNoNewPicture) {
  Drive drive;
  drive.Synced().Pass(absl::Minutes(1));
  EXPECT_TRUE(drive.Cut().ok());
  Circuit circuit(Backoff({}, 1));
  circuit.Reached();
  circuit.Failed(drive.now);
  int attempts = 0;
  for (const absl::Time back = drive.now + absl::Minutes(1); drive.now < back; ++attempts) {
    drive.now = std::max(drive.now, circuit.Next(drive.now));
    EXPECT_EQ(drive.AtOnce(), "watch from 7");
    circuit.Started(drive.now);
    EXPECT_FALSE(drive.NotReached().ok());
    EXPECT_LE(circuit.Failed(drive.now), absl::Minutes(1));
  }
  EXPECT_THAT(attempts, AllOf(Ge(4), Le(8)));
  EXPECT_EQ(drive.Next(), "watch from 7");
  EXPECT_EQ(drive.reflector.counts().relists, 0);
}

// What a server does with every request, for ever.
struct ServerRow {
  const char* name;
  std::function<void(Drive&, const std::string& request)> serve;
};
void PrintTo(const ServerRow& row, std::ostream* out) { *out << row.name; }

class Storms : public testing::TestWithParam<ServerRow> {};

TEST_P(Storms, DoNotBreakLoose) {
  for (uint32_t seed = 1; seed <= 5; ++seed) {
    Drive drive({}, seed * 7919);
    const absl::Time end = drive.now + absl::Hours(1);
    int requests = 0;
    while (drive.now + drive.Wait() < end && requests < 10'000) {
      const std::string request = drive.Next();
      ++requests;
      GetParam().serve(drive, request);
    }
    EXPECT_THAT(requests, AllOf(Ge(50), Le(150))) << "seed " << seed;
  }
}

// Everything is told, whatever the form, and the watch ends as `end` says.
std::function<void(Drive&, const std::string&)> TellsAllThen(std::function<void(Drive&)> end, bool watch_list = true) {
  return [end = std::move(end), watch_list](Drive& drive, const std::string& request) {
    if (absl::StartsWith(request, "list")) {
      (void)drive.Answer().Item(Svc("a")).Info("7").EndWell();
    } else if (absl::StartsWith(request, "watch-list")) {
      if (!watch_list) return (void)drive.Refuse(kInvalid);
      end(drive.Answer().Say(Type::kAdded, Svc("a")).Bookmark("7", true));
    } else {
      end(drive.Answer());
    }
  };
}
void Close(Drive& drive) { (void)drive.EndWell(); }
void CutOff(Drive& drive) { (void)drive.Cut(); }
void SayAndClose(Drive& drive) { (void)drive.Bookmark("7").EndWell(); }
std::function<void(Drive&, const std::string&)> Refuses(const ApiStatus& failure) {
  return [failure](Drive& drive, const std::string&) { (void)drive.Refuse(failure); };
}

INSTANTIATE_TEST_SUITE_P(
    All, Storms,
    testing::Values(ServerRow{"Answers500", Refuses(kBroken)}, ServerRow{"Answers410", Refuses(kGone)},
                    ServerRow{"Answers422", Refuses(kInvalid)}, ServerRow{"Answers403", Refuses(kForbidden)},
                    ServerRow{"Answers404", Refuses({404, "NotFound", ""})},
                    ServerRow{"Answers302", Refuses({302, "", "Found"})},
                    ServerRow{"Answers504TooLarge", Refuses(kTooLarge)},
                    ServerRow{"ClosesAtOnce", [](Drive& d, const std::string&) { Close(d.Answer()); }},
                    ServerRow{"CutsAtOnce", [](Drive& d, const std::string&) { CutOff(d.Answer()); }},
                    ServerRow{"SpeaksNonsense",
                              [](Drive& d, const std::string&) {
                                d.Answer();
                                (void)d.reflector.Ended(d.now, {.transport = absl::DataLossError("HTML"), .code = 200});
                              }},
                    ServerRow{"TellsAllAndClosesWatches", TellsAllThen(Close)},
                    ServerRow{"TellsAllAndCutsWatches", TellsAllThen(CutOff)},
                    ServerRow{"TellsAllAndClosesWatchesAfterAWord", TellsAllThen(SayAndClose)},
                    ServerRow{"ListsAndClosesWatches", TellsAllThen(Close, false)},
                    ServerRow{"TellsAllAndThenIsExpired", TellsAllThen([](Drive& d) { (void)d.SayError(kGone); })}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(ReflectorTest, WatchesThatAreCutAfterASecondKeepAPace) {
  Drive drive;
  drive.Synced();
  const absl::Time end = drive.now + absl::Hours(1);
  int requests = 0;
  while (drive.now < end) {
    EXPECT_TRUE(drive.Pass(absl::Seconds(1.1)).Cut().ok());
    EXPECT_EQ(drive.Next(), "watch from 7");
    drive.Answer();
    ++requests;
  }
  EXPECT_THAT(requests, AllOf(Ge(600), Le(725)));
}

// Four Reflectors and their Circuit, in steps of 10 ms; `serve` says whether the server was reached.
int RequestsInAnHour(const std::function<bool(Drive&, size_t)>& serve) {
  std::array<Drive, 4> drives = {Drive({}, 11), Drive({}, 22), Drive({}, 33), Drive({}, 44)};
  Circuit circuit(Backoff({}, 55));
  int requests = 0;
  const absl::Time start = drives[0].now;
  for (absl::Time now = start; now < start + absl::Hours(1); now += absl::Milliseconds(10)) {
    for (size_t i = 0; i < drives.size(); ++i) {
      Drive& drive = drives[i];
      drive.now = std::max(drive.now, now);
      if (drive.reflector.Due() > now || circuit.Next(now) > now) continue;
      drive.Next();
      circuit.Started(now);
      ++requests;
      if (serve(drive, i)) {
        circuit.Reached();
      } else {
        circuit.Failed(now);
      }
    }
  }
  return requests;
}

TEST(ReflectorTest, AServerThatRefusesConnectionsSeesOneKnockAPauseHoweverManyWait) {
  const int requests = RequestsInAnHour([](Drive& drive, size_t) {
    EXPECT_FALSE(drive.NotReached().ok());
    return false;
  });
  EXPECT_THAT(requests, AllOf(Ge(50), Le(150)));
}

TEST(ReflectorTest, AResourceThatIsNotServedLeavesTheOthersInPeace) {
  std::array<int, 4> requests = {};
  RequestsInAnHour([&](Drive& drive, size_t i) {
    ++requests[i];
    if (i == 3) {
      EXPECT_EQ(drive.Refuse({404, "NotFound", ""}).code(), absl::StatusCode::kNotFound);
    } else {
      drive.Answer().Say(Type::kAdded, Svc("a")).Bookmark("7", true);
      EXPECT_TRUE(drive.reflector.following());
    }
    return true;
  });
  EXPECT_THAT(requests, ElementsAre(1, 1, 1, AllOf(Ge(50), Le(150))));
}

}  // namespace
}  // namespace pointsman::kube
