// SPDX-License-Identifier: Apache-2.0
#include <curl/curl.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/fake_api/fake_api.h"
#include "tests/unit/agent/kube/fake_api_client.h"

namespace pointsman::support {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

// --- faults

TEST(FakeApiFaultsTest, AFaultTakesTheRequestsItNamesAsOftenAsItSays) {
  FakeApi api(Ca(), {});
  api.Add({.resource = "services",
           .watch = false,
           .times = 2,
           .code = 503,
           .reason = "ServiceUnavailable",
           .message = "shutting down",
           .retry_after = 3,
           .warning = "leaving"});
  EXPECT_EQ(Get(api, {.path = kSlices}).code, 200);
  EXPECT_EQ(Get(api, {.path = absl::StrCat(kServices, kWatchList, "&timeoutSeconds=1")}).code, 200);
  for (int i = 0; i < 2; ++i) {
    const Reply reply = Get(api, {.path = kServices});
    EXPECT_EQ(reply.code, 503);
    EXPECT_EQ(reply.Header("retry-after"), "3");
    EXPECT_EQ(reply.Header("warning"), "299 - \"leaving\"");
    EXPECT_EQ(StatusOf(reply.body).message(), "shutting down");
    EXPECT_EQ(StatusOf(reply.body).details().retry_after_seconds(), 3);
  }
  EXPECT_EQ(Get(api, {.path = kServices}).code, 200);
  api.Add({.times = -1, .code = 500});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Get(api, {.path = kNodes}).code, 500);
  api.ClearFaults();
  EXPECT_EQ(Get(api, {.path = kNodes}).code, 200);
}

TEST(FakeApiFaultsTest, IntermediariesSpeakPlainTextAndHtml) {
  FakeApi api(Ca(), {});
  api.Add(
      {.code = 429, .message = "Too many requests, please try again later.\n", .plain_text = true, .retry_after = 1});
  api.Add({.code = 502, .message = "502 Bad Gateway", .html = true});
  const Reply text = Get(api, {.path = kServices});
  EXPECT_EQ(text.code, 429);
  EXPECT_EQ(text.Header("retry-after"), "1");
  EXPECT_THAT(text.Header("content-type"), StartsWith("text/plain"));
  EXPECT_EQ(text.body, "Too many requests, please try again later.\n");
  const Reply html = Get(api, {.path = kServices});
  EXPECT_EQ(html.code, 502);
  EXPECT_EQ(html.Header("content-type"), "text/html");
  EXPECT_THAT(html.body, AllOf(StartsWith("<html>"), HasSubstr("<h1>502 Bad Gateway</h1>")));
}

TEST(FakeApiFaultsTest, AnswersCanBeLate) {
  FakeApi api(Ca(), {});
  api.Add({.delay = absl::Milliseconds(300)});
  const absl::Time start = absl::Now();
  EXPECT_EQ(Get(api, {.path = kServices}).code, 200);
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(300));
}

TEST(FakeApiFaultsTest, BodiesCanBeCut) {
  FakeApi api(Ca(), {});
  api.Put(Web("a"));
  api.Put(Web("b"));
  for (const bool connection : {false, true}) {
    for (const char* query : {"", kWatchList}) {
      api.Add({.cut_after = 700, .cut_connection = connection});
      const Reply reply = Get(api, {.path = absl::StrCat(kServices, query)});
      EXPECT_EQ(reply.code, 200);
      EXPECT_NE(reply.result, CURLE_OK);
      EXPECT_THAT(reply.body, SizeIs(700));
    }
  }
}

TEST(FakeApiFaultsTest, ACutStreamLeavesTheOthersOfItsConnection) {
  FakeApi api(Ca(), {});
  api.Put(Web());
  api.Add({.cut_after = 10});
  CURL* curl = curl_easy_init();
  const std::string url = api.url() + kServices;
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS);
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(
      curl, CURLOPT_WRITEFUNCTION, +[](char*, size_t size, size_t count, void*) { return size * count; });
  EXPECT_NE(curl_easy_perform(curl), CURLE_OK);
  EXPECT_EQ(curl_easy_perform(curl), CURLE_OK);
  curl_easy_cleanup(curl);
  EXPECT_EQ(api.connections(), 1);
}

TEST(FakeApiFaultsTest, BodiesCanBeSlow) {
  FakeApi api(Ca(), {});
  for (int i = 0; i < 4; ++i) api.Put(Web(absl::StrCat("web-", i)));
  const size_t size = Get(api, {.path = kServices}).body.size();
  api.Add({.slow_bytes = size / 20});
  const absl::Time start = absl::Now();
  const Reply reply = Get(api, {.path = kServices});
  EXPECT_EQ(reply.result, CURLE_OK);
  EXPECT_THAT(reply.body, SizeIs(size));
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(190));
}

