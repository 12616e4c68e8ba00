// SPDX-License-Identifier: Apache-2.0
//
// Servers that say who they are, and clients that tell what became of their question.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"

#include "pointsman/net.h"
#include "tests/support/netns.h"

namespace pointsman::support {

// Answers every request with one line, "NAME PEER-ADDRESS": HTTP/1.1 over TCP, one datagram for one over UDP.
class NameServer {
 public:
  NameServer(NetNs& ns, std::string name);
  ~NameServer();
  NameServer(const NameServer&) = delete;
  NameServer& operator=(const NameServer&) = delete;

  // Ends the test program if the address cannot be had.
  void Listen(Protocol protocol, const SocketAddr& at);
  const std::string& name() const { return name_; }
  int64_t answered() const { return answered_.load(std::memory_order_relaxed); }

 private:
  struct Listener {
    Protocol protocol;
    int fd;
  };
  void Serve();
  void AnswerDatagrams(int fd);
  void Accept(int fd);
  // False when the connection is done with.
  bool Read(int fd, std::string& request);

  NetNs& ns_;
  const std::string name_;
  const int epoll_;
  const int stop_;
  std::atomic<int64_t> answered_ = 0;
  std::mutex mutex_;
  std::vector<Listener> listeners_;
  std::map<int, std::string> requests_;  // by connection; the serving thread's own
  std::thread thread_;
};

enum class Outcome { kAnswered, kRefused, kTimeout, kUnreachable, kOther };
const char* FormatOutcome(Outcome outcome);

struct Reply {
  Outcome outcome = Outcome::kOther;
  int error = 0;        // errno, 0 when answered
  std::string name;     // of the server
  std::string seen_as;  // our address as the server saw it, "192.0.2.2:40000"
  absl::Duration took;

  // "answered by pod-1 who saw 192.0.2.2:40000 (1.2ms)", "refused (0.3ms)"
  std::string Text() const;
};

// One question from inside `from`, on a new connection, to the end.
Reply Ask(NetNs& from, Protocol protocol, const SocketAddr& to, absl::Duration timeout = absl::Seconds(3));

struct LoadReport {
  int64_t started = 0;
  int64_t answered = 0;
  int64_t failed = 0;
  std::map<std::string, int64_t> by_name;
  std::vector<std::string> failures;  // the first 20
  absl::Duration slowest;
  absl::Duration lasted;

  std::string Text() const;
};

// New connections at an even rate, each asking for the server's name, until stopped.
class Load {
 public:
  Load(NetNs& from, const SocketAddr& to, double per_second, absl::Duration timeout = absl::Seconds(3));
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  LoadReport Snapshot();
  // Starts no more, waits for those on the way.
  LoadReport Stop();

 private:
  struct Connection;
  struct Run;

  std::atomic<bool> stop_ = false;
  std::mutex mutex_;
  LoadReport report_;
  std::thread thread_;
};

}  // namespace pointsman::support
