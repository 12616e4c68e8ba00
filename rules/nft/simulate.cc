// SPDX-License-Identifier: Apache-2.0
//
// The way of a connection's first packet through the hooks. The state between rules is the mark and the place; a rule
// is run once per value of its random draw, and equal states are followed once.
#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

#include "pointsman/nft_simulate.h"
#include "pointsman/status.h"
#include "rules/nft/machine.h"
#include "rules/nft/numbers.h"
#include "rules/nft/trace.h"

namespace pointsman::nft {
namespace {

constexpr int kMaxJumps = 16;   // NFT_JUMP_STACK_SIZE
constexpr int kMaxChains = 64;  // on one way; more is a circle, which the kernel refuses

using NamedChain = std::pair<const std::string, Chain>;

struct Place {
  const NamedChain* chain = nullptr;
  size_t rule = 0;
};

// Follows a packet through one base chain, collecting every end it may come to.
class Walk {
 public:
  Walk(const Table& table, const NamedChain& base, const View& view, TraceRecorder* trace, std::set<End>& ends)
      : table_(table), base_(base), view_(view), trace_(trace), ends_(ends) {}

  absl::Status Run(uint32_t mark) { return From({&base_, 0}, {}, mark); }

 private:
  absl::Status From(Place place, std::vector<Place> stack, uint32_t mark) {
    if (depth_ == kMaxChains) return NotUnderstood("a way through that many chains");
    ++depth_;
    absl::Status status = Follow(place, std::move(stack), mark);
    --depth_;
    return status;
  }

  absl::StatusOr<std::set<Step>> RunDraws(const Place& place, uint32_t mark) {
    const Rule& rule = place.chain->second.rules[place.rule];
    std::set<Step> steps;
    for (uint32_t draw = 0; draw < Draws(rule); ++draw) {
      Deed deed;
      PM_ASSIGN_OR_RETURN(Step step, RunRule(table_, rule, view_, mark, draw, trace_ != nullptr ? &deed : nullptr));
      steps.insert(std::move(step));
      if (trace_ != nullptr) {
        trace_->Add(FormatHook(base_.second.hook->number), place.chain->first, place.rule, rule, deed);
      }
    }
    return steps;
  }

  absl::Status Follow(Place place, std::vector<Place> stack, uint32_t mark) {
    while (place.rule < place.chain->second.rules.size()) {
      PM_ASSIGN_OR_RETURN(const std::set<Step> steps, RunDraws(place, mark));
      ++place.rule;
      std::optional<Step> next;
      for (const Step& step : steps) {
        if (step.kind == Step::Kind::kNext) {
          // Follow the branches that leave the chain first, this one in the loop.
          if (next && next->mark != step.mark) return NotUnderstood("a mark set by luck");
          next = step;
        } else {
          PM_RETURN_IF_ERROR(Branch(step, place, stack));
        }
      }
      if (!next) return absl::OkStatus();
      mark = next->mark;
    }
    return Return(std::move(stack), mark);
  }

  absl::Status Branch(const Step& step, const Place& after, std::vector<Place> stack) {
    switch (step.kind) {
      case Step::Kind::kEnd:
        ends_.insert(step.end);
        return absl::OkStatus();
      case Step::Kind::kReturn:
        return Return(std::move(stack), step.mark);
      case Step::Kind::kJump:
        stack.push_back(after);
        if (stack.size() > kMaxJumps) return NotUnderstood("that many nested jumps");
        break;
      case Step::Kind::kGoto:
      case Step::Kind::kNext:
        break;
    }
    const auto chain = table_.chains.find(step.chain);
    if (chain == table_.chains.end())
      return NotUnderstood(absl::StrCat("a way to chain ", step.chain, ", which is not there"));
    return From({&*chain, 0}, std::move(stack), step.mark);
  }

  absl::Status Return(std::vector<Place> stack, uint32_t mark) {
    if (stack.empty()) {
      const bool drop = base_.second.hook->drop_policy;
      ends_.insert({.kind = drop ? End::Kind::kDrop : End::Kind::kAccept, .to = {}, .mark = mark});
      return absl::OkStatus();
    }
    const Place place = stack.back();
    stack.pop_back();
    return From(place, std::move(stack), mark);
  }

  const Table& table_;
  const NamedChain& base_;
  const View& view_;
  TraceRecorder* const trace_;
  std::set<End>& ends_;
  int depth_ = 0;
};

// One packet on its way through the hooks of one table.
class Journey {
 public:
  Journey(const Table& table, absl::Span<const IpAddr> node_addresses, const Packet& packet, TraceRecorder* trace)
      : table_(table), node_addresses_(node_addresses), packet_(packet), trace_(trace) {}

