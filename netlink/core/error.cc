// SPDX-License-Identifier: Apache-2.0
#include "netlink/core/error.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

#include "netlink/core/uapi.h"

namespace pointsman::nl {
namespace {

std::string ErrnoText(int error) {
  if (error == kErestart) return "the ruleset changed meanwhile";
  char buffer[128];
  return strerror_r(error, buffer, sizeof(buffer));  // the GNU one: returns the text
}

}  // namespace

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case kErestart:
      return absl::StatusCode::kAborted;
    case ENOBUFS:
    case ENOMEM:
    case EAGAIN:
    case EBUSY:
    case EINTR:
    case ECONNREFUSED:  // nobody listens on this netlink bus (yet)
      return absl::StatusCode::kUnavailable;
    case EPERM:
    case EACCES:
      return absl::StatusCode::kPermissionDenied;
    case EOPNOTSUPP:
    case EPROTONOSUPPORT:
    case EAFNOSUPPORT:
      return absl::StatusCode::kFailedPrecondition;
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case EEXIST:
    case ENOTEMPTY:  // an interval overlaps one that is there
      return absl::StatusCode::kAlreadyExists;
    case ENFILE:  // a set of fixed size is full
      return absl::StatusCode::kResourceExhausted;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::Status ErrnoStatus(int error, absl::string_view attempted, absl::string_view extack) {
  std::string text = absl::StrCat(attempted, ": ", ErrnoText(error));
  if (!extack.empty()) absl::StrAppend(&text, " (", extack, ")");
  return absl::Status(CodeOf(error), text);
}

absl::Status ParseAnswer(ByteSpan message, Answer& answer) {
  nlmsghdr header;
  int32_t code = 0;
  if (message.size() < sizeof(header) + sizeof(code)) {
    return absl::DataLossError("netlink answer without an error code");
  }
  std::memcpy(&header, message.data(), sizeof(header));
  std::memcpy(&code, message.data() + sizeof(header), sizeof(code));
  answer = Answer{.sequence = header.nlmsg_seq};
  answer.error = code == INT32_MIN ? INT32_MAX : (code < 0 ? -code : code);

  // The request's header follows in NLMSG_ERROR, all of the request unless capped, then attributes; NLMSG_DONE has the
  // attributes at once.
  size_t tlvs = sizeof(header) + sizeof(code);
  if (header.nlmsg_type == NLMSG_ERROR) {
    nlmsghdr request;
    if (message.size() < tlvs + sizeof(request))
      return absl::DataLossError("netlink error without the request's header");
    std::memcpy(&request, message.data() + tlvs, sizeof(request));
    answer.sequence = request.nlmsg_seq;
    const size_t copied = (header.nlmsg_flags & NLM_F_CAPPED) != 0 ? sizeof(request) : request.nlmsg_len;
    tlvs += (copied + 3) & ~size_t{3};
  }
  if ((header.nlmsg_flags & NLM_F_ACK_TLVS) == 0) return absl::OkStatus();
  if (tlvs > message.size()) return absl::DataLossError("netlink error shorter than the request it quotes");
  const Attrs attrs(message.subspan(tlvs));
  if (!attrs.ok()) return absl::DataLossError("malformed attributes in a netlink error");
  answer.extack = std::string(attrs.Str(NLMSGERR_ATTR_MSG));
  const ByteSpan offset = attrs.Raw(NLMSGERR_ATTR_OFFS);
  if (offset.size() == sizeof(answer.offset)) std::memcpy(&answer.offset, offset.data(), offset.size());
  return absl::OkStatus();
}

}  // namespace pointsman::nl
