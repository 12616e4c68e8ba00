// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/http_error.h"

#include <netdb.h>

#include <cctype>
#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace pointsman::kube {
namespace {

// Names shown of a certificate that has many.
constexpr size_t kNamesShown = 6;

absl::Status CannotReach(const TransferFacts& facts, absl::string_view why) {
  return absl::UnavailableError(absl::StrCat("cannot reach ", facts.server, ": ", why));
}

absl::Status CannotTrust(const TransferFacts& facts, absl::string_view why) {
  return absl::UnauthenticatedError(absl::StrCat("cannot trust ", facts.server, ": ", why));
}

std::string LowerFirst(absl::string_view text) {
  std::string lower(text);
  const bool acronym = lower.size() > 1 && absl::ascii_isupper(static_cast<unsigned char>(lower[1]));
  if (!lower.empty() && !acronym) lower[0] = absl::ascii_tolower(static_cast<unsigned char>(lower[0]));
  return lower;
}

std::string SystemError(int64_t error) { return LowerFirst(strerror(static_cast<int>(error))); }

// What is left of libcurl's text when its own prefixes and OpenSSL's numbers are gone:
// "OpenSSL SSL_read: OpenSSL/3.0.22: error:0A00045C:SSL routines::tlsv13 alert certificate required, errno 0".
std::string Essence(absl::string_view detail) {
  absl::ConsumePrefix(&detail, "OpenSSL ");
  for (absl::string_view prefix :
       {"SSL certificate problem: ", "SSL_connect: ", "SSL_read: ", "SSL_write: ", "SSL: "}) {
    absl::ConsumePrefix(&detail, prefix);
  }
  if (absl::StrContains(detail, "error:")) {
    if (const size_t reason = detail.rfind("::"); reason != absl::string_view::npos) detail.remove_prefix(reason + 2);
  }
  if (const size_t end = detail.rfind(", errno "); end != absl::string_view::npos) detail = detail.substr(0, end);
  if (const size_t end = detail.find(" in connection to "); end != absl::string_view::npos) {
    detail = detail.substr(0, end);
  }
  return LowerFirst(absl::StripAsciiWhitespace(detail));
}

std::string Seconds(absl::Duration duration) { return absl::StrCat(absl::ToDoubleSeconds(duration), " s"); }

absl::Status Untrusted(const TransferFacts& facts) {
  const std::string problem = Essence(facts.detail);
  if (absl::StrContains(problem, "certificate has expired")) {
    return CannotTrust(facts, "its certificate has expired, or this machine's clock is wrong");
  }
  if (absl::StrContains(problem, "not yet valid")) {
    return CannotTrust(facts, "its certificate is not yet valid, or this machine's clock is wrong");
  }
  if (absl::StrContains(problem, "subject name") || absl::StrContains(problem, "certificate subject")) {
    const std::string wanted = facts.tls_server_name.empty() ? facts.host : facts.tls_server_name;
    const absl::string_view advice = facts.tls_server_name.empty()
                                         ? "; set tls-server-name to one of its names if this is the right server"
                                         : "; that is what tls-server-name says";
    if (facts.certificate_names.empty()) {
      return CannotTrust(facts, absl::StrCat("its certificate is not for ", wanted, advice));
    }
    std::vector<std::string> names = facts.certificate_names;
    const size_t more = names.size() > kNamesShown ? names.size() - kNamesShown : 0;
    names.resize(names.size() - more);
    return CannotTrust(
        facts, absl::StrCat("its certificate is for ", absl::StrJoin(names, ", "),
                            more > 0 ? absl::StrCat(" and ", more, " more") : "", ", not for ", wanted, advice));
  }
  for (absl::string_view unknown : {"local issuer", "self-signed", "self signed", "verify the first certificate"}) {
    if (!absl::StrContains(problem, unknown)) continue;
    return CannotTrust(facts, absl::StrCat("its certificate is not signed by ",
                                           facts.ca_given ? "the CA given" : "any CA known to this system; give its CA",
                                           " (", problem, ")"));
  }
  return CannotTrust(facts, absl::StrCat("its certificate is not valid (", problem, ")"));
}

// What an alert or a failed handshake says, looked for in what OpenSSL made of it.
struct TlsRow {
  absl::string_view text;
  enum { kNoTls, kOldTls, kOurCertificate, kTheirSignature } meaning;
};

constexpr TlsRow kTlsRows[] = {
    {"wrong version number", TlsRow::kNoTls},
    {"packet length too long", TlsRow::kNoTls},
    {"http request", TlsRow::kNoTls},
    {"unknown protocol", TlsRow::kNoTls},
    {"unsupported protocol", TlsRow::kOldTls},
    {"alert protocol version", TlsRow::kOldTls},
    {"alert certificate required", TlsRow::kOurCertificate},
    {"alert bad certificate", TlsRow::kOurCertificate},
    {"alert unknown ca", TlsRow::kOurCertificate},
    {"alert certificate expired", TlsRow::kOurCertificate},
    {"alert certificate revoked", TlsRow::kOurCertificate},
    {"alert certificate unknown", TlsRow::kOurCertificate},
    {"alert unsupported certificate", TlsRow::kOurCertificate},
    {"alert access denied", TlsRow::kOurCertificate},
    {"alert decrypt error", TlsRow::kOurCertificate},
    {"asn1 encoding routines::EVP lib", TlsRow::kTheirSignature},
    {"rsa routines::", TlsRow::kTheirSignature},
};

// Of a failure in the handshake or, as TLS 1.3 has it for client certificates, right after it. OK: nothing special.
absl::Status TlsFailure(const TransferFacts& facts) {
  const std::string essence = Essence(facts.detail);
  for (const TlsRow& row : kTlsRows) {
    if (!absl::StrContains(facts.detail, row.text)) continue;
    switch (row.meaning) {
      case TlsRow::kNoTls:
        return CannotReach(facts, absl::StrCat("what listens there speaks no TLS (", essence, ")"));
      case TlsRow::kOldTls:
        return CannotReach(facts, absl::StrCat("it speaks no TLS 1.2 or newer (", essence, ")"));
      case TlsRow::kTheirSignature:
        return CannotTrust(facts, absl::StrCat("its certificate is not signed by ",
                                               facts.ca_given ? "the CA given" : "a CA known to this system",
                                               ", but by another of the same name"));
      case TlsRow::kOurCertificate:
        if (facts.certificate_given) {
          return absl::UnauthenticatedError(
              absl::StrCat(facts.server, " does not take our client certificate (", essence, ")"));
        }
        return absl::UnauthenticatedError(
            absl::StrCat(facts.server, " wants a client certificate, and none is configured (", essence, ")"));
    }
  }
  return absl::OkStatus();
}

absl::Status Broken(const TransferFacts& facts, absl::string_view how) {
  const std::string when =
      facts.answered ? absl::StrCat("after ", facts.bytes, " bytes of the answer") : "before an answer";
  return absl::UnavailableError(
      absl::StrCat("lost ", facts.request, " on ", facts.server, " ", when, how.empty() ? "" : ": ", how));
}

// "HTTP/2 stream 5 was not closed cleanly: INTERNAL_ERROR (err 2)"
std::string StreamError(absl::string_view detail) {
  if (const size_t colon = detail.rfind(": "); colon != absl::string_view::npos) {
    return absl::StrCat("the server reset the stream (", detail.substr(colon + 2), ")");
  }
  return "the server reset the stream";
}

}  // namespace

