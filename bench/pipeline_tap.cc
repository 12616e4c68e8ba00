// SPDX-License-Identifier: Apache-2.0
#include "bench/pipeline_tap.h"

#include <utility>

#include "agent/loop/clock.h"
#include "netlink/core/uapi.h"

namespace pointsman::bench {
namespace {

bool IsTransaction(nl::ByteSpan datagram) {
  return reinterpret_cast<const nlmsghdr*>(datagram.data())->nlmsg_type == NFNL_MSG_BATCH_BEGIN;
}

int CountMessages(nl::ByteSpan batch) {
  int messages = -2;  // begin and end
  nl::ForEachMessage(batch, [&](nl::ByteSpan) {
    ++messages;
    return true;
  });
  return messages;
}

}  // namespace

TapTransport::TapTransport(std::unique_ptr<nl::Transport> inner, Tap& tap) : inner_(std::move(inner)), tap_(tap) {}

absl::Status TapTransport::Send(nl::ByteSpan datagram) {
  if (IsTransaction(datagram)) {
    Transaction& transaction = tap_.transactions.emplace_back();
    transaction.bytes = static_cast<int64_t>(datagram.size());
    transaction.messages = CountMessages(datagram);
    if (tap_.keep) transaction.batch.assign(datagram.begin(), datagram.end());
    unanswered_ = true;
    transaction.sent = SteadyNow();
  }
  const absl::Time start = SteadyNow();
  const absl::Status status = inner_->Send(datagram);
  tap_.waiting += SteadyNow() - start;
  return status;
}

absl::StatusOr<nl::ByteSpan> TapTransport::Receive() {
  const absl::Time start = SteadyNow();
  absl::StatusOr<nl::ByteSpan> answer = inner_->Receive();
  const absl::Time end = SteadyNow();
  tap_.waiting += end - start;
  if (unanswered_) tap_.transactions.back().acked = end;
  unanswered_ = false;
  return answer;
}

absl::StatusOr<std::unique_ptr<nl::Transport>> TapTransport::Reopen() { return inner_->Reopen(); }

}  // namespace pointsman::bench
