// SPDX-License-Identifier: Apache-2.0
//
// Texts that are no manifests: what is said of them, and that none of them costs more than its size.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/source/yaml_codec.h"

namespace pointsman {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kHead[] = "kind: Service\nmetadata: {name: a}\nspec:\n";  // three lines

struct SyntaxRow {
  const char* name;
  std::string text;
  const char* where;
  const char* problem;
  const char* hint;
};

class SyntaxTest : public ::testing::TestWithParam<SyntaxRow> {};

TEST_P(SyntaxTest, TheReasonIsToldWhereItIs) {
  const ParsedManifests parsed = ParseManifests("m.yaml", GetParam().text);

  EXPECT_FALSE(parsed.sound);
  EXPECT_THAT(parsed.objects, IsEmpty());
  ASSERT_THAT(parsed.diagnostics, SizeIs(1));
  const Diagnostic& told = parsed.diagnostics[0];
  EXPECT_EQ(told.where, absl::StrCat("m.yaml:", GetParam().where));
  EXPECT_EQ(told.problem, GetParam().problem);
  EXPECT_EQ(told.effect, "nothing of this file is used");
  EXPECT_EQ(told.hint, GetParam().hint);
}

constexpr char kUnclosed[] = "a quoted text is not closed before the end of the file";
constexpr char kQuote[] = "add the closing quote";

INSTANTIATE_TEST_SUITE_P(
    Texts, SyntaxTest,
    ::testing::Values(
        SyntaxRow{"KeyTooDeep", absl::StrCat(kHead, "  ports:\n  - port: 8761\n      protocol: TCP\n"), "6:7",
                  "`protocol:` is indented 2 columns deeper than `port:` in line 5, which already has a value",
                  "keys of one map line up: start `protocol:` in column 5"},
        SyntaxRow{
            "KeyTooDeepInTheMiddle",
            absl::StrCat(kHead,
                         "  ports:\n  - name: x\n    port: 8761\n\n     # why\n     protocol: TCP\n    nodePort: 1\n"),
            "9:6", "`protocol:` is indented 1 column deeper than `port:` in line 6, which already has a value",
            "keys of one map line up: start `protocol:` in column 5"},
        SyntaxRow{"KeyNotDeepEnough", absl::StrCat(kHead, "  ports:\n  - port: 8761\n   protocol: TCP\n"), "6:4",
                  "`protocol:` starts in column 4, where no key above it does; `port:` in line 5 starts in column 5",
                  "keys of one map line up: indent it like its siblings"},
        SyntaxRow{"MapClosesHalfway", "kind: Service\nmetadata:\n    name: a\n  namespace: b\n", "4:3",
                  "`namespace:` starts in column 3, where no key above it does; `name:` in line 3 starts in column 5",
                  "keys of one map line up: indent it like its siblings"},
        SyntaxRow{"ItemNotDeepEnough", absl::StrCat(kHead, "  ports:\n    - port: 1\n  - port: 2\n"), "6:3",
                  "this item starts in column 3, the items above it in column 5",
                  "items of one list line up: start the `-` in column 5"},
        SyntaxRow{"TwoPairsInALine", absl::StrCat(kHead, "  ports:\n  - port: 8761 protocol: TCP\n"), "5:24",
                  "the value of `port:` holds another `key: value`",
                  "put each key on a line of its own, or quote the value"},
        SyntaxRow{"NoBlankAfterColon", absl::StrCat(kHead, "  ports:\n  - port:8761\n    protocol: TCP\n"), "5:10",
                  "there is no blank after `port:`", "write `port: 8761`"},
        SyntaxRow{"Tab", absl::StrCat(kHead, "\tports: []\n"), "4:1",
                  "a tab is used to indent this line; YAML takes blanks only",
                  "replace the tab by blanks, to the column of the key's siblings"},
        SyntaxRow{"TabAfterBlanks", absl::StrCat(kHead, "  type: x\n  \tports: []\n"), "5:3",
                  "a tab is used to indent this line; YAML takes blanks only",
                  "replace the tab by blanks, to the column of the key's siblings"},
        SyntaxRow{"Template", "{{ if x }}\nkind: Service\n{{ end }}\n", "1:1",
                  "this looks like a template that was never rendered",
                  "give the rendered manifest, for instance the output of `helm template`"},
        SyntaxRow{"QuoteOpenAtTheEnd", "kind: Service\nmetadata:\n  name: \"a\n  namespace: b\n", "3:9", kUnclosed,
                  kQuote},
        SyntaxRow{"SingleQuoteOpenAtTheEnd",
                  "kind: Service\r\nmetadata:\r\n  note: 'it''s \xc3\xa9'\r\n  name: 'it''s\r\n", "4:9", kUnclosed,
                  kQuote},
        SyntaxRow{"HalfOfAJsonText", "{\"kind\": \"Service\", \"metadata\": {\"name\": \"a", "1:44", kUnclosed, kQuote},
        SyntaxRow{"JsonNotClosed", "{\"kind\": \"Service\",\n\"spec\": {\n", "3:1",
                  "a `{` is not closed, or a comma is missing before here", "close it with `}`"},
        SyntaxRow{"ListNotClosed", absl::StrCat(kHead, "  externalIPs: [192.0.2.1, 192.0.2.2\n"), "5:1",
                  "a `[` is not closed, or a comma is missing before here", "close it with `]`"},
        SyntaxRow{"BracketTooMany", "metadata: }\n", "1:11", "a closing bracket that matches no open one", ""},
        SyntaxRow{"ReservedCharacter", "kind: @Service\n", "1:7", "a value cannot begin with this character",
                  "put the value in quotes"},
        SyntaxRow{"UnknownEscape", "kind: \"\\q\"\n", "1:10", "unknown escape character: q",
                  "write \\\\ for a backslash, or use single quotes"},
        SyntaxRow{"UnknownAnchor", "kind: *x\n", "1:7",
                  "an alias (`*name`) refers to an anchor (`&name`) not seen before it",
                  "quote the value if it is not meant as an alias"},
        SyntaxRow{"AliasOfItself", "kind: &x [*x]\n", "1:11",
                  "not valid YAML: an alias refers to the node it is part of", ""},
        SyntaxRow{"DocumentsWithoutSeparator", "  kind: Node\n  metadata: {name: a}\nspec: {}\n", "3:1",
                  "`spec:` starts in column 1, where no key above it does; `metadata:` in line 2 starts in column 3",
                  "keys of one map line up: indent it like its siblings"},
        SyntaxRow{"OneWord", "apiVers", "1:1", "this is no manifest", "begin it with `apiVersion:` and `kind:`"},
        SyntaxRow{"TopLevelList", "- kind: Node\n", "1:1", "this is no manifest",
                  "begin it with `apiVersion:` and `kind:`"},
        SyntaxRow{"Nul", std::string("kind: Node\nmetadata: {name: \0}\n", 31), "2:18",
                  "the control character 0x00 cannot be part of YAML",
                  "remove it; a file written by halves may hold such bytes"},
        // The parser would take it for the end of the text.
        SyntaxRow{"EndOfTransmission", "kind: Node\n\x04metadata: {name: a}\n", "2:1",
                  "the control character 0x04 cannot be part of YAML",
                  "remove it; a file written by halves may hold such bytes"},
        SyntaxRow{"Latin1", "kind: Node\nnote: caf\xe9\n", "2:10", "the byte 0xe9 is not UTF-8",
                  "save the file as UTF-8"},
        SyntaxRow{"Utf16", std::string("\xff\xfek\0", 4), "1:1", "the byte 0xff is not UTF-8",
                  "save the file as UTF-8"},
        SyntaxRow{"OverlongUtf8", "a: \xc0\xaf\n", "1:4", "the byte 0xc0 is not UTF-8", "save the file as UTF-8"}),
    [](const auto& row) { return row.param.name; });

TEST(YamlSyntaxTest, ASoundDocumentBeforeABrokenOneIsNotUsedEither) {
  const ParsedManifests parsed = ParseManifests("m.yaml", "kind: Node\nmetadata: {name: a}\n---\nkind: [\n");

  EXPECT_FALSE(parsed.sound);
  EXPECT_THAT(parsed.objects, IsEmpty());
}

std::string Repeat(absl::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) absl::StrAppend(&all, text);
  return all;
}

