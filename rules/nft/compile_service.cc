// SPDX-License-Identifier: Apache-2.0
//
// What one Service puts into the shared maps.
#include <algorithm>
#include <bit>
#include <utility>

#include "absl/container/inlined_vector.h"

#include "pointsman/nft_program.h"
#include "rules/nft/element_order.h"
#include "rules/nft/layout.h"

namespace pointsman::nft {
namespace {

// nft comments are quoted strings without escapes, at most kMaxComment bytes.
std::string Comment(const ServicePortName& name) {
  std::string text = FormatServicePort(name);
  for (char& c : text) {
    if (c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  if (text.size() > kMaxComment) {
    text.resize(kMaxComment - 3);
    text += "...";
  }
  return text;
}

using Slots = absl::InlinedVector<SocketAddr, 16>;

// Who sits in which slot: survivors of `before` stay where they are if that is below N, the rest fill the holes in
// order. `wanted` is sorted.
Slots AssignSlots(const Slots& before, const std::vector<SocketAddr>& wanted) {
  Slots slots(wanted.size());
  absl::InlinedVector<bool, 64> taken(wanted.size());   // by slot
  absl::InlinedVector<bool, 64> seated(wanted.size());  // by place in `wanted`
  for (size_t i = 0; i < std::min(before.size(), slots.size()); ++i) {
    const auto it = std::lower_bound(wanted.begin(), wanted.end(), before[i]);
    const auto who = static_cast<size_t>(it - wanted.begin());
    if (it == wanted.end() || *it != before[i] || seated[who]) continue;
    slots[i] = *it;
    taken[i] = seated[who] = true;
  }
  size_t next = 0;
  for (size_t i = 0; i < slots.size(); ++i) {
    if (taken[i]) continue;
    while (seated[next]) ++next;
    slots[i] = wanted[next++];
  }
  return slots;
}

// About how many elements there will be, and seldom fewer.
size_t ExpectedElements(const ServicePlan& plan) {
  size_t elements = 0;
  for (const PortPlan& port : plan.ports) {
    elements += port.frontends.size() * (port.cluster.size() + port.local.size() + 1);
  }
  return elements;
}

class ServiceCompiler {
 public:
  ServiceCompiler(const History& history, bool shrink, Fragment& out) : history_(history), shrink_(shrink), out_(out) {}

  void Compile(const PortPlan& port) {
    const std::string comment = Comment(port.name);
    for (const Frontend& frontend : port.frontends) CompileFrontend(port, frontend, comment);
    for (const IpAddr& addr : port.hairpin) {
      out_.shared.push_back({addr.family(), kHairpin, {PairKey(addr, addr), {}}});
    }
    AddAffinityEndpoints(port);
  }

 private:
  void CompileFrontend(const PortPlan& port, const Frontend& frontend, const std::string& comment) {
    const Match& match = frontend.match;
    const Action& action = frontend.action;
    const bool fenced = action.fenced;
    const char* const entry = fenced ? kFwNext : kFrontends;

    switch (action.scope) {
      case Scope::kCluster:
      case Scope::kLocal:
        AddVerdict(entry, match,
                   FormatPickChain(List(port, frontend, action.scope == Scope::kLocal, entry, action.snat)),
                   fenced ? "" : comment);
        break;
      case Scope::kExternalLocal:
        AddVerdict(kExtInternal, match, FormatPickChain(List(port, frontend, false, kExtInternal, Snat::kNever)), "");
        AddVerdict(kExtExternal, match, FormatPickChain(List(port, frontend, true, kExtExternal, Snat::kNever)), "");
        AddVerdict(entry, match, kExtLocal, fenced ? "" : comment);
        break;
    }
    if (fenced) {
      AddVerdict(kFrontends, match, kFw, comment);
      for (const Cidr& range : action.allow) {
        Add(kFwSources, match.dest.family(), SourceKey(match, range.base()), {.end = SourceKey(match, range.last())});
      }
    }
    if (action.affinity > absl::ZeroDuration()) {
      const RecordChain record = {.external_local = action.scope == Scope::kExternalLocal,
                                  .seconds = absl::ToInt64Seconds(action.affinity),
                                  .id = AffinityOf(port.name, action.scope == Scope::kLocal)};
      Add(kAffServices, match.dest.family(), FrontendKey(match),
          {.data = Verdict{Verdict::Code::kJump, FormatRecordChain(record)}});
    }
  }

  // What clients may be remembered to be with: the lists of those frontends that have affinity.
  void AddAffinityEndpoints(const PortPlan& port) {
    const auto add = [&](bool local, const std::vector<SocketAddr>& list) {
      const AffinityId id = AffinityOf(port.name, local);
      for (const SocketAddr& endpoint : list) {
        Add(kAffEndpoints, endpoint.addr.family(), AffinityEndpointKey(id, endpoint), {});
      }
    };
    bool cluster = false;
    bool local = false;
    for (const Frontend& frontend : port.frontends) {
      if (frontend.action.affinity <= absl::ZeroDuration()) continue;
      cluster = cluster || frontend.action.scope != Scope::kLocal;
      local = local || frontend.action.scope != Scope::kCluster;
    }
    if (cluster) add(false, port.cluster);
    if (local) add(true, port.local);
  }

  // Puts the cluster or the local list of the frontend into its slots.
  // Returns: the chain that picks from it; `entry` is the map whose element at `match` goes there.
  PickChain List(const PortPlan& port, const Frontend& frontend, bool local, const char* entry, Snat snat) {
    const Match& match = frontend.match;
    const char* const map = local ? kEndpointsLocal : kEndpoints;
    const std::vector<SocketAddr>& wanted = local ? port.local : port.cluster;
    const Slots slots = AssignSlots(SlotsBefore(map, match), wanted);
    Bytes key = SlotKey(match, 0);
    for (uint32_t i = 0; i < slots.size(); ++i) {
      SetSlot(key, i);
      Add(map, match.dest.family(), key, {.data = SocketAddrData(slots[i])});
    }
    PickChain chain = {
        .snat = snat, .local = local, .size = SizeClass(static_cast<uint32_t>(slots.size()), local, entry, match)};
    if (frontend.action.affinity > absl::ZeroDuration()) chain.affinity = AffinityOf(port.name, local);
    return chain;
  }

  Slots SlotsBefore(const char* map, const Match& match) const {
    Slots slots;
    const Family family = match.dest.family();
    Bytes key = SlotKey(match, 0);
    while (const ElementValue* value = history_.Find(family, map, key)) {
      const auto* data = std::get_if<Bytes>(&value->data);
      const auto addr = data == nullptr ? std::nullopt : ParseSocketAddrData(family, *data);
      if (!addr) break;
      slots.push_back(*addr);
      SetSlot(key, static_cast<uint32_t>(slots.size()));
    }
    return slots;
  }

  // The smallest power of two that holds `count`; but a larger one from before is kept until told to shrink, so that a
  // list that swings around a power of two changes slots only.
  uint32_t SizeClass(uint32_t count, bool local, const char* entry, const Match& match) {
    const uint32_t fitting = std::bit_ceil(std::max(count, 1u));
    const ElementValue* value = history_.Find(match.dest.family(), entry, FrontendKey(match));
    const auto* verdict = value == nullptr ? nullptr : std::get_if<Verdict>(&value->data);
    const auto before = verdict == nullptr ? std::nullopt : ParsePickChain(*verdict->chain);
    if (!before || before->local != local || before->size <= fitting) return fitting;
    if (count > before->size / 4) return before->size;
    if (shrink_) return fitting;
    out_.shrinkable = true;
    return before->size;
  }

  void AddVerdict(const char* map, const Match& match, std::string chain, std::string comment) {
    Add(map, match.dest.family(), FrontendKey(match),
        {.data = Verdict{Verdict::Code::kGoto, std::move(chain)}, .comment = std::move(comment)});
  }

  void Add(const char* set, Family family, Bytes key, ElementValue value) {
    out_.elements.push_back({family, set, {std::move(key), std::move(value)}});
  }

  const History& history_;
  const bool shrink_;
  Fragment& out_;
};

}  // namespace

Fragment CompileService(const ServicePlan& plan, const History& history, bool shrink) {
  Fragment fragment;
  fragment.elements.reserve(ExpectedElements(plan));
  ServiceCompiler compiler(history, shrink, fragment);
  for (const PortPlan& port : plan.ports) compiler.Compile(port);
  for (const IpAddr& addr : plan.cluster_ips) {
    fragment.shared.push_back({addr.family(), kClusterIps, {AddrKey(addr), {}}});
  }
  // Of a Service with one address they are.
  if (!std::is_sorted(fragment.elements.begin(), fragment.elements.end(), ElementLess{})) {
    std::sort(fragment.elements.begin(), fragment.elements.end(), ElementLess{});
  }
  std::sort(fragment.shared.begin(), fragment.shared.end(), ElementLess{});
  fragment.shared.erase(std::unique(fragment.shared.begin(), fragment.shared.end()), fragment.shared.end());
  return fragment;
}

}  // namespace pointsman::nft
