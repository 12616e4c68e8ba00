// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "absl/types/span.h"

#include "agent/options/settings.h"
#include "pointsman/diagnostic.h"
#include "pointsman/net.h"

namespace pointsman::options {

// Every rule kube-proxy has for its configuration, and those for our own flags.
//
// Returns: each error with where it was given, the field's path, the value and what is allowed.
// Source:  k8s.io/kubernetes pkg/proxy/apis/config/validation
Diagnostics Validate(const Settings& settings);

// What has no effect, or another than its name says: ignored fields and flags that somebody set, unknown feature gates,
// a mode that nftables stands in for.
std::vector<Remark> RemarksOn(const Settings& settings);

// What does not go together with this node.
struct Misfits {
  std::vector<Remark> remarks;
  Diagnostics errors;  // with these kube-proxy does not start
};

// Inputs: `primary` is the node's primary family; with `dual_stack` both are programmed. `pod_cidrs` are the Node's.
Misfits FindMisfits(const Settings& settings, Family primary, bool dual_stack, absl::Span<const std::string> pod_cidrs);

}  // namespace pointsman::options
