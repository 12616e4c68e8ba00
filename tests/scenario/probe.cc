// SPDX-License-Identifier: Apache-2.0
#include "tests/scenario/probe.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"

#include "tests/support/files.h"

namespace pointsman::scenario {
namespace {

using support::FatalErrno;
using support::NetNs;

constexpr uint16_t kFirstPort = 10001;
constexpr uint16_t kLastPort = 32000;

struct KernelAddr {
  sockaddr_storage storage = {};
  socklen_t length = sizeof(sockaddr_storage);

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

KernelAddr ToKernel(const IpAddr& addr, uint16_t port) {
  KernelAddr k;
  const absl::Span<const uint8_t> bytes = addr.bytes();
  if (addr.family() == Family::kIpv4) {
    sockaddr_in in = {};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, bytes.data(), bytes.size());
    std::memcpy(&k.storage, &in, k.length = sizeof(in));
  } else {
    sockaddr_in6 in = {};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(port);
    std::memcpy(&in.sin6_addr, bytes.data(), bytes.size());
    std::memcpy(&k.storage, &in, k.length = sizeof(in));
  }
  return k;
}

std::string IpOf(const KernelAddr& k) {
  const bool v4 = k.storage.ss_family == AF_INET;
  std::array<uint8_t, 16> bytes = {};
  const size_t offset = v4 ? offsetof(sockaddr_in, sin_addr) : offsetof(sockaddr_in6, sin6_addr);
  std::memcpy(bytes.data(), reinterpret_cast<const char*>(&k.storage) + offset, v4 ? 4 : 16);
  return FormatIp(IpAddr::FromBytes(absl::MakeConstSpan(bytes).first(v4 ? 4 : 16)));
}

int Domain(const IpAddr& addr) { return addr.family() == Family::kIpv4 ? AF_INET : AF_INET6; }

int Type(Wire wire) { return wire == Wire::kUdp ? SOCK_DGRAM : wire == Wire::kIcmp ? SOCK_RAW : SOCK_STREAM; }

int Number(Wire wire, Family family) {
  switch (wire) {
    case Wire::kTcp:
      return IPPROTO_TCP;
    case Wire::kUdp:
      return IPPROTO_UDP;
    case Wire::kSctp:
      return IPPROTO_SCTP;
    case Wire::kIcmp:
      return family == Family::kIpv4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6};
  }
  return 0;
}

int Open(NetNs& ns, Wire wire, const IpAddr& addr) {
  return ns.Socket(Domain(addr), Type(wire) | SOCK_NONBLOCK, Number(wire, addr.family()));
}

void Watch(int epoll, int fd) {
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) FatalErrno("epoll_ctl");
}

int SocketError(int fd) {
  int error = 0;
  socklen_t length = sizeof(error);
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  return error;
}

// With a reset: no TIME_WAIT is left that could get in the way of a later connection from the same port.
void CloseAbruptly(int fd) {
  const linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  close(fd);
}

std::string QuestionFor(Wire wire, Family family) {
  if (wire != Wire::kIcmp) return "who?\n";
  // An echo request; the kernel fills in the checksum of ICMPv6 only.
  std::string echo(8, '\0');
  echo[0] = static_cast<char>(family == Family::kIpv4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST);
  const auto type = static_cast<uint8_t>(echo[0]);
  echo[2] = static_cast<char>(0xff - type);
  echo[3] = static_cast<char>(0xff);
  return echo;
}

void Explain(int error, Answer& answer) {
  answer.error = error;
  switch (error) {
    case 0:
      answer.kind = Answer::Kind::kAnswered;
      break;
    case ECONNREFUSED:
      answer.kind = Answer::Kind::kRefused;
      break;
    case ETIMEDOUT:
      answer.kind = Answer::Kind::kSilence;
      break;
    case EPERM:
      answer.kind = Answer::Kind::kForbidden;
      break;
    default:
      answer.kind = Answer::Kind::kOther;
  }
}

