// SPDX-License-Identifier: Apache-2.0
#include "tests/check/terminal.h"

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/time/clock.h"

#include "tests/support/files.h"

namespace pointsman::check {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& s : strings) pointers.push_back(const_cast<char*>(s.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Terminal::Terminal(const std::vector<std::string>& argv, const std::vector<std::string>& env) {
  std::vector<std::string> all = env;
  for (char** e = environ; *e != nullptr; ++e) {
    const std::string variable = *e;
    const std::string name = variable.substr(0, variable.find('=') + 1);
    const bool replaced =
        std::any_of(env.begin(), env.end(), [&](const std::string& other) { return absl::StartsWith(other, name); });
    if (!replaced) all.push_back(variable);
  }
  const std::vector<char*> arguments = Pointers(argv);
  const std::vector<char*> variables = Pointers(all);
  // So wide that no line is broken.
  const winsize size = {.ws_row = 50, .ws_col = 500};
  pid_ = forkpty(&fd_, nullptr, nullptr, &size);
  if (pid_ < 0) support::FatalErrno("forkpty");
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvpe(arguments[0], arguments.data(), variables.data());
    _exit(127);
  }
}

Terminal::~Terminal() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  close(fd_);
}

void Terminal::Type(absl::string_view keys) {
  if (write(fd_, keys.data(), keys.size()) != static_cast<ssize_t>(keys.size())) support::FatalErrno("write to a pty");
}

bool Terminal::WaitFor(absl::string_view text, absl::Duration timeout) {
  const absl::Time until = absl::Now() + timeout;
  while (true) {
    const size_t found = shown_.find(std::string(text), seen_);
    if (found != std::string::npos) {
      seen_ = found + text.size();
      return true;
    }
    pollfd p = {.fd = fd_, .events = POLLIN};
    const int64_t left = absl::ToInt64Milliseconds(until - absl::Now());
    if (left <= 0 || poll(&p, 1, static_cast<int>(left)) <= 0) return false;
    char piece[4096];
    const ssize_t n = read(fd_, piece, sizeof piece);
    if (n <= 0) return false;  // the program has ended
    shown_.append(piece, static_cast<size_t>(n));
  }
}

}  // namespace pointsman::check