  absl::StatusOr<Outcome> Run() {
    const SocketAddr dest = {packet_.dest, packet_.port};
    const Hook::Number hook = packet_.from_node ? Hook::Number::kOutput : Hook::Number::kPrerouting;
    PM_ASSIGN_OR_RETURN(const std::set<End> ends, RunHook(hook, ViewOf(dest, 0), 0));
    for (const End& end : ends) {
      switch (end.kind) {
        case End::Kind::kAccept:
          PM_RETURN_IF_ERROR(Meet(Outcome::Verdict::kPass));
          break;
        case End::Kind::kDrop:
          PM_RETURN_IF_ERROR(Meet(Outcome::Verdict::kDrop));
          break;
        case End::Kind::kReject:
          PM_RETURN_IF_ERROR(Meet(Outcome::Verdict::kReject));
          break;
        case End::Kind::kDnat:
          PM_RETURN_IF_ERROR(Deliver(end));
          break;
        case End::Kind::kMasquerade:
          return NotUnderstood("a masquerade before the way is known");
      }
    }
    return *std::move(outcome_);
  }

 private:
  bool IsNode(const IpAddr& addr) const {
    return std::find(node_addresses_.begin(), node_addresses_.end(), addr) != node_addresses_.end();
  }

  View ViewOf(const SocketAddr& dest, uint32_t status) const {
    return {.source = packet_.source,
            .dest = dest,
            .original = {packet_.dest, packet_.port},
            .protocol = packet_.protocol,
            .from_node = packet_.from_node,
            .to_node = IsNode(dest.addr),
            .in_interface = packet_.from_node ? "" : packet_.in_interface,
            .status = status};
  }

  absl::Status Meet(Outcome::Verdict verdict) {
    if (outcome_ && outcome_->verdict != verdict) return NotUnderstood("a fate left to luck");
    if (!outcome_) outcome_ = Outcome{verdict, {}};
    return absl::OkStatus();
  }

  // Every end the packet may come to at one hook. With several chains there, in order of priority, the first that
  // decides anything but acceptance decides.
  absl::StatusOr<std::set<End>> RunHook(Hook::Number hook, const View& view, uint32_t mark) {
    std::vector<const NamedChain*> chains;
    for (const NamedChain& chain : table_.chains) {
      if (chain.second.hook && chain.second.hook->number == hook) chains.push_back(&chain);
    }
    std::stable_sort(chains.begin(), chains.end(), [](const NamedChain* a, const NamedChain* b) {
      return a->second.hook->priority < b->second.hook->priority;
    });
    std::set<End> ends = {{.kind = End::Kind::kAccept, .to = {}, .mark = mark}};
    for (const NamedChain* chain : chains) {
      std::set<End> after;
      for (const End& end : ends) {
        if (end.kind != End::Kind::kAccept) {
          after.insert(end);
        } else {
          PM_RETURN_IF_ERROR(Walk(table_, *chain, view, trace_, after).Run(end.mark));
        }
      }
      ends = std::move(after);
    }
    return ends;
  }

  // What becomes of a connection that was sent to an endpoint. What comes in for this node meets the chains of input.
  // What the node sends to itself passes there too, but then the source is settled already, in postrouting, and the
  // kernel asks no nat chain again.
  absl::Status Deliver(const End& sent) {
    const bool comes_in = !packet_.from_node && IsNode(sent.to.addr);
    const Hook::Number hook = comes_in ? Hook::Number::kInput : Hook::Number::kPostrouting;
    PM_ASSIGN_OR_RETURN(const std::set<End> ends, RunHook(hook, ViewOf(sent.to, kStatusDnat), sent.mark));
    for (const End& end : ends) {
      const bool masqueraded = end.kind == End::Kind::kMasquerade && !comes_in;
      if (end.kind == End::Kind::kDrop) {
        PM_RETURN_IF_ERROR(Meet(Outcome::Verdict::kDrop));
      } else if (end.kind == End::Kind::kAccept || masqueraded) {
        PM_RETURN_IF_ERROR(Meet(Outcome::Verdict::kDeliver));
        outcome_->deliveries.insert({sent.to, masqueraded});
      } else {
        return NotUnderstood(absl::StrCat("what becomes in ", FormatHook(hook), " of an endpoint that was chosen"));
      }
    }
    return absl::OkStatus();
  }

  const Table& table_;
  const absl::Span<const IpAddr> node_addresses_;
  const Packet& packet_;
  TraceRecorder* const trace_;
  std::optional<Outcome> outcome_;
};

absl::StatusOr<Outcome> Run(const Ruleset& ruleset, absl::Span<const IpAddr> node_addresses, const Packet& packet,
                            TraceRecorder* trace) {
  const auto table = ruleset.tables.find(packet.dest.family());
  if (table == ruleset.tables.end()) return Outcome{};
  return Journey(table->second, node_addresses, packet, trace).Run();
}

}  // namespace

absl::StatusOr<Outcome> Simulate(const Ruleset& ruleset, absl::Span<const IpAddr> node_addresses,
                                 const Packet& packet) {
  return Run(ruleset, node_addresses, packet, nullptr);
}

absl::StatusOr<Trace> TracePacket(const Ruleset& ruleset, absl::Span<const IpAddr> node_addresses,
                                  const Packet& packet) {
  TraceRecorder recorder;
  PM_ASSIGN_OR_RETURN(Outcome outcome, Run(ruleset, node_addresses, packet, &recorder));
  return Trace{.outcome = std::move(outcome), .steps = std::move(recorder).Take()};
}

}  // namespace pointsman::nft
