// SPDX-License-Identifier: Apache-2.0
//
// nf_tables programs written by hand, for tests of what reads and writes them: independent of the compiler.
#pragma once

#include <arpa/inet.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include "pointsman/nft.h"

namespace pointsman::support {

// --- bytes of one field ---------------------------------------------------------------------------------------------

inline nft::Bytes Ip(const std::string& text) {
  const bool v6 = text.find(':') != std::string::npos;
  nft::Bytes bytes(v6 ? 16 : 4);
  inet_pton(v6 ? AF_INET6 : AF_INET, text.c_str(), bytes.data());
  return bytes;
}
inline nft::Bytes Proto(uint8_t number) { return {number}; }
inline nft::Bytes Port(uint16_t port) { return {static_cast<uint8_t>(port >> 8), static_cast<uint8_t>(port & 0xff)}; }
inline nft::Bytes Word(uint32_t value) {
  nft::Bytes bytes(4);
  std::memcpy(bytes.data(), &value, 4);
  return bytes;
}

// A concatenation: each field padded to four bytes.
inline nft::Bytes Cat(std::initializer_list<nft::Bytes> fields) {
  nft::Bytes out;
  for (const nft::Bytes& field : fields) {
    out.insert(out.end(), field.begin(), field.end());
    out.resize((out.size() + 3) / 4 * 4);
  }
  return out;
}

inline constexpr uint8_t kTcp = 6;
inline constexpr uint8_t kUdp = 17;
inline constexpr uint8_t kSctp = 132;

// --- rules ----------------------------------------------------------------------------------------------------------

// Expressions as nft writes them: a key fills registers from the first on, a statement starts over.
class RuleBuilder {
 public:
  explicit RuleBuilder(Family family) : family_(family) {}

  RuleBuilder& Saddr() { return Address(family_ == Family::kIpv4 ? 12 : 8); }
  RuleBuilder& Daddr() { return Address(family_ == Family::kIpv4 ? 16 : 24); }
  RuleBuilder& Sport() { return Load(nft::Payload{nft::Payload::Base::kTransport, 0, 2, next_}, 1); }
  RuleBuilder& Dport() { return Load(nft::Payload{nft::Payload::Base::kTransport, 2, 2, next_}, 1); }
  RuleBuilder& L4Proto() { return Load(nft::MetaLoad{nft::MetaLoad::Key::kL4Proto, next_}, 1); }
  RuleBuilder& Mark() { return Load(nft::MetaLoad{nft::MetaLoad::Key::kMark, next_}, 1); }
  RuleBuilder& Iifname() { return Load(nft::MetaLoad{nft::MetaLoad::Key::kIifName, next_}, 4); }
  RuleBuilder& CtState() { return Load(nft::CtLoad{nft::CtLoad::Key::kState, false, next_}, 1); }
  RuleBuilder& CtStatus() { return Load(nft::CtLoad{nft::CtLoad::Key::kStatus, false, next_}, 1); }
  RuleBuilder& CtDaddr() {
    const bool v4 = family_ == Family::kIpv4;
    return Load(nft::CtLoad{v4 ? nft::CtLoad::Key::kDstIp : nft::CtLoad::Key::kDstIp6, true, next_}, v4 ? 1 : 4);
  }
  RuleBuilder& CtDport() { return Load(nft::CtLoad{nft::CtLoad::Key::kProtoDst, true, next_}, 1); }
  RuleBuilder& Fib(uint32_t flags = 1) { return Load(nft::FibLoad{flags, 3, next_}, 1); }
  RuleBuilder& Random(uint32_t modulus) { return Load(nft::Numgen{modulus, next_}, 1); }
  // A number as a field of a key: the mark with all its bits replaced. nf_tables has no shorter way that nft can list.
  RuleBuilder& Const(uint32_t value) {
    const nft::Reg reg = next_;
    return Mark().Add(nft::Bitwise{reg, reg, 0, value});
  }
  RuleBuilder& Frontend() { return Daddr().L4Proto().Dport(); }
  // `Frontend` as the key of an interval set.
  RuleBuilder& FrontendOfRanges() {
    Daddr().L4Proto();
    const auto proto = static_cast<nft::Reg>(next_ - 1);
    rule_.exprs.emplace_back(nft::Byteorder{proto, proto, 1, 2});
    return Dport();
  }
  RuleBuilder& OriginalFrontend() { return CtDaddr().L4Proto().CtDport(); }

