// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/exec_plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "agent/kube/key_pair.h"
#include "agent/kube/text_file.h"
#include "nlohmann/json.hpp"
#include "pointsman/status.h"

namespace pointsman::kube {
namespace {

using nlohmann::json;

constexpr size_t kMostOutput = 1 << 20;
constexpr size_t kMostComplaint = 8 << 10;  // the end of it is kept
constexpr size_t kMostShown = 200;

using SteadyTime = std::chrono::steady_clock::time_point;

absl::Status Problem(absl::string_view what) { return absl::FailedPreconditionError(what); }

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { Close(); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  void Close() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

struct Pipe {
  Fd read;   // does not block
  Fd write;  // for the child
};

absl::StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  const Fd read(fds[0]);
  const Fd write(fds[1]);
  // Above standard error, or one end would be closed while the child's three are being set up.
  Pipe pipe = {Fd(fcntl(read.get(), F_DUPFD_CLOEXEC, 3)), Fd(fcntl(write.get(), F_DUPFD_CLOEXEC, 3))};
  if (!pipe.read.open() || !pipe.write.open()) return absl::ErrnoToStatus(errno, "dup");
  if (fcntl(pipe.read.get(), F_SETFL, O_NONBLOCK) != 0) return absl::ErrnoToStatus(errno, "fcntl");
  return pipe;
}

// Our environment, with what the plug-in is given besides; later settings win.
std::vector<std::string> MakeEnvironment(const ExecPlugin& plugin, const std::string& exec_info) {
  std::vector<std::pair<std::string, std::string>> given = plugin.env;
  given.emplace_back("KUBERNETES_EXEC_INFO", exec_info);
  std::vector<std::string> environment;
  const auto is_given = [&](absl::string_view setting) {
    return std::any_of(given.begin(), given.end(), [&](const auto& variable) {
      return absl::StartsWith(setting, absl::StrCat(variable.first, "="));
    });
  };
  for (char** setting = environ; setting != nullptr && *setting != nullptr; ++setting) {
    if (!is_given(*setting)) environment.emplace_back(*setting);
  }
  for (auto variable = given.begin(); variable != given.end(); ++variable) {
    const bool again =
        std::any_of(variable + 1, given.end(), [&](const auto& v) { return v.first == variable->first; });
    if (!again) environment.push_back(absl::StrCat(variable->first, "=", variable->second));
  }
  return environment;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Returns: the child, or the errno.
std::pair<pid_t, int> Spawn(const ExecPlugin& plugin, std::vector<std::string> environment, int output, int complaint) {
  std::vector<std::string> args = plugin.args;
  args.insert(args.begin(), plugin.command);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  if (posix_spawn_file_actions_init(&actions) != 0 || posix_spawnattr_init(&attributes) != 0) return {-1, ENOMEM};
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  pid_t child = -1;
  int error = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (error == 0) error = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  if (error == 0) error = posix_spawn_file_actions_adddup2(&actions, complaint, STDERR_FILENO);
  if (error == 0) error = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  // Our threads block signals, and the agent ignores some.
  constexpr int kFlags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (error == 0) error = posix_spawnattr_setflags(&attributes, kFlags);
  if (error == 0) error = posix_spawnattr_setpgroup(&attributes, 0);
  if (error == 0) error = posix_spawnattr_setsigmask(&attributes, &none);
  if (error == 0) error = posix_spawnattr_setsigdefault(&attributes, &all);
  if (error == 0) {
    error = posix_spawnp(&child, plugin.command.c_str(), &actions, &attributes, Pointers(args).data(),
                         Pointers(environment).data());
  }
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return {child, error};
}

int MillisecondsUntil(SteadyTime deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 3'600'000));
}

// Reads what is there. Returns: false at the end.
bool Drain(int fd, std::string& text, size_t most) {
  char buffer[16 << 10];
  while (text.size() <= most) {
    const ssize_t length = read(fd, buffer, sizeof buffer);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) return errno == EAGAIN;
    if (length == 0) return false;
    text.append(buffer, static_cast<size_t>(length));
  }
  return true;
}

void KeepEnd(std::string& text) {
  if (text.size() > kMostComplaint) text.erase(0, text.size() - kMostComplaint);
}

std::string LastLine(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  const size_t line = text.rfind('\n');
  if (line != absl::string_view::npos) text = absl::StripAsciiWhitespace(text.substr(line + 1));
  return absl::Utf8SafeCHexEscape(text.substr(0, kMostShown));
}

std::string TextAt(const json& object, const char* key) {
  const auto member = object.find(key);
  return member != object.end() && member->is_string() ? member->get<std::string>() : "";
}

}  // namespace

