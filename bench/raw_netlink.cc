// SPDX-License-Identifier: Apache-2.0
#include "bench/raw_netlink.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

#include "agent/loop/clock.h"
#include "netlink/core/uapi.h"
#include "pointsman/status.h"
#include "tests/support/files.h"

namespace pointsman::bench {
namespace {

constexpr int kSendBuffer = 256 << 20;  // no batch is larger
constexpr size_t kReceiveBuffer = 65536;
constexpr size_t kGuard = sizeof(nlmsghdr) + sizeof(nfgenmsg) + sizeof(nlattr);  // where NFNL_BATCH_GENID's value is

}  // namespace

std::vector<uint8_t> WithoutGuard(std::vector<uint8_t> batch) {
  const auto* begin = reinterpret_cast<const nlmsghdr*>(batch.data());
  PM_CHECK(batch.size() > sizeof(*begin) && begin->nlmsg_type == NFNL_MSG_BATCH_BEGIN);
  // Generation zero is no generation to the kernel.
  if (begin->nlmsg_len >= kGuard + sizeof(uint32_t)) std::memset(batch.data() + kGuard, 0, sizeof(uint32_t));
  return batch;
}

RawNetlink::RawNetlink() : socket_(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC)), buffer_(kReceiveBuffer) {
  if (socket_ == nullptr || mnl_socket_bind(socket_, 0, MNL_SOCKET_AUTOPID) < 0) support::FatalErrno("libmnl");
  if (setsockopt(mnl_socket_get_fd(socket_), SOL_SOCKET, SO_SNDBUFFORCE, &kSendBuffer, sizeof(kSendBuffer)) < 0) {
    support::FatalErrno("SO_SNDBUFFORCE");
  }
}

RawNetlink::~RawNetlink() { mnl_socket_close(socket_); }

absl::Duration RawNetlink::Send(const std::vector<uint8_t>& batch) {
  const absl::Time start = SteadyNow();
  if (mnl_socket_sendto(socket_, batch.data(), batch.size()) < 0) support::FatalErrno("send a recorded batch");
  const ssize_t size = mnl_socket_recvfrom(socket_, buffer_.data(), buffer_.size());
  const absl::Duration took = SteadyNow() - start;
  const auto* answer = reinterpret_cast<const nlmsghdr*>(buffer_.data());
  if (size < static_cast<ssize_t>(sizeof(nlmsghdr) + sizeof(nlmsgerr)) || answer->nlmsg_type != NLMSG_ERROR) {
    support::Fatal("no acknowledgement of a recorded batch");
  }
  const int error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(answer))->error;
  if (error != 0) support::Fatal(absl::StrCat("a recorded batch was refused: ", std::strerror(-error)));
  return took;
}

}  // namespace pointsman::bench
