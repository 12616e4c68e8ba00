// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_api/fake_api.h"

#include <zlib.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"

#include "pointsman/status.h"
#include "tests/support/fake_api/h2_server.h"
#include "tests/support/fake_api/service.h"

namespace pointsman::support {
namespace {

constexpr char kPlainText[] = "text/plain; charset=utf-8";
constexpr char kVersion[] = R"({
  "major": "1",
  "minor": "36",
  "gitVersion": "v1.36.2",
  "platform": "linux/amd64"
})";

std::string Decode(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    uint32_t byte = 0;
    if (text[i] == '%' && absl::SimpleHexAtoi(text.substr(i + 1, 2), &byte)) {
      out += static_cast<char>(byte);
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

std::map<std::string, std::string> DecodeQuery(absl::string_view text) {
  std::map<std::string, std::string> query;
  for (const absl::string_view part : absl::StrSplit(text, '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair = absl::StrSplit(part, absl::MaxSplits('=', 1));
    query[Decode(pair.first)] = Decode(pair.second);
  }
  return query;
}

bool IsWatch(const std::map<std::string, std::string>& query) {
  const auto found = query.find("watch");
  return found != query.end() && (found->second == "1" || found->second == "true");
}

std::string HeaderOf(const H2Request& request, const std::string& name) {
  const auto found = request.headers.find(name);
  return found == request.headers.end() ? "" : found->second;
}

std::string Gzip(const std::string& text) {
  z_stream stream = {};
  PM_CHECK(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  PM_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

ApiAnswer PlainText(int code, std::string text) { return {.code = code, .type = kPlainText, .body = std::move(text)}; }

const ResourceInfo& Info(const Resource& resource) {
  const ResourceInfo* info = ResourceInfo::ByPlural(resource);
  PM_CHECK(info != nullptr);
  return *info;
}

std::string LastOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

class FakeApi::Impl {
 public:
  Impl(const CertificateAuthority& ca, Options options)
      : options_(std::move(options)),
        server_({.request = [this](const H2Request& request) { Take(request); },
                 .closed =
                     [this](H2Stream stream) {
                       watches_.erase(stream);
                       seen_by_stream_.erase(stream);
                     }}) {
    const auto lock = server_.Lock();
    Listen(ca);
  }

  std::unique_lock<std::recursive_mutex> Lock() { return server_.Lock(); }

  void Listen(const CertificateAuthority& ca) {
    const Certificate certificate =
        options_.certificate.has_value() ? *options_.certificate : ca.ForServer({options_.address, "localhost"});
    port_ = server_.Listen(
        {.address = options_.address, .port = options_.port, .certificate = certificate, .client_ca = ca.pem()});
  }

  void Changed(const Resource& resource) {
    for (const auto& [stream, watch] : watches_) {
      if (watch.body->resource().plural == resource) server_.Resume(stream);
    }
  }

  template <typename F>
  void ForWatches(const Resource& resource, F act) {
    for (const auto& [stream, watch] : watches_) {
      if (!resource.empty() && watch.body->resource().plural != resource) continue;
      act(watch);
      server_.Resume(stream);
    }
  }

  bool LetIn(const H2Request& request) const {
    if (options_.want_client_certificate && request.client.empty()) return false;
    const std::string header = HeaderOf(request, "authorization");
    absl::string_view text = header;
    const std::string token(absl::ConsumePrefix(&text, "Bearer ") ? text : "");
    return refused_.count(token) == 0 && (!tokens_count_ || tokens_.count(token) != 0);
  }

  struct Watch {
    WatchBody* body = nullptr;  // the stream's
    bool bookmarks = false;
  };
  struct Ban {
    std::set<std::string> verbs;
    std::string user;
  };
  struct Recording {
    Resource resource;
    bool watch = false;
    std::string type;
    std::string body;
    bool end = false;
    int code = 200;
  };

  Options options_;
  int port_ = 0;
  Store store_;
  std::map<H2Stream, Watch> watches_;
  std::set<std::string> tokens_;
  std::set<std::string> refused_;
  bool tokens_count_ = false;  // one has been allowed
  std::map<Resource, Ban> bans_;
  std::vector<Fault> faults_;
  std::vector<Recording> recordings_;
  std::vector<SeenRequest> seen_;
  std::map<H2Stream, size_t> seen_by_stream_;
  // Last: its thread uses all the others.
  H2Server server_;

 private:
  void Take(const H2Request& request) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(request.path, absl::MaxSplits('?', 1));
    SeenRequest seen = {.method = request.method,
                        .path = parts.first,
                        .query = DecodeQuery(parts.second),
                        .headers = request.headers,
                        .connection = request.connection,
                        .client = request.client,
                        .at = absl::Now()};
    seen_by_stream_[request.stream] = seen_.size();
    seen_.push_back(seen);

    absl::string_view path = seen.path;
    const bool below = absl::ConsumePrefix(&path, options_.path_prefix);
    if (below && path == "/version") {
      Send(request, {.type = "application/json", .body = kVersion}, Fault());
      return;
    }
    ApiRequest api = {
        .resource = below ? ResourceInfo::ByPath(path) : nullptr, .watch = IsWatch(seen.query), .query = seen.query};
    if (api.resource == nullptr) {
      Send(request, PlainText(404, "404 page not found\n"), Fault());
      return;
    }
    const std::optional<Encoding> encoding = Negotiate(HeaderOf(request, "accept"), options_.protobuf);
    if (encoding.has_value()) api.encoding = *encoding;
    const Fault fault = TakeFault(api);
    const auto answer = [this, request, api, fault, acceptable = encoding.has_value()] {
      Send(request, AnswerTo(request, api, fault, acceptable), fault, &api);
    };
    if (fault.delay > absl::ZeroDuration()) {
      server_.At(absl::Now() + fault.delay, answer);
    } else {
      answer();
    }
  }

  Fault TakeFault(const ApiRequest& request) {
    for (Fault& fault : faults_) {
      if (fault.times == 0) continue;
      if (!fault.resource.empty() && fault.resource != request.resource->plural) continue;
      if (fault.watch.has_value() && *fault.watch != request.watch) continue;
      if (fault.times > 0) --fault.times;
      return fault;
    }
    return {};
  }

  static kube::Status StatusOf(const Fault& fault) {
    kube::Status status = MakeStatus(fault.code, fault.reason, fault.message);
    if (fault.retry_after.has_value()) status.mutable_details()->set_retry_after_seconds(*fault.retry_after);
    if (fault.too_large_version) status.mutable_details()->add_causes()->set_reason("ResourceVersionTooLarge");
    return status;
  }

  // A watch that sends `raw`, then what it is told to.
  std::unique_ptr<WatchBody> Still(const ApiRequest& request, std::string raw) {
    return std::make_unique<WatchBody>(store_, *request.resource, request.encoding, Selector(),
                                       WatchBody::Start{.raw = std::move(raw), .follow = false});
  }

  ApiAnswer AnswerTo(const H2Request& request, const ApiRequest& api, const Fault& fault, bool acceptable) {
    if (!fault.raw_body.empty()) {
      const int code = fault.code == 0 ? 200 : fault.code;
      return {.code = code, .type = fault.raw_type, .body = fault.raw_body};
    }
    if (fault.error_event) {
      ApiAnswer answer = {.type = ContentType(api.encoding, /*watch=*/true), .watch = Still(api, "")};
      answer.watch->Fail(StatusOf(fault));
      return answer;
    }
    if (fault.code != 0) return Refusal(api, fault);

    if (request.method != "GET") {
      return Failure(
          MakeStatus(405, "MethodNotAllowed", "the server does not allow this method on the requested resource"),
          api.encoding);
    }
    if (!LetIn(request)) return Unauthorized(api);
    const auto ban = bans_.find(api.resource->plural);
    if (ban != bans_.end() && ban->second.verbs.count(api.watch ? "watch" : "list") != 0) {
      return Forbidden(api, ban->second.user);
    }
    if (const Recording* recording = FindRecording(api); recording != nullptr) {
      ApiAnswer answer = {.code = recording->code, .type = recording->type};
      if (api.watch) {
        answer.watch = Still(api, recording->body);
        if (recording->end) answer.watch->End();
      } else {
        answer.body = recording->body;
      }
      return answer;
    }
    if (!acceptable) {
      return Failure(MakeStatus(406, "NotAcceptable",
                                "only the following media types are accepted: application/json, "
                                "application/vnd.kubernetes.protobuf"),
                     Encoding::kJson);
    }
    return Serve(
        store_, api,
        {.watch_list = options_.watch_list, .end_bookmark = !fault.no_end_bookmark, .page_limit = options_.page_limit});
  }

  static ApiAnswer Refusal(const ApiRequest& api, const Fault& fault) {
    ApiAnswer answer = Failure(StatusOf(fault), api.encoding);
    if (fault.html) {
      answer.type = "text/html";
      answer.body = absl::StrCat("<html>\r\n<head><title>", fault.message, "</title></head>\r\n<body>\r\n<center><h1>",
                                 fault.message, "</h1></center>\r\n</body>\r\n</html>\r\n");
    } else if (fault.plain_text) {
      answer.type = kPlainText;
      answer.body = fault.message;
    }
    return answer;
  }

  const Recording* FindRecording(const ApiRequest& api) const {
    for (const Recording& recording : recordings_) {
      if (recording.resource != api.resource->plural || recording.watch != api.watch) continue;
      const bool protobuf = absl::StrContains(recording.type, "protobuf");
      const bool json = absl::StrContains(recording.type, "json");
      const bool fits = (!protobuf && !json) || (api.encoding == Encoding::kProtobuf ? protobuf : json);
      if (fits) return &recording;
    }
    return nullptr;
  }

  // `api` is null for what is no list and no watch.
  void Send(const H2Request& request, ApiAnswer answer, const Fault& fault, const ApiRequest* api = nullptr) {
    const auto seen = seen_by_stream_.find(request.stream);
    if (seen == seen_by_stream_.end()) return;  // the client has given up
    seen_[seen->second].code = answer.code;

    H2Answer out = {.code = answer.code,
                    .headers = std::move(answer.headers),
                    .cut_after = fault.cut_after,
                    .cut_connection = fault.cut_connection,
                    .slow_bytes = fault.slow_bytes};
    out.headers.emplace_back("audit-id", absl::StrFormat("160c357f-d475-46cd-957b-%012d", request.stream));
    out.headers.emplace_back("cache-control", "no-cache, private");
    out.headers.emplace_back("content-type", answer.type);
    out.headers.emplace_back("x-kubernetes-pf-flowschema-uid", "3bee0f89-5c28-4202-8501-1b6114f914ad");
    out.headers.emplace_back("x-kubernetes-pf-prioritylevel-uid", "419738f5-5cbe-4aca-8a5c-30596d12d93d");
    if (!fault.warning.empty()) out.headers.emplace_back("warning", absl::StrCat("299 - \"", fault.warning, "\""));
    if (answer.watch != nullptr) {
      watches_[request.stream] = {.body = answer.watch.get(),
                                  .bookmarks = api->Parameter("allowWatchBookmarks") == "true"};
      SetTimers(request.stream, *api);
      out.body = std::move(answer.watch);
    } else {
      if (answer.body.size() > options_.gzip_above && absl::StrContains(HeaderOf(request, "accept-encoding"), "gzip")) {
        answer.body = Gzip(answer.body);
        out.headers.emplace_back("content-encoding", "gzip");
        out.headers.emplace_back("vary", "Accept-Encoding");
      }
      // What is larger goes out while it is still being written.
      if (answer.body.size() < 2048) out.headers.emplace_back("content-length", absl::StrCat(answer.body.size()));
      out.body = std::make_unique<FixedBody>(std::move(answer.body));
    }
    out.headers.emplace_back("date", absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(), absl::UTCTimeZone()));
    server_.Respond(request.stream, std::move(out));
  }

  void SetTimers(H2Stream stream, const ApiRequest& api) {
    int seconds = 0;
    const absl::Time now = absl::Now();
    if (absl::SimpleAtoi(api.Parameter("timeoutSeconds"), &seconds) && seconds > 0) {
      server_.At(now + absl::Seconds(seconds), [this, stream] { EndWatch(stream); });
      // One shortly before the end, as the watch cache does.
      if (seconds > 2) server_.At(now + absl::Seconds(seconds - 2), [this, stream] { Bookmark(stream); });
    }
    Repeat(stream);
  }

  void Repeat(H2Stream stream) {
    server_.At(absl::Now() + options_.bookmark_every, [this, stream] {
      if (watches_.count(stream) == 0) return;
      Bookmark(stream);
      Repeat(stream);
    });
  }

  void Bookmark(H2Stream stream) {
    const auto found = watches_.find(stream);
    if (found == watches_.end() || !found->second.bookmarks) return;
    found->second.body->Bookmark();
    server_.Resume(stream);
  }

  void EndWatch(H2Stream stream) {
    const auto found = watches_.find(stream);
    if (found == watches_.end()) return;
    found->second.body->End();
    server_.Resume(stream);
  }
};

FakeApi::FakeApi(const CertificateAuthority& ca, Options options)
    : impl_(std::make_unique<Impl>(ca, std::move(options))) {}
FakeApi::~FakeApi() = default;

int FakeApi::port() const {
  const auto lock = impl_->Lock();
  return impl_->port_;
}

std::string FakeApi::url() const {
  const std::string& address = impl_->options_.address;
  const bool v6 = absl::StrContains(address, ":");
  return absl::StrCat("https://", v6 ? "[" : "", address, v6 ? "]" : "", ":", port(), impl_->options_.path_prefix);
}

void FakeApi::Put(const Resource& resource, const google::protobuf::Message& object) {
  const auto lock = impl_->Lock();
  impl_->store_.Put(Info(resource), object);
  impl_->Changed(resource);
}

void FakeApi::Put(const kube::Service& object) { Put("services", object); }
void FakeApi::Put(const kube::EndpointSlice& object) { Put("endpointslices", object); }
void FakeApi::Put(const kube::Node& object) { Put("nodes", object); }
void FakeApi::Put(const kube::ServiceCIDR& object) { Put("servicecidrs", object); }

void FakeApi::Delete(const Resource& resource, const std::string& ns, const std::string& name) {
  const auto lock = impl_->Lock();
  impl_->store_.Delete(Info(resource), ns, name);
  impl_->Changed(resource);
}

void FakeApi::Edit(const std::function<void()>& writes) {
  const auto lock = impl_->Lock();
  writes();
}

uint64_t FakeApi::version() const {
  const auto lock = impl_->Lock();
  return impl_->store_.version();
}

void FakeApi::Compact() {
  const auto lock = impl_->Lock();
  impl_->store_.Compact();
}

void FakeApi::Bookmark() {
  const auto lock = impl_->Lock();
  impl_->ForWatches("", [](const Impl::Watch& watch) {
    if (watch.bookmarks) watch.body->Bookmark();
  });
}

void FakeApi::AllowToken(const std::string& token) {
  const auto lock = impl_->Lock();
  impl_->refused_.erase(token);
  impl_->tokens_.insert(token);
  impl_->tokens_count_ = true;
}

void FakeApi::RefuseToken(const std::string& token) {
  const auto lock = impl_->Lock();
  impl_->tokens_.erase(token);
  impl_->refused_.insert(token);
}

void FakeApi::Forbid(const Resource& resource, const std::vector<std::string>& verbs, const std::string& user) {
  const auto lock = impl_->Lock();
  impl_->bans_[Info(resource).plural] = {.verbs = {verbs.begin(), verbs.end()}, .user = user};
}

void FakeApi::Permit(const Resource& resource) {
  const auto lock = impl_->Lock();
  impl_->bans_.erase(resource);
}

void FakeApi::Add(Fault fault) {
  const auto lock = impl_->Lock();
  impl_->faults_.push_back(std::move(fault));
}

void FakeApi::ClearFaults() {
  const auto lock = impl_->Lock();
  impl_->faults_.clear();
}

void FakeApi::EndWatches() {
  const auto lock = impl_->Lock();
  impl_->ForWatches("", [](const Impl::Watch& watch) { watch.body->End(); });
}

void FakeApi::FailWatches(const Resource& resource, int code, const std::string& reason) {
  const auto lock = impl_->Lock();
  const kube::Status status = MakeStatus(code, reason, absl::StrCat("the watch failed: ", reason));
  impl_->ForWatches(resource, [&](const Impl::Watch& watch) { watch.body->Fail(status); });
}

void FakeApi::Disconnect() {
  const auto lock = impl_->Lock();
  impl_->server_.Disconnect();
}

void FakeApi::GoAway() {
  const auto lock = impl_->Lock();
  impl_->server_.GoAway();
}

void FakeApi::Freeze() {
  const auto lock = impl_->Lock();
  impl_->server_.SetFrozen(true);
}

void FakeApi::Thaw() {
  const auto lock = impl_->Lock();
  impl_->server_.SetFrozen(false);
}

void FakeApi::Stop() {
  const auto lock = impl_->Lock();
  impl_->server_.Close();
}

void FakeApi::Start(const CertificateAuthority& ca) {
  const auto lock = impl_->Lock();
  impl_->Listen(ca);
}

void FakeApi::Replay(const Resource& resource, bool watch, const std::string& content_type, std::string body, bool end,
                     int code) {
  const auto lock = impl_->Lock();
  impl_->recordings_.push_back({.resource = Info(resource).plural,
                                .watch = watch,
                                .type = content_type,
                                .body = std::move(body),
                                .end = end,
                                .code = code});
}

std::vector<SeenRequest> FakeApi::Requests() const {
  const auto lock = impl_->Lock();
  return impl_->seen_;
}

int FakeApi::CountRequests(const Resource& resource, std::optional<bool> watch) const {
  const auto lock = impl_->Lock();
  return static_cast<int>(std::count_if(impl_->seen_.begin(), impl_->seen_.end(), [&](const SeenRequest& seen) {
    return LastOf(seen.path) == resource && (!watch.has_value() || *watch == IsWatch(seen.query));
  }));
}

int FakeApi::connections() const {
  const auto lock = impl_->Lock();
  return impl_->server_.connections();
}

int FakeApi::open_connections() const {
  const auto lock = impl_->Lock();
  return impl_->server_.open_connections();
}

int FakeApi::open_watches() const {
  const auto lock = impl_->Lock();
  return static_cast<int>(impl_->watches_.size());
}

int64_t FakeApi::bytes_sent() const {
  const auto lock = impl_->Lock();
  return impl_->server_.bytes_sent();
}

}  // namespace pointsman::support
