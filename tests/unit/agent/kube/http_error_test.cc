// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/http_error.h"

#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pointsman::kube {
namespace {

using testing::ElementsAre;

struct WordsRow {
  const char* name;
  TransferFacts facts;
  absl::Status status;
};

class HttpWords : public testing::TestWithParam<WordsRow> {};

TEST_P(HttpWords, SayWhatHappened) { EXPECT_EQ(ExplainTransfer(GetParam().facts), GetParam().status); }

TransferFacts FactsOf(CURLcode code, const char* detail) {
  return {.server = "https://192.0.2.1:6443",
          .host = "192.0.2.1",
          .request = "GET /x",
          .code = code,
          .detail = detail,
          .ca_given = true};
}

TransferFacts With(TransferFacts facts, const std::function<void(TransferFacts&)>& change) {
  change(facts);
  return facts;
}

INSTANTIATE_TEST_SUITE_P(
    All, HttpWords,
    testing::Values(
        WordsRow{"Expired", FactsOf(CURLE_PEER_FAILED_VERIFICATION, "SSL certificate problem: certificate has expired"),
                 absl::UnauthenticatedError("cannot trust https://192.0.2.1:6443: its certificate has expired, or this "
                                            "machine's clock is wrong")},
        WordsRow{"NotYet",
                 FactsOf(CURLE_PEER_FAILED_VERIFICATION, "SSL certificate problem: certificate is not yet valid"),
                 absl::UnauthenticatedError("cannot trust https://192.0.2.1:6443: its certificate is not yet valid, or "
                                            "this machine's clock is wrong")},
        WordsRow{"SelfSigned",
                 FactsOf(CURLE_PEER_FAILED_VERIFICATION,
                         "SSL certificate problem: self-signed certificate in certificate chain"),
                 absl::UnauthenticatedError("cannot trust https://192.0.2.1:6443: its certificate is not signed by the "
                                            "CA given (self-signed certificate in certificate chain)")},
        WordsRow{
            "NameWithoutNames",
            FactsOf(CURLE_PEER_FAILED_VERIFICATION,
                    "SSL: no alternative certificate subject name matches target host name '192.0.2.1'"),
            absl::UnauthenticatedError("cannot trust https://192.0.2.1:6443: its certificate is not for 192.0.2.1; "
                                       "set tls-server-name to one of its names if this is the right server")},
        WordsRow{"CertificateRequired",
                 FactsOf(CURLE_RECV_ERROR,
                         "OpenSSL SSL_read: OpenSSL/3.0.22: error:0A00045C:SSL routines::tlsv13 alert certificate "
                         "required, errno 0"),
                 absl::UnauthenticatedError("https://192.0.2.1:6443 wants a client certificate, and none is configured "
                                            "(tlsv13 alert certificate required)")},
        WordsRow{"CertificateRefused",
                 With(FactsOf(CURLE_SSL_CONNECT_ERROR, "error:0A000412:SSL routines::sslv3 alert bad certificate"),
                      [](TransferFacts& facts) { facts.certificate_given = true; }),
                 absl::UnauthenticatedError("https://192.0.2.1:6443 does not take our client certificate (sslv3 alert "
                                            "bad certificate)")},
        WordsRow{"OldTls", FactsOf(CURLE_SSL_CONNECT_ERROR, "error:0A000102:SSL routines::unsupported protocol"),
                 absl::UnavailableError("cannot reach https://192.0.2.1:6443: it speaks no TLS 1.2 or newer "
                                        "(unsupported protocol)")},
        WordsRow{"HandshakeReset",
                 FactsOf(CURLE_SSL_CONNECT_ERROR,
                         "OpenSSL SSL_connect: Connection reset by peer in connection to 192.0.2.1:6443 "),
                 absl::UnavailableError(
                     "cannot reach https://192.0.2.1:6443: the TLS handshake failed (connection reset by peer)")},
        WordsRow{"Handshake30Seconds", FactsOf(CURLE_OPERATION_TIMEDOUT, "SSL connection timeout"),
                 absl::UnavailableError("cannot reach https://192.0.2.1:6443: it takes the connection, but does not "
                                        "finish the TLS handshake")},
        WordsRow{"Connect30Seconds", FactsOf(CURLE_OPERATION_TIMEDOUT, "Connection timeout after 30000 ms"),
                 absl::UnavailableError("cannot reach https://192.0.2.1:6443: no answer to the attempt to connect")},
        WordsRow{
            "Gzip",
            With(FactsOf(CURLE_BAD_CONTENT_ENCODING, "Error while processing content unencoding: incorrect header"),
                 [](TransferFacts& facts) { facts.sent = facts.answered = true; }),
            absl::UnavailableError("lost GET /x on https://192.0.2.1:6443 after 0 bytes of the answer: the answer "
                                   "cannot be decompressed")}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(HttpWordsTest, NamesOfACertificateAreReadFromItsAlternativeNames) {
  EXPECT_THAT(NamesOfCertificate("X509v3 Subject Alternative Name:DNS:a.example, IP Address:192.0.2.1, email:x@y"),
              ElementsAre("a.example", "192.0.2.1"));
  EXPECT_THAT(NamesOfCertificate("Subject:CN = a.example"), ElementsAre());
}

}  // namespace
}  // namespace pointsman::kube
