// SPDX-License-Identifier: Apache-2.0
//
// Of PEM and DER as much as it takes to see that a certificate and a key were not written at the same time.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace pointsman::kube {

// True if there is a block in it whose label ends so, and every block is there to its end: not so while a file is
// being written.
bool HasWholePem(absl::string_view text, absl::string_view label);

enum class PairFit : uint8_t { kFits, kDiffers, kUnknown };

// Whether the first private key is that of the first certificate. RSA keys always tell, EC keys nearly always; others,
// encrypted ones, and what cannot be understood do not.
//
// Source: RFC 5280 (certificate), RFC 5958 (PKCS #8), RFC 8017 (RSA), RFC 5915 (EC).
PairFit FitOf(absl::string_view certificate_pem, absl::string_view key_pem);

}  // namespace pointsman::kube
