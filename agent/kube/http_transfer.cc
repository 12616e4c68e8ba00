// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/http_transfer.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

#include "pointsman/net.h"

namespace pointsman::kube {
namespace {

constexpr absl::Duration kConnectTimeout = absl::Seconds(30);
// A silent peer is probed after kKeepAliveIdle, then each kKeepAliveInterval, and given up after kSilentPeer.
constexpr int kKeepAliveIdle = 30;
constexpr int kKeepAliveInterval = 5;
constexpr int kSilentPeer = 45;

void Append(List& list, const std::string& line) {
  curl_slist* longer = curl_slist_append(list.get(), line.c_str());
  PM_CHECK(longer != nullptr);
  (void)list.release();
  list.reset(longer);
}

struct UrlCleanup {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

// The parts of a URL that we need by themselves.
class Url {
 public:
  explicit Url(const std::string& text) : url_(curl_url()) {
    PM_CHECK(url_ != nullptr);
    valid_ = curl_url_set(url_.get(), CURLUPART_URL, text.c_str(), CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK;
  }

  bool valid() const { return valid_; }
  std::string Get(CURLUPart part, unsigned flags = 0) const {
    char* text = nullptr;
    if (curl_url_get(url_.get(), part, &text, flags) != CURLUE_OK) return "";
    std::string copy(text);
    curl_free(text);
    return copy;
  }
  std::string With(CURLUPart part, const std::string& value) {
    if (curl_url_set(url_.get(), part, value.c_str(), 0) != CURLUE_OK) return "";
    return Get(CURLUPART_URL);
  }
  // Scheme, host and port, if one was written.
  std::string ForMessages() const {
    const std::string port = Get(CURLUPART_PORT);
    return absl::StrCat(Get(CURLUPART_SCHEME), "://", Get(CURLUPART_HOST), port.empty() ? "" : ":", port);
  }

 private:
  std::unique_ptr<CURLU, UrlCleanup> url_;
  bool valid_ = false;
};

curl_blob Blob(const std::string& text) {
  // libcurl takes a pointer to what it only reads.
  return curl_blob{const_cast<char*>(text.data()), text.size(), CURL_BLOB_NOCOPY};
}

// --- what libcurl calls. None of these may add or remove transfers: HttpClient::Start and Cancel only take note.

void TakeHeader(Transfer& transfer, absl::string_view line) {
  HttpHead& head = transfer.head;
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos) return;
  const absl::string_view name = line.substr(0, colon);
  const absl::string_view value = absl::StripAsciiWhitespace(line.substr(colon + 1));
  if (absl::EqualsIgnoreCase(name, "content-type")) head.content_type = std::string(value);
  if (absl::EqualsIgnoreCase(name, "warning")) head.warnings.emplace_back(value);
  if (absl::EqualsIgnoreCase(name, "retry-after")) {
    uint32_t seconds = 0;
    if (absl::SimpleAtoi(value, &seconds)) head.retry_after = absl::Seconds(seconds);
  }
}

size_t OnHeader(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (transfer.cancelled) return 0;
  const size_t bytes = size * count;
  const absl::string_view line = absl::StripAsciiWhitespace(absl::string_view(data, bytes));
  if (transfer.answered) return bytes;  // a trailer
  if (absl::StartsWith(line, "HTTP/")) {
    // Of an interim answer (1xx) nothing is kept.
    transfer.head = {};
    transfer.http2 = absl::StartsWith(line, "HTTP/2");
    const size_t blank = line.find(' ');
    if (blank != absl::string_view::npos) (void)absl::SimpleAtoi(line.substr(blank + 1, 3), &transfer.head.code);
    return bytes;
  }
  if (!line.empty()) {
    TakeHeader(transfer, line);
    return bytes;
  }
  if (transfer.head.code < 200) return bytes;
  transfer.answered = true;
  transfer.last_piece = SteadyTime();
  transfer.to_head = transfer.last_piece - transfer.started;
  transfer.account.heard = true;
  transfer.head.cost = CostOf(transfer);
  if (transfer.handlers.head) transfer.handlers.head(transfer.head);
  return transfer.cancelled ? 0 : bytes;
}

size_t OnBody(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (transfer.cancelled) return 0;
  const size_t bytes = size * count;
  transfer.last_piece = SteadyTime();
  transfer.burst += static_cast<int64_t>(bytes);
  transfer.account.heard = true;
  if (transfer.handlers.body && !transfer.handlers.body(absl::string_view(data, bytes))) return 0;
  return transfer.cancelled ? 0 : bytes;
}

// The connection is ready and the request goes out.
int OnReady(void* user, char* /*peer*/, char* /*local*/, int /*peer_port*/, int /*local_port*/) {
  auto& transfer = *static_cast<Transfer*>(user);
  transfer.sent = true;
  long connections = 0;  // NOLINT(google-runtime-int)
  curl_easy_getinfo(transfer.easy.get(), CURLINFO_NUM_CONNECTS, &connections);
  if (connections > transfer.connections) ++transfer.account.stats.connections;
  transfer.connections = connections;
  return transfer.cancelled ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

int OnSocket(void* user, curl_socket_t socket, curlsocktype /*purpose*/) {
  static_cast<Transfer*>(user)->socket = socket;
  const auto set = [&](int level, int option, int value) {
    (void)setsockopt(socket, level, option, &value, sizeof value);
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveIdle);
  set(IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveInterval);
  set(IPPROTO_TCP, TCP_KEEPCNT, (kSilentPeer - kKeepAliveIdle) / kKeepAliveInterval);
  // Also for data that nobody acknowledges.
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, kSilentPeer * 1000);
  return CURL_SOCKOPT_OK;
}

// --- setting up

class Setter {
 public:
  explicit Setter(CURL* easy) : easy_(easy) {}
  template <typename T>
  void operator()(CURLoption option, T value) {
    if (result_ == CURLE_OK) result_ = curl_easy_setopt(easy_, option, value);
  }
  CURLcode result() const { return result_; }

