// SPDX-License-Identifier: Apache-2.0
//
// Our listing against nft's own. Needs the nft program and the right to make a network namespace, and fails without.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include <nlohmann/json.hpp>

#include "pointsman/netlink.h"
#include "pointsman/nft_format.h"
#include "tests/support/netns.h"
#include "tests/support/nft_sample.h"
#include "tests/support/process.h"

namespace pointsman::nft {
namespace {

using support::NetNs;
using support::ProcessResult;
using support::RuleBuilder;
using support::SampleRuleset;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

ProcessResult Nft(NetNs& ns, std::vector<std::string> args, const std::string& input = "") {
  args.insert(args.begin(), "nft");
  return support::RunProcess(ns, args, {.stdin_text = input});
}

void Load(NetNs& ns, const std::string& text) {
  const ProcessResult result = Nft(ns, {"-f", "-"}, text);
  ASSERT_EQ(result.exit_code, 0) << result.err << "\nin\n" << text;
}

std::string List(NetNs& ns) {
  const ProcessResult result = Nft(ns, {"list", "ruleset"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.out;
}

// Splits at `separator` outside quotes.
std::vector<std::string> SplitUnquoted(absl::string_view text, char separator) {
  std::vector<std::string> parts(1);
  bool quoted = false;
  for (const char c : text) {
    if (c == '"') quoted = !quoted;
    if (c == separator && !quoted) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

// A listing with nothing left that nft does not promise: line breaks within lists, the order of elements, and of the
// objects of a table. Rules stay in order.
std::string Normalised(const std::string& listing) {
  std::vector<std::string> tables;
  std::vector<std::string> objects;
  std::string head;
  std::string object;
  std::string elements;
  for (const absl::string_view raw : absl::StrSplit(listing, '\n')) {
    const absl::string_view line = absl::StripAsciiWhitespace(raw);
    if (line.empty()) continue;
    if (!elements.empty() || absl::StartsWith(line, "elements = {")) {
      elements += std::string(line) + " ";
      if (!absl::EndsWith(line, "}")) continue;
      absl::string_view list = absl::StripAsciiWhitespace(elements);
      EXPECT_TRUE(absl::ConsumePrefix(&list, "elements = {") && absl::ConsumeSuffix(&list, "}"));
      std::vector<std::string> parts = SplitUnquoted(list, ',');
      for (std::string& part : parts) part = std::string(absl::StripAsciiWhitespace(part));
      std::sort(parts.begin(), parts.end());
      object += "    elements:\n      " + absl::StrJoin(parts, "\n      ") + "\n";
      elements.clear();
    } else if (!absl::StartsWith(raw, "\t")) {  // "table … {" or its end
      if (line != "}") {
        head = std::string(line) + "\n";
        continue;
      }
      std::sort(objects.begin(), objects.end());
      tables.push_back(head + absl::StrJoin(objects, ""));
      objects.clear();
    } else if (absl::StartsWith(raw, "\t\t")) {
      object += "    " + std::string(line) + "\n";
    } else if (line == "}") {
      objects.push_back(object);
      object.clear();
    } else if (object.empty() && !absl::EndsWith(line, "{")) {
      head += "  " + std::string(line) + "\n";  // the table's comment
    } else {
      object = "  " + std::string(line) + "\n";
    }
  }
  return absl::StrJoin(tables, "");
}

// JSON with handles and metainfo removed; elements and objects sorted, rules in order. One object a line.
std::string NormalisedJson(const std::string& text, bool without_what_nft_106_leaves_out) {
  nlohmann::json document = nlohmann::json::parse(text);
  std::vector<std::string> lines;
  std::vector<std::string> rules;
  for (nlohmann::json& entry : document["nftables"]) {
    const std::string kind = entry.begin().key();
    nlohmann::json& object = entry.begin().value();
    if (kind == "metainfo") {
      EXPECT_EQ(object["json_schema_version"], 1);
      continue;
    }
    object.erase("handle");
    if (object.contains("elem")) std::sort(object["elem"].begin(), object["elem"].end());
    if (without_what_nft_106_leaves_out) {
      if (kind == "table" || kind == "chain") object.erase("comment");
      if (object.contains("flags")) {
        nlohmann::json& flags = object["flags"];
        flags.erase(std::remove(flags.begin(), flags.end(), "dynamic"), flags.end());
        if (flags.empty()) object.erase("flags");
      }
    }
    (kind == "rule" ? rules : lines).push_back(entry.dump());
  }
  std::sort(lines.begin(), lines.end());
  lines.insert(lines.end(), rules.begin(), rules.end());
  return absl::StrJoin(lines, "\n");
}

// Everything in `ruleset`, as the changes that make it from nothing.
ChangeSet FromNothing(const Ruleset& ruleset) {
  ChangeSet changes;
  for (const auto& [family, table] : ruleset.tables) {
    changes.push_back(AddTable{family, table.comment});
    for (const auto& [name, chain] : table.chains) changes.push_back(AddChain{family, name, chain.hook, chain.comment});
    for (const auto& [name, set] : table.sets) {
      changes.push_back(AddSet{family, name, set.spec});
      AddElements add{family, name, set.spec, {}};
      for (const auto& [key, value] : set.elements) add.elements.push_back({key, value});
      if (!add.elements.empty()) changes.push_back(std::move(add));
    }
    for (const auto& [name, chain] : table.chains) {
      for (const Rule& rule : chain.rules) changes.push_back(AddRule{family, name, rule});
    }
  }
  return changes;
}

TEST(NetnsFormatTest, NftListsWhatItLoadedFromOurText) {
  NetNs ns("format");
  const std::string text = FormatText(SampleRuleset(/*affinity=*/false));
  ASSERT_THAT(text, Not(HasSubstr("#"))) << "the sample holds something that cannot be loaded";

  Load(ns, text);

  EXPECT_EQ(Normalised(List(ns)), Normalised(text));
}

TEST(NetnsFormatTest, OurTextMeansTheExpressionsOfTheProgram) {
  NetNs ns("format");
  const Ruleset ruleset = SampleRuleset(/*affinity=*/false);
  Load(ns, FormatText(ruleset));

  std::vector<std::string> wanted;
  for (const auto& [family, table] : ruleset.tables) {
    for (const auto& [name, chain] : table.chains) {
      for (Rule rule : chain.rules) {
        // A rule that cannot be read is shown by its expressions, which is what is wanted here.
        rule.exprs.push_back(Foreign{"end", ""});
        rule.comment.clear();
        const std::string text = FormatRule(family, rule);
        absl::string_view raw = text;
        ASSERT_TRUE(absl::ConsumePrefix(&raw, "# not understood: [ ") && absl::ConsumeSuffix(&raw, " ] [ end ]"));
        for (const absl::string_view expr : absl::StrSplit(raw, " ] [ ")) wanted.emplace_back(expr);
      }
    }
  }
  const ProcessResult listed = Nft(ns, {"--debug=netlink", "list", "ruleset"});
  std::vector<std::string> found;
  for (absl::string_view line : absl::StrSplit(listed.out + listed.err, '\n')) {
    if (!absl::ConsumePrefix(&line, "  [ ") || !absl::ConsumeSuffix(&line, "]")) continue;
    // What the kernel fills in by itself.
    std::string expr(absl::StripAsciiWhitespace(line));
    expr = absl::StrReplaceAll(expr, {{"dnat ip6 addr", "dnat addr"},
                                      {"dnat ip addr", "dnat addr"},
                                      {" timeout 0ms", ""},
                                      {" addr_max reg 1", ""},
                                      {" proto_max reg 9", ""},
                                      {" proto_max reg 2", ""},
                                      {" flags 0x3", ""}});
    found.push_back(expr);
  }
  EXPECT_GT(found.size(), 100u);
  EXPECT_EQ(absl::StrJoin(found, "\n"), absl::StrJoin(wanted, "\n"));
}

TEST(NetnsFormatTest, OurJsonIsTheJsonNftPrints) {
  NetNs ns("format");
  const Ruleset ruleset = SampleRuleset(/*affinity=*/false);
  Load(ns, FormatText(ruleset));

  const ProcessResult listed = Nft(ns, {"-j", "list", "ruleset"});

  ASSERT_EQ(listed.exit_code, 0) << listed.err;
  EXPECT_EQ(NormalisedJson(listed.out, false), NormalisedJson(FormatJson(ruleset), true));
}

TEST(NetnsFormatTest, RulesNftCannotReadBackAreCommentsAndTheRestStillLoads) {
  NetNs ns("format");
  const std::string text = FormatText(SampleRuleset(/*affinity=*/true));

  Load(ns, text);

  std::vector<std::string> without_comments;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::StartsWith(absl::StripLeadingAsciiWhitespace(line), "# nft cannot read this")) {
      without_comments.emplace_back(line);
    }
  }
  EXPECT_EQ(without_comments.size() + 3 + 5, std::vector<std::string>(absl::StrSplit(text, '\n')).size())
      << "the gc-interval, two rules of IPv4 and four of IPv6";
  EXPECT_EQ(Normalised(List(ns)), Normalised(absl::StrJoin(without_comments, "\n")));
}

TEST(NetnsFormatTest, NftRefusesTheRulesThatAreMarkedAsUnreadable) {
  // If this one fails, nft has learnt to read them: stop marking them.
  NetNs ns("format");
  const std::string text = FormatText(SampleRuleset(/*affinity=*/true));
  int refused = 0;
  for (const absl::string_view raw : absl::StrSplit(text, '\n')) {
    absl::string_view line = absl::StripAsciiWhitespace(raw);
    if (!absl::ConsumePrefix(&line, "# nft cannot read this rule back; it is installed over netlink: ")) continue;
    const std::string family = absl::StrContains(line, "ip6 ") ? "ip6" : "ip";
    Load(ns, text);
    const ProcessResult result =
        Nft(ns, {"-f", "-"}, "add rule " + family + " pointsman services " + std::string(line) + "\n");
    EXPECT_NE(result.exit_code, 0) << line;
    EXPECT_THAT(result.err, AnyOf(HasSubstr("variable sized data types"), HasSubstr("syntax error, unexpected &"),
                                  HasSubstr("netlink_gen_expr: Assertion")))
        << line;
    Load(ns, "flush ruleset\n");
    ++refused;
  }
  EXPECT_EQ(refused, 6);
  const ProcessResult result =
      Nft(ns, {"-f", "-"},
          "add table ip t\nadd map ip t m { type ipv4_addr : ipv4_addr ; timeout 3h ; gc-interval 1m ; }\n");
  EXPECT_THAT(result.err, HasSubstr("unexpected gc-interval"));
}

TEST(NetnsFormatTest, BehindTheMarksStandsWhatNftListsOnceItIsInstalled) {
  NetNs ns("format");
  const Ruleset ruleset = SampleRuleset(/*affinity=*/true);
  ns.Run([&] {
    const auto dataplane = OpenNftDataplane();
    ASSERT_TRUE(dataplane.ok()) << dataplane.status();
    const auto report = (*dataplane)->Commit(FromNothing(ruleset), kUnknownGeneration);
    ASSERT_TRUE(report.ok()) << report.status();
  });

  const std::string bare = absl::StrReplaceAll(
      FormatText(ruleset), {{"# nft cannot read this rule back; it is installed over netlink: ", ""},
                            {"# nft cannot read this line of a map back; it is set over netlink: ", ""}});
  EXPECT_EQ(Normalised(List(ns)), Normalised(bare));
}

TEST(NetnsFormatTest, AChangeSetLoadsAsCommands) {
  NetNs by_changes("format");
  NetNs by_text("format");
  const Ruleset ruleset = SampleRuleset(/*affinity=*/false);

  Load(by_changes, FormatChanges(FromNothing(ruleset)));
  Load(by_text, FormatText(ruleset));

  EXPECT_EQ(Normalised(List(by_changes)), Normalised(List(by_text)));
}

TEST(NetnsFormatTest, AChangeSetThatTakesAwayLoadsToo) {
  NetNs ns("format");
  Ruleset ruleset = SampleRuleset(/*affinity=*/false);
  Load(ns, FormatText(ruleset));

  ChangeSet changes;
  for (auto& [family, table] : ruleset.tables) {
    const auto remove = [&, f = family, t = &table](const std::string& name, size_t count) {
      Set& set = t->sets[name];
      DeleteElements op{f, name, set.spec, {}};
      while (op.elements.size() < count) {
        op.elements.push_back({set.elements.begin()->first, set.elements.begin()->second});
        set.elements.erase(set.elements.begin());
      }
      changes.push_back(op);
    };
    remove("endpoints", 2);
    remove("pod_cidrs", 1);
    remove("fw_sources", 2);
    remove("frontends", 3);
    // Flushed and filled again: both a map and a set.
    for (const char* name : {"endpoints_local", "hairpin"}) {
      Set& set = table.sets[name];
      changes.push_back(FlushSet{family, name, set.spec.is_map()});
      set.elements.erase(std::next(set.elements.begin()), set.elements.end());
      changes.push_back(
          AddElements{family, name, set.spec, {{set.elements.begin()->first, set.elements.begin()->second}}});
    }
    changes.push_back(FlushChain{family, "odds_and_ends"});
    table.chains["odds_and_ends"].rules = {RuleBuilder(family).Frontend().Vmap("frontends").Done("new")};
    changes.push_back(AddRule{family, "odds_and_ends", table.chains["odds_and_ends"].rules[0]});
    changes.push_back(FlushChain{family, "nat_input"});
    changes.push_back(DeleteChain{family, "nat_input"});
    table.chains.erase("nat_input");
    changes.push_back(DeleteSet{family, "nowhere"});
    table.sets.erase("nowhere");
  }
  Load(ns, FormatChanges(changes));

  EXPECT_EQ(Normalised(List(ns)), Normalised(FormatText(ruleset)));

  Load(ns, FormatChanges({DeleteTable{Family::kIpv4}, DeleteTable{Family::kIpv6}}));
  EXPECT_EQ(List(ns), "");
}

}  // namespace
}  // namespace pointsman::nft
