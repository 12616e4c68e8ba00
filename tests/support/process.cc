// SPDX-License-Identifier: Apache-2.0
#include "tests/support/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

#include "absl/time/clock.h"

#include "tests/support/files.h"

namespace pointsman::support {
namespace {

int MakeStdin(const std::string& text) {
  const int fd = memfd_create("stdin", MFD_CLOEXEC);
  if (fd < 0) FatalErrno("memfd_create");
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = write(fd, text.data() + done, text.size() - done);
    if (n <= 0) FatalErrno("write to a child's stdin");
    done += static_cast<size_t>(n);
  }
  lseek(fd, 0, SEEK_SET);
  return fd;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& s : strings) pointers.push_back(const_cast<char*>(s.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Only what is safe between fork and exec in a process with threads. `started` closes by itself with exec.
[[noreturn]] void RunChild(const std::array<int, 3>& fds, int started, char* const* argv, char* const* env) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int i = 0; i < 3; ++i) dup2(fds[static_cast<size_t>(i)], i);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  execvpe(argv[0], argv, env);
  const int error = errno;
  if (write(started, &error, sizeof(error)) < 0) _exit(126);
  _exit(127);
}

int Milliseconds(absl::Duration d) {
  return static_cast<int>(absl::ToInt64Milliseconds(std::max(d, absl::ZeroDuration())));
}

}  // namespace

Process::Process(NetNs& ns, const std::vector<std::string>& argv, const ProcessOptions& options) {
  std::vector<std::string> env;
  for (char** e = environ; *e != nullptr; ++e) env.emplace_back(*e);
  env.insert(env.end(), options.env.begin(), options.env.end());
  const std::vector<char*> argv_pointers = Pointers(argv);
  const std::vector<char*> env_pointers = Pointers(env);

  const int in = MakeStdin(options.stdin_text);
  std::array<int, 2> out = {};
  std::array<int, 2> err = {};
  std::array<int, 2> started = {};
  for (auto* ends : {&out, &err, &started}) {
    if (pipe2(ends->data(), O_CLOEXEC) != 0) FatalErrno("pipe");
  }
  ns.Run([&] {
    pid_ = fork();
    if (pid_ == 0) RunChild({in, out[1], err[1]}, started[1], argv_pointers.data(), env_pointers.data());
  });
  if (pid_ < 0) FatalErrno("fork");
  pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  if (pidfd_ < 0) FatalErrno("pidfd_open");
  for (const int fd : {in, out[1], err[1], started[1]}) close(fd);
  int error = 0;
  if (read(started[0], &error, sizeof(error)) > 0) {
    errno = error;
    FatalErrno("execute " + argv.at(0));
  }
  close(started[0]);
  collector_ = std::thread([this, out_fd = out[0], err_fd = err[0]] { Collect(out_fd, err_fd); });
}

Process::~Process() {
  if (!reaped_) {
    Signal(SIGKILL);
    Reap();
  }
  collector_.join();
  close(pidfd_);
}

bool Process::running() {
  pollfd exited = {.fd = pidfd_, .events = POLLIN, .revents = 0};
  return !reaped_ && poll(&exited, 1, 0) == 0;
}

void Process::Signal(int number) { syscall(SYS_pidfd_send_signal, pidfd_, number, nullptr, 0); }

std::string Process::out() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return out_;
}

std::string Process::err() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return err_;
}

bool Process::WaitForErr(const std::function<bool(const std::string&)>& enough, absl::Duration timeout) {
  std::unique_lock<std::mutex> lock(mutex_);
  bool seen = false;
  changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout), [&] {
    seen = enough(err_);
    return seen || closed_;
  });
  return seen;
}

void Process::Reap() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  reaped_ = true;
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

ProcessResult Process::Wait(absl::Duration timeout) {
  ProcessResult result;
  if (!reaped_) {
    pollfd exited = {.fd = pidfd_, .events = POLLIN, .revents = 0};
    const absl::Time deadline = absl::Now() + timeout;
    int n = 0;
    do {
      n = poll(&exited, 1, Milliseconds(deadline - absl::Now()));
    } while (n < 0 && errno == EINTR);
    if (n == 0) {
      result.timed_out = true;
      Signal(SIGKILL);
    }
    Reap();
  }
  std::unique_lock<std::mutex> lock(mutex_);
  // A grandchild may hold the pipes open; what it writes is not ours to wait for.
  changed_.wait_for(lock, std::chrono::seconds(5), [&] { return closed_; });
  result.exit_code = exit_code_;
  result.out = out_;
  result.err = err_;
  return result;
}

void Process::Collect(int out_fd, int err_fd) {
  std::array<pollfd, 2> fds = {pollfd{.fd = out_fd, .events = POLLIN, .revents = 0},
                               pollfd{.fd = err_fd, .events = POLLIN, .revents = 0}};
  std::array<std::string*, 2> texts = {&out_, &err_};
  std::vector<char> buffer(65536);
  int open_pipes = 2;
  while (open_pipes > 0) {
    if (poll(fds.data(), fds.size(), -1) < 0) continue;
    for (size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].fd < 0 || fds[i].revents == 0) continue;
      const ssize_t n = read(fds[i].fd, buffer.data(), buffer.size());
      if (n > 0) {
        const std::lock_guard<std::mutex> lock(mutex_);
        texts[i]->append(buffer.data(), static_cast<size_t>(n));
      } else {
        close(fds[i].fd);
        fds[i].fd = -1;
        --open_pipes;
      }
    }
    changed_.notify_all();
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
}

ProcessResult RunProcess(NetNs& ns, const std::vector<std::string>& argv, const ProcessOptions& options) {
  return Process(ns, argv, options).Wait(options.timeout);
}

}  // namespace pointsman::support
