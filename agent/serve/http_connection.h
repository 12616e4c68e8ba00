// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/time/time.h"

#include "agent/serve/http.h"
#include "agent/serve/http_reader.h"

struct bufferevent;
struct event;
struct event_base;

namespace pointsman::serve {

// One client: reads a request, answers it, reads the next once the answer is taken. Not thread-safe.
class HttpConnection {
 public:
  struct Timeouts {
    absl::Duration request;
    absl::Duration response;
    absl::Duration idle;
  };

  // Takes `fd`. `done` is called once, as the last thing: it destroys the connection.
  HttpConnection(event_base* base, int fd, const HttpReader::Limits& limits, const Timeouts& timeouts,
                 absl::AnyInvocable<Response(const Request&)> handler, absl::AnyInvocable<void()> done);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

 private:
  enum class Phase {
    kReading,  // waits for a request, or for the rest of it
    kWriting,  // the answer is on its way; more requests wait
    kLast,     // the same, and then the connection ends
    kLeaving,  // all is said; what the client still sends is thrown away until it closes, too
  };

  void Continue();  // with what has come in
  void Respond(const Response& response, bool keep);
  void Written();
  void Ended(short what);
  void SetDeadline(absl::Duration from_now);
  void Done();

  const Timeouts timeouts_;
  absl::AnyInvocable<Response(const Request&)> handler_;
  absl::AnyInvocable<void()> done_;
  HttpReader reader_;
  Phase phase_ = Phase::kReading;
  bool begun_ = true;   // kReading: the request must be complete in time. Else nothing of it has come yet.
  bool ended_ = false;  // the client says no more
  bufferevent* stream_ = nullptr;
  event* deadline_ = nullptr;
};

}  // namespace pointsman::serve
