// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/health_check_ports.h"

#include <malloc.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
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

using Check = HealthCheckPorts::Check;
using testing::ElementsAre;
using testing::HasSubstr;

const NamespacedName kWeb = {"ns1", "svc1"};
const NamespacedName kApi = {"ns1", "svc2"};

class HealthCheckPortsTest : public testing::Test {
 protected:
  HealthCheckPortsTest() {
    ns_.Ip("link set lo up\naddress add 192.0.2.1/32 dev lo\naddress add 192.0.2.2/32 dev lo");
    server_ = ns_.Call([] { return std::make_unique<HttpServer>(); });
    ports_.emplace(
        *server_, [this] { return healthy_.load(); },
        [this](const HealthCheckPorts::News& news) {
          const std::lock_guard lock(mutex_);
          news_.push_back(absl::StrCat(FormatName(news.service), " ", FormatFamily(news.family), " ", news.port, " ",
                                       news.status.ok() ? "ok" : news.status.message()));
        });
  }

  void Set(const NamespacedName& service, std::optional<Check> check) {
    ports_->Update({{service, check}});
    server_->Flush();
  }
  void SetAddresses(Family family, std::optional<std::vector<IpAddr>> addresses) {
    ports_->SetAddresses(family, std::move(addresses));
    server_->Flush();
  }
  Reply At4(uint16_t port, const char* address = "127.0.0.1") { return Get(ns_, At(address, port), "/"); }
  Reply At6(uint16_t port) { return Get(ns_, At("::1", port), "/"); }
  std::vector<std::string> News() {
    const std::lock_guard lock(mutex_);
    return news_;
  }

  support::NetNs ns_{"ports"};
  std::atomic<bool> healthy_ = true;
  std::mutex mutex_;
  std::vector<std::string> news_;
  std::unique_ptr<HttpServer> server_;
  std::optional<HealthCheckPorts> ports_;
};

// The worked cases of kube-proxy that are about one answer.
struct Case {
  const char* name;
  int local;
  bool healthy;
  int status;
  const char* weight;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }
class AnswerTest : public HealthCheckPortsTest, public testing::WithParamInterface<Case> {};

TEST_P(AnswerTest, IsThatOfKubeProxyByteForByte) {
  const Case& c = GetParam();
  healthy_ = c.healthy;
  Set(kWeb, Check{.port = 31000, .local_ipv4 = c.local});
  // Any method and any path are the same.
  for (const auto& [method, target] :
       {std::pair("GET", "/"), std::pair("POST", "/healthz?x"), std::pair("OPTIONS", "*")}) {
    const Reply reply = Ask(ns_, At("127.0.0.1", 31000), method, target);
    EXPECT_EQ(reply.status, c.status);
    EXPECT_EQ(reply.Header("x-load-balancing-endpoint-weight"), c.weight);
    EXPECT_EQ(reply.Header("content-type"), "application/json");
    EXPECT_EQ(reply.Header("x-content-type-options"), "nosniff");
    EXPECT_EQ(reply.body,
              absl::StrCat("{\n\t\"service\": {\n\t\t\"namespace\": \"ns1\",\n\t\t\"name\": \"svc1\"\n\t},\n"
                           "\t\"localEndpoints\": ",
                           c.local, ",\n\t\"serviceProxyHealthy\": ", c.healthy ? "true" : "false", "\n}"));
  }
}

INSTANTIATE_TEST_SUITE_P(W, AnswerTest,
                         testing::Values(Case{"W01_just_opened", 0, true, 503, "0"},
                                         Case{"W02_many", 18, true, 200, "18"}, Case{"W03_none", 0, true, 503, "0"},
                                         Case{"W04_proxy_unhealthy", 7, false, 503, "7"},
                                         // The node's eligibility is no part of `proxy_healthy`.
                                         Case{"W05_node_ineligible", 7, true, 200, "7"}),
                         [](const auto& c) { return std::string(c.param.name); });

TEST_F(HealthCheckPortsTest, AServiceAnswersInItsFamiliesEachWithItsCount) {
  Set(kWeb, Check{.port = 31000, .local_ipv4 = 2, .local_ipv6 = 0});
  EXPECT_EQ(At4(31000).status, 200);
  EXPECT_EQ(At6(31000).status, 503);
  Set(kWeb, Check{.port = 31000, .local_ipv6 = 1});
  EXPECT_EQ(At4(31000).status, 0);
  EXPECT_EQ(At6(31000).Header("x-load-balancing-endpoint-weight"), "1");
}

