// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <compare>
#include <cstring>

#include "absl/strings/string_view.h"

#include "pointsman/nft_program.h"

namespace pointsman::nft {

// Names of the layout: the same name is most often the same pointer.
inline bool SameSet(const char* a, const char* b) { return a == b || absl::string_view(a) == b; }

inline std::weak_ordering CompareKeys(const Bytes& a, const Bytes& b) {
  const size_t common = std::min(a.size(), b.size());
  const int c = common == 0 ? 0 : std::memcmp(a.data(), b.data(), common);
  return c != 0 ? c <=> 0 : a.size() <=> b.size();
}

// The order of elements within a Fragment: (family, set, key).
inline std::weak_ordering CompareToPlace(const SetElement& e, Family family, const char* set, const Bytes& key) {
  if (e.family != family) return e.family <=> family;
  if (e.set != set) {
    if (const int c = absl::string_view(e.set).compare(set); c != 0) return c <=> 0;
  }
  return CompareKeys(e.element.key, key);
}
inline std::weak_ordering CompareElements(const SetElement& a, const SetElement& b) {
  return CompareToPlace(a, b.family, b.set, b.element.key);
}

struct ElementLess {
  bool operator()(const SetElement& a, const SetElement& b) const { return CompareElements(a, b) < 0; }
};

}  // namespace pointsman::nft
