// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"

#include "pointsman/nft.h"

namespace pointsman::nft {

// Elements to take out of and put into sets, gathered into one delete and one add op per set. An element's data cannot
// be changed in place: it is deleted, then added, in the same transaction.
class ElementDelta {
 public:
  struct OfSet {
    Family family = Family::kIpv4;
    absl::string_view set;
    const SetSpec* spec = nullptr;
    bool flush = false;
    std::vector<Element> removed;
    std::vector<Element> added;
  };

  // What is gathered for a set; valid until another one is asked for. `set` and `spec` must outlive AppendTo.
  OfSet& At(Family family, absl::string_view set, const SetSpec& spec) {
    const auto same = [&](const OfSet& delta) { return delta.family == family && delta.set == set; };
    const auto it = std::find_if(sets_.begin(), sets_.end(), same);
    return it != sets_.end() ? *it : sets_.emplace_back(OfSet{family, set, &spec, false, {}, {}});
  }
  void Delete(Family family, absl::string_view set, const SetSpec& spec, Element element) {
    At(family, set, spec).removed.push_back(std::move(element));
  }
  void Add(Family family, absl::string_view set, const SetSpec& spec, Element element) {
    At(family, set, spec).added.push_back(std::move(element));
  }

  // All deletions first, then all additions.
  void AppendTo(ChangeSet& changes) && {
    std::sort(sets_.begin(), sets_.end(),
              [](const OfSet& a, const OfSet& b) { return std::tie(a.family, a.set) < std::tie(b.family, b.set); });
    changes.reserve(changes.size() + 2 * sets_.size());
    for (OfSet& delta : sets_) {
      if (delta.flush) changes.push_back(FlushSet{delta.family, std::string(delta.set), delta.spec->is_map()});
      if (!delta.removed.empty()) {
        changes.push_back(
            DeleteElements{delta.family, std::string(delta.set), Shape(*delta.spec), std::move(delta.removed)});
      }
    }
    for (OfSet& delta : sets_) {
      if (!delta.added.empty()) {
        changes.push_back(
            AddElements{delta.family, std::string(delta.set), Shape(*delta.spec), std::move(delta.added)});
      }
    }
  }

 private:
  // What an op on elements must know of their set.
  static SetSpec Shape(const SetSpec& spec) {
    SetSpec shape{.key = spec.key, .data = spec.data};
    shape.verdicts = spec.verdicts;
    shape.interval = spec.interval;
    return shape;
  }

  absl::InlinedVector<OfSet, 2> sets_;
};

}  // namespace pointsman::nft
