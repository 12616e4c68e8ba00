// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/http.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/fake_api/fake_api.h"
#include "tests/unit/agent/kube/http_fixture.h"

namespace pointsman::kube {
namespace {

using support::FakeApi;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// --- requests and answers

TEST_F(HttpTest, AnAnswerComesAsHeadBodyAndEnd) {
  FakeApi api(ca, {});
  Fill(api, 1, 10);

  const Answer answer = Get(ServerOf(api), To(kServices));

  ASSERT_EQ(answer.heads.size(), 1U);
  ASSERT_EQ(answer.ends.size(), 1U);
  EXPECT_EQ(answer.code(), 200);
  EXPECT_THAT(answer.heads[0].content_type, StartsWith("application/json"));
  EXPECT_EQ(answer.status(), absl::OkStatus());
  EXPECT_TRUE(answer.ends[0].answered);
  EXPECT_THAT(answer.body, HasSubstr("\"s0\""));
}

TEST_F(HttpTest, PathQueryHeadersAndUserAgentGoOnTheWireAsGiven) {
  FakeApi api(ca, {.path_prefix = "/k8s/clusters/x"});
  HttpRequest request = To("/api/v1/services?labelSelector=%21a.b%2Fc&limit=500");
  request.headers.emplace_back("Authorization: Bearer abc");

  const Answer answer = Get(ServerOf(api), request);

  EXPECT_EQ(answer.code(), 200);
  ASSERT_EQ(api.Requests().size(), 1U);
  const support::SeenRequest seen = api.Requests()[0];
  EXPECT_EQ(seen.method, "GET");
  EXPECT_EQ(seen.query.at("labelSelector"), "!a.b/c");
  EXPECT_EQ(seen.query.at("limit"), "500");
  EXPECT_EQ(seen.headers.at("authorization"), "Bearer abc");
  EXPECT_EQ(seen.headers.at("accept"), "application/json");
  EXPECT_EQ(seen.headers.at("user-agent"), "pointsman/test");
}

TEST_F(HttpTest, AnyCodeIsACompleteAnswerAndRetryAfterIsRead) {
  FakeApi api(ca, {});
  api.Add({.code = 429, .message = "slow down", .plain_text = true, .retry_after = 3});

  const Answer answer = Get(ServerOf(api), To(kServices));

  EXPECT_EQ(answer.code(), 429);
  EXPECT_EQ(answer.heads[0].retry_after, absl::Seconds(3));
  EXPECT_EQ(answer.status(), absl::OkStatus());
  EXPECT_THAT(answer.body, HasSubstr("slow down"));
}

TEST_F(HttpTest, RequestsShareOneConnection) {
  FakeApi api(ca, {});
  Answer answers[4];

  for (Answer& answer : answers) client.Start(ServerOf(api), To(kServices), Into(answer));
  EXPECT_TRUE(Until([&] { return std::all_of(answers, answers + 4, [](const Answer& a) { return a.done(); }); }));
  const Answer later = Get(ServerOf(api), To(kServices));

  for (const Answer& answer : answers) EXPECT_EQ(answer.status(), absl::OkStatus());
  EXPECT_EQ(later.status(), absl::OkStatus());
  EXPECT_EQ(api.connections(), 1);
  EXPECT_EQ(client.stats().connections, 1);
  EXPECT_EQ(client.stats().requests, 5);
}

// --- what a request costs

TEST_F(HttpTest, WhatARequestCostIsSaidWithTheHeadAndAtTheEnd) {
  FakeApi api(ca, {.gzip_above = 1000});
  Fill(api, 5, 5000);
  api.Add({.delay = absl::Milliseconds(300)});

  const Answer answer = Get(ServerOf(api), To(kServices));

  ASSERT_TRUE(answer.done());
  const HttpCost& first = answer.heads.at(0).cost;
  const HttpCost& last = answer.ends.at(0).cost;
  EXPECT_GE(last.to_head, absl::Milliseconds(300));
  EXPECT_EQ(first.to_head, last.to_head);
  EXPECT_EQ(last.bytes_received, api.bytes_sent());
  EXPECT_LT(last.bytes_received, static_cast<int64_t>(answer.body.size())) << "as they came, compressed";
  EXPECT_GT(last.bytes_sent, static_cast<int64_t>(std::string(kServices).size()));
  EXPECT_EQ(last.name_lookup, std::nullopt) << "an address is no name";
  EXPECT_FALSE(last.repeated);
}

TEST_F(HttpTest, ANameIsLookedUpOnceForAConnection) {
  FakeApi api(ca, {});
  HttpServer server = ServerOf(api);
  server.url = absl::StrCat("https://localhost:", api.port());

  const Answer first = Get(server, To(kServices));
  const Answer second = Get(server, To(kServices));

  EXPECT_EQ(first.status(), absl::OkStatus());
  ASSERT_TRUE(first.ends.at(0).cost.name_lookup.has_value());
  EXPECT_LE(*first.ends[0].cost.name_lookup, first.ends[0].cost.to_head);
  EXPECT_EQ(second.ends.at(0).cost.name_lookup, std::nullopt);
  EXPECT_EQ(api.connections(), 1);
}

TEST_F(HttpTest, WhatHasNoAnswerCostsTheTimeUntilItsEnd) {
  TinyServer server([](int) { absl::SleepFor(absl::Milliseconds(200)); });

  const Answer answer = Get({.url = absl::StrCat("http://127.0.0.1:", server.port())}, To(kServices));

  EXPECT_FALSE(answer.ends.at(0).answered);
  EXPECT_GE(answer.ends[0].cost.to_head, absl::Milliseconds(200));
  EXPECT_EQ(answer.ends[0].cost.bytes_received, 0);
}

TEST_F(HttpTest, ARequestWhoseConnectionWentIsRepeatedAndThatIsSaid) {
  FakeApi api(ca, {});
  EXPECT_EQ(Get(ServerOf(api), To(kServices)).status(), absl::OkStatus());
  api.Add({.delay = absl::Seconds(20)});
  Answer answer;
  client.Start(ServerOf(api), To(kServices), Into(answer));
  EXPECT_TRUE(Until([&] { return api.Requests().size() == 2; }));

  api.Disconnect();

  EXPECT_TRUE(Until([&] { return answer.done(); }));
  EXPECT_EQ(answer.status(), absl::OkStatus());
  EXPECT_TRUE(answer.ends.at(0).cost.repeated);
}

TEST_F(HttpTest, ManyRequestsOverOneConnectionWhileWatchesStream) {
  FakeApi api(ca, {});
  Fill(api, 20, 1000);
  Answer watches[4];
  for (Answer& watch : watches) client.Start(ServerOf(api), To(kWatch), Into(watch));
  EXPECT_TRUE(Until([&] { return api.open_watches() == 4; }));

  int done = 0;
  int failed = 0;
  constexpr int kRequests = 1000;
  std::function<void()> next = [&] {
    client.Start(ServerOf(api), To(kServices), {.end = [&](const HttpEnd& end) {
                   failed += end.status.ok() ? 0 : 1;
                   if (++done + 15 < kRequests) next();
                   if (done % 50 == 0) Fill(api, 5, 1000);
                 }});
  };
  for (int i = 0; i < 16; ++i) next();
  EXPECT_TRUE(Until([&] { return done >= kRequests; }));

  EXPECT_EQ(failed, 0);
  EXPECT_EQ(api.connections(), 1);
  for (Answer& watch : watches) {
    EXPECT_FALSE(watch.done()) << watch.message();
    EXPECT_GT(watch.body.size(), 50000U);
  }
}

TEST_F(HttpTest, LargeBodiesArriveInPiecesBesideSlowOnes) {
  FakeApi api(ca, {.gzip_above = size_t{1} << 40});
  Fill(api, 100, 1 << 20);
  api.Add({.resource = "nodes", .slow_bytes = 20});
  Answer slow;
  client.Start(ServerOf(api), To("/api/v1/nodes"), Into(slow));

  size_t bytes[2] = {0, 0};
  size_t largest = 0;
  int done = 0;
  for (size_t& count : bytes) {
    client.Start(ServerOf(api), To(kServices),
                 {.body =
                      [&](absl::string_view piece) {
                        count += piece.size();
                        largest = std::max(largest, piece.size());
                        return true;
                      },
                  .end =
                      [&](const HttpEnd& end) {
                        EXPECT_EQ(end.status, absl::OkStatus());
                        ++done;
                      }});
  }
  EXPECT_TRUE(Until([&] { return done == 2 && slow.done(); }));

  EXPECT_GT(bytes[0], size_t{100} << 20);
  EXPECT_EQ(bytes[0], bytes[1]);
  EXPECT_LT(largest, size_t{1} << 20);
  EXPECT_EQ(slow.status(), absl::OkStatus());
  EXPECT_EQ(api.connections(), 1);
}

// libcurl 7.88 loses the end of some; see Transfer::MayBeStuck.
TEST_F(HttpTest, LargeBodiesAtOnceEndWithoutAnotherWordFromTheServer) {
  FakeApi api(ca, {.gzip_above = size_t{1} << 40});
  Fill(api, 2500, 10000);
  Answer watch;
  client.Start(ServerOf(api), To(kWatch), Into(watch));
  for (int round = 0; round < 8; ++round) {
    int done = 0;
    for (int i = 0; i < 6; ++i) {
      client.Start(ServerOf(api), To(kServices), {.end = [&](const HttpEnd& end) {
                     EXPECT_EQ(end.status, absl::OkStatus());
                     ++done;
                   }});
    }
    EXPECT_TRUE(Until([&] { return done == 6; })) << round << ' ' << done;
  }
  EXPECT_EQ(api.connections(), 1);
}

TEST_F(HttpTest, GzipIsUndoneAndItsBytesCountAsTheyCame) {
  FakeApi api(ca, {.gzip_above = 1000});
  Fill(api, 10, 100000);

  const Answer answer = Get(ServerOf(api), To(kServices));

  EXPECT_THAT(answer.body, HasSubstr(std::string(100000, 'c')));
  EXPECT_LT(client.stats().bytes_received, 100000);
  EXPECT_EQ(client.stats().bytes_received, api.bytes_sent());
}

TEST_F(HttpTest, NoGzipIsAskedForIfItIsDisabled) {
  FakeApi api(ca, {.gzip_above = 1000});
  Fill(api, 10, 1000);
  HttpServer server = ServerOf(api);
  server.disable_compression = true;

  const Answer answer = Get(server, To(kServices));

  EXPECT_EQ(api.Requests()[0].headers.count("accept-encoding"), 0U);
  EXPECT_EQ(client.stats().bytes_received, static_cast<int64_t>(answer.body.size()));
}

TEST_F(HttpTest, PlainHttp11ServersWork) {
  TinyServer server(
      Always("HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n"
             "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nWarning: 299 - \"old\"\r\n"
             "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Trailer: 1\r\n\r\n"));
  const HttpServer plain = {.url = absl::StrCat("http://127.0.0.1:", server.port())};

  const Answer first = Get(plain, To("/x"));
  const Answer second = Get(plain, To("/x"));

  for (const Answer& answer : {first, second}) {
    ASSERT_EQ(answer.heads.size(), 1U);
    EXPECT_EQ(answer.code(), 200);
    EXPECT_EQ(answer.heads[0].retry_after, std::nullopt);
    EXPECT_EQ(answer.heads[0].content_type, "text/plain");
    EXPECT_THAT(answer.heads[0].warnings, ElementsAre("299 - \"old\""));
    EXPECT_EQ(answer.body, "hello");
    EXPECT_EQ(answer.status(), absl::OkStatus());
  }
  EXPECT_EQ(server.connections(), 1U);
}

TEST_F(HttpTest, RedirectsAreAnswersLikeOthers) {
  TinyServer server(Always("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"));

  const Answer answer = Get({.url = absl::StrCat("http://127.0.0.1:", server.port())}, To("/x"));

  EXPECT_EQ(answer.code(), 302);
  EXPECT_EQ(answer.status(), absl::OkStatus());
}

// --- handlers

TEST_F(HttpTest, NoHandlerRunsWithinStartOrCancelNorAfterCancel) {
  FakeApi api(ca, {});
  Answer answer;

  const HttpClient::Id id = client.Start(ServerOf(api), To(kServices), Into(answer));
  client.Cancel(id);
  client.Cancel(id);
  client.Cancel(12345);
  PollFor(absl::Milliseconds(100));

  EXPECT_TRUE(answer.heads.empty());
  EXPECT_FALSE(answer.done());
  EXPECT_EQ(api.Requests().size(), 0U);
}

// Which handler cancels which of two requests.
struct CancelRow {
  const char* name;
  enum { kHead, kBody, kEnd } from;
  bool itself;
};

class CancelFromHandler : public HttpTest, public testing::WithParamInterface<CancelRow> {};

TEST_P(CancelFromHandler, NoHandlerOfThatRequestRunsAnyMoreAndOthersGoOn) {
  FakeApi api(ca, {});
  Fill(api, 50, 10000);
  const CancelRow& row = GetParam();
  for (int round = 0; round < 20; ++round) {
    HttpClient::Id ids[2];
    int cancelled = -1;
    int ends = 0;
    Answer after;
    const auto handlers = [&](int me) {
      const auto hit = [&, me](auto where) {
        EXPECT_NE(cancelled, me) << "a handler after Cancel";
        if (cancelled >= 0 || where != row.from) return;
        cancelled = row.itself ? me : 1 - me;
        client.Cancel(ids[cancelled]);
        client.Start(ServerOf(api), To(kServices), Into(after));
        // From its own end a request is over already.
        if (where == CancelRow::kEnd && row.itself) cancelled = 2;
      };
      return HttpClient::Handlers{.head = [hit](const HttpHead&) { hit(CancelRow::kHead); },
                                  .body =
                                      [hit](absl::string_view) {
                                        hit(CancelRow::kBody);
                                        return true;
                                      },
                                  .end =
                                      [hit, &ends](const HttpEnd& end) {
                                        EXPECT_EQ(end.status, absl::OkStatus());
                                        ++ends;
                                        hit(CancelRow::kEnd);
                                      }};
    };
    for (int i = 0; i < 2; ++i) ids[i] = client.Start(ServerOf(api), To(kServices), handlers(i));

    // The other one of the two, or the one that ended.
    EXPECT_TRUE(Until([&] { return after.done() && ends >= 1; }));
    PollFor(absl::Milliseconds(2));

    EXPECT_EQ(after.status(), absl::OkStatus());
    EXPECT_EQ(after.code(), 200);
    for (const HttpClient::Id id : ids) client.Cancel(id);
  }
  EXPECT_EQ(api.connections(), 1);
}

INSTANTIATE_TEST_SUITE_P(
    All, CancelFromHandler,
    testing::Values(CancelRow{"HeadItself", CancelRow::kHead, true}, CancelRow{"HeadAnother", CancelRow::kHead, false},
                    CancelRow{"BodyItself", CancelRow::kBody, true}, CancelRow{"BodyAnother", CancelRow::kBody, false},
                    CancelRow{"EndItself", CancelRow::kEnd, true}, CancelRow{"EndAnother", CancelRow::kEnd, false}),
    [](const auto& row) { return std::string(row.param.name); });

TEST_F(HttpTest, ABodyThatIsNotWantedEndsAsCancelled) {
  FakeApi api(ca, {});
  Fill(api, 50, 10000);
  int pieces = 0;
  std::vector<HttpEnd> ends;

  client.Start(ServerOf(api), To(kServices),
               {.body = [&](absl::string_view) { return ++pieces < 2; },
                .end = [&](const HttpEnd& end) { ends.push_back(end); }});
  EXPECT_TRUE(Until([&] { return !ends.empty(); }));

  EXPECT_EQ(pieces, 2);
  EXPECT_EQ(ends[0].status.code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(ends[0].answered);
}

// Bytes that nobody takes must not count against what the server may send on this connection.
TEST_F(HttpTest, ManyCancelledBodiesDoNotStarveTheConnection) {
  FakeApi api(ca, {.gzip_above = size_t{1} << 40});
  Fill(api, 16, 1 << 20);
  for (int round = 0; round < 100; ++round) {
    size_t bytes = 0;
    const HttpClient::Id id = client.Start(ServerOf(api), To(kServices), {.body = [&](absl::string_view piece) {
                                             bytes += piece.size();
                                             return true;
                                           }});
    ASSERT_TRUE(Until([&] { return bytes > 100000; })) << round;
    client.Cancel(id);
  }

  const Answer answer = Get(ServerOf(api), To(kServices));

  EXPECT_EQ(answer.status(), absl::OkStatus());
  EXPECT_GT(answer.body.size(), size_t{16} << 20);
  EXPECT_EQ(api.connections(), 1);
}

TEST_F(HttpTest, RequestsWithoutHandlersAreDoneTheSame) {
  FakeApi api(ca, {});
  client.Start(ServerOf(api), To(kServices), {});
  EXPECT_TRUE(Until([&] { return api.Requests().size() == 1 && api.Requests()[0].code == 200; }));
}

TEST_F(HttpTest, TheClientMayGoInTheMiddleOfRequests) {
  FakeApi api(ca, {});
  Fill(api, 50, 100000);
  bool heard = false;
  bool gone = false;
  {
    HttpClient other("other");
    for (const char* path : {kServices, kWatch, kServices}) {
      other.Start(ServerOf(api), To(path),
                  {.head = [&](const HttpHead&) { heard = true; }, .end = [&](const HttpEnd&) { EXPECT_FALSE(gone); }});
    }
    while (!heard) other.Poll(absl::Seconds(1));
    other.RetireConnections();
    other.Start(ServerOf(api), To(kServices), {});
    other.Poll(absl::ZeroDuration());
    gone = true;
  }
  EXPECT_TRUE(Until([&] { return api.open_connections() == 0; }));
}

TEST_F(HttpTest, WakeEndsAPollFromAnotherThread) {
  const absl::Time start = absl::Now();
  std::thread other([&] {
    absl::SleepFor(absl::Milliseconds(50));
    client.Wake();
  });

  client.Poll(absl::InfiniteDuration());

  EXPECT_LT(absl::Now() - start, absl::Seconds(20));
  other.join();
}

TEST_F(HttpTest, WakeBeforePollCountsOnce) {
  client.Wake();
  client.Wake();
  client.Poll(absl::InfiniteDuration());

  const absl::Time start = absl::Now();
  client.Poll(absl::Milliseconds(50));
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(45));
}

// --- timeouts

TEST_F(HttpTest, NoHeadInTimeIsSaidWithTheRequestAndTheTime) {
  FakeApi api(ca, {});
  api.Add({.delay = absl::Seconds(60)});
  HttpRequest request = To("/api/v1/services?limit=500");
  request.head_timeout = absl::Milliseconds(300);
  const absl::Time start = absl::Now();

  const Answer answer = Get(ServerOf(api), request);

  EXPECT_EQ(answer.status(), absl::DeadlineExceededError(
                                 absl::StrCat("GET /api/v1/services on ", api.url(), ": no answer within 0.3 s")));
  EXPECT_FALSE(answer.ends[0].answered);
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(290));
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
}

TEST_F(HttpTest, PollReturnsForATimeoutHoweverLongItMayWait) {
  FakeApi api(ca, {});
  HttpRequest request = To(kWatch);
  request.silence_timeout = absl::Milliseconds(300);
  Answer answer;
  client.Start(ServerOf(api), request, Into(answer));
  const absl::Time start = absl::Now();

  while (!answer.done()) client.Poll(absl::InfiniteDuration());

  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  EXPECT_EQ(answer.status(), absl::DeadlineExceededError(absl::StrCat("GET /api/v1/services on ", api.url(),
                                                                      ": the answer stopped for 0.3 s after 0 bytes")));
  EXPECT_TRUE(answer.ends[0].answered);
}

TEST_F(HttpTest, EachPieceOfTheBodyEndsTheSilence) {
  FakeApi api(ca, {});
  HttpRequest request = To(kWatch);
  request.silence_timeout = absl::Seconds(1);
  Answer answer;
  client.Start(ServerOf(api), request, Into(answer));

  for (int i = 0; i < 8; ++i) {
    PollFor(absl::Milliseconds(250));
    Fill(api, 1, 10);
  }

  EXPECT_FALSE(answer.done()) << answer.message();
  EXPECT_TRUE(Until([&] { return answer.done(); }));
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(HttpTest, TheWholeMayTakeNoLongerThanItsTimeout) {
  FakeApi api(ca, {.gzip_above = size_t{1} << 40});
  Fill(api, 50, 10000);
  api.Add({.slow_bytes = 100});
  HttpRequest request = To(kServices);
  request.timeout = absl::Milliseconds(500);

  const Answer answer = Get(ServerOf(api), request);

  EXPECT_EQ(answer.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(answer.message(), HasSubstr("was not done within 0.5 s ("));
  EXPECT_GT(answer.pieces, 1);
}

TEST_F(HttpTest, AFrozenServerIsNoticedByTheTimeoutsAndServesAgainOnceThawed) {
  FakeApi api(ca, {});
  HttpRequest watch = To(kWatch);
  watch.silence_timeout = absl::Milliseconds(500);
  Answer watching;
  client.Start(ServerOf(api), watch, Into(watching));
  EXPECT_TRUE(Until([&] { return api.open_watches() == 1 && !watching.heads.empty(); }));
  HttpRequest list = To(kServices);
  list.head_timeout = absl::Milliseconds(300);

  api.Freeze();
  const Answer on_old = Get(ServerOf(api), list);
  EXPECT_TRUE(Until([&] { return watching.done(); }));
  client.RetireConnections();
  const Answer on_new = Get(ServerOf(api), list);
  api.Thaw();
  const Answer after = Get(ServerOf(api), To(kServices));

  EXPECT_EQ(on_old.message(), absl::StrCat("GET /api/v1/services on ", api.url(), ": no answer within 0.3 s"));
  EXPECT_THAT(watching.message(), HasSubstr("the answer stopped for 0.5 s"));
  EXPECT_EQ(on_new.message(), absl::StrCat("cannot reach ", api.url(), ": no finished TLS handshake within 0.3 s"));
  EXPECT_EQ(after.status(), absl::OkStatus());
}

// libcurl makes requests wait for a connection somebody else is opening (CURLOPT_PIPEWAIT).
TEST_F(HttpTest, RequestsThatWaitForAConnectionOutliveTheOneThatOpensIt) {
  for (const bool cancel : {false, true}) {
    FakeApi api(ca, {});
    api.Freeze();
    Answer first;
    Answer others[3];
    HttpRequest impatient = To(kServices);
    impatient.head_timeout = absl::Milliseconds(cancel ? 10000 : 100);
    const HttpClient::Id id = client.Start(ServerOf(api), impatient, Into(first));
    for (Answer& other : others) client.Start(ServerOf(api), To(kServices), Into(other));
    PollFor(absl::Milliseconds(200));
    if (cancel) client.Cancel(id);
    api.Thaw();

    for (Answer& other : others) {
      EXPECT_TRUE(Until([&] { return other.done(); }));
      EXPECT_EQ(other.status(), absl::OkStatus());
    }
    EXPECT_EQ(first.done(), !cancel);
    EXPECT_LE(api.connections(), 2);
  }
}

TEST_F(HttpTest, AllThatWaitForAConnectionHearThatThereWillBeNone) {
  Answer answers[4];
  for (Answer& answer : answers) client.Start({.url = "https://127.0.0.1:1"}, To(kServices), Into(answer));
  for (Answer& answer : answers) {
    EXPECT_TRUE(Until([&] { return answer.done(); }));
    EXPECT_EQ(answer.message(), "cannot reach https://127.0.0.1:1: connection refused");
  }
}

// --- connections that go

TEST_F(HttpTest, RetiredConnectionsServeWhatRunsAndNothingNew) {
  FakeApi api(ca, {});
  Answer watch;
  const HttpClient::Id id = client.Start(ServerOf(api), To(kWatch), Into(watch));
  EXPECT_TRUE(Until([&] { return api.open_watches() == 1; }));

  client.RetireConnections();
  const Answer answer = Get(ServerOf(api), To(kServices));
  Fill(api, 1, 10);

  EXPECT_TRUE(Until([&] { return absl::StrContains(watch.body, "\"s0\""); }));
  EXPECT_EQ(answer.status(), absl::OkStatus());
  EXPECT_EQ(api.connections(), 2);
  EXPECT_EQ(client.stats().connections, 2);
  EXPECT_EQ(api.open_connections(), 2);

  client.Cancel(id);
  EXPECT_TRUE(Until([&] { return api.open_connections() == 1; }));
  EXPECT_EQ(Get(ServerOf(api), To(kServices)).status(), absl::OkStatus());
  EXPECT_EQ(api.connections(), 2);
}

// The wait is for retired connections too: nothing else would end this Poll.
TEST_F(HttpTest, PollWakesForEventsOnRetiredConnections) {
  FakeApi api(ca, {});
  Answer watch;
  client.Start(ServerOf(api), To(kWatch), Into(watch));
  EXPECT_TRUE(Until([&] { return api.open_watches() == 1 && !watch.heads.empty(); }));
  client.RetireConnections();
  PollFor(absl::Milliseconds(50));
  const absl::Time start = absl::Now();
  std::thread other([&] {
    absl::SleepFor(absl::Milliseconds(100));
    Fill(api, 1, 10);
  });

  while (watch.body.empty()) client.Poll(absl::Seconds(20));

  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  other.join();
}

TEST_F(HttpTest, AfterGoAwayStreamsFinishAndNewRequestsConnectAnew) {
  FakeApi api(ca, {.gzip_above = size_t{1} << 40});
  Fill(api, 200, 10000);
  for (int round = 0; round < 10; ++round) {
    const int before = api.connections();
    Answer watch;
    const HttpClient::Id id = client.Start(ServerOf(api), To(kWatch), Into(watch));
    EXPECT_TRUE(Until([&] { return api.open_watches() == 1 && !watch.heads.empty(); }));
    Answer large;
    client.Start(ServerOf(api), To(kServices), Into(large));
    EXPECT_TRUE(Until([&] { return !large.heads.empty(); }));

    api.GoAway();
    PollFor(absl::Milliseconds(20));
    const Answer answer = Get(ServerOf(api), To(kServices));
    EXPECT_TRUE(Until([&] { return large.done(); }));
    client.Cancel(id);

    EXPECT_EQ(answer.status(), absl::OkStatus()) << round;
    EXPECT_EQ(large.status(), absl::OkStatus()) << round;
    EXPECT_GT(large.body.size(), 2000000U);
    EXPECT_EQ(api.connections(), before + (round == 0 ? 2 : 1)) << round;
    EXPECT_TRUE(Until([&] { return api.open_watches() == 0; }));
  }
}

// The server says GOAWAY in the very moment requests are on their way to it.
TEST_F(HttpTest, RequestsThatCrossAGoAwayAreAnsweredAllTheSame) {
  FakeApi api(ca, {});
  for (int round = 0; round < 30; ++round) {
    Answer answers[4];
    EXPECT_EQ(Get(ServerOf(api), To(kServices)).status(), absl::OkStatus());
    for (Answer& answer : answers) client.Start(ServerOf(api), To(kServices), Into(answer));
    api.GoAway();
    for (Answer& answer : answers) {
      EXPECT_TRUE(Until([&] { return answer.done(); }));
      EXPECT_EQ(answer.status(), absl::OkStatus()) << round;
    }
  }
}

TEST_F(HttpTest, AConnectionThatGoesBetweenRequestsIsNotMissed) {
  FakeApi api(ca, {});
  for (int round = 0; round < 10; ++round) {
    const Answer answer = Get(ServerOf(api), To(kServices));
    EXPECT_EQ(answer.status(), absl::OkStatus()) << round;
    api.Disconnect();
    EXPECT_TRUE(Until([&] { return api.open_connections() == 0; }));
  }
  EXPECT_EQ(api.connections(), 10);
}

TEST_F(HttpTest, AConnectionThatGoesUnderWatchesIsSaid) {
  FakeApi api(ca, {});
  Answer watches[4];
  for (Answer& watch : watches) client.Start(ServerOf(api), To(kWatch), Into(watch));
  EXPECT_TRUE(Until(
      [&] { return std::all_of(watches, watches + 4, [](const Answer& watch) { return !watch.heads.empty(); }); }));

  api.Disconnect();

  for (Answer& watch : watches) {
    EXPECT_TRUE(Until([&] { return watch.done(); }));
    EXPECT_EQ(watch.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(watch.message(), StartsWith(absl::StrCat("lost GET /api/v1/services on ", api.url(),
                                                         " after 0 bytes of the answer: the connection")));
  }
}

TEST_F(HttpTest, AResetStreamIsSaidAndLeavesTheOthers) {
  FakeApi api(ca, {.gzip_above = size_t{1} << 40});
  Fill(api, 50, 1000);
  Answer watch;
  client.Start(ServerOf(api), To(kWatch), Into(watch));
  EXPECT_TRUE(Until([&] { return api.open_watches() == 1; }));
  for (int round = 0; round < 20; ++round) {
    api.Add({.watch = false, .cut_after = 2000});

    const Answer answer = Get(ServerOf(api), To(kServices));

    EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
    // What came just before the reset is lost on libcurl, even the head.
    EXPECT_THAT(answer.message(), AllOf(StartsWith(absl::StrCat("lost GET /api/v1/services on ", api.url())),
                                        HasSubstr(": the server reset the stream (INTERNAL_ERROR")));
  }
  EXPECT_EQ(Get(ServerOf(api), To(kServices)).status(), absl::OkStatus());
  EXPECT_FALSE(watch.done());
  EXPECT_EQ(api.connections(), 1);
}

TEST_F(HttpTest, ACutConnectionIsSaid) {
  FakeApi api(ca, {.gzip_above = size_t{1} << 40});
  Fill(api, 50, 1000);
  api.Add({.cut_after = 2000, .cut_connection = true});

  const Answer answer = Get(ServerOf(api), To(kServices));

  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(answer.message(), HasSubstr("the connection "));
  EXPECT_EQ(Get(ServerOf(api), To(kServices)).status(), absl::OkStatus());
}

TEST_F(HttpTest, AServerThatRestartsWithANewCertificateOfTheSameCaIsTrusted) {
  FakeApi api(ca, {});
  EXPECT_EQ(Get(ServerOf(api), To(kServices)).status(), absl::OkStatus());

  api.Stop();
  const Answer gone = Get(ServerOf(api), To(kServices));
  api.Start(ca);
  const Answer back = Get(ServerOf(api), To(kServices));

  EXPECT_EQ(gone.status(), absl::UnavailableError(absl::StrCat("cannot reach ", api.url(), ": connection refused")));
  EXPECT_EQ(back.status(), absl::OkStatus());
}

}  // namespace
}  // namespace pointsman::kube
