// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "pointsman/nft_program.h"
#include "rules/nft/layout.h"
#include "tests/support/builders.h"
#include "tests/unit/rules/nft_lines.h"

namespace pointsman::nft {
namespace {

using support::At;
using support::ElementLines;
using support::Ip;
using support::Net;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const Match kWeb = {Ip("192.0.2.1"), Protocol::kTcp, 80};

std::vector<SocketAddr> Endpoints(const std::string& letters) {  // "ab" is 203.0.113.1:80, 203.0.113.2:80
  std::vector<SocketAddr> list;
  for (const char c : letters) list.push_back(At(absl::StrCat("203.0.113.", c - 'a' + 1, ":80")));
  return list;
}

ServicePlan PlanOf(const Action& action, std::vector<SocketAddr> cluster, std::vector<SocketAddr> local = {}) {
  PortPlan port{.name = {{"ns", "web"}, "http", Protocol::kTcp}};
  port.frontends = {{kWeb, action}};
  port.cluster = std::move(cluster);
  port.local = std::move(local);
  return {.service = {"ns", "web"}, .ports = {port}};
}

Fragment Compile(const ServicePlan& plan, const Fragment& before = {}, bool shrink = false) {
  return CompileService(plan, *HistoryOf(before), shrink);
}

// --- Layout ---

struct LayoutRow {
  const char* name;
  const char* why;
  Action action;
  std::vector<std::string> elements;
};

class CompileServiceLayout : public ::testing::TestWithParam<LayoutRow> {};

TEST_P(CompileServiceLayout, PutsAFrontendIntoTheseMaps) {
  const LayoutRow& row = GetParam();
  const ServicePlan plan = PlanOf(row.action, Endpoints("ab"), Endpoints("a"));

  const Fragment fragment = Compile(plan);

  EXPECT_EQ(ElementLines(fragment.elements), row.elements) << row.why;
  EXPECT_THAT(fragment.shared, IsEmpty());
  EXPECT_FALSE(fragment.shrinkable);
}

std::vector<LayoutRow> LayoutRows() {
  const std::vector<std::string> cluster = {"endpoints 192.0.2.1:80/tcp #0 = 203.0.113.1:80",
                                            "endpoints 192.0.2.1:80/tcp #1 = 203.0.113.2:80"};
  const std::string local = "endpoints_local 192.0.2.1:80/tcp #0 = 203.0.113.1:80";
  const auto after = [&](std::vector<std::string> lists, const std::vector<std::string>& rest) {
    lists.insert(lists.end(), rest.begin(), rest.end());
    return lists;
  };
  const std::vector<Cidr> ranges = {Net("10.0.0.0/8"), Net("198.51.100.7/32")};
  const std::vector<std::string> sources = {"fw_sources 192.0.2.1:80/tcp from 10.0.0.0-10.255.255.255",
                                            "fw_sources 192.0.2.1:80/tcp from 198.51.100.7-198.51.100.7"};
  return {
      {"Cluster",
       "one verdict and the slots",
       {},
       after(cluster, {"frontends 192.0.2.1:80/tcp > pick_2 \"ns/web:http\""})},
      {"Always",
       "marked for SNAT on the way",
       {.snat = Snat::kAlways},
       after(cluster, {"frontends 192.0.2.1:80/tcp > masq_pick_2 \"ns/web:http\""})},
      {"OutsidePods",
       "marked unless from a pod",
       {.snat = Snat::kOutsidePods},
       after(cluster, {"frontends 192.0.2.1:80/tcp > offcl_pick_2 \"ns/web:http\""})},
      {"Local",
       "the local list only",
       {.scope = Scope::kLocal},
       {local, "frontends 192.0.2.1:80/tcp > local_pick_1 \"ns/web:http\""}},
      {"LocalOutsidePods",
       "both",
       {.scope = Scope::kLocal, .snat = Snat::kOutsidePods},
       {local, "frontends 192.0.2.1:80/tcp > offcl_local_pick_1 \"ns/web:http\""}},
      {"ExternalLocal",
       "by who asks: two verdicts behind the first",
       {.scope = Scope::kExternalLocal},
       after(cluster, {local, "ext_external 192.0.2.1:80/tcp > local_pick_1", "ext_internal 192.0.2.1:80/tcp > pick_2",
                       "frontends 192.0.2.1:80/tcp > ext_local \"ns/web:http\""})},
      {"Fenced",
       "the fence first; the ranges in full",
       {.snat = Snat::kAlways, .fenced = true, .allow = ranges},
       after(cluster, {"frontends 192.0.2.1:80/tcp > fw \"ns/web:http\"", "fw_next 192.0.2.1:80/tcp > masq_pick_2",
                       sources[0], sources[1]})},
      {"FencedExternalLocal",
       "the fence, then by who asks",
       {.scope = Scope::kExternalLocal, .fenced = true, .allow = ranges},
       after(cluster, {local, "ext_external 192.0.2.1:80/tcp > local_pick_1", "ext_internal 192.0.2.1:80/tcp > pick_2",
                       "frontends 192.0.2.1:80/tcp > fw \"ns/web:http\"", "fw_next 192.0.2.1:80/tcp > ext_local",
                       sources[0], sources[1]})},
  };
}

INSTANTIATE_TEST_SUITE_P(Nft, CompileServiceLayout, ::testing::ValuesIn(LayoutRows()),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(CompileServiceTest, AnEmptyListIsAVerdictWithoutSlots) {
  EXPECT_THAT(ElementLines(Compile(PlanOf({}, {})).elements),
              ElementsAre("frontends 192.0.2.1:80/tcp > pick_1 \"ns/web:http\""));
}

TEST(CompileServiceTest, EachFrontendHasItsOwnCopyOfTheList) {
  ServicePlan plan = PlanOf({}, Endpoints("a"));
  plan.ports[0].frontends.push_back({{Ip("198.51.100.1"), Protocol::kTcp, 8080}, {.snat = Snat::kAlways}});

  EXPECT_THAT(ElementLines(Compile(plan).elements),
              ElementsAre("endpoints 192.0.2.1:80/tcp #0 = 203.0.113.1:80",
                          "endpoints 198.51.100.1:8080/tcp #0 = 203.0.113.1:80",
                          "frontends 192.0.2.1:80/tcp > pick_1 \"ns/web:http\"",
                          "frontends 198.51.100.1:8080/tcp > masq_pick_1 \"ns/web:http\""));
}

TEST(CompileServiceTest, AHairpinIsSharedAndNamedOnce) {
  ServicePlan plan = PlanOf({}, Endpoints("ab"));
  plan.ports[0].hairpin = {Ip("203.0.113.1"), Ip("203.0.113.2")};
  plan.ports.push_back({.name = {{"ns", "web"}, "https", Protocol::kTcp}, .hairpin = {Ip("203.0.113.1")}});

  EXPECT_THAT(ElementLines(Compile(plan).shared), ElementsAre("hairpin 203.0.113.1", "hairpin 203.0.113.2"));
}

TEST(CompileServiceTest, ElementsAreSortedByFamilySetAndKey) {
  ServicePlan plan = PlanOf({}, Endpoints("a"));
  plan.ports.insert(plan.ports.begin(), {.name = {{"ns", "web"}, "http", Protocol::kTcp},
                                         .frontends = {{{Ip("2001:db8::1"), Protocol::kTcp, 80}, {}}},
                                         .cluster = {At("[2001:db8:1::1]:80")}});

  EXPECT_THAT(ElementLines(Compile(plan).elements),
              ElementsAre("endpoints 192.0.2.1:80/tcp #0 = 203.0.113.1:80",
                          "frontends 192.0.2.1:80/tcp > pick_1 \"ns/web:http\"",
                          "endpoints [2001:db8::1]:80/tcp #0 = [2001:db8:1::1]:80",
                          "frontends [2001:db8::1]:80/tcp > pick_1 \"ns/web:http\""));
}

// --- Slots ---

// Who sits in which slot, "acb"; endpoints sorted when they come, as plans have them.
std::string Slots(const Fragment& fragment) {
  std::string letters;
  for (const SetElement& e : fragment.elements) {
    if (absl::string_view(e.set) != kEndpoints) continue;
    const auto addr = ParseSocketAddrData(e.family, std::get<Bytes>(e.element.value.data));
    letters += static_cast<char>('a' + addr->addr.bytes()[3] - 1);
  }
  return letters;
}

struct SlotRow {
  const char* name;
  const char* why;
  const char* history;  // lists one after the other, "abc ab"
  const char* slots;    // after the last of them
};

class CompileServiceSlots : public ::testing::TestWithParam<SlotRow> {};

TEST_P(CompileServiceSlots, MoveNobodyWhoCanStay) {
  const SlotRow& row = GetParam();
  Fragment fragment;

  for (absl::string_view list : absl::StrSplit(row.history, ' ')) {
    fragment = Compile(PlanOf({}, Endpoints(std::string(list))), fragment);
  }

  EXPECT_EQ(Slots(fragment), row.slots) << row.why;
}

INSTANTIATE_TEST_SUITE_P(Nft, CompileServiceSlots,
                         ::testing::ValuesIn(std::vector<SlotRow>{
                             {"FromNothing", "sorted order", "abcd", "abcd"},
                             {"Same", "nothing changes", "abcd abcd", "abcd"},
                             {"OneMore", "at the end", "abd abcd", "abdc"},
                             {"FirstGone", "the last takes its place", "abcd bcd", "dbc"},
                             {"MiddleGone", "the last takes its place", "abcd abd", "abd"},
                             {"MiddleOfFiveGone", "the last takes its place, and only it moves", "abcde abde", "abed"},
                             {"LastGone", "nobody moves", "abcd abc", "abc"},
                             {"Replaced", "who comes takes the place of who leaves", "abcd acde", "aecd"},
                             {"ReplacedLast", "the same at the end", "abc abd", "abd"},
                             {"TwoReplaced", "place by place", "abcd cdef", "efcd"},
                             {"ReplacedAndOneLess", "comers go to holes in order", "abcd ade", "ade"},
                             {"ReplacedAndOneMore", "comers go to holes, then to the end", "abc acde", "adce"},
                             {"AllGone", "no slots", "abc ", ""},
                             {"AllGoneAndBack", "from nothing again", "cab  bca", "bca"},
                             {"Rollout", "three steps of one out, one in", "abc bcd cde def", "def"},
                             {"HistoryIsRemembered", "not sorted again", "abcd bcd abcd", "dbca"},
                         }),
                         [](const auto& row) { return std::string(row.param.name); });

// How many slots differ, and how many there are in one and not in the other.
int Touched(const Fragment& before, const Fragment& after) {
  int count = 0;
  const auto in = [](const Fragment& fragment, const SetElement& e) {
    return std::find(fragment.elements.begin(), fragment.elements.end(), e) != fragment.elements.end();
  };
  for (const SetElement& e : before.elements) count += in(after, e) ? 0 : 1;
  for (const SetElement& e : after.elements) count += in(before, e) ? 0 : 1;
  return count;
}

TEST(CompileServiceTest, OneEndpointGoneInTheMiddleIsOneMove) {
  const Fragment before = Compile(PlanOf({}, Endpoints("abcdefg")));

  const Fragment after = Compile(PlanOf({}, Endpoints("abdefg")), before);

  EXPECT_EQ(Touched(before, after), 3) << "the hole out, the last in, the last's old slot out";
}

TEST(CompileServiceTest, ALeaverPairedWithAComerIsOneSlotReplaced) {
  const Fragment before = Compile(PlanOf({}, Endpoints("bcdefg")));

  const Fragment after = Compile(PlanOf({}, Endpoints("abcefg")), before);

  EXPECT_EQ(Touched(before, after), 2) << "one slot, its old and its new content";
}

TEST(CompileServiceTest, TheHistoryOfAKernelIsAsGoodAsThatOfAFragment) {
  const std::vector<std::shared_ptr<const ServicePlan>> plans = {
      std::make_shared<const ServicePlan>(PlanOf({}, Endpoints("abcd")))};
  const Ruleset kernel = CompileAll(plans, {});
  const ServicePlan next = PlanOf({}, Endpoints("abde"));

  EXPECT_EQ(CompileService(next, *HistoryOf(kernel), false), Compile(next, Compile(*plans[0])));
}

TEST(CompileServiceTest, AHistoryOfStrangeElementsIsNoHistory) {
  Fragment strange = Compile(PlanOf({}, Endpoints("ab")));
  for (SetElement& e : strange.elements) {
    if (absl::string_view(e.set) == kEndpoints) e.element.value.data = Bytes{1, 2};
    if (absl::string_view(e.set) == kFrontends) e.element.value.data = Verdict{Verdict::Code::kDrop, ""};
  }

  EXPECT_EQ(Compile(PlanOf({}, Endpoints("ab")), strange), Compile(PlanOf({}, Endpoints("ab"))));
}

TEST(CompileServiceTest, TheClusterAndTheLocalListHaveSlotsOfTheirOwn) {
  const Action action = {.scope = Scope::kExternalLocal};
  const Fragment before = Compile(PlanOf(action, Endpoints("abcd"), Endpoints("bc")));

  const Fragment after = Compile(PlanOf(action, Endpoints("abcd"), Endpoints("c")), before);

  EXPECT_EQ(Slots(after), "abcd");
  EXPECT_THAT(ElementLines(after.elements),
              ::testing::Contains("endpoints_local 192.0.2.1:80/tcp #0 = 203.0.113.3:80"));
}

// --- Size classes ---

std::vector<SocketAddr> Many(int count) {
  std::vector<SocketAddr> list;
  for (int i = 0; i < count; ++i) list.push_back(At(absl::StrCat("10.0.", i / 250, ".", i % 250 + 1, ":80")));
  return list;
}

std::string Chain(const Fragment& fragment, absl::string_view map = kFrontends) {
  for (const SetElement& e : fragment.elements) {
    if (map == e.set) return std::get<Verdict>(e.element.value.data).chain;
  }
  return "";
}

struct ClassRow {
  const char* name;
  const char* why;
  std::vector<int> counts;  // list lengths one after the other
  const char* chain;        // after the last
  bool shrinkable;
};

class CompileServiceClass : public ::testing::TestWithParam<ClassRow> {};

TEST_P(CompileServiceClass, ChangesWhenItMustAndNoSooner) {
  const ClassRow& row = GetParam();
  Fragment fragment;

  for (const int count : row.counts) fragment = Compile(PlanOf({}, Many(count)), fragment);

  EXPECT_EQ(Chain(fragment), row.chain) << row.why;
  EXPECT_EQ(fragment.shrinkable, row.shrinkable) << row.why;
}

INSTANTIATE_TEST_SUITE_P(Nft, CompileServiceClass,
                         ::testing::ValuesIn(std::vector<ClassRow>{
                             {"None", "an empty list still has a chain", {0}, "pick_1", false},
                             {"One", "a class of its own", {1}, "pick_1", false},
                             {"Two", "a power of two fits itself", {2}, "pick_2", false},
                             {"Three", "the next power of two", {3}, "pick_4", false},
                             {"Five", "the next power of two", {5}, "pick_8", false},
                             {"Many", "the next power of two", {1000}, "pick_1024", false},
                             {"GrowsWhenFull", "N > C", {4, 5}, "pick_8", false},
                             {"GrowsByLeaps", "as far as it takes", {1, 100}, "pick_128", false},
                             {"KeptAtHalf", "2 of 4 is within reach", {4, 2}, "pick_4", false},
                             {"KeptAboveAQuarter", "3 > 8/4", {8, 3}, "pick_8", false},
                             {"KeptAtAQuarterButFlagged", "2 <= 8/4", {8, 2}, "pick_8", true},
                             {"KeptWhenEmptyButFlagged", "0 <= 8/4", {8, 0}, "pick_8", true},
                             {"OneOfTwoIsKept", "1 > 2/4", {2, 1}, "pick_2", false},
                             {"EmptyOfTwoIsFlagged", "0 <= 2/4, as the last endpoint left", {2, 0}, "pick_2", true},
                             {"OneOfFourIsFlagged", "1 <= 4/4", {4, 1}, "pick_4", true},
                             {"SwingsWithoutAChange", "2 and 3 replicas: one class", {3, 2, 3, 2}, "pick_4", false},
                             {"RecoversWithoutAChange", "no longer flagged", {8, 2, 5}, "pick_8", false},
                         }),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(CompileServiceTest, ShrinksWhenToldToWhatFits) {
  const Fragment wide = Compile(PlanOf({}, Many(8)));
  const Fragment flagged = Compile(PlanOf({}, Many(2)), wide);

  const Fragment shrunk = Compile(PlanOf({}, Many(2)), flagged, /*shrink=*/true);

  EXPECT_EQ(Chain(shrunk), "pick_2");
  EXPECT_FALSE(shrunk.shrinkable);
  EXPECT_EQ(Touched(flagged, shrunk), 2) << "the verdict, no slot";
}

TEST(CompileServiceTest, ShrinkingLeavesListsThatAreMoreThanAQuarterFull) {
  const Fragment wide = Compile(PlanOf({}, Many(8)));

  EXPECT_EQ(Chain(Compile(PlanOf({}, Many(3)), wide, /*shrink=*/true)), "pick_8");
}

TEST(CompileServiceTest, TheClassIsRememberedBehindAFenceAndBehindExternalLocal) {
  const Action fenced = {.snat = Snat::kAlways, .fenced = true, .allow = {Net("10.0.0.0/8")}};
  const Action by_sender = {.scope = Scope::kExternalLocal};

  const Fragment behind_fence = Compile(PlanOf(fenced, Many(2)), Compile(PlanOf(fenced, Many(8))));
  EXPECT_EQ(Chain(behind_fence, kFwNext), "masq_pick_8");

  const Fragment two_lists = Compile(PlanOf(by_sender, Many(2), Many(1)), Compile(PlanOf(by_sender, Many(8), Many(4))));
  EXPECT_EQ(Chain(two_lists, kExtInternal), "pick_8");
  EXPECT_EQ(Chain(two_lists, kExtExternal), "local_pick_4");
  EXPECT_TRUE(two_lists.shrinkable);
}

TEST(CompileServiceTest, TheClassOutlivesAChangeOfSnat) {
  const Fragment before = Compile(PlanOf({}, Many(8)));

  EXPECT_EQ(Chain(Compile(PlanOf({.snat = Snat::kAlways}, Many(3)), before)), "masq_pick_8");
}

// --- Comments ---

std::string CommentOf(const std::string& service, const std::string& port) {
  ServicePlan plan = PlanOf({}, {});
  plan.ports[0].name = {{"ns", service}, port, Protocol::kTcp};
  return Compile(plan).elements[0].element.value.comment;
}

TEST(CompileServiceTest, ACommentIsTheServicePortAsFarAsNftTakesIt) {
  EXPECT_EQ(CommentOf("web", "http"), "ns/web:http");
  EXPECT_EQ(CommentOf("web", ""), "ns/web");
  EXPECT_EQ(CommentOf(std::string(125, 'x'), ""), "ns/" + std::string(125, 'x')) << "128 bytes fit";
  const std::string cut = CommentOf(std::string(126, 'x'), "http");
  EXPECT_THAT(cut, SizeIs(kMaxComment));
  EXPECT_TRUE(cut.ends_with("x...")) << cut;
}

TEST(CompileServiceTest, ACommentCannotEndItsOwnQuotes) { EXPECT_EQ(CommentOf("a\"b\\c\nd", "\x7f"), "ns/a?b?c?d:?"); }

TEST(CompileServiceTest, EqualPlansWithEqualHistoriesGiveEqualFragments) {
  const Fragment history = Compile(PlanOf({}, Endpoints("abcdef")));

  EXPECT_EQ(Compile(PlanOf({}, Endpoints("adghi")), history), Compile(PlanOf({}, Endpoints("adghi")), history));
}

// --- Session affinity ---

// The elements of affinity alone: "aff_services 10.0.0.1:80/tcp > CHAIN", and how many may be remembered by which id.
std::vector<std::string> AffinityLines(const Fragment& fragment) {
  std::vector<std::string> lines;
  std::map<std::string, int> endpoints;
  for (const SetElement& e : fragment.elements) {
    if (absl::string_view(e.set) == kAffEndpoints) {
      ++endpoints[absl::BytesToHexString(
          absl::string_view(reinterpret_cast<const char*>(e.element.key.data()), 2 * sizeof(uint32_t)))];
    } else if (const auto* verdict = std::get_if<Verdict>(&e.element.value.data)) {
      lines.push_back(
          absl::StrCat(e.set, " ", verdict->code == Verdict::Code::kJump ? "jump " : "goto ", *verdict->chain));
    }
  }
  for (const auto& [id, count] : endpoints) lines.push_back(absl::StrCat(count, " to stay with"));
  return lines;
}

TEST(CompileServiceTest, AffinityAsksTheMemoryFirstAndFillsItAfterwards) {
  const AffinityId id = AffinityOf({{"ns", "web"}, "http", Protocol::kTcp}, /*local=*/false);
  const AffinityId here = AffinityOf({{"ns", "web"}, "http", Protocol::kTcp}, /*local=*/true);
  const std::string hex = absl::StrCat(absl::Hex(id, absl::kZeroPad16));
  const std::string hex_here = absl::StrCat(absl::Hex(here, absl::kZeroPad16));
  const auto compile = [](Action action) {
    action.affinity = absl::Seconds(60);
    return AffinityLines(Compile(PlanOf(action, Endpoints("ab"), Endpoints("a"))));
  };
  ASSERT_EQ(here, id + 1) << "the local list is remembered apart";

  EXPECT_THAT(
      compile({.snat = Snat::kAlways}),
      ElementsAre("aff_services jump aff_60_" + hex, "frontends goto masq_aff_" + hex + "_pick_2", "2 to stay with"));
  EXPECT_THAT(compile({.scope = Scope::kLocal}),
              ElementsAre("aff_services jump aff_60_" + hex_here, "frontends goto aff_" + hex_here + "_local_pick_1",
                          "1 to stay with"));
  EXPECT_THAT(compile({.scope = Scope::kExternalLocal}),
              ElementsAre("aff_services jump aff_ext_60_" + hex, "ext_external goto aff_" + hex_here + "_local_pick_1",
                          "ext_internal goto aff_" + hex + "_pick_2", "frontends goto ext_local", "2 to stay with",
                          "1 to stay with"));
}

TEST(CompileServiceTest, AllAddressesOfAPortShareOneMemory) {
  ServicePlan plan = PlanOf({.affinity = absl::Hours(3)}, Endpoints("abc"));
  plan.ports[0].frontends.push_back({{Ip("198.51.100.1"), Protocol::kTcp, 30080}, {.affinity = absl::Hours(3)}, true});
  ServicePlan other = PlanOf({.affinity = absl::Hours(3)}, Endpoints("abc"));
  other.ports[0].name.protocol = Protocol::kUdp;

  const std::vector<std::string> lines = AffinityLines(Compile(plan));

  EXPECT_EQ(lines[0], lines[1]) << "both lead to the same chain";
  EXPECT_EQ(lines.back(), "3 to stay with") << "the endpoints are not repeated";
  EXPECT_NE(AffinityLines(Compile(other))[0], lines[0]) << "another port is another memory";
}

// --- Names ---

TEST(RecordChainTest, ANameIsReadOnlyIfItIsWrittenLikeThat) {
  for (const char* name : {"aff_1_0123456789abcdef", "aff_86400_0000000000000000", "aff_ext_60_ffffffffffffffff"}) {
    ASSERT_TRUE(ParseRecordChain(name).has_value()) << name;
    EXPECT_EQ(FormatRecordChain(*ParseRecordChain(name)), name);
    EXPECT_TRUE(ForAffinity(name));
  }
  for (const char* name :
       {"aff_0_0123456789abcdef", "aff_060_0123456789abcdef", "aff_60_0123456789ABCDEF", "aff_60_0123",
        "aff_60_0123456789abcdef0", "aff_ext_0123456789abcdef", "aff_", "pick_1", "aff_0123456789abcdef_pick_1"}) {
    EXPECT_FALSE(ParseRecordChain(name).has_value()) << name;
  }
}

TEST(ChainsTest, AChainComesWithThoseItGoesOnTo) {
  EXPECT_THAT(WithTargets("pick_4"), ElementsAre("pick_4"));
  EXPECT_THAT(WithTargets("masq_local_pick_4"), ElementsAre("masq_local_pick_4", "local_pick_4"));
  EXPECT_THAT(WithTargets("offcl_aff_0123456789abcdef_pick_4"),
              ElementsAre("offcl_aff_0123456789abcdef_pick_4", "aff_0123456789abcdef_pick_4", "pick_4"));
  EXPECT_THAT(WithTargets("aff_ext_60_0123456789abcdee"),
              ElementsAre("aff_ext_60_0123456789abcdee", "aff_60_0123456789abcdee", "aff_60_0123456789abcdef"));
  EXPECT_FALSE(MadeOnDemand("services"));
}

TEST(PickChainTest, ANameIsReadOnlyIfItIsWrittenLikeThat) {
  for (const char* name :
       {"pick_1", "masq_pick_2", "offcl_pick_4", "local_pick_1", "masq_local_pick_1024", "offcl_local_pick_8",
        "pick_1048576", "aff_0123456789abcdef_pick_1", "masq_aff_0123456789abcdef_local_pick_2"}) {
    ASSERT_TRUE(ParsePickChain(name).has_value()) << name;
    EXPECT_EQ(FormatPickChain(*ParsePickChain(name)), name);
  }
  for (const char* name :
       {"", "pick", "pick_", "pick_0", "pick_3", "pick_04", "pick_+4", "pick_ 4", "pick_2097152", "pick_4294967296",
        "local_masq_pick_1", "masq_offcl_pick_1", "Pick_1", "pick_1x", "services", "aff_pick_1", "aff_0123_pick_1",
        "aff_0123456789ABCDEF_pick_1", "local_aff_0123456789abcdef_pick_1"}) {
    EXPECT_FALSE(ParsePickChain(name).has_value()) << name;
  }
}

}  // namespace
}  // namespace pointsman::nft
