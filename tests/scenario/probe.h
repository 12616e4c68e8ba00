// SPDX-License-Identifier: Apache-2.0
//
// Servers for many addresses in many namespaces, and clients that ask many questions at once, each over a protocol and
// from an address of its own. A question is one line; so is the answer: "NAME PEER-ADDRESS".
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"

#include "pointsman/net.h"
#include "tests/scenario/scenario.h"
#include "tests/support/netns.h"

namespace pointsman::scenario {

// Whether this kernel speaks SCTP.
bool HaveSctp();

// Answers until destroyed. TCP and SCTP connections stay open for further questions.
//
// Threads: one owner; serving is one thread for all addresses.
class Servers {
 public:
  Servers();
  ~Servers();
  Servers(const Servers&) = delete;
  Servers& operator=(const Servers&) = delete;

  // `name` answers at `at`; does nothing if somebody in `ns` already does. Ends the test program if the address cannot
  // be had.
  void Listen(support::NetNs& ns, const std::string& name, Wire wire, const SocketAddr& at);

 private:
  struct Socket {
    std::string name;
    bool listening = false;
    bool datagrams = false;
  };
  void Serve();
  void Answer(int fd, const Socket& socket);

  const int epoll_;
  const int stop_;
  std::set<std::tuple<support::NetNs*, Wire, SocketAddr>> taken_;
  std::mutex mutex_;
  std::map<int, Socket> sockets_;
  std::thread thread_;
};

struct Answer {
  enum class Kind { kAnswered, kRefused, kSilence, kForbidden, kOther };
  Kind kind = Kind::kOther;
  int error = 0;
  std::string name;
  std::string seen_as;  // our address as the server saw it, without the port
  absl::Duration took;

  std::string Text() const;
};

struct Probe {
  support::NetNs* from = nullptr;
  std::optional<IpAddr> source;
  Wire wire = Wire::kTcp;
  SocketAddr to;
  absl::Duration patience;  // then it is silence
};

// Asks all of `probes`, each on a new socket, `at_once` at a time. Answers are in the order of the probes.
std::vector<Answer> AskAll(const std::vector<Probe>& probes, size_t at_once = 48);

// A socket that stays: a TCP or SCTP connection, or a UDP socket with one peer.
class Persistent {
 public:
  // Connects at once; what failed, the first Ask says.
  explicit Persistent(const Probe& probe);
  ~Persistent();
  Persistent(const Persistent&) = delete;
  Persistent& operator=(const Persistent&) = delete;

  Answer Ask(absl::Duration patience);

 private:
  const int fd_;
  int error_ = 0;
};

// HTTP GET / of `to` from `from`; the status code, -1 if there is no answer.
int HttpStatus(support::NetNs& from, const SocketAddr& to, absl::Duration patience);

}  // namespace pointsman::scenario
