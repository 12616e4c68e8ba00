// SPDX-License-Identifier: Apache-2.0
#include "bench/pipeline_node.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

#include "agent/loop/clock.h"
#include "bench/allocations.h"
#include "netlink/core/socket.h"
#include "netlink/nft/dataplane.h"
#include "pointsman/netlink.h"
#include "pointsman/nft_format.h"
#include "tests/support/files.h"

namespace pointsman::bench {

// The kernel's, and what was asked of it as text.
class Node::Seen final : public Dataplane {
 public:
  explicit Seen(Tap& tap) : inner_(std::make_unique<TapTransport>(nl::Socket::Open().value(), tap), NftOptions{}) {}

  void Keep(std::vector<std::string>* text) { text_ = text; }

  absl::StatusOr<Observation> Observe() override { return inner_.Observe(); }
  absl::StatusOr<CommitReport> Commit(const nft::ChangeSet& changes, Generation guard) override {
    if (text_ != nullptr) text_->push_back(nft::FormatChanges(changes));
    return inner_.Commit(changes, guard);
  }
  absl::StatusOr<Generation> CurrentGeneration() override { return inner_.CurrentGeneration(); }
  absl::StatusOr<uint64_t> CountedPackets() override { return inner_.CountedPackets(); }

 private:
  nl::NftDataplane inner_;
  std::vector<std::string>* text_ = nullptr;
};

Node::Node() : dataplane_(std::make_unique<Seen>(tap_)) {
  Driver::Hooks hooks = {
      .diagnostic = [](const Diagnostic& d) { support::Fatal(FormatDiagnostic(d)); },
      .pass = [](const PassReport&) {},
      .error = [](const absl::Status& error, const char*) { support::Fatal(std::string(error.message())); },
      .clean = [](const std::vector<FlowCheck>&) {},
      .not_remembered = [](uint64_t) {}};
  hooks.observed = [this](const absl::Status&, absl::Duration took) { listing_ += took; };
  driver_ = std::make_unique<Driver>(Config{.node_name = "node-0", .cluster_cidrs = {*Cidr::Parse("10.0.0.0/8")}},
                                     inbox_, *dataplane_, std::move(hooks));
  driver_->SetAddresses(ReadAddresses().value());
}

Node::~Node() = default;

void Node::KeepText(std::vector<std::string>* text) { dataplane_->Keep(text); }

void Node::Fill(std::vector<ObjectChange> changes) {
  inbox_.Put(std::move(changes), SteadyNow());
  inbox_.MarkSynced();
}

void Node::Settle() {
  driver_->Wake();
  while (!driver_->idle()) {
    const absl::Time next = driver_->Step(SteadyNow());
    if (driver_->idle() || next == absl::InfinitePast()) continue;
    absl::SleepFor(std::max(next - SteadyNow(), absl::ZeroDuration()));
  }
}

Node::Cost Node::Apply(std::vector<ObjectChange> changes) {
  Cost cost;
  const absl::Duration waited = tap_.waiting;
  const size_t transactions = tap_.transactions.size();
  const int64_t allocations = Allocations();
  const absl::Time start = SteadyNow();
  inbox_.Put(std::move(changes), start);
  Settle();
  cost.total = SteadyNow() - start;
  cost.user = cost.total - (tap_.waiting - waited);
  cost.allocations = Allocations() - allocations;
  cost.transactions = static_cast<int>(tap_.transactions.size() - transactions);
  for (size_t i = transactions; i < tap_.transactions.size(); ++i) cost.bytes += tap_.transactions[i].bytes;
  return cost;
}

}  // namespace pointsman::bench
