// SPDX-License-Identifier: Apache-2.0
//
// One request of an HttpClient, as libcurl sees it.
#pragma once

#include <curl/curl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/time.h"

#include "agent/kube/http.h"
#include "agent/kube/http_error.h"
#include "pointsman/status.h"

namespace pointsman::kube {

// Time that only goes forward, whatever is done to the calendar.
absl::Duration SteadyTime();

struct EasyCleanup {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
using Easy = std::unique_ptr<CURL, EasyCleanup>;

struct ListCleanup {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using List = std::unique_ptr<curl_slist, ListCleanup>;

// What libcurl holds of a body for one request: the most it can.
inline constexpr int64_t kBuffer = 512 << 10;
inline constexpr absl::Duration kStuck = absl::Milliseconds(500);

// Connections of one generation. A multi handle shares them among its transfers, and with nobody else.
struct Pool {
  Pool() : multi(curl_multi_init()) { PM_CHECK(multi != nullptr); }
  ~Pool() { curl_multi_cleanup(multi); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  CURLM* const multi;
  int running = 0;
};

// What all transfers of a client add to.
struct Account {
  HttpStats stats;
  bool heard = false;  // a handler was called
};

// One request on its way. Lives where it was made: libcurl holds pointers into it.
struct Transfer {
  Transfer(HttpClient::Id i, HttpServer s, HttpRequest r, HttpClient::Handlers h, Account& a)
      : id(i),
        server(std::move(s)),
        request(std::move(r)),
        handlers(std::move(h)),
        account(a),
        started(SteadyTime()),
        last_piece(started) {}
  ~Transfer() { Leave(); }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  void Leave() {
    if (pool == nullptr) return;
    curl_multi_remove_handle(pool->multi, easy.get());
    --pool->running;
    pool = nullptr;
  }

  // libcurl 7.88 reads from the socket for any stream of an HTTP/2 connection. When that is more than kBuffer for
  // another stream it pauses nghttp2, and once that stream has taken its bytes it goes on with the next bytes of the
  // socket. If there are none, because the frame was the last one, then the end of the body that stood in this frame is
  // found only when the server says something else: maybe never. No call of libcurl helps but one that makes the server
  // speak. Returns: from when on this may have happened.
  absl::Duration MayBeStuck() const {
    return http2 && burst >= kBuffer ? last_piece + kStuck : absl::InfiniteDuration();
  }

  // As if it had not been begun yet.
  void Rewind() {
    Leave();
    easy.reset();
    error[0] = '\0';
    socket = -1;
    head = {};
    sent = false;
    connections = 0;
  }

  // Bytes of the body up to now, compressed as they came.
  int64_t Received() const {
    curl_off_t bytes = 0;
    if (easy != nullptr) curl_easy_getinfo(easy.get(), CURLINFO_SIZE_DOWNLOAD_T, &bytes);
    return bytes;
  }

  // When which of the timeouts will have run out.
  std::pair<absl::Duration, Timeout> Deadline() const {
    const std::pair<absl::Duration, Timeout> total(started + request.timeout, Timeout::kTotal);
    const std::pair<absl::Duration, Timeout> now =
        answered ? std::pair(last_piece + request.silence_timeout, Timeout::kSilence)
                 : std::pair(started + request.head_timeout, Timeout::kHead);
    return std::min(total, now);
  }

  const HttpClient::Id id;
  const HttpServer server;
  const HttpRequest request;
  HttpClient::Handlers handlers;
  Account& account;
  const absl::Duration started;

  Easy easy;
  List headers;
  List connect_to;
  char error[CURL_ERROR_SIZE] = "";
  Pool* pool = nullptr;  // null: not begun
  int socket = -1;       // the last one opened for it; valid only while it connects

  HttpHead head;
  bool answered = false;
  bool http2 = false;  // is what it is answered in
  bool sent = false;
  bool repeated = false;   // see HttpClient::Impl::Work
  bool cancelled = false;  // nobody wants to hear of it any more
  long connections = 0;    // NOLINT(google-runtime-int): CURLINFO_NUM_CONNECTS
  absl::Duration to_head;  // once `answered`
  absl::Duration last_piece;
  int64_t burst = 0;  // bytes since the server was last made to speak
};

// Readies `transfer.easy`: all that libcurl is told of a request.
CURLcode Prepare(Transfer& transfer, const std::string& user_agent, bool http2);

HttpCost CostOf(const Transfer& transfer);

// What is known of it now; without a code.
TransferFacts FactsOf(const Transfer& transfer);

}  // namespace pointsman::kube
