// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "absl/strings/match.h"

#include "pointsman/plan.h"

namespace pointsman {

bool LocalDetector::Detects(Family family) const {
  return !interface.empty() ||
         std::any_of(cidrs.begin(), cidrs.end(), [&](const Cidr& cidr) { return cidr.family() == family; });
}

bool LocalDetector::IsPod(const IpAddr& source, absl::string_view in_interface) const {
  if (!interface.empty()) {
    return interface_prefix ? absl::StartsWith(in_interface, interface) : in_interface == interface;
  }
  return std::any_of(cidrs.begin(), cidrs.end(), [&](const Cidr& cidr) { return cidr.Contains(source); });
}

}  // namespace pointsman
