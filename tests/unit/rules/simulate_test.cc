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
#include "tests/unit/rules/worked_packets.h"

namespace pointsman::nft {
namespace {

using support::PacketRow;
using ::testing::HasSubstr;

class SimulateRow : public ::testing::TestWithParam<PacketRow> {};

TEST_P(SimulateRow, TheCompiledProgramDoesWhatWasWorkedOutByHand) {
  const PacketRow& row = GetParam();

  const absl::StatusOr<Outcome> outcome = Simulate(CompileAll(row.world->plans, row.world->settings), row.packet);

  ASSERT_EQ(outcome.status(), absl::OkStatus());
  EXPECT_EQ(FormatOutcome(*outcome), FormatOutcome(row.expected)) << row.why;
}

INSTANTIATE_TEST_SUITE_P(Nft, SimulateRow, ::testing::ValuesIn(support::WorkedPackets()),
                         [](const auto& row) { return std::string(row.param.name); });

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

  const absl::StatusOr<Outcome> outcome = Simulate(row.program, kPacket);

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
      .hook = Hook{.number = Hook::Number::kPostrouting, .priority = 100}, .rules = {Do({DropIt()})}};

  return {
      {"Foreign", "an expression nobody knows", Program({Do({Foreign{.name = "limit", .text = ""}})}), "limit"},
      {"Dynset", "the state of a set that packets fill", Program({Do({Dynset{.set = "affinity"}})}), "affinity"},
      {"Payload", "a field of the packet that is not modelled", Program({Do({Payload{.offset = 9, .len = 1}})}),
       "payload"},
      {"Meta", "an input interface is not modelled", Program({Do({MetaLoad{.key = MetaLoad::Key::kIifName}})}),
       "meta key"},
      {"SetMeta", "nor can one be set", Program({Do({MetaSet{.key = MetaLoad::Key::kL4Proto}})}), "meta key"},
      {"Conntrack", "only the status is modelled", Program({Do({CtLoad{.key = CtLoad::Key::kState}})}), "conntrack"},
      {"Fib", "only the type of the source is modelled", Program({Do({FibLoad{.flags = 2}})}), "fib"},
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
      {"RefusedAfterChoice", "an endpoint that is chosen and then dropped", refused_later, "refused"},
  };
}

INSTANTIATE_TEST_SUITE_P(Nft, SimulateError, ::testing::ValuesIn(ErrorRows()),
                         [](const auto& row) { return std::string(row.param.name); });

std::string Fate(const Ruleset& program, const Packet& packet = kPacket) {
  const absl::StatusOr<Outcome> outcome = Simulate(program, packet);
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

TEST(SimulateTest, EveryDrawIsFollowed) {
  // Slot 0 and 1 of a map; the third draw misses and falls to the next rule.
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

  EXPECT_EQ(Fate(program), "deliver 203.0.113.1:80 203.0.113.2:81");
}

}  // namespace
}  // namespace pointsman::nft