TEST_F(HealthCheckPortsTest, ACountThatChangesLeavesTheConnectionAlone) {
  Set(kWeb, Check{.port = 31000, .local_ipv4 = 1});
  Client client(ns_, At("127.0.0.1", 31000));
  client.Send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.Receive()->status, 200);
  Set(kWeb, Check{.port = 31000, .local_ipv4 = 0});
  client.Send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.Receive()->status, 503);
  EXPECT_THAT(News(), ElementsAre("ns1/svc1 IPv4 31000 ok"));
}

TEST_F(HealthCheckPortsTest, W06AServiceThatIsNotKnownGoesUnnoticed) {
  Set(kApi, std::nullopt);
  EXPECT_TRUE(News().empty());
}

TEST_F(HealthCheckPortsTest, W07AServiceThatVanishesIsClosed) {
  Set(kWeb, Check{.port = 31000, .local_ipv4 = 1});
  EXPECT_EQ(At4(31000).status, 200);
  Set(kWeb, std::nullopt);
  EXPECT_EQ(At4(31000).status, 0);

  Set(kWeb, Check{.port = 31000, .local_ipv4 = 1});
  Set(kApi, Check{.port = 31001, .local_ipv4 = 1});
  ports_->Replace({{kApi, Check{.port = 31001, .local_ipv4 = 3}}});
  server_->Flush();
  EXPECT_EQ(At4(31000).status, 0);
  EXPECT_EQ(At4(31001).Header("x-load-balancing-endpoint-weight"), "3");
}

TEST_F(HealthCheckPortsTest, W08APortThatChangesIsClosedWithItsConnectionsAndTheNewOneOpened) {
  Set(kWeb, Check{.port = 1111, .local_ipv4 = 1});
  Client client(ns_, At("127.0.0.1", 1111));
  client.Send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.Receive()->status, 200);
  Set(kWeb, Check{.port = 2222, .local_ipv4 = 1});
  EXPECT_EQ(At4(1111).status, 0);
  EXPECT_EQ(At4(2222).status, 200);
  EXPECT_TRUE(client.Ends());
}

TEST_F(HealthCheckPortsTest, ServicesMaySwapTheirPorts) {
  ports_->Update({{kWeb, Check{.port = 1111, .local_ipv4 = 1}}, {kApi, Check{.port = 2222, .local_ipv4 = 2}}});
  ports_->Update({{kWeb, Check{.port = 2222, .local_ipv4 = 1}}, {kApi, Check{.port = 1111, .local_ipv4 = 2}}});
  server_->Flush();
  EXPECT_THAT(At4(1111).body, HasSubstr("svc2"));
  EXPECT_THAT(At4(2222).body, HasSubstr("svc1"));
  for (const std::string& line : News()) EXPECT_THAT(line, HasSubstr("ok"));
}

TEST_F(HealthCheckPortsTest, W09OnlyTheAddressesGivenListen) {
  SetAddresses(Family::kIpv4, {{*IpAddr::Parse("192.0.2.1"), *IpAddr::Parse("192.0.2.2")}});
  Set(kWeb, Check{.port = 31000, .local_ipv4 = 1, .local_ipv6 = 1});
  EXPECT_EQ(At4(31000, "192.0.2.1").status, 200);
  EXPECT_EQ(At4(31000, "192.0.2.2").status, 200);
  EXPECT_EQ(At4(31000, "127.0.0.1").status, 0);
  EXPECT_EQ(At6(31000).status, 200) << "the other family is not restricted";
}

TEST_F(HealthCheckPortsTest, AddressesMayChangeWhileServing) {
  Set(kWeb, Check{.port = 31000, .local_ipv4 = 1});
  SetAddresses(Family::kIpv4, {{*IpAddr::Parse("192.0.2.1")}});
  EXPECT_EQ(At4(31000, "192.0.2.1").status, 200);
  EXPECT_EQ(At4(31000, "192.0.2.2").status, 0);
  SetAddresses(Family::kIpv4, std::vector<IpAddr>{});
  EXPECT_EQ(At4(31000, "192.0.2.1").status, 0);
  SetAddresses(Family::kIpv4, std::nullopt);
  EXPECT_EQ(At4(31000, "192.0.2.2").status, 200);
  for (const std::string& line : News()) EXPECT_THAT(line, HasSubstr("ok"));
}

