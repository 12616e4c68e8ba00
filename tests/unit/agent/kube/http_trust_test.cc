// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/kube/http.h"
#include "tests/support/fake_api/certificates.h"
#include "tests/support/fake_api/fake_api.h"
#include "tests/unit/agent/kube/http_fixture.h"

namespace pointsman::kube {
namespace {

using support::Certificate;
using support::CertificateAuthority;
using support::FakeApi;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

void Pump(int a, int b) {
  char buffer[16384];
  while (true) {
    pollfd fds[] = {{a, POLLIN, 0}, {b, POLLIN, 0}};
    if (poll(fds, 2, -1) < 0) return;
    for (int i = 0; i < 2; ++i) {
      if (fds[i].revents == 0) continue;
      const ssize_t got = recv(fds[i].fd, buffer, sizeof buffer, 0);
      if (got <= 0) return;
      SendAll(fds[1 - i].fd, absl::string_view(buffer, static_cast<size_t>(got)));
    }
  }
}

// Says `hello`, and passes everything on to 127.0.0.1.
void Relay(int fd, int port, absl::string_view hello) {
  const int onward = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (connect(onward, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    SendAll(fd, hello);
    Pump(fd, onward);
  }
  close(onward);
}

// A proxy for CONNECT to 127.0.0.1, whatever the name.
void ProxyConnection(int fd) {
  const std::string head = ReceiveHead(fd);
  const size_t colon = head.find(':');
  int port = 0;
  if (!absl::StartsWith(head, "CONNECT ") ||
      !absl::SimpleAtoi(head.substr(colon + 1, head.find(" HTTP") - colon - 1), &port)) {
    SendAll(fd, "HTTP/1.1 400 Bad\r\n\r\n");
    return;
  }
  Relay(fd, port, "HTTP/1.1 200 OK\r\n\r\n");
}

// --- whom to trust

TEST_F(HttpTest, AServerOfAnotherCaIsNotTrusted) {
  FakeApi api(ca, {});
  HttpServer server = ServerOf(api);
  server.ca = CertificateAuthority("the CA").pem();

  const Answer same_name = Get(server, To(kServices));
  server.ca = CertificateAuthority("another").pem();
  const Answer other_name = Get(server, To(kServices));
  server.ca.clear();
  const Answer system = Get(server, To(kServices));

  EXPECT_EQ(same_name.status(),
            absl::UnauthenticatedError(
                absl::StrCat("cannot trust ", api.url(),
                             ": its certificate is not signed by the CA given, but by another of the same name")));
  EXPECT_EQ(other_name.status(),
            absl::UnauthenticatedError(absl::StrCat("cannot trust ", api.url(),
                                                    ": its certificate is not signed by the CA given (self-signed "
                                                    "certificate in certificate chain)")));
  EXPECT_THAT(system.message(), HasSubstr("is not signed by any CA known to this system; give its CA ("));
  EXPECT_TRUE(api.Requests().empty());
}

TEST_F(HttpTest, AnExpiredCertificateIsNotTrusted) {
  FakeApi expired(ca, {.certificate = ca.ForServer({"127.0.0.1"}, -absl::Hours(1))});

  const Answer answer = Get(ServerOf(expired), To(kServices));

  EXPECT_EQ(answer.status(),
            absl::UnauthenticatedError(absl::StrCat(
                "cannot trust ", expired.url(), ": its certificate has expired, or this machine's clock is wrong")));
  EXPECT_FALSE(answer.ends[0].answered);
  EXPECT_TRUE(expired.Requests().empty());
}

TEST_F(HttpTest, InsecureTrustsAnybody) {
  FakeApi api(ca, {});
  const HttpServer server = {.url = api.url(), .insecure_skip_tls_verify = true};
  EXPECT_EQ(Get(server, To(kServices)).status(), absl::OkStatus());
}

TEST_F(HttpTest, ACaThatIsNoCertificateIsSaid) {
  FakeApi api(ca, {});
  HttpServer server = ServerOf(api);
  server.ca = "nonsense";
  EXPECT_EQ(Get(server, To(kServices)).status(),
            absl::UnauthenticatedError(absl::StrCat("cannot trust ", api.url(),
                                                    ": the CA given holds no certificate in PEM that can be used")));
}

TEST_F(HttpTest, AWrongNameIsSaidWithTheRightOnesAndTlsServerNameHelps) {
  FakeApi api(ca, {.address = "127.0.0.1"});
  HttpServer server = ServerOf(api);
  TinyServer relay([&](int fd) { Relay(fd, api.port(), ""); });
  server.url = absl::StrCat("https://127.0.0.2:", relay.port());

  const Answer wrong = Get(server, To(kServices));
  server.tls_server_name = "elsewhere.example";
  const Answer also_wrong = Get(server, To(kServices));
  server.tls_server_name = "localhost";
  const Answer right = Get(server, To(kServices));

  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(wrong.message(), AllOf(StartsWith(absl::StrCat("cannot trust ", server.url, ": its certificate is for ")),
                                     HasSubstr("localhost"), HasSubstr("127.0.0.1"),
                                     HasSubstr(", not for 127.0.0.2; set tls-server-name")));
  EXPECT_THAT(also_wrong.message(), HasSubstr(", not for elsewhere.example; that is what tls-server-name says"));
  EXPECT_EQ(right.status(), absl::OkStatus());
  ASSERT_EQ(api.Requests().size(), 1U);
  EXPECT_EQ(api.Requests()[0].headers.at(":authority"), absl::StrCat("127.0.0.2:", relay.port()));
}

TEST_F(HttpTest, OurCertificateIsShown) {
  FakeApi api(ca, {.want_client_certificate = true});
  const Certificate certificate = ca.ForClient("system:kube-proxy");
  HttpServer server = ServerOf(api);

  const Answer without = Get(server, To(kServices));
  server.certificate = certificate.certificate;
  server.key = certificate.key;
  const Answer with = Get(server, To(kServices));

  EXPECT_EQ(without.code(), 401);
  EXPECT_EQ(with.code(), 200);
  EXPECT_EQ(api.Requests().back().client, "system:kube-proxy");
}

TEST_F(HttpTest, ConnectionsAreNotSharedWithAnotherCertificate) {
  FakeApi api(ca, {.want_client_certificate = true});
  HttpServer servers[2] = {ServerOf(api), ServerOf(api)};
  const char* names[2] = {"alice", "bob"};
  for (int i = 0; i < 2; ++i) {
    const Certificate certificate = ca.ForClient(names[i]);
    servers[i].certificate = certificate.certificate;
    servers[i].key = certificate.key;
  }
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(Get(servers[i], To(kServices)).code(), 200);
      EXPECT_EQ(api.Requests().back().client, names[i]);
    }
  }
  EXPECT_EQ(api.connections(), 2);
}

TEST_F(HttpTest, ACertificateOfOursThatCannotBeUsedIsSaid) {
  FakeApi api(ca, {});
  HttpServer server = ServerOf(api);
  server.certificate = ca.ForClient("alice").certificate;
  server.key = ca.ForClient("bob").key;

  const Answer answer = Get(server, To(kServices));

  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(answer.message(),
              StartsWith(absl::StrCat("cannot use our client certificate or its key for ", api.url())));
}

// --- what cannot be reached

TEST_F(HttpTest, WhatCannotBeReachedIsSaidInOneLine) {
  int refused = 0;
  {
    TinyServer gone([](int) {});
    refused = gone.port();
  }
  TinyServer no_tls([](int fd) { SendAll(fd, "SSH-2.0-OpenSSH_9.2\r\n"); });
  TinyServer closes([](int) {});
  TinyServer no_http([](int fd) { SendAll(fd, "220 mail.example ESMTP\r\n"); });
  struct Row {
    std::string url;
    std::string message;  // PORT stands for the URL's
  };
  const Row rows[] = {
      {absl::StrCat("https://127.0.0.1:", refused), "cannot reach URL: connection refused"},
      {"https://192.0.2.1:6443", "cannot reach URL: network is unreachable"},
      {"https://nowhere.invalid:6443", "cannot reach URL: the name nowhere.invalid cannot be resolved"},
      {absl::StrCat("https://127.0.0.1:", no_tls.port()),
       "cannot reach URL: what listens there speaks no TLS (wrong version number)"},
      {absl::StrCat("https://127.0.0.1:", closes.port()), "cannot reach URL: the TLS handshake failed ("},
      {absl::StrCat("http://127.0.0.1:", no_http.port()), "cannot reach URL: what answers there is no HTTP server ("},
      {"ftp://127.0.0.1:1", "cannot reach URL: "},
  };
  for (const Row& row : rows) {
    const Answer answer = Get({.url = row.url}, To("/x"));

    EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable) << row.url;
    EXPECT_THAT(answer.message(), StartsWith(absl::StrReplaceAll(row.message, {{"URL", row.url}})));
    EXPECT_THAT(answer.message(), Not(HasSubstr("\n")));
    EXPECT_FALSE(answer.done() && answer.ends[0].answered);
  }
}

