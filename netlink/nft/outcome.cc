// SPDX-License-Identifier: Apache-2.0
#include "netlink/nft/outcome.h"

#include <cstring>
#include <utility>

#include "netlink/core/uapi.h"

namespace pointsman::nl {
namespace {

// Receive errors in a row after which the socket is taken to be broken.
constexpr int kMaxLosses = 100;

}  // namespace

Outcome ReceiveOutcome(Transport& transport, const Batch& batch) {
  Outcome outcome;
  const auto take = [&](ByteSpan message) {
    nlmsghdr header;
    std::memcpy(&header, message.data(), sizeof(header));
    if (header.nlmsg_type != NLMSG_ERROR) return true;
    Answer answer;
    if (!ParseAnswer(message, answer).ok()) {
      outcome.lost = true;
      return true;
    }
    const bool ours = answer.sequence == batch.begin_sequence() || answer.sequence == batch.last_sequence() + 1 ||
                      batch.OriginOf(answer.sequence).has_value();
    if (!ours) return true;
    if (answer.error == 0) {
      // Comes even if an earlier message failed, and nothing was done.
      if (answer.sequence == batch.last_sequence()) outcome.acknowledged = true;
    } else if (!outcome.first_error.has_value()) {
      outcome.first_error = std::move(answer);
    }
    return true;
  };
  for (int losses = 0; losses < kMaxLosses;) {
    const absl::StatusOr<ByteSpan> datagram = transport.Receive();
    if (!datagram.ok()) {
      outcome.lost = true;
      ++losses;
      continue;
    }
    if (datagram->empty()) break;
    if (!ForEachMessage(*datagram, take)) outcome.lost = true;
    // What went wrong, the end of the batch included, is told before the acknowledgement of its last message.
    if (outcome.acknowledged) break;
  }
  return outcome;
}

}  // namespace pointsman::nl
