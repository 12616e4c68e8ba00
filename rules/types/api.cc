// SPDX-License-Identifier: Apache-2.0
#include "pointsman/api.h"

#include "absl/strings/str_cat.h"

namespace pointsman {

std::string FormatName(const NamespacedName& name) {
  return name.ns.empty() ? name.name : absl::StrCat(name.ns, "/", name.name);
}

const char* FormatKind(Kind kind) {
  switch (kind) {
    case Kind::kService:
      return "Service";
    case Kind::kEndpointSlice:
      return "EndpointSlice";
    case Kind::kNode:
      return "Node";
    case Kind::kServiceCidr:
      return "ServiceCIDR";
  }
  return "?";
}

std::string FormatKey(const ObjectKey& key) { return absl::StrCat(FormatKind(key.kind), " ", FormatName(key.name)); }

}  // namespace pointsman
