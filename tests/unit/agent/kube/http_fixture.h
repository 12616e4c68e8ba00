// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the HTTP client share: a namespace, a server that can be anything, and the client.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "gtest/gtest.h"

#include "agent/kube/http.h"
#include "tests/support/fake_api/certificates.h"
#include "tests/support/fake_api/fake_api.h"
#include "tests/support/files.h"
#include "tests/support/netns.h"

namespace pointsman::kube {

// The whole program moves into a namespace with nothing but loopback before it starts a thread or opens a socket.
class Isolated : public testing::Environment {
 public:
  void SetUp() override {
    net_ = std::make_unique<support::NetNs>("http");
    net_->Ip("link set lo up");
    const int fd = open(net_->path().c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_EQ(setns(fd, CLONE_NEWNET), 0);
    close(fd);
    for (const char* name : {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "DISABLE_HTTP2"}) {
      unsetenv(name);
    }
  }

 private:
  std::unique_ptr<support::NetNs> net_;
};
inline testing::Environment* const kIsolated = testing::AddGlobalTestEnvironment(new Isolated);

// Serves each connection on a thread of its own.
class TinyServer {
 public:
  explicit TinyServer(std::function<void(int)> serve) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_ANY);
    socklen_t size = sizeof address;
    if (bind(fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(fd_, 16) != 0 ||
        getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      support::FatalErrno("listen on loopback");
    }
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this, serve = std::move(serve)] {
      while (true) {
        const int connection = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
        if (connection < 0) return;
        const std::lock_guard<std::mutex> lock(mutex_);
        connections_.push_back(connection);
        threads_.emplace_back([serve, connection] {
          serve(connection);
          shutdown(connection, SHUT_RDWR);
        });
      }
    });
  }
  ~TinyServer() {
    shutdown(fd_, SHUT_RDWR);
    acceptor_.join();
    for (const int connection : connections_) shutdown(connection, SHUT_RDWR);
    for (std::thread& thread : threads_) thread.join();
    for (const int connection : connections_) close(connection);
    close(fd_);
  }
  TinyServer(const TinyServer&) = delete;
  TinyServer& operator=(const TinyServer&) = delete;

  int port() const { return port_; }
  size_t connections() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return connections_.size();
  }

 private:
  const int fd_;
  int port_ = 0;
  std::mutex mutex_;
  std::vector<int> connections_;
  std::vector<std::thread> threads_;  // the acceptor's
  std::thread acceptor_;
};

inline void SendAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

// The head of a request; empty at the end of the connection.
inline std::string ReceiveHead(int fd) {
  std::string head;
  char c = 0;
  while (!absl::EndsWith(head, "\r\n\r\n")) {
    if (recv(fd, &c, 1, 0) != 1) return "";
    head.push_back(c);
  }
  return head;
}

// Answers all requests of all connections with these bytes.
inline std::function<void(int)> Always(const std::string& answer) {
  return [answer](int fd) {
    while (!ReceiveHead(fd).empty()) SendAll(fd, answer);
  };
}

// What came of a request.
struct Answer {
  std::vector<HttpHead> heads;
  std::string body;
  int pieces = 0;
  std::vector<HttpEnd> ends;

  bool done() const { return !ends.empty(); }
  int code() const { return heads.empty() ? 0 : heads.front().code; }
  absl::Status status() const { return ends.empty() ? absl::UnknownError("not done") : ends.front().status; }
  std::string message() const { return std::string(status().message()); }
};

inline HttpClient::Handlers Into(Answer& answer) {
  return {.head = [&answer](const HttpHead& head) { answer.heads.push_back(head); },
          .body =
              [&answer](absl::string_view piece) {
                answer.body.append(piece.data(), piece.size());
                ++answer.pieces;
                return true;
              },
          .end = [&answer](const HttpEnd& end) { answer.ends.push_back(end); }};
}

inline constexpr char kServices[] = "/api/v1/services";
inline constexpr char kWatch[] = "/api/v1/services?watch=1&allowWatchBookmarks=true";

inline HttpRequest To(const std::string& path) {
  return {.path = path, .headers = {"Accept: application/json"}, .head_timeout = absl::Seconds(10)};
}

class HttpTest : public testing::Test {
 protected:
  HttpServer ServerOf(const support::FakeApi& api) const { return {.url = api.url(), .ca = ca.pem()}; }

  // Polls until `done`; false if that takes far too long.
  bool Until(const std::function<bool()>& done) {
    const absl::Time start = absl::Now();
    while (!done()) {
      if (absl::Now() - start > absl::Seconds(30)) return false;
      client.Poll(absl::Milliseconds(50));
    }
    return true;
  }
  void PollFor(absl::Duration duration) {
    for (const absl::Time end = absl::Now() + duration; absl::Now() < end;) client.Poll(end - absl::Now());
  }

  Answer Get(const HttpServer& server, const HttpRequest& request) {
    Answer answer;
    const HttpClient::Id id = client.Start(server, request, Into(answer));
    EXPECT_TRUE(Until([&] { return answer.done(); })) << request.path;
    client.Cancel(id);
    return answer;
  }

  // So many services of about `bytes` each.
  static void Fill(support::FakeApi& api, int count, size_t bytes) {
    api.Edit([&] {
      for (int i = 0; i < count; ++i) {
        Service service;
        service.mutable_metadata()->set_name(absl::StrCat("s", i));
        service.mutable_metadata()->set_namespace_("ns");
        (*service.mutable_metadata()->mutable_annotations())["filling"] =
            std::string(bytes, static_cast<char>('a' + i % 26));
        api.Put(service);
      }
    });
  }

  support::CertificateAuthority ca{"the CA"};
  HttpClient client{"pointsman/test"};
};

}  // namespace pointsman::kube
