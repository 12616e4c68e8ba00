// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"

#include "pointsman/nft.h"

namespace pointsman::nft {

// Elements to take out of and put into sets, gathered into one delete and one add op per set. An element's data cannot
// be changed in place: it is deleted, then added, in the same transaction.
class ElementDelta {
 public:
  struct OfSet {
    const SetSpec* spec = nullptr;
    bool flush = false;
    std::vector<Element> removed;
    std::vector<Element> added;
  };

  // What is gathered for a set; valid until another one is asked for. `spec` must outlive AppendTo.
  OfSet& At(Family family, absl::string_view set, const SetSpec& spec) {
    OfSet& delta = sets_[{family, std::string(set)}];
    delta.spec = &spec;
    return delta;
  }
  void Delete(Family family, absl::string_view set, const SetSpec& spec, Element element) {
    At(family, set, spec).removed.push_back(std::move(element));
  }
  void Add(Family family, absl::string_view set, const SetSpec& spec, Element element) {
    At(family, set, spec).added.push_back(std::move(element));
  }

  // All deletions first, then all additions.
  void AppendTo(ChangeSet& changes) && {
    for (auto& [where, delta] : sets_) {
      if (delta.flush) changes.push_back(FlushSet{where.first, where.second, delta.spec->is_map()});
      if (!delta.removed.empty()) {
        changes.push_back(DeleteElements{where.first, where.second, *delta.spec, std::move(delta.removed)});
      }
    }
    for (auto& [where, delta] : sets_) {
      if (!delta.added.empty()) {
        changes.push_back(AddElements{where.first, where.second, *delta.spec, std::move(delta.added)});
      }
    }
  }

 private:
  absl::btree_map<std::pair<Family, std::string>, OfSet> sets_;
};

}  // namespace pointsman::nft
