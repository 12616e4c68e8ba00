// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/http_server.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/netns.h"
#include "tests/unit/agent/serve/client.h"

namespace pointsman::serve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Response Echo(const Request& request) {
  return Text(200, absl::StrCat(request.method, " ", request.path, "?", request.query, " ", request.body));
}

class HttpServerTest : public testing::Test {
 protected:
  HttpServerTest() { ns_.Ip("link set lo up\naddress add 192.0.2.1/32 dev lo\naddress add 192.0.2.2/32 dev lo"); }

  void Start(const HttpServer::Options& options = {}) {
    server_ = ns_.Call([&] { return std::make_unique<HttpServer>(options); });
  }
  HttpServer::Id Listen(std::vector<SocketAddr> addresses, bool any_family = false,
                        absl::Duration pause = absl::Milliseconds(20)) {
    const HttpServer::Id id =
        server_->Listen({.addresses = std::move(addresses),
                         .any_family = any_family,
                         .handler = Echo,
                         .report =
                             [this](const absl::Status& status) {
                               const std::lock_guard lock(mutex_);
                               reports_.push_back(status.ok() ? "ok" : std::string(status.message()));
                             },
                         .first_pause = pause,
                         .longest_pause = pause});
    server_->Flush();
    return id;
  }
  std::vector<std::string> Reports() {
    const std::lock_guard lock(mutex_);
    return reports_;
  }
  int StatusAt(const char* address, uint16_t port) { return Get(ns_, At(address, port), "/").status; }
  Client Connect(uint16_t port = 80) { return Client(ns_, At("127.0.0.1", port)); }

  support::NetNs ns_{"http"};
  std::mutex mutex_;
  std::vector<std::string> reports_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, AHandlerGetsTheRequestAndItsAnswerArrives) {
  Start();
  Listen({At("127.0.0.1", 80)});
  Client client = Connect();
  client.Send("PUT /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
  const auto reply = client.Receive();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->body, "PUT /a?b=c hi");
  EXPECT_EQ(reply->Header("connection"), "");
}

TEST_F(HttpServerTest, HeadIsAnsweredWithTheLengthAndNoBody) {
  Start();
  Listen({At("127.0.0.1", 80)});
  Client client = Connect();
  client.Send("HEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.Receive(/*with_body=*/false)->Header("content-length"), "9");
  EXPECT_EQ(client.Receive()->body, "GET /b? ");
}

TEST_F(HttpServerTest, ManyRequestsSentAtOnceAreAnsweredInOrderOnOneConnection) {
  Start();
  Listen({At("127.0.0.1", 80)});
  constexpr int kRequests = 500;
  std::string all;
  for (int i = 0; i < kRequests; ++i) absl::StrAppend(&all, "GET /", i, " HTTP/1.1\r\n\r\n");
  Client client = Connect();
  ASSERT_TRUE(client.Send(all));
  client.SayNoMore();
  for (int i = 0; i < kRequests; ++i) {
    const auto reply = client.Receive();
    ASSERT_TRUE(reply) << i;
    EXPECT_EQ(reply->body, absl::StrCat("GET /", i, "? "));
  }
  EXPECT_TRUE(client.Ends());
}

TEST_F(HttpServerTest, AClientThatWantsToEndIsLetGo) {
  Start();
  Listen({At("127.0.0.1", 80)});
  Client client = Connect();
  client.Send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(client.Receive()->Header("connection"), "close");
  EXPECT_TRUE(client.Ends(absl::Seconds(5)));
}

TEST_F(HttpServerTest, NonsenseAndTooMuchAreRefusedWithAnAnswer) {
  Start({.limits = {.head = 1024, .body = 1024}});
  Listen({At("127.0.0.1", 80)});
  const struct {
    std::string bytes;
    int status;
  } rows[] = {
      {"nonsense\r\n\r\n", 400},
      {absl::StrCat("GET / HTTP/1.1\r\nX: ", std::string(1 << 20, 'x'), "\r\n\r\n"), 431},
      {absl::StrCat("PUT / HTTP/1.1\r\nContent-Length: 1048576\r\n\r\n", std::string(1 << 20, 'x')), 413},
  };
  for (const auto& row : rows) {
    Client client = Connect();
    client.Send(row.bytes);
    const auto reply = client.Receive();
    ASSERT_TRUE(reply) << row.status;
    EXPECT_EQ(reply->status, row.status);
    EXPECT_TRUE(client.Ends(absl::Seconds(5))) << row.status;
  }
}

TEST_F(HttpServerTest, AClientThatTricklesIsCutOffAndDisturbsNobody) {
  Start({.request_timeout = absl::Milliseconds(300)});
  Listen({At("127.0.0.1", 80)});
  Client slow = Connect();
  Client half = Connect();
  half.Send("GET / HTT");
  const absl::Time begin = absl::Now();
  bool cut = false;
  for (int i = 0; i < 200 && !cut; ++i) {
    slow.Send("x");
    cut = slow.Ends(absl::Milliseconds(20));
    if (i == 0) {
      EXPECT_EQ(StatusAt("127.0.0.1", 80), 200);
    }
  }
  EXPECT_TRUE(cut);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(3));
  EXPECT_TRUE(half.Ends());
}