  RuleBuilder& And(uint32_t mask) { return Bits(mask, 0); }
  RuleBuilder& Or(uint32_t bits) { return Bits(~bits, bits); }
  RuleBuilder& Xor(uint32_t bits) { return Bits(0xffffffff, bits); }
  RuleBuilder& Bits(uint32_t mask, uint32_t xor_value) { return Add(nft::Bitwise{0, 0, mask, xor_value}); }

  RuleBuilder& Is(nft::Bytes value) { return Say(nft::Cmp{nft::Cmp::Op::kEq, 0, std::move(value)}); }
  RuleBuilder& IsNot(nft::Bytes value) { return Say(nft::Cmp{nft::Cmp::Op::kNeq, 0, std::move(value)}); }
  RuleBuilder& In(const char* set) { return Say(nft::Lookup{set, 0, nft::Lookup::Result::kNone, 0, false}); }
  RuleBuilder& NotIn(const char* set) { return Say(nft::Lookup{set, 0, nft::Lookup::Result::kNone, 0, true}); }
  RuleBuilder& Vmap(const char* map) { return Say(nft::Lookup{map, 0, nft::Lookup::Result::kVerdict, 0, false}); }
  RuleBuilder& SetMark() { return Say(nft::MetaSet{nft::MetaLoad::Key::kMark, 0}); }
  RuleBuilder& DnatTo(const char* map) {
    Say(nft::Lookup{map, 0, nft::Lookup::Result::kData, 0, false});
    return Say(nft::Dnat{0, static_cast<nft::Reg>(family_ == Family::kIpv4 ? 1 : 4)});
  }
  // The last `data_slots` registers are the data.
  RuleBuilder& Update(nft::Dynset::Op op, const char* set, nft::Reg data_slots, absl::Duration timeout) {
    nft::Dynset dynset{.op = op, .set = set, .key = 0, .data = {}, .timeout = timeout};
    if (data_slots > 0) dynset.data = static_cast<nft::Reg>(next_ - data_slots);
    return Say(std::move(dynset));
  }
  RuleBuilder& Counted() { return Say(nft::Counter{}); }
  RuleBuilder& MarkBit(uint32_t bit) { return Mark().Or(bit).SetMark(); }

  RuleBuilder& Drop() { return To(nft::Verdict::Code::kDrop, ""); }
  RuleBuilder& Accept() { return To(nft::Verdict::Code::kAccept, ""); }
  RuleBuilder& Return() { return To(nft::Verdict::Code::kReturn, ""); }
  RuleBuilder& Goto(const char* chain) { return To(nft::Verdict::Code::kGoto, chain); }
  RuleBuilder& Jump(const char* chain) { return To(nft::Verdict::Code::kJump, chain); }
  RuleBuilder& Masquerade(bool fully_random = true) { return Say(nft::Masquerade{fully_random}); }
  RuleBuilder& Reset() {
    L4Proto().Is(Proto(kTcp));
    return Say(nft::Reject{nft::Reject::Type::kTcpReset, 0});
  }
  RuleBuilder& Unreachable() { return Unreachable(family_ == Family::kIpv4 ? 3 : 4); }
  RuleBuilder& Unreachable(uint8_t code) { return Say(nft::Reject{nft::Reject::Type::kIcmpUnreach, code}); }

