// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"

#include "agent/config.h"
#include "agent/options/settings.h"

namespace pointsman {

// What the settings mean for the program. Reads the kubeconfig too, unless there are manifests.
//
// Inputs:  settings that are valid.
// Errors:  kFailedPrecondition: this host has no name. kInvalidArgument: a content type that nobody speaks here. Those
//          of kube::FindAccess.
absl::StatusOr<Config> MakeConfig(const options::Settings& settings);

}  // namespace pointsman
