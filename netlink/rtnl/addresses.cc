// SPDX-License-Identifier: Apache-2.0
#include "netlink/rtnl/addresses.h"

#include <netlink/addr.h>
#include <netlink/cache.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/socket.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

#include "netlink/core/uapi.h"
#include "pointsman/netlink.h"
#include "pointsman/status.h"

namespace pointsman {
namespace nl {

bool UsableAddress(uint32_t flags) {
  if ((flags & IFA_F_DADFAILED) != 0) return false;
  // An optimistic address is tentative too, but may be used while duplicate detection is still running (RFC 4429).
  return (flags & IFA_F_TENTATIVE) == 0 || (flags & IFA_F_OPTIMISTIC) != 0;
}

}  // namespace nl

namespace {

struct FreeSocket {
  void operator()(nl_sock* socket) const { nl_socket_free(socket); }
};
struct FreeCache {
  void operator()(nl_cache* cache) const { nl_cache_free(cache); }
};
using SocketPtr = std::unique_ptr<nl_sock, FreeSocket>;
using CachePtr = std::unique_ptr<nl_cache, FreeCache>;

absl::Status Error(int code, absl::string_view attempted) {
  const std::string text = absl::StrCat(attempted, ": ", nl_geterror(code));
  return code == -NLE_PERM ? absl::PermissionDeniedError(text) : absl::UnavailableError(text);
}

absl::StatusOr<SocketPtr> Connect() {
  SocketPtr socket(nl_socket_alloc());
  if (socket == nullptr) return absl::UnavailableError("out of memory for an rtnetlink socket");
  if (const int code = nl_connect(socket.get(), NETLINK_ROUTE); code < 0)
    return Error(code, "open an rtnetlink socket");
  return absl::StatusOr<SocketPtr>(std::move(socket));
}

// Dumps the addresses; libnl starts over when the dump was interrupted.
absl::StatusOr<std::vector<IpAddr>> List(nl_sock* socket) {
  nl_cache* raw = nullptr;
  if (const int code = rtnl_addr_alloc_cache(socket, &raw); code < 0) return Error(code, "list the node's addresses");
  const CachePtr cache(raw);
  std::vector<IpAddr> addresses;
  for (nl_object* object = nl_cache_get_first(raw); object != nullptr; object = nl_cache_get_next(object)) {
    auto* entry = reinterpret_cast<rtnl_addr*>(object);
    // The local one: on a point-to-point link IFA_ADDRESS is the peer's.
    const nl_addr* local = rtnl_addr_get_local(entry);
    if (local == nullptr || !nl::UsableAddress(rtnl_addr_get_flags(entry))) continue;
    const unsigned length = nl_addr_get_len(local);
    if (length != 4 && length != 16) continue;
    addresses.push_back(
        IpAddr::FromBytes(absl::MakeConstSpan(static_cast<const uint8_t*>(nl_addr_get_binary_addr(local)), length)));
  }
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  return addresses;
}

// Events only say that something changed; what there is, a dump says. So a lost event costs nothing but the dump.
class Monitor final : public AddressMonitor {
 public:
  Monitor(SocketPtr events, SocketPtr dumps) : events_(std::move(events)), dumps_(std::move(dumps)) {}

  absl::Status Start() {
    nl_socket_disable_seq_check(events_.get());
    nl_socket_modify_cb(events_.get(), NL_CB_MSG_IN, NL_CB_CUSTOM, &Monitor::OnMessage, this);
    if (const int code = nl_socket_add_memberships(events_.get(), RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, 0);
        code < 0) {
      return Error(code, "watch the node's addresses");
    }
    if (const int code = nl_socket_set_nonblocking(events_.get()); code < 0)
      return Error(code, "watch the node's addresses");
    PM_ASSIGN_OR_RETURN(addresses_, List(dumps_.get()));
    return absl::OkStatus();
  }

  int fd() const override { return nl_socket_get_fd(events_.get()); }

  absl::StatusOr<bool> Update() override {
    while (true) {
      const int code = nl_recvmsgs_default(events_.get());
      if (code == -NLE_AGAIN) break;
      if (code >= 0) continue;
      stale_ = true;
      if (code != -NLE_NOMEM) return Error(code, "watch the node's addresses");  // NOMEM: ENOBUFS, events were lost
    }
    if (!stale_) return false;
    PM_ASSIGN_OR_RETURN(std::vector<IpAddr> now, List(dumps_.get()));
    stale_ = false;
    return std::exchange(addresses_, std::move(now)) != addresses_;
  }

  std::vector<IpAddr> addresses() const override { return addresses_; }

 private:
  static int OnMessage(nl_msg*, void* self) {
    static_cast<Monitor*>(self)->stale_ = true;
    return NL_SKIP;
  }

  const SocketPtr events_;
  const SocketPtr dumps_;
  std::vector<IpAddr> addresses_;
  bool stale_ = false;  // survives a failed dump
};

}  // namespace

absl::StatusOr<std::unique_ptr<AddressMonitor>> WatchAddresses() {
  PM_ASSIGN_OR_RETURN(SocketPtr events, Connect());
  PM_ASSIGN_OR_RETURN(SocketPtr dumps, Connect());
  auto monitor = std::make_unique<Monitor>(std::move(events), std::move(dumps));
  PM_RETURN_IF_ERROR(monitor->Start());
  return absl::StatusOr<std::unique_ptr<AddressMonitor>>(std::move(monitor));
}

absl::StatusOr<std::vector<IpAddr>> ReadAddresses() {
  PM_ASSIGN_OR_RETURN(const SocketPtr socket, Connect());
  return List(socket.get());
}

}  // namespace pointsman
