// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/strings/string_view.h"

#include "agent/options/settings.h"
#include "pointsman/diagnostic.h"

namespace pointsman::options {

inline constexpr char kConfigApiVersion[] = "kubeproxy.config.k8s.io/v1alpha1";
inline constexpr char kConfigKind[] = "KubeProxyConfiguration";

// Reads a KubeProxyConfiguration, YAML or JSON, over the defaults that `settings` holds.
//
// Inputs:  `file_name` only appears in positions.
// Returns: what makes it unusable, all of it: bad YAML, a missing or wrong apiVersion or kind, values of a wrong type.
//          Unknown and repeated fields are Remarks of `settings`; of repeated ones the last counts.
// Source:  k8s.io/kubernetes pkg/proxy/apis/config/v1alpha1 SetDefaults_KubeProxyConfiguration
Diagnostics ReadConfigFile(absl::string_view file_name, absl::string_view text, Settings& settings);

}  // namespace pointsman::options
