// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/body.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/kube/api.pb.h"
#include "tests/unit/agent/kube/pieces.h"

namespace pointsman::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kList = BodyReader::Form::kList;
constexpr auto kWatch = BodyReader::Form::kWatch;

// --- protobuf, written by hand so that it can be wrong

std::string Varint(uint64_t value) {
  std::string out;
  for (; value > 127; value >>= 7) out += static_cast<char>(value | 128);
  return out + static_cast<char>(value);
}

std::string Field(int number, absl::string_view bytes) {
  return absl::StrCat(Varint(static_cast<uint64_t>(number) << 3 | 2), Varint(bytes.size()), bytes);
}

// One field of each other wire type, of a number nobody has.
std::string UnknownFields() {
  return absl::StrCat(Varint(1000 << 3), Varint(UINT64_MAX), Varint(1001 << 3 | 1), std::string(8, '\xff'),
                      Varint(1002 << 3 | 5), std::string(4, '\xff'), Field(1003, "?"), Field(1004, ""));
}

std::string Enveloped(absl::string_view kind, absl::string_view raw) {
  return absl::StrCat(absl::string_view("k8s\0", 4), Field(1, absl::StrCat(Field(1, "v1"), Field(2, kind))),
                      Field(2, raw), Field(3, ""), Field(4, ""));
}

std::string NodeBytes(absl::string_view name, absl::string_view version) {
  return Field(1, absl::StrCat(Field(1, name), Field(6, version)));
}

std::string BookmarkBytes(absl::string_view version, absl::string_view annotation) {
  const std::string annotations =
      annotation.empty() ? "" : Field(12, absl::StrCat(Field(1, "k8s.io/initial-events-end"), Field(2, annotation)));
  return Field(1, absl::StrCat(Field(1, ""), Field(6, version), annotations));
}

std::string ListMetaBytes(absl::string_view version, absl::string_view more = "") {
  return Field(1, absl::StrCat(Field(1, ""), Field(2, version), Field(3, more)));
}

std::string Frame(absl::string_view event) {
  std::string out;
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(event.size() >> shift);
  return absl::StrCat(out, event);
}

std::string Event(absl::string_view type, absl::string_view kind, absl::string_view raw) {
  return Frame(absl::StrCat(Field(1, type), Field(2, Field(1, Enveloped(kind, raw)))));
}

Taken Take(BodyReader::Form form, Encoding encoding, absl::string_view body, size_t chunk = 0) {
  return TakeApart(Kind::kNode, form, encoding, body, chunk);
}

// --- what is good

struct GoodRow {
  const char* name;
  BodyReader::Form form;
  Encoding encoding;
  std::string body;
  std::vector<std::string> pieces;
};

const std::vector<std::string> kTwoNodes = {"list @7", "Node a @1", "Node b @2"};

