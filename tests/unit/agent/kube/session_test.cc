// SPDX-License-Identifier: Apache-2.0
//
// The session and the source with a server at the other end of a real connection.
#include "agent/kube/session.h"

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/kube/kube_source.h"
#include "agent/loop/clock.h"
#include "agent/loop/inbox.h"
#include "pointsman/store.h"
#include "tests/support/fake_api/fake_api.h"
#include "tests/unit/agent/kube/http_fixture.h"

namespace pointsman::kube {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

kube::Service AService(const std::string& name) {
  kube::Service service;
  service.mutable_metadata()->set_namespace_("shop");
  service.mutable_metadata()->set_name(name);
  service.mutable_spec()->set_cluster_ip("192.0.2.80");
  service.mutable_spec()->set_type("ClusterIP");
  kube::ServicePort& port = *service.mutable_spec()->add_ports();
  port.set_protocol("TCP");
  port.set_port(80);
  return service;
}

kube::EndpointSlice ASlice(const std::string& name, const std::string& address) {
  kube::EndpointSlice slice;
  slice.mutable_metadata()->set_namespace_("shop");
  slice.mutable_metadata()->set_name(name + "-1");
  (*slice.mutable_metadata()->mutable_labels())[kServiceNameLabel] = name;
  slice.set_address_type("IPv4");
  slice.add_endpoints()->add_addresses(address);
  kube::EndpointPort& port = *slice.add_ports();
  port.set_protocol("TCP");
  port.set_port(8080);
  return slice;
}

kube::Node ANode() {
  kube::Node node;
  node.mutable_metadata()->set_name("node-a");
  kube::NodeAddress& address = *node.mutable_status()->add_addresses();
  address.set_type("InternalIP");
  address.set_address("198.51.100.1");
  return node;
}

void Fill(support::FakeApi& api) {
  for (const char* name : {"web", "api", "db"}) {
    api.Put(AService(name));
    api.Put(ASlice(name, "203.0.113.11"));
  }
  api.Put(ANode());
}

class SessionTest : public ::testing::Test {
 protected:
  SourceOptions Options(const std::vector<const support::FakeApi*>& servers) {
    SourceOptions options{.node_name = "node-a"};
    for (const support::FakeApi* api : servers) options.access.servers.push_back(api->url());
    options.access.ca.text = ca_.pem();
    return options;
  }

  // Drives the session until `done`; what it delivers is kept.
  bool Until(Session& session, const std::function<bool()>& done, absl::Duration patience = absl::Seconds(20)) {
    const absl::Time give_up = SteadyNow() + patience;
    while (true) {
      for (const ObjectChange& change : session.TakeChanges()) {
        if (change.object != nullptr) {
          held_.insert(FormatKey(change.key));
        } else {
          held_.erase(FormatKey(change.key));
        }
        ++changes_;
      }
      for (Trouble& trouble : session.TakeTroubles()) troubles_.push_back(std::string(trouble.status.message()));
      if (done()) return true;
      if (SteadyNow() >= give_up) return false;
      session.Step(absl::Milliseconds(50));
    }
  }
  bool UntilSynced(Session& session) {
    return Until(session, [&] {
      const Picture picture = session.picture();
      return picture.services && picture.slices && picture.node && picture.service_cidrs;
    });
  }

