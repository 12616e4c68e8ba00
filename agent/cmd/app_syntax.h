// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/strings/string_view.h"

#include <CLI/CLI.hpp>

#include "agent/cmd/syntax.h"

namespace pointsman {

// Reads it off the parser, and from the table of settings which flags have an effect.
Syntax SyntaxOf(const CLI::App& app, absl::string_view version);

}  // namespace pointsman
