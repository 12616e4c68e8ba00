// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <variant>

#include "absl/container/btree_map.h"
#include "absl/types/span.h"

#include "pointsman/nft.h"

namespace pointsman::nft {

// What a change set itself says about the shape of the sets it names: AddSet and the ops on elements carry it.
class KnownSets {
 public:
  // Keeps pointers into `ops`.
  explicit KnownSets(absl::Span<const Op> ops) {
    for (const Op& op : ops) {
      if (const auto* add = std::get_if<AddSet>(&op)) {
        specs_[{add->family, add->name}] = &add->spec;
      } else if (const auto* elements = std::get_if<AddElements>(&op)) {
        specs_[{elements->family, elements->set}] = &elements->spec;
      } else if (const auto* gone = std::get_if<DeleteElements>(&op)) {
        specs_[{gone->family, gone->set}] = &gone->spec;
      }
    }
  }

  const SetSpec* Find(Family family, const std::string& name) const {  // null if nothing is said
    const auto it = specs_.find({family, name});
    return it == specs_.end() ? nullptr : it->second;
  }

 private:
  absl::btree_map<std::pair<Family, std::string>, const SetSpec*> specs_;
};

}  // namespace pointsman::nft