std::vector<GoodRow> GoodRows() {
  const std::string list =
      absl::StrCat(ListMetaBytes("7"), Field(2, NodeBytes("a", "1")), Field(2, NodeBytes("b", "2")));
  const std::string bookmark = R"({"type": "BOOKMARK", "object": {"kind": "Node", "metadata": )";
  return {
      {"ProtobufList", kList, Encoding::kProtobuf, Enveloped("NodeList", list), kTwoNodes},
      {"ProtobufEmptyList", kList, Encoding::kProtobuf, Enveloped("NodeList", ListMetaBytes("7")), {"list @7"}},
      {"ProtobufListOfAnEmptyMeta", kList, Encoding::kProtobuf, Enveloped("NodeList", Field(1, "")), {"list @"}},
      {"ProtobufPage",
       kList,
       Encoding::kProtobuf,
       Enveloped("NodeList", absl::StrCat(ListMetaBytes("7", "token"), Field(2, NodeBytes("a", "1")))),
       {"list @7 and more", "Node a @1"}},
      {"ProtobufListWithMetadataLast",
       kList,
       Encoding::kProtobuf,
       Enveloped("NodeList", absl::StrCat(Field(2, NodeBytes("a", "1")), ListMetaBytes("7"))),
       {"Node a @1", "list @7"}},
      {"ProtobufListWithUnknownFieldsEverywhere", kList, Encoding::kProtobuf,
       absl::StrCat(absl::string_view("k8s\0", 4), UnknownFields(),
                    Field(1, absl::StrCat(UnknownFields(), Field(2, "NodeList"))), UnknownFields(),
                    Field(2, absl::StrCat(UnknownFields(), list, UnknownFields())), UnknownFields()),
       kTwoNodes},
      {"ProtobufPoison",
       kList,
       Encoding::kProtobuf,
       Enveloped("NodeList",
                 absl::StrCat(ListMetaBytes("7"), Field(2, "\xff"), Field(2, ""),
                              Field(2, absl::StrCat(NodeBytes("p", "3"), "\x12\x7f")), Field(2, NodeBytes("b", "2")))),
       {"list @7", "no object Node | error: Node: cannot be decoded: no such protobuf message; this Node is skipped",
        "no object Node | error: Node: metadata.name: is missing; this Node is skipped",
        "no object Node p @3 | error: Node p: cannot be decoded: no such protobuf message; this Node is skipped",
        "Node b @2"}},

      {"ProtobufWatch",
       kWatch,
       Encoding::kProtobuf,
       absl::StrCat(Event("ADDED", "Node", NodeBytes("a", "1")), Event("MODIFIED", "Node", NodeBytes("a", "2")),
                    Event("DELETED", "Node", NodeBytes("a", "3")), Event("BOOKMARK", "Node", BookmarkBytes("4", ""))),
       {"ADDED Node a @1", "MODIFIED Node a @2", "DELETED Node a @3", "BOOKMARK no object Node @4"}},
      {"ProtobufWatchOfNothing", kWatch, Encoding::kProtobuf, "", {}},
      {"ProtobufWatchWithUnknownFields",
       kWatch,
       Encoding::kProtobuf,
       Frame(absl::StrCat(
           UnknownFields(), Field(1, "ADDED"), UnknownFields(),
           Field(2, absl::StrCat(UnknownFields(), Field(1, Enveloped("Node", NodeBytes("a", "1") + UnknownFields())))),
           UnknownFields())),
       {"ADDED Node a @1"}},
      {"ProtobufEndOfInitialEvents",
       kWatch,
       Encoding::kProtobuf,
       absl::StrCat(Event("BOOKMARK", "Node", BookmarkBytes("4", "true")),
                    Event("BOOKMARK", "Node", BookmarkBytes("5", "false"))),
       {"BOOKMARK no object Node @4 end of initial events", "BOOKMARK no object Node @5"}},
      {"ProtobufError",
       kWatch,
       Encoding::kProtobuf,
       Event("ERROR", "Status", absl::StrCat(Field(3, "too old"), Field(4, "Expired"), "\x30\x9a\x03")),
       {"ERROR 410 Expired: too old"}},
      {"ProtobufErrorOfAnotherKind",
       kWatch,
       Encoding::kProtobuf,
       Event("ERROR", "Node", NodeBytes("a", "1")),
       {"ERROR 0 : an error event that cannot be decoded: this is of kind \"Node\", and not Status"}},
      {"ProtobufEventsOfUnknownTypes",
       kWatch,
       Encoding::kProtobuf,
       absl::StrCat(Event("MOVED", "Node", NodeBytes("a", "1")), Frame(""),
                    Event("ADDED", "Node", NodeBytes("b", "2"))),
       {"OTHER", "OTHER", "ADDED Node b @2"}},
      {"ProtobufEventsThatCannotBeDecoded",
       kWatch,
       Encoding::kProtobuf,
       absl::StrCat(Event("ADDED", "Pod", NodeBytes("a", "1")), Frame(Field(1, "ADDED")),
                    Event("DELETED", "Node", absl::StrCat(NodeBytes("a", "3"), "\x12\x7f")),
                    Event("BOOKMARK", "Node", "\xff"), Event("ADDED", "Node", NodeBytes("b", "2"))),
       {"ADDED no object Node | error: Node: cannot be decoded: this is of kind \"Pod\"; this Node is skipped",
        "ADDED no object Node | error: Node: cannot be decoded: an object is not in the envelope of Kubernetes; this "
        "Node is skipped",
        "DELETED no object Node a @3 | error: Node a: cannot be decoded: no such protobuf message; this Node is "
        "skipped",
        "BOOKMARK no object Node | error: Node: cannot be decoded: no such protobuf message; this Node is skipped",
        "ADDED Node b @2"}},

      {"JsonList", kList, Encoding::kJson,
       R"({"kind":"NodeList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[)"
       R"({"metadata":{"name":"a","resourceVersion":"1"}},{"metadata":{"name":"b","resourceVersion":"2"}}]})",
       kTwoNodes},
      {"JsonListInAnotherOrderAndSpaced",
       kList,
       Encoding::kJson,
       "\r\n { \"items\" : [ { \"metadata\" : { \"resourceVersion\" : \"1\" , \"name\" : \"a\" } }\t,\n"
       "{\"metadata\":{\"name\":\"b\",\"resourceVersion\":\"2\"}} ] ,\n\"more\":[[],{}],\"number\":-1.5e3 ,"
       "\"metadata\":{\"resourceVersion\":\"7\"},\"kind\":\"NodeList\" } \n",
       {"Node a @1", "Node b @2", "list @7"}},
      {"JsonEmptyLists",
       kList,
       Encoding::kJson,
       R"({"metadata":{"resourceVersion":"7","continue":"x"},"items":[]})",
       {"list @7 and more"}},
      {"JsonItemsOfNull", kList, Encoding::kJson, R"({"items":null,"metadata":{"resourceVersion":"7"}})", {"list @7"}},
      {"JsonTextsThatLookLikeStructure",
       kList,
       Encoding::kJson,
       R"({"a":"]}\"{","b\"":{"c":"\\"},"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"a",)"
       R"("resourceVersion":"1","annotations":{"x":"\\\"}],[{","k8s\u002eio":"\u007d"}}}]})",
       {"list @7", "Node a @1"}},
      {"JsonPoison",
       kList,
       Encoding::kJson,
       R"({"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"p"},"spec":[]},17,)"
       R"({"metadata":{"name":"b","resourceVersion":"2"}}]})",
       {"list @7",
        "no object Node p | error: Node p: cannot be decoded: spec: Proto field is not repeating, cannot start "
        "list.; this Node is skipped",
        "no object Node | error: Node: cannot be decoded: Root element must be a message.; this Node is skipped",
        "Node b @2"}},

      {"JsonWatch",
       kWatch,
       Encoding::kJson,
       absl::StrCat(R"({"type":"ADDED","object":{"kind":"Node","metadata":{"name":"a","resourceVersion":"1"}}})", "\n",
                    R"({"object":{"metadata":{"name":"a","resourceVersion":"2"}},"type":"MODIFIED"})",
                    R"({ "type" : "DELETED", "more": 1, "object" : {"metadata":{"name":"a","resourceVersion":"3"}} })",
                    "\r\n\r\n", bookmark, R"({"resourceVersion":"4"}}})", bookmark,
                    R"({"resourceVersion":"5","annotations":{"k8s.io/initial-events-end":"true"}},"spec":null}})"),
       {"ADDED Node a @1", "MODIFIED Node a @2", "DELETED Node a @3", "BOOKMARK no object Node @4",
        "BOOKMARK no object Node @5 end of initial events"}},
      {"JsonError",
       kWatch,
       Encoding::kJson,
       R"({"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}})",
       {"ERROR 410 Expired: too old"}},
      {"JsonOddEvents",
       kWatch,
       Encoding::kJson,
       R"({"type":"MOVED","object":{}}{}{"type":"ADDED"}{"type":"ADDED","object":{"kind":"Pod"}}{"type":"\u0041DDED",)"
       R"("object":{"metadata":{"name":"b"}}})",
       {"OTHER", "OTHER",
        "ADDED no object Node | error: Node: cannot be decoded: Unexpected end of string. Expected a value.; this Node "
        "is skipped",
        "ADDED no object Node | error: Node: cannot be decoded: this is of kind \"Pod\"; this Node is skipped",
        "ADDED Node b"}},
  };
}

