// SPDX-License-Identifier: Apache-2.0
#include "netlink/leftovers/device.h"

#include <netlink/addr.h>
#include <netlink/cache.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/socket.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"

#include "netlink/core/uapi.h"
#include "netlink/leftovers/names.h"
#include "pointsman/status.h"

namespace pointsman::nl {
namespace {

struct Free {
  void operator()(nl_sock* socket) const { nl_socket_free(socket); }
  void operator()(nl_cache* cache) const { nl_cache_free(cache); }
  void operator()(rtnl_link* link) const { rtnl_link_put(link); }
};
using SocketPtr = std::unique_ptr<nl_sock, Free>;
using CachePtr = std::unique_ptr<nl_cache, Free>;
using LinkPtr = std::unique_ptr<rtnl_link, Free>;

// libnl has numbers of its own, in place of errno.
absl::Status Error(int code, const char* attempted) {
  const std::string text = absl::StrCat(attempted, ": ", nl_geterror(code));
  if (code == -NLE_PERM) return absl::PermissionDeniedError(text);
  if (code == -NLE_OPNOTSUPP) return absl::FailedPreconditionError(text);
  return absl::UnavailableError(text);
}

absl::StatusOr<SocketPtr> Connect() {
  SocketPtr socket(nl_socket_alloc());
  if (socket == nullptr) return absl::UnavailableError("out of memory for an rtnetlink socket");
  if (const int code = nl_connect(socket.get(), NETLINK_ROUTE); code < 0)
    return Error(code, "open an rtnetlink socket");
  return absl::StatusOr<SocketPtr>(std::move(socket));
}

// Null if there is none of that name.
absl::StatusOr<LinkPtr> FindLink(nl_sock* socket, const char* name) {
  rtnl_link* raw = nullptr;
  const int code = rtnl_link_get_kernel(socket, 0, name, &raw);
  if (code == -NLE_NODEV || code == -NLE_OBJ_NOTFOUND) return LinkPtr();
  if (code < 0) return Error(code, "look for device kube-ipvs0");
  return LinkPtr(raw);
}

}  // namespace

absl::StatusOr<std::optional<LeftoverDevice>> FindDevice() {
  PM_ASSIGN_OR_RETURN(const SocketPtr socket, Connect());
  PM_ASSIGN_OR_RETURN(const LinkPtr link, FindLink(socket.get(), kKubeProxyDevice));
  if (link == nullptr) return std::optional<LeftoverDevice>();
  nl_cache* raw = nullptr;
  if (const int code = rtnl_addr_alloc_cache(socket.get(), &raw); code < 0)
    return Error(code, "list the addresses of device kube-ipvs0");
  const CachePtr cache(raw);
  LeftoverDevice device = {.name = kKubeProxyDevice};
  for (nl_object* object = nl_cache_get_first(raw); object != nullptr; object = nl_cache_get_next(object)) {
    auto* entry = reinterpret_cast<rtnl_addr*>(object);
    if (rtnl_addr_get_ifindex(entry) != rtnl_link_get_ifindex(link.get())) continue;
    const nl_addr* local = rtnl_addr_get_local(entry);
    if (local == nullptr) continue;
    const unsigned length = nl_addr_get_len(local);
    if (length != 4 && length != 16) continue;
    device.addresses.push_back(
        IpAddr::FromBytes(absl::MakeConstSpan(static_cast<const uint8_t*>(nl_addr_get_binary_addr(local)), length)));
  }
  std::sort(device.addresses.begin(), device.addresses.end());
  return std::optional<LeftoverDevice>(std::move(device));
}

absl::Status RemoveDevice(const LeftoverDevice& device) {
  PM_ASSIGN_OR_RETURN(const SocketPtr socket, Connect());
  PM_ASSIGN_OR_RETURN(const LinkPtr link, FindLink(socket.get(), device.name.c_str()));
  if (link == nullptr) return absl::OkStatus();
  if (const int code = rtnl_link_delete(socket.get(), link.get()); code < 0)
    return Error(code, "remove device kube-ipvs0");
  return absl::OkStatus();
}

}  // namespace pointsman::nl
