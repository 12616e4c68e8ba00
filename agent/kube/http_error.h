// SPDX-License-Identifier: Apache-2.0
//
// What the end of a transfer means to whoever reads a log, in words that do not need libcurl's source to understand.
#pragma once

#include <curl/curl.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace pointsman::kube {

// What is known of a transfer that ended.
struct TransferFacts {
  std::string server;   // URL without credentials and without a path, as it stands in the message
  std::string host;     // of it
  std::string request;  // "GET /api/v1/services"
  std::string proxy;    // URL without credentials; empty: none, or one of the environment

  CURLcode code = CURLE_OK;
  std::string detail;                          // CURLOPT_ERRORBUFFER
  int64_t os_error = 0;                        // CURLINFO_OS_ERRNO
  int64_t proxy_answer = 0;                    // CURLINFO_HTTP_CONNECTCODE
  std::vector<std::string> certificate_names;  // what the server's certificate is for, as far as it came

  bool ca_given = false;
  std::string tls_server_name;
  bool certificate_given = false;  // ours
  bool connected = false;          // TCP, to the server or its proxy
  bool sent = false;               // the request, over a connection that is ready
  bool answered = false;
  int64_t bytes = 0;  // of the body
};

// OK for CURLE_OK. See HttpEnd for the codes.
absl::Status ExplainTransfer(const TransferFacts& facts);

enum class Timeout : uint8_t { kHead, kSilence, kTotal };
absl::Status ExplainTimeout(const TransferFacts& facts, Timeout which, absl::Duration after);

// The DNS names and IP addresses in a line of CURLINFO_CERTINFO that begins with "X509v3 Subject Alternative Name:".
std::vector<std::string> NamesOfCertificate(absl::string_view alternative_names);

}  // namespace pointsman::kube