 private:
  CURL* const easy_;
  CURLcode result_ = CURLE_OK;
};

void SetTls(const HttpServer& server, Setter& set) {
  const auto blob = [&](CURLoption option, const std::string& text) {
    if (text.empty()) return;
    curl_blob view = Blob(text);
    set(option, &view);
  };
  set(CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
  // For the names in it, should they be wrong.
  set(CURLOPT_CERTINFO, 1L);
  if (server.insecure_skip_tls_verify) {
    set(CURLOPT_SSL_VERIFYPEER, 0L);
    set(CURLOPT_SSL_VERIFYHOST, 0L);
  } else if (!server.ca.empty()) {
    // Without these the system's would count besides.
    set(CURLOPT_CAINFO, static_cast<char*>(nullptr));
    set(CURLOPT_CAPATH, static_cast<char*>(nullptr));
    blob(CURLOPT_CAINFO_BLOB, server.ca);
  }
  blob(CURLOPT_SSLCERT_BLOB, server.certificate);
  blob(CURLOPT_SSLKEY_BLOB, server.key);
}

// Whether NO_PROXY of the environment names this host: "*", a name, a domain, an address or a network.
bool IsNoProxyHost(const std::string& host) {
  const char* list = getenv("no_proxy");
  if (list == nullptr) list = getenv("NO_PROXY");
  if (list == nullptr) return false;
  const std::optional<IpAddr> address = IpAddr::Parse(host);
  for (absl::string_view entry : absl::StrSplit(list, absl::ByAnyChar(", "), absl::SkipEmpty())) {
    if (entry == "*") return true;
    if (address.has_value()) {
      const std::optional<Cidr> network = Cidr::Parse(entry);
      if (network.has_value() ? network->Contains(*address) : IpAddr::Parse(entry) == address) return true;
      continue;
    }
    absl::ConsumePrefix(&entry, ".");
    if (absl::EqualsIgnoreCase(host, entry) || absl::EndsWithIgnoreCase(host, absl::StrCat(".", entry))) return true;
  }
  return false;
}

void SetServer(Transfer& transfer, Setter& set) {
  const HttpServer& server = transfer.server;
  std::string base = server.url;
  if (!server.tls_server_name.empty()) {
    // libcurl greets and verifies whom the URL names. So it names that one, and the address is said apart.
    Url url(server.url);
    const std::string host = url.Get(CURLUPART_HOST);
    const std::string port = url.Get(CURLUPART_PORT);
    Append(transfer.connect_to,
           absl::StrCat("::", host, ":", port.empty() ? url.Get(CURLUPART_PORT, CURLU_DEFAULT_PORT) : port));
    set(CURLOPT_CONNECT_TO, transfer.connect_to.get());
    Append(transfer.headers, absl::StrCat("Host: ", host, port.empty() ? "" : ":", port));
    base = std::string(absl::StripSuffix(url.With(CURLUPART_HOST, server.tls_server_name), "/"));
  }
  set(CURLOPT_URL, absl::StrCat(base, transfer.request.path).c_str());
  if (!server.proxy_url.empty()) {
    set(CURLOPT_PROXY, server.proxy_url.c_str());
    set(CURLOPT_NOPROXY, "");
  } else if (!server.tls_server_name.empty()) {
    // libcurl would look for the name in the URL.
    const std::string host = Url(server.url).Get(CURLUPART_HOST);
    if (IsNoProxyHost(std::string(absl::StripSuffix(absl::StripPrefix(host, "["), "]")))) set(CURLOPT_PROXY, "");
    set(CURLOPT_NOPROXY, "");
  }
  SetTls(server, set);
}

// What the names in the server's certificate are, if one came.
std::vector<std::string> CertificateNames(CURL* easy) {
  curl_certinfo* chain = nullptr;
  if (curl_easy_getinfo(easy, CURLINFO_CERTINFO, &chain) != CURLE_OK || chain->num_of_certs == 0) return {};
  for (const curl_slist* line = chain->certinfo[0]; line != nullptr; line = line->next) {
    std::vector<std::string> names = NamesOfCertificate(line->data);
    if (!names.empty()) return names;
  }
  return {};
}

}  // namespace

absl::Duration SteadyTime() { return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch()); }

CURLcode Prepare(Transfer& transfer, const std::string& user_agent, bool http2) {
  transfer.headers.reset();
  transfer.connect_to.reset();
  transfer.easy.reset(curl_easy_init());
  PM_CHECK(transfer.easy != nullptr);
  Setter set(transfer.easy.get());
  set(CURLOPT_PRIVATE, &transfer);
  set(CURLOPT_ERRORBUFFER, transfer.error);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  // Neither alarms for names that do not resolve, nor waiting for them when the transfer goes.
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_QUICK_EXIT, 1L);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(kConnectTimeout)));  // NOLINT

  set(CURLOPT_HEADERFUNCTION, OnHeader);
  set(CURLOPT_HEADERDATA, &transfer);
  set(CURLOPT_WRITEFUNCTION, OnBody);
  set(CURLOPT_WRITEDATA, &transfer);
  set(CURLOPT_PREREQFUNCTION, OnReady);
  set(CURLOPT_PREREQDATA, &transfer);
  set(CURLOPT_SOCKOPTFUNCTION, OnSocket);
  set(CURLOPT_SOCKOPTDATA, &transfer);

  set(CURLOPT_HTTP_VERSION, http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1);
  set(CURLOPT_PIPEWAIT, http2 ? 1L : 0L);
  set(CURLOPT_BUFFERSIZE, static_cast<long>(kBuffer));  // NOLINT(google-runtime-int)
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(CURLOPT_USERAGENT, user_agent.c_str());
  if (!transfer.server.disable_compression) set(CURLOPT_ACCEPT_ENCODING, "gzip");
  for (const std::string& line : transfer.request.headers) Append(transfer.headers, line);
  SetServer(transfer, set);
  set(CURLOPT_HTTPHEADER, transfer.headers.get());
  return set.result();
}

