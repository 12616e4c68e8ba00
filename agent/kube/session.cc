// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/session.h"

#include <algorithm>
#include <iterator>
#include <random>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "agent/kube/body.h"
#include "agent/kube/circuit.h"
#include "agent/kube/credentials.h"
#include "agent/kube/rate_limit.h"
#include "agent/loop/clock.h"
#include "pointsman/log.h"
#include "pointsman/status.h"

namespace pointsman::kube {
namespace {

constexpr absl::Duration kCredentialsPause = absl::Seconds(2);
constexpr absl::Duration kListSilence = absl::Minutes(1);
constexpr size_t kMaxFailureBody = 64 << 10;

std::string UserAgent() {
#if defined(__x86_64__)
  constexpr char kMachine[] = "amd64";
#elif defined(__aarch64__)
  constexpr char kMachine[] = "arm64";
#else
  constexpr char kMachine[] = "other";
#endif
  return absl::StrCat("pointsman/" PM_VERSION " (linux/", kMachine, ")");
}

std::string AcceptHeader(const SourceOptions& options) {
  if (!options.accept.empty()) return absl::StrCat("Accept: ", options.accept);
  // Not */*: a server may have encodings that we do not know.
  if (options.content_type == kProtobufType) return absl::StrCat("Accept: ", kProtobufType, ",", kJsonType);
  return absl::StrCat("Accept: ", options.content_type);
}

// "192.0.2.1:6443" of "https://192.0.2.1:6443/path".
std::string HostOf(absl::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme != absl::string_view::npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find('/'));
  const size_t user = url.rfind('@');
  if (user != absl::string_view::npos) url.remove_prefix(user + 1);
  return std::string(url);
}

// Whether the server said that the same request is welcome later. As in client-go's rest.Request.
bool WantsItLater(const HttpHead& head) {
  return head.retry_after.has_value() && (head.code == 429 || head.code / 100 == 5);
}

}  // namespace

class Session::Impl {
 public:
  explicit Impl(SourceOptions options)
      : options_(std::move(options)),
        accept_(AcceptHeader(options_)),
        client_(UserAgent()),
        credentials_(options_.access, [this] { client_.Wake(); }),
        circuit_(Backoff(options_.reflector.backoff, std::random_device()())),
        limit_(options_.qps, options_.burst) {
    for (const Resource& resource : kResources) {
      streams_.push_back(std::make_unique<Stream>(
          Stream{.reflector = Reflector(resource, resource.kind == Kind::kNode ? options_.node_name : "",
                                        options_.reflector, std::random_device()())}));
    }
  }

  void Step(absl::Duration wait) {
    const absl::Time now = SteadyNow();
    GiveUpOverdue(now);
    CheckSilence(now);
    absl::Time due = std::min(now + wait, StartDue(now));
    due = std::min(due, SilenceDue());
    for (const auto& stream : streams_) due = std::min(due, stream->reflector.Deadline());
    client_.Poll(std::max(due - SteadyNow(), absl::ZeroDuration()));
    const bool following = Of(Kind::kService).following() && Of(Kind::kEndpointSlice).following();
    if (following) followed_ = SteadyNow();
  }

  void Wake() { client_.Wake(); }

  std::vector<ObjectChange> TakeChanges() {
    std::vector<ObjectChange> changes;
    for (const auto& stream : streams_) {
      std::vector<ObjectChange> of_kind = stream->reflector.mirror().TakeChanges();
      changes.insert(changes.end(), std::make_move_iterator(of_kind.begin()), std::make_move_iterator(of_kind.end()));
    }
    return changes;
  }

  Diagnostics TakeDiagnostics() {
    Diagnostics diagnostics;
    for (const auto& stream : streams_) {
      Diagnostics of_kind = stream->reflector.mirror().TakeDiagnostics();
      diagnostics.insert(diagnostics.end(), std::make_move_iterator(of_kind.begin()),
                         std::make_move_iterator(of_kind.end()));
    }
    return diagnostics;
  }

  std::vector<Trouble> TakeTroubles() { return std::exchange(troubles_, {}); }

  Picture picture() const {
    Picture picture{.services = synced(Kind::kService), .slices = synced(Kind::kEndpointSlice)};
    if (const PackedObject object = Of(Kind::kNode).mirror().Find({"", options_.node_name})) {
      const auto node = std::get<Node>(object.Unpack());
      picture.node = !node.internal_ips.empty() || !node.external_ips.empty();
      picture.pod_cidrs = !node.pod_cidrs.empty();
    }
    // A server that does not have them says so; there is nothing to wait for then.
    const Stream& cidrs = *streams_[static_cast<size_t>(Kind::kServiceCidr)];
    picture.service_cidrs =
        cidrs.reflector.synced() || absl::IsNotFound(cidrs.error) || absl::IsPermissionDenied(cidrs.error);
    return picture;
  }

