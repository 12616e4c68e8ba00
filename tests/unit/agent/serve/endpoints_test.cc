// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/endpoints.h"

#include <zlib.h>

#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/serve/http_server.h"
#include "nlohmann/json.hpp"
#include "tests/support/netns.h"
#include "tests/unit/agent/serve/client.h"

namespace pointsman::serve {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class EndpointsTest : public testing::Test {
 protected:
  EndpointsTest() {
    ns_.Ip("link set lo up");
    server_ = ns_.Call([] { return std::make_unique<HttpServer>(); });
    server_->Listen({.addresses = {kWhere},
                     .handler = MetricsEndpoints{.metrics = &metrics_,
                                                 .board = &board_,
                                                 .version = "1.2.3",
                                                 .started = absl::UnixEpoch(),
                                                 .configz = [] { return std::string(R"({"a":1})"); },
                                                 .source = [] { return std::string(R"({"connected":true})"); },
                                                 .flags = {{"config", "/x"}, {"v", "2"}}}});
    server_->Listen({.addresses = {kHealth}, .handler = HealthEndpoints{.board = &board_, .limit = absl::Minutes(1)}});
    server_->Flush();
  }
  Reply Fetch(const std::string& target, const char* headers = "") { return Get(ns_, kWhere, target, headers); }