absl::Status ExplainTransfer(const TransferFacts& facts) {
  const std::string essence = Essence(facts.detail.empty() ? curl_easy_strerror(facts.code) : facts.detail);
  const std::string via = facts.proxy.empty() ? "the proxy" : absl::StrCat("the proxy ", facts.proxy);
  switch (facts.code) {
    case CURLE_OK:
      return absl::OkStatus();

    case CURLE_COULDNT_RESOLVE_HOST:
      return CannotReach(facts, absl::StrCat("the name ", facts.host, " cannot be resolved"));
    case CURLE_COULDNT_RESOLVE_PROXY:
      return CannotReach(facts, absl::StrCat("the name of ", via, " cannot be resolved"));
    case CURLE_COULDNT_CONNECT:
      return CannotReach(facts, facts.os_error != 0 ? SystemError(facts.os_error) : essence);
    case CURLE_OPERATION_TIMEDOUT:  // of what happens before a request is sent; see ExplainTimeout
      return CannotReach(facts, absl::StartsWith(facts.detail, "SSL")
                                    ? "it takes the connection, but does not finish the TLS handshake"
                                    : "no answer to the attempt to connect");
    case CURLE_PROXY:
      return CannotReach(facts, absl::StrCat(via, " does not do what a proxy does (", essence, ")"));

    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
      return Untrusted(facts);
    case CURLE_SSL_CACERT_BADFILE:
      return facts.ca_given ? CannotTrust(facts, "the CA given holds no certificate in PEM that can be used")
                            : CannotTrust(facts, "this system has no CA certificates; give the server's CA");
    case CURLE_SSL_CERTPROBLEM:
      return absl::UnauthenticatedError(absl::StrCat("cannot use our client certificate or its key for ", facts.server,
                                                     ": not PEM, or they do not belong together (", essence, ")"));
    case CURLE_SSL_CONNECT_ERROR: {
      absl::Status special = TlsFailure(facts);
      if (!special.ok()) return special;
      return CannotReach(facts, absl::StrCat("the TLS handshake failed (", essence, ")"));
    }

    case CURLE_HTTP2_STREAM:
      return Broken(facts, StreamError(facts.detail));
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING: {
      if (facts.proxy_answer != 0 && !facts.sent) {
        return CannotReach(facts, absl::StrCat(via, " refuses to connect to it (HTTP ", facts.proxy_answer, ")"));
      }
      absl::Status special = TlsFailure(facts);
      if (!special.ok()) return special;
      if (!facts.sent) return CannotReach(facts, absl::StrCat("the connection broke (", essence, ")"));
      // libcurl's own words for an end of file in the middle say nothing more than that.
      const bool silent = facts.code == CURLE_PARTIAL_FILE || facts.code == CURLE_GOT_NOTHING;
      return Broken(facts, silent ? "the connection was closed" : absl::StrCat("the connection broke (", essence, ")"));
    }

    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
      return CannotReach(facts, absl::StrCat("what answers there is no HTTP server (", essence, ")"));
    case CURLE_URL_MALFORMAT:
      return CannotReach(facts, "this is no URL of a server");
    case CURLE_BAD_CONTENT_ENCODING:
      return Broken(facts, "the answer cannot be decompressed");
    case CURLE_WRITE_ERROR:
      return absl::CancelledError(
          absl::StrCat(facts.request, " on ", facts.server, ": no more was wanted after ", facts.bytes, " bytes"));
    default:
      return facts.sent ? Broken(facts, essence) : CannotReach(facts, essence);
  }
}

