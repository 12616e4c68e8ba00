// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/http_server.h"

#include <event2/event.h>
#include <event2/listener.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <future>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

#include "agent/serve/http_connection.h"
#include "agent/serve/listen_socket.h"
#include "pointsman/status.h"

namespace pointsman::serve {
namespace {

// When there is no file descriptor for a client, so long none is taken on.
constexpr absl::Duration kAcceptPause = absl::Seconds(1);

struct FreeEvent {
  void operator()(event* e) const { event_free(e); }
  void operator()(event_base* b) const { event_base_free(b); }
  void operator()(evconnlistener* l) const { evconnlistener_free(l); }
};
template <typename T>
using Owned = std::unique_ptr<T, FreeEvent>;

void Schedule(event* timer, absl::Duration from_now) {
  const timeval tv = absl::ToTimeval(from_now);
  PM_CHECK(event_add(timer, &tv) == 0);
}

}  // namespace

class HttpServer::Impl {
 public:
  explicit Impl(const Options& options)
      : options_(options), base_(event_base_new()), wake_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    PM_CHECK(base_ != nullptr && wake_fd_ >= 0);
    wake_.reset(event_new(base_.get(), wake_fd_, EV_READ | EV_PERSIST, &Impl::OnWake, this));
    PM_CHECK(wake_ != nullptr && event_add(wake_.get(), nullptr) == 0);
    thread_ = std::thread([this] {
      // A client that is gone must not end the process.
      sigset_t broken_pipe;
      sigemptyset(&broken_pipe);
      sigaddset(&broken_pipe, SIGPIPE);
      pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
      event_base_dispatch(base_.get());
    });
  }
  ~Impl() {
    Post([this] { event_base_loopbreak(base_.get()); });
    thread_.join();
    connections_.clear();
    slots_.clear();
    wake_.reset();
    close(wake_fd_);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Id Listen(Listener listener) {
    const Id id = NewId();
    Post([this, id, listener = std::move(listener)]() mutable { Add(id, std::move(listener)); });
    return id;
  }
  void Move(Id id, std::vector<SocketAddr> addresses) {
    Post([this, id, addresses = std::move(addresses)]() mutable {
      const auto it = slots_.find(id);
      if (it == slots_.end()) return;
      it->second->spec.addresses = std::move(addresses);
      it->second->pause = it->second->spec.first_pause;
      Open(*it->second);
    });
  }
  void Close(Id id) {
    Post([this, id] { Remove(id); });
  }
  void Retry(Id id) {
    Post([this, id] {
      const auto it = slots_.find(id);
      if (it != slots_.end() && !it->second->told.ok()) Open(*it->second);
    });
  }
  void Flush() {
    PM_CHECK(std::this_thread::get_id() != thread_.get_id());
    std::promise<void> done;
    Post([&] { done.set_value(); });
    done.get_future().wait();
  }

 private:
  struct Slot {
    Impl* server = nullptr;
    Listener spec;
    std::map<SocketAddr, Owned<evconnlistener>> open;
    Owned<event> retry;
    absl::Duration pause;
    bool starved = false;                                     // it listens, but the last client could not be taken on
    absl::Status told = absl::UnknownError("not tried yet");  // by `report`
  };

  Id NewId() {
    const std::lock_guard lock(mutex_);
    return ++last_id_;
  }
  void Post(absl::AnyInvocable<void()> work) {
    {
      const std::lock_guard lock(mutex_);
      posted_.push_back(std::move(work));
    }
    const uint64_t one = 1;
    PM_CHECK(write(wake_fd_, &one, sizeof one) == sizeof one);
  }
  static void OnWake(evutil_socket_t fd, short, void* self) {
    uint64_t count;
    if (read(fd, &count, sizeof count) < 0) return;
    std::vector<absl::AnyInvocable<void()>> work;
    {
      const std::lock_guard lock(static_cast<Impl*>(self)->mutex_);
      work.swap(static_cast<Impl*>(self)->posted_);
    }
    for (auto& w : work) w();
  }

  void Add(Id id, Listener listener) {
    auto slot = std::make_unique<Slot>();
    slot->server = this;
    slot->spec = std::move(listener);
    slot->pause = slot->spec.first_pause;
    const auto again = [](evutil_socket_t, short, void* s) {
      static_cast<Slot*>(s)->server->Open(*static_cast<Slot*>(s));
    };
    slot->retry.reset(event_new(base_.get(), -1, 0, again, slot.get()));
    PM_CHECK(slot->retry != nullptr);
    Open(*slot);
    slots_.emplace(id, std::move(slot));
  }
  void Remove(Id id) {
    const auto it = slots_.find(id);
    if (it == slots_.end()) return;
    for (auto c = connections_.begin(); c != connections_.end();) {
      const auto here = c++;
      if (here->second.slot == it->second.get()) connections_.erase(here);
    }
    slots_.erase(it);
  }

  // Makes what is open what should be. Where that cannot be, what was open before stays.
  void Open(Slot& slot) {
    std::erase_if(slot.open, [&](const auto& o) {
      return std::find(slot.spec.addresses.begin(), slot.spec.addresses.end(), o.first) == slot.spec.addresses.end();
    });
    std::map<SocketAddr, Owned<evconnlistener>> opened;
    for (const SocketAddr& address : slot.spec.addresses) {
      if (const auto it = slot.open.find(address); it != slot.open.end()) {
        evconnlistener_enable(it->second.get());
        continue;
      }
      const absl::StatusOr<int> fd = ListenOn(address, slot.spec.any_family);
      if (!fd.ok()) {
        Tell(slot, fd.status());
        Schedule(slot.retry.get(), slot.pause);
        slot.pause = std::min(2 * slot.pause, slot.spec.longest_pause);
        return;
      }
      Owned<evconnlistener> listener(evconnlistener_new(base_.get(), &Impl::OnAccept, &slot,
                                                        LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, *fd));
      PM_CHECK(listener != nullptr);
      evconnlistener_set_error_cb(listener.get(), &Impl::OnAcceptFailed);
      opened.emplace(address, std::move(listener));
    }
    slot.open.merge(opened);
    event_del(slot.retry.get());
    slot.pause = slot.spec.first_pause;
    if (!slot.starved) Tell(slot, absl::OkStatus());
  }
  static void Tell(Slot& slot, const absl::Status& status) {
    const bool news = status != slot.told;
    slot.told = status;
    if (news && slot.spec.report) slot.spec.report(status);
  }

  static void OnAccept(evconnlistener*, evutil_socket_t fd, sockaddr*, int, void* data) {
    Slot* const slot = static_cast<Slot*>(data);
    slot->server->Accept(*slot, fd);
  }
  void Accept(Slot& slot, int fd) {
    if (std::exchange(slot.starved, false)) Tell(slot, absl::OkStatus());
    if (std::cmp_greater_equal(connections_.size(), options_.max_connections)) {
      close(fd);
      return;
    }
    const uint64_t key = ++last_connection_;
    Client& client = connections_[key];
    client.slot = &slot;
    client.connection = std::make_unique<HttpConnection>(
        base_.get(), fd, options_.limits,
        HttpConnection::Timeouts{options_.request_timeout, options_.response_timeout, options_.idle_timeout},
        [&slot](const Request& request) { return slot.spec.handler(request); },
        [this, key] { connections_.erase(key); });
  }
  // The client stays in the queue and the socket readable: without a pause the thread would do nothing but try.
  static void OnAcceptFailed(evconnlistener*, void* data) {
    Slot& slot = *static_cast<Slot*>(data);
    const int error = errno;
    slot.starved = true;
    Tell(slot, absl::ResourceExhaustedError(absl::StrCat("accept a connection: ", strerror(error))));
    for (const auto& [address, listener] : slot.open) evconnlistener_disable(listener.get());
    Schedule(slot.retry.get(), kAcceptPause);
  }

  const Options options_;
  const Owned<event_base> base_;
  const int wake_fd_;
  Owned<event> wake_;

  std::mutex mutex_;
  std::vector<absl::AnyInvocable<void()>> posted_ ABSL_GUARDED_BY(mutex_);
  Id last_id_ ABSL_GUARDED_BY(mutex_) = 0;

  // The thread's own.
  struct Client {
    Slot* slot = nullptr;
    std::unique_ptr<HttpConnection> connection;
  };
  absl::flat_hash_map<Id, std::unique_ptr<Slot>> slots_;
  absl::flat_hash_map<uint64_t, Client> connections_;
  uint64_t last_connection_ = 0;

  std::thread thread_;  // last: it uses all of the above
};

HttpServer::HttpServer(const Options& options) : impl_(std::make_unique<Impl>(options)) {}
HttpServer::~HttpServer() = default;
HttpServer::Id HttpServer::Listen(Listener listener) { return impl_->Listen(std::move(listener)); }
void HttpServer::Move(Id id, std::vector<SocketAddr> addresses) { impl_->Move(id, std::move(addresses)); }
void HttpServer::Close(Id id) { impl_->Close(id); }
void HttpServer::Retry(Id id) { impl_->Retry(id); }
void HttpServer::Flush() { impl_->Flush(); }

}  // namespace pointsman::serve