std::string FormatExecInfo(const Access& access, absl::string_view ca) {
  json spec = {{"interactive", false}};
  if (access.exec->provide_cluster_info) {
    json cluster = {{"server", access.servers.empty() ? "" : access.servers.front()}};
    if (!access.tls_server_name.empty()) cluster["tls-server-name"] = access.tls_server_name;
    if (access.insecure_skip_tls_verify) cluster["insecure-skip-tls-verify"] = true;
    if (!ca.empty()) cluster["certificate-authority-data"] = absl::Base64Escape(ca);
    if (!access.proxy_url.empty()) cluster["proxy-url"] = access.proxy_url;
    if (access.disable_compression) cluster["disable-compression"] = true;
    spec["cluster"] = std::move(cluster);
  }
  const json info = {{"kind", "ExecCredential"}, {"apiVersion", access.exec->api_version}, {"spec", std::move(spec)}};
  return info.dump(-1, ' ', false, json::error_handler_t::replace);
}

absl::StatusOr<PluginAnswer> ParseExecCredential(absl::string_view api_version, absl::string_view text) {
  const json answer = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object()) return Problem("what it printed is no JSON object");
  if (TextAt(answer, "kind") != "ExecCredential") return Problem("what it printed is no ExecCredential");
  if (const std::string version = TextAt(answer, "apiVersion"); version != api_version) {
    return Problem(absl::StrCat("it answered in version \"", absl::Utf8SafeCHexEscape(version),
                                "\", and the kubeconfig says ", api_version));
  }
  const auto status = answer.find("status");
  if (status == answer.end() || !status->is_object()) return Problem("there is no `status` in its ExecCredential");
  PluginAnswer result;
  result.token = std::string(absl::StripAsciiWhitespace(TextAt(*status, "token")));
  if (HasControlCharacter(result.token) || absl::StrContains(result.token, " ")) {
    return Problem("there is a blank or a line break in the token it gave");
  }
  result.certificate = TextAt(*status, "clientCertificateData");
  result.key = TextAt(*status, "clientKeyData");
  if (result.certificate.empty() != result.key.empty()) {
    return Problem("of `clientCertificateData` and `clientKeyData` it gave but one");
  }
  if (!result.key.empty()) {
    if (!HasWholePem(result.certificate, "CERTIFICATE")) return Problem("its `clientCertificateData` is no PEM");
    if (!HasWholePem(result.key, "PRIVATE KEY")) return Problem("its `clientKeyData` is no PEM");
    if (FitOf(result.certificate, result.key) == PairFit::kDiffers) {
      return Problem("the key it gave is not that of its certificate");
    }
  } else if (result.token.empty()) {
    return Problem("it gave neither a token nor a certificate");
  }
  const auto expires = status->find("expirationTimestamp");
  if (expires != status->end() && !expires->is_null()) {
    std::string error;
    if (!expires->is_string() ||
        !absl::ParseTime(absl::RFC3339_full, expires->get<std::string>(), &result.expires, &error)) {
      return Problem("its `expirationTimestamp` is no time, as in 2026-01-02T03:04:05Z");
    }
  }
  return result;
}

// One run. The thread has it to itself but for what the mutex guards.
class PluginRunner::Run {
 public:
  Run(const ExecPlugin& plugin, const std::string& exec_info, absl::Duration time_limit,
      absl::AnyInvocable<void()>& wake)
      : plugin_(plugin),
        environment_(MakeEnvironment(plugin, exec_info)),
        time_limit_(time_limit),
        wake_(wake),
        stop_(eventfd(0, EFD_CLOEXEC)),
        thread_([this] { Main(); }) {}

  ~Run() {
    const uint64_t one = 1;
    while (stop_.open() && write(stop_.get(), &one, sizeof one) < 0 && errno == EINTR) {
    }
    thread_.join();
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  std::optional<absl::StatusOr<PluginAnswer>> Take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return std::exchange(answer_, std::nullopt);
  }

