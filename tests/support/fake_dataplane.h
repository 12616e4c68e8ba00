// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

#include "pointsman/dataplane.h"
#include "pointsman/nft_program.h"

namespace pointsman::support {

// A kernel in memory: Apply on a Ruleset, a generation, and faults to order.
class FakeDataplane : public Dataplane {
 public:
  absl::StatusOr<Observation> Observe() override {
    ++observations;
    if (auto fault = Take(observe_faults)) return *fault;
    return Observation{ruleset, generation};
  }
  absl::StatusOr<CommitReport> Commit(const nft::ChangeSet& changes, Generation guard) override {
    ++commits;
    if (auto fault = Take(commit_faults)) return *fault;
    if (changes.empty()) return CommitReport{.generation = generation};
    if (guard != kUnknownGeneration && guard != generation) return absl::AbortedError("generation moved");
    const absl::Status status = nft::Apply(changes, ruleset);
    if (!status.ok()) return status;
    ++generation;
    ++transactions;
    last = changes;
    if (committed) committed();
    return CommitReport{.ops = static_cast<int>(changes.size()),
                        .messages = static_cast<int>(changes.size()),
                        .generation = generation};
  }
  absl::StatusOr<Generation> CurrentGeneration() override { return generation; }
  absl::StatusOr<uint64_t> CountedPackets() override { return counted; }

  // What somebody else does behind our back.
  void Meddle(const std::function<void(nft::Ruleset&)>& change) {
    change(ruleset);
    ++generation;
  }

  nft::Ruleset ruleset;
  Generation generation = 1;
  int observations = 0;
  int commits = 0;
  int transactions = 0;
  uint64_t counted = 0;
  nft::ChangeSet last;
  std::function<void()> committed;           // called after each transaction
  std::vector<absl::Status> observe_faults;  // taken front to back, one a call
  std::vector<absl::Status> commit_faults;

 private:
  static std::optional<absl::Status> Take(std::vector<absl::Status>& faults) {
    if (faults.empty()) return std::nullopt;
    absl::Status fault = faults.front();
    faults.erase(faults.begin());
    return fault;
  }
};

}  // namespace pointsman::support
