// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/http_connection.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <sys/socket.h>

#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/time/clock.h"

#include "pointsman/status.h"

namespace pointsman::serve {
namespace {

// More than that is not read ahead of a client that sends requests without waiting for answers.
constexpr size_t kReadAhead = 32 << 10;
constexpr absl::Duration kLeave = absl::Seconds(1);

}  // namespace

HttpConnection::HttpConnection(event_base* base, int fd, const HttpReader::Limits& limits, const Timeouts& timeouts,
                               absl::AnyInvocable<Response(const Request&)> handler, absl::AnyInvocable<void()> done)
    : timeouts_(timeouts), handler_(std::move(handler)), done_(std::move(done)), reader_(limits) {
  stream_ = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
  PM_CHECK(stream_ != nullptr);
  bufferevent_setcb(
      stream_, [](bufferevent*, void* self) { static_cast<HttpConnection*>(self)->Continue(); },
      [](bufferevent*, void* self) { static_cast<HttpConnection*>(self)->Written(); },
      [](bufferevent*, short what, void* self) { static_cast<HttpConnection*>(self)->Ended(what); }, this);
  bufferevent_setwatermark(stream_, EV_READ, 0, kReadAhead);
  deadline_ = event_new(
      base, -1, 0, [](evutil_socket_t, short, void* self) { static_cast<HttpConnection*>(self)->Done(); }, this);
  PM_CHECK(deadline_ != nullptr);
  PM_CHECK(bufferevent_enable(stream_, EV_READ | EV_WRITE) == 0);
  SetDeadline(timeouts_.request);
}

HttpConnection::~HttpConnection() {
  event_free(deadline_);
  bufferevent_free(stream_);
}

void HttpConnection::SetDeadline(absl::Duration from_now) {
  const timeval tv = absl::ToTimeval(from_now);
  PM_CHECK(event_add(deadline_, &tv) == 0);
}

void HttpConnection::Done() { std::exchange(done_, nullptr)(); }

void HttpConnection::Continue() {
  evbuffer* const input = bufferevent_get_input(stream_);
  if (phase_ == Phase::kLeaving) {
    evbuffer_drain(input, evbuffer_get_length(input));
    return;
  }
  while (phase_ == Phase::kReading && evbuffer_get_length(input) > 0) {
    if (!begun_) {
      begun_ = true;
      SetDeadline(timeouts_.request);
    }
    const size_t n = evbuffer_get_contiguous_space(input);
    const auto* bytes = reinterpret_cast<const char*>(evbuffer_pullup(input, static_cast<ev_ssize_t>(n)));
    evbuffer_drain(input, reader_.Feed(absl::string_view(bytes, n)));
    if (reader_.state() == HttpReader::State::kComplete) {
      Respond(handler_(reader_.request()), reader_.keep_alive());
    } else if (reader_.state() == HttpReader::State::kRefused) {
      Respond(Text(reader_.refusal(), ""), false);
    }
  }
}

void HttpConnection::Respond(const Response& response, bool keep) {
  const char* connection = !keep ? "close" : reader_.http10() ? "keep-alive" : "";
  const std::string bytes = FormatResponse(response, reader_.request().method, connection, absl::Now());
  reader_.Next();
  phase_ = keep ? Phase::kWriting : Phase::kLast;
  SetDeadline(timeouts_.response);
  bufferevent_write(stream_, bytes.data(), bytes.size());
}

void HttpConnection::Written() {
  if (phase_ == Phase::kWriting) {
    phase_ = Phase::kReading;
    begun_ = false;
    SetDeadline(timeouts_.idle);
    Continue();
    if (phase_ == Phase::kReading && ended_) Done();
  } else if (phase_ == Phase::kLast) {
    // Closing at once would reset the connection if the client has more to say, and take the answer from it.
    phase_ = Phase::kLeaving;
    shutdown(bufferevent_getfd(stream_), SHUT_WR);
    SetDeadline(kLeave);
    Continue();
    if (ended_) Done();
  }
}

// A client that has said all it had to say may still wait for the answer to it.
void HttpConnection::Ended(short what) {
  ended_ = true;
  const bool waits_for_answer = phase_ == Phase::kWriting || phase_ == Phase::kLast;
  if ((what & BEV_EVENT_EOF) == 0 || !waits_for_answer) Done();
}

}  // namespace pointsman::serve
