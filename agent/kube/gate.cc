// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/gate.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_join.h"

namespace pointsman::kube {

Gate::Verdict Gate::Ask(absl::Time now, const Picture& picture) {
  if (open_) return {.open = true};
  if (!picture.services || !picture.slices) {
    std::vector<std::string> missing;
    if (!picture.services) missing.emplace_back("services");
    if (!picture.slices) missing.emplace_back("endpointslices");
    return {.waiting_for = absl::StrJoin(missing, ", ")};
  }
  complete_ = std::min(complete_, now);

  struct Wish {
    bool granted;
    const char* name;
    absl::Duration patience;
  };
  Verdict verdict;
  std::vector<std::string> waiting, without;
  for (const Wish& wish :
       {Wish{picture.node, "the Node", options_.node_patience},
        Wish{picture.pod_cidrs || !options_.need_pod_cidrs, "the podCIDRs of the Node", options_.pod_cidrs_patience},
        Wish{picture.service_cidrs, "servicecidrs", options_.service_cidrs_patience}}) {
    if (wish.granted) continue;
    const absl::Time until = complete_ + wish.patience;
    if (now >= until) {
      without.emplace_back(wish.name);
    } else {
      waiting.emplace_back(wish.name);
      verdict.until = std::min(verdict.until, until);
    }
  }
  verdict.waiting_for = absl::StrJoin(waiting, ", ");
  verdict.open = open_ = waiting.empty();
  if (verdict.open) verdict.without = absl::StrJoin(without, ", ");
  return verdict;
}

}  // namespace pointsman::kube