  support::CertificateAuthority ca_{"test CA"};
  std::set<std::string> held_;
  std::vector<std::string> troubles_;
  int changes_ = 0;
};

struct Way {
  const char* name;
  bool protobuf = true;
  bool watch_list = true;
  int page_limit = 0;
};

class SessionWaysTest : public SessionTest, public ::testing::WithParamInterface<Way> {};

TEST_P(SessionWaysTest, SeesEverythingAndThenWhatChanges) {
  support::FakeApi api(
      ca_, {.protobuf = GetParam().protobuf, .watch_list = GetParam().watch_list, .page_limit = GetParam().page_limit});
  Fill(api);
  Session session(Options({&api}));
  ASSERT_TRUE(UntilSynced(session));
  EXPECT_THAT(
      held_, UnorderedElementsAre("Service shop/web", "Service shop/api", "Service shop/db", "EndpointSlice shop/web-1",
                                  "EndpointSlice shop/api-1", "EndpointSlice shop/db-1", "Node node-a"));
  api.Put(AService("new"));
  api.Delete("endpointslices", "shop", "db-1");
  EXPECT_TRUE(
      Until(session, [&] { return held_.contains("Service shop/new") && !held_.contains("EndpointSlice shop/db-1"); }));
  EXPECT_THAT(troubles_, IsEmpty());
  EXPECT_EQ(api.connections(), 1) << "one connection for all";
}

INSTANTIATE_TEST_SUITE_P(, SessionWaysTest,
                         ::testing::Values(Way{.name = "InitialEventsInProtobuf"},
                                           Way{.name = "InitialEventsInJson", .protobuf = false},
                                           Way{.name = "ListsInProtobuf", .watch_list = false},
                                           Way{.name = "ListsInJson", .protobuf = false, .watch_list = false},
                                           Way{.name = "PagesOfTwo", .watch_list = false, .page_limit = 2}),
                         [](const auto& row) { return std::string(row.param.name); });

TEST_F(SessionTest, AQuietClusterCostsNoRequests) {
  support::FakeApi api(ca_, {});
  Fill(api);
  Session session(Options({&api}));
  ASSERT_TRUE(UntilSynced(session));
  Until(
      session, [] { return false; }, absl::Seconds(1));
  const size_t before = api.Requests().size();
  EXPECT_EQ(before, 4U) << "one a kind";
  Until(
      session, [] { return false; }, absl::Seconds(5));
  EXPECT_EQ(api.Requests().size(), before);
}

TEST_F(SessionTest, GoesToTheNextServerWhenOneIsAway) {
  support::FakeApi gone(ca_, {});
  support::FakeApi there(ca_, {});
  Fill(there);
  gone.Stop();
  Session session(Options({&gone, &there}));
  ASSERT_TRUE(UntilSynced(session));
  EXPECT_THAT(troubles_, ::testing::ElementsAre(AllOf(HasSubstr(gone.url()), HasSubstr("refused"))));
  EXPECT_EQ(session.status().server, there.url());
}

TEST_F(SessionTest, ComesBackToAServerThatStartedAgainWithANewCertificate) {
  support::FakeApi api(ca_, {});
  Fill(api);
  Session session(Options({&api}));
  ASSERT_TRUE(UntilSynced(session));
  const int changes = changes_;
  api.Stop();
  Until(
      session, [] { return false; }, absl::Seconds(2));
  EXPECT_GT(session.status().stale, absl::Seconds(1));
  EXPECT_EQ(changes_, changes) << "nothing is taken away while it is away";
  const size_t requests = api.Requests().size();
  api.Start(ca_);
  api.Put(AService("new"));
  EXPECT_TRUE(Until(session, [&] { return held_.contains("Service shop/new"); }));
  EXPECT_EQ(changes_, changes + 1);
  EXPECT_LE(api.Requests().size(), requests + 8);
  EXPECT_TRUE(Until(session, [&] { return session.status().stale == absl::ZeroDuration(); }));
}

TEST_F(SessionTest, ProvesWhoItIsByACertificate) {
  support::FakeApi api(ca_, {.want_client_certificate = true});
  Fill(api);
  SourceOptions options = Options({&api});
  const support::Certificate first = ca_.ForClient("system:node:first");
  options.access.client_certificate.text = first.certificate;
  options.access.client_key.text = first.key;
  Session session(options);
  ASSERT_TRUE(UntilSynced(session));
  EXPECT_EQ(api.Requests().back().client, "system:node:first");
}

TEST_F(SessionTest, AsksForAFreshTokenWhenOneIsRefused) {
  support::TempDir dir;
  support::FakeApi api(ca_, {});
  Fill(api);
  api.AllowToken("new");
  support::WriteFile(dir.File("token"), "old");
  SourceOptions options = Options({&api});
  options.access.token_file = dir.File("token");
  Session session(options);
  ASSERT_TRUE(Until(session, [&] { return !troubles_.empty(); }));
  EXPECT_THAT(troubles_[0], AllOf(HasSubstr("401"), HasSubstr("credentials")));
  support::WriteFile(dir.File("token"), "new\n");
  EXPECT_TRUE(UntilSynced(session));
}

TEST_F(SessionTest, OlderServersWithoutServiceCidrsHoldNothingUp) {
  support::FakeApi api(ca_, {});
  Fill(api);
  api.Add({.resource = "servicecidrs", .times = -1, .code = 404, .reason = "NotFound", .message = "not found"});
  Session session(Options({&api}));
  ASSERT_TRUE(UntilSynced(session));
  EXPECT_FALSE(session.synced(Kind::kServiceCidr));
}

TEST_F(SessionTest, ALostConnectionIsTakenUpWhereItWas) {
  support::FakeApi api(ca_, {});
  Fill(api);
  Session session(Options({&api}));
  ASSERT_TRUE(UntilSynced(session));
  Until(
      session, [] { return false; }, absl::Milliseconds(1200));
  api.Disconnect();
  api.Put(AService("new"));
  EXPECT_TRUE(Until(session, [&] { return held_.contains("Service shop/new"); }));
  EXPECT_EQ(changes_, 8) << "seven objects, and the new one";
  EXPECT_EQ(session.status().kinds[0].counts.relists, 0);
}

TEST_F(SessionTest, AServerThatHoldsTheConnectionAndSaysNothingIsNoticed) {
  support::FakeApi api(ca_, {});
  Fill(api);
  SourceOptions options = Options({&api});
  options.silence = absl::Seconds(2);
  options.sign_of_life = absl::Seconds(1);
  Session session(options);
  ASSERT_TRUE(UntilSynced(session));
  Until(
      session, [] { return false; }, absl::Seconds(5));
  EXPECT_THAT(troubles_, IsEmpty()) << "one that is only quiet answers when asked";
  const std::vector<support::SeenRequest> seen = api.Requests();
  EXPECT_TRUE(std::any_of(seen.begin(), seen.end(),
                          [](const support::SeenRequest& request) { return request.path == "/version"; }));

  api.Freeze();
  EXPECT_TRUE(Until(session, [&] { return !troubles_.empty(); }));
  EXPECT_THAT(troubles_[0], AllOf(HasSubstr("nothing heard"), HasSubstr("no answer when asked")));
  EXPECT_FALSE(session.status().connected);
  api.Thaw();
  api.Put(AService("new"));
  EXPECT_TRUE(Until(
      session, [&] { return held_.contains("Service shop/new"); }, absl::Seconds(40)));
  EXPECT_EQ(changes_, 8);
}

TEST_F(SessionTest, AFloodOfAnswersThatAreNoneIsMetWithPauses) {
  support::FakeApi api(ca_, {});
  Fill(api);
  api.Add({.times = -1, .code = 503, .message = "<html><title>Maintenance</title></html>", .html = true});
  Session session(Options({&api}));
  Until(
      session, [] { return false; }, absl::Seconds(5));
  EXPECT_LE(api.Requests().size(), 20U);
  ASSERT_FALSE(troubles_.empty());
  EXPECT_THAT(troubles_[0], AllOf(HasSubstr("503"), HasSubstr("Maintenance")));
  api.ClearFaults();
  EXPECT_TRUE(UntilSynced(session));
}

// Everything an Observer is told.
struct Seen {
  std::vector<SeenRequest> requests;
  std::vector<absl::Duration> waits;
  std::vector<std::string> retries;
  std::set<std::string> hosts;

