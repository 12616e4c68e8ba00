// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"

#include "tests/support/netns.h"

namespace pointsman::support {

struct ProcessOptions {
  std::string stdin_text;                      // then end of file
  std::vector<std::string> env;                // "NAME=value", on top of ours
  absl::Duration timeout = absl::Seconds(60);  // RunProcess only: then it is killed
};

struct ProcessResult {
  int exit_code = -1;  // 128 + signal when a signal ended it
  bool timed_out = false;
  std::string out;
  std::string err;
};

// A child process in a network namespace. It dies with the namespace's thread, so an aborted test leaves none behind.
//
// Threads: one owner; output is collected in the background.
class Process {
 public:
  Process(NetNs& ns, const std::vector<std::string>& argv, const ProcessOptions& options = {});
  // SIGKILL, if it still runs.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  bool running();
  void Signal(int number);
  // Everything written so far.
  std::string out();
  std::string err();
  // Waits until `enough` says yes to all of standard error so far.
  // Returns: false when `timeout` or the end of the process came first.
  bool WaitForErr(const std::function<bool(const std::string&)>& enough, absl::Duration timeout);
  // Waits for the end; after `timeout` it is killed. Call once.
  ProcessResult Wait(absl::Duration timeout);

 private:
  void Collect(int out_fd, int err_fd);
  void Reap();

  pid_t pid_ = -1;
  int pidfd_ = -1;
  bool reaped_ = false;
  int exit_code_ = -1;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string out_;
  std::string err_;
  bool closed_ = false;  // both pipes
  std::thread collector_;
};

// Start, wait, collect.
ProcessResult RunProcess(NetNs& ns, const std::vector<std::string>& argv, const ProcessOptions& options = {});

}  // namespace pointsman::support
