// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

#include "agent/serve/http.h"
#include "agent/serve/http_reader.h"
#include "pointsman/net.h"

namespace pointsman::serve {

// Plain HTTP/1.1 on any number of listeners, all on one thread.
//
// Nobody can hold up the others: every step a client has to take has a time limit, and where there are too many
// connections new ones are closed.
//
// Threads: all methods from any; handlers and reports run on the server's own thread, which lives in the network
// namespace of whoever made it. They must be quick, and may call all methods but Flush.
class HttpServer {
 public:
  struct Options {
    HttpReader::Limits limits;
    int max_connections = 1024;
    absl::Duration request_timeout = absl::Seconds(10);   // from connecting, or from its first byte, to its last
    absl::Duration response_timeout = absl::Seconds(30);  // until the client has taken all of it
    absl::Duration idle_timeout = absl::Minutes(3);       // between two requests; longer than scrapes are apart
  };

  using Handler = absl::AnyInvocable<Response(const Request&)>;
  struct Listener {
    std::vector<SocketAddr> addresses;  // it listens on all of them, or on none
    // An unspecified address, of either family, is both families on one socket; where there is no IPv6, IPv4.
    bool any_family = false;
    Handler handler;
    // OK: it listens, or listens again. An error: it does not, and why; once, however often it is tried. May be empty.
    absl::AnyInvocable<void(const absl::Status&)> report;
    // Between attempts; each pause is twice the one before.
    absl::Duration first_pause = absl::Seconds(5);
    absl::Duration longest_pause = absl::Seconds(5);
  };
  using Id = uint64_t;

  explicit HttpServer(const Options& options);
  HttpServer() : HttpServer(Options()) {}
  // Closes everything.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // What is asked for is done soon, in the order it was asked for.
  Id Listen(Listener listener);
  // Addresses it has already are not touched.
  void Move(Id id, std::vector<SocketAddr> addresses);
  // With its connections.
  void Close(Id id);
  // Tries again what does not listen, now.
  void Retry(Id id);

  // Waits until all that was asked for so far is done: closed listeners' handlers run no more.
  void Flush();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pointsman::serve
