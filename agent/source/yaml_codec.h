// SPDX-License-Identifier: Apache-2.0
//
// Kubernetes manifests, YAML or JSON, as the objects of api.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "pointsman/api.h"
#include "pointsman/diagnostic.h"

namespace pointsman {

enum class IpFamilyPolicy : uint8_t { kSingleStack, kPreferDualStack, kRequireDualStack };

// What an API server would act upon when it creates the Service, and a proxy has no further use for.
struct CreationWishes {
  IpFamilyPolicy ip_family_policy = IpFamilyPolicy::kSingleStack;
  bool allocate_node_ports = true;  // spec.allocateLoadBalancerNodePorts

  friend bool operator==(const CreationWishes&, const CreationWishes&) = default;
};

struct LocatedObject {
  std::shared_ptr<const Object> object;  // never null
  std::string where;                     // "web.yaml:12:1", of the document or the list item
  CreationWishes wishes;                 // of a Service
  std::optional<absl::Time> trigger;     // of an EndpointSlice: when the change happened that it was written for
};

// How many objects of each kind were passed over, by kind: {"Deployment": 2}. A kind that shares its name with one of
// ours but belongs to another API group is named with its apiVersion: "Service (serving.knative.dev/v1)".
using KindCounts = absl::btree_map<std::string, int>;

struct ParsedManifests {
  std::vector<LocatedObject> objects;  // in the order of the text; the same name may occur twice
  Diagnostics diagnostics;             // object by object, in the order of the text
  KindCounts other_kinds;
  bool sound = true;  // false: the text is no well-formed sequence of manifests, and `objects` is empty
};

// Parses one manifest file, with the defaults an API server would have filled in.
//
// Inputs:  `text` is one or more YAML documents, or JSON. `file_name` only appears in positions.
// Returns: the Services, EndpointSlices, Nodes and ServiceCIDRs, those in (typed) Lists included.
// Errors:  a bad field costs as little as it can (this port, this endpoint); only a missing or bad name, and a slice
//          without addressType, cost the object. At most kMaxDiagnostics are given, the last saying how many were not.
// Cost:    linear in `text`, whatever aliases it holds.
// Source:  SetDefaults_* of core/v1 and discovery.k8s.io/v1; https://yaml.org/spec/1.2.2/
ParsedManifests ParseManifests(absl::string_view file_name, absl::string_view text);

inline constexpr int kMaxDiagnostics = 100;

}  // namespace pointsman
