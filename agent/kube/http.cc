// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/http.h"

#include <curl/curl.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <utility>

#include "agent/kube/http_error.h"
#include "agent/kube/http_transfer.h"
#include "pointsman/status.h"

namespace pointsman::kube {
namespace {

// Of sockets that cannot be waited for; see Impl::Wait.
constexpr absl::Duration kBlindWait = absl::Milliseconds(20);

// A connection that was open already went under a request before there was an answer: the server restarts, or said
// GOAWAY in this very moment. Nothing is wrong with either, so that the request deserves another connection. libcurl
// sees to that with HTTP/1.1 only.
bool DeservesAnother(const Transfer& transfer, CURLcode code) {
  const bool lost = code == CURLE_HTTP2 || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR ||
                    code == CURLE_GOT_NOTHING || code == CURLE_PARTIAL_FILE;
  return lost && transfer.sent && transfer.connections == 0 && !transfer.answered && !transfer.repeated &&
         !transfer.cancelled;
}

}  // namespace

class HttpClient::Impl {
 public:
  explicit Impl(std::string user_agent);
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Id Start(const HttpServer& server, const HttpRequest& request, Handlers handlers);
  void Cancel(Id id);
  void RetireConnections();
  void Poll(absl::Duration wait);
  void Wake() const;
  HttpStats stats() const;

 private:
  using Transfers = std::map<Id, std::unique_ptr<Transfer>>;

  void Work();
  CURLcode Begin(Transfer& transfer, Pool& pool);
  void RousePools();
  void Wait(absl::Duration wait);
  void DropCancelled();
  void DropRetired();
  void Finish(Id id, const absl::Status& status);

  const std::string user_agent_;
  const bool http2_;
  const int wake_fd_;
  std::vector<std::unique_ptr<Pool>> pools_;  // the last one takes new requests; the others are retired
  Transfers transfers_;
  Id last_id_ = 0;
  bool polling_ = false;
  Account account_;
};

HttpClient::Impl::Impl(std::string user_agent)
    : user_agent_(std::move(user_agent)),
      http2_([] {
        const char* disabled = getenv("DISABLE_HTTP2");
        return disabled == nullptr || *disabled == '\0';
      }()),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  static const CURLcode kInitialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  PM_CHECK(kInitialised == CURLE_OK);
  PM_CHECK(wake_fd_ >= 0);
  pools_.push_back(std::make_unique<Pool>());
}

HttpClient::Impl::~Impl() {
  for (const auto& [id, transfer] : transfers_) transfer->cancelled = true;
  DropCancelled();
  pools_.clear();
  close(wake_fd_);
}

HttpClient::Id HttpClient::Impl::Start(const HttpServer& server, const HttpRequest& request, Handlers handlers) {
  ++account_.stats.requests;
  const Id id = ++last_id_;
  transfers_.emplace(id, std::make_unique<Transfer>(id, server, request, std::move(handlers), account_));
  return id;
}

void HttpClient::Impl::Cancel(Id id) {
  const auto found = transfers_.find(id);
  if (found == transfers_.end()) return;
  found->second->cancelled = true;
  // Maybe it is the one whose handler is running, and libcurl takes no removal from within.
  if (!polling_) DropCancelled();
}

void HttpClient::Impl::RetireConnections() {
  pools_.push_back(std::make_unique<Pool>());
  if (!polling_) DropRetired();
}

void HttpClient::Impl::Wake() const {
  const uint64_t one = 1;
  // Full means that it wakes anyway.
  (void)!write(wake_fd_, &one, sizeof one);
}

HttpStats HttpClient::Impl::stats() const {
  HttpStats stats = account_.stats;
  for (const auto& [id, transfer] : transfers_) stats.bytes_received += transfer->Received();
  return stats;
}

void HttpClient::Impl::Poll(absl::Duration wait) {
  polling_ = true;
  account_.heard = false;
  Work();
  if (!account_.heard) {
    Wait(wait);
    Work();
  }
  polling_ = false;
}

void HttpClient::Impl::Work() {
  DropCancelled();
  RousePools();
  std::vector<std::pair<Id, CURLcode>> done;
  for (auto& [id, transfer] : transfers_) {
    if (transfer->easy != nullptr) continue;
    const CURLcode code = Begin(*transfer, *pools_.back());
    if (code != CURLE_OK) done.emplace_back(id, code);
  }

  // By index: handlers may retire connections, which adds one.
  size_t next = 0;
  while (next < pools_.size()) {
    CURLM* const multi = pools_[next++]->multi;
    int running = 0;
    PM_CHECK(curl_multi_perform(multi, &running) == CURLM_OK);
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      char* transfer = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
      done.emplace_back(reinterpret_cast<Transfer*>(transfer)->id, message->data.result);
    }
  }

  for (const auto& [id, code] : done) {
    Transfer& transfer = *transfers_.at(id);
    if (DeservesAnother(transfer, code)) {
      transfer.Rewind();
      transfer.repeated = true;
      continue;
    }
    TransferFacts facts = FactsOf(transfer);
    facts.code = code;
    Finish(id, ExplainTransfer(facts));
  }

  const absl::Duration now = SteadyTime();
  std::vector<std::pair<Id, absl::Status>> late;
  for (const auto& [id, transfer] : transfers_) {
    const auto [deadline, which] = transfer->Deadline();
    if (now < deadline || transfer->cancelled) continue;
    const HttpRequest& request = transfer->request;
    const absl::Duration after = which == Timeout::kTotal  ? request.timeout
                                 : which == Timeout::kHead ? request.head_timeout
                                                           : request.silence_timeout;
    late.emplace_back(id, ExplainTimeout(FactsOf(*transfer), which, after));
  }
  for (const auto& [id, status] : late) Finish(id, status);

  DropCancelled();
  DropRetired();
}