TEST_F(HttpTest, CredentialsInUrlsDoNotReachMessages) {
  const Answer answer =
      Get({.url = "https://me:secret@nowhere.invalid", .proxy_url = "http://me:secret@nowhere.invalid:1"}, To("/x"));
  EXPECT_THAT(answer.message(), AllOf(HasSubstr("https://nowhere.invalid"), HasSubstr("http://nowhere.invalid:1"),
                                      Not(HasSubstr("secret"))));
}

// --- proxies

TEST_F(HttpTest, AGivenProxyIsUsedAndTlsIsWithTheServer) {
  FakeApi api(ca, {});
  TinyServer proxy(ProxyConnection);
  HttpServer server = ServerOf(api);
  server.proxy_url = absl::StrCat("http://127.0.0.1:", proxy.port());

  const Answer first = Get(server, To(kServices));
  const Answer second = Get(server, To(kServices));

  EXPECT_EQ(first.status(), absl::OkStatus());
  EXPECT_EQ(first.heads.size(), 1U);
  EXPECT_EQ(second.code(), 200);
  EXPECT_EQ(proxy.connections(), 1U);
}

TEST_F(HttpTest, TheProxyOfTheEnvironmentIsUsedUnlessNoProxySaysOtherwise) {
  FakeApi api(ca, {});
  TinyServer proxy(ProxyConnection);
  setenv("HTTPS_PROXY", absl::StrCat("http://127.0.0.1:", proxy.port()).c_str(), 1);

  EXPECT_EQ(Get(ServerOf(api), To(kServices)).code(), 200);
  EXPECT_EQ(proxy.connections(), 1U);

  setenv("NO_PROXY", "127.0.0.0/8", 1);
  HttpServer named = ServerOf(api);
  named.tls_server_name = "localhost";
  client.RetireConnections();
  EXPECT_EQ(Get(ServerOf(api), To(kServices)).code(), 200);
  EXPECT_EQ(Get(named, To(kServices)).code(), 200);
  EXPECT_EQ(proxy.connections(), 1U);
  unsetenv("HTTPS_PROXY");
  unsetenv("NO_PROXY");
}

TEST_F(HttpTest, AProxyThatRefusesIsSaid) {
  TinyServer proxy(Always("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"));
  const Answer answer =
      Get({.url = "https://192.0.2.1:6443", .proxy_url = absl::StrCat("http://127.0.0.1:", proxy.port())}, To("/x"));
  EXPECT_EQ(answer.status(), absl::UnavailableError(absl::StrCat(
                                 "cannot reach https://192.0.2.1:6443: the proxy http://127.0.0.1:", proxy.port(),
                                 " refuses to connect to it (HTTP 407)")));
}

TEST_F(HttpTest, DisableHttp2OfTheEnvironmentIsHeeded) {
  setenv("DISABLE_HTTP2", "1", 1);
  HttpClient without("without");
  unsetenv("DISABLE_HTTP2");
  FakeApi api(ca, {});
  Answer answer;

  // The fake speaks HTTP/2 alone, and says so.
  without.Start(ServerOf(api), To(kServices), Into(answer));
  while (!answer.done()) without.Poll(absl::Seconds(1));

  EXPECT_FALSE(answer.status().ok() && answer.code() == 200);
}

}  // namespace
}  // namespace pointsman::kube
