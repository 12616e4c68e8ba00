// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_api/h2_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"

#include "pointsman/status.h"

namespace pointsman::support {
namespace {

constexpr uint64_t kWakeEvent = uint64_t{1} << 32;
constexpr uint64_t kListenEvent = kWakeEvent + 1;
constexpr size_t kOut = 64 << 10;  // gathered before it is encrypted
constexpr size_t kTurn = 1 << 20;  // what a connection may send before the others have their turn
constexpr absl::Duration kSlowTick = absl::Milliseconds(10);
// Between the last bytes of what is cut and its end: clients that see both at once drop the bytes.
constexpr absl::Duration kLastWords = absl::Milliseconds(20);

template <typename T, typename F>
T* ReadPem(const std::string& text, F* read) {
  BIO* bio = BIO_new_mem_buf(text.data(), static_cast<int>(text.size()));
  T* result = read(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  PM_CHECK(result != nullptr);
  return result;
}

int ChooseProtocol(SSL* /*ssl*/, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                   unsigned int in_size, void* /*argument*/) {
  static constexpr unsigned char kH2[] = "\x02h2";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kH2, 3, in, in_size) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

// Whoever shows a certificate of somebody else's, or none, is let in, and answered 401 if need be, as the API server
// does.
int TakeAnyClient(int /*verified*/, X509_STORE_CTX* /*context*/) { return 1; }

nghttp2_nv Header(const std::string& name, const std::string& value) {
  const auto bytes = [](const std::string& text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));  // nghttp2 copies it
  };
  return {.name = bytes(name),
          .value = bytes(value),
          .namelen = name.size(),
          .valuelen = value.size(),
          .flags = NGHTTP2_NV_FLAG_NONE};
}

}  // namespace

H2Body::Part FixedBody::Read(char* to, size_t room) {
  const size_t size = std::min(room, text_.size() - at_);
  std::memcpy(to, text_.data() + at_, size);
  at_ += size;
  return {.size = size, .then = at_ == text_.size() ? then_ : Then::kMore};
}

struct H2Server::Tls {
  SSL_CTX* context = nullptr;

  explicit Tls(const Endpoint& endpoint) : context(SSL_CTX_new(TLS_server_method())) {
    PM_CHECK(context != nullptr);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    X509* certificate = ReadPem<X509>(endpoint.certificate.certificate, PEM_read_bio_X509);
    EVP_PKEY* key = ReadPem<EVP_PKEY>(endpoint.certificate.key, PEM_read_bio_PrivateKey);
    X509* ca = ReadPem<X509>(endpoint.client_ca, PEM_read_bio_X509);
    PM_CHECK(SSL_CTX_use_certificate(context, certificate) == 1);
    PM_CHECK(SSL_CTX_use_PrivateKey(context, key) == 1);
    PM_CHECK(X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca) == 1);
    PM_CHECK(SSL_CTX_add_client_CA(context, ca) == 1);
    X509_free(certificate);
    X509_free(ca);
    EVP_PKEY_free(key);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, TakeAnyClient);
    SSL_CTX_set_alpn_select_cb(context, ChooseProtocol, nullptr);
    // Each connection shows its certificate anew.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  }
  ~Tls() { SSL_CTX_free(context); }
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;
};

