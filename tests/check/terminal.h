// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace pointsman::check {

// A program at a terminal of its own, with somebody who types.
class Terminal {
 public:
  // `env`: "NAME=value", on top of ours.
  Terminal(const std::vector<std::string>& argv, const std::vector<std::string>& env);
  // Ends the program.
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void Type(absl::string_view keys);
  // Waits until `text` is shown, after what was waited for before. False when `timeout` comes first.
  bool WaitFor(absl::string_view text, absl::Duration timeout = absl::Seconds(20));
  // All that has been shown.
  const std::string& shown() const { return shown_; }

 private:
  pid_t pid_ = -1;
  int fd_ = -1;
  std::string shown_;
  size_t seen_ = 0;
};

}  // namespace pointsman::check
