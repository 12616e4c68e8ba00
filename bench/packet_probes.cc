// SPDX-License-Identifier: Apache-2.0
#include "bench/packet_probes.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

#include "pointsman/status.h"
#include "tests/support/files.h"

namespace pointsman::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint16_t kEndpointPort = 8080;
constexpr auto kPatience = std::chrono::seconds(2);

double Nanoseconds(Clock::duration time) { return std::chrono::duration<double, std::nano>(time).count(); }

// A descriptor closed at the end of its scope.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {
    if (fd < 0) support::FatalErrno("socket");
  }
  ~Fd() { close(fd_); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  operator int() const { return fd_; }  // NOLINT(google-explicit-constructor)

 private:
  const int fd_;
};

// Other work on the machine shall wait for us. Without the right to it, figures are noisier.
void GoFirst() { setpriority(PRIO_PROCESS, 0, -20); }

uint32_t Bits(const IpAddr& addr) {
  uint32_t bits = 0;
  PM_CHECK(addr.family() == Family::kIpv4);
  std::memcpy(&bits, addr.bytes().data(), sizeof bits);
  return bits;
}

sockaddr_in SockAddr(const SocketAddr& at) {
  sockaddr_in out = {};
  out.sin_family = AF_INET;
  out.sin_port = htons(at.port);
  out.sin_addr.s_addr = Bits(at.addr);
  return out;
}

struct Syn {
  iphdr ip;
  tcphdr tcp;
};
static_assert(sizeof(Syn) == 40);

uint32_t Sum(const void* data, size_t length) {
  uint32_t sum = 0;
  for (size_t i = 0; i < length; i += 2) {
    uint16_t word = 0;
    std::memcpy(&word, static_cast<const char*>(data) + i, sizeof word);
    sum += word;
  }
  return sum;
}