class H2Server::Connection {
 public:
  Connection(H2Server& server, int number, int fd)
      : server_(server), number_(number), fd_(fd), ssl_(SSL_new(server.tls_->context)) {
    SSL_set_fd(ssl_, fd);
    SSL_set_accept_state(ssl_);
    StartSession();
  }
  ~Connection() {
    for (const auto& [id, stream] : streams_) {
      server_.connection_of_.erase(id);
      server_.handlers_.closed(id);
    }
    nghttp2_session_del(session_);
    SSL_free(ssl_);
    close(fd_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int fd() const { return fd_; }
  bool ready() const { return shaken_; }
  // There is more to send, and room for it.
  bool busy() const { return busy_; }

  // Reads and writes what can be. False: the connection is over.
  bool Pump() {
    if (!shaken_ && !Shake()) return !failed_;
    if (gone_) return Drain();
    return Receive() && Send() && (nghttp2_session_want_read(session_) != 0 || Unsent());
  }

  void Respond(H2Stream id, H2Answer answer) {
    Stream& stream = *streams_.at(id);
    stream.answer = std::move(answer);
    std::vector<std::pair<std::string, std::string>> headers = {{":status", absl::StrCat(stream.answer.code)}};
    headers.insert(headers.end(), stream.answer.headers.begin(), stream.answer.headers.end());
    std::vector<nghttp2_nv> lines;
    for (const auto& [name, value] : headers) lines.push_back(Header(name, value));
    nghttp2_data_provider provider = {.source = {.ptr = &stream}, .read_callback = ReadBody};
    nghttp2_submit_response(session_, stream.http_id, lines.data(), lines.size(),
                            stream.answer.body == nullptr ? nullptr : &provider);
  }

  void Resume(H2Stream id) {
    Stream& stream = *streams_.at(id);
    if (!stream.waits) return;
    stream.waits = false;
    nghttp2_session_resume_data(session_, stream.http_id);
  }

  void GoAway() {
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                          NGHTTP2_NO_ERROR, nullptr, 0);
  }

 private:
  struct Stream {
    Connection* connection = nullptr;
    int32_t http_id = 0;
    H2Request request;
    H2Answer answer;
    size_t sent = 0;
    size_t allowance = 0;  // of slow_bytes, until the next tick
    bool ticking = false;
    bool waits = false;
  };

  void StartSession() {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, BeginHeaders);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, OneHeader);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, FrameReceived);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, StreamClosed);
    nghttp2_session_server_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    const std::array<nghttp2_settings_entry, 2> settings = {
        {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 250}, {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 1 << 20}}};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  }

  // False: not yet, or never.
  bool Shake() {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_);
    if (result != 1) {
      const int error = SSL_get_error(ssl_, result);
      failed_ = error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE;
      return false;
    }
    shaken_ = true;
    ++server_.connections_;
    X509* certificate = SSL_get1_peer_certificate(ssl_);
    if (certificate != nullptr && SSL_get_verify_result(ssl_) == X509_V_OK) {
      std::array<char, 256> name = {};
      X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name.data(), name.size());
      client_ = name.data();
    }
    X509_free(certificate);
    return true;
  }

  bool Receive() {
    std::array<uint8_t, 16 << 10> buffer;
    while (true) {
      ERR_clear_error();
      const int size = SSL_read(ssl_, buffer.data(), static_cast<int>(buffer.size()));
      if (size <= 0) return SSL_get_error(ssl_, size) == SSL_ERROR_WANT_READ;
      if (nghttp2_session_mem_recv(session_, buffer.data(), static_cast<size_t>(size)) < 0) return false;
    }
  }

  bool Send() {
    busy_ = false;
    for (size_t total = 0; total < kTurn;) {
      while (out_.size() < kOut) {
        const uint8_t* data = nullptr;
        const ssize_t size = nghttp2_session_mem_send(session_, &data);
        if (size < 0) return false;
        if (size == 0) break;
        out_.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
      }
      if (out_.empty()) return true;
      while (out_at_ < out_.size()) {
        ERR_clear_error();
        const int size = SSL_write(ssl_, out_.data() + out_at_, static_cast<int>(out_.size() - out_at_));
        if (size <= 0) return SSL_get_error(ssl_, size) == SSL_ERROR_WANT_WRITE;
        out_at_ += static_cast<size_t>(size);
        total += static_cast<size_t>(size);
      }
      out_.clear();
      out_at_ = 0;
    }
    busy_ = true;
    return true;
  }

  // Closing at once would take back what is on its way, if there is something unread.
  void Leave() {
    shutdown(fd_, SHUT_WR);
    gone_ = true;
  }
  bool Drain() const {
    std::array<char, 4096> buffer;
    while (true) {
      const ssize_t size = recv(fd_, buffer.data(), buffer.size(), 0);
      if (size <= 0) return size < 0 && errno == EAGAIN;
    }
  }

  bool Unsent() const { return !out_.empty() || nghttp2_session_want_write(session_) != 0; }

  static Connection& Self(void* user) { return *static_cast<Connection*>(user); }

  static int BeginHeaders(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Connection& self = Self(user);
    auto stream = std::make_unique<Stream>();
    stream->connection = &self;
    stream->http_id = frame->hd.stream_id;
    stream->request.stream = ++self.server_.last_stream_;
    stream->request.connection = self.number_;
    stream->request.client = self.client_;
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream.get());
    self.server_.connection_of_[stream->request.stream] = self.number_;
    self.streams_[stream->request.stream] = std::move(stream);
    return 0;
  }

  static int OneHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                       const uint8_t* value, size_t value_size, uint8_t /*flags*/, void* /*user*/) {
    auto* stream = static_cast<Stream*>(nghttp2_session_get_stream_user_data(session, frame->hd.stream_id));
    if (stream == nullptr) return 0;
    const std::string key(reinterpret_cast<const char*>(name), name_size);
    std::string text(reinterpret_cast<const char*>(value), value_size);
    if (key == ":method") {
      stream->request.method = std::move(text);
    } else if (key == ":path") {
      stream->request.path = std::move(text);
    } else {
      stream->request.headers[key] = std::move(text);
    }
    return 0;
  }

  static int FrameReceived(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    const bool carries = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (!carries || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    const auto* stream = static_cast<Stream*>(nghttp2_session_get_stream_user_data(session, frame->hd.stream_id));
    if (stream != nullptr) Self(user).server_.handlers_.request(stream->request);
    return 0;
  }

  static int StreamClosed(nghttp2_session* session, int32_t http_id, uint32_t /*error*/, void* user) {
    Connection& self = Self(user);
    const auto* stream = static_cast<Stream*>(nghttp2_session_get_stream_user_data(session, http_id));
    if (stream == nullptr) return 0;
    const H2Stream id = stream->request.stream;
    self.server_.handlers_.closed(id);
    self.server_.connection_of_.erase(id);
    self.streams_.erase(id);
    return 0;
  }

  static ssize_t ReadBody(nghttp2_session* /*session*/, int32_t /*id*/, uint8_t* to, size_t room, uint32_t* flags,
                          nghttp2_data_source* source, void* user) {
    return Self(user).Read(*static_cast<Stream*>(source->ptr), reinterpret_cast<char*>(to), room, *flags);
  }

  ssize_t Read(Stream& stream, char* to, size_t room, uint32_t& flags) {
    const H2Answer& answer = stream.answer;
    if (answer.cut_after.has_value()) {
      room = std::min(room, *answer.cut_after - stream.sent);
      if (room == 0) {
        Cut(stream);
        return NGHTTP2_ERR_DEFERRED;
      }
    }
    if (answer.slow_bytes.has_value()) {
      StartTicking(stream);
      room = std::min(room, stream.allowance);
      if (room == 0) {
        stream.waits = true;
        return NGHTTP2_ERR_DEFERRED;
      }
    }
    const H2Body::Part part = answer.body->Read(to, room);
    stream.sent += part.size;
    stream.allowance -= std::min(stream.allowance, part.size);
    server_.bytes_sent_ += static_cast<int64_t>(part.size);
    const bool cut_next = answer.cut_after == stream.sent;
    if (part.then == H2Body::Then::kEnd && !cut_next) flags |= NGHTTP2_DATA_FLAG_EOF;
    if (part.then != H2Body::Then::kEnd && part.size == 0) {
      stream.waits = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(part.size);
  }

  // Calls `then` in a while, if the stream is still there.
  template <typename F>
  void Later(const Stream& stream, absl::Duration wait, F then) {
    server_.At(absl::Now() + wait, [&server = server_, number = number_, id = stream.request.stream, then] {
      const auto connection = server.open_.find(number);
      if (connection == server.open_.end()) return;
      Connection& self = *connection->second;
      if (const auto found = self.streams_.find(id); found != self.streams_.end()) then(self, *found->second);
    });
  }

  void StartTicking(Stream& stream) {
    if (stream.ticking) return;
    stream.ticking = true;
    stream.allowance = *stream.answer.slow_bytes;
    Later(stream, kSlowTick, [](Connection& self, Stream& that) {
      that.ticking = false;
      self.Resume(that.request.stream);
    });
  }

  void Cut(const Stream& stream) {
    Later(stream, kLastWords, [](Connection& self, const Stream& that) {
      if (that.answer.cut_connection) {
        self.Leave();
      } else {
        nghttp2_submit_rst_stream(self.session_, NGHTTP2_FLAG_NONE, that.http_id, NGHTTP2_INTERNAL_ERROR);
      }
    });
  }

  H2Server& server_;
  int number_;
  int fd_;
  SSL* ssl_;
  nghttp2_session* session_ = nullptr;
  std::string client_;
  std::map<H2Stream, std::unique_ptr<Stream>> streams_;
  std::string out_;
  size_t out_at_ = 0;
  bool shaken_ = false;
  bool failed_ = false;
  bool busy_ = false;
  bool gone_ = false;  // nothing more is sent
};

H2Server::H2Server(Handlers handlers) : handlers_(std::move(handlers)) {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  PM_CHECK(epoll_ >= 0 && wake_ >= 0);
  epoll_event event = {.events = EPOLLIN, .data = {.u64 = kWakeEvent}};
  PM_CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) == 0);
  thread_ = std::thread([this] { Run(); });
}

