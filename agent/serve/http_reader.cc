// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/http_reader.h"

#include <http_parser.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace pointsman::serve {
namespace {

const char* Reason(int status) {
  switch (status) {
#define PM_REASON(code, name, text) \
  case code:                        \
    return #text;
    HTTP_STATUS_MAP(PM_REASON)
#undef PM_REASON
    default:
      return "Status";
  }
}

}  // namespace

struct HttpReader::Impl {
  explicit Impl(const Limits& l) : limits(l) { Reset(); }

  void Reset() {
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = this;
    request = {};
    target.clear();
    name.clear();
    head = 0;
    in_value = false;
    in_head = true;
    state = State::kMore;
  }
  int Refuse(int status) {
    state = State::kRefused;
    refusal = status;
    return -1;  // 1 would mean: no body follows
  }
  void EndHeader() {
    if (name.empty()) return;
    absl::AsciiStrToLower(&name);
    const auto [it, added] = request.headers.try_emplace(std::move(name), value);
    if (!added) absl::StrAppend(&it->second, ", ", value);
    name.clear();
    value.clear();
    in_value = false;
  }
  // Of "/a?b#c" and "http://host/a?b" alike.
  bool TakeTarget() {
    http_parser_url url;
    http_parser_url_init(&url);
    if (http_parser_parse_url(target.data(), target.size(), parser.method == HTTP_CONNECT ? 1 : 0, &url) != 0) {
      return target == "*";
    }
    const auto part = [&](int field) {
      return (url.field_set & (1 << field)) == 0 ? std::string()
                                                 : target.substr(url.field_data[field].off, url.field_data[field].len);
    };
    request.path = part(UF_PATH);
    request.query = part(UF_QUERY);
    return true;
  }

  static Impl* Of(http_parser* p) { return static_cast<Impl*>(p->data); }
  static int OnTarget(http_parser* p, const char* at, size_t n) {
    Of(p)->target.append(at, n);
    return 0;
  }
  static int OnName(http_parser* p, const char* at, size_t n) {
    Impl& self = *Of(p);
    if (self.in_value) self.EndHeader();
    self.name.append(at, n);
    return 0;
  }
  static int OnValue(http_parser* p, const char* at, size_t n) {
    Of(p)->value.append(at, n);
    Of(p)->in_value = true;
    return 0;
  }
  static int OnHead(http_parser* p) {
    Impl& self = *Of(p);
    self.EndHeader();
    self.in_head = false;
    self.request.method = http_method_str(static_cast<http_method>(p->method));
    if (!self.TakeTarget()) return self.Refuse(400);
    return 0;
  }
  static int OnBody(http_parser* p, const char* at, size_t n) {
    Impl& self = *Of(p);
    if (self.request.body.size() + n > self.limits.body) return self.Refuse(413);
    self.request.body.append(at, n);
    return 0;
  }
  static int OnEnd(http_parser* p) {
    Impl& self = *Of(p);
    // What follows a body in chunks is no header of the request.
    self.name.clear();
    self.value.clear();
    self.state = State::kComplete;
    // Whoever wants another protocol is answered in this one, and leaves.
    self.keep_alive = http_should_keep_alive(p) != 0 && p->upgrade == 0;
    self.http10 = p->http_major == 1 && p->http_minor == 0;
    http_parser_pause(p, 1);
    return 0;
  }

  const Limits limits;
  http_parser parser;
  Request request;
  std::string target;
  std::string name;   // of the header under way
  std::string value;  // of it
  bool in_value = false;
  bool in_head = true;
  size_t head = 0;  // bytes of the head so far
  State state = State::kMore;
  bool keep_alive = false;
  bool http10 = false;
  int refusal = 0;
};

HttpReader::HttpReader(const Limits& limits) : impl_(std::make_unique<Impl>(limits)) {}
HttpReader::~HttpReader() = default;

HttpReader::State HttpReader::state() const { return impl_->state; }
const Request& HttpReader::request() const { return impl_->request; }
bool HttpReader::keep_alive() const { return impl_->keep_alive; }
bool HttpReader::http10() const { return impl_->http10; }
int HttpReader::refusal() const { return impl_->refusal; }
void HttpReader::Next() { impl_->Reset(); }

size_t HttpReader::Feed(absl::string_view bytes) {
  static const http_parser_settings& settings = *[] {
    auto* s = new http_parser_settings;
    http_parser_settings_init(s);
    s->on_url = Impl::OnTarget;
    s->on_header_field = Impl::OnName;
    s->on_header_value = Impl::OnValue;
    s->on_headers_complete = Impl::OnHead;
    s->on_body = Impl::OnBody;
    s->on_message_complete = Impl::OnEnd;
    return s;
  }();
  Impl& self = *impl_;
  size_t used = 0;
  while (used < bytes.size() && self.state == State::kMore) {
    // In the head no more than the limit is looked at, so that what is kept of it is bounded.
    size_t n = bytes.size() - used;
    if (self.in_head) {
      if (self.head >= self.limits.head) {
        self.Refuse(431);
        break;
      }
      n = std::min(n, self.limits.head - self.head);
    }
    const bool in_head = self.in_head;
    const size_t parsed = http_parser_execute(&self.parser, &settings, bytes.data() + used, n);
    if (in_head) self.head += parsed;
    used += parsed;
    if (self.state != State::kMore) break;
    const auto error = static_cast<http_errno>(self.parser.http_errno);
    if (error != HPE_OK) self.Refuse(error == HPE_HEADER_OVERFLOW ? 431 : 400);
  }
  return used;
}

std::string FormatResponse(const Response& response, absl::string_view method, absl::string_view connection,
                           absl::Time date) {
  std::string out = absl::StrCat("HTTP/1.1 ", response.status, " ", Reason(response.status), "\r\n");
  for (const auto& [name, value] : response.headers) absl::StrAppend(&out, name, ": ", value, "\r\n");
  absl::StrAppend(&out, "Date: ", absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", date, absl::UTCTimeZone()),
                  "\r\nContent-Length: ", response.body.size(), "\r\n");
  if (!connection.empty()) absl::StrAppend(&out, "Connection: ", connection, "\r\n");
  absl::StrAppend(&out, "\r\n");
  if (method != "HEAD") out += response.body;
  return out;
}

}  // namespace pointsman::serve
