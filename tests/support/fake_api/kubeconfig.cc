// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_api/kubeconfig.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace pointsman::support {

std::string Kubeconfig(const std::string& server, const std::string& ca, const std::string& token_file) {
  return absl::StrCat(
      "apiVersion: v1\nkind: Config\ncurrent-context: test\n"
      "contexts:\n- name: test\n  context: {cluster: test, user: test}\n"
      "clusters:\n- name: test\n  cluster:\n    server: ",
      server, "\n    certificate-authority-data: ", absl::Base64Escape(ca),
      "\nusers:\n- name: test\n  user:", token_file.empty() ? " {}" : absl::StrCat("\n    tokenFile: ", token_file),
      "\n");
}

}  // namespace pointsman::support
