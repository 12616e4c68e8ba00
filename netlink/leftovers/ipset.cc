// SPDX-License-Identifier: Apache-2.0
#include "netlink/leftovers/ipset.h"

#include <unistd.h>

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "netlink/core/ask.h"
#include "netlink/leftovers/names.h"
#include "netlink/leftovers/request.h"
#include "netlink/leftovers/uapi.h"
#include "pointsman/status.h"

namespace pointsman::nl {
namespace {

// nf_tables frees its rules, and with them their hold on sets, some time after the transaction.
constexpr absl::Duration kReleasePatience = absl::Seconds(3);
constexpr absl::Duration kReleasePause = absl::Milliseconds(10);

// Only the names are asked for, not what is in the sets.
constexpr uint32_t kListNames = IPSET_FLAG_LIST_SETNAME;

}  // namespace

bool HasIpsets() { return access("/sys/module/ip_set", F_OK) == 0; }

absl::StatusOr<std::vector<std::string>> FindIpsets(Transport& transport) {
  Request request(IpsetType(IPSET_CMD_LIST), NLM_F_DUMP, NFPROTO_UNSPEC);
  mnl_attr_put_u8(request.header(), IPSET_ATTR_PROTOCOL, IPSET_PROTOCOL_MIN);
  mnl_attr_put_u32(request.header(), IPSET_ATTR_FLAGS, htonl(kListNames));
  PM_ASSIGN_OR_RETURN(const std::unique_ptr<Transport> fresh, transport.Reopen());
  std::vector<std::string> names;
  const absl::Status status = Ask(*fresh, request.bytes(), [&](ByteSpan message) {
    const Attrs attrs(message.subspan(std::min(sizeof(nlmsghdr) + sizeof(nfgenmsg), message.size())));
    const absl::string_view name = attrs.Str(IPSET_ATTR_SETNAME);
    if (IsKubeProxyIpset(name)) names.emplace_back(name);
    return true;
  });
  if (!status.ok()) return Annotate(status, "list the ipsets");
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status RemoveIpset(Transport& transport, const std::string& name) {
  const std::string attempted = absl::StrCat("remove ipset ", name);
  const absl::Time deadline = absl::Now() + kReleasePatience;
  while (true) {
    Request request(IpsetType(IPSET_CMD_DESTROY), NLM_F_ACK, NFPROTO_UNSPEC);
    mnl_attr_put_u8(request.header(), IPSET_ATTR_PROTOCOL, IPSET_PROTOCOL_MIN);
    mnl_attr_put_strz(request.header(), IPSET_ATTR_SETNAME, name.c_str());
    PM_ASSIGN_OR_RETURN(const std::unique_ptr<Transport> fresh, transport.Reopen());
    PM_RETURN_IF_ERROR(Annotate(fresh->Send(request.bytes()), attempted));
    const absl::StatusOr<Answer> answer = ReadAnswer(*fresh, request.header()->nlmsg_seq);
    if (!answer.ok()) return Annotate(answer.status(), attempted);
    if (answer->error == 0) return absl::OkStatus();
    if (answer->error != IPSET_ERR_BUSY) return ErrnoStatus(answer->error, attempted, answer->extack);
    if (absl::Now() > deadline) return absl::UnavailableError(absl::StrCat(attempted, ": something refers to it"));
    absl::SleepFor(kReleasePause);
  }
}

}  // namespace pointsman::nl
