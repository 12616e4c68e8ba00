// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace pointsman::support {

// A kubeconfig with one context, in force.
//
// Inputs:  `server` is a URL, `ca` PEM, and it goes into the text. Without `token_file` there are no credentials.
std::string Kubeconfig(const std::string& server, const std::string& ca, const std::string& token_file = "");

}  // namespace pointsman::support