CURLcode HttpClient::Impl::Begin(Transfer& transfer, Pool& pool) {
  const CURLcode code = Prepare(transfer, user_agent_, http2_);
  if (code != CURLE_OK) return code;
  if (curl_multi_add_handle(pool.multi, transfer.easy.get()) != CURLM_OK) return CURLE_FAILED_INIT;
  transfer.pool = &pool;
  ++pool.running;
  return CURLE_OK;
}

// Makes servers speak of which libcurl may have forgotten the last word; see Transfer::MayBeStuck. Any answer will do.
void HttpClient::Impl::RousePools() {
  const absl::Duration now = SteadyTime();
  std::vector<Transfer*> stuck;
  for (const auto& [id, transfer] : transfers_) {
    if (transfer->pool != nullptr && transfer->MayBeStuck() <= now) stuck.push_back(transfer.get());
  }
  for (Transfer* transfer : stuck) {
    transfer->burst = 0;
    const HttpRequest request = {
        .path = "/version", .headers = transfer->request.headers, .timeout = absl::Seconds(10)};
    const Id id = ++last_id_;
    auto rouse = std::make_unique<Transfer>(id, transfer->server, request, Handlers(), account_);
    if (Begin(*rouse, *transfer->pool) == CURLE_OK) transfers_.emplace(id, std::move(rouse));
  }
}

void HttpClient::Impl::Finish(Id id, const absl::Status& status) {
  auto node = transfers_.extract(id);
  Transfer& transfer = *node.mapped();
  account_.stats.bytes_received += transfer.Received();
  transfer.Leave();
  if (transfer.cancelled) return;
  account_.heard = true;
  if (transfer.handlers.end) {
    transfer.handlers.end(HttpEnd{.status = status, .answered = transfer.answered, .cost = CostOf(transfer)});
  }
}

void HttpClient::Impl::DropCancelled() {
  // What handlers hold goes when this is done, and may well call Cancel.
  std::vector<std::unique_ptr<Transfer>> gone;
  for (auto it = transfers_.begin(); it != transfers_.end();) {
    if (!it->second->cancelled) {
      ++it;
      continue;
    }
    account_.stats.bytes_received += it->second->Received();
    it->second->Leave();
    gone.push_back(std::move(it->second));
    it = transfers_.erase(it);
  }
}

void HttpClient::Impl::DropRetired() {
  const auto last = std::prev(pools_.end());
  pools_.erase(std::remove_if(pools_.begin(), last, [](const auto& pool) { return pool->running == 0; }), last);
}

void HttpClient::Impl::Wait(absl::Duration wait) {
  const absl::Duration now = SteadyTime();
  for (const auto& [id, transfer] : transfers_) {
    // Started by a handler just now, or to be repeated.
    if (transfer->easy == nullptr) return;
    wait = std::min({wait, transfer->Deadline().first - now, transfer->MayBeStuck() - now});
  }

  std::vector<curl_waitfd> fds;
  fds.push_back(curl_waitfd{.fd = wake_fd_, .events = CURL_WAIT_POLLIN, .revents = 0});
  // curl_multi_poll waits for one multi handle, the last one; the sockets of the retired ones are its guests.
  for (size_t i = 0; i + 1 < pools_.size(); ++i) {
    CURLM* const multi = pools_[i]->multi;
    long milliseconds = -1;  // NOLINT(google-runtime-int)
    curl_multi_timeout(multi, &milliseconds);
    if (milliseconds >= 0) wait = std::min(wait, absl::Milliseconds(milliseconds));
    fd_set readable;
    fd_set writable;
    fd_set exceptional;
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    FD_ZERO(&exceptional);
    int max = -1;
    curl_multi_fdset(multi, &readable, &writable, &exceptional, &max);
    // Busy resolving a name, or the numbers of its sockets are beyond what an fd_set can hold.
    if (max < 0) wait = std::min(wait, kBlindWait);
    for (int fd = 0; fd <= max; ++fd) {
      const int events =
          (FD_ISSET(fd, &readable) ? CURL_WAIT_POLLIN : 0) | (FD_ISSET(fd, &writable) ? CURL_WAIT_POLLOUT : 0);
      if (events != 0) fds.push_back(curl_waitfd{.fd = fd, .events = static_cast<int16_t>(events), .revents = 0});
    }
  }

  const int64_t milliseconds = absl::ToInt64Milliseconds(
      std::clamp(absl::Ceil(wait, absl::Milliseconds(1)), absl::ZeroDuration(), absl::Hours(1)));
  curl_multi_poll(pools_.back()->multi, fds.data(), static_cast<unsigned>(fds.size()), static_cast<int>(milliseconds),
                  nullptr);
  uint64_t count = 0;
  (void)!read(wake_fd_, &count, sizeof count);
}

HttpClient::HttpClient(std::string user_agent) : impl_(std::make_unique<Impl>(std::move(user_agent))) {}
HttpClient::~HttpClient() = default;
HttpClient::Id HttpClient::Start(const HttpServer& server, const HttpRequest& request, Handlers handlers) {
  return impl_->Start(server, request, std::move(handlers));
}
void HttpClient::Cancel(Id id) { impl_->Cancel(id); }
void HttpClient::RetireConnections() { impl_->RetireConnections(); }
void HttpClient::Poll(absl::Duration wait) { impl_->Poll(wait); }
void HttpClient::Wake() { impl_->Wake(); }
HttpStats HttpClient::stats() const { return impl_->stats(); }

}  // namespace pointsman::kube
