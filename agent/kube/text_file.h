// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pointsman::kube {

// Reads a whole regular file, of at most a mebibyte; never blocks on a pipe or a device.
//
// Errors: kNotFound, or kFailedPrecondition for anything else. The message is one line and names the file.
absl::StatusOr<std::string> ReadTextFile(const std::string& path);

// What can end a header line, or be taken for the end of one.
bool HasControlCharacter(absl::string_view text);

}  // namespace pointsman::kube
