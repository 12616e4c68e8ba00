// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "tests/support/fake_api/encode.h"

namespace pointsman::support {

// labelSelector and fieldSelector of a request.
class Selector {
 public:
  // Takes `key`, `!key`, `key=value`, `key==value` and `key!=value`, separated by commas; of fields, metadata.name,
  // metadata.namespace and of Services spec.clusterIP.
  // Errors: kInvalidArgument, in the API server's words.
  static absl::StatusOr<Selector> Parse(const ResourceInfo& resource, absl::string_view labels,
                                        absl::string_view fields);

  bool Matches(const Stored& object) const;
  bool empty() const { return labels_.empty() && fields_.empty(); }
  // The value metadata.name must have; empty: any.
  std::string name() const;

 private:
  struct Term {
    enum class Op : uint8_t { kExists, kAbsent, kEqual, kDiffers };
    std::string key;
    Op op = Op::kExists;
    std::string value;
  };
  static std::vector<Term> Terms(absl::string_view text);

  std::vector<Term> labels_;
  std::vector<Term> fields_;
};

}  // namespace pointsman::support