// Takes "NAME PEER\n" apart.
void Understand(absl::string_view line, Answer& answer) {
  const size_t blank = line.find(' ');
  if (blank == absl::string_view::npos || line.back() != '\n') return Explain(EBADMSG, answer);
  answer.name = std::string(line.substr(0, blank));
  answer.seen_as = std::string(line.substr(blank + 1, line.size() - blank - 2));
  Explain(0, answer);
}

// A port that nobody in `ns` asked from before: conntrack remembers old questions, and a new one from the same port
// would go where the old one went. Below the ports that the kernel gives, which are those of Persistent.
uint16_t FreshPort(const NetNs& ns, Wire wire) {
  static auto& next = *new std::map<std::pair<const NetNs*, Wire>, uint16_t>;
  uint16_t& port = next[{&ns, wire}];
  port = port < kFirstPort || port == kLastPort ? kFirstPort : static_cast<uint16_t>(port + 1);
  return port;
}

// One question on its way.
class Asker {
 public:
  explicit Asker(const Probe& probe) : probe_(probe), fd_(Open(*probe.from, probe.wire, probe.to.addr)) {
    Bind();
    KernelAddr to = ToKernel(probe.to.addr, probe.wire == Wire::kIcmp ? 0 : probe.to.port);
    if (connect(fd_, to.get(), to.length) != 0 && errno != EINPROGRESS) Finish(errno);
  }
  ~Asker() {
    if (probe_.wire == Wire::kTcp) {
      CloseAbruptly(fd_);
    } else {
      close(fd_);
    }
  }
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;

  pollfd Wants() const { return {.fd = fd_, .events = static_cast<short>(asked_ ? POLLIN : POLLOUT), .revents = 0}; }
  bool done() const { return done_; }
  const Answer& answer() const { return answer_; }
  absl::Time deadline() const { return begin_ + probe_.patience; }

  // After poll said there is something, or time passed.
  void Step(short events) {
    if (done_) return;
    if (events == 0) {
      if (absl::Now() > deadline()) Finish(ETIMEDOUT);
      return;
    }
    if (const int error = SocketError(fd_); error != 0) return Finish(error);
    if (!asked_) {
      const std::string question = QuestionFor(probe_.wire, probe_.to.addr.family());
      if (send(fd_, question.data(), question.size(), MSG_NOSIGNAL) < 0) return Finish(errno);
      asked_ = true;
      return;
    }
    std::array<char, 256> buffer = {};
    const ssize_t n = recv(fd_, buffer.data(), buffer.size(), 0);
    if (n < 0) return errno == EAGAIN ? void() : Finish(errno);
    if (n == 0) return Finish(EPIPE);
    if (probe_.wire == Wire::kIcmp) return Echoed(absl::string_view(buffer.data(), static_cast<size_t>(n)));
    text_.append(buffer.data(), static_cast<size_t>(n));
    if (text_.back() != '\n') return;
    Finish(0);
    Understand(text_, answer_);
  }

 private:
  void Bind() {
    static const IpAddr kAny4 = *IpAddr::Parse("0.0.0.0");
    static const IpAddr kAny6 = *IpAddr::Parse("::");
    const IpAddr addr = probe_.source ? *probe_.source : probe_.to.addr.family() == Family::kIpv4 ? kAny4 : kAny6;
    while (true) {
      KernelAddr source = ToKernel(addr, probe_.wire == Wire::kIcmp ? 0 : FreshPort(*probe_.from, probe_.wire));
      if (bind(fd_, source.get(), source.length) == 0) return;
      if (errno != EADDRINUSE) FatalErrno("bind to " + FormatIp(addr));
    }
  }
  // A raw socket hears more than the answer to its question.
  void Echoed(absl::string_view packet) {
    const bool v4 = probe_.to.addr.family() == Family::kIpv4;
    if (v4) packet.remove_prefix(std::min<size_t>(packet.size(), static_cast<size_t>(packet[0] & 0xf) * 4));
    if (packet.empty() || static_cast<uint8_t>(packet[0]) != (v4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY)) return;
    Finish(0);
    answer_.name = "echo";
  }
  void Finish(int error) {
    done_ = true;
    answer_.took = absl::Now() - begin_;
    Explain(error, answer_);
  }

