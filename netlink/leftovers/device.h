// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "pointsman/leftovers.h"

namespace pointsman::nl {

// The device that mode ipvs binds the Services' addresses to. kube-proxy makes it of type dummy; nobody else has one of
// its name, so the type is not asked for.
absl::StatusOr<std::optional<LeftoverDevice>> FindDevice();

// Its addresses go with it.
absl::Status RemoveDevice(const LeftoverDevice& device);

}  // namespace pointsman::nl
