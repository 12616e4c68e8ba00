// SPDX-License-Identifier: Apache-2.0
//
// Single requests to the kernel, and what came of them.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

#include "netlink/core/error.h"
#include "netlink/core/transport.h"

struct nlmsghdr;

namespace pointsman::nl {

// The bytes of one message to NETLINK_NETFILTER, to which attributes are added (mnl_attr_put and friends).
class Request {
 public:
  Request(uint16_t type, uint16_t flags, uint8_t family);

  nlmsghdr* header();
  ByteSpan bytes();

 private:
  std::vector<uint8_t> buffer_;
};

// What the kernel says to what has been sent: the first error, or that all is well up to message `last`.
// Errors: kUnavailable when there is no such answer, or some were lost: the outcome is unknown.
absl::StatusOr<Answer> ReadAnswer(Transport& transport, uint32_t last);

}  // namespace pointsman::nl
