// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/listen_socket.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace pointsman::serve {
namespace {

absl::Status Failed(const SocketAddr& address, const char* what, int error) {
  return absl::UnavailableError(
      absl::StrCat("listen on ", FormatSocketAddr(address), ": ", what, ": ", strerror(error)));
}

int Bind(int fd, const SocketAddr& address, bool as_ipv6) {
  if (!as_ipv6) {
    sockaddr_in sa = {};
    sa.sin_family = AF_INET;
    sa.sin_port = htons(address.port);
    if (!address.addr.IsUnspecified()) memcpy(&sa.sin_addr, address.addr.bytes().data(), sizeof sa.sin_addr);
    return bind(fd, reinterpret_cast<const sockaddr*>(&sa), sizeof sa);
  }
  sockaddr_in6 sa = {};
  sa.sin6_family = AF_INET6;
  sa.sin6_port = htons(address.port);
  if (!address.addr.IsUnspecified()) memcpy(&sa.sin6_addr, address.addr.bytes().data(), sizeof sa.sin6_addr);
  return bind(fd, reinterpret_cast<const sockaddr*>(&sa), sizeof sa);
}

}  // namespace

absl::StatusOr<int> ListenOn(const SocketAddr& address, bool any_family) {
  const bool both = any_family && address.addr.IsUnspecified();
  bool as_ipv6 = both || address.addr.family() == Family::kIpv6;
  constexpr int kType = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  int fd = socket(as_ipv6 ? AF_INET6 : AF_INET, kType, 0);
  if (fd < 0 && errno == EAFNOSUPPORT && both) {
    as_ipv6 = false;
    fd = socket(AF_INET, kType, 0);
  }
  if (fd < 0) return Failed(address, "socket", errno);
  const int on = 1;
  const int v6only = both ? 0 : 1;
  const char* failed = nullptr;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) failed = "SO_REUSEADDR";
  if (failed == nullptr && as_ipv6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only) != 0) {
    failed = "IPV6_V6ONLY";
  }
  if (failed == nullptr && Bind(fd, address, as_ipv6) != 0) failed = "bind";
  if (failed == nullptr && listen(fd, SOMAXCONN) != 0) failed = "listen";
  if (failed == nullptr) return fd;
  const absl::Status status = Failed(address, failed, errno);
  close(fd);
  return status;
}

}  // namespace pointsman::serve