class GoodBodyTest : public ::testing::TestWithParam<GoodRow> {};

TEST_P(GoodBodyTest, GivesItsPiecesWhateverTheChunks) {
  for (const size_t chunk : {0, 1, 2, 3, 7, 100}) {
    const Taken taken = Take(GetParam().form, GetParam().encoding, GetParam().body, chunk);
    EXPECT_TRUE(taken.status.ok()) << chunk << ": " << taken.status;
    EXPECT_EQ(Describe(taken.pieces), GetParam().pieces) << chunk;
  }
}

TEST_P(GoodBodyTest, CutInTwoAnywhereItGivesTheSame) {
  for (size_t at = 0; at <= GetParam().body.size(); ++at) {
    BodyReader reader(Kind::kNode, GetParam().form, GetParam().encoding);
    std::vector<std::string> pieces;
    const absl::string_view body = GetParam().body;
    for (const absl::string_view part : {body.substr(0, at), absl::string_view(), body.substr(at)}) {
      ASSERT_TRUE(reader.Push(part, [&](const Piece& piece) { pieces.push_back(Describe(piece)); }).ok()) << at;
    }
    EXPECT_TRUE(reader.Finish().ok()) << at;
    ASSERT_EQ(pieces, GetParam().pieces) << at;
  }
}