  bool synced(Kind kind) const { return Of(kind).synced(); }

  SourceStatus status() const {
    SourceStatus status;
    for (size_t i = 0; i < streams_.size(); ++i) {
      const Reflector& reflector = streams_[i]->reflector;
      status.kinds[i] = {.synced = reflector.synced(),
                         .following = reflector.following(),
                         .objects = reflector.mirror().size(),
                         .unchanged = reflector.mirror().unchanged(),
                         .undecodable = reflector.mirror().undecodable(),
                         .counts = reflector.counts(),
                         .error = streams_[i]->error};
    }
    status.server = server();
    status.connected = circuit_.closed();
    const bool following = Of(Kind::kService).following() && Of(Kind::kEndpointSlice).following();
    status.stale = following ? absl::ZeroDuration() : SteadyNow() - followed_;
    status.http = client_.stats();
    return status;
  }

 private:
  struct Stream {
    Reflector reflector;
    HttpClient::Id id = 0;  // while the reflector is running
    BodyReader::Form form = BodyReader::Form::kWatch;
    std::optional<BodyReader> reader;
    HttpHead head;
    std::string failure_body;
    absl::Status broken;                                // of what could not be read
    bool unwanted = false;                              // the reflector has had enough
    std::string host;                                   // that was asked
    absl::Time limited_since = absl::InfiniteFuture();  // the rate limit has kept it waiting
    absl::Status error = {};                            // of the last attempt
  };

  const std::string& server() const { return options_.access.servers[server_]; }
  const Reflector& Of(Kind kind) const { return streams_[static_cast<size_t>(kind)]->reflector; }
  bool Running() const {
    return std::any_of(streams_.begin(), streams_.end(), [](const auto& s) { return s->reflector.running(); });
  }

  void Complain(std::optional<Kind> kind, absl::Status status) { troubles_.push_back({kind, std::move(status)}); }

  // Returns: when to come back for what could not be started yet.
  absl::Time StartDue(absl::Time now) {
    absl::Time later = absl::InfiniteFuture();
    bool due = false;
    for (const auto& stream : streams_) {
      const absl::Time at = stream->reflector.Due();
      due = due || at <= now;
      if (at > now) later = std::min(later, at);
    }
    if (now < credentials_at_) return std::min(later, credentials_at_);
    // Asked for while nothing is due, too: a new certificate is to be shown before the old one runs out.
    const absl::StatusOr<Identity> identity = credentials_.Get(now, absl::Now());
    if (!identity.ok()) {
      if (!due || absl::IsUnavailable(identity.status())) return later;  // woken when it is there
      Complain(std::nullopt, identity.status());
      credentials_at_ = now + kCredentialsPause;
      return std::min(later, credentials_at_);
    }
    if (identity->certificate_revision != revision_) {
      if (revision_ != 0) {
        Log(LogLevel::kInfo, "api_certificate", {{"next", "connecting anew with the new one"}});
        Interrupt();
        client_.RetireConnections();
      }
      revision_ = identity->certificate_revision;
    }
    if (identity->headers != headers_) {
      // Whoever was refused with the old ones need not wait any longer.
      for (const auto& stream : streams_) {
        if (absl::IsUnauthenticated(stream->error)) stream->reflector.Hurry();
      }
      headers_ = identity->headers;
    }
    for (const auto& stream : streams_) {
      Reflector& reflector = stream->reflector;
      if (reflector.Due() > now) continue;
      absl::Time at = circuit_.Next(now);
      const bool limited = reflector.WantsList(now);
      if (limited && limit_.Next(now) > std::max(at, now)) {
        at = limit_.Next(now);
        stream->limited_since = std::min(stream->limited_since, now);
      }
      if (at > now) {
        later = std::min(later, at);
        continue;
      }
      if (limited) {
        limit_.Take(now);
        const absl::Time since = std::min(std::exchange(stream->limited_since, absl::InfiniteFuture()), now);
        if (options_.observer.rate_limit) options_.observer.rate_limit(HostOf(server()), now - since);
      }
      circuit_.Started(now);
      Start(*stream, *identity, now);
    }
    return later;
  }

  HttpServer ServerFor(const Identity& identity) const {
    const Access& access = options_.access;
    HttpServer server{.url = this->server(),
                      .ca = identity.ca,
                      .tls_server_name = access.tls_server_name,
                      .insecure_skip_tls_verify = access.insecure_skip_tls_verify,
                      .proxy_url = access.proxy_url,
                      .disable_compression = access.disable_compression};
    if (Encrypted()) {
      server.certificate = identity.certificate;
      server.key = identity.key;
    }
    return server;
  }

