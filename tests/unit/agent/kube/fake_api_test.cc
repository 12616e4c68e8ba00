// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_api/fake_api.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/files.h"
#include "tests/unit/agent/kube/fake_api_client.h"

namespace pointsman::support {
namespace {

using ::google::protobuf::util::JsonStringToMessage;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::StartsWith;

// --- lists

TEST(FakeApiTest, ListsWhatWasPutInProtobuf) {
  FakeApi api(Ca(), {});
  api.Put(Web());

  const Reply reply = Get(api, {.path = kServices});

  EXPECT_EQ(reply.code, 200);
  EXPECT_EQ(reply.Header("content-type"), "application/vnd.kubernetes.protobuf");
  EXPECT_NE(reply.Header("audit-id"), "");
  EXPECT_EQ(Open(reply.body).type_meta().kind(), "ServiceList");
  EXPECT_EQ(Open(reply.body).type_meta().api_version(), "v1");
  kube::ListMeta meta;
  const auto items = Items<kube::Service>(reply.body, &meta);
  EXPECT_EQ(meta.resource_version(), absl::StrCat(api.version()));
  ASSERT_THAT(items, SizeIs(1));
  EXPECT_EQ(items[0].metadata().resource_version(), absl::StrCat(api.version()));
}

TEST(FakeApiTest, WatchListTellsAllThenTheEndThenChanges) {
  FakeApi api(Ca(), {});
  api.Put(Web("a"));
  api.Put(Web("b"));
  Transfer watch(api, {.path = absl::StrCat(kServices, kWatchList)});
  const Reply first = watch.WaitFor(AtLeast(3));
  EXPECT_EQ(first.code, 200);
  EXPECT_EQ(first.Header("content-type"), "application/vnd.kubernetes.protobuf;stream=watch");
  EXPECT_THAT(Told(first.body), ElementsAre("ADDED a", "ADDED b", "BOOKMARK end"));
  EXPECT_EQ(Events(first.body)[2].version, absl::StrCat(api.version()));

  api.Put(Web("b"));
  api.Delete("services", "shop", "a");
  api.Put(Web("c"));

  EXPECT_THAT(Told(watch.WaitFor(AtLeast(6)).body),
              ElementsAre("ADDED a", "ADDED b", "BOOKMARK end", "MODIFIED b", "DELETED a", "ADDED c"));
}

TEST(FakeApiTest, OnlyAllowedTokensGetIn) {
  FakeApi api(Ca(), {});
  EXPECT_EQ(Get(api, {.path = kServices}).code, 200) << "no token was ever allowed";
  api.AllowToken("good");

  EXPECT_EQ(Get(api, {.path = kServices}).code, 401);
  EXPECT_EQ(Get(api, {.path = kServices, .headers = {kProtobuf, "Authorization: Bearer bad"}}).code, 401);
  EXPECT_EQ(Get(api, {.path = kServices, .headers = {kProtobuf, "Authorization: Bearer good"}}).code, 200);
  api.RefuseToken("good");
  EXPECT_EQ(Get(api, {.path = kServices, .headers = {kProtobuf, "Authorization: Bearer good"}}).code, 401);
}

// --- what is served

TEST(FakeApiTest, AnObjectIsServedAsItWasPutInBothEncodings) {
  FakeApi api(Ca(), {});
  api.Put(Web());
  api.Put(Slice());
  api.Put(NodeA());
  api.Put(Cidr());
  const auto protobuf = [&](const char* path) { return Get(api, {.path = path}).body; };
  const auto json_of = [&](const char* path) { return Get(api, {.path = path, .headers = {kJson}}).body; };
  const auto watched = [&](const char* path) {
    Transfer watch(api, {.path = absl::StrCat(path, kWatchList)});
    return Events(watch.WaitFor(AtLeast(2)).body);
  };
  const auto same = [&](const char* path, const auto& object) {
    using Message = std::decay_t<decltype(object)>;
    const auto items = Items<Message>(protobuf(path));
    ASSERT_THAT(items, SizeIs(1)) << path;
    EXPECT_EQ(KnownObject(items[0]), KnownObject(object));

    google::protobuf::util::JsonParseOptions lenient;
    lenient.ignore_unknown_fields = true;
    const std::string json = json_of(path);
    const size_t at = json.find("\"items\":[") + 9;
    Message message;
    ASSERT_TRUE(JsonStringToMessage(json.substr(at, json.rfind(']') - at), &message, lenient).ok()) << json;
    EXPECT_EQ(KnownObject(message), KnownObject(object));

    const std::vector<Event> events = watched(path);
    EXPECT_EQ(KnownObject(Parse<Message>(events[0].raw)), KnownObject(object));
    EXPECT_EQ(absl::StrCat(events[0].envelope.type_meta().kind(), "List"), Open(protobuf(path)).type_meta().kind());
  };
  same(kServices, Web());
  same(kSlices, Slice());
  same(kNodes, NodeA());
  same(kCidrs, Cidr());
}

TEST(FakeApiTest, ObjectsCarryWhatClientsMustDrop) {
  FakeApi api(Ca(), {});
  api.Put(Web());
  const auto items = Items<kube::Service>(Get(api, {.path = kServices}).body);
  ASSERT_THAT(items, SizeIs(1));
  EXPECT_GT(items[0].metadata().unknown_fields().field_count(), 3);
  EXPECT_GT(items[0].spec().unknown_fields().field_count(), 1);
  EXPECT_THAT(Get(api, {.path = kServices, .headers = {kJson}}).body,
              AllOf(HasSubstr("\"managedFields\":[{"), HasSubstr("\"uid\":\""), HasSubstr("\"ipFamilyPolicy\"")));
}

TEST(FakeApiTest, JsonHasKindsWhereTheRealOneHasThem) {
  FakeApi api(Ca(), {});
  api.Put(Web());
  const Reply list = Get(api, {.path = kServices, .headers = {kJson}});
  EXPECT_EQ(list.Header("content-type"), "application/json");
  EXPECT_THAT(list.body,
              StartsWith(absl::StrCat(R"({"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":")",
                                      api.version(), R"("},"items":[{"metadata":{)")));

  Transfer watch(api, {.path = absl::StrCat(kServices, kWatchList), .headers = {kJson}});
  const Reply reply =
      watch.WaitFor([](const std::string& body) { return absl::StrContains(body, "initial-events-end"); });
  const std::vector<std::string> lines = absl::StrSplit(reply.body, '\n');
  ASSERT_THAT(lines, SizeIs(3));  // the last one empty
  EXPECT_THAT(lines[0],
              StartsWith(R"({"type":"ADDED","object":{"kind":"Service","apiVersion":"v1","metadata":{"uid":)"));
  EXPECT_EQ(lines[1],
            absl::StrCat(
                R"({"type":"BOOKMARK","object":{"kind":"Service","apiVersion":"v1","metadata":{"resourceVersion":")",
                api.version(),
                R"(","annotations":{"k8s.io/initial-events-end":"true"}},"spec":{},"status":{"loadBalancer":{}}}})"));
}

TEST(FakeApiTest, TheEncodingIsTheFirstAcceptableOne) {
  FakeApi api(Ca(), {});
  const auto type = [&](const std::string& accept) {
    const Reply reply = Get(api, {.path = kServices, .headers = {absl::StrCat("Accept: ", accept)}});
    return absl::StrCat(reply.code, " ", reply.Header("content-type"));
  };
  EXPECT_EQ(type("application/vnd.kubernetes.protobuf, */*"), "200 application/vnd.kubernetes.protobuf");
  EXPECT_EQ(type("application/json, application/vnd.kubernetes.protobuf"), "200 application/json");
  EXPECT_EQ(type("*/*"), "200 application/json");
  EXPECT_EQ(type("text/html, application/vnd.kubernetes.protobuf"), "200 application/vnd.kubernetes.protobuf");
  EXPECT_EQ(type("text/html"), "406 application/json");

  FakeApi plain(Ca(), {.protobuf = false});
  EXPECT_EQ(Get(plain, {.path = kServices}).Header("content-type"), "application/json");
}

TEST(FakeApiTest, LargeListsAreCompressedIfTheClientLikes) {
  FakeApi api(Ca(), {.gzip_above = 2000});
  api.Put(Web());
  EXPECT_EQ(Get(api, {.path = kServices}).Header("content-encoding"), "") << "small";
  for (int i = 0; i < 10; ++i) api.Put(Web(absl::StrCat("web-", i)));

  const Reply compressed = Get(api, {.path = kServices});
  EXPECT_EQ(compressed.Header("content-encoding"), "gzip");
  EXPECT_THAT(Items<kube::Service>(compressed.body), SizeIs(11));
  EXPECT_EQ(Get(api, {.path = kServices, .decompress = false}).Header("content-encoding"), "");
  Transfer watch(api, {.path = absl::StrCat(kServices, kWatchList)});
  EXPECT_EQ(watch.WaitFor(AtLeast(12)).Header("content-encoding"), "");
}

TEST(FakeApiTest, SelectorsChoose) {
  FakeApi api(Ca(), {});
  kube::Service headless = Web("headless");
  headless.mutable_spec()->set_cluster_ip("None");
  kube::Service foreign = Web("foreign");
  (*foreign.mutable_metadata()->mutable_labels())["service.kubernetes.io/service-proxy-name"] = "other";
  api.Put(Web());
  api.Put(headless);
  api.Put(foreign);
  const auto names = [&](const std::string& query) {
    std::set<std::string> found;
    for (const auto& item : Items<kube::Service>(Get(api, {.path = absl::StrCat(kServices, "?", query)}).body)) {
      found.insert(item.metadata().name());
    }
    return found;
  };
  EXPECT_THAT(names("labelSelector=%21service.kubernetes.io%2Fservice-proxy-name"), ElementsAre("headless", "web"));
  EXPECT_THAT(names("labelSelector=service.kubernetes.io/service-proxy-name"), ElementsAre("foreign"));
  EXPECT_THAT(names("labelSelector=service.kubernetes.io/service-proxy-name%3Dother"), ElementsAre("foreign"));
  EXPECT_THAT(names("labelSelector=service.kubernetes.io/service-proxy-name%21%3Dother"),
              ElementsAre("headless", "web"));
  EXPECT_THAT(names("fieldSelector=spec.clusterIP%21%3DNone"), ElementsAre("foreign", "web"));
  EXPECT_THAT(names("fieldSelector=metadata.name%3Dweb"), ElementsAre("web"));
  EXPECT_THAT(names("fieldSelector=spec.clusterIP%21%3DNone&labelSelector=%21service.kubernetes.io/service-proxy-name"),
              ElementsAre("web"));
  const Reply bad = Get(api, {.path = absl::StrCat(kServices, "?fieldSelector=spec.color%3Dred")});
  EXPECT_EQ(bad.code, 400);
  EXPECT_EQ(StatusOf(bad.body).message(), "field label not supported: spec.color");
}

TEST(FakeApiTest, WhatLeavesTheSelectorIsDeletedAndWhatEntersItAdded) {
  FakeApi api(Ca(), {});
  api.Put(Web());
  Transfer watch(api, {.path = absl::StrCat(kServices, kWatchList, "&labelSelector=%21foreign")});
  watch.WaitFor(AtLeast(2));
  kube::Service foreign = Web();
  (*foreign.mutable_metadata()->mutable_labels())["foreign"] = "yes";

  api.Put(foreign);
  const uint64_t left = api.version();
  api.Put(foreign);
  api.Put(Web());

  const std::string body = watch.WaitFor(AtLeast(4)).body;
  EXPECT_THAT(Told(body), ElementsAre("ADDED web", "BOOKMARK end", "DELETED web", "ADDED web"));
  const Event deleted = Events(body)[2];
  EXPECT_EQ(deleted.version, absl::StrCat(left));
  EXPECT_THAT(Parse<kube::Service>(deleted.raw).metadata().labels(), IsEmpty()) << "its last state in the selection";
}

// --- pages and versions

TEST(FakeApiTest, PagesAreOneSnapshot) {
  FakeApi api(Ca(), {});
  for (const char* name : {"a", "b", "c", "d", "e"}) api.Put(Web(name));
  const uint64_t version = api.version();
  std::vector<std::string> names;
  std::string token;
  int pages = 0;
  do {
    const Reply reply =
        Get(api, {.path = absl::StrCat(kServices, "?limit=2", token.empty() ? "" : "&continue=", token)});
    kube::ListMeta meta;
    for (const auto& item : Items<kube::Service>(reply.body, &meta)) names.push_back(item.metadata().name());
    EXPECT_EQ(meta.resource_version(), absl::StrCat(version));
    token = meta.continue_token();
    ++pages;
    api.Delete("services", "shop", "c");
    api.Put(Web("f"));
  } while (!token.empty() && pages < 10);
  EXPECT_EQ(pages, 3);
  EXPECT_THAT(names, ElementsAre("a", "b", "c", "d", "e"));
}

TEST(FakeApiTest, TheCacheHasNoPagesUnlessToldTo) {
  FakeApi cached(Ca(), {});
  FakeApi paged(Ca(), {.page_limit = 2});
  for (FakeApi* api : {&cached, &paged}) {
    for (const char* name : {"a", "b", "c"}) api->Put(Web(name));
  }
  const std::string path = absl::StrCat(kServices, "?limit=1&resourceVersion=0");
  EXPECT_THAT(Items<kube::Service>(Get(cached, {.path = path}).body), SizeIs(3));
  EXPECT_THAT(Items<kube::Service>(Get(paged, {.path = path}).body), SizeIs(2));
}

TEST(FakeApiTest, ContinueTokensExpireWithCompaction) {
  FakeApi api(Ca(), {});
  for (const char* name : {"a", "b"}) api.Put(Web(name));
  kube::ListMeta meta;
  Items<kube::Service>(Get(api, {.path = absl::StrCat(kServices, "?limit=1")}).body, &meta);
  ASSERT_NE(meta.continue_token(), "");

  api.Compact();

  const Reply reply = Get(api, {.path = absl::StrCat(kServices, "?limit=1&continue=", meta.continue_token())});
  EXPECT_EQ(reply.code, 410);
  EXPECT_EQ(StatusOf(reply.body).reason(), "Expired");
  EXPECT_EQ(StatusOf(reply.body).message(),
            StatusOf(ReadFile(absl::StrCat(PM_FIXTURES, "/list-continue-expired.pb"))).message());
}

TEST(FakeApiTest, AVersionOfTheFutureIsTooLarge) {
  FakeApi api(Ca(), {});
  for (const std::string& path :
       {absl::StrCat(kServices, "?resourceVersion=999"), absl::StrCat(kServices, kWatchList, "999")}) {
    const Reply reply = Get(api, {.path = path});
    EXPECT_EQ(reply.code, 504) << path;
    EXPECT_EQ(reply.Header("retry-after"), "1");
    const kube::Status status = StatusOf(reply.body);
    EXPECT_EQ(status.reason(), "Timeout");
    EXPECT_EQ(status.details().retry_after_seconds(), 1);
    ASSERT_EQ(status.details().causes_size(), 1);
    EXPECT_EQ(status.details().causes(0).reason(), "ResourceVersionTooLarge");
  }
}

TEST(FakeApiTest, MistakenParametersAreRefused) {
  FakeApi api(Ca(), {});
  FakeApi old(Ca(), {.watch_list = false});
  struct Row {
    FakeApi* api;
    const char* query;
    int code;
    const char* message;
  };
  const std::vector<Row> rows = {
      {&api, "?watch=1&sendInitialEvents=true", 422, "sendInitialEvents requires setting resourceVersionMatch"},
      {&api, "?watch=1&resourceVersionMatch=NotOlderThan", 422, "forbidden for watch unless sendInitialEvents"},
      {&api, "?sendInitialEvents=true", 422, "forbidden for list"},
      {&api, "?resourceVersionMatch=Exact", 422, "unless resourceVersion is provided"},
      {&api, "?resourceVersionMatch=Exact&resourceVersion=0", 422, "is forbidden for resourceVersion \"0\""},
      {&api, "?resourceVersion=abc", 400, "invalid syntax"},
      {&api, "?continue=abc", 400, "continue key is not valid"},
      {&api, "?limit=many", 400, "many"},
      {&old, kWatchList, 422, "unless the WatchList feature gate is enabled"},
  };
  for (const Row& row : rows) {
    const Reply reply = Get(*row.api, {.path = absl::StrCat(kServices, row.query)});
    EXPECT_EQ(reply.code, row.code) << row.query;
    EXPECT_THAT(StatusOf(reply.body).message(), HasSubstr(row.message)) << row.query;
    EXPECT_EQ(StatusOf(reply.body).reason(), row.code == 422 ? "Invalid" : "BadRequest");
  }
}

// --- watches

TEST(FakeApiTest, AWatchGoesOnFromAVersion) {
  FakeApi api(Ca(), {});
  api.Put(Web("a"));
  const uint64_t version = api.version();
  api.Put(Web("b"));
  api.Put(Slice());
  api.Put(Web("a"));
  Transfer watch(api, {.path = absl::StrCat(kServices, "?watch=true&resourceVersion=", version)});
  EXPECT_THAT(Told(watch.WaitFor(AtLeast(2)).body), ElementsAre("ADDED b", "MODIFIED a"));
  EXPECT_TRUE(Eventually([&] { return api.open_watches() == 1; }));
}

TEST(FakeApiTest, AWatchFromNowhereBeginsWithWhatThereIs) {
  FakeApi api(Ca(), {});
  api.Put(Web("a"));
  Transfer watch(api, {.path = absl::StrCat(kServices, "?watch=1&resourceVersion=0&allowWatchBookmarks=true")});
  watch.WaitFor(AtLeast(1));
  api.Put(Web("b"));
  EXPECT_THAT(Told(watch.WaitFor(AtLeast(2)).body), ElementsAre("ADDED a", "ADDED b"));
}

TEST(FakeApiTest, AForgottenVersionIsAnErrorEvent) {
  FakeApi api(Ca(), {});
  api.Put(Web());
  const uint64_t version = api.version();
  Transfer running(api, {.path = absl::StrCat(kServices, "?watch=1&resourceVersion=", version)});
  ASSERT_TRUE(Eventually([&] { return api.open_watches() == 1; }));
  api.Compact();

  const Reply reply = Get(api, {.path = absl::StrCat(kServices, "?watch=1&resourceVersion=", version)});

  EXPECT_EQ(reply.result, CURLE_OK);
  EXPECT_EQ(reply.code, 200);
  const std::vector<Event> events = Events(reply.body);
  ASSERT_THAT(Told(reply.body), ElementsAre("ERROR"));
  const auto status = Parse<kube::Status>(events[0].raw);
  EXPECT_EQ(status.code(), 410);
  EXPECT_EQ(status.reason(), "Expired");
  EXPECT_EQ(status.message(), absl::StrCat("too old resource version: ", version, " (", api.version(), ")"));
  api.Put(Web());
  EXPECT_THAT(Told(running.WaitFor(AtLeast(1)).body), ElementsAre("MODIFIED web")) << "running ones go on";
}

TEST(FakeApiTest, AnErrorEventIsWrittenAsTheRealOneWritesIt) {
  FakeApi api(Ca(), {});
  api.Add({.watch = true,
           .code = 410,
           .reason = "Expired",
           .message = "too old resource version: 200 (348)",
           .error_event = true});
  api.Add({.watch = true,
           .code = 410,
           .reason = "Expired",
           .message = "too old resource version: 200 (348)",
           .error_event = true});
  const std::string path = absl::StrCat(kServices, "?watch=1&resourceVersion=200");
  const auto status = [](const std::string& body) { return Parse<kube::Status>(Events(body).at(0).raw); };
  EXPECT_EQ(Known(status(Get(api, {.path = path}).body)),
            Known(status(ReadFile(absl::StrCat(PM_FIXTURES, "/watch-services-expired.pb")))));
  EXPECT_EQ(
      absl::StripAsciiWhitespace(Get(api, {.path = path, .headers = {kJson}}).body),
      absl::StrCat(R"({"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",)",
                   R"x("message":"too old resource version: 200 (348)","reason":"Expired","code":410}})x"));
}

TEST(FakeApiTest, BookmarksComeToThoseWhoAskedForThem) {
  FakeApi api(Ca(), {.bookmark_every = absl::Milliseconds(50)});
  api.Put(Web());
  const std::string path = absl::StrCat(kServices, "?watch=1&resourceVersion=", api.version());
  Transfer with(api, {.path = absl::StrCat(path, "&allowWatchBookmarks=true")});
  Transfer without(api, {.path = path});
  api.Put(Slice());
  EXPECT_TRUE(Eventually([&] { return Told(with.soFar().body).size() >= 3; })) << "one each 50 ms";
  EXPECT_THAT(Told(with.soFar().body), Each(std::string("BOOKMARK")));
  EXPECT_EQ(Events(with.soFar().body).back().version, absl::StrCat(api.version())) << "of the whole store";
  EXPECT_EQ(without.soFar().body, "");

  FakeApi rare(Ca(), {});
  Transfer asked(rare, {.path = absl::StrCat(kServices, kWatchList)});
  asked.WaitFor(AtLeast(1));
  rare.Bookmark();
  EXPECT_THAT(Told(asked.WaitFor(AtLeast(2)).body), ElementsAre("BOOKMARK end", "BOOKMARK"));
}

TEST(FakeApiTest, TimeoutSecondsEndAWatchInOrder) {
  FakeApi api(Ca(), {});
  const absl::Time start = absl::Now();
  const Reply reply = Get(api, {.path = absl::StrCat(kServices, kWatchList, "&timeoutSeconds=1")});
  EXPECT_EQ(reply.result, CURLE_OK);
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(950));
  EXPECT_THAT(Told(reply.body), ElementsAre("BOOKMARK end"));
  EXPECT_EQ(api.open_watches(), 0);
}

TEST(FakeApiTest, WatchesCanBeEndedAndFailed) {
  FakeApi api(Ca(), {});
  Transfer services(api, {.path = absl::StrCat(kServices, kWatchList)});
  Transfer slices(api, {.path = absl::StrCat(kSlices, kWatchList)});
  services.WaitFor(AtLeast(1));
  slices.WaitFor(AtLeast(1));
  EXPECT_EQ(api.open_watches(), 2);

  api.FailWatches("services", 500, "InternalError");
  const Reply failed = services.Wait();
  EXPECT_EQ(failed.result, CURLE_OK);
  EXPECT_THAT(Told(failed.body), ElementsAre("BOOKMARK end", "ERROR"));
  EXPECT_EQ(Parse<kube::Status>(Events(failed.body)[1].raw).code(), 500);
  EXPECT_FALSE(slices.over());

  api.EndWatches();
  EXPECT_EQ(slices.Wait().result, CURLE_OK);
  EXPECT_THAT(Told(slices.soFar().body), ElementsAre("BOOKMARK end"));
  EXPECT_EQ(api.open_watches(), 0);
}

TEST(FakeApiTest, AClientThatGoesLeavesNoWatch) {
  FakeApi api(Ca(), {});
  {
    Transfer watch(api, {.path = absl::StrCat(kServices, kWatchList)});
    watch.WaitFor(AtLeast(1));
    EXPECT_EQ(api.open_watches(), 1);
    EXPECT_EQ(api.open_connections(), 1);
  }
  EXPECT_TRUE(Eventually([&] { return api.open_watches() == 0 && api.open_connections() == 0; }));
  api.Put(Web());
}

// --- who may do what

TEST(FakeApiTest, RefusalsAreInTheRealWords) {
  FakeApi api(Ca(), {});
  api.AllowToken("good");
  const std::string recorded = ReadFile(absl::StrCat(PM_FIXTURES, "/unauthorized.http"));
  const kube::Status unauthorized = StatusOf(Get(api, {.path = kServices}).body);
  EXPECT_THAT(recorded, HasSubstr(absl::StrCat("\"message\": \"", unauthorized.message(), "\"")));
  EXPECT_THAT(recorded, HasSubstr(absl::StrCat("\"code\": ", unauthorized.code())));

  const std::vector<std::string> headers = {kProtobuf, "Authorization: Bearer good"};
  api.Forbid("endpointslices", {"list"});
  const Reply forbidden = Get(api, {.path = kSlices, .headers = headers});
  EXPECT_EQ(forbidden.code, 403);
  EXPECT_EQ(
      StatusOf(forbidden.body).message(),
      R"(endpointslices.discovery.k8s.io is forbidden: User "system:serviceaccount:kube-system:kube-proxy" cannot )"
      R"(list resource "endpointslices" in API group "discovery.k8s.io" at the cluster scope)");
  EXPECT_EQ(StatusOf(forbidden.body).details().kind(), "endpointslices");
  Transfer watch(api, {.path = absl::StrCat(kSlices, kWatchList), .headers = headers});
  EXPECT_EQ(watch.WaitFor(AtLeast(1)).code, 200) << "another verb";

  api.Forbid("nodes", {"list", "watch"}, "system:anonymous");
  EXPECT_EQ(StatusOf(Get(api, {.path = absl::StrCat(kNodes, kWatchList, "&fieldSelector=metadata.name%3Dnode-a"),
                               .headers = headers})
                         .body)
                .message(),
            R"(nodes "node-a" is forbidden: User "system:anonymous" cannot watch resource "nodes" in API group "" at )"
            R"(the cluster scope)");

  api.Permit("endpointslices");
  EXPECT_EQ(Get(api, {.path = kSlices, .headers = headers}).code, 200);
}

TEST(FakeApiTest, ClientCertificatesAreLookedAt) {
  FakeApi api(Ca(), {.want_client_certificate = true});
  EXPECT_EQ(Get(api, {.path = kServices}).code, 401);
  EXPECT_EQ(Get(api, {.path = kServices, .certificate = CertificateAuthority("another").ForClient("eve")}).code, 401);
  EXPECT_EQ(Get(api, {.path = kServices, .certificate = Ca().ForClient("system:node:node-a", {"system:nodes"})}).code,
            200);
  const std::vector<SeenRequest> seen = api.Requests();
  ASSERT_THAT(seen, SizeIs(3));
  EXPECT_EQ(seen[0].client, "");
  EXPECT_EQ(seen[1].client, "");
  EXPECT_EQ(seen[2].client, "system:node:node-a");
}

TEST(FakeApiTest, TheServersCertificateIsChecked) {
  FakeApi api(Ca(), {});
  EXPECT_EQ(Get(api, {.path = kServices, .ca = CertificateAuthority("another").pem()}).result,
            CURLE_PEER_FAILED_VERIFICATION);
  FakeApi expired(Ca(), {.certificate = Ca().ForServer({"127.0.0.1"}, -absl::Hours(1))});
  EXPECT_EQ(Get(expired, {.path = kServices}).result, CURLE_PEER_FAILED_VERIFICATION);
  FakeApi elsewhere(Ca(), {.certificate = Ca().ForServer({"api.example.com"})});
  EXPECT_EQ(Get(elsewhere, {.path = kServices}).result, CURLE_PEER_FAILED_VERIFICATION);
}

TEST(FakeApiTest, WhatItDoesNotServeIsNotFound) {
  FakeApi api(Ca(), {.path_prefix = "/k8s/clusters/x"});
  const Reply lost = Get(api, {.path = "/apis/unknown"});
  EXPECT_EQ(lost.code, 404);
  EXPECT_EQ(lost.Header("content-type"), "text/plain; charset=utf-8");
  EXPECT_EQ(lost.body, "404 page not found\n");
  EXPECT_EQ(Get(api, {.path = kServices}).code, 200) << "below the prefix";
  EXPECT_EQ(Get(api, {.path = kServices, .method = "DELETE"}).code, 405);
  api.AllowToken("good");
  EXPECT_THAT(Get(api, {.path = "/version"}).body, HasSubstr("\"minor\": \"36\"")) << "to everybody";
}

// --- what it remembers

TEST(FakeApiTest, RemembersTheRequests) {
  FakeApi api(Ca(), {});
  Get(api, {.path = absl::StrCat(kServices, "?labelSelector=%21a%2Fb&limit=5"), .headers = {kJson, "X-Test: yes"}});
  Get(api, {.path = "/nothing"});
  const std::vector<SeenRequest> seen = api.Requests();
  ASSERT_THAT(seen, SizeIs(2));
  EXPECT_EQ(seen[0].method, "GET");
  EXPECT_EQ(seen[0].path, kServices);
  EXPECT_THAT(seen[0].query, ElementsAre(Pair("labelSelector", "!a/b"), Pair("limit", "5")));
  EXPECT_THAT(seen[0].headers, Contains(Pair("x-test", "yes")));
  EXPECT_EQ(seen[0].connection, 1);
  EXPECT_EQ(seen[1].connection, 2);
  EXPECT_EQ(seen[0].code, 200);
  EXPECT_EQ(seen[1].code, 404);
  EXPECT_EQ(api.CountRequests("services"), 1);
  EXPECT_EQ(api.CountRequests("services", true), 0);
  EXPECT_EQ(api.CountRequests("services", false), 1);
  EXPECT_GT(api.bytes_sent(), 10);
}

// --- replay

TEST(FakeApiTest, ReplaysRecordedBytesExactly) {
  struct Row {
    const char* file;
    const char* path;
    bool watch;
    int code;
  };
  const std::vector<Row> rows = {
      {"list-services", kServices, false, 200},
      {"list-endpointslices", kSlices, false, 200},
      {"list-node-a", kNodes, false, 200},
      {"list-servicecidrs", kCidrs, false, 200},
      {"watch-services", kServices, true, 200},
      {"watch-endpointslices", kSlices, true, 200},
      {"watchlist-services", kServices, true, 200},
      {"watchlist-endpointslices", kSlices, true, 200},
      {"watch-services-expired", kServices, true, 200},
      {"list-continue-expired", kServices, false, 410},
  };
  for (const Row& row : rows) {
    FakeApi api(Ca(), {});
    const std::string protobuf = ReadFile(absl::StrCat(PM_FIXTURES, "/", row.file, ".pb"));
    const std::string json = ReadFile(absl::StrCat(PM_FIXTURES, "/", row.file, ".json"));
    const std::string resource = std::string(row.path).substr(std::string(row.path).rfind('/') + 1);
    const std::string type =
        row.watch ? "application/vnd.kubernetes.protobuf;stream=watch" : "application/vnd.kubernetes.protobuf";
    api.Replay(resource, row.watch, type, protobuf, /*end=*/true, row.code);
    api.Replay(resource, row.watch, "application/json", json, /*end=*/true, row.code);
    const std::string path = absl::StrCat(row.path, row.watch ? kWatchList : "");

    const Reply first = Get(api, {.path = path});
    EXPECT_EQ(first.code, row.code) << row.file;
    EXPECT_EQ(first.Header("content-type"), type);
    EXPECT_TRUE(first.body == protobuf) << row.file;
    const Reply second = Get(api, {.path = path, .headers = {kJson}});
    EXPECT_EQ(second.Header("content-type"), "application/json");
    EXPECT_TRUE(second.body == json) << row.file;
  }
}

TEST(FakeApiTest, AReplayedWatchStaysOpenUnlessItEnds) {
  FakeApi api(Ca(), {});
  const std::string bytes = ReadFile(absl::StrCat(PM_FIXTURES, "/watchlist-services.pb"));
  api.Replay("services", true, "application/vnd.kubernetes.protobuf;stream=watch", bytes, /*end=*/false);
  Transfer watch(api, {.path = absl::StrCat(kServices, kWatchList)});
  watch.WaitFor([&](const std::string& body) { return body.size() == bytes.size(); });
  api.Put(Web());
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_FALSE(watch.over());
  EXPECT_TRUE(watch.soFar().body == bytes);
  api.EndWatches();
  EXPECT_EQ(watch.Wait().result, CURLE_OK);
}

// --- size

TEST(FakeApiTest, ManyWatchesOfManyObjectsAllHearEverything) {
  FakeApi api(Ca(), {});
  constexpr size_t kObjects = 500;
  constexpr size_t kChanges = 200;
  api.Edit([&] {
    for (size_t i = 0; i < kObjects; ++i) api.Put(Slice(absl::StrCat("slice-", i), 10));
  });
  std::vector<std::unique_ptr<Transfer>> watches;
  for (int i = 0; i < 5; ++i) {
    watches.push_back(std::make_unique<Transfer>(api, Request{.path = absl::StrCat(kSlices, kWatchList)}));
  }
  ASSERT_TRUE(Eventually([&] { return api.open_watches() == 5; }));
  for (size_t i = 0; i < kChanges; ++i) api.Put(Slice(absl::StrCat("slice-", i), 1));
  ASSERT_TRUE(Eventually([&] {
    return std::all_of(watches.begin(), watches.end(), [&](const auto& watch) {
      return Events(watch->soFar().body).size() == kObjects + 1 + kChanges;
    });
  }));
}

}  // namespace
}  // namespace pointsman::support
