// SPDX-License-Identifier: Apache-2.0
//
// The skeleton: chains and rules. Every expression sequence is the one nft itself makes of the rule's text, so that a
// program loaded with `nft -f` and one sent by us observe as equal.
#include <utility>

#include "pointsman/nft_program.h"
#include "rules/nft/layout.h"
#include "rules/nft/numbers.h"

namespace pointsman::nft {
namespace {

constexpr uint8_t kTcp = 6;

Bytes HostOrder(uint32_t value) {
  Bytes bytes(sizeof value);
  __builtin_memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

// Builds one rule from left to right, as it reads.
class RuleWriter {
 public:
  RuleWriter(Family family, const BaseSettings& settings)
      : family_(family), mark_(settings.mark), pods_(&settings.policy.pods) {}

  RuleWriter& Source() { return Addr(family_ == Family::kIpv4 ? 12 : 8); }
  RuleWriter& Dest() { return Addr(family_ == Family::kIpv4 ? 16 : 24); }
  RuleWriter& Frontend() {
    Dest();
    Add(MetaLoad{.key = MetaLoad::Key::kL4Proto, .dreg = next_});
    l4proto_ = next_++;
    return Add(Payload{.base = Payload::Base::kTransport, .offset = 2, .len = 2, .dreg = next_++});
  }
  // The frontend the connection was made to, once it has been translated.
  RuleWriter& OriginalFrontend() {
    Add(CtLoad{
        .key = family_ == Family::kIpv4 ? CtLoad::Key::kDstIp : CtLoad::Key::kDstIp6, .original = true, .dreg = next_});
    next_ = static_cast<Reg>(next_ + AddrWords());
    Add(MetaLoad{.key = MetaLoad::Key::kL4Proto, .dreg = next_++});
    return Add(CtLoad{.key = CtLoad::Key::kProtoDst, .original = true, .dreg = next_++});
  }
  // Where it goes.
  RuleWriter& Endpoint() {
    Dest();
    return Add(Payload{.base = Payload::Base::kTransport, .offset = 2, .len = 2, .dreg = next_++});
  }
  // A constant in the middle of a key, as nft can spell one: a word of the packet with all its bits replaced.
  RuleWriter& Id(AffinityId id) { return Constant(HighWord(id)).Constant(LowWord(id)); }
  RuleWriter& Slot(uint32_t modulus) { return Add(Numgen{.modulus = modulus, .dreg = next_++}); }

  // The key built so far, looked up; the next key starts over.
  RuleWriter& In(const char* set) { return Look(set, Lookup::Result::kNone, false); }
  RuleWriter& NotIn(const char* set) { return Look(set, Lookup::Result::kNone, true); }
  RuleWriter& Vmap(const char* map) { return Look(map, Lookup::Result::kVerdict, false); }
  // A concatenation against an interval set: nft byteorders the protocol, to no effect.
  RuleWriter& InRanges(const char* set) {
    rule_.exprs.insert(rule_.exprs.begin() + 2, Byteorder{.sreg = l4proto_, .dreg = l4proto_, .len = 1, .size = 2});
    return In(set);
  }
  RuleWriter& DnatTo(const char* map) {
    Look(map, Lookup::Result::kData, false);
    return Add(Dnat{.addr = 0, .port = static_cast<Reg>(AddrWords())});
  }

  // Whether the packet is from a pod, by the node's means of knowing that.
  RuleWriter& FromPod() { return OfPod(true); }
  RuleWriter& NotFromPod() { return OfPod(false); }
  // The key built so far is where the data is to be remembered, or forgotten: the packet's endpoint.
  RuleWriter& Remember(absl::Duration timeout) { return Touch(Dynset::Op::kUpdate, timeout); }
  RuleWriter& Forget() { return Touch(Dynset::Op::kDelete, absl::ZeroDuration()); }
  RuleWriter& Count() { return Add(Counter{}); }

  RuleWriter& SourceIsLocal() {
    Add(FibLoad{});
    return Add(Cmp{.op = Cmp::Op::kEq, .sreg = 0, .data = HostOrder(kTypeLocal)});
  }
  RuleWriter& DestIsNotLocal() {
    Add(FibLoad{.flags = kFibDest});
    return Add(Cmp{.op = Cmp::Op::kNeq, .sreg = 0, .data = HostOrder(kTypeLocal)});
  }
  RuleWriter& WasDnat() {
    Add(CtLoad{.key = CtLoad::Key::kStatus});
    Add(Bitwise{.mask = kStatusDnat});
    return Add(Cmp{.op = Cmp::Op::kNeq, .sreg = 0, .data = HostOrder(0)});
  }
  RuleWriter& Marked() {
    Add(MetaLoad{});
    Add(Bitwise{.mask = mark_});
    return Add(Cmp{.op = Cmp::Op::kEq, .sreg = 0, .data = HostOrder(mark_)});
  }
  RuleWriter& SetMark() {
    Add(MetaLoad{});
    Add(Bitwise{.mask = ~mark_, .xor_value = mark_});
    return Add(MetaSet{});
  }
  RuleWriter& ClearMark() {
    Add(MetaLoad{});
    Add(Bitwise{.mask = 0xffffffff, .xor_value = mark_});
    return Add(MetaSet{});
  }
  RuleWriter& IsTcp() {
    Add(MetaLoad{.key = MetaLoad::Key::kL4Proto});
    return Add(Cmp{.op = Cmp::Op::kEq, .sreg = 0, .data = {kTcp}});
  }

  Rule Do(Expr statement) {
    Add(std::move(statement));
    return std::move(rule_);
  }
  Rule Jump(std::string chain) { return Do(Immediate{{Verdict::Code::kJump, std::move(chain)}}); }
  Rule Goto(std::string chain) { return Do(Immediate{{Verdict::Code::kGoto, std::move(chain)}}); }
  Rule Drop() { return Do(Immediate{{Verdict::Code::kDrop, ""}}); }
  Rule Return() { return Do(Immediate{{Verdict::Code::kReturn, ""}}); }
  Rule Done(const char* comment = "") {
    rule_.comment = comment;
    return std::move(rule_);
  }

 private:
  RuleWriter& Add(Expr expr) {
    rule_.exprs.push_back(std::move(expr));
    return *this;
  }
  uint32_t AddrWords() const { return family_ == Family::kIpv4 ? 1 : 4; }
  RuleWriter& Addr(uint32_t offset) {
    Add(Payload{.base = Payload::Base::kNetwork, .offset = offset, .len = AddrWords() * 4, .dreg = next_});
    next_ = static_cast<Reg>(next_ + AddrWords());
    return *this;
  }
  RuleWriter& Constant(uint32_t value) {
    Add(MetaLoad{.dreg = next_});
    Add(Bitwise{.sreg = next_, .dreg = next_, .mask = 0, .xor_value = value});
    ++next_;
    return *this;
  }
  RuleWriter& OfPod(bool yes) {
    if (pods_->interface.empty()) {
      Source();
      return yes ? In(kPodCidrs) : NotIn(kPodCidrs);
    }
    Bytes name(pods_->interface.begin(), pods_->interface.end());
    if (!pods_->interface_prefix) name.resize(kInterfaceNameSize);
    Add(MetaLoad{.key = MetaLoad::Key::kIifName});
    return Add(Cmp{.op = yes ? Cmp::Op::kEq : Cmp::Op::kNeq, .sreg = 0, .data = std::move(name)});
  }
  RuleWriter& Touch(Dynset::Op op, absl::Duration timeout) {
    const Reg data = next_;
    Endpoint();
    next_ = 0;
    return Add(Dynset{.op = op, .set = kAffinity, .key = 0, .data = data, .timeout = timeout});
  }
  RuleWriter& Look(const char* set, Lookup::Result result, bool inverted) {
    next_ = 0;
    return Add(Lookup{.set = set, .sreg = 0, .result = result, .dreg = 0, .inverted = inverted});
  }

  Family family_;
  uint32_t mark_;
  const LocalDetector* pods_;
  Reg next_ = 0;
  Reg l4proto_ = 0;
  Rule rule_;
};

Chain BaseChain(Hook::Number hook, int32_t priority, const char* comment, Rule rule) {
  return {.hook = Hook{.type = "nat", .number = hook, .priority = priority}, .comment = comment, .rules = {rule}};
}

Rule WithComment(Rule rule, const char* comment) {
  rule.comment = comment;
  return rule;
}

absl::btree_map<std::string, Chain> StockChains(Family family, const BaseSettings& settings) {
  const auto rule = [&] { return RuleWriter(family, settings); };
  absl::btree_map<std::string, Chain> chains;

  // Twice: before Linux 6.18 a lookup that races with the replacement of its element may miss.
  chains[kServices] = {
      .hook = {},
      .comment = "every new connection",
      .rules = {rule().Frontend().Vmap(kFrontends).Done(),
                rule().Frontend().Vmap(kFrontends).Done("again, should the first have raced with a change"),
                WithComment(rule().Dest().In(kClusterIps).Goto(kRejectIt), "the Service has no such port"),
                WithComment(rule().Dest().In(kServiceCidrs).DestIsNotLocal().Drop(), "no Service has this address")}};

  // A reset for TCP: ICMP errors are rate limited and get lost, resets are not.
  chains[kRejectIt] = {.hook = {},
                       .comment = "refuse at once",
                       .rules = {rule().IsTcp().Do(Reject{.type = Reject::Type::kTcpReset, .code = 0}),
                                 rule().Do(Reject{.code = static_cast<uint8_t>(family == Family::kIpv4 ? 3 : 4)})}};

  chains[kFw] = {.hook = {},
                 .comment = "load-balancer source ranges",
                 .rules = {rule().Frontend().Source().InRanges(kFwSources).Frontend().Vmap(kFwNext).Done(),
                           WithComment(rule().Drop(), "no range has this source")}};

  chains[kExtLocal] = {
      .hook = {},
      .comment = "external traffic policy Local",
      .rules = {WithComment(rule().FromPod().Frontend().Vmap(kExtInternal).Done(), "pods may go anywhere"),
                WithComment(rule().SourceIsLocal().SetMark().Frontend().Vmap(kExtInternal).Done(), "so may this node"),
                rule().Frontend().Vmap(kExtExternal).Done(), rule().Drop()}};

  chains[kPostDnat] = {.hook = {},
                       .comment = "source address of translated connections",
                       .rules = {rule().Marked().ClearMark().Do(Masquerade{}),
                                 WithComment(rule().Source().Dest().In(kHairpin).Do(Masquerade{}),
                                             "an endpoint that is its own client")}};

  chains[kNatPrerouting] = BaseChain(Hook::Number::kPrerouting, -100, "", rule().Jump(kServices));
  chains[kNatOutput] = BaseChain(Hook::Number::kOutput, -100, "", rule().Jump(kServices));
  chains[kNatPostrouting] = BaseChain(Hook::Number::kPostrouting, 100, "", rule().WasDnat().Goto(kPostDnat));
  return chains;
}

// The part of the skeleton that session affinity needs: translated connections pass through aff_services.
void AddAffinity(Family family, const BaseSettings& settings, Table& table) {
  const auto rule = [&] { return RuleWriter(family, settings); };
  const Rule dispatch =
      WithComment(rule().OriginalFrontend().Vmap(kAffServices).Done(), "session affinity: who was sent where");
  std::vector<Rule>& post = table.chains[kPostDnat].rules;
  post.insert(post.begin(), dispatch);
  table.chains[kInputDnat] = {.hook = {}, .comment = "translated connections to this node itself", .rules = {dispatch}};
  table.chains[kNatInput] = BaseChain(Hook::Number::kInput, 100, "", rule().WasDnat().Goto(kInputDnat));
}

// Remembers the endpoint of this connection, by now the destination, for the client, still the source.
//
// An entry's data cannot be updated. One that leads to an endpoint that is gone is deleted, and the packet dropped: the
// client's next one is sent elsewhere.
void AddRecordChain(Family family, const BaseSettings& settings, const RecordChain& record, Table& table) {
  const auto rule = [&] { return RuleWriter(family, settings); };
  Chain chain;
  if (record.external_local) {
    const std::string cluster = FormatRecordChain({.seconds = record.seconds, .id = record.id & ~AffinityId{1}});
    const std::string local = FormatRecordChain({.seconds = record.seconds, .id = record.id | 1});
    chain.rules = {rule().FromPod().Goto(cluster), rule().SourceIsLocal().Goto(cluster), rule().Goto(local)};
  } else {
    const absl::Duration timeout = absl::Seconds(record.seconds);
    const auto known = [&] { return rule().Id(record.id).Endpoint().In(kAffEndpoints); };
    chain.rules = {known().Source().Id(record.id).Remember(timeout).Return(),
                   WithComment(known().Count().Return(), "no room to remember it"),
                   WithComment(rule().Source().Id(record.id).Forget().Drop(), "an endpoint that is gone")};
  }
  table.chains[FormatRecordChain(record)] = std::move(chain);
}

// Draws until a slot is hit. Six draws at a list more than half full miss with less than 1.6 % chance; then the range
// narrows down to slot 0, which every list that is not empty has.
std::vector<Rule> Draws(Family family, const BaseSettings& settings, const PickChain& chain) {
  const char* const map = chain.local ? kEndpointsLocal : kEndpoints;
  std::vector<uint32_t> moduli;
  if (chain.size == 1) {
    moduli = {1, 1};
  } else {
    moduli.assign(6, chain.size);
    moduli.insert(moduli.end(), {chain.size / 2, chain.size / 2});
    if (chain.size > 2) moduli.push_back(1);
  }
  std::vector<Rule> rules;
  rules.reserve(moduli.size() + 1);
  for (const uint32_t modulus : moduli)
    rules.push_back(RuleWriter(family, settings).Frontend().Slot(modulus).DnatTo(map).Done());
  // A local list is empty while endpoints exist elsewhere: the client shall try another node, not give up.
  rules.push_back(chain.local ? WithComment(RuleWriter(family, settings).Drop(), "no endpoint on this node")
                              : WithComment(RuleWriter(family, settings).Goto(kRejectIt), "no endpoint"));
  return rules;
}

void AddPickChain(Family family, const BaseSettings& settings, const PickChain& pick, Table& table) {
  const auto rule = [&] { return RuleWriter(family, settings); };
  Chain chain;
  PickChain next = pick;
  if (pick.snat != Snat::kNever) {
    next.snat = Snat::kNever;
    const std::string target = FormatPickChain(next);
    if (pick.snat == Snat::kAlways) {
      chain.rules = {rule().SetMark().Goto(target)};
    } else {
      chain.rules = {rule().NotFromPod().SetMark().Done(), rule().Goto(target)};
    }
  } else if (pick.affinity) {
    next.affinity.reset();
    chain.rules = {rule().Source().Id(*pick.affinity).DnatTo(kAffinity).Done(), rule().Goto(FormatPickChain(next))};
  } else {
    chain.rules = Draws(family, settings, pick);
  }
  table.chains[FormatPickChain(pick)] = std::move(chain);
}

void AddRange(Set& set, const Cidr& cidr) {
  set.elements[AddrKey(cidr.base())] = {.end = AddrKey(cidr.last()), .data = {}, .comment = ""};
}

}  // namespace

Ruleset CompileBase(const BaseSettings& settings, const ChainNames& chains) {
  Ruleset ruleset;
  for (const Family family : settings.policy.families) {
    Table& table = ruleset.tables[family];
    table.comment = "Kubernetes Services, by pointsman";
    table.chains = StockChains(family, settings);
    bool affinity = false;
    const auto wanted = chains.find(family);
    if (wanted != chains.end()) {
      for (const std::string& named : wanted->second) {
        for (const std::string& name : WithTargets(named)) {
          if (const auto pick = ParsePickChain(name)) AddPickChain(family, settings, *pick, table);
          if (const auto record = ParseRecordChain(name)) AddRecordChain(family, settings, *record, table);
          affinity = affinity || ForAffinity(name) || name == kAffinitySkeleton;
        }
      }
    }
    if (affinity) AddAffinity(family, settings, table);
    for (const auto& [name, spec] : SetSpecs(family)) {
      const bool for_affinity = name == kAffinity || name == kAffServices || name == kAffEndpoints;
      if (affinity || !for_affinity) table.sets[name].spec = spec;
    }
    if (affinity) table.sets[kAffinity].spec.size = settings.affinity_size;
    for (const Cidr& cidr : settings.policy.pods.cidrs) {
      if (cidr.family() == family) AddRange(table.sets[kPodCidrs], cidr);
    }
    for (const Cidr& cidr : settings.service_cidrs) {
      if (cidr.family() == family) AddRange(table.sets[kServiceCidrs], cidr);
    }
  }
  return ruleset;
}

}  // namespace pointsman::nft
