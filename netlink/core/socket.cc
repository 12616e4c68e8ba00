// SPDX-License-Identifier: Apache-2.0
#include "netlink/core/socket.h"

#include <algorithm>
#include <cerrno>
#include <climits>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"

#include "netlink/core/error.h"
#include "netlink/core/uapi.h"
#include "pointsman/status.h"

namespace pointsman::nl {
namespace {

// A dump comes in pieces of at most 32 KiB, an error is far smaller.
constexpr size_t kReceiveSize = 65536;

// Room for the errors of a batch of which nearly everything fails; each takes the kernel's bookkeeping besides its
// bytes.
constexpr int kReceiveBuffer = 4 * 1024 * 1024;

// What netlink_sendmsg() keeps of the send buffer for itself.
constexpr size_t kSendOverhead = 32;

#ifdef SO_NETNS_COOKIE
constexpr int kNetnsCookie = SO_NETNS_COOKIE;
#else
constexpr int kNetnsCookie = 71;
#endif

}  // namespace

absl::StatusOr<std::unique_ptr<Socket>> Socket::Open() {
  mnl_socket* raw = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
  if (raw == nullptr) return ErrnoStatus(errno, "open a netfilter netlink socket");
  auto socket = absl::WrapUnique(new Socket(raw));
  if (mnl_socket_bind(raw, 0, MNL_SOCKET_AUTOPID) < 0) return ErrnoStatus(errno, "bind a netlink socket");
  int on = 1;
  if (mnl_socket_setsockopt(raw, NETLINK_CAP_ACK, &on, sizeof(on)) < 0 ||
      mnl_socket_setsockopt(raw, NETLINK_EXT_ACK, &on, sizeof(on)) < 0) {
    return ErrnoStatus(errno, "ask netlink for extended acknowledgements");
  }
  if (setsockopt(socket->fd(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof(kReceiveBuffer)) < 0) {
    // As far as net.core.rmem_max goes; a smaller one costs at most the later errors of a failing batch.
    setsockopt(socket->fd(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof(kReceiveBuffer));
  }
  return socket;
}

Socket::Socket(mnl_socket* socket) : socket_(socket), buffer_(kReceiveSize), send_buffer_(SendBuffer()) {}

Socket::~Socket() { mnl_socket_close(socket_); }

int Socket::fd() const { return mnl_socket_get_fd(socket_); }

uint64_t Socket::NamespaceCookie() const {
  uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  if (getsockopt(fd(), SOL_SOCKET, kNetnsCookie, &cookie, &size) < 0) return 0;
  return cookie;
}

absl::StatusOr<std::unique_ptr<Transport>> Socket::Reopen() {
  PM_ASSIGN_OR_RETURN(std::unique_ptr<Socket> socket, Open());
  if (socket->NamespaceCookie() != NamespaceCookie()) {
    return absl::InternalError("the calling thread is not in the network namespace the netlink socket was opened in");
  }
  return absl::StatusOr<std::unique_ptr<Transport>>(std::move(socket));
}

int Socket::SendBuffer() const {
  int size = 0;
  socklen_t length = sizeof(size);
  getsockopt(fd(), SOL_SOCKET, SO_SNDBUF, &size, &length);
  return size;
}

void Socket::GrowSendBuffer(size_t datagram) {
  if (datagram + kSendOverhead <= static_cast<size_t>(send_buffer_)) return;
  const int wanted = static_cast<int>(std::min<size_t>(datagram + kSendOverhead, INT_MAX / 2));
  if (setsockopt(fd(), SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof(wanted)) < 0) {
    setsockopt(fd(), SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted));
  }
  send_buffer_ = SendBuffer();
}

absl::Status Socket::Send(ByteSpan datagram) {
  GrowSendBuffer(datagram.size());
  ssize_t sent = -1;
  do {
    sent = mnl_socket_sendto(socket_, datagram.data(), datagram.size());
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return absl::OkStatus();
  if (errno == EMSGSIZE) {
    return absl::FailedPreconditionError(
        absl::StrCat("send ", datagram.size(), " bytes to netlink: they do not fit the send buffer of ", SendBuffer(),
                     " bytes, and enlarging it further needs CAP_NET_ADMIN in the initial user namespace"
                     " or a larger net.core.wmem_max"));
  }
  return ErrnoStatus(errno, absl::StrCat("send ", datagram.size(), " bytes to netlink"));
}

absl::StatusOr<ByteSpan> Socket::Receive() {
  while (true) {
    sockaddr_nl from = {};
    iovec chunk = {.iov_base = buffer_.data(), .iov_len = buffer_.size()};
    msghdr message = {};
    message.msg_name = &from;
    message.msg_namelen = sizeof(from);
    message.msg_iov = &chunk;
    message.msg_iovlen = 1;
    const ssize_t size = recvmsg(fd(), &message, MSG_DONTWAIT);
    if (size < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return ByteSpan();
      return ErrnoStatus(errno, "receive from netlink");
    }
    if (from.nl_pid != 0) continue;  // not the kernel
    if ((message.msg_flags & MSG_TRUNC) != 0) return absl::DataLossError("receive from netlink: datagram truncated");
    return ByteSpan(buffer_.data(), static_cast<size_t>(size));
  }
}

}  // namespace pointsman::nl