HttpCost CostOf(const Transfer& transfer) {
  HttpCost cost = {.to_head = transfer.answered ? transfer.to_head : SteadyTime() - transfer.started,
                   .bytes_received = transfer.Received(),
                   .repeated = transfer.repeated};
  CURL* const easy = transfer.easy.get();
  if (easy == nullptr) return cost;
  long connections = 0;  // NOLINT(google-runtime-int)
  long sent = 0;         // NOLINT(google-runtime-int)
  curl_off_t lookup = 0;
  curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connections);
  curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &sent);
  curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &lookup);
  cost.bytes_sent = sent;
  // libcurl has a time for addresses, too, and for those who use another's connection.
  const std::string host = Url(transfer.server.url).Get(CURLUPART_HOST);
  const bool named = !IpAddr::Parse(absl::StripSuffix(absl::StripPrefix(host, "["), "]")).has_value();
  if (named && connections > 0 && lookup > 0) cost.name_lookup = absl::Microseconds(lookup);
  return cost;
}

TransferFacts FactsOf(const Transfer& transfer) {
  const Url url(transfer.server.url);
  TransferFacts facts;
  facts.server = url.valid() ? url.ForMessages() : transfer.server.url;
  facts.host = url.Get(CURLUPART_HOST);
  facts.request = absl::StrCat("GET ", url.Get(CURLUPART_PATH) == "/" ? "" : url.Get(CURLUPART_PATH),
                               transfer.request.path.substr(0, transfer.request.path.find('?')));
  if (!transfer.server.proxy_url.empty()) facts.proxy = Url(transfer.server.proxy_url).ForMessages();
  facts.detail = transfer.error;
  facts.ca_given = !transfer.server.ca.empty();
  facts.tls_server_name = transfer.server.tls_server_name;
  facts.certificate_given = !transfer.server.certificate.empty();
  facts.sent = transfer.sent;
  facts.answered = transfer.answered;
  facts.bytes = transfer.Received();
  if (CURL* easy = transfer.easy.get(); easy != nullptr) {
    long os_error = 0;      // NOLINT(google-runtime-int)
    long proxy_answer = 0;  // NOLINT(google-runtime-int)
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_error);
    curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &proxy_answer);
    facts.os_error = os_error;
    facts.proxy_answer = proxy_answer;
    // libcurl's own times tell only of what is ready, TLS and all.
    sockaddr_storage peer = {};
    socklen_t size = sizeof peer;
    facts.connected = getpeername(transfer.socket, reinterpret_cast<sockaddr*>(&peer), &size) == 0;
    facts.certificate_names = CertificateNames(easy);
  }
  return facts;
}

}  // namespace pointsman::kube