TEST_F(HealthCheckPortsTest, W10IfOneAddressCannotBeHadNoneIsAndItIsTriedAgain) {
  SetAddresses(Family::kIpv4, {{*IpAddr::Parse("192.0.2.1"), *IpAddr::Parse("198.51.100.1")}});
  Set(kWeb, Check{.port = 31000, .local_ipv4 = 1});
  EXPECT_EQ(At4(31000, "192.0.2.1").status, 0);
  EXPECT_THAT(News(), ElementsAre(HasSubstr("ns1/svc1 IPv4 31000 listen on 198.51.100.1:31000: bind: Cannot assign")));

  ns_.Ip("address add 198.51.100.1/32 dev lo");
  EXPECT_TRUE(Eventually([&] { return At4(31000, "198.51.100.1").status == 200; }));
  EXPECT_EQ(At4(31000, "192.0.2.1").status, 200);
  EXPECT_THAT(News(), ElementsAre(testing::_, "ns1/svc1 IPv4 31000 ok"));
}

TEST_F(HealthCheckPortsTest, OfTwoServicesWithOnePortTheFirstHasItUntilItGoes) {
  Set(kWeb, Check{.port = 31000, .local_ipv4 = 1});
  Set(kApi, Check{.port = 31000, .local_ipv4 = 2});
  EXPECT_THAT(News(),
              ElementsAre("ns1/svc1 IPv4 31000 ok",
                          "ns1/svc2 IPv4 31000 health-check node port 31000 is that of Service ns1/svc1 already"));
  EXPECT_THAT(At4(31000).body, HasSubstr("svc1"));
  Set(kWeb, std::nullopt);
  EXPECT_THAT(At4(31000).body, HasSubstr("svc2"));
  EXPECT_EQ(News().back(), "ns1/svc2 IPv4 31000 ok");

  // One that waits in vain may leave, too.
  Set(kWeb, Check{.port = 31000, .local_ipv4 = 1});
  Set(kWeb, std::nullopt);
  EXPECT_THAT(At4(31000).body, HasSubstr("svc2"));
}

TEST_F(HealthCheckPortsTest, WhoeverAsksWhileAServiceIsTakenAwayIsNeverToldThatAllIsWell) {
  std::atomic<bool> stop = false;
  std::map<int, int> seen;
  std::thread asker([&] {
    while (!stop) ++seen[At4(31000).status];
  });
  for (int i = 0; i < 200; ++i) {
    // With no endpoint here, 200 could only come from somebody who knows nothing.
    ports_->Update({{kWeb, Check{.port = 31000, .local_ipv4 = 0}}});
    absl::SleepFor(absl::Milliseconds(1));
    ports_->Update({{kWeb, std::nullopt}});
  }
  stop = true;
  asker.join();
  for (const auto& [status, count] : seen) EXPECT_TRUE(status == 503 || status == 0) << status << " " << count;
}

size_t Threads() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/task"), {}));
}
long ResidentKib() {
  std::ifstream status("/proc/self/status");
  std::string word;
  long kib = 0;
  while (status >> word && word != "VmRSS:") {
  }
  status >> kib;
  return kib;
}

TEST_F(HealthCheckPortsTest, ThreeHundredPortsNeedNoMoreThreadsAndLittleMemory) {
  constexpr uint16_t kPorts = 300;
  Set(kWeb, Check{.port = 29999, .local_ipv4 = 1, .local_ipv6 = 1});
  ASSERT_EQ(At4(29999).status, 200);
  const size_t threads = Threads();
  malloc_trim(0);
  const long before = ResidentKib();

  std::vector<std::pair<NamespacedName, Check>> all;
  for (uint16_t i = 0; i < kPorts; ++i) {
    const auto port = static_cast<uint16_t>(30000 + i);
    all.push_back({{"ns", absl::StrCat("s", i)}, Check{.port = port, .local_ipv4 = i, .local_ipv6 = i}});
  }
  ports_->Replace(all);
  server_->Flush();

  for (uint16_t i = 1; i < kPorts; ++i) {
    const auto port = static_cast<uint16_t>(30000 + i);
    ASSERT_EQ(At4(port).Header("x-load-balancing-endpoint-weight"), absl::StrCat(i));
    ASSERT_EQ(At6(port).Header("x-load-balancing-endpoint-weight"), absl::StrCat(i));
  }
  const long more = ResidentKib() - before;
  RecordProperty("kib", static_cast<int>(more));
  EXPECT_EQ(Threads(), threads);
  // Sanitizers need memory of their own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(_GLIBCXX_TSAN)
  EXPECT_LT(more, 10 << 10) << "KiB";
#endif
}

}  // namespace
}  // namespace pointsman::serve
