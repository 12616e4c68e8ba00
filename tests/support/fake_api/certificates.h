// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace pointsman::support {

struct Certificate {
  std::string certificate;  // PEM
  std::string key;          // PEM
};

// A certificate authority of the test's own, made in memory (EC P-256: quick).
class CertificateAuthority {
 public:
  explicit CertificateAuthority(const std::string& common_name);
  ~CertificateAuthority();
  CertificateAuthority(CertificateAuthority&&) noexcept;
  CertificateAuthority& operator=(CertificateAuthority&&) noexcept;

  std::string pem() const;

  // For a server at these IP addresses and DNS names.
  Certificate ForServer(const std::vector<std::string>& names, absl::Duration valid = absl::Hours(24)) const;
  // For a client, as Kubernetes reads it: CN is the user, O the groups.
  Certificate ForClient(const std::string& user, const std::vector<std::string>& groups = {}) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pointsman::support
