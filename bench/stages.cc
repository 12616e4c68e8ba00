// SPDX-License-Identifier: Apache-2.0
#include "bench/stages.h"

#include <algorithm>
#include <random>
#include <utility>
#include <variant>

#include "netlink/core/attr.h"
#include "netlink/nft/decode.h"
#include "netlink/nft/encode.h"
#include "pointsman/model.h"
#include "pointsman/nft_format.h"
#include "pointsman/status.h"

namespace pointsman::bench {
namespace {

constexpr uint32_t kSequence = 1;
constexpr int kVariants = 100;

// Keeps the compiler from leaving out what nobody looks at.
template <typename T>
void Use(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

nl::Batch Encoded(const nft::ChangeSet& changes) {
  auto batch = nl::EncodeBatch(changes, kSequence, kUnknownGeneration);
  PM_CHECK(batch.ok());
  return *std::move(batch);
}

// A kernel lists a hash table in an order of its own.
nft::ChangeSet Shuffled(nft::ChangeSet changes) {
  std::mt19937 random(1);
  for (nft::Op& op : changes) {
    if (auto* add = std::get_if<nft::AddElements>(&op))
      std::shuffle(add->elements.begin(), add->elements.end(), random);
  }
  return changes;
}

nft::Ruleset Decoded(nl::ByteSpan listing) {
  nl::RulesetDecoder decoder;
  PM_CHECK(nl::ForEachMessage(listing, [&](nl::ByteSpan message) { return decoder.Add(message).ok(); }));
  return decoder.Finish();
}

}  // namespace

Stages::Stages(int services, int endpoints)
    : endpoints_(endpoints), objects_(MakeCluster(services, endpoints)), all_(filled_.store.Apply(objects_)) {
  patch_ = filled_.planner.Plan(filled_.store, all_, node_, settings_.policy);
  program_ = nft::CompileAll(PlansOf(patch_), settings_);
  filled_.programmer.Observe({});
  changes_ = filled_.programmer.Stage(patch_, settings_, /*full=*/true).commit;
  filled_.programmer.Accept();
  const nl::Batch listing = Encoded(Shuffled(changes_));
  listing_.assign(listing.bytes().begin(), listing.bytes().end());
  PM_CHECK(Decoded(listing_) == program_);
  for (int variant = 1; variant <= kVariants; ++variant) {
    one_change_.push_back({.changes = {MakeSlice(services / 2 + 1, endpoints_, variant)}});
  }
}

int64_t Stages::FillStore() {
  Store store;
  Use(store.Apply(objects_));
  return 0;
}

int64_t Stages::BuildPorts() {
  Object service;
  for (const ObjectChange& change : objects_.changes) {
    Object object = change.object.Unpack();
    if (const auto* slice = std::get_if<EndpointSlice>(&object)) {
      Use(BuildService(std::get<Service>(service), {slice}));
    } else {
      service = std::move(object);
    }
  }
  return 0;
}

int64_t Stages::PlanAll() {
  Planner planner;
  Use(planner.Plan(filled_.store, all_, node_, settings_.policy));
  return 0;
}

int64_t Stages::CompileServices() {
  const auto history = nft::HistoryOf(nft::Fragment{});
  for (const auto& [name, plan] : patch_.services) Use(nft::CompileService(*plan, *history, /*shrink=*/false));
  return 0;
}

int64_t Stages::DiffOfEquals() {
  PM_CHECK(nft::Diff(program_, program_).empty());
  return 0;
}

int64_t Stages::FirstPass() {
  nft::Programmer programmer;
  programmer.Observe({});
  PM_CHECK(!programmer.Stage(patch_, settings_, /*full=*/true).empty());
  programmer.Accept();
  return 0;
}

int64_t Stages::EncodeAll() { return static_cast<int64_t>(Encoded(changes_).bytes().size()); }

int64_t Stages::DecodeAll() {
  Use(Decoded(listing_));
  return static_cast<int64_t>(listing_.size());
}

int64_t Stages::Restart() {
  nft::Programmer programmer;
  programmer.Observe(Decoded(listing_));
  PM_CHECK(programmer.Stage(patch_, settings_, /*full=*/true).empty());
  programmer.Accept();
  return static_cast<int64_t>(listing_.size());
}

int64_t Stages::OneChange() {
  const ObjectBatch& batch = one_change_[turn_++ % one_change_.size()];
  const Touched touched = filled_.store.Apply(batch);
  const PlanPatch patch = filled_.planner.Plan(filled_.store, touched, node_, settings_.policy);
  const nft::Changes changes = filled_.programmer.Stage(patch, settings_, /*full=*/false);
  const nl::Batch message = Encoded(changes.commit);
  PM_CHECK(!message.empty());
  filled_.programmer.Accept();
  return static_cast<int64_t>(message.bytes().size());
}

int64_t Stages::FormatProgram() { return static_cast<int64_t>(nft::FormatText(program_).size()); }

}  // namespace pointsman::bench
