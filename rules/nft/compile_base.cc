// SPDX-License-Identifier: Apache-2.0
//
// The skeleton: chains and rules. Every expression sequence is the one nft itself makes of the rule's text, so that a
// program loaded with `nft -f` and one sent by us observe as equal.
#include <utility>

#include "pointsman/nft_program.h"
#include "rules/nft/layout.h"

namespace pointsman::nft {
namespace {

constexpr uint32_t kStatusDnat = 0x20;  // IPS_DST_NAT, linux/netfilter/nf_conntrack_common.h
constexpr uint8_t kTypeLocal = 2;       // RTN_LOCAL, linux/rtnetlink.h
constexpr uint8_t kTcp = 6;

Bytes HostOrder(uint32_t value) {
  Bytes bytes(sizeof value);
  __builtin_memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

// Builds one rule from left to right, as it reads.
class RuleWriter {
 public:
  RuleWriter(Family family, uint32_t mark) : family_(family), mark_(mark) {}

  RuleWriter& Source() { return Addr(family_ == Family::kIpv4 ? 12 : 8); }
  RuleWriter& Dest() { return Addr(family_ == Family::kIpv4 ? 16 : 24); }
  RuleWriter& Frontend() {
    Dest();
    Add(MetaLoad{.key = MetaLoad::Key::kL4Proto, .dreg = next_});
    l4proto_ = next_++;
    return Add(Payload{.base = Payload::Base::kTransport, .offset = 2, .len = 2, .dreg = next_++});
  }
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
    return Add(Dnat{.addr = 0, .port = static_cast<Reg>(family_ == Family::kIpv4 ? 1 : 4)});
  }

  RuleWriter& SourceIsLocal() {
    Add(FibLoad{});
    return Add(Cmp{.op = Cmp::Op::kEq, .sreg = 0, .data = HostOrder(kTypeLocal)});
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
  Rule Done(const char* comment = "") {
    rule_.comment = comment;
    return std::move(rule_);
  }

 private:
  RuleWriter& Add(Expr expr) {
    rule_.exprs.push_back(std::move(expr));
    return *this;
  }
  RuleWriter& Addr(uint32_t offset) {
    const uint32_t len = family_ == Family::kIpv4 ? 4 : 16;
    Add(Payload{.base = Payload::Base::kNetwork, .offset = offset, .len = len, .dreg = next_});
    next_ = static_cast<Reg>(next_ + len / 4);
    return *this;
  }
  RuleWriter& Look(const char* set, Lookup::Result result, bool inverted) {
    next_ = 0;
    return Add(Lookup{.set = set, .sreg = 0, .result = result, .dreg = 0, .inverted = inverted});
  }

  Family family_;
  uint32_t mark_;
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
  const auto rule = [&] { return RuleWriter(family, settings.mark); };
  absl::btree_map<std::string, Chain> chains;

  // Twice: before Linux 6.18 a lookup that races with the replacement of its element may miss.
  chains[kServices] = {
      .hook = {},
      .comment = "every new connection",
      .rules = {rule().Frontend().Vmap(kFrontends).Done(),
                rule().Frontend().Vmap(kFrontends).Done("again, should the first have raced with a change"),
                WithComment(rule().Dest().In(kServiceCidrs).Goto(kRejectIt), "no Service has this address and port")}};

  // A reset for TCP: ICMP errors are rate limited and get lost, resets are not.
  chains[kRejectIt] = {.hook = {},
                       .comment = "refuse at once",
                       .rules = {rule().IsTcp().Do(Reject{.type = Reject::Type::kTcpReset, .code = 0}),
                                 rule().Do(Reject{.code = static_cast<uint8_t>(family == Family::kIpv4 ? 3 : 4)})}};

  chains[kFw] = {
      .hook = {},
      .comment = "load-balancer source ranges",
      .rules = {rule().Frontend().Source().InRanges(kFwSources).Frontend().Vmap(kFwNext).Done(), rule().Drop()}};

  chains[kExtLocal] = {
      .hook = {},
      .comment = "external traffic policy Local",
      .rules = {WithComment(rule().Source().In(kPodCidrs).Frontend().Vmap(kExtInternal).Done(), "pods may go anywhere"),
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

// Draws until a slot is hit. Six draws at a list more than half full miss with less than 1.6 % chance; then the range
// narrows down to slot 0, which every list that is not empty has.
std::vector<Rule> Draws(Family family, const PickChain& chain) {
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
    rules.push_back(RuleWriter(family, 0).Frontend().Slot(modulus).DnatTo(map).Done());
  // A local list is empty while endpoints exist elsewhere: the client shall try another node, not give up.
  rules.push_back(chain.local ? RuleWriter(family, 0).Drop() : RuleWriter(family, 0).Goto(kRejectIt));
  return rules;
}

void AddPickChain(Family family, const BaseSettings& settings, const PickChain& pick, Table& table) {
  Chain chain;
  PickChain plain = pick;
  plain.snat = Snat::kNever;
  const RuleWriter rule(family, settings.mark);
  switch (pick.snat) {
    case Snat::kNever:
      chain.rules = Draws(family, pick);
      break;
    case Snat::kAlways:
      chain.rules = {RuleWriter(rule).SetMark().Goto(FormatPickChain(plain))};
      break;
    case Snat::kOutsidePods:
      chain.rules = {RuleWriter(rule).Source().NotIn(kPodCidrs).SetMark().Done(),
                     RuleWriter(rule).Goto(FormatPickChain(plain))};
      break;
  }
  if (pick.snat != Snat::kNever) AddPickChain(family, settings, plain, table);
  table.chains[FormatPickChain(pick)] = std::move(chain);
}

void AddRange(Set& set, const Cidr& cidr) {
  set.elements[AddrKey(cidr.base())] = {.end = AddrKey(cidr.last()), .data = {}, .comment = ""};
}

}  // namespace

Ruleset CompileBase(const BaseSettings& settings, const ChainNames& chains) {
  Ruleset ruleset;
  for (const Family family : kFamilies) {
    Table& table = ruleset.tables[family];
    table.comment = "Kubernetes Services, by pointsman";
    table.chains = StockChains(family, settings);
    const auto wanted = chains.find(family);
    if (wanted != chains.end()) {
      for (const std::string& name : wanted->second) {
        if (const auto pick = ParsePickChain(name)) AddPickChain(family, settings, *pick, table);
      }
    }
    for (const auto& [name, spec] : SetSpecs(family)) table.sets[name].spec = spec;
    if (const auto& pods = settings.policy.pods.cidr(family)) AddRange(table.sets[kPodCidrs], *pods);
    for (const Cidr& cidr : settings.service_cidrs) {
      if (cidr.family() == family) AddRange(table.sets[kServiceCidrs], cidr);
    }
  }
  return ruleset;
}

}  // namespace pointsman::nft
