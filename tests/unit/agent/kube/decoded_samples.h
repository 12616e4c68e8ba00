// SPDX-License-Identifier: Apache-2.0
//
// Objects as they come from the decoder, without the bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include "agent/kube/decode.h"
#include "pointsman/api.h"
#include "pointsman/store.h"

namespace pointsman::kube {

inline NamespacedName InShop(absl::string_view name) { return {"shop", std::string(name)}; }

inline Decoded Svc(absl::string_view name, absl::string_view version = "", uint16_t port = 80) {
  Service service;
  service.meta.name = InShop(name);
  service.ports.push_back({.port = port});
  Decoded decoded;
  decoded.key = {Kind::kService, service.meta.name};
  decoded.object = std::make_shared<const Object>(service);
  decoded.resource_version = std::string(version);
  return decoded;
}

// With an empty name: not even that could be read.
inline Decoded Undecodable(absl::string_view name, absl::string_view version = "") {
  Decoded decoded;
  if (!name.empty()) decoded.key.name = InShop(name);
  decoded.resource_version = std::string(version);
  decoded.diagnostics.push_back({.object = "Service", .problem = "cannot be decoded"});
  return decoded;
}

// "web:80" for an object, "web gone" for a deletion.
inline std::vector<std::string> Describe(const std::vector<ObjectChange>& changes) {
  std::vector<std::string> lines;
  for (const ObjectChange& change : changes) {
    const std::string& name = change.key.name.name;
    lines.push_back(change.object ? absl::StrCat(name, ":", std::get<Service>(change.object.Unpack()).ports.at(0).port)
                                  : absl::StrCat(name, " gone"));
  }
  return lines;
}

}  // namespace pointsman::kube