  // Credentials are for nobody else to see.
  bool Encrypted() const { return absl::StartsWithIgnoreCase(server(), "https:"); }

  std::vector<std::string> HeadersFor(const Identity& identity) const {
    std::vector<std::string> headers = {accept_};
    if (Encrypted()) headers.insert(headers.end(), identity.headers.begin(), identity.headers.end());
    return headers;
  }

  void Start(Stream& stream, const Identity& identity, absl::Time now) {
    const Reflector::Request wanted = stream.reflector.Begin(now);
    stream.form = wanted.form;
    stream.reader.reset();
    stream.head = {};
    stream.failure_body.clear();
    stream.broken = absl::OkStatus();
    stream.unwanted = false;
    stream.host = HostOf(server());
    HttpRequest request{.path = wanted.path, .headers = HeadersFor(identity), .timeout = wanted.timeout};
    if (wanted.form == BodyReader::Form::kList) request.silence_timeout = kListSilence;
    if (!Running()) heard_ = now;
    stream.id = client_.Start(ServerFor(identity), request,
                              {.head = [this, &stream](const HttpHead& head) { OnHead(stream, head); },
                               .body = [this, &stream](absl::string_view bytes) { return OnBody(stream, bytes); },
                               .end = [this, &stream](const HttpEnd& end) { OnEnd(stream, end); }});
  }

  void OnHead(Stream& stream, const HttpHead& head) {
    const absl::Time now = SteadyNow();
    Heard(now);
    stream.head = head;
    if (stream.form == BodyReader::Form::kWatch) TellRequest(stream.host, head.code, head.cost, /*over=*/false);
    for (const std::string& warning : head.warnings) {
      if (warned_ == warning) continue;
      Log(LogLevel::kWarning, "api_warning", {{"resource", stream.reflector.resource().name}, {"text", warning}});
      warned_ = warning;
    }
    if (head.code != 200) return;
    const std::optional<Encoding> encoding = EncodingOf(head.content_type);
    if (!encoding) {
      stream.broken = absl::DataLossError(
          absl::StrCat("the answer is \"", head.content_type, "\", neither protobuf nor JSON: is this an API server?"));
      return;
    }
    stream.reader.emplace(stream.reflector.resource().kind, stream.form, *encoding);
    stream.reflector.Answered(now);
    stream.error = absl::OkStatus();
  }

  bool OnBody(Stream& stream, absl::string_view bytes) {
    const absl::Time now = SteadyNow();
    Heard(now);
    if (stream.head.code != 200) {
      const size_t room = kMaxFailureBody - std::min(kMaxFailureBody, stream.failure_body.size());
      absl::StrAppend(&stream.failure_body, bytes.substr(0, room));
      return true;
    }
    if (!stream.reader) return false;
    stream.broken = stream.reader->Push(bytes, [&](Piece piece) {
      stream.unwanted = stream.unwanted || !stream.reflector.Take(now, std::move(piece));
    });
    return stream.broken.ok() && !stream.unwanted;
  }

  void OnEnd(Stream& stream, const HttpEnd& end) {
    const absl::Time now = SteadyNow();
    stream.id = 0;
    if (!end.answered || stream.form != BodyReader::Form::kWatch) {
      TellRequest(stream.host, stream.head.code, end.cost, /*over=*/true);
    }
    if (end.cost.repeated) TellRetry(stream.host, 0);
    if (WantsItLater(stream.head)) TellRetry(stream.host, stream.head.code);
    if (!end.answered) {
      stream.reflector.Ended(now, {.transport = end.status}).IgnoreError();  // it is told of all streams at once
      Unreachable(now, end.status);
      return;
    }
    Reflector::End ended{.transport = end.status, .code = stream.head.code};
    if (stream.unwanted) {
      ended.transport = absl::OkStatus();
    } else if (!stream.broken.ok()) {
      ended.transport = stream.broken;
    } else if (stream.head.code != 200) {
      ended.failure = DecodeFailure(stream.head.code, stream.head.content_type, stream.failure_body);
      if (stream.head.retry_after) ended.failure.retry_after = stream.head.retry_after;
      if (stream.head.code == 401) credentials_.Refused();
    } else if (end.status.ok() && stream.form == BodyReader::Form::kList && stream.reader) {
      ended.transport = stream.reader->Finish();
    }
    absl::Status told = stream.reflector.Ended(now, ended);
    if (!told.ok()) {
      stream.error = told;
      Complain(stream.reflector.resource().kind, std::move(told));
    }
  }

