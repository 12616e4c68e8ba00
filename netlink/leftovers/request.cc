// SPDX-License-Identifier: Apache-2.0
#include "netlink/leftovers/request.h"

#include <cstring>
#include <optional>
#include <utility>

#include "netlink/core/uapi.h"

namespace pointsman::nl {
namespace {

// Room for headers and for a few names; those of nf_tables have up to 256 bytes.
constexpr size_t kRequestSize = 2048;

// Receive errors in a row after which the socket is taken to be broken.
constexpr int kMaxLosses = 100;

}  // namespace

Request::Request(uint16_t type, uint16_t flags, uint8_t family) : buffer_(kRequestSize) {
  nlmsghdr* message = mnl_nlmsg_put_header(buffer_.data());
  message->nlmsg_type = type;
  message->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  message->nlmsg_seq = 1;
  auto* general = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
  general->nfgen_family = family;
  general->version = NFNETLINK_V0;
}

nlmsghdr* Request::header() { return reinterpret_cast<nlmsghdr*>(buffer_.data()); }

ByteSpan Request::bytes() { return ByteSpan(buffer_).first(header()->nlmsg_len); }

absl::StatusOr<Answer> ReadAnswer(Transport& transport, uint32_t last) {
  std::optional<Answer> error;
  std::optional<Answer> acknowledged;
  bool lost = false;
  const auto take = [&](ByteSpan message) {
    nlmsghdr header;
    std::memcpy(&header, message.data(), sizeof(header));
    if (header.nlmsg_type != NLMSG_ERROR) return true;
    Answer answer;
    if (!ParseAnswer(message, answer).ok()) {
      lost = true;
    } else if (answer.error != 0) {
      if (!error.has_value()) error = std::move(answer);
    } else if (answer.sequence == last) {
      acknowledged = std::move(answer);
    }
    return true;
  };
  for (int losses = 0; losses < kMaxLosses;) {
    const absl::StatusOr<ByteSpan> datagram = transport.Receive();
    if (!datagram.ok()) {
      lost = true;
      ++losses;
      continue;
    }
    if (datagram->empty()) break;
    if (!ForEachMessage(*datagram, take)) lost = true;
  }
  // The last message of a batch is acknowledged even if the batch fails.
  if (error.has_value()) return *std::move(error);
  if (acknowledged.has_value() && !lost) return *std::move(acknowledged);
  return absl::UnavailableError("the kernel's answer was lost; whether it took effect is unknown");
}

}  // namespace pointsman::nl