H2Server::~H2Server() {
  {
    const auto lock = Lock();
    Close();
    stopping_ = true;
    Wake();
  }
  thread_.join();
  close(epoll_);
  close(wake_);
}

std::unique_lock<std::recursive_mutex> H2Server::Lock() {
  waiting_.fetch_add(1);
  std::unique_lock lock(mutex_);
  waiting_.fetch_sub(1);
  return lock;
}

void H2Server::Wake() {
  const uint64_t one = 1;
  PM_CHECK(write(wake_, &one, sizeof one) == sizeof one);
}

// Edge-triggered: each turn of the loop reads and writes all there is in any case.
void H2Server::Watch(int fd, uint64_t what) {
  epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.u64 = what}};
  PM_CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0);
}

void H2Server::Unwatch(int fd) { PM_CHECK(epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr) == 0); }

int H2Server::Listen(const Endpoint& endpoint) {
  tls_ = std::make_unique<Tls>(endpoint);
  const bool v6 = endpoint.address.find(':') != std::string::npos;
  const int port = port_ != 0 ? port_ : endpoint.port;
  sockaddr_storage address = {};
  socklen_t size = 0;
  if (v6) {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&address);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(static_cast<uint16_t>(port));
    PM_CHECK(inet_pton(AF_INET6, endpoint.address.c_str(), &in6->sin6_addr) == 1);
    size = sizeof *in6;
  } else {
    auto* in = reinterpret_cast<sockaddr_in*>(&address);
    in->sin_family = AF_INET;
    in->sin_port = htons(static_cast<uint16_t>(port));
    PM_CHECK(inet_pton(AF_INET, endpoint.address.c_str(), &in->sin_addr) == 1);
    size = sizeof *in;
  }
  listener_ = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  PM_CHECK(listener_ >= 0);
  const int one = 1;
  setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  PM_CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
  PM_CHECK(listen(listener_, 128) == 0);
  PM_CHECK(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port_ = ntohs(v6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                   : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  if (!frozen_) Watch(listener_, kListenEvent);
  return port_;
}

void H2Server::Close() {
  if (listener_ >= 0) close(listener_);
  listener_ = -1;
  Disconnect();
}

void H2Server::Disconnect() { open_.clear(); }

void H2Server::GoAway() {
  for (const auto& [number, connection] : open_) connection->GoAway();
  Wake();
}

void H2Server::SetFrozen(bool frozen) {
  if (frozen == frozen_) return;
  frozen_ = frozen;
  for (const auto& [number, connection] : open_) {
    if (frozen) {
      Unwatch(connection->fd());
    } else {
      Watch(connection->fd(), static_cast<uint64_t>(number));
    }
  }
  if (listener_ >= 0) {
    if (frozen) {
      Unwatch(listener_);
    } else {
      Watch(listener_, kListenEvent);
    }
  }
  Wake();
}

int H2Server::open_connections() const {
  return static_cast<int>(std::count_if(open_.begin(), open_.end(), [](const auto& it) { return it.second->ready(); }));
}

void H2Server::Respond(H2Stream stream, H2Answer answer) {
  const auto found = connection_of_.find(stream);
  if (found == connection_of_.end()) return;
  open_.at(found->second)->Respond(stream, std::move(answer));
  Wake();
}

void H2Server::Resume(H2Stream stream) {
  const auto found = connection_of_.find(stream);
  if (found == connection_of_.end()) return;
  open_.at(found->second)->Resume(stream);
  Wake();
}

void H2Server::At(absl::Time time, std::function<void()> then) {
  timers_.emplace(time, std::move(then));
  Wake();
}

void H2Server::Accept() {
  while (listener_ >= 0) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    const int number = ++last_connection_;
    open_[number] = std::make_unique<Connection>(*this, number, fd);
    Watch(fd, static_cast<uint64_t>(number));
  }
}

