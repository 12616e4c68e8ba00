// SPDX-License-Identifier: Apache-2.0
//
// The limit: what the kernel takes for a batch, with nothing of ours around it.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/time/time.h"

struct mnl_socket;

namespace pointsman::bench {

// A recorded transaction without its guard, so that it can be sent in any generation. As many bytes as before.
std::vector<uint8_t> WithoutGuard(std::vector<uint8_t> batch);

// A plain libmnl socket in the network namespace of the thread that makes it.
class RawNetlink {
 public:
  RawNetlink();
  ~RawNetlink();
  RawNetlink(const RawNetlink&) = delete;
  RawNetlink& operator=(const RawNetlink&) = delete;

  // Sends one transaction and takes its acknowledgement. One that the kernel refuses ends the program.
  absl::Duration Send(const std::vector<uint8_t>& batch);

 private:
  mnl_socket* const socket_;
  std::vector<uint8_t> buffer_;
};

}  // namespace pointsman::bench