TEST_P(GoodBodyTest, CutShortAnywhereItGivesWhatWasComplete) {
  const std::vector<std::string>& whole = GetParam().pieces;
  for (size_t length = 0; length < GetParam().body.size(); ++length) {
    const Taken taken =
        Take(GetParam().form, GetParam().encoding, absl::string_view(GetParam().body).substr(0, length));
    const std::vector<std::string> pieces = Describe(taken.pieces);
    ASSERT_LE(pieces.size(), whole.size()) << length;
    ASSERT_EQ(pieces, std::vector<std::string>(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(pieces.size())));
    // Between events a watch may end; of a list that is complete only what follows it may be missing.
    const bool may_end = GetParam().form == kWatch || pieces.size() == whole.size();
    ASSERT_TRUE((may_end && taken.status.ok()) || taken.status.code() == absl::StatusCode::kDataLoss) << length;
  }
}

INSTANTIATE_TEST_SUITE_P(Bodies, GoodBodyTest, ::testing::ValuesIn(GoodRows()),
                         [](const auto& row) { return row.param.name; });

// --- what is not

struct BadRow {
  const char* name;
  BodyReader::Form form;
  Encoding encoding;
  std::string body;
  std::vector<std::string> pieces;  // those before
  const char* problem;
};

std::vector<BadRow> BadRows() {
  const std::string meta = ListMetaBytes("7");
  const std::string json = R"({"kind":"NodeList","metadata":{"resourceVersion":"7"},"items":[)";
  return {
      {"ProtobufOfNothing", kList, Encoding::kProtobuf, "", {}, "ends in the middle"},
      {"ProtobufWithoutMagic", kList, Encoding::kProtobuf, "{\"kind\":1}", {}, "not in the envelope"},
      {"ProtobufOfAnotherKind", kList, Encoding::kProtobuf, Enveloped("PodList", meta), {}, "\"PodList\""},
      {"ProtobufOfNoKind", kList, Encoding::kProtobuf, Enveloped("", meta), {}, "not NodeList"},
      {"ProtobufOfOneObject", kList, Encoding::kProtobuf, Enveloped("Node", NodeBytes("a", "1")), {}, "\"Node\""},
      {"ProtobufStatus", kList, Encoding::kProtobuf, Enveloped("Status", Field(3, "no entry")), {}, "no entry"},
      {"ProtobufListWithoutMetadata",
       kList,
       Encoding::kProtobuf,
       Enveloped("NodeList", Field(2, NodeBytes("a", "1"))),
       {"Node a @1"},
       "no metadata"},
      {"ProtobufEnvelopeOnly", kList, Encoding::kProtobuf, std::string("k8s\0", 4), {}, "no metadata"},
      {"ProtobufItemLongerThanItsList",
       kList,
       Encoding::kProtobuf,
       Enveloped("NodeList", absl::StrCat(meta, "\x12\x7f")),
       {"list @7"},
       "damaged"},
      {"ProtobufTagAcrossTheEndOfItsList",
       kList,
       Encoding::kProtobuf,
       Enveloped("NodeList", absl::StrCat(meta, "\x92")),
       {"list @7"},
       "longer than it says"},
      {"ProtobufGroup", kList, Encoding::kProtobuf, Enveloped("NodeList", meta + "\x0b"), {"list @7"}, "damaged"},
      {"ProtobufEndlessVarint",
       kList,
       Encoding::kProtobuf,
       absl::StrCat(absl::string_view("k8s\0", 4), std::string(11, '\xff')),
       {},
       "damaged"},
      {"ProtobufItemTooLarge",
       kList,
       Encoding::kProtobuf,
       absl::StrCat(absl::string_view("k8s\0", 4), Field(1, Field(2, "NodeList")), "\x12", Varint(1ULL << 40), meta,
                    "\x12", Varint(kMaxFrame + 1)),
       {"list @7"},
       "16777217 bytes"},
      {"ProtobufItemAbsurdlyLarge",
       kList,
       Encoding::kProtobuf,
       absl::StrCat(absl::string_view("k8s\0", 4), Field(1, Field(2, "NodeList")), "\x12", Varint(UINT64_MAX)),
       {},
       "damaged"},
      {"ProtobufFrameTooLarge",
       kWatch,
       Encoding::kProtobuf,
       Event("ADDED", "Node", NodeBytes("a", "1")) + std::string("\x01\x00\x00\x01", 4),
       {"ADDED Node a @1"},
       "16777217 bytes"},
      {"ProtobufFrameOfNoEvent", kWatch, Encoding::kProtobuf, Frame("\x0a\x7f"), {}, "no watch event"},
      {"ProtobufFrameOfNoObject", kWatch, Encoding::kProtobuf, Frame(Field(2, "\x0a\x7f")), {}, "no watch event"},
      {"ProtobufWatchThatIsJson", kWatch, Encoding::kProtobuf, R"({"type":"ADDED"})", {}, "bytes"},

      {"JsonOfNothing", kList, Encoding::kJson, " \n", {}, "ends in the middle"},
      {"JsonOfAnotherKind", kList, Encoding::kJson, R"({"kind":"PodList","items":[{}]})", {}, "\"PodList\""},
      {"JsonStatus",
       kList,
       Encoding::kJson,
       R"({"kind":"Status","metadata":{},"message":"no \"entry\"","code":403})",
       {},
       "no \"entry\""},
      {"JsonListWithoutMetadata", kList, Encoding::kJson, R"({"items":[]})", {}, "no metadata"},
      {"JsonMetadataOfAnotherShape", kList, Encoding::kJson, R"({"metadata":[]})", {}, ""},
      {"JsonTwoLists", kList, Encoding::kJson, json + "]}{}", {"list @7"}, "something follows"},
      {"JsonItemsAreNoList", kList, Encoding::kJson, R"({"items":{}})", {}, "\"items\""},
      {"JsonWithoutComma",
       kList,
       Encoding::kJson,
       json + "{} {}]}",
       {"list @7",
        "no object Node | error: Node: "
        "metadata.name: is missing; this Node is skipped"},
       "comma"},
      {"JsonWithATrailingComma", kList, Encoding::kJson, json + "],}", {"list @7"}, "name of a member"},
      {"JsonWithoutColon", kList, Encoding::kJson, R"({"a" 1})", {}, "colon"},
      {"JsonWithoutValue", kList, Encoding::kJson, R"({"a":})", {}, "value"},
      {"JsonWithoutElement", kList, Encoding::kJson, json + ",]}", {"list @7"}, "element"},
      {"JsonKeyIsNoText", kList, Encoding::kJson, "{1:2}", {}, "name of a member"},
      {"JsonIsText", kList, Encoding::kJson, "upstream connect error", {}, "beginning of an object"},
      {"JsonWatchIsAList", kWatch, Encoding::kJson, "[]", {}, "beginning of an object"},
  };
}

