// SPDX-License-Identifier: Apache-2.0
#include "pointsman/status.h"

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace pointsman {

absl::Status Annotate(const absl::Status& status, absl::string_view attempted) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(attempted, ": ", status.message()));
  status.ForEachPayload(
      [&](absl::string_view type, const absl::Cord& payload) { annotated.SetPayload(type, payload); });
  return annotated;
}

void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, condition);
  std::abort();
}

}  // namespace pointsman
