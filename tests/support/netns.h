// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

namespace pointsman::support {

// A network namespace without a name: it lives as long as this object, its threads and its sockets, and cannot be left
// behind. Works as root; without privileges the first one moves the whole process into a user namespace of its own.
//
// Threads: any may call. `Run` and `Call` execute on one thread that stays in the namespace, one after another.
class NetNs {
 public:
  // `name` is for messages only.
  explicit NetNs(std::string name);
  ~NetNs();
  NetNs(const NetNs&) = delete;
  NetNs& operator=(const NetNs&) = delete;

  const std::string& name() const { return name_; }
  // For `ip link ... netns PATH`, as long as this object lives.
  std::string path() const;

  // Runs `work` inside, and waits for its end.
  void Run(const std::function<void()>& work);
  template <typename F>
  std::invoke_result_t<F> Call(F&& work) {
    std::optional<std::invoke_result_t<F>> result;
    Run([&] { result.emplace(work()); });
    return std::move(*result);
  }
  // A new thread inside.
  std::thread Start(std::function<void()> work);

  // A close-on-exec socket of this namespace, for use from any thread.
  int Socket(int domain, int type, int protocol = 0);

  // Commands for `ip -batch`, one a line. Ends the test program if one of them fails.
  void Ip(const std::string& commands);
  // `name` as a path below /proc/sys, like "net/ipv4/ip_forward".
  void Sysctl(const std::string& name, const std::string& value);

 private:
  void Work();

  const std::string name_;
  int fd_ = -1;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  bool stop_ = false;
  std::thread worker_;
};

}  // namespace pointsman::support