TEST_F(HttpServerTest, ConnectionsLiveBetweenRequestsUntilTheyAreIdleForTooLong) {
  Start({.request_timeout = absl::Milliseconds(100), .idle_timeout = absl::Milliseconds(600)});
  Listen({At("127.0.0.1", 80)});
  Client client = Connect();
  client.Send("GET /1 HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(client.Receive());
  absl::SleepFor(absl::Milliseconds(300));
  client.Send("GET /2 HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(client.Receive());
  EXPECT_TRUE(client.Ends());
}

TEST_F(HttpServerTest, AClientThatDoesNotTakeItsAnswerIsCutOff) {
  Start({.response_timeout = absl::Milliseconds(300)});
  server_->Listen({.addresses = {At("127.0.0.1", 80)},
                   .handler = [](const Request&) { return Text(200, std::string(64 << 20, 'x')); }});
  Listen({At("127.0.0.1", 81)});
  Client client = Connect();
  client.Send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(StatusAt("127.0.0.1", 81), 200);
  absl::SleepFor(absl::Seconds(1));
  EXPECT_FALSE(client.Receive());
}

TEST_F(HttpServerTest, AThousandIdleConnectionsDisturbNobodyAndBeyondTheLimitTheyAreClosed) {
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 8192);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  ASSERT_GE(limit.rlim_cur, 2500U) << "not enough file descriptors for this test";
  Start({.max_connections = 1001, .request_timeout = absl::Minutes(1)});
  Listen({At("127.0.0.1", 80)});
  std::vector<Client> idle;
  idle.reserve(1001);
  for (int i = 0; i < 1000; ++i) {
    idle.push_back(Connect());
    ASSERT_TRUE(idle.back().connected());
  }
  const absl::Time begin = absl::Now();
  EXPECT_EQ(StatusAt("127.0.0.1", 80), 200);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(2));

  // The server may not have noticed yet that the asker is gone.
  EXPECT_TRUE(Eventually([&] { return StatusAt("127.0.0.1", 80) == 200; }));
  idle.push_back(Connect());
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_EQ(StatusAt("127.0.0.1", 80), 0);
  while (idle.size() > 500) idle.pop_back();
  EXPECT_TRUE(Eventually([&] { return StatusAt("127.0.0.1", 80) == 200; }));
}

TEST_F(HttpServerTest, WithoutAFreeFileDescriptorClientsWaitUntilThereIsOne) {
  Start();
  Listen({At("127.0.0.1", 80)});
  const int fd = ns_.Socket(AF_INET, SOCK_STREAM);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  // A new descriptor is the lowest that is free: with it, none is.
  rlimit full = before;
  full.rlim_cur = static_cast<rlim_t>(fd) + 1;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &full), 0);
  Client client(fd, At("127.0.0.1", 80));
  client.Send("GET / HTTP/1.1\r\n\r\n");
  const bool told = Eventually([&] { return Reports().size() == 2; });
  absl::SleepFor(absl::Milliseconds(1500));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);

  EXPECT_TRUE(told);
  EXPECT_TRUE(client.Receive());
  EXPECT_THAT(Reports(), ElementsAre("ok", "accept a connection: Too many open files", "ok"));
}

