// SPDX-License-Identifier: Apache-2.0
#include "netlink/core/ask.h"

#include <cerrno>
#include <cstring>

#include "netlink/core/error.h"
#include "netlink/core/uapi.h"
#include "pointsman/status.h"

namespace pointsman::nl {
namespace {

absl::Status StatusOf(const Answer& answer, absl::string_view attempted) {
  if (answer.error == 0) return absl::OkStatus();
  if (answer.error == EINTR) return absl::DataLossError("the dump was interrupted");
  return ErrnoStatus(answer.error, attempted, answer.extack);
}

}  // namespace

absl::Status Ask(Transport& transport, ByteSpan request, absl::FunctionRef<bool(ByteSpan)> visit) {
  nlmsghdr asked;
  PM_CHECK(request.size() >= sizeof(asked));
  std::memcpy(&asked, request.data(), sizeof(asked));
  const bool dump = (asked.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  PM_RETURN_IF_ERROR(transport.Send(request));

  bool done = false;
  bool interrupted = false;
  absl::Status status;
  const auto take = [&](ByteSpan message) {
    nlmsghdr header;
    std::memcpy(&header, message.data(), sizeof(header));
    if (header.nlmsg_seq != asked.nlmsg_seq) return true;
    if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted = true;
    switch (header.nlmsg_type) {
      case NLMSG_NOOP:
        return true;
      case NLMSG_OVERRUN:
        status = absl::DataLossError("netlink data lost");
        break;
      case NLMSG_ERROR:
      case NLMSG_DONE: {
        Answer answer;
        status = ParseAnswer(message, answer);
        if (status.ok()) status = StatusOf(answer, "asked the kernel");
        break;
      }
      default:
        if (visit(message) && dump) return true;
    }
    done = true;
    return false;
  };
  while (!done) {
    PM_ASSIGN_OR_RETURN(const ByteSpan datagram, transport.Receive());
    if (datagram.empty()) return absl::UnavailableError("the kernel's answer ends early");
    if (!ForEachMessage(datagram, take) && !done) return absl::DataLossError("malformed netlink datagram");
  }
  if (status.ok() && interrupted) return absl::DataLossError("the dump was interrupted");
  return status;
}

}  // namespace pointsman::nl
