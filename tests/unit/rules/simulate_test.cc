// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "pointsman/nft_program.h"
#include "pointsman/nft_simulate.h"
#include "rules/nft/layout.h"
#include "tests/support/builders.h"
#include "tests/unit/rules/packets.h"

namespace pointsman::nft {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

// --- Single programs ---

Rule Do(std::vector<Expr> exprs) { return {.exprs = std::move(exprs)}; }
Expr Goto(const std::string& chain) { return Immediate{{Verdict::Code::kGoto, chain}}; }
Expr Jump(const std::string& chain) { return Immediate{{Verdict::Code::kJump, chain}}; }
Expr DropIt() { return Immediate{{Verdict::Code::kDrop, ""}}; }
Expr Accept() { return Immediate{{Verdict::Code::kAccept, ""}}; }

Bytes Word(uint32_t value) {
  Bytes bytes(4);
  std::memcpy(bytes.data(), &value, 4);
  return bytes;
}

// One base chain in prerouting with these rules.
Ruleset Program(std::vector<Rule> rules) {
  Ruleset ruleset;
  ruleset.tables[Family::kIpv4].chains["base"] = {.hook = Hook{.priority = -100}, .rules = std::move(rules)};
  return ruleset;
}

// Slot 0 and 1 of a map; the third draw misses and falls to the next rule, which takes slot 0.
Ruleset TwoSlots() {
  Ruleset program;
  Table& table = program.tables[Family::kIpv4];
  Set& map = table.sets["slots"];
  map.spec.key = {Field::kInteger};
  map.spec.data = {Field::kIpv4Addr, Field::kInetService};
  map.elements[Word(0)].data = SocketAddrData(support::At("203.0.113.1:80"));
  map.elements[Word(1)].data = SocketAddrData(support::At("203.0.113.2:81"));
  const auto draw = [](uint32_t modulus) {
    return Do({Numgen{.modulus = modulus}, Lookup{.set = "slots", .result = Lookup::Result::kData},
               Dnat{.addr = 0, .port = 1}});
  };
  table.chains["base"] = {.hook = Hook{.priority = -100}, .rules = {draw(3), draw(1)}};
  return program;
}

const Packet kPacket = support::Send("outside", "192.0.2.1:80");

struct ErrorRow {
  const char* name;
  const char* why;
  Ruleset program;
  const char* message;
};

class SimulateError : public ::testing::TestWithParam<ErrorRow> {};

TEST_P(SimulateError, IsReportedRatherThanGuessed) {
  const ErrorRow& row = GetParam();

  const absl::StatusOr<Outcome> outcome = Simulate(row.program, {}, kPacket);

  EXPECT_EQ(outcome.status().code(), absl::StatusCode::kInvalidArgument) << row.why;
  EXPECT_THAT(std::string(outcome.status().message()), HasSubstr(row.message)) << row.why;
}

std::vector<ErrorRow> ErrorRows() {
  Ruleset circle = Program({Do({Goto("a")})});
  circle.tables[Family::kIpv4].chains["a"].rules = {Do({Goto("b")})};
  circle.tables[Family::kIpv4].chains["b"].rules = {Do({Goto("a")})};

  Ruleset nested = Program({Do({Jump("c0")})});
  for (int i = 0; i < 20; ++i) {
    nested.tables[Family::kIpv4].chains[absl::StrCat("c", i)].rules = {Do({Jump(absl::StrCat("c", i + 1))})};
  }
  nested.tables[Family::kIpv4].chains["c20"];

  const auto with_set = [](Ruleset program) {
    Set& set = program.tables[Family::kIpv4].sets["hosts"];
    set.spec.key = {Field::kIpv4Addr};
    set.elements[AddrKey(support::Ip("192.0.2.1"))] = {};
    return program;
  };
  const Payload dest{.offset = 16, .len = 4};
  const Expr to_endpoint = Dnat{.addr = 0, .port = 1};
  Ruleset refused_later = Program({Do({to_endpoint})});
  refused_later.tables[Family::kIpv4].chains["post"] = {
      .hook = Hook{.number = Hook::Number::kPostrouting, .priority = 100}, .rules = {Do({Reject{}})}};
  Ruleset one_dropped = TwoSlots();
  one_dropped.tables[Family::kIpv4].chains["post"] = {
      .hook = Hook{.number = Hook::Number::kPostrouting, .priority = 100},
      .rules = {Do({dest, Cmp{.data = {203, 0, 113, 2}}, DropIt()})}};

  return {
      {"Foreign", "an expression nobody knows", Program({Do({Foreign{.name = "limit", .text = ""}})}), "limit"},
      {"Dynset", "an update of nothing", Program({Do({Dynset{.set = "affinity"}})}), "affinity"},
      {"Payload", "a field of the packet that is not modelled", Program({Do({Payload{.offset = 9, .len = 1}})}),
       "payload"},
      {"SetMeta", "only the mark can be set", Program({Do({MetaSet{.key = MetaLoad::Key::kL4Proto}})}), "meta key"},
      {"Conntrack", "the state is not modelled", Program({Do({CtLoad{.key = CtLoad::Key::kState}})}), "conntrack"},
      {"ConntrackReply", "nor is what replies will look like",
       Program({Do({CtLoad{.key = CtLoad::Key::kProtoDst, .original = false}})}), "conntrack"},
      {"ConntrackFamily", "an address of the other family",
       Program({Do({CtLoad{.key = CtLoad::Key::kDstIp6, .original = true}})}), "conntrack"},
      {"Fib", "only types of addresses are modelled", Program({Do({FibLoad{.flags = 4}})}), "fib"},
      {"Byteorder", "a real change of byte order", Program({Do({Byteorder{.len = 2, .size = 2}})}), "byte order"},
      {"NoSuchChain", "a way to nowhere", Program({Do({Goto("nowhere")})}), "nowhere"},
      {"NoSuchSet", "a lookup in nothing", Program({Do({Lookup{.set = "nothing"}})}), "nothing"},
      {"VerdictOfASet", "the kernel would have refused the rule",
       with_set(Program({Do({dest, Lookup{.set = "hosts", .result = Lookup::Result::kVerdict}})})), "hosts"},
      {"DataOfASet", "the kernel would have refused the rule",
       with_set(Program({Do({dest, Lookup{.set = "hosts", .result = Lookup::Result::kData}})})), "hosts"},
      {"Circle", "the kernel would have refused the rules", circle, "chains"},
      {"TooManyJumps", "the kernel's stack has an end", nested, "jumps"},
      {"Luck", "dropped for one draw, passed for another",
       Program({Do({Numgen{.modulus = 2}, Cmp{.data = Word(0)}, DropIt()})}), "luck"},
      {"MarkByLuck", "two marks at one place", Program({Do({Numgen{.modulus = 2}, MetaSet{}}), Do({Accept()})}),
       "luck"},
      {"RefusedAfterChoice", "the kernel would have refused the rule", refused_later, "chosen"},
      {"MasqueradedTooEarly", "the kernel would have refused the rule", Program({Do({Masquerade{}})}), "masquerade"},
      {"OneEndpointDropped", "delivered or dropped, by the draw", one_dropped, "luck"},
  };
}

INSTANTIATE_TEST_SUITE_P(Nft, SimulateError, ::testing::ValuesIn(ErrorRows()),
                         [](const auto& row) { return std::string(row.param.name); });

std::string Fate(const Ruleset& program, const Packet& packet = kPacket,
                 const std::vector<IpAddr>& node_addresses = {}) {
  const absl::StatusOr<Outcome> outcome = Simulate(program, node_addresses, packet);
  return outcome.ok() ? FormatOutcome(*outcome) : std::string(outcome.status().message());
}

TEST(SimulateTest, AResetIsForTcpOnly) {
  const Ruleset program = Program({Do({Reject{.type = Reject::Type::kTcpReset}})});

  EXPECT_EQ(Fate(program), "reject");
  EXPECT_THAT(Fate(program, support::Send("outside", "192.0.2.1:80/udp")), HasSubstr("reset"));
}

TEST(SimulateTest, WithoutATableOfItsFamilyAPacketPasses) {
  EXPECT_EQ(Fate({}), "pass");
  EXPECT_EQ(Fate(Program({Do({DropIt()})}), support::Send("outside", "[2001:db8::1]:80")), "pass");
}

TEST(SimulateTest, AForwardedPacketMeetsPreroutingAndOneOfTheNodeMeetsOutput) {
  const Ruleset program = Program({Do({DropIt()})});

  EXPECT_EQ(Fate(program), "drop");
  EXPECT_EQ(Fate(program, support::Send("node", "192.0.2.1:80")), "pass");
}

TEST(SimulateTest, AJumpComesBackAndAGotoDoesNot) {
  Ruleset jump = Program({Do({Jump("sub")}), Do({DropIt()})});
  jump.tables[Family::kIpv4].chains["sub"];
  Ruleset leave = Program({Do({Goto("sub")}), Do({DropIt()})});
  leave.tables[Family::kIpv4].chains["sub"];

  EXPECT_EQ(Fate(jump), "drop");
  EXPECT_EQ(Fate(leave), "pass");
}

TEST(SimulateTest, AGotoReturnsToTheLastJump) {
  Ruleset program = Program({Do({Jump("a")}), Do({DropIt()})});
  program.tables[Family::kIpv4].chains["a"].rules = {Do({Goto("b")}), Do({Reject{}})};
  program.tables[Family::kIpv4].chains["b"].rules = {Do({Immediate{{Verdict::Code::kReturn, ""}}}), Do({Reject{}})};

  EXPECT_EQ(Fate(program), "drop");
}

TEST(SimulateTest, BaseChainsOfAHookRunByPriorityAndAcceptanceIsOnlyOneChains) {
  Ruleset program = Program({Do({Accept()})});
  program.tables[Family::kIpv4].chains["a_later"] = {.hook = Hook{.priority = 0}, .rules = {Do({DropIt()})}};
  EXPECT_EQ(Fate(program), "drop");

  program.tables[Family::kIpv4].chains["z_earlier"] = {.hook = Hook{.priority = -300}, .rules = {Do({Reject{}})}};
  EXPECT_EQ(Fate(program), "reject");
}

TEST(SimulateTest, EveryDrawIsFollowed) { EXPECT_EQ(Fate(TwoSlots()), "deliver 203.0.113.1:80 203.0.113.2:81"); }

TEST(SimulateTest, AChainThatDropsByDefaultDropsWhatFallsThroughAndNotWhatItAccepts) {
  Ruleset program = Program({Do({Payload{.offset = 12, .len = 4}, Cmp{.data = {203, 0, 113, 2}}, Accept()})});
  program.tables[Family::kIpv4].chains["base"].hook->drop_policy = true;

  EXPECT_EQ(Fate(program, support::Send("203.0.113.2", "192.0.2.1:80")), "pass");
  EXPECT_EQ(Fate(program, support::Send("203.0.113.3", "192.0.2.1:80")), "drop");
}

TEST(SimulateTest, ACounterChangesNothing) {
  EXPECT_EQ(Fate(Program({Do({Counter{}, DropIt()})})), "drop");
  EXPECT_EQ(Fate(Program({Do({Counter{}})})), "pass");
}

struct InterfaceRow {
  const char* through;
  const char* exact;   // fate where the rule names veth1
  const char* prefix;  // where it names veth*
};

class SimulateInterface : public ::testing::TestWithParam<InterfaceRow> {};

TEST_P(SimulateInterface, IsComparedByItsWholeNameOrByItsBeginning) {
  Bytes whole = {'v', 'e', 't', 'h', '1'};
  whole.resize(16);
  const auto program = [](const Bytes& name) {
    return Program({Do({MetaLoad{.key = MetaLoad::Key::kIifName}, Cmp{.data = name}, DropIt()})});
  };
  Packet packet = kPacket;
  packet.in_interface = GetParam().through;

  EXPECT_EQ(Fate(program(whole), packet), GetParam().exact);
  EXPECT_EQ(Fate(program({'v', 'e', 't', 'h'}), packet), GetParam().prefix);
}

INSTANTIATE_TEST_SUITE_P(Nft, SimulateInterface,
                         ::testing::Values(InterfaceRow{"veth1", "drop", "drop"},
                                           InterfaceRow{"veth12", "pass", "drop"}, InterfaceRow{"veth", "pass", "drop"},
                                           InterfaceRow{"eth0", "pass", "pass"}, InterfaceRow{"", "pass", "pass"}),
                         [](const auto& row) {
                           return row.param.through[0] == 0 ? "None" : std::string(row.param.through);
                         });

TEST(SimulateTest, WhatTheNodeSendsComesInThroughNoInterface) {
  Ruleset program;
  program.tables[Family::kIpv4].chains["out"] = {
      .hook = Hook{.number = Hook::Number::kOutput},
      .rules = {Do({MetaLoad{.key = MetaLoad::Key::kIifName}, Cmp{.data = {'v', 'e', 't', 'h'}}, DropIt()})}};
  Packet packet = support::Send("node", "192.0.2.1:80");
  packet.in_interface = "veth1";

  EXPECT_EQ(Fate(program, packet), "pass");
}

// --- The way after the choice of an endpoint ---

// Everything goes to 203.0.113.1:80; in input and postrouting, what these rules say.
Ruleset ToOneEndpoint(std::vector<Rule> input, std::vector<Rule> postrouting) {
  Ruleset program;
  Table& table = program.tables[Family::kIpv4];
  Set& map = table.sets["all"];
  map.spec.key = {Field::kInetProto};
  map.spec.data = {Field::kIpv4Addr, Field::kInetService};
  map.elements[{6}].data = SocketAddrData(support::At("203.0.113.1:80"));
  const std::vector<Rule> dnat = {
      Do({MetaLoad{.key = MetaLoad::Key::kL4Proto}, Lookup{.set = "all", .result = Lookup::Result::kData},
          Dnat{.addr = 0, .port = 1}})};
  table.chains["pre"] = {.hook = Hook{.priority = -100}, .rules = dnat};
  table.chains["out"] = {.hook = Hook{.number = Hook::Number::kOutput, .priority = -100}, .rules = dnat};
  table.chains["in"] = {.hook = Hook{.number = Hook::Number::kInput, .priority = 100}, .rules = std::move(input)};
  table.chains["post"] = {.hook = Hook{.number = Hook::Number::kPostrouting, .priority = 100},
                          .rules = std::move(postrouting)};
  return program;
}

TEST(SimulateTest, WhatComesInForAnAddressOfTheNodeMeetsInputInsteadOfPostrouting) {
  const Ruleset program = ToOneEndpoint({}, {Do({Masquerade{}})});
  const std::vector<IpAddr> here = {support::Ip("203.0.113.1")};

  EXPECT_EQ(Fate(program), "deliver 203.0.113.1:80+snat");
  EXPECT_EQ(Fate(program, kPacket, here), "deliver 203.0.113.1:80");
  EXPECT_EQ(Fate(ToOneEndpoint({Do({DropIt()})}, {}), kPacket, here), "drop");
  EXPECT_EQ(Fate(ToOneEndpoint({Do({DropIt()})}, {}), kPacket), "deliver 203.0.113.1:80");
}

TEST(SimulateTest, WhatTheNodeSendsToItselfHasItsSourceSettledInPostroutingAlone) {
  const Packet packet = support::Send("node", "192.0.2.1:80");
  const std::vector<IpAddr> here = {support::Ip("203.0.113.1"), packet.source};

  EXPECT_EQ(Fate(ToOneEndpoint({Do({DropIt()})}, {Do({Masquerade{}})}), packet, here), "deliver 203.0.113.1:80+snat");
}

TEST(SimulateTest, AConnectionMayStillBeDroppedAfterItsEndpointWasChosen) {
  EXPECT_EQ(Fate(ToOneEndpoint({}, {Do({DropIt()})})), "drop");
}

TEST(SimulateTest, TheOriginalDestinationIsKnownAfterTheChoice) {
  const auto drop_if = [](const CtLoad& load, Bytes value) {
    return ToOneEndpoint({}, {Do({load, Cmp{.data = std::move(value)}, DropIt()})});
  };
  const CtLoad addr = {.key = CtLoad::Key::kDstIp, .original = true};
  const CtLoad port = {.key = CtLoad::Key::kProtoDst, .original = true};

  EXPECT_EQ(Fate(drop_if(addr, {192, 0, 2, 1})), "drop");
  EXPECT_EQ(Fate(drop_if(addr, {203, 0, 113, 1})), "deliver 203.0.113.1:80");
  EXPECT_EQ(Fate(drop_if(port, {0x22, 0xb8}), support::Send("outside", "192.0.2.1:8888")), "drop");
  EXPECT_EQ(Fate(drop_if(port, {0, 80}), support::Send("outside", "192.0.2.1:8888")), "deliver 203.0.113.1:80");
}

// --- Maps that packets fill ---

// Remembers the source in `seen`, which holds 203.0.113.2 and has room for `size`; then drops.
Ruleset Remembering(Dynset::Op op, uint32_t size) {
  Ruleset program = Program({Do({Payload{.offset = 12, .len = 4}, Dynset{.op = op, .set = "seen"}, DropIt()})});
  Set& seen = program.tables[Family::kIpv4].sets["seen"];
  seen.spec.key = {Field::kIpv4Addr};
  seen.spec.dynamic = true;
  seen.spec.size = size;
  seen.elements[AddrKey(support::Ip("203.0.113.2"))] = {};
  return program;
}

TEST(SimulateTest, RememberingGoesOnUnlessThereIsNoRoom) {
  const Packet known = support::Send("203.0.113.2", "192.0.2.1:80");
  const Packet unknown = support::Send("203.0.113.3", "192.0.2.1:80");

  for (const Dynset::Op op : {Dynset::Op::kAdd, Dynset::Op::kUpdate}) {
    EXPECT_EQ(Fate(Remembering(op, 2), unknown), "drop");
    EXPECT_EQ(Fate(Remembering(op, 1), unknown), "pass") << "the rule ends where it would have been remembered";
    EXPECT_EQ(Fate(Remembering(op, 1), known), "drop") << "it is in already";
    EXPECT_EQ(Fate(Remembering(op, 0), unknown), "drop") << "no limit";
  }
  EXPECT_EQ(Fate(Remembering(Dynset::Op::kDelete, 1), unknown), "drop") << "forgetting needs no room";
}

// A Service with affinity and two endpoints, one of them on this node, in a program where the client `from` is
// remembered to have been sent to `endpoint`.
struct Remembered {
  std::shared_ptr<const support::World> world;
  Ruleset program;
};
Remembered RememberClient(const std::string& from, const std::string& endpoint) {
  using support::Slice;
  using support::Svc;
  Remembered out;
  out.world = support::MakeWorld(
      {Svc("ns/web").ClusterIp("172.30.0.41").Tcp(80).Affinity(absl::Hours(3)).Put(),
       Slice("ns/web-1", "web").Port(80).Ready("10.180.0.1", "this").Ready("10.180.1.1", "other").Put()},
      support::WithDetector());
  out.program = CompileAll(out.world->plans, out.world->settings);
  const AffinityId id = AffinityOf(out.world->plans[0]->ports[0].name, /*local=*/false);
  Bytes key = AddrKey(support::Ip(from));
  for (const uint32_t word : {HighWord(id), LowWord(id)}) {
    const Bytes bytes = Word(word);
    key.insert(key.end(), bytes.begin(), bytes.end());
  }
  out.program.tables[Family::kIpv4].sets[kAffinity].elements[key].data = SocketAddrData(support::At(endpoint));
  return out;
}

TEST(SimulateTest, AClientThatIsRememberedGoesWhereItWent) {
  const Remembered r = RememberClient("10.0.0.2", "10.180.1.1:80");
  const auto ask = [&](const std::string& from) { return Fate(r.program, support::Send(from, "172.30.0.41:80")); };

  EXPECT_EQ(ask("10.0.0.2"), "deliver 10.180.1.1:80");
  EXPECT_EQ(ask("10.0.0.3"), "deliver 10.180.0.1:80 10.180.1.1:80") << "another client";
}

TEST(SimulateTest, AClientRememberedByAnEndpointThatIsGoneIsDroppedOnce) {
  const Remembered r = RememberClient("10.0.0.2", "10.180.1.9:80");

  EXPECT_EQ(Fate(r.program, support::Send("10.0.0.2", "172.30.0.41:80")), "drop");
}

// --- The rules on the way ---

// "HOOK CHAIN RULE: EFFECT # COMMENT", a line each.
std::vector<std::string> Path(const Ruleset& program, const Packet& packet,
                              const std::vector<IpAddr>& node_addresses = {}) {
  const absl::StatusOr<Trace> trace = TracePacket(program, node_addresses, packet);
  if (!trace.ok()) return {std::string(trace.status().message())};
  std::vector<std::string> lines;
  for (const TraceStep& step : trace->steps) {
    lines.push_back(absl::StrCat(step.hook, " ", step.chain, " ", step.rule, ": ", step.effect,
                                 step.comment.empty() ? "" : " # ", step.comment));
  }
  return lines;
}

TEST(TracePacketTest, TellsTheWayOfAPodToAClusterIp) {
  const auto world = support::MakeWorld(
      {support::Svc("ns/web").ClusterIp("172.30.0.41").Tcp(80, "http").Put(),
       support::Slice("ns/web-1", "web").Port(8080, "http").Ready("10.180.0.1", "this").Ready("10.180.1.1").Put()},
      support::WithDetector());
  const Ruleset program = CompileAll(world->plans, world->settings);

  EXPECT_THAT(Path(program, support::Send("outside", "172.30.0.41:80"), world->node_addresses),
              ElementsAre("prerouting nat_prerouting 1: jump services",
                          "prerouting services 1: 172.30.0.41 . tcp . 80 -> goto offcl_pick_2 # ns/web:http",
                          "prerouting offcl_pick_2 1: 203.0.113.2 not in @pod_cidrs -> sets mark 0x4000",
                          "prerouting offcl_pick_2 2: goto pick_2",
                          "prerouting pick_2 1: to 10.180.0.1:8080 or 10.180.1.1:8080",
                          "postrouting nat_postrouting 1: goto post_dnat",
                          "postrouting post_dnat 1: clears mark 0x4000, then masquerade"));
}

TEST(TracePacketTest, ADrawThatMissesGoesOn) {
  EXPECT_THAT(Path(TwoSlots(), kPacket),
              ElementsAre("prerouting base 1: to 203.0.113.1:80 or 203.0.113.2:81; else goes on",
                          "prerouting base 2: to 203.0.113.1:80"));
}

TEST(TracePacketTest, ARuleThatIsReachedForSeveralEndpointsIsToldOnce) {
  Ruleset program = TwoSlots();
  program.tables[Family::kIpv4].chains["post"] = {
      .hook = Hook{.number = Hook::Number::kPostrouting, .priority = 100},
      .rules = {Do({Payload{.offset = 16, .len = 4}, Cmp{.data = {203, 0, 113, 2}}, Masquerade{}})}};

  EXPECT_THAT(Path(program, kPacket), Contains("postrouting post 1: masquerade; else goes on"));
}

TEST(TracePacketTest, ManyEndpointsAreCounted) {
  Ruleset program = TwoSlots();
  Table& table = program.tables[Family::kIpv4];
  for (uint8_t i = 0; i < 20; ++i) {
    table.sets["slots"].elements[Word(i)].data =
        SocketAddrData({IpAddr::FromBytes(std::vector<uint8_t>{203, 0, 113, i}), 80});
  }
  std::get<Numgen>(table.chains["base"].rules[0].exprs[0]).modulus = 20;

  EXPECT_THAT(Path(program, kPacket), ElementsAre(HasSubstr("or 203.0.113.7:80 or 12 more")));
}

TEST(TracePacketTest, TellsWhatIsRememberedOfAClient) {
  const Remembered r = RememberClient("10.0.0.2", "10.180.1.1:80");
  const std::vector<std::string> path = Path(r.program, support::Send("10.0.0.2", "172.30.0.41:80"));

  EXPECT_THAT(path, Contains(AllOf(HasSubstr("10.0.0.2 . 0x"), EndsWith("-> to 10.180.1.1:80"))));
  EXPECT_THAT(path, Contains(AllOf(HasSubstr("updates @affinity 10.0.0.2 . 0x"), EndsWith(" : 10.180.1.1 . 80"))));
}

TEST(TracePacketTest, WhatNoRuleTouchesHasNoPath) {
  EXPECT_THAT(Path(Program({Do({Counter{}})}), kPacket), ::testing::IsEmpty());
  EXPECT_THAT(Path({}, kPacket), ::testing::IsEmpty());
}

TEST(TracePacketTest, ACommentIsOfTheRuleWhereNoElementHasOne) {
  Rule rule = Do({DropIt()});
  rule.comment = "nobody passes";

  EXPECT_THAT(Path(Program({rule}), kPacket), ElementsAre("prerouting base 1: drop # nobody passes"));
}

}  // namespace
}  // namespace pointsman::nft
