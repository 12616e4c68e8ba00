// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>

#include "absl/strings/string_view.h"

#include "pointsman/nft_program.h"

namespace pointsman::nft {

// The order of elements within a Fragment: (family, set, key).
inline std::weak_ordering CompareElements(const SetElement& a, const SetElement& b) {
  if (a.family != b.family) return a.family <=> b.family;
  if (const int c = absl::string_view(a.set).compare(b.set); c != 0) return c <=> 0;
  if (a.element.key == b.element.key) return std::weak_ordering::equivalent;
  return a.element.key < b.element.key ? std::weak_ordering::less : std::weak_ordering::greater;
}

struct ElementLess {
  bool operator()(const SetElement& a, const SetElement& b) const { return CompareElements(a, b) < 0; }
};

}  // namespace pointsman::nft
