// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "netlink/core/batch.h"
#include "netlink/core/error.h"
#include "netlink/core/transport.h"

namespace pointsman::nl {

// What the kernel answered to a batch.
struct Outcome {
  std::optional<Answer> first_error;
  bool acknowledged = false;  // the last message
  bool lost = false;          // some of the answers
};

// Takes all that `transport` has to say; answers to anything but `batch` are passed over.
Outcome ReceiveOutcome(Transport& transport, const Batch& batch);

}  // namespace pointsman::nl
