// SPDX-License-Identifier: Apache-2.0
#include "tests/support/traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

#include "tests/support/files.h"

namespace pointsman::support {
namespace {

struct KernelAddr {
  sockaddr_storage storage = {};
  socklen_t length = sizeof(sockaddr_storage);

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

KernelAddr ToKernel(const SocketAddr& addr) {
  KernelAddr k;
  if (addr.addr.family() == Family::kIpv4) {
    sockaddr_in in = {};
    in.sin_family = AF_INET;
    in.sin_port = htons(addr.port);
    std::memcpy(&in.sin_addr, addr.addr.bytes().data(), 4);
    std::memcpy(&k.storage, &in, sizeof(in));
    k.length = sizeof(in);
  } else {
    sockaddr_in6 in = {};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(addr.port);
    std::memcpy(&in.sin6_addr, addr.addr.bytes().data(), 16);
    std::memcpy(&k.storage, &in, sizeof(in));
    k.length = sizeof(in);
  }
  return k;
}

SocketAddr FromKernel(const KernelAddr& k) {
  SocketAddr addr;
  if (k.storage.ss_family == AF_INET) {
    sockaddr_in in = {};
    std::memcpy(&in, &k.storage, sizeof(in));
    addr.addr = IpAddr::FromBytes(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(&in.sin_addr), 4));
    addr.port = ntohs(in.sin_port);
  } else {
    sockaddr_in6 in = {};
    std::memcpy(&in, &k.storage, sizeof(in));
    addr.addr = IpAddr::FromBytes(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(&in.sin6_addr), 16));
    addr.port = ntohs(in.sin6_port);
  }
  return addr;
}

int Domain(const SocketAddr& addr) { return addr.addr.family() == Family::kIpv4 ? AF_INET : AF_INET6; }
int Type(Protocol protocol) { return protocol == Protocol::kUdp ? SOCK_DGRAM : SOCK_STREAM; }

void Watch(int epoll, int fd, uint32_t events) {
  epoll_event event = {};
  event.events = events;
  event.data.fd = fd;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) FatalErrno("epoll_ctl");
}

std::string Request(const SocketAddr& to) {
  return absl::StrCat("GET / HTTP/1.1\r\nHost: ", FormatSocketAddr(to), "\r\nConnection: close\r\n\r\n");
}

Outcome OutcomeOf(int error) {
  switch (error) {
    case 0:
      return Outcome::kAnswered;
    case ECONNREFUSED:
      return Outcome::kRefused;
    case ETIMEDOUT:
      return Outcome::kTimeout;
    case EHOSTUNREACH:
    case ENETUNREACH:
      return Outcome::kUnreachable;
    default:
      return Outcome::kOther;
  }
}

// Takes "NAME PEER" from the last line of an answer; false if it is not one.
bool ParseAnswer(const std::string& answer, std::string& name, std::string& seen_as) {
  const size_t end = answer.rfind('\n');
  if (end == std::string::npos || end + 1 != answer.size()) return false;
  const size_t before = end == 0 ? std::string::npos : answer.rfind('\n', end - 1);
  const size_t begin = before == std::string::npos ? 0 : before + 1;
  const size_t blank = answer.find(' ', begin);
  if (blank == std::string::npos || blank > end) return false;
  name = answer.substr(begin, blank - begin);
  seen_as = answer.substr(blank + 1, end - blank - 1);
  return true;
}

// Closes with a reset: no TIME_WAIT is left that could get in the way of a later connection from the same port.
void CloseAbruptly(int fd) {
  const linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  close(fd);
}

int SocketError(int fd) {
  int error = 0;
  socklen_t length = sizeof(error);
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  return error;
}

}  // namespace

// --- NameServer ---

