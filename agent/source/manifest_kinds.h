// SPDX-License-Identifier: Apache-2.0
//
// One function a kind: its YAML to its value, with the API server's defaults. Private to the codec.
//
// All give nullopt, with a Diagnostic, only where there is no telling what object was meant.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

#include "agent/source/yaml_codec.h"
#include "agent/source/yaml_reader.h"
#include "pointsman/api.h"

namespace pointsman {

// Source: Service v1 core; SetDefaults_Service.
std::optional<Service> ReadService(const YamlField& root, CreationWishes& wishes);
// Source: EndpointSlice v1 discovery.k8s.io; SetDefaults_EndpointPort.
std::optional<EndpointSlice> ReadEndpointSlice(const YamlField& root);
// Source: Node v1 core.
std::optional<Node> ReadNode(const YamlField& root);
// Source: ServiceCIDR v1 networking.k8s.io.
std::optional<ServiceCidr> ReadServiceCidr(const YamlField& root);

// Reads `metadata`, and from then on the report speaks of this object.
//
// Returns: nullopt when the name is missing or none that Kubernetes takes.
std::optional<ObjectMeta> ReadMeta(const YamlField& root, Kind kind);

// The name of a Service or slice port; empty when absent.
// Returns: nullopt when there is one and it is no DNS label.
std::optional<std::string> ReadPortName(const YamlField& name);

}  // namespace pointsman