absl::Duration H2Server::UntilTimer() const {
  if (timers_.empty()) return absl::InfiniteDuration();
  return std::max(timers_.begin()->first - absl::Now(), absl::ZeroDuration());
}

void H2Server::RunTimers() {
  const absl::Time now = absl::Now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const auto then = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    then();
  }
}

void H2Server::Run() {
  // OpenSSL writes to sockets without MSG_NOSIGNAL.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);

  absl::Duration wait = absl::ZeroDuration();
  while (true) {
    std::array<epoll_event, 64> events;
    const int milliseconds = wait >= absl::Seconds(60)
                                 ? 60000
                                 : static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(wait, absl::Milliseconds(1))));
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), milliseconds);
    for (int i = 0; i < 1000 && waiting_.load() > 0; ++i) std::this_thread::yield();
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    for (int i = 0; i < count; ++i) {
      if (events[static_cast<size_t>(i)].data.u64 != kWakeEvent) continue;
      uint64_t times = 0;
      if (read(wake_, &times, sizeof times) < 0) PM_CHECK(errno == EAGAIN);
    }
    RunTimers();
    bool busy = false;
    if (!frozen_) {
      Accept();
      for (auto it = open_.begin(); it != open_.end();) {
        if (it->second->Pump()) {
          busy = busy || it->second->busy();
          ++it;
        } else {
          it = open_.erase(it);
        }
      }
    }
    wait = busy ? absl::ZeroDuration() : UntilTimer();
  }
}

}  // namespace pointsman::support