NameServer::NameServer(NetNs& ns, std::string name)
    : ns_(ns), name_(std::move(name)), epoll_(epoll_create1(EPOLL_CLOEXEC)), stop_(eventfd(0, EFD_CLOEXEC)) {
  if (epoll_ < 0 || stop_ < 0) FatalErrno("epoll_create1 or eventfd");
  Watch(epoll_, stop_, EPOLLIN);
  thread_ = std::thread([this] { Serve(); });
}

NameServer::~NameServer() {
  const uint64_t one = 1;
  if (write(stop_, &one, sizeof(one)) != sizeof(one)) FatalErrno("write to an eventfd");
  thread_.join();
  for (const Listener& l : listeners_) close(l.fd);
  for (const auto& [fd, request] : requests_) close(fd);
  close(epoll_);
  close(stop_);
}

void NameServer::Listen(Protocol protocol, const SocketAddr& at) {
  const int fd = ns_.Socket(Domain(at), Type(protocol) | SOCK_NONBLOCK);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (Domain(at) == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  KernelAddr addr = ToKernel(at);
  if (bind(fd, addr.get(), addr.length) != 0 || (protocol != Protocol::kUdp && listen(fd, 4096) != 0)) {
    FatalErrno(absl::StrCat(name_, ": listen on ", FormatSocketAddr(at)));
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    listeners_.push_back({protocol, fd});
  }
  Watch(epoll_, fd, EPOLLIN);
}

void NameServer::Serve() {
  std::array<epoll_event, 64> events = {};
  while (true) {
    const int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < n; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == stop_) return;
      const auto connection = requests_.find(fd);
      if (connection != requests_.end()) {
        if (!Read(fd, connection->second)) {
          close(fd);
          requests_.erase(connection);
        }
        continue;
      }
      bool datagrams = false;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (const Listener& l : listeners_) datagrams |= l.fd == fd && l.protocol == Protocol::kUdp;
      }
      if (datagrams) {
        AnswerDatagrams(fd);
      } else {
        Accept(fd);
      }
    }
  }
}

void NameServer::AnswerDatagrams(int fd) {
  std::array<char, 2048> question = {};
  while (true) {
    KernelAddr peer;
    if (recvfrom(fd, question.data(), question.size(), 0, peer.get(), &peer.length) < 0) return;
    const std::string answer = absl::StrCat(name_, " ", FormatSocketAddr(FromKernel(peer)), "\n");
    answered_.fetch_add(1, std::memory_order_relaxed);
    sendto(fd, answer.data(), answer.size(), 0, peer.get(), peer.length);
  }
}

void NameServer::Accept(int fd) {
  while (true) {
    const int connection = accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (connection < 0) return;
    requests_[connection];
    Watch(epoll_, connection, EPOLLIN);
  }
}

bool NameServer::Read(int fd, std::string& request) {
  std::array<char, 4096> buffer = {};
  const ssize_t n = read(fd, buffer.data(), buffer.size());
  if (n < 0 && errno == EAGAIN) return true;
  if (n <= 0) return false;
  request.append(buffer.data(), static_cast<size_t>(n));
  if (request.find("\r\n\r\n") == std::string::npos) return request.size() < 65536;
  KernelAddr peer;
  if (getpeername(fd, peer.get(), &peer.length) != 0) return false;
  const std::string body = absl::StrCat(name_, " ", FormatSocketAddr(FromKernel(peer)), "\n");
  const std::string answer =
      absl::StrCat("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ", body.size(),
                   "\r\nConnection: close\r\n\r\n", body);
  answered_.fetch_add(1, std::memory_order_relaxed);
  send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
  return false;
}

// --- Ask ---

const char* FormatOutcome(Outcome outcome) {
  switch (outcome) {
    case Outcome::kAnswered:
      return "answered";
    case Outcome::kRefused:
      return "refused";
    case Outcome::kTimeout:
      return "timed out";
    case Outcome::kUnreachable:
      return "unreachable";
    case Outcome::kOther:
      return "failed";
  }
  return "?";
}

