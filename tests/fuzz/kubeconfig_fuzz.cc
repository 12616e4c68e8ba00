// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

#include "agent/kube/access.h"
#include "agent/kube/exec_plugin.h"
#include "agent/kube/text_file.h"
#include "pointsman/status.h"

using pointsman::kube::Access;
using pointsman::kube::HasControlCharacter;

// Whatever the text, as a kubeconfig and as what a plug-in prints: nothing of it can forge a header or a second line.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<Access> access = pointsman::kube::ParseKubeconfig("fuzz.conf", "/etc", text);
  if (access.ok()) {
    for (const std::string& server : access->servers) {
      PM_CHECK(absl::StartsWith(server, "http://") || absl::StartsWith(server, "https://"));
      PM_CHECK(!absl::EndsWith(server, "/") && !HasControlCharacter(server));
    }
    for (const std::string& header : access->impersonate) {
      PM_CHECK(absl::StartsWith(header, "Impersonate-") && !HasControlCharacter(header));
    }
    PM_CHECK(!HasControlCharacter(access->token) && !HasControlCharacter(access->username));
    PM_CHECK(!HasControlCharacter(access->tls_server_name) && !HasControlCharacter(access->proxy_url));
    PM_CHECK(access->client_certificate.empty() == access->client_key.empty());
    PM_CHECK(!access->insecure_skip_tls_verify || access->ca.empty());
    if (access->exec) {
      PM_CHECK(!access->exec->command.empty());
      PM_CHECK(!pointsman::kube::FormatExecInfo(*access, access->ca.text).empty());
    }
  } else {
    PM_CHECK(absl::StartsWith(access.status().message(), "fuzz.conf:"));
    PM_CHECK(!absl::StrContains(access.status().message(), "\n"));
  }
  const auto answer = pointsman::kube::ParseExecCredential("client.authentication.k8s.io/v1", text);
  if (answer.ok()) {
    PM_CHECK(!HasControlCharacter(answer->token));
    PM_CHECK(answer->certificate.empty() == answer->key.empty());
    PM_CHECK(!answer->token.empty() || !answer->key.empty());
  } else {
    PM_CHECK(!absl::StrContains(answer.status().message(), "\n"));
  }
  return 0;
}