absl::Status ExplainTimeout(const TransferFacts& facts, Timeout which, absl::Duration after) {
  const std::string time = Seconds(after);
  if (!facts.sent) {
    return absl::DeadlineExceededError(absl::StrCat("cannot reach ", facts.server, ": ",
                                                    facts.connected ? "no finished TLS handshake" : "no connection",
                                                    " within ", time));
  }
  const std::string request = absl::StrCat(facts.request, " on ", facts.server);
  if (which == Timeout::kTotal) {
    return absl::DeadlineExceededError(
        absl::StrCat(request, " was not done within ", time, " (",
                     facts.answered ? absl::StrCat(facts.bytes, " bytes of the answer") : "no answer", ")"));
  }
  if (which == Timeout::kHead) return absl::DeadlineExceededError(absl::StrCat(request, ": no answer within ", time));
  return absl::DeadlineExceededError(
      absl::StrCat(request, ": the answer stopped for ", time, " after ", facts.bytes, " bytes"));
}

std::vector<std::string> NamesOfCertificate(absl::string_view alternative_names) {
  std::vector<std::string> names;
  if (!absl::ConsumePrefix(&alternative_names, "X509v3 Subject Alternative Name:")) return names;
  for (absl::string_view name : absl::StrSplit(alternative_names, ',')) {
    name = absl::StripAsciiWhitespace(name);
    if (absl::ConsumePrefix(&name, "DNS:") || absl::ConsumePrefix(&name, "IP Address:")) names.emplace_back(name);
  }
  return names;
}

}  // namespace pointsman::kube