TEST_F(HttpServerTest, AnUnspecifiedAddressIsBothFamiliesOnOneSocket) {
  Start();
  Listen({At("0.0.0.0", 80)}, /*any_family=*/true);
  Listen({At("::", 81)}, /*any_family=*/true);
  for (const uint16_t port : {uint16_t{80}, uint16_t{81}}) {
    EXPECT_EQ(StatusAt("127.0.0.1", port), 200);
    EXPECT_EQ(StatusAt("::1", port), 200);
  }
}

TEST_F(HttpServerTest, WithoutAnyFamilyEachFamilyIsItsOwn) {
  Start();
  Listen({At("0.0.0.0", 80)});
  EXPECT_EQ(StatusAt("::1", 80), 0);
  Listen({At("::", 80)});
  EXPECT_EQ(StatusAt("127.0.0.1", 80), 200);
  EXPECT_EQ(StatusAt("::1", 80), 200);
  EXPECT_THAT(Reports(), ElementsAre("ok", "ok"));
}

TEST_F(HttpServerTest, AnAddressThatIsTakenIsReportedOnceAndTriedUntilItIsFree) {
  Start();
  const HttpServer::Id first = Listen({At("127.0.0.1", 80)});
  Listen({At("192.0.2.1", 80), At("127.0.0.1", 80)});
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_THAT(Reports(), ElementsAre("ok", HasSubstr("listen on 127.0.0.1:80: bind: Address already in use")));
  EXPECT_EQ(StatusAt("192.0.2.1", 80), 0) << "all or none";

  server_->Close(first);
  EXPECT_TRUE(Eventually([&] { return Reports().size() == 3; }));
  EXPECT_EQ(Reports().back(), "ok");
  EXPECT_EQ(StatusAt("192.0.2.1", 80), 200);
  EXPECT_EQ(StatusAt("127.0.0.1", 80), 200);
}

TEST_F(HttpServerTest, AnAddressThatComesLaterIsListenedOnThen) {
  Start();
  Listen({At("198.51.100.1", 80)});
  EXPECT_THAT(Reports(), ElementsAre(HasSubstr("Cannot assign requested address")));
  ns_.Ip("address add 198.51.100.1/32 dev lo");
  EXPECT_TRUE(Eventually([&] { return StatusAt("198.51.100.1", 80) == 200; }));
}

TEST_F(HttpServerTest, MovingLeavesAloneWhatStays) {
  Start();
  const HttpServer::Id id = Listen({At("192.0.2.1", 80), At("127.0.0.1", 80)});
  Client client = Connect();
  server_->Move(id, {At("127.0.0.1", 80), At("192.0.2.2", 80)});
  server_->Flush();
  EXPECT_EQ(StatusAt("192.0.2.1", 80), 0);
  EXPECT_EQ(StatusAt("192.0.2.2", 80), 200);
  client.Send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(client.Receive());

  server_->Move(id, {At("127.0.0.1", 80), At("203.0.113.1", 80)});
  server_->Flush();
  EXPECT_EQ(StatusAt("127.0.0.1", 80), 200) << "what works is not given up for what does not";
  server_->Move(id, {});
  server_->Flush();
  EXPECT_EQ(StatusAt("127.0.0.1", 80), 0);
}

TEST_F(HttpServerTest, ClosingAListenerEndsItsConnectionsAndNoOthers) {
  Start();
  const HttpServer::Id id = Listen({At("127.0.0.1", 80)});
  Listen({At("127.0.0.1", 81)});
  Client here = Connect(80);
  Client there = Connect(81);
  for (Client* client : {&here, &there}) {
    client->Send("GET / HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(client->Receive());
  }
  server_->Close(id);
  EXPECT_TRUE(here.Ends());
  there.Send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(there.Receive());
}

TEST_F(HttpServerTest, ThreadsMayAddAndRemoveWhileOthersAsk) {
  Start();
  Listen({At("127.0.0.1", 80)});
  std::vector<std::thread> threads;
  std::atomic<int> answered = 0;
  for (uint16_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        const auto port = static_cast<uint16_t>(1000 + t);
        const HttpServer::Id id = server_->Listen({.addresses = {At("127.0.0.1", port)}, .handler = Echo});
        server_->Flush();
        if (StatusAt("127.0.0.1", port) == 200 && StatusAt("127.0.0.1", 80) == 200) ++answered;
        server_->Close(id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answered, 100);
}

}  // namespace
}  // namespace pointsman::serve
