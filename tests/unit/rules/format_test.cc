// SPDX-License-Identifier: Apache-2.0
//
// Golden strings. Those of whole rulesets are checked against nft itself in tests/netns/format_test.cc; the spelling
// here is that of nft 1.0.6.
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "pointsman/nft_format.h"
#include "tests/support/nft_sample.h"

namespace pointsman::nft {
namespace {

using support::Cat;
using support::Ip;
using support::kSctp;
using support::kTcp;
using support::kUdp;
using support::Port;
using support::Proto;
using support::RuleBuilder;
using support::SampleRuleset;
using support::Word;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr Family k4 = Family::kIpv4;
constexpr Family k6 = Family::kIpv6;

RuleBuilder R(Family family = k4) { return RuleBuilder(family); }

Bytes Ifname(const std::string& name) {
  Bytes bytes(name.begin(), name.end());
  bytes.resize(16);
  return bytes;
}

// --- rules ----------------------------------------------------------------------------------------------------------

struct RuleCase {
  Family family;
  Rule rule;
  std::string text;
  std::string json;  // the list "expr"; not looked at when empty
};

class RuleTest : public ::testing::TestWithParam<RuleCase> {};

TEST_P(RuleTest, ReadsAsNftWritesIt) {
  const RuleCase& c = GetParam();
  EXPECT_EQ(FormatRule(c.family, c.rule), c.text);
  if (c.json.empty()) return;

  Rule rule = c.rule;
  rule.comment.clear();
  EXPECT_EQ(
      FormatChangesJson({AddRule{c.family, "c", rule}}),
      absl::StrCat(R"({"nftables": [
{"add":{"rule":{"family":")",
                   c.family == k4 ? "ip" : "ip6", R"(","table":"pointsman","chain":"c","expr":)", c.json, "}}}\n]}\n"));
}

INSTANTIATE_TEST_SUITE_P(
    Keys, RuleTest,
    ::testing::Values(
        RuleCase{
            k4, R().Frontend().Vmap("frontends"), "ip daddr . meta l4proto . th dport vmap @frontends",
            R"([{"vmap":{"key":{"concat":[{"payload":{"protocol":"ip","field":"daddr"}},{"meta":{"key":"l4proto"}},)"
            R"({"payload":{"protocol":"th","field":"dport"}}]},"data":"@frontends"}}])"},
        RuleCase{
            k6, R(k6).Frontend().Vmap("frontends"), "ip6 daddr . meta l4proto . th dport vmap @frontends",
            R"([{"vmap":{"key":{"concat":[{"payload":{"protocol":"ip6","field":"daddr"}},{"meta":{"key":"l4proto"}},)"
            R"({"payload":{"protocol":"th","field":"dport"}}]},"data":"@frontends"}}])"},
        // A shorter key in registers that a longer one filled before: nothing of the first may stick to the second.
        RuleCase{k4, R().FrontendOfRanges().Saddr().In("fw_sources").Frontend().Vmap("fw_next"),
                 "ip daddr . meta l4proto . th dport . ip saddr @fw_sources ip daddr . meta l4proto . th dport vmap "
                 "@fw_next",
                 ""},
        RuleCase{k6, R(k6).FrontendOfRanges().Saddr().In("fw_sources").Saddr().Vmap("m"),
                 "ip6 daddr . meta l4proto . th dport . ip6 saddr @fw_sources ip6 saddr vmap @m", ""},
        RuleCase{k4, R().Saddr().NotIn("pod_cidrs").Return(), "ip saddr != @pod_cidrs return",
                 R"([{"match":{"op":"!=","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":"@pod_cidrs"}},)"
                 R"({"return":null}])"},
        RuleCase{k4, R().Saddr().Daddr().In("hairpin").Masquerade(),
                 "ip saddr . ip daddr @hairpin masquerade fully-random",
                 R"([{"match":{"op":"==","left":{"concat":[{"payload":{"protocol":"ip","field":"saddr"}},)"
                 R"({"payload":{"protocol":"ip","field":"daddr"}}]},"right":"@hairpin"}},)"
                 R"({"masquerade":{"flags":"fully-random"}}])"},
        RuleCase{
            k4, R().Frontend().Random(4).DnatTo("endpoints"),
            "dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 4 map @endpoints",
            R"([{"dnat":{"family":"ip","addr":{"map":{"key":{"concat":[{"payload":{"protocol":"ip","field":"daddr"}},)"
            R"({"meta":{"key":"l4proto"}},{"payload":{"protocol":"th","field":"dport"}},)"
            R"({"numgen":{"mode":"random","mod":4,"offset":0}}]},"data":"@endpoints"}}}}])"},
        RuleCase{k6, R(k6).Saddr().Frontend().DnatTo("affinity"),
                 "dnat ip6 to ip6 saddr . ip6 daddr . meta l4proto . th dport map @affinity", ""},
        RuleCase{
            k4, R().Saddr().Const(0x1a2b3c4d).Const(5).DnatTo("affinity"),
            "dnat ip to ip saddr . meta mark & 0x1a2b3c4d | 0x1a2b3c4d . meta mark & 0x00000005 | 0x00000005 map "
            "@affinity",
            R"([{"dnat":{"family":"ip","addr":{"map":{"key":{"concat":[{"payload":{"protocol":"ip","field":"saddr"}},)"
            R"({"|":[{"&":[{"meta":{"key":"mark"}},439041101]},439041101]},)"
            R"({"|":[{"&":[{"meta":{"key":"mark"}},5]},5]}]},"data":"@affinity"}}}}])"},
        // The ends of the range, where one of the two steps is nothing.
        RuleCase{
            k6, R(k6).Const(0).Const(0xffffffff).Daddr().Dport().In("aff_endpoints").Counted().Return(),
            "meta mark & 0x00000000 . meta mark | 0xffffffff . ip6 daddr . th dport @aff_endpoints counter packets "
            "0 bytes 0 return",
            R"([{"match":{"op":"==","left":{"concat":[{"&":[{"meta":{"key":"mark"}},0]},)"
            R"({"|":[{"meta":{"key":"mark"}},4294967295]},{"payload":{"protocol":"ip6","field":"daddr"}},)"
            R"({"payload":{"protocol":"th","field":"dport"}}]},"right":"@aff_endpoints"}},)"
            R"({"counter":{"packets":0,"bytes":0}},{"return":null}])"},
        RuleCase{k4, R().OriginalFrontend().Vmap("aff_services"),
                 "ct original ip daddr . meta l4proto . ct original proto-dst vmap @aff_services",
                 R"([{"vmap":{"key":{"concat":[{"ct":{"key":"ip daddr","dir":"original"}},{"meta":{"key":"l4proto"}},)"
                 R"({"ct":{"key":"proto-dst","dir":"original"}}]},"data":"@aff_services"}}])"},
        RuleCase{
            k6, R(k6).OriginalFrontend().Daddr().Dport().NotIn("aff_endpoints").Goto("aff_stale"),
            "ct original ip6 daddr . meta l4proto . ct original proto-dst . ip6 daddr . th dport != @aff_endpoints "
            "goto aff_stale",
            ""},
        RuleCase{k4, R().Mark().And(0xff).In("marks"), "meta mark & 0x000000ff == @marks", ""}));

INSTANTIATE_TEST_SUITE_P(
    Updates, RuleTest,
    ::testing::Values(
        RuleCase{
            k4,
            R().Saddr().OriginalFrontend().Daddr().Dport().Update(Dynset::Op::kUpdate, "affinity", 2, absl::Hours(3)),
            "update @affinity { ip saddr . ct original ip daddr . meta l4proto . ct original proto-dst timeout 3h : "
            "ip daddr . th dport }",
            R"([{"map":{"op":"update","elem":{"elem":{"val":{"concat":[{"payload":{"protocol":"ip","field":"saddr"}},)"
            R"({"ct":{"key":"ip daddr","dir":"original"}},{"meta":{"key":"l4proto"}},)"
            R"({"ct":{"key":"proto-dst","dir":"original"}}]},"timeout":10800}},)"
            R"("data":{"concat":[{"payload":{"protocol":"ip","field":"daddr"}},)"
            R"({"payload":{"protocol":"th","field":"dport"}}]},"map":"@affinity"}}])"},
        RuleCase{k6,
                 R(k6).Saddr().OriginalFrontend().Daddr().Dport().Update(Dynset::Op::kDelete, "affinity", 5,
                                                                         absl::ZeroDuration()),
                 "delete @affinity { ip6 saddr . ct original ip6 daddr . meta l4proto . ct original proto-dst : "
                 "ip6 daddr . th dport }",
                 ""},
        RuleCase{k6,
                 R(k6)
                     .Saddr()
                     .Const(0x1a2b3c4d)
                     .Const(5)
                     .Daddr()
                     .Dport()
                     .Update(Dynset::Op::kUpdate, "affinity", 5, absl::Seconds(10))
                     .Return(),
                 "update @affinity { ip6 saddr . meta mark & 0x1a2b3c4d | 0x1a2b3c4d . meta mark & 0x00000005 | "
                 "0x00000005 timeout 10s : ip6 daddr . th dport } return",
                 ""},
        RuleCase{k4, R().Saddr().Update(Dynset::Op::kAdd, "seen", 0, absl::ZeroDuration()), "add @seen { ip saddr }",
                 R"([{"set":{"op":"add","elem":{"payload":{"protocol":"ip","field":"saddr"}},"set":"@seen"}}])"},
        RuleCase{k4, R().Saddr().Update(Dynset::Op::kUpdate, "seen", 0, absl::Milliseconds(90061500)),
                 "update @seen { ip saddr timeout 1d1h1m1s500ms }", ""}));

INSTANTIATE_TEST_SUITE_P(
    Marks, RuleTest,
    ::testing::Values(
        RuleCase{k4, R().MarkBit(0x4000).Goto("pick_4"), "meta mark set meta mark | 0x00004000 goto pick_4",
                 R"([{"mangle":{"key":{"meta":{"key":"mark"}},"value":{"|":[{"meta":{"key":"mark"}},16384]}}},)"
                 R"({"goto":{"target":"pick_4"}}])"},
        RuleCase{k4, R().Mark().And(0x4000).Is(Word(0x4000)).Mark().Xor(0x4000).SetMark().Masquerade(),
                 "meta mark & 0x00004000 == 0x00004000 meta mark set meta mark ^ 0x00004000 masquerade fully-random",
                 R"([{"match":{"op":"==","left":{"&":[{"meta":{"key":"mark"}},16384]},"right":16384}},)"
                 R"({"mangle":{"key":{"meta":{"key":"mark"}},"value":{"^":[{"meta":{"key":"mark"}},16384]}}},)"
                 R"({"masquerade":{"flags":"fully-random"}}])"},
        RuleCase{k4, R().Mark().Bits(0xfe00, 0x101).SetMark(), "meta mark set meta mark & 0x0000ff01 | 0x00000101",
                 R"([{"mangle":{"key":{"meta":{"key":"mark"}},)"
                 R"("value":{"|":[{"&":[{"meta":{"key":"mark"}},65281]},257]}}}])"},
        RuleCase{k4, R().Mark().Bits(0xff00, 0x100).SetMark(), "meta mark set meta mark & 0x0000ff00 ^ 0x00000100", ""},
        RuleCase{k4, R().Mark().Is(Word(5)), "meta mark 0x00000005", ""},
        RuleCase{k4, R().Mark().And(0xff).IsNot(Word(0)), "meta mark & 0x000000ff != 0x00000000", ""},
        RuleCase{k4, R().Random(8).SetMark(), "meta mark set numgen random mod 8", ""},
        RuleCase{k4, R().Random(8).IsNot(Word(7)), "numgen random mod 8 != 7", ""}));

INSTANTIATE_TEST_SUITE_P(
    Matches, RuleTest,
    ::testing::Values(
        RuleCase{
            k4, R().CtStatus().And(0x20).IsNot(Word(0)).Goto("post_dnat"), "ct status dnat goto post_dnat",
            R"([{"match":{"op":"in","left":{"ct":{"key":"status"}},"right":"dnat"}},{"goto":{"target":"post_dnat"}}])"},
        RuleCase{k4, R().CtStatus().And(0x20).Is(Word(0)), "ct status ! dnat",
                 R"([{"match":{"op":"!","left":{"ct":{"key":"status"}},"right":"dnat"}}])"},
        RuleCase{k4, R().CtStatus().Is(Word(0x20)), "ct status == dnat", ""},
        RuleCase{
            k4, R().CtState().And(6).IsNot(Word(0)).Accept(), "ct state established,related accept",
            R"([{"match":{"op":"in","left":{"ct":{"key":"state"}},"right":["established","related"]}},{"accept":null}])"},
        RuleCase{k4, R().CtState().IsNot(Word(8)), "ct state != new", ""},
        RuleCase{k4, R().Fib().Is(Word(2)), "fib saddr type local",
                 R"([{"match":{"op":"==","left":{"fib":{"result":"type","flags":["saddr"]}},"right":"local"}}])"},
        RuleCase{k4, R().Fib(2).IsNot(Word(99)), "fib daddr type != 99",
                 R"([{"match":{"op":"!=","left":{"fib":{"result":"type","flags":["daddr"]}},"right":99}}])"},
        RuleCase{k4, R().Daddr().Is(Ip("192.0.2.1")), "ip daddr 192.0.2.1",
                 R"([{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"daddr"}},"right":"192.0.2.1"}}])"},
        RuleCase{k6, R(k6).Saddr().IsNot(Ip("2001:db8::1")), "ip6 saddr != 2001:db8::1", ""},
        RuleCase{k4, R().CtDaddr().Is(Ip("192.0.2.1")), "ct original ip daddr 192.0.2.1", ""},
        RuleCase{k4, R().L4Proto().IsNot(Proto(kUdp)), "meta l4proto != udp",
                 R"([{"match":{"op":"!=","left":{"meta":{"key":"l4proto"}},"right":"udp"}}])"},
        RuleCase{k4, R().L4Proto().Is(Proto(200)), "meta l4proto 200",
                 R"([{"match":{"op":"==","left":{"meta":{"key":"l4proto"}},"right":200}}])"},
        RuleCase{k4, R().Dport().Is(Port(8443)), "th dport 8443",
                 R"([{"match":{"op":"==","left":{"payload":{"protocol":"th","field":"dport"}},"right":8443}}])"},
        RuleCase{k4, R().Sport().IsNot(Port(7)), "th sport != 7", ""},
        RuleCase{k4, R().Iifname().Is(Ifname("eth0")), "iifname \"eth0\"",
                 R"([{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"eth0"}}])"},
        RuleCase{k4, R().Iifname().IsNot(Ifname("br0")), "iifname != \"br0\"",
                 R"([{"match":{"op":"!=","left":{"meta":{"key":"iifname"}},"right":"br0"}}])"},
        RuleCase{k4, R().Iifname().IsNot(Bytes{'c', 'a', 'l', 'i'}), "iifname != \"cali*\"", ""},
        RuleCase{k4, R().Iifname().Is(Bytes{'v', 'e', 't', 'h'}), "iifname \"veth*\"",
                 R"([{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"veth*"}}])"},
        RuleCase{k4, R().Iifname().Is(Ifname("eth*")), "iifname \"eth\\*\"", ""}));

INSTANTIATE_TEST_SUITE_P(
    Ends, RuleTest,
    ::testing::Values(
        RuleCase{k4, R().Reset(), "reject with tcp reset", R"([{"reject":{"type":"tcp reset"}}])"},
        // nft puts the implied match in front of the rule, wherever the reject stands.
        RuleCase{k4, R().L4Proto().Is(Proto(kTcp)).Daddr().Is(Ip("192.0.2.1")).Add(Reject{Reject::Type::kTcpReset, 0}),
                 "ip daddr 192.0.2.1 reject with tcp reset", ""},
        // In another place somebody has written it.
        RuleCase{k4, R().Daddr().Is(Ip("192.0.2.1")).Reset(),
                 "ip daddr 192.0.2.1 meta l4proto tcp reject with tcp reset", ""},
        RuleCase{k4, R().Unreachable(), "reject", R"([{"reject":{"type":"icmp","expr":"port-unreachable"}}])"},
        RuleCase{k6, R(k6).Unreachable(), "reject", R"([{"reject":{"type":"icmpv6","expr":"port-unreachable"}}])"},
        RuleCase{k4, R().L4Proto().Is(Proto(kTcp)).Unreachable(), "meta l4proto tcp reject", ""},
        RuleCase{k4, R().Unreachable(1), "reject with icmp host-unreachable",
                 R"([{"reject":{"type":"icmp","expr":"host-unreachable"}}])"},
        RuleCase{k6, R(k6).Unreachable(3), "reject with icmpv6 addr-unreachable", ""},
        RuleCase{k4, R().Masquerade(false), "masquerade", R"([{"masquerade":null}])"},
        RuleCase{k4, R().Drop().Done("a \"quoted\"\nword"), "drop comment \"a 'quoted'?word\"", ""},
        RuleCase{k4, R().Add(Immediate{{Verdict::Code::kContinue, ""}}).Jump("services"), "continue jump services",
                 R"([{"continue":null},{"jump":{"target":"services"}}])"}));

// Whatever the statements would leave out or change is shown expression by expression instead.
INSTANTIATE_TEST_SUITE_P(
    NotUnderstood, RuleTest,
    ::testing::Values(
        RuleCase{k4, R().Add(Foreign{"counter", "pkts 0 bytes 0"}).Accept().Done("not ours"),
                 "# not understood: [ counter pkts 0 bytes 0 ] [ immediate reg 0 accept ] comment \"not ours\"",
                 R"(["# not understood: [ counter pkts 0 bytes 0 ] [ immediate reg 0 accept ]"])"},
        RuleCase{k4, R().Add(Foreign{"log", "log prefix a\ndrop"}), "# not understood: [ log prefix a drop ]", ""},
        RuleCase{k4, Rule{}, "# not understood: [ ]", ""},
        // A load or a lookup without a use still decides whether the rule matches.
        RuleCase{k4, R().Dport().Accept(),
                 "# not understood: [ payload load 2b @ transport header + 2 => reg 1 ] [ immediate reg 0 accept ]",
                 ""},
        RuleCase{
            k4, R().Saddr().Add(Lookup{"m", 0, Lookup::Result::kData, 0, false}).Accept(),
            "# not understood: [ payload load 4b @ network header + 12 => reg 1 ] [ lookup reg 1 set m dreg 1 0x0 ] "
            "[ immediate reg 0 accept ]",
            ""},
        // The other family's offsets, half an address, a header further down.
        RuleCase{k4, R(k6).Saddr().In("s"),
                 "# not understood: [ payload load 16b @ network header + 8 => reg 1 ] [ lookup reg 1 set s 0x0 ]", ""},
        RuleCase{k4, R().Add(Payload{Payload::Base::kNetwork, 12, 3, 0}).Is(Bytes{10, 0, 0}),
                 "# not understood: [ payload load 3b @ network header + 12 => reg 1 ] [ cmp eq reg 1 0x0000000a ]",
                 ""},
        RuleCase{k4, R().Add(Payload{Payload::Base::kLink, 0, 2, 0}).Is(Bytes{8, 0}),
                 "# not understood: [ payload load 2b @ link header + 0 => reg 1 ] [ cmp eq reg 1 0x00000008 ]", ""},
        // Constants of the wrong length; no such bit; two bits at once.
        RuleCase{k4, R().L4Proto().Is(Word(6)),
                 "# not understood: [ meta load l4proto => reg 1 ] [ cmp eq reg 1 0x00000006 ]", ""},
        RuleCase{
            k4, R().CtStatus().And(0x400000).IsNot(Word(0)),
            "# not understood: [ ct load status => reg 1 ] [ bitwise reg 1 = ( reg 1 & 0x00400000 ) ^ 0x00000000 ] "
            "[ cmp neq reg 1 0x00000000 ]",
            ""},
        RuleCase{k4, R().CtStatus().Is(Word(0x30)),
                 "# not understood: [ ct load status => reg 1 ] [ cmp eq reg 1 0x00000030 ]", ""},
        RuleCase{
            k4, R().CtStatus().And(0x30).Is(Word(0x20)),
            "# not understood: [ ct load status => reg 1 ] [ bitwise reg 1 = ( reg 1 & 0x00000030 ) ^ 0x00000000 ] "
            "[ cmp eq reg 1 0x00000020 ]",
            ""},
        // A port rewritten before it is looked up.
        RuleCase{k4, R().Dport().And(0xff).In("s"),
                 "# not understood: [ payload load 2b @ transport header + 2 => reg 1 ] "
                 "[ bitwise reg 1 = ( reg 1 & 0x000000ff ) ^ 0x00000000 ] [ lookup reg 1 set s 0x0 ]",
                 ""},
        RuleCase{k4, R().Mark().Add(Byteorder{0, 0, 4, 4}).In("s"),
                 "# not understood: [ meta load mark => reg 1 ] [ byteorder reg 1 = hton(reg 1, 4, 4) ] "
                 "[ lookup reg 1 set s 0x0 ]",
                 ""},
        // Arithmetic that changes nothing has no spelling.
        RuleCase{
            k4, R().Mark().And(0xffffffff).Is(Word(1)),
            "# not understood: [ meta load mark => reg 1 ] [ bitwise reg 1 = ( reg 1 & 0xffffffff ) ^ 0x00000000 ] "
            "[ cmp eq reg 1 0x00000001 ]",
            ""},
        RuleCase{k4, R().Saddr().SetMark(),
                 "# not understood: [ payload load 4b @ network header + 12 => reg 1 ] [ meta set mark with reg 1 ]",
                 ""},
        // Nothing in the register, or only the tail of something.
        RuleCase{k4, R().In("s"), "# not understood: [ lookup reg 1 set s 0x0 ]", ""},
        RuleCase{k6, R(k6).Saddr().Add(Lookup{"s", 1, Lookup::Result::kNone, 0, false}),
                 "# not understood: [ payload load 16b @ network header + 8 => reg 1 ] [ lookup reg 9 set s 0x0 ]", ""},
        RuleCase{k6, R(k6).Saddr().Add(MetaLoad{MetaLoad::Key::kMark, 3}).Saddr().In("s"),
                 "# not understood: [ payload load 16b @ network header + 8 => reg 1 ] [ meta load mark => reg 11 ] "
                 "[ payload load 16b @ network header + 8 => reg 2 ] [ lookup reg 1 set s 0x0 ]",
                 ""},
        RuleCase{k4, R().Add(MetaLoad{MetaLoad::Key::kIifName, 14}).Is(Ifname("eth0")),
                 "# not understood: [ meta load iifname => reg 22 ] "
                 "[ cmp eq reg 1 0x30687465 0x00000000 0x00000000 0x00000000 ]",
                 ""},
        // Translation to anything but the data of a map; a reset for every protocol; a code without a name.
        RuleCase{k4, R().Daddr().Add(Dnat{0, 1}),
                 "# not understood: [ payload load 4b @ network header + 16 => reg 1 ] "
                 "[ nat dnat addr_min reg 1 proto_min reg 9 ]",
                 ""},
        RuleCase{
            k4, R().Saddr().Add(Lookup{"m", 0, Lookup::Result::kData, 0, false}).Add(Dnat{0, 2}),
            "# not understood: [ payload load 4b @ network header + 12 => reg 1 ] [ lookup reg 1 set m dreg 1 0x0 ] "
            "[ nat dnat addr_min reg 1 proto_min reg 10 ]",
            ""},
        RuleCase{k4, R().Add(Reject{Reject::Type::kTcpReset, 0}), "# not understood: [ reject type 1 code 0 ]", ""},
        RuleCase{k4, R().Unreachable(200), "# not understood: [ reject type 0 code 200 ]", ""},
        RuleCase{k4, R().Add(Immediate{{static_cast<Verdict::Code>(3), ""}}),
                 "# not understood: [ immediate reg 0 verdict 3 ]", ""},
        RuleCase{k4, R().Drop().Accept(), "# not understood: [ immediate reg 0 drop ] [ immediate reg 0 accept ]", ""},
        RuleCase{k4, R().Iifname().Is(Bytes{'a', '"', 'b'}),
                 "# not understood: [ meta load iifname => reg 1 ] [ cmp eq reg 1 0x00622261 ]", ""},
        RuleCase{k4, R().Add(CtLoad{CtLoad::Key::kDstIp, false, 0}).Is(Ip("192.0.2.1")),
                 "# not understood: [ ct load dst_ip => reg 1 ] [ cmp eq reg 1 0x010200c0 ]", ""},
        RuleCase{k4, R().Add(FibLoad{1, 2, 0}).Is(Word(1)),
                 "# not understood: [ fib saddr result 2 => reg 1 ] [ cmp eq reg 1 0x00000001 ]", ""}));

TEST(FormatRuleTest, AnyMixOfExpressionsIsOneLine) {
  // Chosen from few registers and lengths, so that many of them fit together.
  std::mt19937 random(1);
  const auto below = [&random](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  const auto reg = [&] { return static_cast<Reg>(below(8) == 0 ? below(256) : below(3) == 0 ? below(16) : 0); };
  const auto make = [&]() -> Expr {
    switch (below(17)) {
      case 0:
        return Payload{static_cast<Payload::Base>(below(4)), below(8) * 4, 1u << below(6), reg()};
      case 1:
        return MetaLoad{std::vector{MetaLoad::Key::kMark, MetaLoad::Key::kIifName, MetaLoad::Key::kL4Proto,
                                    static_cast<MetaLoad::Key>(99)}[below(4)],
                        reg()};
      case 2:
        return MetaSet{MetaLoad::Key::kMark, reg()};
      case 3:
        return CtLoad{std::vector{CtLoad::Key::kState, CtLoad::Key::kStatus, CtLoad::Key::kProtoDst,
                                  CtLoad::Key::kDstIp, CtLoad::Key::kDstIp6, static_cast<CtLoad::Key>(99)}[below(6)],
                      below(2) == 0, reg()};
      case 4:
        return FibLoad{below(4), below(5), reg()};
      case 5:
        return Numgen{below(5), reg()};
      case 6:
        return Byteorder{reg(), reg(), below(5), below(5)};
      case 7: {
        Bytes data(below(24));
        for (uint8_t& byte : data) byte = static_cast<uint8_t>(below(3));
        return Cmp{static_cast<Cmp::Op>(below(3)), reg(), data};
      }
      case 8:
        return Bitwise{reg(), reg(), static_cast<uint32_t>(random()), static_cast<uint32_t>(random())};
      case 9:
      case 10:
        return Lookup{"set", reg(), static_cast<Lookup::Result>(below(4)), reg(), below(2) == 0};
      case 11:
        return Dynset{static_cast<Dynset::Op>(below(4)), "set", reg(),
                      below(2) == 0 ? std::nullopt : std::optional<Reg>(reg()), absl::Seconds(below(3))};
      case 12:
        return Immediate{{static_cast<Verdict::Code>(static_cast<int>(below(9)) - 6), "chain"}};
      case 13:
        return Dnat{reg(), reg()};
      case 14:
        return Counter{below(9)};
      case 15:
        return Masquerade{below(2) == 0};
      default:
        return Reject{static_cast<Reject::Type>(below(3)), static_cast<uint8_t>(below(5))};
    }
  };
  const std::vector<std::vector<Field>> shapes = {
      {}, {Field::kIpv4Addr}, {Field::kIpv6Addr, Field::kInteger}, {static_cast<Field>(99), Field::kInetProto}};
  int understood = 0;
  for (int i = 0; i < 10'000; ++i) {
    Rule rule;
    while (below(5) != 0) rule.exprs.push_back(make());
    const Family family = below(2) == 0 ? k4 : k6;
    const std::string text = FormatRule(family, rule);
    EXPECT_NE(text, "");
    EXPECT_EQ(text.find('\n'), std::string::npos);
    if (!absl::StartsWith(text, "#")) ++understood;
    Ruleset ruleset;
    SetSpec& spec = ruleset.tables[family].sets["set"].spec;
    spec.key = shapes[below(4)];
    spec.data = shapes[below(4)];
    ruleset.tables[family].chains["c"].rules = {rule};
    EXPECT_THAT(FormatText(ruleset), HasSubstr("chain c {\n"));
    EXPECT_THAT(FormatJson(ruleset), HasSubstr("\"chain\":\"c\""));
  }
  EXPECT_GT(understood, 100);
}

TEST(FormatRuleTest, InATableTheLengthOfTheKeyIsKnown) {
  // A register that a longer key left behind: the set says that the key ends before it.
  Ruleset ruleset;
  Table& table = ruleset.tables[k4];
  table.sets["pairs"].spec.key = {Field::kIpv4Addr, Field::kIpv4Addr};
  table.sets["ones"].spec.key = {Field::kIpv4Addr};
  const Rule reuse = R().Saddr().Daddr().In("pairs").In("ones").Accept();
  table.chains["c"].rules = {reuse};

  EXPECT_THAT(FormatText(ruleset), HasSubstr("\t\tip saddr . ip daddr @pairs ip saddr @ones accept\n"));
}

TEST(FormatRuleTest, AKeyThatDoesNotFillTheSetIsNotUnderstood) {
  Ruleset ruleset;
  Table& table = ruleset.tables[k4];
  table.sets["pairs"].spec.key = {Field::kIpv4Addr, Field::kIpv4Addr};
  table.chains["c"].rules = {R().Saddr().In("pairs")};

  EXPECT_THAT(FormatText(ruleset), HasSubstr("\t\t# not understood: [ payload load 4b @ network header + 12 => reg 1 ] "
                                             "[ lookup reg 1 set pairs 0x0 ]\n"));
}

// --- elements -------------------------------------------------------------------------------------------------------

struct ElementCase {
  SetSpec spec;
  Element element;
  std::string text;
  std::string json;
};

class ElementTest : public ::testing::TestWithParam<ElementCase> {};

TEST_P(ElementTest, ReadsAsNftWritesIt) {
  const ElementCase& c = GetParam();
  EXPECT_EQ(FormatElement(c.spec, c.element), c.text);
  EXPECT_EQ(FormatChangesJson({AddElements{k4, "s", c.spec, {c.element}}}), absl::StrCat(R"({"nftables": [
{"add":{"element":{"family":"ip","table":"pointsman","name":"s","elem":[)",
                                                                                         c.json, "]}}}\n]}\n"));
}

const std::vector<Field> kFrontend = {Field::kIpv4Addr, Field::kInetProto, Field::kInetService};
const std::vector<Field> kSource = {Field::kIpv4Addr, Field::kInetProto, Field::kInetService, Field::kIpv4Addr};

INSTANTIATE_TEST_SUITE_P(
    Single, ElementTest,
    ::testing::Values(
        ElementCase{{.key = {Field::kIpv4Addr}}, {Ip("192.0.2.1"), {}}, "192.0.2.1", R"("192.0.2.1")"},
        ElementCase{
            {.key = {Field::kIpv6Addr}}, {Ip("::ffff:192.0.2.1"), {}}, "::ffff:192.0.2.1", R"("::ffff:192.0.2.1")"},
        ElementCase{{.key = {Field::kInetService}},
                    {Port(443), {.comment = "web"}},
                    "443 comment \"web\"",
                    R"({"elem":{"val":443,"comment":"web"}})"},
        ElementCase{{.key = {Field::kInetProto}}, {Proto(kSctp), {}}, "sctp", R"("sctp")"},
        ElementCase{{.key = {Field::kInetProto}}, {Proto(47), {}}, "47", "47"},
        ElementCase{{.key = {Field::kInteger}}, {Word(300), {}}, "300", "300"},
        ElementCase{{.key = {Field::kMark}}, {Word(0x1a2b3c4d), {}}, "0x1a2b3c4d", "439041101"},
        ElementCase{{.key = {Field::kMark, Field::kMark, Field::kIpv4Addr, Field::kInetService}},
                    {Cat({Word(0x100), Word(0), Ip("192.0.2.1"), Port(80)}), {}},
                    "0x00000100 . 0x00000000 . 192.0.2.1 . 80",
                    R"({"concat":[256,0,"192.0.2.1",80]})"},
        ElementCase{{.key = kFrontend, .verdicts = true},
                    {Cat({Ip("192.0.2.1"), Proto(kTcp), Port(80)}),
                     {.data = Verdict{Verdict::Code::kGoto, "pick_4"}, .comment = "shop/web:http"}},
                    "192.0.2.1 . tcp . 80 comment \"shop/web:http\" : goto pick_4",
                    R"([{"elem":{"val":{"concat":["192.0.2.1","tcp",80]},"comment":"shop/web:http"}},)"
                    R"({"goto":{"target":"pick_4"}}])"},
        ElementCase{{.key = kFrontend, .verdicts = true},
                    {Cat({Ip("192.0.2.1"), Proto(kUdp), Port(53)}), {.data = Verdict{Verdict::Code::kDrop, ""}}},
                    "192.0.2.1 . udp . 53 : drop",
                    R"([{"concat":["192.0.2.1","udp",53]},{"drop":null}])"},
        ElementCase{{.key = {Field::kIpv4Addr, Field::kInteger}, .data = {Field::kIpv4Addr, Field::kInetService}},
                    {Cat({Ip("192.0.2.1"), Word(1)}), {.data = Cat({Ip("203.0.113.5"), Port(8080)})}},
                    "192.0.2.1 . 1 : 203.0.113.5 . 8080",
                    R"([{"concat":["192.0.2.1",1]},{"concat":["203.0.113.5",8080]}])"},
        ElementCase{{.key = {Field::kIpv4Addr}, .data = {Field::kInetService}},
                    {Ip("192.0.2.1"), {.data = Port(80)}},
                    "192.0.2.1 : 80",
                    R"(["192.0.2.1",80])"},
        // To delete, the key is enough.
        ElementCase{{.key = {Field::kIpv4Addr}, .data = {Field::kInetService}},
                    {Ip("192.0.2.1"), {}},
                    "192.0.2.1",
                    R"("192.0.2.1")"}));

INSTANTIATE_TEST_SUITE_P(
    Ranges, ElementTest,
    ::testing::Values(ElementCase{{.key = {Field::kIpv4Addr}, .interval = true},
                                  {Ip("10.0.0.0"), {.end = Ip("10.255.255.255"), .comment = "pods"}},
                                  "10.0.0.0/8 comment \"pods\"",
                                  R"({"elem":{"val":{"prefix":{"addr":"10.0.0.0","len":8}},"comment":"pods"}})"},
                      ElementCase{{.key = {Field::kIpv4Addr}, .interval = true},
                                  {Ip("10.0.0.128"), {.end = Ip("10.0.0.191")}},
                                  "10.0.0.128/26",
                                  R"({"prefix":{"addr":"10.0.0.128","len":26}})"},
                      ElementCase{{.key = {Field::kIpv4Addr}, .interval = true},
                                  {Ip("0.0.0.0"), {.end = Ip("255.255.255.255")}},
                                  "0.0.0.0/0",
                                  R"({"prefix":{"addr":"0.0.0.0","len":0}})"},
                      ElementCase{{.key = {Field::kIpv4Addr}, .interval = true},
                                  {Ip("10.0.0.1"), {.end = Ip("10.0.0.1")}},
                                  "10.0.0.1",
                                  R"("10.0.0.1")"},
                      // As many addresses as a prefix has, but not one; ones that are no mask.
                      ElementCase{{.key = {Field::kIpv4Addr}, .interval = true},
                                  {Ip("10.0.0.1"), {.end = Ip("10.0.0.2")}},
                                  "10.0.0.1-10.0.0.2",
                                  R"({"range":["10.0.0.1","10.0.0.2"]})"},
                      ElementCase{{.key = {Field::kIpv4Addr}, .interval = true},
                                  {Ip("10.0.0.0"), {.end = Ip("10.5.255.255")}},
                                  "10.0.0.0-10.5.255.255",
                                  R"({"range":["10.0.0.0","10.5.255.255"]})"},
                      ElementCase{{.key = {Field::kIpv4Addr}, .interval = true},
                                  {Ip("10.0.0.0"), {.end = Ip("10.1.127.255")}},
                                  "10.0.0.0-10.1.127.255",
                                  R"({"range":["10.0.0.0","10.1.127.255"]})"},
                      ElementCase{{.key = {Field::kIpv4Addr}, .interval = true},
                                  {Ip("10.0.0.4"), {.end = Ip("10.3.255.255")}},
                                  "10.0.0.4-10.3.255.255",
                                  R"({"range":["10.0.0.4","10.3.255.255"]})"},
                      ElementCase{{.key = {Field::kIpv6Addr}, .interval = true},
                                  {Ip("2001:db8::"), {.end = Ip("2001:db8:7fff:ffff:ffff:ffff:ffff:ffff")}},
                                  "2001:db8::/33",
                                  R"({"prefix":{"addr":"2001:db8::","len":33}})"},
                      // Only addresses have prefixes, and the ends of a range of protocols are numbers.
                      ElementCase{{.key = {Field::kInetService}, .interval = true},
                                  {Port(80), {.end = Port(81)}},
                                  "80-81",
                                  R"({"range":[80,81]})"},
                      ElementCase{
                          {.key = kSource, .interval = true},
                          {Cat({Ip("192.0.2.0"), Proto(6), Port(64), Ip("203.0.113.9")}),
                           {.end = Cat({Ip("192.0.2.255"), Proto(17), Port(127), Ip("203.0.113.9")})}},
                          "192.0.2.0/24 . 6-17 . 64-127 . 203.0.113.9",
                          R"({"concat":[{"prefix":{"addr":"192.0.2.0","len":24}},{"range":[6,17]},{"range":[64,127]},)"
                          R"("203.0.113.9"]})"}));

INSTANTIATE_TEST_SUITE_P(NotUnderstood, ElementTest,
                         ::testing::Values(ElementCase{{.key = {Field::kIpv4Addr}},
                                                       {Bytes{1, 2, 3}, {}},
                                                       "# not understood: 0x010203",
                                                       R"("# not understood: 0x010203")"},
                                           ElementCase{{.key = {Field::kIpv4Addr}},
                                                       {Bytes{1, 2, 3, 4, 5}, {}},
                                                       "# not understood: 0x0102030405",
                                                       R"("# not understood: 0x0102030405")"},
                                           // Bytes in the padding would be lost.
                                           ElementCase{{.key = {Field::kInetProto, Field::kInetProto}},
                                                       {Bytes{6, 0, 0, 1, 6, 0, 0, 0}, {}},
                                                       "# not understood: 0x0600000106000000",
                                                       R"("# not understood: 0x0600000106000000")"},
                                           ElementCase{{.key = {static_cast<Field>(41)}},
                                                       {Bytes{1}, {.comment = "x"}},
                                                       "# not understood: 0x01 comment \"x\"",
                                                       R"("# not understood: 0x01 comment \"x\"")"},
                                           ElementCase{{.key = {Field::kInetService}, .verdicts = true},
                                                       {Port(80), {.data = Bytes{1}}},
                                                       "# not understood: 0x0050 : 0x01",
                                                       R"("# not understood: 0x0050 : 0x01")"},
                                           ElementCase{{.key = {Field::kInetService}, .verdicts = true},
                                                       {Port(80), {.data = Verdict{static_cast<Verdict::Code>(3), ""}}},
                                                       "# not understood: 0x0050 : verdict 3",
                                                       R"("# not understood: 0x0050 : verdict 3")"},
                                           ElementCase{{.key = {Field::kIpv4Addr}, .interval = true},
                                                       {Ip("192.0.2.1"), {.end = Bytes{1}}},
                                                       "# not understood: 0xc0000201-0x01",
                                                       R"("# not understood: 0xc0000201-0x01")"}));

TEST(FormatVerdictTest, NamesTheChain) {
  EXPECT_EQ(FormatVerdict({Verdict::Code::kJump, "services"}), "jump services");
  EXPECT_EQ(FormatVerdict({Verdict::Code::kReturn, ""}), "return");
}

// --- tables ---------------------------------------------------------------------------------------------------------

TEST(FormatTextTest, NothingIsNothing) { EXPECT_EQ(FormatText({}), ""); }

TEST(FormatTextTest, ShowsATableAsNftListsIt) {
  Ruleset ruleset;
  Table& table = ruleset.tables[k4];
  table.comment = "Services";
  Set& pods = table.sets["pods"];
  pods.spec = {.key = {Field::kIpv4Addr}, .interval = true};
  pods.elements[Ip("10.1.0.0")] = {.end = Ip("10.1.255.255")};
  pods.elements[Ip("10.0.0.1")] = {.end = Ip("10.0.0.4"), .comment = "few"};
  table.sets["endpoints"].spec = {
      .key = {Field::kIpv4Addr, Field::kInteger}, .data = {Field::kIpv4Addr, Field::kInetService}, .comment = "slots"};
  table.sets["empty"].spec.key = {Field::kInetService};
  table.chains["b"] = {.hook = Hook{.type = "nat", .number = Hook::Number::kPrerouting, .priority = -100},
                       .comment = "first",
                       .rules = {R().Jump("a").Done("always")}};
  table.chains["a"] = {};
  ruleset.tables[k6].comment = "none";

  EXPECT_EQ(FormatText(ruleset), R"(table ip pointsman {
	comment "Services"
	set empty {
		type inet_service
	}

	set pods {
		type ipv4_addr
		flags interval
		elements = { 10.0.0.1-10.0.0.4 comment "few",
			     10.1.0.0/16 }
	}

	map endpoints {
		typeof ip daddr . numgen random mod 2 : ip daddr . th dport
		comment "slots"
	}

	chain a {
	}

	chain b {
		comment "first"
		type nat hook prerouting priority dstnat; policy accept;
		jump a comment "always"
	}
}
table ip6 pointsman {
	comment "none"
}
)");
}

TEST(FormatTextTest, MarksWhatNftCannotReadBack) {
  Ruleset ruleset;
  Table& table = ruleset.tables[k4];
  table.sets["affinity"].spec = {.key = kSource,
                                 .data = {Field::kIpv4Addr, Field::kInetService},
                                 .dynamic = true,
                                 .has_timeout = true,
                                 .timeout = absl::Hours(3),
                                 .gc_interval = absl::Minutes(1),
                                 .size = 262144};
  table.chains["input_dnat"].rules = {R().OriginalFrontend().Vmap("aff_services"),
                                      R().CtDport().Is(Port(80)).Drop().Done("alone")};

  EXPECT_EQ(FormatText(ruleset), R"(table ip pointsman {
	map affinity {
		type ipv4_addr . inet_proto . inet_service . ipv4_addr : ipv4_addr . inet_service
		size 262144
		flags dynamic,timeout
		timeout 3h
		# nft cannot read this line of a map back; it is set over netlink: gc-interval 1m
	}

	chain input_dnat {
		# nft cannot read this rule back; it is installed over netlink: ct original ip daddr . meta l4proto . ct original proto-dst vmap @aff_services
		# nft cannot read this rule back; it is installed over netlink: ct original proto-dst 80 drop comment "alone"
	}
}
)");
}

TEST(FormatTextTest, MarksTheRulesThatNftCannotReadBackAndNoOther) {
  const auto update = [](RuleBuilder rule, bool v4) {
    return rule.Saddr().Const(1).Const(2).Daddr().Dport().Update(Dynset::Op::kUpdate, "m", v4 ? 2 : 5,
                                                                 absl::Seconds(9));
  };
  const struct {
    const char* why;
    Family family;
    Rule rule;
    bool marked;
  } table[] = {
      {"a computed field", k4, R().Const(1).Daddr().Dport().In("s").Counted().Return(), false},
      {"a computed field in the key of a dnat", k4, R().L4Proto().Is(Proto(kTcp)).Saddr().Const(1).DnatTo("m"), true},
      {"it comes first", k4, R().L4Proto().Is(Proto(kTcp)).Const(1).Saddr().DnatTo("m"), false},
      {"no protocol in a dnat", k4, R().Saddr().Dport().DnatTo("m"), true},
      {"the protocol is in the key", k4, R().Saddr().L4Proto().Dport().DnatTo("m"), false},
      {"the protocol is known", k4, R().L4Proto().Is(Proto(kTcp)).Saddr().Dport().DnatTo("m"), false},
      {"some other protocol", k4, R().L4Proto().IsNot(Proto(kTcp)).Saddr().Dport().DnatTo("m"), true},
      {"a short key and short data", k4, update(R(), true), false},
      {"a long key", k6, update(R(k6), false), true},
      {"long data", k6, R(k6).Mark().Daddr().Dport().Update(Dynset::Op::kAdd, "m", 5, absl::ZeroDuration()), true},
      {"a long key of a set", k6, R(k6).Saddr().Mark().Update(Dynset::Op::kAdd, "s", 0, absl::ZeroDuration()), false},
      {"a long name", k4, R().Iifname().Is(Ifname("abcdefghijklmno")).Drop(), false},
      {"a long beginning of one", k4, R().Iifname().Is(Bytes(14, 'a')).Drop(), false},
      {"too long with its asterisk", k4, R().Iifname().Is(Bytes(15, 'a')).Drop(), true},
      {"an original port", k4, R().Saddr().OriginalFrontend().In("s"), true},
  };
  for (const auto& row : table) {
    const std::string text = FormatChanges({AddRule{row.family, "c", row.rule}});
    EXPECT_EQ(absl::StartsWith(text, "# nft cannot read this rule back"), row.marked) << row.why << ": " << text;
    EXPECT_EQ(absl::StartsWith(text, "add rule "), !row.marked) << row.why << ": " << text;
  }
}

TEST(FormatTextTest, SaysWhenElementsAreMissingOrStrange) {
  Ruleset ruleset;
  Set& set = ruleset.tables[k4].sets["s"];
  set.spec.key = {Field::kIpv4Addr};
  set.complete = false;
  set.elements[Bytes{1}] = {};
  set.elements[Ip("192.0.2.1")] = {};
  set.elements[Bytes{255}] = {};

  EXPECT_EQ(FormatText(ruleset), R"(table ip pointsman {
	set s {
		type ipv4_addr
		# the set is too large to list; elements are missing here
		elements = { 192.0.2.1 }
		# not understood: 0x01
		# not understood: 0xff
	}
}
)");
}

struct FlagsCase {
  SetSpec spec;
  std::vector<std::string> lines;
};

TEST(FormatTextTest, ListsFlagsAsNftDoes) {
  // A default timeout says what the flag would, unless there are other flags to list.
  const FlagsCase cases[] = {
      {{.has_timeout = true}, {"flags timeout"}},
      {{.has_timeout = true, .timeout = absl::Seconds(1)}, {"timeout 1s"}},
      {{.dynamic = true, .has_timeout = true, .timeout = absl::Seconds(1)}, {"flags dynamic,timeout", "timeout 1s"}},
      {{.interval = true, .has_timeout = true}, {"flags interval,timeout"}},
      {{.has_timeout = true, .gc_interval = absl::Milliseconds(61001), .size = 7},
       {"size 7", "flags timeout", "gc-interval 1m1s1ms"}},
  };
  for (FlagsCase c : cases) {
    c.spec.key = {Field::kIpv4Addr};
    Ruleset ruleset;
    ruleset.tables[k4].sets["s"].spec = c.spec;
    std::string expected = "table ip pointsman {\n\tset s {\n\t\ttype ipv4_addr\n";
    for (const std::string& line : c.lines) absl::StrAppend(&expected, "\t\t", line, "\n");
    EXPECT_EQ(FormatText(ruleset), expected + "\t}\n}\n");
  }
}

TEST(FormatTextTest, NamesPrioritiesWhereNftDoes) {
  const auto line = [](std::string type, Hook::Number hook, int32_t priority, bool drop = false) {
    Ruleset ruleset;
    ruleset.tables[k4].chains["c"].hook = Hook{std::move(type), hook, priority, drop};
    return std::vector<std::string>(absl::StrSplit(FormatText(ruleset), '\n'))[2];
  };
  using N = Hook::Number;
  EXPECT_EQ(line("nat", N::kPrerouting, -100), "\t\ttype nat hook prerouting priority dstnat; policy accept;");
  EXPECT_EQ(line("nat", N::kPrerouting, -95), "\t\ttype nat hook prerouting priority dstnat + 5; policy accept;");
  EXPECT_EQ(line("nat", N::kOutput, -100), "\t\ttype nat hook output priority -100; policy accept;");
  EXPECT_EQ(line("nat", N::kPostrouting, 100), "\t\ttype nat hook postrouting priority srcnat; policy accept;");
  EXPECT_EQ(line("nat", N::kInput, 100), "\t\ttype nat hook input priority 100; policy accept;");
  EXPECT_EQ(line("filter", N::kForward, 0, true), "\t\ttype filter hook forward priority filter; policy drop;");
  EXPECT_EQ(line("filter", N::kForward, -11), "\t\ttype filter hook forward priority -11; policy accept;");
  EXPECT_EQ(line("filter", N::kOutput, 45), "\t\ttype filter hook output priority security - 5; policy accept;");
  EXPECT_EQ(line("filter", N::kOutput, -150), "\t\ttype filter hook output priority mangle; policy accept;");
  EXPECT_EQ(line("filter", N::kOutput, -310), "\t\ttype filter hook output priority raw - 10; policy accept;");
  EXPECT_EQ(line("filter", N::kOutput, -2147483648),
            "\t\ttype filter hook output priority -2147483648; policy accept;");
}

TEST(FormatTextTest, EveryRuleOfTheSampleIsUnderstood) {
  const Ruleset ruleset = SampleRuleset(/*affinity=*/true);
  EXPECT_THAT(FormatText(ruleset), Not(HasSubstr("not understood")));
  EXPECT_THAT(FormatJson(ruleset), Not(HasSubstr("not understood")));
}

TEST(FormatTextTest, TheShapeOfASetDoesNotChangeWhatIsReadFromItsRules) {
  // Rules read alone, by what was loaded together, and in their table, by the length of the key.
  for (const auto& [family, table] : SampleRuleset(/*affinity=*/true).tables) {
    Ruleset ruleset;
    ruleset.tables[family] = table;
    const std::string text = FormatText(ruleset);
    for (const auto& [name, chain] : table.chains) {
      for (const Rule& rule : chain.rules) EXPECT_THAT(text, HasSubstr(FormatRule(family, rule) + "\n"));
    }
  }
}

// --- JSON -----------------------------------------------------------------------------------------------------------

TEST(FormatJsonTest, ShowsATableAsNftListsIt) {
  Ruleset ruleset;
  Table& table = ruleset.tables[k6];
  table.comment = "Services";
  Set& pods = table.sets["pods"];
  pods.spec = {.key = {Field::kIpv6Addr}, .interval = true, .comment = "of pods"};
  pods.elements[Ip("2001:db8::")] = {.end = Ip("2001:db8::ffff")};
  pods.complete = false;
  table.sets["affinity"].spec = {.key = {Field::kIpv6Addr, Field::kInteger},
                                 .data = {Field::kIpv6Addr, Field::kInetService},
                                 .dynamic = true,
                                 .has_timeout = true,
                                 .timeout = absl::Hours(3),
                                 .gc_interval = absl::Minutes(1),
                                 .size = 9};
  table.sets["frontends"].spec = {.key = {Field::kInetService}, .verdicts = true};
  table.chains["a"].rules = {R(k6).Jump("b").Done("always")};
  table.chains["b"].hook = Hook{.type = "nat", .number = Hook::Number::kOutput, .priority = -100};
  table.chains["b"].comment = "first";

  EXPECT_EQ(FormatJson(ruleset), R"({"nftables": [
{"metainfo":{"json_schema_version":1}},
{"table":{"family":"ip6","name":"pointsman","comment":"Services"}},
{"set":{"family":"ip6","name":"pods","table":"pointsman","type":"ipv6_addr","comment":"of pods","flags":["interval"],"complete":false,"elem":[{"prefix":{"addr":"2001:db8::","len":112}}]}},
{"map":{"family":"ip6","name":"affinity","table":"pointsman","type":["ipv6_addr","integer"],"map":"ipv6_addr . inet_service","size":9,"flags":["timeout","dynamic"],"timeout":10800,"gc-interval":60}},
{"map":{"family":"ip6","name":"frontends","table":"pointsman","type":"inet_service","map":"verdict"}},
{"chain":{"family":"ip6","table":"pointsman","name":"a"}},
{"chain":{"family":"ip6","table":"pointsman","name":"b","comment":"first","type":"nat","hook":"output","prio":-100,"policy":"accept"}},
{"rule":{"family":"ip6","table":"pointsman","chain":"a","comment":"always","expr":[{"jump":{"target":"b"}}]}}
]}
)");
}

TEST(FormatJsonTest, BytesThatAreNoUtf8DoNotSpoilTheDocument) {
  Ruleset ruleset;
  ruleset.tables[k4].comment = "a\xff\"b";
  EXPECT_THAT(FormatJson(ruleset), HasSubstr("\"comment\":\"a\xef\xbf\xbd\\\"b\""));
}

// --- changes --------------------------------------------------------------------------------------------------------

ChangeSet EveryOp() {
  const SetSpec map = {.key = kFrontend, .verdicts = true, .comment = "by frontend"};
  const SetSpec set = {.key = {Field::kIpv4Addr}, .interval = true};
  const ElementValue to = {.data = Verdict{Verdict::Code::kGoto, "pick_1"}};
  return {
      AddTable{k4, "Services"},
      AddTable{k6, ""},
      AddChain{k4, "pick_1", {}, ""},
      AddChain{k4, "fw", {}, "ranges"},
      AddChain{k4, "nat_output", Hook{.type = "nat", .number = Hook::Number::kOutput, .priority = -100}, "own"},
      AddSet{k4, "frontends", map},
      AddSet{k4, "pods", set},
      AddElements{
          k4,
          "frontends",
          map,
          {{Cat({Ip("192.0.2.1"), Proto(kTcp), Port(80)}), to}, {Cat({Ip("192.0.2.1"), Proto(kTcp), Port(81)}), to}}},
      DeleteElements{k4, "pods", set, {{Ip("10.0.0.0"), {.end = Ip("10.255.255.255")}}}},
      AddRule{k4, "fw", R().Drop().Done("the rest")},
      AddRule{k4, "fw", R().OriginalFrontend().Vmap("frontends")},
      AddRule{k4, "fw", R().Add(Foreign{"notrack", ""})},
      FlushChain{k4, "fw"},
      FlushSet{k4, "frontends", /*map=*/true},
      FlushSet{k4, "pods"},
      DeleteChain{k4, "fw"},
      DeleteSet{k4, "frontends", /*map=*/true},
      DeleteSet{k4, "pods"},
      DeleteTable{k6},
  };
}

TEST(FormatChangesTest, IsOneCommandALine) {
  EXPECT_EQ(FormatChanges(EveryOp()), R"(add table ip pointsman { comment "Services" ; }
add table ip6 pointsman
add chain ip pointsman pick_1
add chain ip pointsman fw { comment "ranges" ; }
add chain ip pointsman nat_output { comment "own" ; type nat hook output priority -100 ; policy accept ; }
add map ip pointsman frontends { type ipv4_addr . inet_proto . inet_service : verdict ; comment "by frontend" ; }
add set ip pointsman pods { type ipv4_addr ; flags interval ; }
add element ip pointsman frontends { 192.0.2.1 . tcp . 80 : goto pick_1 }
add element ip pointsman frontends { 192.0.2.1 . tcp . 81 : goto pick_1 }
delete element ip pointsman pods { 10.0.0.0/8 }
add rule ip pointsman fw drop comment "the rest"
# nft cannot read this rule back; it is installed over netlink: add rule ip pointsman fw ct original ip daddr . meta l4proto . ct original proto-dst vmap @frontends
# not understood: add rule ip pointsman fw [ notrack ]
flush chain ip pointsman fw
flush map ip pointsman frontends
flush set ip pointsman pods
delete chain ip pointsman fw
delete map ip pointsman frontends
delete set ip pointsman pods
delete table ip6 pointsman
)");
}

TEST(FormatChangesTest, IsOneCommandALineInJson) {
  EXPECT_EQ(FormatChangesJson(EveryOp()), R"({"nftables": [
{"add":{"table":{"family":"ip","name":"pointsman","comment":"Services"}}},
{"add":{"table":{"family":"ip6","name":"pointsman"}}},
{"add":{"chain":{"family":"ip","table":"pointsman","name":"pick_1"}}},
{"add":{"chain":{"family":"ip","table":"pointsman","name":"fw","comment":"ranges"}}},
{"add":{"chain":{"family":"ip","table":"pointsman","name":"nat_output","comment":"own","type":"nat","hook":"output","prio":-100,"policy":"accept"}}},
{"add":{"map":{"family":"ip","name":"frontends","table":"pointsman","type":["ipv4_addr","inet_proto","inet_service"],"comment":"by frontend","map":"verdict"}}},
{"add":{"set":{"family":"ip","name":"pods","table":"pointsman","type":"ipv4_addr","flags":["interval"]}}},
{"add":{"element":{"family":"ip","table":"pointsman","name":"frontends","elem":[[{"concat":["192.0.2.1","tcp",80]},{"goto":{"target":"pick_1"}}],[{"concat":["192.0.2.1","tcp",81]},{"goto":{"target":"pick_1"}}]]}}},
{"delete":{"element":{"family":"ip","table":"pointsman","name":"pods","elem":[{"prefix":{"addr":"10.0.0.0","len":8}}]}}},
{"add":{"rule":{"family":"ip","table":"pointsman","chain":"fw","comment":"the rest","expr":[{"drop":null}]}}},
{"add":{"rule":{"family":"ip","table":"pointsman","chain":"fw","expr":[{"vmap":{"key":{"concat":[{"ct":{"key":"ip daddr","dir":"original"}},{"meta":{"key":"l4proto"}},{"ct":{"key":"proto-dst","dir":"original"}}]},"data":"@frontends"}}]}}},
{"add":{"rule":{"family":"ip","table":"pointsman","chain":"fw","expr":["# not understood: [ notrack ]"]}}},
{"flush":{"chain":{"family":"ip","table":"pointsman","name":"fw"}}},
{"flush":{"map":{"family":"ip","name":"frontends","table":"pointsman"}}},
{"flush":{"set":{"family":"ip","name":"pods","table":"pointsman"}}},
{"delete":{"chain":{"family":"ip","table":"pointsman","name":"fw"}}},
{"delete":{"map":{"family":"ip","name":"frontends","table":"pointsman"}}},
{"delete":{"set":{"family":"ip","name":"pods","table":"pointsman"}}},
{"delete":{"table":{"family":"ip6","name":"pointsman"}}}
]}
)");
}

TEST(FormatChangesTest, NothingIsNothing) {
  EXPECT_EQ(FormatChanges({}), "");
  EXPECT_EQ(FormatChangesJson({}), "{\"nftables\": [\n]}\n");
}

TEST(FormatChangesTest, AMapWithGcIntervalComesWithoutIt) {
  const SetSpec spec = {
      .key = {Field::kIpv4Addr}, .data = {Field::kIpv4Addr}, .has_timeout = true, .gc_interval = absl::Seconds(30)};
  EXPECT_EQ(FormatChanges({AddSet{k4, "m", spec}}),
            "# nft cannot read this line of a map back; it is set over netlink: gc-interval 30s\n"
            "add map ip pointsman m { type ipv4_addr : ipv4_addr ; flags timeout ; }\n");
}

TEST(FormatChangesTest, AnElementThatDoesNotFitItsSetIsAComment) {
  const ChangeSet changes = {
      AddElements{k4, "s", {.key = {Field::kIpv4Addr}}, {{Bytes{1}, {}}, {Ip("192.0.2.1"), {}}}}};
  EXPECT_EQ(FormatChanges(changes),
            "# not understood: add element ip pointsman s { 0x01 }\n"
            "add element ip pointsman s { 192.0.2.1 }\n");
}

TEST(FormatOpTest, IsTheOpsLinesWithoutTheLastLineEnd) {
  EXPECT_EQ(FormatOp(FlushChain{k6, "fw"}), "flush chain ip6 pointsman fw");
  EXPECT_EQ(FormatOp(AddElements{k4, "s", {.key = {Field::kIpv4Addr}}, {{Ip("192.0.2.1"), {}}, {Ip("192.0.2.2"), {}}}}),
            "add element ip pointsman s { 192.0.2.1 }\nadd element ip pointsman s { 192.0.2.2 }");
  EXPECT_EQ(FormatOp(AddElements{k4, "s", {.key = {Field::kIpv4Addr}}, {}}), "");
}

}  // namespace
}  // namespace pointsman::nft
