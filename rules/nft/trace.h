// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

#include "pointsman/nft_simulate.h"
#include "rules/nft/machine.h"

namespace pointsman::nft {

// Collects what rules did. A rule may run many times: once per value of its draw, once per endpoint it is reached for.
class TraceRecorder {
 public:
  void Add(absl::string_view hook, const std::string& chain, size_t rule, const Rule& text, const Deed& deed);
  std::vector<TraceStep> Take() &&;

 private:
  struct Record {
    TraceStep step;
    std::vector<std::pair<std::string, std::vector<std::string>>> deeds;  // how, and the targets
    bool passed_by = false;                                               // some run did nothing
  };
  std::vector<Record> records_;  // in the order in which the rules are first reached
  std::map<std::tuple<std::string, std::string, size_t>, size_t> places_;
};

}  // namespace pointsman::nft