std::string Reply::Text() const {
  std::string text = FormatOutcome(outcome);
  if (outcome == Outcome::kAnswered) absl::StrAppend(&text, " by ", name, " who saw ", seen_as);
  if (outcome == Outcome::kOther) absl::StrAppend(&text, ": ", std::strerror(error));
  absl::StrAppend(&text, " (", absl::FormatDuration(absl::Trunc(took, absl::Microseconds(1))), ")");
  return text;
}

Reply Ask(NetNs& from, Protocol protocol, const SocketAddr& to, absl::Duration timeout) {
  const absl::Time begin = absl::Now();
  const int fd = from.Socket(Domain(to), Type(protocol) | SOCK_NONBLOCK);
  // Waits for `events`; an errno, or 0.
  const auto wait = [&](short events) {
    pollfd p = {.fd = fd, .events = events, .revents = 0};
    const int64_t left = absl::ToInt64Milliseconds(absl::Ceil(begin + timeout - absl::Now(), absl::Milliseconds(1)));
    const int n = poll(&p, 1, left > 0 ? static_cast<int>(left) : 0);
    return n == 0 ? ETIMEDOUT : n < 0 ? errno : SocketError(fd);
  };
  const auto talk = [&](std::string& answer) {
    KernelAddr addr = ToKernel(to);
    if (connect(fd, addr.get(), addr.length) != 0) {
      if (errno != EINPROGRESS) return errno;
      if (const int error = wait(POLLOUT); error != 0) return error;
    }
    const std::string request = Request(to);
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) return errno;
    std::array<char, 4096> buffer = {};
    while (true) {
      if (const int error = wait(POLLIN); error != 0) return error;
      const ssize_t n = recv(fd, buffer.data(), buffer.size(), 0);
      if (n < 0) return errno;
      answer.append(buffer.data(), static_cast<size_t>(n));
      if (n == 0 || protocol == Protocol::kUdp) return 0;
    }
  };
  Reply reply;
  std::string answer;
  reply.error = talk(answer);
  reply.took = absl::Now() - begin;
  reply.outcome = OutcomeOf(reply.error);
  if (reply.error == 0 && !ParseAnswer(answer, reply.name, reply.seen_as)) {
    reply.outcome = Outcome::kOther;
    reply.error = EBADMSG;
  }
  if (protocol == Protocol::kUdp) {
    close(fd);
  } else {
    CloseAbruptly(fd);
  }
  return reply;
}

// --- Load ---

std::string LoadReport::Text() const {
  std::string text = absl::StrFormat("%d connections in %s (%.0f/s), %d answered, %d failed, slowest %s", started,
                                     absl::FormatDuration(absl::Trunc(lasted, absl::Milliseconds(1))),
                                     static_cast<double>(started) / absl::ToDoubleSeconds(lasted), answered, failed,
                                     absl::FormatDuration(absl::Trunc(slowest, absl::Microseconds(1))));
  for (const auto& [name, count] : by_name) absl::StrAppend(&text, "\n  ", name, ": ", count);
  for (const std::string& failure : failures) absl::StrAppend(&text, "\n  ", failure);
  return text;
}

struct Load::Connection {
  absl::Time begin;
  std::string answer;
  bool connected = false;
};

// The loading thread's state.
struct Load::Run {
  Load& load;
  const SocketAddr to;
  const absl::Duration timeout;
  const absl::Time begin = absl::Now();
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  const std::string request = Request(to);
  std::unordered_map<int, Connection> connections;

  void Open() {
    const int fd = socket(Domain(to), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) FatalErrno("socket under load");
    {
      const std::lock_guard<std::mutex> lock(load.mutex_);
      ++load.report_.started;
    }
    connections[fd].begin = absl::Now();
    KernelAddr addr = ToKernel(to);
    if (connect(fd, addr.get(), addr.length) != 0 && errno != EINPROGRESS) {
      Finish(fd, errno);
      return;
    }
    Watch(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLET);
  }

