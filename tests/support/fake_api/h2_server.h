// SPDX-License-Identifier: Apache-2.0
//
// HTTP/2 over TLS for tests: one thread, one epoll, any number of connections. Knows nothing of Kubernetes.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"

#include "tests/support/fake_api/certificates.h"

namespace pointsman::support {

// The body of an answer, asked for as fast as the client takes it.
class H2Body {
 public:
  enum class Then : uint8_t { kMore, kWait, kEnd };
  struct Part {
    size_t size = 0;
    Then then = Then::kEnd;  // kWait: nothing further until H2Server::Resume
  };

  virtual ~H2Body() = default;
  // Writes the next bytes, no more than `room`.
  virtual Part Read(char* to, size_t room) = 0;
};

// A body that is known.
class FixedBody : public H2Body {
 public:
  // `then`, kEnd or kWait, is what comes after the last byte.
  explicit FixedBody(std::string text, Then then = Then::kEnd) : text_(std::move(text)), then_(then) {}
  Part Read(char* to, size_t room) override;

 private:
  std::string text_;
  Then then_;
  size_t at_ = 0;
};

using H2Stream = uint64_t;  // never used twice

struct H2Request {
  H2Stream stream = 0;
  int connection = 0;  // from 1
  std::string method;
  std::string path;  // and query, as it came
  std::map<std::string, std::string> headers;
  std::string client;  // common name of the client's certificate, if it is of the CA the server trusts
};

struct H2Answer {
  int code = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::unique_ptr<H2Body> body;      // null: none
  std::optional<size_t> cut_after;   // so many bytes of the body, then RST_STREAM …
  bool cut_connection = false;       // … or the end of the connection
  std::optional<size_t> slow_bytes;  // so many bytes of the body each 10 ms
};

// Threads: the server's own calls the handlers, and bodies, under the lock. Everybody else takes it with Lock() and
// keeps it during a call of anything but Start, Wake and the destructor.
class H2Server {
 public:
  struct Handlers {
    std::function<void(const H2Request&)> request;
    std::function<void(H2Stream)> closed;  // answered or not; the body is gone after it
  };
  struct Endpoint {
    std::string address;
    int port = 0;  // 0: any free one, kept from then on
    Certificate certificate;
    std::string client_ca;  // PEM
  };

  explicit H2Server(Handlers handlers);
  ~H2Server();
  H2Server(const H2Server&) = delete;
  H2Server& operator=(const H2Server&) = delete;

  std::unique_lock<std::recursive_mutex> Lock();

  // Returns: the port.
  int Listen(const Endpoint& endpoint);
  // Stops listening and drops all connections.
  void Close();

  // Nothing if the stream is gone.
  void Respond(H2Stream stream, H2Answer answer);
  // The body has more to say.
  void Resume(H2Stream stream);
  // Calls `then` on the server's thread.
  void At(absl::Time time, std::function<void()> then);

  void Disconnect();
  void GoAway();
  void SetFrozen(bool frozen);

  int connections() const { return connections_; }
  int open_connections() const;
  int64_t bytes_sent() const { return bytes_sent_; }

 private:
  class Connection;
  struct Tls;
  friend class Connection;

  void Run();
  void Wake();
  void Accept();
  void Watch(int fd, uint64_t what);
  void Unwatch(int fd);
  absl::Duration UntilTimer() const;
  void RunTimers();

  Handlers handlers_;
  std::recursive_mutex mutex_;
  std::atomic<int> waiting_ = 0;  // for the lock, so that a busy server lets them have it
  int epoll_ = -1;
  int wake_ = -1;
  int listener_ = -1;
  int port_ = 0;
  std::unique_ptr<Tls> tls_;
  std::map<int, std::unique_ptr<Connection>> open_;  // by number
  std::map<H2Stream, int> connection_of_;
  std::multimap<absl::Time, std::function<void()>> timers_;
  H2Stream last_stream_ = 0;
  int last_connection_ = 0;
  int connections_ = 0;
  int64_t bytes_sent_ = 0;
  bool frozen_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace pointsman::support