  Observer observer() {
    return {.request =
                [this](const SeenRequest& request) {
                  requests.push_back(request);
                  hosts.insert(request.host);
                },
            .rate_limit =
                [this](const std::string& host, absl::Duration waited) {
                  waits.push_back(waited);
                  hosts.insert(host);
                },
            .retry =
                [this](const std::string& host, int status) {
                  retries.push_back(absl::StrCat(status));
                  hosts.insert(host);
                }};
  }
  std::vector<int> statuses() const {
    std::vector<int> all;
    for (const SeenRequest& request : requests) all.push_back(request.status);
    return all;
  }
};

TEST_F(SessionTest, WatchesAreToldOfWhenTheyBegin) {
  support::FakeApi api(ca_, {.path_prefix = "/k8s"});
  Fill(api);
  Seen seen;
  SourceOptions options = Options({&api});
  options.observer = seen.observer();
  Session session(options);
  ASSERT_TRUE(UntilSynced(session));

  ASSERT_EQ(seen.requests.size(), 4U) << "one a kind, and they go on";
  for (const SeenRequest& request : seen.requests) {
    EXPECT_EQ(request.method, "GET");
    EXPECT_EQ(request.status, 200);
    EXPECT_GT(request.duration, absl::ZeroDuration());
    EXPECT_GT(request.request_bytes, 0);
    EXPECT_EQ(request.response_bytes, std::nullopt);
  }
  EXPECT_THAT(seen.hosts, ::testing::ElementsAre(absl::StrCat("127.0.0.1:", api.port())));
  EXPECT_THAT(seen.waits, IsEmpty()) << "watches are not limited";
  EXPECT_THAT(seen.retries, IsEmpty());
}

TEST_F(SessionTest, ListsAreToldOfAtTheirEndAndWithWhatTheRateLimitCostThem) {
  support::FakeApi api(ca_, {.watch_list = false});
  Fill(api);
  Seen seen;
  SourceOptions options = Options({&api});
  options.observer = seen.observer();
  options.qps = 2;
  options.burst = 1;
  Session session(options);
  ASSERT_TRUE(UntilSynced(session));

  std::vector<int> lists;
  for (const SeenRequest& request : seen.requests) {
    if (!request.response_bytes.has_value()) continue;
    lists.push_back(request.status);
    EXPECT_GT(*request.response_bytes, 0);
  }
  EXPECT_THAT(lists, ::testing::ElementsAre(200, 200, 200, 200));
  ASSERT_EQ(seen.waits.size(), 4U);
  EXPECT_EQ(seen.waits[0], absl::ZeroDuration());
  for (size_t i = 1; i < 4; ++i) EXPECT_GE(seen.waits[i], absl::Milliseconds(350) * static_cast<int>(i)) << i;
}

TEST_F(SessionTest, RequestsWithoutAnAnswerAndThoseToBeMadeAgainAreToldOf) {
  support::FakeApi api(ca_, {});
  Fill(api);
  api.Stop();
  Seen seen;
  SourceOptions options = Options({&api});
  options.observer = seen.observer();
  Session session(options);
  ASSERT_TRUE(Until(session, [&] { return !troubles_.empty(); }));
  EXPECT_THAT(seen.statuses(), ::testing::Contains(0));
  EXPECT_THAT(seen.retries, IsEmpty()) << "nobody was there";

  api.Start(ca_);
  api.Add({.resource = "services", .code = 429, .message = "slow down", .retry_after = 1});
  api.Add({.resource = "services", .code = 503, .message = "no word of when"});
  ASSERT_TRUE(UntilSynced(session));
  EXPECT_THAT(seen.statuses(), ::testing::IsSupersetOf({429, 503, 200}));
  EXPECT_THAT(seen.retries, ::testing::ElementsAre("429"));
}

TEST_F(SessionTest, ReadingOnceNamesWhatIsMissing) {
  support::FakeApi api(ca_, {});
  Fill(api);
  absl::StatusOr<ClusterObjects> cluster = ReadCluster(Options({&api}), absl::Seconds(20));
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  EXPECT_EQ(cluster->objects.size(), 7U);

  api.Forbid("endpointslices", {"list", "watch"});
  cluster = ReadCluster(Options({&api}), absl::Seconds(20));
  EXPECT_TRUE(absl::IsPermissionDenied(cluster.status())) << cluster.status();
  EXPECT_THAT(std::string(cluster.status().message()),
              AllOf(HasSubstr("list and watch"), HasSubstr("endpointslices.discovery.k8s.io"),
                    HasSubstr("ServiceAccount kube-system/kube-proxy")));
  api.Permit("endpointslices");

  SourceOptions mistrusting = Options({&api});
  mistrusting.access.ca.text = support::CertificateAuthority("another CA").pem();
  cluster = ReadCluster(mistrusting, absl::Seconds(20));
  EXPECT_THAT(std::string(cluster.status().message()), AllOf(HasSubstr(api.url()), HasSubstr("not signed by the CA")));
}

TEST_F(SessionTest, TheSourceHoldsBackUntilBothKindsAreComplete) {
  support::FakeApi api(ca_, {});
  Fill(api);
  api.Forbid("endpointslices", {"list", "watch"});
  Inbox inbox;
  KubeSource source(Options({&api}), inbox, [](const Diagnostic&) {});
  absl::SleepFor(absl::Seconds(2));
  EXPECT_FALSE(inbox.synced());
  api.Permit("endpointslices");
  for (int i = 0; i < 200 && !inbox.synced(); ++i) absl::SleepFor(absl::Milliseconds(50));
  ASSERT_TRUE(inbox.synced());
  Store store;
  store.Apply(inbox.Take().batch);
  EXPECT_EQ(store.ServiceNames().size(), 3U);
  EXPECT_EQ(store.SlicesOf({"shop", "web"}).size(), 1U);
  source.LogStatus();
  for (int i = 0; i < 100 && !source.status().released; ++i) absl::SleepFor(absl::Milliseconds(50));
  EXPECT_TRUE(source.status().released);

  // What changes nothing stays where it is.
  api.Put(AService("web"));
  api.Put(AService("web"));
  for (int i = 0; i < 100 && source.status().kinds[0].unchanged < 2; ++i) absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(source.status().kinds[0].unchanged, 2);
  EXPECT_THAT(inbox.Take().batch.changes, IsEmpty());
}

}  // namespace
}  // namespace pointsman::kube
