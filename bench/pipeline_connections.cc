// SPDX-License-Identifier: Apache-2.0
#include "bench/pipeline_connections.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "absl/time/clock.h"

#include "agent/loop/clock.h"
#include "tests/support/files.h"

namespace pointsman::bench {
namespace {

constexpr uint16_t kServicePort = 80;
constexpr uint16_t kPodPort = 8080;

sockaddr_in At(uint32_t address, uint16_t port) {
  sockaddr_in at = {};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(address);
  return at;
}

int Listen() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const sockaddr_in any = At(INADDR_ANY, kPodPort);
  if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof(any)) != 0 || listen(fd, 128) != 0) {
    support::FatalErrno("listen for connections");
  }
  return fd;
}

// Ends without lingering on, on either side.
void Reset(int fd) {
  const linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  close(fd);
}

bool Connect(uint32_t address) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) support::FatalErrno("socket");
  const timeval patience = {.tv_sec = 1, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  const sockaddr_in to = At(address, kServicePort);
  const bool connected = connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0;
  Reset(fd);
  return connected;
}

}  // namespace

Connections::Connections(support::NetNs& node, int services, double per_second) {
  // The node has an address of pods, or its connections would be masqueraded.
  node.Ip(
      "address add 10.200.0.1/32 dev lo\nroute add local 10.0.0.0/8 dev lo\nroute add 172.16.0.0/12 dev lo src "
      "10.200.0.1");
  thread_ = node.Start([this, services, per_second] { Work(services, absl::Seconds(1) / per_second); });
}

Connections::~Connections() { Stop(); }

Connections::Result Connections::Stop() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
  return result_;
}

void Connections::Work(int services, absl::Duration pause) {
  const int listener = Listen();
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same each time
  std::uniform_int_distribution<uint32_t> any(0, static_cast<uint32_t>(services) - 1);
  absl::Time next = SteadyNow();
  while (!stop_) {
    const absl::Time start = SteadyNow();
    if (Connect((172U << 24) + (16U << 16) + any(random))) {
      ++opened_;
      result_.slowest = std::max(result_.slowest, SteadyNow() - start);
    } else {
      ++result_.failed;
    }
    for (int fd = 0; (fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) Reset(fd);
    next = std::max(next + pause, SteadyNow());
    absl::SleepFor(next - SteadyNow());
  }
  close(listener);
  result_.opened = opened_;
}

}  // namespace pointsman::bench