  const SocketAddr kWhere = At("127.0.0.1", 10249);
  const SocketAddr kHealth = At("127.0.0.1", 10256);
  support::NetNs ns_{"endpoints"};
  Board board_;
  Metrics metrics_{{.families = {Family::kIpv4}, .version = "1.2.3", .board = &board_}};
  std::unique_ptr<HttpServer> server_;
};

struct Case {
  const char* name;
  const char* method;
  const char* target;
  int status;
  const char* type;
  const char* body;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }
class RouteTest : public EndpointsTest, public testing::WithParamInterface<Case> {};

TEST_P(RouteTest, IsAnswered) {
  const Case& c = GetParam();
  const Reply reply = Ask(ns_, kWhere, c.method, c.target);
  EXPECT_EQ(reply.status, c.status);
  EXPECT_EQ(reply.Header("content-type"), c.type);
  EXPECT_EQ(reply.Header("x-content-type-options"), "nosniff");
  EXPECT_EQ(reply.body, c.body);
}

constexpr char kText[] = "text/plain; charset=utf-8";
INSTANTIATE_TEST_SUITE_P(
    Routes, RouteTest,
    testing::Values(
        Case{"healthz", "GET", "/healthz", 200, kText, "ok"},
        Case{"healthz_post", "POST", "/healthz", 200, kText, "ok"},
        Case{"ping", "GET", "/healthz/ping", 200, kText, "ok"}, Case{"livez", "GET", "/livez", 200, kText, "ok"},
        Case{"verbose", "GET", "/healthz?verbose", 200, kText, "[+]ping ok\nhealthz check passed\n"},
        Case{"verbose_livez", "GET", "/livez?verbose=1", 200, kText, "[+]ping ok\nlivez check passed\n"},
        Case{"excluded", "GET", "/healthz?exclude=ping&verbose", 200, kText,
             "[+]ping excluded: ok\nhealthz check passed\n"},
        Case{"excluded_unknown", "GET", "/healthz?verbose&exclude=%78", 200, kText,
             "[+]ping ok\nwarn: some health checks cannot be excluded: no matches for \"x\"\nhealthz check passed\n"},
        Case{"proxy_mode", "GET", "/proxyMode", 200, kText, "nftables"},
        Case{"configz", "GET", "/configz", 200, "application/json", R"({"a":1})"},
        Case{"flagz", "GET", "/flagz", 200, kText,
             "\nkube-proxy flagz\nWarning: This endpoint is not meant to be machine parseable, has no formatting "
             "compatibility guarantees and is for debugging purposes only.\n\nconfig=/x\nv=2\n"},
        Case{"metrics_put", "PUT", "/metrics", 405, kText, "Method Not Allowed\n"},
        Case{"unknown", "GET", "/nowhere", 404, kText, "404 page not found\n"},
        Case{"no_prefix_matching", "GET", "/metrics/", 404, kText, "404 page not found\n"}),
    [](const auto& c) { return std::string(c.param.name); });

TEST_F(EndpointsTest, StatuszSaysWhatRunsAndSinceWhen) {
  const Reply reply = Fetch("/statusz");
  EXPECT_THAT(reply.body, StartsWith("\nkube-proxy statusz\nWarning: "));
  EXPECT_THAT(reply.body, HasSubstr("\nStarted: Thu Jan  1 00:00:00 UTC 1970\nUp: "));
  EXPECT_THAT(reply.body, HasSubstr("\nBinary version: pointsman 1.2.3\n"));
}

TEST_F(EndpointsTest, MetricsAreTextAndPackedForThoseWhoWantIt) {
  const Reply plain = Fetch("/metrics");
  EXPECT_EQ(plain.status, 200);
  EXPECT_EQ(plain.Header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(plain.body, HasSubstr("\npointsman_build_info{"));

  const Reply packed = Fetch("/metrics", "Accept-Encoding: gzip\r\n");
  EXPECT_EQ(packed.Header("content-encoding"), "gzip");
  EXPECT_LT(packed.body.size(), plain.body.size() / 3);
  std::string text(1 << 20, '\0');
  z_stream stream = {};
  ASSERT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  std::string bytes = packed.body;
  stream.next_in = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  inflateEnd(&stream);
  text.resize(stream.total_out);
  EXPECT_THAT(text, HasSubstr("\npointsman_build_info{"));
}

TEST_F(EndpointsTest, ChecksAreCountedUntilTheCountIsDeleted) {
  const std::string series = R"(kubernetes_healthchecks_total{name="ping",status="success",type="healthz"} )";
  Fetch("/healthz");
  Fetch("/healthz?verbose");
  EXPECT_THAT(Fetch("/metrics/slis").body, HasSubstr(series + "2\n"));
  EXPECT_THAT(Fetch("/metrics/slis").body, HasSubstr("kubernetes_healthcheck{name=\"ping\",type=\"healthz\"} 1\n"));
  EXPECT_EQ(Ask(ns_, kWhere, "DELETE", "/metrics/slis").status, 200);
  EXPECT_THAT(Fetch("/metrics/slis").body, HasSubstr(series + "0\n"));
}

TEST_F(EndpointsTest, TheStateIsShownWithTheSourcesAndWithComplaints) {
  board_.Update([](Standing& s) {
    s.Begin({Family::kIpv4}, {.calendar = absl::UnixEpoch()});
    s.Queue({.calendar = absl::UnixEpoch() + absl::Seconds(1)});
    s.pending_reason = "add element x: File exists";
    s.services = 3;
    s.diagnostics[{"shop", "web"}] = {{.severity = Severity::kWarning, .object = "Service shop/web", .problem = "odd"}};
  });
  const Reply reply = Fetch("/debug/state");
  EXPECT_EQ(reply.Header("content-type"), "application/json");
  const auto state = nlohmann::json::parse(reply.body);
  EXPECT_EQ(state["source"]["connected"], true);
  EXPECT_EQ(state["services"], 3);
  EXPECT_EQ(state["ready"], false);
  EXPECT_EQ(state["pendingReason"], "add element x: File exists");
  EXPECT_EQ(state["families"]["IPv4"]["pending"]["since"], "1970-01-01T00:00:01Z");
  EXPECT_EQ(state["diagnostics"]["shop/web"][0]["severity"], "warning");
  EXPECT_EQ(state["diagnostics"]["shop/web"][0]["text"], "warning: Service shop/web: odd");
}

TEST_F(EndpointsTest, ReadinessComesWithTheFirstSync) {
  EXPECT_EQ(Get(ns_, kHealth, "/readyz").status, 503);
  board_.Update([](Standing& s) { s.Synced({}); });
  EXPECT_EQ(Get(ns_, kHealth, "/readyz").status, 200);
  EXPECT_EQ(Get(ns_, kHealth, "/metrics").status, 404);
}

TEST_F(EndpointsTest, AskingWhileTheLoopWritesIsSafe) {
  std::thread loop([&] {
    for (int i = 0; i < 2000; ++i) {
      board_.Update([&](Standing& s) { s.diagnostics[{"ns", absl::StrCat(i % 7)}] = {{.problem = absl::StrCat(i)}}; });
      metrics_.Changes(1, 1);
      metrics_.ObservePass({.duration = absl::Milliseconds(1), .transactions = 1});
      metrics_.Synced(absl::Now());
    }
  });
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(Fetch("/metrics").status, 200);
    EXPECT_EQ(Fetch("/debug/state").status, 200);
  }
  loop.join();
  EXPECT_THAT(Fetch("/metrics").body, HasSubstr("\npointsman_transactions_total 2000\n"));
}

}  // namespace
}  // namespace pointsman::serve