  RuleBuilder& Add(nft::Expr expr) {
    rule_.exprs.push_back(std::move(expr));
    return *this;
  }
  nft::Rule Done(std::string comment = "") {
    rule_.comment = std::move(comment);
    return std::move(rule_);
  }
  operator nft::Rule() { return Done(); }  // NOLINT(google-explicit-constructor): lists of rules read better

 private:
  RuleBuilder& Load(nft::Expr expr, int slots) {
    next_ = static_cast<nft::Reg>(next_ + slots);
    return Add(std::move(expr));
  }
  RuleBuilder& Say(nft::Expr expr) {
    next_ = 0;
    return Add(std::move(expr));
  }
  RuleBuilder& To(nft::Verdict::Code code, const char* chain) { return Say(nft::Immediate{{code, chain}}); }
  RuleBuilder& Address(uint32_t offset) {
    const bool v4 = family_ == Family::kIpv4;
    return Load(nft::Payload{nft::Payload::Base::kNetwork, offset, v4 ? 4u : 16u, next_}, v4 ? 1 : 4);
  }

  Family family_;
  nft::Reg next_ = 0;
  nft::Rule rule_;
};

// --- a whole program ------------------------------------------------------------------------------------------------

// A few Services of every kind, in both families. With `affinity` it holds the rules and the gc-interval that nft
// prints and cannot read.
inline nft::Ruleset SampleRuleset(bool affinity) {
  using nft::ElementValue;
  using nft::Field;
  using nft::Hook;
  using nft::SetSpec;
  using nft::Verdict;
  using Code = nft::Verdict::Code;
  constexpr uint32_t kMarkBit = 0x4000;
  constexpr uint32_t kIdHigh = 0x1a2b3c4d;
  constexpr uint32_t kIdLow = 0x00000005;
  nft::Ruleset ruleset;
  for (const Family family : kFamilies) {
    const bool v4 = family == Family::kIpv4;
    const Field addr = v4 ? Field::kIpv4Addr : Field::kIpv6Addr;
    const auto rule = [family] { return RuleBuilder(family); };
    // Cluster addresses end in a byte below 100, endpoints are the others.
    const auto ip = [v4](int host) { return Ip(absl::StrCat(v4 ? "192.0.2." : "2001:db8::", host)); };
    nft::Table& table = ruleset.tables[family];
    table.comment = "Services of a sample";

    const std::vector<Field> frontend = {addr, Field::kInetProto, Field::kInetService};
    const auto with = [](std::vector<Field> fields, std::initializer_list<Field> more) {
      fields.insert(fields.end(), more);
      return fields;
    };
    const auto set = [&](const char* name, SetSpec spec) -> nft::Set& {
      table.sets[name].spec = std::move(spec);
      return table.sets[name];
    };

    nft::Set& pods = set("pod_cidrs", {.key = {addr}, .interval = true, .comment = "addresses of pods"});
    pods.elements[Ip(v4 ? "10.244.0.0" : "fd00:244::")] = {.end = Ip(v4 ? "10.244.255.255" : "fd00:244::ffff")};
    pods.elements[Ip(v4 ? "10.245.0.3" : "fd00:245::3")] = {.end = Ip(v4 ? "10.245.0.9" : "fd00:245::9")};
    pods.elements[Ip(v4 ? "10.246.0.1" : "fd00:246::1")] = {.end = Ip(v4 ? "10.246.0.1" : "fd00:246::1"),
                                                            .comment = "alone"};
    nft::Set& services = set("service_cidrs", {.key = {addr}, .interval = true});
    services.elements[Ip(v4 ? "192.0.2.0" : "2001:db8::")] = {.end = Ip(v4 ? "192.0.2.127" : "2001:db8::7f")};
    nft::Set& everywhere = set("everywhere", {.key = {addr}, .interval = true});
    everywhere.elements[Ip(v4 ? "0.0.0.0" : "::")] = {
        .end = Ip(v4 ? "255.255.255.255" : "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")};
    set("nowhere", {.key = {addr}, .interval = true});
    nft::Set& hairpin = set("hairpin", {.key = {addr, addr}, .size = 4096});
    for (const int host : {101, 102}) hairpin.elements[Cat({ip(host), ip(host)})] = {};
    nft::Set& ports = set("node_ports", {.key = {Field::kInetService}});
    ports.elements[Port(30080)] = {.comment = "shop/web:http"};
    ports.elements[Port(30443)] = {};
    nft::Set& protocols = set("protocols", {.key = {Field::kInetProto}});
    for (const uint8_t number : {kTcp, kUdp, kSctp}) protocols.elements[Proto(number)] = {};
    set("seen", {.key = {addr},
                 .dynamic = true,
                 .has_timeout = true,
                 .timeout = absl::Hours(25) + absl::Milliseconds(1500),
                 .gc_interval = absl::Seconds(90),
                 .size = 1000});
    set("brief", {.key = {addr}, .has_timeout = true});
    set("quick", {.key = {addr}, .has_timeout = true, .timeout = absl::Seconds(1)});

    nft::Set& frontends = set("frontends", {.key = frontend, .verdicts = true});
    const auto front = [&](int host, uint8_t proto, uint16_t port) {
      return Cat({ip(host), Proto(proto), Port(port)});
    };
    const auto verdict = [](Code code, std::string chain, std::string comment = "") {
      return ElementValue{.end = {}, .data = Verdict{code, std::move(chain)}, .comment = std::move(comment)};
    };
    frontends.elements[front(10, kUdp, 53)] = verdict(Code::kGoto, "offcl_pick_4", "kube-system/kube-dns:dns");
    frontends.elements[front(20, kTcp, 80)] = verdict(Code::kGoto, "offcl_pick_4", "shop/cart:http");
    frontends.elements[front(30, kTcp, 80)] = verdict(Code::kGoto, "offcl_pick_1", "shop/empty:http");
    frontends.elements[front(40, kTcp, 443)] = verdict(Code::kGoto, "fw", "shop/web:https");
    frontends.elements[front(50, kSctp, 25)] = verdict(Code::kGoto, "ext_local");
    frontends.elements[front(60, kTcp, 1)] = verdict(Code::kDrop, "");
    frontends.elements[front(61, kTcp, 1)] = verdict(Code::kAccept, "");
    frontends.elements[front(62, kTcp, 1)] = verdict(Code::kReturn, "");
    frontends.elements[front(63, kTcp, 1)] = verdict(Code::kJump, "pick_1");
    frontends.elements[front(64, kTcp, 1)] = verdict(Code::kContinue, "");
    set("fw_next", {.key = frontend, .verdicts = true}).elements[front(40, kTcp, 443)] =
        verdict(Code::kGoto, "masq_pick_4");
    set("ext_internal", {.key = frontend, .verdicts = true}).elements[front(50, kSctp, 25)] =
        verdict(Code::kGoto, "pick_4");
    set("ext_external", {.key = frontend, .verdicts = true}).elements[front(50, kSctp, 25)] =
        verdict(Code::kGoto, "pick_1");

    nft::Set& sources = set("fw_sources", {.key = with(frontend, {addr}), .interval = true});
    const auto source = [&](uint8_t proto, uint16_t port, const std::string& from) {
      return Cat({ip(40), Proto(proto), Port(port), Ip(from)});
    };
    sources.elements[source(kTcp, 443, v4 ? "198.51.100.0" : "2001:db8:1::")] = {
        .end = source(kTcp, 443, v4 ? "198.51.100.255" : "2001:db8:1:ffff:ffff:ffff:ffff:ffff"), .comment = "office"};
    sources.elements[source(kTcp, 80, v4 ? "203.0.113.3" : "2001:db8:2::3")] = {
        .end = source(kTcp, 81, v4 ? "203.0.113.9" : "2001:db8:2::9")};
    sources.elements[source(kUdp, 53, v4 ? "0.0.0.0" : "::")] = {
        .end = source(kUdp, 53, v4 ? "255.255.255.255" : "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")};
    sources.elements[source(kTcp, 444, v4 ? "203.0.113.3" : "2001:db8:2::3")] = {
        .end = source(kTcp, 444, v4 ? "203.0.113.3" : "2001:db8:2::3")};

    for (const char* name : {"endpoints", "endpoints_local"}) {
      nft::Set& endpoints =
          set(name, {.key = with(frontend, {Field::kInteger}), .data = {addr, Field::kInetService}, .comment = name});
      for (const uint32_t slot : {0u, 1u, 256u}) {
        ElementValue value{.end = {}, .data = Cat({ip(101 + static_cast<int>(slot % 7)), Port(8080)}), .comment = ""};
        if (slot == 1) value.comment = "second";
        endpoints.elements[Cat({ip(20), Proto(kTcp), Port(80), Word(slot)})] = value;
      }
    }
    nft::Set& affine = set("affinity", {.key = {addr, Field::kMark, Field::kMark},
                                        .data = {addr, Field::kInetService},
                                        .dynamic = true,
                                        .has_timeout = true,
                                        .timeout = absl::Hours(3),
                                        .size = 262144});
    if (affinity) affine.spec.gc_interval = absl::Minutes(1);
    set("aff_services", {.key = frontend, .verdicts = true});
    set("aff_endpoints", {.key = {Field::kMark, Field::kMark, addr, Field::kInetService}})
        .elements[Cat({Word(kIdHigh), Word(kIdLow), ip(101), Port(8080)})] = {};
    nft::Set& marks = set("marks", {.key = {Field::kMark}});
    for (const uint32_t mark : {0u, 0x100u, 0xffffffffu}) marks.elements[Word(mark)] = {};

    const auto chain = [&](const char* name, std::vector<nft::Rule> rules, std::optional<Hook> hook = {},
                           std::string comment = "") {
      table.chains[name] = {.hook = std::move(hook), .comment = std::move(comment), .rules = std::move(rules)};
    };
    chain("reject_it", {rule().Reset(), rule().Unreachable()}, {}, "refuse at once");
    chain("fw", {rule().FrontendOfRanges().Saddr().In("fw_sources").Frontend().Vmap("fw_next"), rule().Drop()});
    chain("ext_local", {rule().Saddr().In("pod_cidrs").Frontend().Vmap("ext_internal").Done("pods may go anywhere"),
                        rule().Fib().Is(Word(2)).MarkBit(kMarkBit).Frontend().Vmap("ext_internal"),
                        rule().Frontend().Vmap("ext_external"), rule().Drop()});
    chain("services", {rule().Frontend().Vmap("frontends"), rule().Frontend().Vmap("frontends").Done("again"),
                       rule().Daddr().In("service_cidrs").Goto("reject_it")});
    chain("post_dnat", {rule().Mark().And(kMarkBit).Is(Word(kMarkBit)).Mark().Xor(kMarkBit).SetMark().Masquerade(),
                        rule().Saddr().Daddr().In("hairpin").Masquerade()});
    chain("pick_1", {rule().Frontend().Random(1).DnatTo("endpoints"), rule().Goto("reject_it")});
    chain("pick_4", {rule().Frontend().Random(4).DnatTo("endpoints"), rule().Frontend().Random(2).DnatTo("endpoints"),
                     rule().Goto("reject_it")});
    const auto id = [&](RuleBuilder builder) { return builder.Const(kIdHigh).Const(kIdLow); };
    chain("aff_full", {id(rule()).Daddr().Dport().In("aff_endpoints").Counted().Return(), rule().Counted().Drop(),
                       rule().Const(0).Const(0xffffffff).Daddr().Dport().In("aff_endpoints").Return()});
    chain("masq_pick_4", {rule().MarkBit(kMarkBit).Goto("pick_4")});
    chain("offcl_pick_1", {rule().Saddr().NotIn("pod_cidrs").MarkBit(kMarkBit), rule().Goto("pick_1")});
    chain("offcl_pick_4", {rule().Saddr().NotIn("pod_cidrs").MarkBit(kMarkBit), rule().Goto("pick_4")});
    chain("odds_and_ends",
          {rule().Iifname().Is(Cat({{'e', 't', 'h', '0'}, Word(0), Word(0), Word(0)})).Accept(),
           rule().Iifname().IsNot(Cat({{'e', 't', 'h', '*'}, Word(0), Word(0), Word(0)})).Return(),
           rule().Iifname().Is({'c', 'a', 'l', 'i'}).Jump("services"), rule().CtState().And(6).IsNot(Word(0)).Accept(),
           rule().CtStatus().And(0x20).Is(Word(0)).Return(), rule().Mark().IsNot(Word(5)).Mark().And(0xff00).SetMark(),
           rule().Mark().Bits(0xfe00, 0x101).SetMark(), rule().Mark().Bits(0xff00, 0x100).SetMark(),
           rule().Random(4).Is(Word(0)).Random(8).SetMark(),
           rule().Daddr().Is(ip(10)).Dport().Is(Port(80)).Masquerade(false), rule().Fib(2).IsNot(Word(1)).Drop(),
           rule().L4Proto().IsNot(Proto(kUdp)).Sport().IsNot(Port(7)).Unreachable(1),
           rule().CtDaddr().Is(ip(10)).Unreachable(),
           rule().Saddr().Update(nft::Dynset::Op::kUpdate, "seen", 0, absl::Minutes(90)),
           rule().Saddr().Update(nft::Dynset::Op::kAdd, "seen", 0, absl::ZeroDuration()),
           rule().Saddr().Update(nft::Dynset::Op::kDelete, "seen", 0, absl::ZeroDuration())});

    if (affinity) {
      table.sets["aff_services"].elements[front(20, kTcp, 80)] = verdict(Code::kGoto, "aff_10800");
      const auto slots = static_cast<nft::Reg>(v4 ? 2 : 5);
      const auto update = [&](RuleBuilder builder, nft::Dynset::Op op, absl::Duration timeout) {
        return id(builder.Saddr()).Daddr().Dport().Update(op, "affinity", slots, timeout);
      };
      chain("aff_pick_4", {id(rule().Saddr()).DnatTo("affinity"), rule().Goto("pick_4")});
      chain("aff_10800",
            {update(id(rule()).Daddr().Dport().In("aff_endpoints"), nft::Dynset::Op::kUpdate, absl::Hours(3)).Return(),
             rule().Goto("aff_stale")});
      chain("aff_stale", {update(rule(), nft::Dynset::Op::kDelete, absl::ZeroDuration()), rule().Drop()});
      chain("input_dnat", {rule().OriginalFrontend().Vmap("aff_services")});
    }

    chain("nat_prerouting", {rule().Jump("services")},
          Hook{.type = "nat", .number = Hook::Number::kPrerouting, .priority = -100}, "every new connection");
    chain("nat_output", {rule().Jump("services")},
          Hook{.type = "nat", .number = Hook::Number::kOutput, .priority = -100});
    chain("nat_postrouting", {rule().CtStatus().And(0x20).IsNot(Word(0)).Goto("post_dnat")},
          Hook{.type = "nat", .number = Hook::Number::kPostrouting, .priority = 100});
    chain("nat_input", {}, Hook{.type = "nat", .number = Hook::Number::kInput, .priority = 100});
    chain("filter_forward", {},
          Hook{.type = "filter", .number = Hook::Number::kForward, .priority = 5, .drop_policy = true});
  }
  return ruleset;
}

}  // namespace pointsman::support
