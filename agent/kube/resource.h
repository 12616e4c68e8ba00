// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>

#include "absl/strings/string_view.h"

#include "pointsman/api.h"

namespace pointsman::kube {

// What is asked of the API server, and of which part of it. The selectors are kube-proxy's.
struct Resource {
  Kind kind;
  const char* path;
  const char* name;            // plural, with the API group, as RBAC and kubectl have it
  const char* label_selector;  // "" for none
  const char* field_selector;
};

inline constexpr std::array<Resource, kKinds> kResources = {{
    {Kind::kService, "/api/v1/services", "services", "!service.kubernetes.io/service-proxy-name",
     "spec.clusterIP!=None"},
    {Kind::kEndpointSlice, "/apis/discovery.k8s.io/v1/endpointslices", "endpointslices.discovery.k8s.io",
     "!service.kubernetes.io/headless", ""},
    {Kind::kNode, "/api/v1/nodes", "nodes", "", "metadata.name="},  // the node's name goes behind
    {Kind::kServiceCidr, "/apis/networking.k8s.io/v1/servicecidrs", "servicecidrs.networking.k8s.io", "", ""},
}};

inline const Resource& ResourceOf(Kind kind) { return kResources[static_cast<size_t>(kind)]; }

}  // namespace pointsman::kube
