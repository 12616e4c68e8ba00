// SPDX-License-Identifier: Apache-2.0
//
// An HTTP client that can be as rude as a test wants.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "pointsman/net.h"
#include "tests/support/netns.h"

namespace pointsman::serve {

struct Reply {
  int status = 0;                              // 0: none
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;

  std::string Header(const std::string& name) const {
    const auto it = headers.find(name);
    return it == headers.end() ? "" : it->second;
  }
};

inline SocketAddr At(const char* address, uint16_t port) { return {*IpAddr::Parse(address), port}; }

// One connection.
class Client {
 public:
  Client(support::NetNs& ns, const SocketAddr& to)
      : Client(ns.Socket(to.addr.family() == Family::kIpv4 ? AF_INET : AF_INET6, SOCK_STREAM), to) {}
  // Takes `fd`.
  Client(int fd, const SocketAddr& to) : fd_(fd) {
    const bool v4 = to.addr.family() == Family::kIpv4;
    sockaddr_in in = {};
    in.sin_family = AF_INET;
    in.sin_port = htons(to.port);
    sockaddr_in6 in6 = {};
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(to.port);
    memcpy(v4 ? static_cast<void*>(&in.sin_addr) : &in6.sin6_addr, to.addr.bytes().data(), to.addr.bytes().size());
    connected_ = (v4 ? connect(fd_, reinterpret_cast<sockaddr*>(&in), sizeof in)
                     : connect(fd_, reinterpret_cast<sockaddr*>(&in6), sizeof in6)) == 0;
  }
  ~Client() {
    if (fd_ >= 0) close(fd_);
  }
  Client(Client&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_), input_(std::move(other.input_)) {}
  Client& operator=(Client&&) = delete;

  bool connected() const { return connected_; }
  bool Send(absl::string_view bytes) {
    return send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }
  void SayNoMore() { shutdown(fd_, SHUT_WR); }

  // The next complete answer; nullopt if the connection ends before, or nothing comes in time.
  std::optional<Reply> Receive(bool with_body = true, absl::Duration patience = absl::Seconds(10)) {
    const absl::Time until = absl::Now() + patience;
    while (true) {
      const size_t head = input_.find("\r\n\r\n");
      if (head != std::string::npos) {
        Reply reply = ParseHead(input_.substr(0, head));
        size_t length = 0;
        if (with_body && !absl::SimpleAtoi(reply.Header("content-length"), &length)) return std::nullopt;
        if (input_.size() >= head + 4 + length) {
          reply.body = input_.substr(head + 4, length);
          input_.erase(0, head + 4 + length);
          return reply;
        }
      }
      if (!Fill(until)) return std::nullopt;
    }
  }
  // Whether the other side ends the connection in time; what it says before is thrown away.
  bool Ends(absl::Duration patience = absl::Seconds(10)) {
    const absl::Time until = absl::Now() + patience;
    while (Fill(until)) {
    }
    return ended_;
  }
  bool nothing_more() const { return input_.empty(); }

 private:
  bool Fill(absl::Time until) {
    if (ended_) return false;
    pollfd p = {.fd = fd_, .events = POLLIN};
    const auto wait = static_cast<int>(absl::ToInt64Milliseconds(until - absl::Now()));
    if (wait <= 0 || poll(&p, 1, wait) <= 0) return false;
    std::string piece(64 << 10, '\0');
    const ssize_t n = recv(fd_, piece.data(), piece.size(), 0);
    ended_ = n <= 0;
    if (n > 0) input_.append(piece, 0, static_cast<size_t>(n));
    return n > 0;
  }
  static Reply ParseHead(const std::string& head) {
    Reply reply;
    const std::vector<std::string> lines = absl::StrSplit(head, "\r\n");
    const std::vector<std::string> first = absl::StrSplit(lines[0], ' ');
    if (first.size() < 2 || !absl::SimpleAtoi(first[1], &reply.status)) reply.status = -1;
    for (size_t i = 1; i < lines.size(); ++i) {
      const std::pair<std::string, std::string> header = absl::StrSplit(lines[i], absl::MaxSplits(": ", 1));
      reply.headers[absl::AsciiStrToLower(header.first)] = header.second;
    }
    return reply;
  }

  int fd_ = -1;
  bool connected_ = false;
  bool ended_ = false;
  std::string input_;
};

// Asks once, on a connection of its own. Status 0: nobody listens, or no answer came.
inline Reply Ask(support::NetNs& ns, const SocketAddr& to, absl::string_view method, absl::string_view target,
                 absl::string_view headers = "") {
  Client client(ns, to);
  if (!client.connected()) return {};
  client.Send(absl::StrCat(method, " ", target, " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n", headers, "\r\n"));
  return client.Receive(method != "HEAD").value_or(Reply());
}
inline Reply Get(support::NetNs& ns, const SocketAddr& to, absl::string_view target, absl::string_view headers = "") {
  return Ask(ns, to, "GET", target, headers);
}

// Waits until `what` holds; false if it does not in time.
template <typename What>
bool Eventually(What what, absl::Duration patience = absl::Seconds(10)) {
  for (const absl::Time until = absl::Now() + patience; absl::Now() < until; absl::SleepFor(absl::Milliseconds(10))) {
    if (what()) return true;
  }
  return what();
}

}  // namespace pointsman::serve
