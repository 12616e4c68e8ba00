// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "netlink/core/attr.h"

namespace pointsman::nl {

// What a caller should do about `error` (an errno): the table of codes in netlink/README.md.
absl::StatusCode CodeOf(int error);

// "ATTEMPTED: File exists (EXTACK)"; the parts in parentheses only where there is any.
absl::Status ErrnoStatus(int error, absl::string_view attempted, absl::string_view extack = "");

// A message of type NLMSG_ERROR, or an NLMSG_DONE, which carries an errno too.
struct Answer {
  int error = 0;          // positive errno; zero is an acknowledgement
  std::string extack;     // the kernel's own words, if any
  uint32_t offset = 0;    // into the offending message, zero if not known
  uint32_t sequence = 0;  // of the message this answers
};

// Inputs:  `message`, with its header, of one of the two types.
// Errors:  kDataLoss when it is shorter than it says.
absl::Status ParseAnswer(ByteSpan message, Answer& answer);

}  // namespace pointsman::nl
