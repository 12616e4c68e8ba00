// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

#include "agent/options/kube_proxy_configuration.h"

namespace pointsman::options {

// A feature gate of Kubernetes 1.36 that concerns kube-proxy.
struct FeatureGate {
  absl::string_view name;
  bool on = false;      // unless somebody says otherwise
  bool locked = false;  // nobody may
  bool used = false;    // it has an effect here
};

absl::Span<const FeatureGate> FeatureGates136();
// Null: not one of them.
const FeatureGate* FindFeatureGate(absl::string_view name);

// Whether a gate of the table is on.
bool IsOn(absl::string_view name, const KubeProxyConfiguration& proxy);

}  // namespace pointsman::options
