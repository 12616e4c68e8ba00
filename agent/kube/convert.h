// SPDX-License-Identifier: Apache-2.0
//
// The messages of the API server as the values of api.h, one function a kind. Private to the decoder.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

#include "agent/kube/api.pb.h"
#include "pointsman/api.h"
#include "pointsman/diagnostic.h"

namespace pointsman::kube {

// Collects what is wrong with one object; after some twenty it only counts.
class Complaints {
 public:
  explicit Complaints(std::string object) : object_(std::move(object)) {}

  void Add(std::string field, std::string problem, absl::string_view effect, std::string hint = "") {
    Add(Severity::kError, std::move(field), std::move(problem), effect, std::move(hint));
  }
  void Note(std::string field, std::string problem, absl::string_view effect) {
    Add(Severity::kNote, std::move(field), std::move(problem), effect, "");
  }
  Diagnostics Take() &&;

 private:
  void Add(Severity severity, std::string field, std::string problem, absl::string_view effect, std::string hint);

  std::string object_;
  Diagnostics diagnostics_;
  int dropped_ = 0;
};

// Returns: nullopt, with a complaint, where nothing can be made of it.
std::optional<Object> Convert(const Service& message, pointsman::ObjectMeta meta, Complaints& complaints);
std::optional<Object> Convert(const EndpointSlice& message, pointsman::ObjectMeta meta, Complaints& complaints);
std::optional<Object> Convert(const Node& message, pointsman::ObjectMeta meta, Complaints& complaints);
std::optional<Object> Convert(const ServiceCIDR& message, pointsman::ObjectMeta meta, Complaints& complaints);

// Of the labels only those named in api.h.
pointsman::ObjectMeta ConvertMeta(NamespacedName name, const ObjectMeta& metadata);

}  // namespace pointsman::kube