  void TellRequest(const std::string& host, int status, const HttpCost& cost, bool over) const {
    if (!options_.observer.request) return;
    SeenRequest seen = {.host = host,
                        .status = status,
                        .duration = cost.to_head,
                        .name_lookup = cost.name_lookup,
                        .request_bytes = cost.bytes_sent};
    if (over) seen.response_bytes = cost.bytes_received;
    options_.observer.request(seen);
  }
  void TellRetry(const std::string& host, int status) const {
    if (options_.observer.retry) options_.observer.retry(host, status);
  }

  void Heard(absl::Time now) {
    heard_ = now;
    circuit_.Reached();
  }

  void Unreachable(absl::Time now, const absl::Status& status) {
    const absl::Duration pause = circuit_.Failed(now);
    if (pause == absl::ZeroDuration()) return;  // it is known, and told
    Complain(std::nullopt, status);
    server_ = (server_ + 1) % options_.access.servers.size();
  }

  // Ends everything that runs, for a reason that is none of the server's.
  void Interrupt() {
    for (const auto& stream : streams_) {
      if (!stream->reflector.running()) continue;
      client_.Cancel(std::exchange(stream->id, 0));
      stream->reflector.Ended(SteadyNow(), {.given_up = true}).IgnoreError();
    }
    circuit_.Abandoned();
  }

  void GiveUpOverdue(absl::Time now) {
    for (const auto& stream : streams_) {
      if (now < stream->reflector.Deadline()) continue;
      client_.Cancel(std::exchange(stream->id, 0));
      absl::Status told = stream->reflector.Ended(
          now,
          {.transport = absl::DeadlineExceededError("the server does not tell when it has told everything; listing "
                                                    "instead"),
           .code = 200});
      if (!told.ok()) Complain(stream->reflector.resource().kind, std::move(told));
    }
  }

  // While a server is being tried for, that it does not answer is for the request's own time limit to say.
  absl::Time SilenceDue() const {
    return pinging_ || !circuit_.closed() || !Running() ? absl::InfiniteFuture()
                                                        : std::max(heard_ + options_.silence, credentials_at_);
  }

  void CheckSilence(absl::Time now) {
    if (now < SilenceDue()) return;
    const absl::StatusOr<Identity> identity = credentials_.Get(now, absl::Now());
    if (!identity.ok()) {
      credentials_at_ = now + kCredentialsPause;
      return;
    }
    pinging_ = true;
    const HttpRequest request{.path = "/version",
                              .headers = HeadersFor(*identity),
                              .head_timeout = options_.sign_of_life,
                              .timeout = 2 * options_.sign_of_life};
    client_.Start(ServerFor(*identity), request,
                  {.head =
                       [this](const HttpHead& head) {
                         Heard(SteadyNow());
                         ping_code_ = head.code;
                       },
                   .body = [](absl::string_view) { return true; },
                   .end =
                       [this, host = HostOf(server())](const HttpEnd& end) {
                         TellRequest(host, end.answered ? ping_code_ : 0, end.cost, /*over=*/true);
                         OnPingEnd(end);
                       }});
  }

  void OnPingEnd(const HttpEnd& end) {
    pinging_ = false;
    const absl::Time now = SteadyNow();
    if (end.answered || now < heard_ + options_.silence) return;
    Unreachable(now,
                absl::UnavailableError(absl::StrCat("lost ", server(), ": nothing heard for ",
                                                    absl::FormatDuration(absl::Floor(now - heard_, absl::Seconds(1))),
                                                    ", and no answer when asked")));
    Interrupt();
    client_.RetireConnections();
  }

  const SourceOptions options_;
  const std::string accept_;
  HttpClient client_;
  Credentials credentials_;
  Circuit circuit_;
  RateLimit limit_;
  std::vector<std::unique_ptr<Stream>> streams_;  // index: Kind
  std::vector<Trouble> troubles_;
  size_t server_ = 0;
  uint64_t revision_ = 0;             // of the certificate shown; 0: none yet
  std::vector<std::string> headers_;  // last given by the credentials
  absl::Time credentials_at_ = absl::InfinitePast();
  absl::Time heard_ = SteadyNow();
  absl::Time followed_ = SteadyNow();
  bool pinging_ = false;
  int ping_code_ = 0;
  std::string warned_;
};

Session::Session(SourceOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Session::~Session() = default;

void Session::Step(absl::Duration wait) { impl_->Step(wait); }
void Session::Wake() { impl_->Wake(); }
std::vector<ObjectChange> Session::TakeChanges() { return impl_->TakeChanges(); }
Diagnostics Session::TakeDiagnostics() { return impl_->TakeDiagnostics(); }
std::vector<Trouble> Session::TakeTroubles() { return impl_->TakeTroubles(); }
Picture Session::picture() const { return impl_->picture(); }
bool Session::synced(Kind kind) const { return impl_->synced(kind); }
SourceStatus Session::status() const { return impl_->status(); }

}  // namespace pointsman::kube
