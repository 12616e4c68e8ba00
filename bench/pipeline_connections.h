// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "absl/time/time.h"

#include "tests/support/netns.h"

namespace pointsman::bench {

// TCP connections at an even rate, one after another, from a node to random Services of bench/cluster.h, all of whose
// pods are on this node. One that is refused, or not there within a second, has failed.
class Connections {
 public:
  struct Result {
    int64_t opened = 0;
    int64_t failed = 0;
    absl::Duration slowest;  // of those opened
  };

  // Gives `node` the addresses and routes this takes; it must have nothing but loopback.
  Connections(support::NetNs& node, int services, double per_second);
  ~Connections();
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  int64_t opened() const { return opened_.load(std::memory_order_relaxed); }
  Result Stop();

 private:
  void Work(int services, absl::Duration pause);

  std::atomic<bool> stop_ = false;
  std::atomic<int64_t> opened_ = 0;
  Result result_;  // the thread's, until it has ended
  std::thread thread_;
};

}  // namespace pointsman::bench