// Ten levels of ten aliases each: 10^10 nodes to whoever walks them.
std::string Bomb(absl::string_view before, absl::string_view after) {
  std::string text = absl::StrCat(before, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
  for (int i = 1; i < 10; ++i) {
    const std::string alias = absl::StrCat("*a", i - 1);
    absl::StrAppend(&text, "a", i, ": &a", i, " [", Repeat(absl::StrCat(alias, ", "), 9), alias, "]\n");
  }
  return absl::StrCat(text, after);
}

struct HostileRow {
  const char* name;
  std::string text;
};

class HostileTest : public ::testing::TestWithParam<HostileRow> {};

TEST_P(HostileTest, AHostileTextIsRefusedAndNothingElseHappens) {
  const ParsedManifests parsed = ParseManifests("m.yaml", GetParam().text);

  EXPECT_FALSE(parsed.sound);
  EXPECT_THAT(parsed.objects, IsEmpty());
  EXPECT_THAT(parsed.diagnostics, SizeIs(1));
}

INSTANTIATE_TEST_SUITE_P(
    Texts, HostileTest,
    ::testing::Values(HostileRow{"Brackets", Repeat("[", 1'000'000)}, HostileRow{"Braces", Repeat("{", 1'000'000)},
                      HostileRow{"BracketsOnLines", Repeat("[\n", 100'000)},
                      HostileRow{"BracketsAndItems", Repeat("[x, ", 100'000)},
                      HostileRow{"Dashes", Repeat("- ", 100'000)}, HostileRow{"Questions", Repeat("? ", 100'000)},
                      HostileRow{"AliasBomb", Bomb("", "kind: Node\nmetadata: *a9\n")},
                      HostileRow{"MergeBomb", absl::StrCat("a0: &a0 {", Repeat("k: v, ", 999), "k: v}\n", "a1: [",
                                                           Repeat("{<<: *a0}, ", 1000), "x]\n")},
                      // The parser finds empty documents without end in these.
                      HostileRow{"StrayComma", "kind: Node\n...\n,x\n"}, HostileRow{"CommaFirst", ",x\n"},
                      HostileRow{"ManyAnchors", Repeat("&a ", 100'000)}),
    [](const auto& row) { return row.param.name; });

TEST(YamlSyntaxTest, AListOfAliasedListsIsReadNoDeeperThanListsGo) {
  std::string text = "kind: List\nitems:\n- &l0 {kind: Node, metadata: {name: a}}\n";
  for (int i = 1; i < 9; ++i) absl::StrAppend(&text, "- &l", i, " {kind: List, items: [*l", i - 1, "]}\n");

  const ParsedManifests parsed = ParseManifests("m.yaml", text);

  EXPECT_TRUE(parsed.sound);
  EXPECT_THAT(parsed.objects, SizeIs(4));
}

TEST(YamlSyntaxTest, TreesDeepenedByAliasesDoNotExhaustTheStack) {
  // Each line nests the one before it 400 deeper; the keys repeat, so that the whole tree is searched.
  std::string text = "kind: Node\nmetadata: {name: a}\nx: &a0 {k: 1, k: 2}\n";
  for (int i = 1; i < 2000; ++i) {
    absl::StrAppend(&text, "x", i, ": &a", i, " ", Repeat("[", 400), "*a", i - 1, Repeat("]", 400), "\n");
  }

  const ParsedManifests parsed = ParseManifests("m.yaml", text);

  EXPECT_THAT(parsed.objects, SizeIs(parsed.sound ? 1 : 0));
}

}  // namespace
}  // namespace pointsman
