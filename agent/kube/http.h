// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace pointsman::kube {

// How to reach a server. Requests with equal ones share a connection.
struct HttpServer {
  std::string url;  // "https://192.0.2.1:6443", maybe with a path, without a slash at the end
  std::string ca;   // PEM; empty: the system's
  std::string tls_server_name;
  bool insecure_skip_tls_verify = false;
  std::string proxy_url;
  bool disable_compression = false;
  std::string certificate;  // PEM, of the client
  std::string key;          // PEM
};

struct HttpRequest {
  std::string path;                                 // and query, as they go on the wire: "/api/v1/services?limit=500"
  std::vector<std::string> headers;                 // complete lines, besides User-Agent and what libcurl adds
  absl::Duration head_timeout = absl::Seconds(60);  // from the start to the head of the answer
  absl::Duration silence_timeout = absl::InfiniteDuration();  // between two pieces of the body
  absl::Duration timeout = absl::InfiniteDuration();          // for all of it
};

// What a request has cost up to now.
struct HttpCost {
  absl::Duration to_head;                     // from the start to the head of the answer, or until now if there is none
  std::optional<absl::Duration> name_lookup;  // of a host that was given by name, for a connection of its own
  int64_t bytes_sent = 0;                     // of the request, its headers before they are compressed
  int64_t bytes_received = 0;                 // of the body, as they came over the wire
  bool repeated = false;                      // the connection it first went out on was lost before an answer
};

struct HttpHead {
  int code = 0;
  std::string content_type;
  std::optional<absl::Duration> retry_after;  // of Retry-After in seconds
  std::vector<std::string> warnings;          // of Warning
  HttpCost cost;
};

struct HttpEnd {
  // OK: the answer is complete, whatever its code. Else what became of the transfer:
  // kUnavailable: not connected, or the connection broke. kDeadlineExceeded: one of the timeouts.
  // kUnauthenticated: the server's certificate cannot be trusted, or it does not take ours. kCancelled: the body
  // was not wanted any more. The message says what was attempted, on which server, why it failed, and what to do.
  absl::Status status;
  bool answered = false;  // there was a head
  HttpCost cost;
};

struct HttpStats {
  int64_t requests = 0;
  int64_t connections = 0;     // opened
  int64_t bytes_received = 0;  // bodies, as they came over the wire
};

// HTTP/2 over TLS, all requests to one server on one connection; HTTP/1.1 where the server knows nothing else.
//
// A connection whose other end is gone without a word is noticed within 45 s by TCP's keep-alive (idle 30 s, then every
// 5 s) and user timeout.
// libcurl 7.88 has no HTTP/2 PING for what runs in a multi handle (curl_easy_upkeep(3)): a server that holds the
// connection and does nothing must be noticed by whoever sends requests.
//
// Threads: all but Wake from one.
class HttpClient {
 public:
  using Id = uint64_t;

  // `head` comes once, `body` any number of times, `end` once; none of them from within Start or Cancel. They may call
  // Start and Cancel, but not Poll.
  struct Handlers {
    absl::AnyInvocable<void(const HttpHead&)> head;
    absl::AnyInvocable<bool(absl::string_view)> body;  // decompressed; false: no more, please
    absl::AnyInvocable<void(const HttpEnd&)> end;
  };

  explicit HttpClient(std::string user_agent);
  ~HttpClient();  // cancels what runs
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  Id Start(const HttpServer& server, const HttpRequest& request, Handlers handlers);
  // Ends a request; its handlers are not called any more. Nothing if it is over.
  void Cancel(Id id);
  // Requests started from now on use no connection opened before. Those under way go on.
  void RetireConnections();

  // Does what can be done now, waiting up to `wait` for there to be something, or for Wake.
  void Poll(absl::Duration wait);
  // From any thread.
  void Wake();

  HttpStats stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pointsman::kube