class BadBodyTest : public ::testing::TestWithParam<BadRow> {};

TEST_P(BadBodyTest, IsGivenUpWithTheReason) {
  for (const size_t chunk : {0, 1}) {
    const Taken taken = Take(GetParam().form, GetParam().encoding, GetParam().body, chunk);
    EXPECT_EQ(taken.status.code(), absl::StatusCode::kDataLoss) << chunk;
    EXPECT_THAT(std::string(taken.status.message()), HasSubstr(GetParam().problem)) << chunk;
    EXPECT_EQ(Describe(taken.pieces), GetParam().pieces) << chunk;
  }
}

INSTANTIATE_TEST_SUITE_P(Bodies, BadBodyTest, ::testing::ValuesIn(BadRows()),
                         [](const auto& row) { return row.param.name; });

TEST(BodyTest, WhatHasFailedStaysFailed) {
  const auto none = [](const Piece& piece) { ADD_FAILURE() << Describe(piece); };
  BodyReader reader(Kind::kNode, kWatch, Encoding::kJson);
  const absl::Status failed = reader.Push("?", none);
  EXPECT_EQ(failed.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(reader.Push(R"({"type":"ADDED","object":{"metadata":{"name":"a"}}})", none), failed);
  EXPECT_EQ(reader.Finish(), failed);
}

// An object of exactly `size` bytes, most of which nobody reads.
std::string Padded(std::string bytes, size_t size) {
  const size_t room = size - bytes.size();
  std::string padding = Field(1003, std::string(room - 6, 'x'));  // tag of 2, length of 4
  EXPECT_EQ(padding.size(), room);
  return bytes + padding;
}

TEST(BodyTest, TheLargestObjectIsTakenAndNoLargerOne) {
  const std::string largest = Padded(NodeBytes("a", "1"), kMaxFrame);
  const auto list = [](absl::string_view item) {
    return Enveloped("NodeList", absl::StrCat(ListMetaBytes("7"), Field(2, item), Field(2, NodeBytes("b", "2"))));
  };
  EXPECT_EQ(Describe(Take(kList, Encoding::kProtobuf, list(largest), 16384).pieces), kTwoNodes);
  EXPECT_EQ(Take(kList, Encoding::kProtobuf, list(largest + UnknownFields())).status.code(),
            absl::StatusCode::kDataLoss);

  const std::string event = absl::StrCat(Field(1, "ADDED"), Field(2, Field(1, Enveloped("Node", NodeBytes("a", "1")))));
  EXPECT_THAT(Describe(Take(kWatch, Encoding::kProtobuf, Frame(Padded(event, kMaxFrame)), 16384).pieces),
              ElementsAre("ADDED Node a @1"));
  EXPECT_EQ(Take(kWatch, Encoding::kProtobuf, Frame(Padded(event, kMaxFrame + 1))).status.code(),
            absl::StatusCode::kDataLoss);

  const auto json = [](size_t size) {
    const std::string begin = R"({"metadata":{"name":"a","resourceVersion":"1"},"x":")";
    return absl::StrCat(begin, std::string(size - begin.size() - 2, 'x'), "\"}");
  };
  const auto json_list = [](absl::string_view item) {
    return absl::StrCat(R"({"metadata":{"resourceVersion":"7"},"items":[)", item, "]}");
  };
  EXPECT_THAT(Describe(Take(kList, Encoding::kJson, json_list(json(kMaxFrame)), 16384).pieces),
              ElementsAre("list @7", "Node a @1"));
  for (const size_t chunk : {0, 16384}) {
    const Taken taken = Take(kList, Encoding::kJson, json_list(json(kMaxFrame + 1)), chunk);
    EXPECT_EQ(taken.status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(Describe(taken.pieces), ElementsAre("list @7"));
  }
  // What nobody asks for may be of any size.
  EXPECT_TRUE(Take(kList, Encoding::kJson,
                   absl::StrCat(R"({"metadata":{"resourceVersion":"7"},"more":)", json(kMaxFrame + 1), "}"), 16384)
                  .status.ok());
}

TEST(BodyTest, AReaderMayBeMovedInTheMiddle) {
  std::vector<std::string> pieces;
  const auto take = [&](const Piece& piece) { pieces.push_back(Describe(piece)); };
  const std::string event = Event("ADDED", "Node", NodeBytes("a", "1"));
  BodyReader first(Kind::kNode, kWatch, Encoding::kProtobuf);
  ASSERT_TRUE(first.Push(absl::string_view(event).substr(0, 9), take).ok());
  BodyReader second = std::move(first);
  ASSERT_TRUE(second.Push(absl::string_view(event).substr(9), take).ok());
  EXPECT_THAT(pieces, ElementsAre("ADDED Node a @1"));
}

}  // namespace
}  // namespace pointsman::kube
