// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pointsman {

// Puts what was being attempted in front of an error; code and payloads stay.
absl::Status Annotate(const absl::Status& status, absl::string_view attempted);

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace pointsman

#define PM_CONCAT_INNER(a, b) a##b
#define PM_CONCAT(a, b) PM_CONCAT_INNER(a, b)

#define PM_RETURN_IF_ERROR(expr)           \
  do {                                     \
    absl::Status pm_status = (expr);       \
    if (!pm_status.ok()) return pm_status; \
  } while (false)

#define PM_ASSIGN_OR_RETURN(lhs, expr) PM_ASSIGN_OR_RETURN_IMPL(PM_CONCAT(pm_or_, __LINE__), lhs, expr)
#define PM_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                             \
  if (!tmp.ok()) return std::move(tmp).status(); \
  lhs = *std::move(tmp)

// For broken invariants only; stays on in release builds.
#define PM_CHECK(condition)                                                     \
  do {                                                                          \
    if (!(condition)) ::pointsman::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)