TEST(FakeApiFaultsTest, TheEndBookmarkCanBeMissing) {
  FakeApi api(Ca(), {});
  api.Put(Web());
  api.Add({.watch = true, .no_end_bookmark = true});
  Transfer watch(api, {.path = absl::StrCat(kServices, kWatchList)});
  watch.WaitFor(AtLeast(1));
  api.Put(Web("b"));
  EXPECT_THAT(Told(watch.WaitFor(AtLeast(2)).body), ElementsAre("ADDED web", "ADDED b"));
}

TEST(FakeApiFaultsTest, ABodyCanBeAnything) {
  FakeApi api(Ca(), {});
  const std::string odd("k8s\0 but not really", 19);
  api.Add({.raw_body = odd, .raw_type = "application/vnd.kubernetes.protobuf"});
  api.Add({.code = 504, .too_large_version = true});
  const Reply reply = Get(api, {.path = kServices});
  EXPECT_EQ(reply.code, 200);
  EXPECT_EQ(reply.body, odd);
  EXPECT_EQ(StatusOf(Get(api, {.path = kServices}).body).details().causes(0).reason(), "ResourceVersionTooLarge");
}

// --- connections

TEST(FakeApiFaultsTest, ConnectionsCanBeCut) {
  FakeApi api(Ca(), {});
  Transfer watch(api, {.path = absl::StrCat(kServices, kWatchList)});
  watch.WaitFor(AtLeast(1));
  EXPECT_EQ(api.open_connections(), 1);
  api.Disconnect();
  EXPECT_EQ(api.open_connections(), 0);
  EXPECT_EQ(api.open_watches(), 0);
  EXPECT_NE(watch.Wait().result, CURLE_OK);
  EXPECT_EQ(Get(api, {.path = kServices}).code, 200);
  EXPECT_EQ(api.connections(), 2);
}

TEST(FakeApiFaultsTest, GoAwayLetsStreamsFinish) {
  FakeApi api(Ca(), {});
  Transfer watch(api, {.path = absl::StrCat(kServices, kWatchList)});
  watch.WaitFor(AtLeast(1));
  api.GoAway();
  api.Put(Web());
  EXPECT_THAT(Told(watch.WaitFor(AtLeast(2)).body), ElementsAre("BOOKMARK end", "ADDED web"));
  EXPECT_EQ(api.open_connections(), 1);
  api.EndWatches();
  EXPECT_EQ(watch.Wait().result, CURLE_OK);
  EXPECT_TRUE(Eventually([&] { return api.open_connections() == 0; }));
}

TEST(FakeApiFaultsTest, AFrozenServerSaysNothingUntilItThaws) {
  FakeApi api(Ca(), {});
  Transfer old(api, {.path = absl::StrCat(kServices, kWatchList)});
  old.WaitFor(AtLeast(1));
  api.Freeze();
  Transfer fresh(api, {.path = kServices});
  api.Put(Web());
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_THAT(Events(old.soFar().body), SizeIs(1));
  EXPECT_FALSE(old.over());
  EXPECT_FALSE(fresh.over());
  EXPECT_EQ(fresh.soFar().code, 0);
  api.Thaw();
  EXPECT_THAT(Events(old.WaitFor(AtLeast(2)).body), SizeIs(2));
  EXPECT_EQ(fresh.Wait().code, 200);
}

TEST(FakeApiFaultsTest, AStoppedServerRefusesAndComesBackOnItsPort) {
  FakeApi api(Ca(), {});
  const int port = api.port();
  Transfer watch(api, {.path = absl::StrCat(kServices, kWatchList)});
  watch.WaitFor(AtLeast(1));
  api.Stop();
  EXPECT_NE(watch.Wait().result, CURLE_OK);
  EXPECT_EQ(Get(api, {.path = kServices}).result, CURLE_COULDNT_CONNECT);

  const CertificateAuthority other("another CA");
  api.Start(other);
  EXPECT_EQ(api.port(), port);
  EXPECT_EQ(Get(api, {.path = kServices}).result, CURLE_PEER_FAILED_VERIFICATION);
  EXPECT_EQ(Get(api, {.path = kServices, .ca = other.pem()}).code, 200);
}

TEST(FakeApiFaultsTest, ListensOnIpv6) {
  FakeApi api(Ca(), {.address = "::1"});
  EXPECT_THAT(api.url(), StartsWith("https://[::1]:"));
  EXPECT_EQ(Get(api, {.path = kServices}).code, 200);
}

}  // namespace
}  // namespace pointsman::support
