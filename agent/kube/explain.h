// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "agent/kube/decode.h"
#include "agent/kube/resource.h"

namespace pointsman::kube {

// Why the server did not do what was asked, in one line, with what to do about it.
//
// Inputs:  `verb` as RBAC has it: "list" or "watch".
// Returns: kPermissionDenied (403), naming the verbs, the resource and the account to grant them to; kUnauthenticated
//          (401), kNotFound (404), kOutOfRange (410), kUnavailable (429, 5xx), else kFailedPrecondition.
absl::Status ExplainRefusal(const Resource& resource, absl::string_view verb, const ApiStatus& failure);

}  // namespace pointsman::kube
