// SPDX-License-Identifier: Apache-2.0
#include "tests/support/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <future>
#include <sstream>

#include "tests/support/files.h"
#include "tests/support/process.h"

namespace pointsman::support {
namespace {

bool MayMakeNamespaces() {
  constexpr int kSysAdmin = 21;  // CAP_SYS_ADMIN
  std::istringstream status(ReadFile("/proc/self/status"));
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("CapEff:", 0) == 0) {
      return ((std::stoull(line.substr(7), nullptr, 16) >> kSysAdmin) & 1) != 0;
    }
  }
  return false;
}

// Root of a user namespace, as `unshare -r` makes one. Only possible while the process has a single thread.
void BecomeRootOfOwnUserNamespace() {
  const std::string uid = std::to_string(geteuid());
  const std::string gid = std::to_string(getegid());
  if (unshare(CLONE_NEWUSER) != 0) FatalErrno("no CAP_SYS_ADMIN, and unshare(CLONE_NEWUSER)");
  WriteFile("/proc/self/setgroups", "deny");
  WriteFile("/proc/self/uid_map", "0 " + uid + " 1");
  WriteFile("/proc/self/gid_map", "0 " + gid + " 1");
}

}  // namespace

NetNs::NetNs(std::string name) : name_(std::move(name)) {
  if (!MayMakeNamespaces()) BecomeRootOfOwnUserNamespace();
  std::promise<void> entered;
  worker_ = std::thread([&] {
    if (unshare(CLONE_NEWNET) != 0) FatalErrno("unshare(CLONE_NEWNET)");
    fd_ = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (fd_ < 0) FatalErrno("open /proc/thread-self/ns/net");
    entered.set_value();
    Work();
  });
  entered.get_future().wait();
}

NetNs::~NetNs() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  worker_.join();
  close(fd_);
}

void NetNs::Work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    lock.lock();
  }
}

std::string NetNs::path() const { return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd_); }

void NetNs::Run(const std::function<void()>& work) {
  if (std::this_thread::get_id() == worker_.get_id()) {
    work();
    return;
  }
  std::promise<void> done;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    queue_.emplace_back([&] {
      work();
      done.set_value();
    });
  }
  changed_.notify_all();
  done.get_future().wait();
}

std::thread NetNs::Start(std::function<void()> work) {
  return std::thread([this, work = std::move(work)] {
    if (setns(fd_, CLONE_NEWNET) != 0) FatalErrno("enter namespace " + name_);
    work();
  });
}

int NetNs::Socket(int domain, int type, int protocol) {
  return Call([&] {
    const int fd = socket(domain, type | SOCK_CLOEXEC, protocol);
    if (fd < 0) FatalErrno("socket in namespace " + name_);
    return fd;
  });
}

void NetNs::Ip(const std::string& commands) {
  const ProcessResult result = RunProcess(*this, {"ip", "-batch", "-"}, {.stdin_text = commands});
  if (result.exit_code != 0) Fatal("ip in namespace " + name_ + ": " + result.err + "commands were:\n" + commands);
}

void NetNs::Sysctl(const std::string& name, const std::string& value) {
  // /proc/sys/net is that of the reading thread's namespace.
  Run([&] { WriteFile("/proc/sys/" + name, value); });
}

}  // namespace pointsman::support