  const Probe& probe_;
  const int fd_;
  const absl::Time begin_ = absl::Now();
  bool asked_ = false;
  bool done_ = false;
  std::string text_;
  Answer answer_;
};

}  // namespace

bool HaveSctp() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_SCTP);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

std::string Answer::Text() const {
  const std::string after = absl::StrCat(" after ", absl::FormatDuration(absl::Trunc(took, absl::Microseconds(100))));
  switch (kind) {
    case Kind::kAnswered:
      return absl::StrCat(name, " who saw ", seen_as, after);
    case Kind::kRefused:
      return "refused" + after;
    case Kind::kSilence:
      return "silence for " + absl::FormatDuration(absl::Trunc(took, absl::Milliseconds(1)));
    case Kind::kForbidden:
      return "EPERM" + after;
    case Kind::kOther:
      return absl::StrCat(std::strerror(error), after);
  }
  return "?";
}

// --- Servers ---

Servers::Servers() : epoll_(epoll_create1(EPOLL_CLOEXEC)), stop_(eventfd(0, EFD_CLOEXEC)) {
  if (epoll_ < 0 || stop_ < 0) FatalErrno("epoll_create1 or eventfd");
  Watch(epoll_, stop_);
  thread_ = std::thread([this] { Serve(); });
}

Servers::~Servers() {
  const uint64_t one = 1;
  if (write(stop_, &one, sizeof(one)) != sizeof(one)) FatalErrno("write to an eventfd");
  thread_.join();
  for (const auto& [fd, socket] : sockets_) close(fd);
  close(epoll_);
  close(stop_);
}

void Servers::Listen(NetNs& ns, const std::string& name, Wire wire, const SocketAddr& at) {
  if (!taken_.insert({&ns, wire, at}).second) return;
  const int fd = Open(ns, wire, at.addr);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  KernelAddr addr = ToKernel(at.addr, at.port);
  if (bind(fd, addr.get(), addr.length) != 0 || (wire != Wire::kUdp && listen(fd, 1024) != 0)) {
    FatalErrno(absl::StrCat(name, ": listen on ", FormatSocketAddr(at), "/", FormatWire(wire)));
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    sockets_[fd] = {.name = name, .listening = wire != Wire::kUdp, .datagrams = wire == Wire::kUdp};
  }
  Watch(epoll_, fd);
}

void Servers::Serve() {
  std::array<epoll_event, 64> events = {};
  while (true) {
    const int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < n; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == stop_) return;
      Socket socket;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        socket = sockets_[fd];
      }
      if (!socket.listening) {
        Answer(fd, socket);
        continue;
      }
      const int connection = accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (connection < 0) continue;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        sockets_[connection] = {.name = socket.name};
      }
      Watch(epoll_, connection);
    }
  }
}

void Servers::Answer(int fd, const Socket& socket) {
  std::array<char, 256> question = {};
  KernelAddr peer;
  const ssize_t n = recvfrom(fd, question.data(), question.size(), 0, peer.get(), &peer.length);
  if (n < 0 && (errno == EAGAIN || socket.datagrams)) return;
  if (n <= 0) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      sockets_.erase(fd);
    }
    close(fd);
    return;
  }
  if (!socket.datagrams) {
    peer = KernelAddr();
    if (getpeername(fd, peer.get(), &peer.length) != 0) return;
  }
  const std::string answer = absl::StrCat(socket.name, " ", IpOf(peer), "\n");
  // A question may come in two pieces only if it is longer than these are.
  if (socket.datagrams) {
    sendto(fd, answer.data(), answer.size(), MSG_NOSIGNAL, peer.get(), peer.length);
  } else {
    send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
  }
}

// --- clients ---

