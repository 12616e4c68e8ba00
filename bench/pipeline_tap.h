// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "netlink/core/transport.h"

namespace pointsman::bench {

// A transaction that went to the kernel.
struct Transaction {
  absl::Time sent;   // all of it is written and about to be sent
  absl::Time acked;  // the kernel's answer is here
  int64_t bytes = 0;
  int messages = 0;            // without the batch's begin and end
  std::vector<uint8_t> batch;  // itself, if Tap::keep
};

// What was seen between the dataplane and its socket.
struct Tap {
  bool keep = false;  // the bytes too, at the cost of a copy
  std::vector<Transaction> transactions;
  absl::Duration waiting;  // inside the kernel, apart from listings

  void Clear() {
    transactions.clear();
    waiting = absl::ZeroDuration();
  }
};

// A socket that writes down in `tap`, which must outlive it, what goes through it and when.
class TapTransport final : public nl::Transport {
 public:
  TapTransport(std::unique_ptr<nl::Transport> inner, Tap& tap);

  absl::Status Send(nl::ByteSpan datagram) override;
  absl::StatusOr<nl::ByteSpan> Receive() override;
  absl::StatusOr<std::unique_ptr<nl::Transport>> Reopen() override;

 private:
  const std::unique_ptr<nl::Transport> inner_;
  Tap& tap_;
  bool unanswered_ = false;
};

}  // namespace pointsman::bench
