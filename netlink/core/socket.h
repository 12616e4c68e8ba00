// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "netlink/core/transport.h"

struct mnl_socket;

namespace pointsman::nl {

// An NETLINK_NETFILTER socket in the network namespace of the thread that opened it.
//
// Answers to failed requests are short (NETLINK_CAP_ACK) and say why (NETLINK_EXT_ACK). A datagram of any size can be
// sent with CAP_NET_ADMIN in the initial user namespace; without it net.core.wmem_max is the limit.
class Socket final : public Transport {
 public:
  // Errors: kUnavailable or kFailedPrecondition when the kernel has no such bus.
  static absl::StatusOr<std::unique_ptr<Socket>> Open();
  ~Socket() override;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  absl::Status Send(ByteSpan datagram) override;
  absl::StatusOr<ByteSpan> Receive() override;
  // Errors: kInternal when the calling thread has moved to another network namespace since.
  absl::StatusOr<std::unique_ptr<Transport>> Reopen() override;

 private:
  explicit Socket(mnl_socket* socket);

  int fd() const;
  uint64_t NamespaceCookie() const;  // zero if the kernel does not tell
  int SendBuffer() const;
  void GrowSendBuffer(size_t datagram);

  mnl_socket* const socket_;
  std::vector<uint8_t> buffer_;
  int send_buffer_;  // as last asked for
};

}  // namespace pointsman::nl