std::vector<Answer> AskAll(const std::vector<Probe>& probes, size_t at_once) {
  std::vector<Answer> answers(probes.size());
  std::map<size_t, Asker> under_way;  // by index
  size_t next = 0;
  while (next < probes.size() || !under_way.empty()) {
    for (; next < probes.size() && under_way.size() < at_once; ++next) {
      under_way.try_emplace(next, probes[next]);
    }
    std::vector<pollfd> polled;
    absl::Time first = absl::InfiniteFuture();
    for (const auto& [index, asker] : under_way) {
      polled.push_back(asker.Wants());
      if (asker.done()) first = absl::InfinitePast();
      first = std::min(first, asker.deadline());
    }
    const absl::Duration wait = std::clamp(first - absl::Now(), absl::ZeroDuration(), absl::Seconds(1));
    const int n = poll(polled.data(), polled.size(),
                       static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(wait, absl::Milliseconds(1)))));
    if (n < 0 && errno != EINTR) FatalErrno("poll");
    size_t i = 0;
    for (auto asker = under_way.begin(); asker != under_way.end(); ++i) {
      asker->second.Step(polled[i].revents);
      if (asker->second.done()) {
        answers[asker->first] = asker->second.answer();
        asker = under_way.erase(asker);
      } else {
        ++asker;
      }
    }
  }
  return answers;
}

namespace {

int PollFor(int fd, short events, absl::Time deadline) {
  pollfd p = {.fd = fd, .events = events, .revents = 0};
  const absl::Duration left = std::max(deadline - absl::Now(), absl::ZeroDuration());
  const int n = poll(&p, 1, static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1)))));
  return n == 0 ? ETIMEDOUT : n < 0 ? errno : SocketError(fd);
}

}  // namespace

Persistent::Persistent(const Probe& probe) : fd_(Open(*probe.from, probe.wire, probe.to.addr)) {
  if (probe.source) {
    KernelAddr source = ToKernel(*probe.source, 0);
    if (bind(fd_, source.get(), source.length) != 0) FatalErrno("bind to " + FormatIp(*probe.source));
  }
  KernelAddr to = ToKernel(probe.to.addr, probe.to.port);
  if (connect(fd_, to.get(), to.length) != 0) {
    error_ = errno == EINPROGRESS ? PollFor(fd_, POLLOUT, absl::Now() + probe.patience) : errno;
  }
}

Persistent::~Persistent() { CloseAbruptly(fd_); }

Answer Persistent::Ask(absl::Duration patience) {
  const absl::Time begin = absl::Now();
  scenario::Answer answer;
  const auto talk = [&] {
    if (error_ != 0) return error_;
    SocketError(fd_);  // of an earlier question
    const std::string question = QuestionFor(Wire::kUdp, Family::kIpv4);
    if (send(fd_, question.data(), question.size(), MSG_NOSIGNAL) < 0) return errno;
    if (const int error = PollFor(fd_, POLLIN, begin + patience); error != 0) return error;
    std::array<char, 256> buffer = {};
    const ssize_t n = recv(fd_, buffer.data(), buffer.size(), 0);
    if (n <= 0) return n == 0 ? EPIPE : errno;
    Understand(absl::string_view(buffer.data(), static_cast<size_t>(n)), answer);
    return answer.error;
  };
  Explain(talk(), answer);
  answer.took = absl::Now() - begin;
  return answer;
}

int HttpStatus(NetNs& from, const SocketAddr& to, absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  const int fd = Open(from, Wire::kTcp, to.addr);
  std::string text;
  const auto talk = [&] {
    KernelAddr addr = ToKernel(to.addr, to.port);
    if (connect(fd, addr.get(), addr.length) != 0 && errno != EINPROGRESS) return;
    if (PollFor(fd, POLLOUT, deadline) != 0) return;
    const std::string request = absl::StrCat("GET / HTTP/1.1\r\nHost: ", FormatSocketAddr(to), "\r\n\r\n");
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) return;
    while (text.size() < 12) {
      if (PollFor(fd, POLLIN, deadline) != 0) return;
      std::array<char, 1024> buffer = {};
      const ssize_t n = recv(fd, buffer.data(), buffer.size(), 0);
      if (n <= 0) return;
      text.append(buffer.data(), static_cast<size_t>(n));
    }
  };
  talk();
  CloseAbruptly(fd);
  int status = -1;
  if (text.size() < 12 || !absl::SimpleAtoi(text.substr(9, 3), &status)) return -1;
  return status;
}

}  // namespace pointsman::scenario