 private:
  void Main() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    absl::StatusOr<PluginAnswer> answer = Execute();
    if (!answer.ok()) {
      answer = Problem(absl::StrCat("credential plug-in ", absl::Utf8SafeCHexEscape(plugin_.command), ": ",
                                    answer.status().message()));
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      answer_ = std::move(answer);
    }
    if (!stopped_ && wake_) wake_();
  }

  absl::StatusOr<PluginAnswer> Execute() {
    if (!stop_.open()) return Problem("no eventfd can be had");
    PM_ASSIGN_OR_RETURN(Pipe output, MakePipe());
    PM_ASSIGN_OR_RETURN(Pipe complaint, MakePipe());
    const auto [child, error] = Spawn(plugin_, environment_, output.write.get(), complaint.write.get());
    if (error != 0) return Problem(WhyNotStarted(error));
    output.write.Close();
    complaint.write.Close();
    const absl::Status watched = Watch(child, output.read, complaint.read);
    // Before the child is reaped nobody else can have its number.
    if (!watched.ok()) kill(-child, SIGKILL);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    PM_RETURN_IF_ERROR(watched);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return ParseExecCredential(plugin_.api_version, output_);
    std::string why = WIFEXITED(status) ? absl::StrCat("it ended with status ", WEXITSTATUS(status))
                                        : absl::StrCat("it was ended by signal ", WTERMSIG(status));
    const std::string line = LastLine(complaint_);
    return Problem(line.empty() ? why : absl::StrCat(why, ": ", line));
  }

  std::string WhyNotStarted(int error) const {
    if (error != ENOENT) return absl::StrCat("it cannot be started: ", std::strerror(error));
    const bool has_path = absl::StrContains(plugin_.command, "/");
    std::string why = has_path ? "there is no such program" : "there is no such program in PATH";
    if (plugin_.install_hint.empty()) return why;
    return absl::StrCat(why, "; ", absl::Utf8SafeCHexEscape(absl::StripAsciiWhitespace(plugin_.install_hint)));
  }

  // Collects what the child says until it has ended. What it leaves running may keep the pipes open.
  absl::Status Watch(pid_t child, const Fd& output, const Fd& complaint) {
    // glibc 2.36 declares pidfd_open as if it were C++.
    const Fd ended(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
    if (!ended.open()) return Problem(absl::StrCat("pidfd_open: ", std::strerror(errno)));
    const SteadyTime deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(time_limit_);
    pollfd fds[] = {
        {stop_.get(), POLLIN, 0}, {ended.get(), POLLIN, 0}, {output.get(), POLLIN, 0}, {complaint.get(), POLLIN, 0}};
    for (;;) {
      const int ready = poll(fds, 4, MillisecondsUntil(deadline));
      if (ready < 0 && errno != EINTR) return Problem(absl::StrCat("poll: ", std::strerror(errno)));
      if (ready < 0) continue;
      if (fds[0].revents != 0) {
        stopped_ = true;
        return Problem("it was not needed any more");
      }
      const bool over = fds[1].revents != 0;  // what is in the pipes by now is all there will be
      if (fds[2].fd >= 0 && !Drain(output.get(), output_, kMostOutput)) fds[2].fd = -1;
      if (output_.size() > kMostOutput) return Problem("it printed more than 1 MiB");
      if (fds[3].fd >= 0 && !Drain(complaint.get(), complaint_, kMostOutput)) fds[3].fd = -1;
      KeepEnd(complaint_);
      if (over) return absl::OkStatus();
      if (MillisecondsUntil(deadline) > 0) continue;
      const std::string line = LastLine(complaint_);
      return Problem(absl::StrCat("no answer within ", absl::FormatDuration(time_limit_),
                                  line.empty() ? "" : absl::StrCat("; its last words: ", line)));
    }
  }

  const ExecPlugin& plugin_;
  const std::vector<std::string> environment_;
  const absl::Duration time_limit_;
  absl::AnyInvocable<void()>& wake_;
  const Fd stop_;
  bool stopped_ = false;  // the thread's own
  std::string output_;
  std::string complaint_;
  std::mutex mutex_;
  std::optional<absl::StatusOr<PluginAnswer>> answer_;
  std::thread thread_;  // last: it uses the others
};

PluginRunner::PluginRunner(ExecPlugin plugin, absl::Duration time_limit, absl::AnyInvocable<void()> wake)
    : plugin_(std::move(plugin)), time_limit_(time_limit), wake_(std::move(wake)) {}

PluginRunner::~PluginRunner() = default;

bool PluginRunner::running() const { return run_ != nullptr; }

void PluginRunner::Start(const std::string& exec_info) {
  PM_CHECK(run_ == nullptr);
  run_ = std::make_unique<Run>(plugin_, exec_info, time_limit_, wake_);
}

std::optional<absl::StatusOr<PluginAnswer>> PluginRunner::Take() {
  if (run_ == nullptr) return std::nullopt;
  std::optional<absl::StatusOr<PluginAnswer>> answer = run_->Take();
  if (answer) run_.reset();
  return answer;
}

}  // namespace pointsman::kube