// The kernel fills in the checksum of the IP header, not that of TCP: RFC 9293, section 3.1.
uint16_t TcpChecksum(const Syn& syn) {
  const std::array<uint16_t, 2> pseudo = {htons(IPPROTO_TCP), htons(sizeof syn.tcp)};
  uint32_t sum = Sum(&syn.ip.saddr, sizeof syn.ip.saddr + sizeof syn.ip.daddr) + Sum(pseudo.data(), sizeof pseudo) +
                 Sum(&syn.tcp, sizeof syn.tcp);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

Syn MakeSyn(const IpAddr& from, uint16_t source_port, const SocketAddr& to, uint8_t tos) {
  Syn syn = {};
  syn.ip.version = 4;
  syn.ip.ihl = 5;
  syn.ip.tos = tos;
  syn.ip.tot_len = htons(sizeof syn);
  // As TCP does. With an identifier of zero the kernel would choose one, by the address, from a table of its own.
  syn.ip.id = htons(1);
  syn.ip.frag_off = htons(IP_DF);
  syn.ip.ttl = 64;
  syn.ip.protocol = IPPROTO_TCP;
  syn.ip.saddr = Bits(from);
  syn.ip.daddr = Bits(to.addr);
  syn.tcp.source = htons(source_port);
  syn.tcp.dest = htons(to.port);
  syn.tcp.seq = htonl(1);
  syn.tcp.doff = 5;
  syn.tcp.syn = 1;
  syn.tcp.window = htons(64240);
  syn.tcp.check = TcpChecksum(syn);
  return syn;
}

// Ports in turn, over all calls: the next connection from one is tens of thousands of connections away.
uint16_t NextPort() {
  static uint16_t port = 1024;
  port = port == 65535 ? 1024 : static_cast<uint16_t>(port + 1);
  return port;
}

// Waits for the reset that answers to `port`.
bool Refused(int receiver, uint16_t port) {
  Syn reply = {};
  const auto deadline = Clock::now() + kPatience;
  while (true) {
    const ssize_t length = recv(receiver, &reply, sizeof reply, MSG_DONTWAIT);
    if (length == static_cast<ssize_t>(sizeof reply) && ntohs(reply.tcp.dest) == port && reply.tcp.rst != 0) {
      return true;
    }
    if (length < 0 && Clock::now() > deadline) return false;
  }
}

// A connection, by both its ends. Closed with a reset, from the client's.
struct Connection {
  Connection(int listener, const SocketAddr& target) : client(std::in_place, socket(AF_INET, kStream, 0)) {
    const sockaddr_in to = SockAddr(target);
    if (connect(*client, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
      support::FatalErrno(absl::StrCat("connect to ", FormatSocketAddr(target)));
    }
    server.emplace(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    const linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(*client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
  ~Connection() {
    client.reset();
    server.reset();
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  static constexpr int kStream = SOCK_STREAM | SOCK_CLOEXEC;
  std::optional<Fd> client;
  std::optional<Fd> server;
};

int Listen(PacketRoad& road) {
  const int fd = road.server().Socket(AF_INET, SOCK_STREAM);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in any = SockAddr({IpAddr(), kEndpointPort});
  if (bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any) != 0) support::FatalErrno("bind");
  if (listen(fd, 128) != 0) support::FatalErrno("listen");
  return fd;
}

}  // namespace

std::vector<double> RoundTrips(PacketRoad& road, const IpAddr& from, absl::Span<const SocketAddr> targets) {
  std::vector<double> took;
  took.reserve(targets.size());
  road.client().Run([&] {
    GoFirst();
    const Fd sender(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
    const Fd receiver(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP));
    for (const SocketAddr& target : targets) {
      const uint16_t port = NextPort();
      const Syn syn = MakeSyn(from, port, target, 0);
      const sockaddr_in to = SockAddr(target);
      const auto start = Clock::now();
      const ssize_t sent = sendto(sender, &syn, sizeof syn, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
      if (sent != static_cast<ssize_t>(sizeof syn)) support::FatalErrno("send a SYN");
      if (!Refused(receiver, port)) support::Fatal(absl::StrCat("no answer from ", FormatSocketAddr(target)));
      took.push_back(Nanoseconds(Clock::now() - start) / 1000);
    }
  });
  return took;
}

std::vector<double> OneWay(PacketRoad& road, const IpAddr& from, absl::Span<const SocketAddr> targets) {
  std::vector<double> took;
  road.client().Run([&] {
    GoFirst();
    const Fd sender(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
    std::array<Syn, kBurst> syns;
    std::array<sockaddr_in, kBurst> to;
    std::array<iovec, kBurst> parts;
    std::array<mmsghdr, kBurst> messages = {};
    for (; targets.size() >= kBurst; targets.remove_prefix(kBurst)) {
      for (size_t i = 0; i < kBurst; ++i) {
        syns[i] = MakeSyn(from, NextPort(), targets[i], PacketRoad::kOneWay);
        to[i] = SockAddr(targets[i]);
        parts[i] = {.iov_base = &syns[i], .iov_len = sizeof syns[i]};
        messages[i].msg_hdr = {};
        messages[i].msg_hdr.msg_name = &to[i];
        messages[i].msg_hdr.msg_namelen = sizeof to[i];
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
      }
      const auto start = Clock::now();
      if (sendmmsg(sender, messages.data(), kBurst, 0) != static_cast<int>(kBurst)) support::FatalErrno("send SYNs");
      took.push_back(Nanoseconds(Clock::now() - start) / kBurst);
    }
  });
  return took;
}

std::vector<double> Connections(PacketRoad& road, absl::Span<const SocketAddr> targets) {
  std::vector<double> took;
  took.reserve(targets.size());
  const Fd listener(Listen(road));
  road.client().Run([&] {
    GoFirst();
    for (const SocketAddr& target : targets) {
      const auto start = Clock::now();
      { const Connection connection(listener, target); }
      took.push_back(Nanoseconds(Clock::now() - start) / 1000);
    }
  });
  return took;
}

std::vector<double> Exchanges(PacketRoad& road, const SocketAddr& target, int count) {
  std::vector<double> took;
  const Fd listener(Listen(road));
  road.client().Run([&] {
    GoFirst();
    const Connection connection(listener, target);
    const auto pass = [](int from, int to) {
      char byte = 0;
      if (send(from, &byte, 1, MSG_NOSIGNAL) != 1 || recv(to, &byte, 1, 0) != 1) support::FatalErrno("one byte");
    };
    for (int i = 0; i < count; ++i) {
      const auto start = Clock::now();
      pass(*connection.client, *connection.server);
      pass(*connection.server, *connection.client);
      took.push_back(Nanoseconds(Clock::now() - start) / 1000);
    }
  });
  return took;
}

double Throughput(PacketRoad& road, const SocketAddr& target, absl::Duration lasting) {
  double rate = 0;
  const Fd listener(Listen(road));
  road.client().Run([&] {
    GoFirst();
    const Connection connection(listener, target);
    std::vector<char> data(size_t{256} << 10);
    int64_t bytes = 0;
    const auto start = Clock::now();
    const auto end = start + std::chrono::nanoseconds(absl::ToInt64Nanoseconds(lasting));
    while (Clock::now() < end) {
      send(*connection.client, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      for (ssize_t length = 1; length > 0; bytes += std::max<ssize_t>(length, 0)) {
        length = recv(*connection.server, data.data(), data.size(), MSG_DONTWAIT);
      }
    }
    rate = static_cast<double>(bytes) * 8 / Nanoseconds(Clock::now() - start);
  });
  return rate;
}

}  // namespace pointsman::bench
