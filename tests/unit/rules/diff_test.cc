// SPDX-License-Identifier: Apache-2.0
//
// Diff and Apply: the difference, and the kernel in memory that executes it.
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "pointsman/dataplane.h"
#include "pointsman/nft_program.h"
#include "rules/nft/layout.h"
#include "tests/support/builders.h"
#include "tests/unit/rules/nft_lines.h"

namespace pointsman::nft {
namespace {

using support::At;
using support::Ip;
using support::OpLines;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr Family kV4 = Family::kIpv4;

const SetSpec& Spec(const char* set) { return SpecOf(kV4, set); }
Element HairpinElement(const std::string& ip) { return {PairKey(Ip(ip), Ip(ip)), {}}; }
Element Frontend(const std::string& ip, const std::string& chain, const std::string& comment = "") {
  return {FrontendKey({Ip(ip), Protocol::kTcp, 80}),
          {.data = Verdict{Verdict::Code::kGoto, chain}, .comment = comment}};
}
Element Slot(const std::string& endpoint) {
  return {SlotKey({Ip("192.0.2.1"), Protocol::kTcp, 80}, 0), {.data = SocketAddrData(At(endpoint))}};
}
void Put(Table& table, const char* set, const Element& e) { table.sets[set].elements[e.key] = e.value; }

Rule Jump(const std::string& chain) { return {.exprs = {Immediate{{Verdict::Code::kJump, chain}}}}; }
Rule Drop() { return {.exprs = {Immediate{{Verdict::Code::kDrop, ""}}}}; }
Rule LooksIn(const std::string& set) { return {.exprs = {Lookup{.set = set}}}; }

// A base chain that jumps to another, and two sets in use.
Ruleset Small() {
  Ruleset ruleset;
  Table& table = ruleset.tables[kV4];
  table.comment = "small";
  table.chains["base"] = {.hook = Hook{.priority = -100}, .rules = {Jump("inner"), LooksIn("frontends")}};
  table.chains["inner"] = {.hook = {}, .comment = "a comment", .rules = {LooksIn("hairpin"), Drop()}};
  table.sets["frontends"].spec = Spec(kFrontends);
  table.sets["hairpin"].spec = Spec(kHairpin);
  Put(table, kFrontends, Frontend("192.0.2.1", "inner", "web"));
  Put(table, kHairpin, HairpinElement("203.0.113.1"));
  return ruleset;
}

// --- Diff ---

struct DiffRow {
  const char* name;
  const char* why;
  std::function<void(Table&)> have;  // what Small() is changed to before it shall be Small() again
  std::vector<std::string> commit;
  std::vector<std::string> sweep;
  bool equal_after = true;  // false: what was different is not compared
};

class DiffRowTest : public ::testing::TestWithParam<DiffRow> {};

TEST_P(DiffRowTest, IsTheseOpsAndTheyLeadThere) {
  const DiffRow& row = GetParam();
  const Ruleset want = Small();
  Ruleset have = Small();
  row.have(have.tables[kV4]);

  const Changes changes = Diff(want, have);

  EXPECT_EQ(OpLines(changes.commit), row.commit) << row.why;
  EXPECT_EQ(OpLines(changes.sweep), row.sweep) << row.why;
  ASSERT_EQ(Apply(changes.commit, have), absl::OkStatus());
  ASSERT_EQ(Apply(changes.sweep, have), absl::OkStatus());
  EXPECT_EQ(have == want, row.equal_after) << row.why;
  EXPECT_TRUE(Diff(want, have).empty()) << "once is enough";
}

std::vector<DiffRow> DiffRows() {
  return {
      {"Equal", "idle is free", [](Table&) {}, {}, {}},
      {"Comments",
       "of tables, chains and sets change no packet and cannot be changed in place",
       [](Table& t) { t.comment = t.chains["inner"].comment = t.sets["hairpin"].spec.comment = "else"; },
       {},
       {},
       false},
      {"ElementMissing",
       "added",
       [](Table& t) { t.sets["hairpin"].elements.clear(); },
       {"add hairpin 203.0.113.1"},
       {}},
      {"ElementTooMany",
       "deleted",
       [](Table& t) { Put(t, kHairpin, HairpinElement("203.0.113.9")); },
       {"delete hairpin 203.0.113.9"},
       {}},
      {"ElementChanged",
       "deleted, then added: its data cannot be changed in place",
       [](Table& t) {
         t.sets["frontends"].elements.begin()->second.data = Verdict{Verdict::Code::kDrop, ""};
       },
       {"delete frontends 192.0.2.1:80/tcp >  \"web\"", "add frontends 192.0.2.1:80/tcp > inner \"web\""},
       {}},
      {"ElementComment",
       "of an element it is compared: it says whose the element is",
       [](Table& t) { t.sets["frontends"].elements.begin()->second.comment = "api"; },
       {"delete frontends 192.0.2.1:80/tcp > inner \"api\"", "add frontends 192.0.2.1:80/tcp > inner \"web\""},
       {}},
      {"AllDeletionsFirst",
       "over all sets, so that what moves from one to another is never twice",
       [](Table& t) {
         Put(t, kHairpin, HairpinElement("203.0.113.9"));
         t.sets["frontends"].elements.clear();
         t.sets["hairpin"].elements.erase(HairpinElement("203.0.113.1").key);
       },
       {"delete hairpin 203.0.113.9", "add frontends 192.0.2.1:80/tcp > inner \"web\"", "add hairpin 203.0.113.1"},
       {}},
      {"SetMissing",
       "made before the rules and the elements",
       [](Table& t) {
         t.chains["inner"].rules.clear();
         t.sets.erase("hairpin");
       },
       {"add set hairpin", "flush chain inner", "add rule inner (1)", "add rule inner (1)", "add hairpin 203.0.113.1"},
       {}},
      {"ChainMissing",
       "every chain before any rule",
       [](Table& t) {
         t.chains["base"].rules.clear();
         t.sets["frontends"].elements.clear();
         t.chains.erase("inner");
       },
       {"flush chain base", "add chain inner", "add rule base (1)", "add rule base (1)", "add rule inner (1)",
        "add rule inner (1)", "add frontends 192.0.2.1:80/tcp > inner \"web\""},
       {}},
      {"RuleChanged",
       "the chain's rules are written anew, the chain stays",
       [](Table& t) { t.chains["inner"].rules[1] = Jump("base"); },
       {"flush chain inner", "add rule inner (1)", "add rule inner (1)"},
       {}},
      {"HookChanged",
       "the chain is made anew",
       [](Table& t) { t.chains["base"].hook->priority = 0; },
       {"flush chain base", "delete chain base", "add chain base", "add rule base (1)", "add rule base (1)"},
       {}},
      {"SetReshaped",
       "nothing may refer to it: all rules go, and come back",
       [](Table& t) { t.sets["hairpin"].spec.interval = true; },
       {"flush chain base", "flush chain inner", "flush set hairpin", "delete set hairpin", "add set hairpin",
        "add rule base (1)", "add rule base (1)", "add rule inner (1)", "add rule inner (1)",
        "add hairpin 203.0.113.1"},
       {}},
      {"Incomplete",
       "a set that could not be listed is flushed and filled",
       [](Table& t) {
         t.sets["hairpin"].complete = false;
         t.sets["hairpin"].elements.clear();
       },
       {"flush set hairpin", "add hairpin 203.0.113.1"},
       {}},
      {"Foreign",
       "swept afterwards: emptied first, for they may refer to each other",
       [](Table& t) {
         t.sets["theirs"].spec = Spec(kHairpin);
         t.chains["x"].rules = {Jump("y"), LooksIn("theirs")};
         t.chains["y"].rules = {Drop()};
       },
       {},
       {"flush chain x", "flush chain y", "flush set theirs", "delete chain x", "delete chain y", "delete set theirs"}},
      {"ForeignChainThatARuleOfOursNames",
       "the rule goes first, in the commit",
       [](Table& t) {
         t.chains["x"].rules = {Drop()};
         t.chains["inner"].rules.push_back(Jump("x"));
       },
       {"flush chain inner", "add rule inner (1)", "add rule inner (1)"},
       {"flush chain x", "delete chain x"}},
  };
}

INSTANTIATE_TEST_SUITE_P(Nft, DiffRowTest, ::testing::ValuesIn(DiffRows()),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(DiffTest, AMissingTableComesFirst) {
  Ruleset kernel;

  const Changes changes = Diff(Small(), kernel);

  EXPECT_EQ(OpLines(changes.commit).front(), "add table");
  ASSERT_EQ(Apply(changes.commit, kernel), absl::OkStatus());
  EXPECT_EQ(kernel.tables.at(kV4).comment, "small");
}

TEST(DiffTest, ATableThatIsNotWantedGoes) {
  Ruleset kernel = Small();

  const Changes changes = Diff({}, kernel);

  EXPECT_THAT(OpLines(changes.commit), ElementsAre("delete table"));
  ASSERT_EQ(Apply(changes.commit, kernel), absl::OkStatus());
  EXPECT_EQ(kernel, Ruleset{});
}

TEST(DiffTest, WhatTheKernelFillsIsTheKernels) {
  Ruleset want = Small();
  want.tables[kV4].sets["hairpin"].spec.dynamic = true;
  Ruleset have = want;
  have.tables[kV4].sets["hairpin"].elements.clear();

  EXPECT_TRUE(Diff(want, have).empty());
}

TEST(DiffTest, EachOpsElementsKnowTheirShape) {
  const Changes changes = Diff(Small(), {});

  int checked = 0;
  for (const Op& op : changes.commit) {
    const auto* add = std::get_if<AddElements>(&op);
    if (add == nullptr) continue;
    const SetSpec& spec = SpecOf(add->family, add->set);
    EXPECT_EQ(add->spec.key, spec.key);
    EXPECT_EQ(add->spec.data, spec.data);
    EXPECT_EQ(add->spec.verdicts, spec.verdicts);
    EXPECT_EQ(add->spec.interval, spec.interval);
    ++checked;
  }
  EXPECT_EQ(checked, 2);
}

// --- Apply ---

struct RefusalRow {
  const char* name;
  const char* why;
  std::vector<Op> ops;  // the last is the one that is refused
  const char* message;
};

class ApplyRefusal : public ::testing::TestWithParam<RefusalRow> {};

TEST_P(ApplyRefusal, NamesTheOpAndLeavesEverythingAsItWas) {
  const RefusalRow& row = GetParam();
  Ruleset kernel = Small();

  const absl::Status status = Apply(row.ops, kernel);

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << row.why;
  EXPECT_THAT(std::string(status.message()), HasSubstr(row.message)) << row.why;
  EXPECT_EQ(status.GetPayload(kFailedOpPayload), absl::Cord(absl::StrCat(row.ops.size() - 1)));
  EXPECT_EQ(kernel, Small()) << "all or nothing";
}

std::vector<RefusalRow> RefusalRows() {
  const Family v6 = Family::kIpv6;
  return {
      {"DeleteNoTable", "ENOENT", {DeleteTable{v6}}, "not there"},
      {"AddChainToNoTable", "ENOENT", {AddChain{v6, "x", {}, ""}}, "table"},
      {"AddChainWithAnotherHook", "EEXIST", {AddChain{kV4, "inner", Hook{}, ""}}, "another hook"},
      {"FlushNoChain", "ENOENT", {FlushChain{kV4, "x"}}, "not there"},
      {"DeleteNoChain", "ENOENT", {DeleteChain{kV4, "x"}}, "not there"},
      {"DeleteChainWithRules",
       "EBUSY",
       {AddChain{kV4, "x", {}, ""}, AddRule{kV4, "x", Drop()}, DeleteChain{kV4, "x"}},
       "in use"},
      {"DeleteChainARuleNames",
       "EBUSY",
       {DeleteElements{kV4, "frontends", Spec(kFrontends), {Frontend("192.0.2.1", "")}}, FlushChain{kV4, "inner"},
        DeleteChain{kV4, "inner"}},
       "in use"},
      {"DeleteChainAnElementNames",
       "EBUSY",
       {FlushChain{kV4, "base"}, FlushChain{kV4, "inner"}, DeleteChain{kV4, "inner"}},
       "in use"},
      {"AddRuleToNoChain", "ENOENT", {AddRule{kV4, "x", Drop()}}, "not there"},
      {"AddRuleThatNamesNoChain", "ENOENT", {AddRule{kV4, "inner", Jump("x")}}, "no such chain"},
      {"AddRuleThatNamesNoSet", "ENOENT", {AddRule{kV4, "inner", LooksIn("x")}}, "no such set"},
      {"AddRuleThatUpdatesNoSet", "ENOENT", {AddRule{kV4, "inner", {.exprs = {Dynset{.set = "x"}}}}}, "no such set"},
      {"AddSetOfAnotherShape", "EEXIST", {AddSet{kV4, "hairpin", Spec(kFrontends)}}, "another shape"},
      {"FlushNoSet", "ENOENT", {FlushSet{kV4, "x"}}, "not there"},
      {"DeleteNoSet", "ENOENT", {DeleteSet{kV4, "x"}}, "not there"},
      {"DeleteSetInUse", "EBUSY", {DeleteSet{kV4, "hairpin"}}, "in use"},
      {"AddElementToNoSet",
       "ENOENT",
       {AddElements{kV4, "x", Spec(kHairpin), {HairpinElement("203.0.113.1")}}},
       "not there"},
      {"AddElementThatNamesNoChain",
       "ENOENT",
       {AddElements{kV4, "frontends", Spec(kFrontends), {Frontend("192.0.2.2", "x")}}},
       "no chain x"},
      {"AddElementWithOtherData",
       "EEXIST",
       {AddSet{kV4, "endpoints", Spec(kEndpoints)},
        AddElements{kV4, "endpoints", Spec(kEndpoints), {Slot("203.0.113.1:80")}},
        AddElements{kV4, "endpoints", Spec(kEndpoints), {Slot("203.0.113.1:81")}}},
       "other data"},
      {"DeleteNoElement",
       "ENOENT",
       {DeleteElements{kV4, "hairpin", Spec(kHairpin), {HairpinElement("203.0.113.9")}}},
       "not there"},
  };
}

INSTANTIATE_TEST_SUITE_P(Nft, ApplyRefusal, ::testing::ValuesIn(RefusalRows()),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(ApplyTest, AddingWhatIsThereIsNoError) {
  Ruleset kernel = Small();
  const ChangeSet again = {AddTable{kV4, "else"}, AddChain{kV4, "inner", {}, "else"},
                           AddSet{kV4, "hairpin", Spec(kHairpin)},
                           AddElements{kV4, "hairpin", Spec(kHairpin), {HairpinElement("203.0.113.1")}},
                           AddElements{kV4, "frontends", Spec(kFrontends), {Frontend("192.0.2.1", "inner", "else")}}};

  EXPECT_EQ(Apply(again, kernel), absl::OkStatus());
  EXPECT_EQ(kernel, Small());
}

TEST(ApplyTest, DeletingAndAddingInOneGoReplaces) {
  Ruleset kernel = Small();

  ASSERT_EQ(Apply({DeleteElements{kV4, "frontends", Spec(kFrontends), {Frontend("192.0.2.1", "")}},
                   AddElements{kV4, "frontends", Spec(kFrontends), {Frontend("192.0.2.1", "base")}}},
                  kernel),
            absl::OkStatus());

  EXPECT_EQ(kernel.tables[kV4].sets["frontends"].elements.begin()->second, Frontend("192.0.2.1", "base").value);
}

TEST(ApplyTest, AFlushMakesASetEmptyAndKnown) {
  Ruleset kernel = Small();
  kernel.tables[kV4].sets["hairpin"].complete = false;

  ASSERT_EQ(Apply({FlushSet{kV4, "hairpin"}}, kernel), absl::OkStatus());

  EXPECT_TRUE(kernel.tables[kV4].sets["hairpin"].complete);
  EXPECT_THAT(kernel.tables[kV4].sets["hairpin"].elements, IsEmpty());
}

}  // namespace
}  // namespace pointsman::nft
