// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace pointsman::serve {

// Whether a client with this Accept-Encoding wants gzip.
bool AcceptsGzip(absl::string_view accept_encoding);

// Returns: nullopt if there is no memory for it.
std::optional<std::string> Gzip(const std::string& text);

}  // namespace pointsman::serve