  void Step(int fd) {
    const auto found = connections.find(fd);
    if (found == connections.end()) return;
    Connection& c = found->second;
    if (const int error = SocketError(fd); error != 0) return Finish(fd, error);
    if (!c.connected) {
      if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) {
        if (errno == EAGAIN || errno == ENOTCONN) return;
        return Finish(fd, errno);
      }
      c.connected = true;
    }
    std::array<char, 4096> buffer = {};
    while (true) {
      const ssize_t n = recv(fd, buffer.data(), buffer.size(), 0);
      if (n < 0) {
        if (errno != EAGAIN) Finish(fd, errno);
        return;
      }
      if (n == 0) return Finish(fd, 0);
      c.answer.append(buffer.data(), static_cast<size_t>(n));
    }
  }

  void Finish(int fd, int error) {
    const Connection c = std::move(connections[fd]);
    connections.erase(fd);
    const absl::Duration took = absl::Now() - c.begin;
    std::string name;
    std::string seen_as;
    if (error == 0 && !ParseAnswer(c.answer, name, seen_as)) error = EBADMSG;
    KernelAddr local;
    getsockname(fd, local.get(), &local.length);
    CloseAbruptly(fd);

    const std::lock_guard<std::mutex> lock(load.mutex_);
    LoadReport& report = load.report_;
    report.slowest = std::max(report.slowest, took);
    if (error == 0) {
      ++report.answered;
      ++report.by_name[name];
      return;
    }
    ++report.failed;
    if (report.failures.size() < 20) {
      report.failures.push_back(
          absl::StrFormat("at %s from port %d, %s, after %s: %s",
                          absl::FormatDuration(absl::Trunc(c.begin - begin, absl::Milliseconds(1))),
                          FromKernel(local).port, c.connected ? "connected" : "connecting",
                          absl::FormatDuration(absl::Trunc(took, absl::Microseconds(1))), std::strerror(error)));
    }
  }

  void Expire() {
    std::vector<int> late;
    for (const auto& [fd, c] : connections) {
      if (absl::Now() - c.begin > timeout) late.push_back(fd);
    }
    for (const int fd : late) Finish(fd, ETIMEDOUT);
  }

  void Go(double per_second) {
    std::array<epoll_event, 256> events = {};
    const absl::Duration gap = absl::Seconds(1) / per_second;
    absl::Time next = begin;
    absl::Time next_expiry = begin + absl::Milliseconds(100);
    while (true) {
      const absl::Time now = absl::Now();
      const bool stopping = load.stop_.load(std::memory_order_acquire);
      if (stopping && connections.empty()) break;
      for (; !stopping && next <= now; next += gap) Open();
      if (now >= next_expiry) {
        Expire();
        next_expiry = now + absl::Milliseconds(100);
      }
      const absl::Duration wait = stopping ? absl::Milliseconds(5) : next - absl::Now();
      const int64_t ms = std::clamp<int64_t>(absl::ToInt64Milliseconds(wait), 0, 100);
      const int n = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), static_cast<int>(ms));
      for (int i = 0; i < n; ++i) Step(events[static_cast<size_t>(i)].data.fd);
      if (n == 0 && ms == 0) absl::SleepFor(std::clamp(wait, absl::ZeroDuration(), absl::Milliseconds(1)));
      const std::lock_guard<std::mutex> lock(load.mutex_);
      load.report_.lasted = absl::Now() - begin;
    }
    close(epoll);
  }
};

Load::Load(NetNs& from, const SocketAddr& to, double per_second, absl::Duration timeout) {
  thread_ = from.Start([this, to, per_second, timeout] {
    Run run{.load = *this, .to = to, .timeout = timeout, .connections = {}};
    run.Go(per_second);
  });
}

Load::~Load() { Stop(); }

LoadReport Load::Snapshot() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return report_;
}

LoadReport Load::Stop() {
  stop_.store(true, std::memory_order_release);
  if (thread_.joinable()) thread_.join();
  return Snapshot();
}

}  // namespace pointsman::support
