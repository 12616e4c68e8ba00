// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "netlink/core/ask.h"
#include "netlink/core/attr.h"
#include "netlink/core/batch.h"
#include "netlink/core/error.h"
#include "netlink/core/uapi.h"
#include "tests/unit/netlink/changes.h"
#include "tests/unit/netlink/fake_kernel.h"

namespace pointsman::nl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

// --- attributes ------------------------------------------------------------------------------------------------------

TEST(AttrsTest, ReadsBigEndianIntegersStringsAndNests) {
  const auto bytes = FromHex(
      "0800010000000102"          // 1: a word
      "0c0002000000000000000103"  // 2: a double word
      "0500030007000000"          // 3: a byte
      "070004006d6170000b000500"  // 4: text without its NUL, 5: text and something after its NUL
      "61620063646566000c000680"  // 6: a nest
      "08000100000000ff");
  Attrs attrs(bytes);
  EXPECT_EQ(attrs.U32(1), 0x102U);
  EXPECT_EQ(attrs.U64(2), 0x103U);
  EXPECT_EQ(attrs.U8(3), 7);
  EXPECT_EQ(attrs.Str(4), "map");
  EXPECT_EQ(attrs.Str(5), "ab");
  EXPECT_EQ(attrs.Nested(6).U32(1), 0xffU);
  EXPECT_TRUE(attrs.ok());
}

TEST(AttrsTest, WhatIsAbsentReadsAsNothingAndIsNoError) {
  Attrs attrs({});
  EXPECT_EQ(attrs.U8(1), 0);
  EXPECT_EQ(attrs.U32(1), 0U);
  EXPECT_EQ(attrs.U64(1), 0U);
  EXPECT_EQ(attrs.Str(1), "");
  EXPECT_THAT(attrs.Raw(1), IsEmpty());
  EXPECT_FALSE(attrs.Nested(1).Has(1));
  EXPECT_FALSE(attrs.Has(1));
  EXPECT_TRUE(attrs.ok());
}

TEST(AttrsTest, AWrongLengthSpoilsForGood) {
  const auto bytes = FromHex(
      "0600010000010000"
      "0800020000000005");
  Attrs attrs(bytes);
  ASSERT_TRUE(attrs.ok());
  EXPECT_EQ(attrs.U32(1), 0U);
  EXPECT_EQ(attrs.U32(2), 5U);
  EXPECT_FALSE(attrs.ok());
}

TEST(AttrsTest, LengthsThatDoNotAddUpAreMalformed) {
  for (const char* hex : {"03000100", "00000100", "0900010000000000", "ffff0100"}) {
    EXPECT_FALSE(Attrs(FromHex(hex)).ok()) << hex;
  }
  const auto bytes = FromHex("0800018009000100");
  Attrs outer(bytes);
  ASSERT_TRUE(outer.ok());
  outer.Nested(1);
  EXPECT_FALSE(outer.ok());
  EXPECT_TRUE(Attrs(FromHex("080001000000000500")).ok()) << "less than a header is padding";
}

TEST(AttrsTest, TheLastOfTwoCountsAndUnknownOnesArePassedOver) {
  const auto bytes = FromHex(
      "0800010000000001"
      "0800010000000002"
      "0800ff0000000003");
  Attrs attrs(bytes);
  EXPECT_EQ(attrs.U32(1), 2U);
  EXPECT_TRUE(attrs.HasOnly({1}, 31));
  EXPECT_FALSE(attrs.HasOnly({2}, 31));
  EXPECT_TRUE(attrs.HasOnly({}, 0)) << "types past the known ones do not count";
}

TEST(MessagesTest, AreCutByTheirLengths) {
  Message datagram = MakeMessage(1, 0, 5, FromHex("aa"));
  const Message second = MakeMessage(2, 0, 6, FromHex("bbcc"));
  datagram.insert(datagram.end(), second.begin(), second.end());
  std::vector<std::pair<int, int>> seen;
  const auto take = [&](ByteSpan message) {
    seen.emplace_back(HeaderOf(message).nlmsg_type, message.size());
    return true;
  };
  EXPECT_TRUE(ForEachMessage(datagram, take));
  EXPECT_THAT(seen, ElementsAre(Pair(1, 17), Pair(2, 18)));
  EXPECT_FALSE(ForEachMessage(ByteSpan(datagram).first(datagram.size() - 4), take)) << "cut off";
  EXPECT_FALSE(ForEachMessage(ByteSpan(datagram).first(8), take));
  datagram[0] = 15;
  EXPECT_FALSE(ForEachMessage(datagram, take)) << "shorter than its header";
  EXPECT_FALSE(ForEachMessage(second, [](ByteSpan) { return false; })) << "told to stop";
}

// --- errors ----------------------------------------------------------------------------------------------------------

TEST(ErrorTest, EachErrnoHasTheCodeThatSaysWhatToDo) {
  const std::vector<std::pair<int, absl::StatusCode>> table = {
      {85, absl::StatusCode::kAborted},
      {ENOBUFS, absl::StatusCode::kUnavailable},
      {ENOMEM, absl::StatusCode::kUnavailable},
      {EAGAIN, absl::StatusCode::kUnavailable},
      {EBUSY, absl::StatusCode::kUnavailable},
      {EPERM, absl::StatusCode::kPermissionDenied},
      {EOPNOTSUPP, absl::StatusCode::kFailedPrecondition},
      {EAFNOSUPPORT, absl::StatusCode::kFailedPrecondition},
      {ENOENT, absl::StatusCode::kNotFound},
      {EEXIST, absl::StatusCode::kAlreadyExists},
      {ENOTEMPTY, absl::StatusCode::kAlreadyExists},
      {ENFILE, absl::StatusCode::kResourceExhausted},
      {EINVAL, absl::StatusCode::kInternal},
      {ELOOP, absl::StatusCode::kInternal},
      {12345, absl::StatusCode::kInternal},
  };
  for (const auto& [error, code] : table) EXPECT_EQ(CodeOf(error), code) << error;
}

TEST(ErrorTest, TheMessageSaysWhatWasAttemptedAndWhyNot) {
  EXPECT_EQ(ErrnoStatus(EEXIST, "add set x"), absl::AlreadyExistsError("add set x: File exists"));
  EXPECT_EQ(ErrnoStatus(EINVAL, "add set x", "no such key"),
            absl::InternalError("add set x: Invalid argument (no such key)"));
  EXPECT_EQ(ErrnoStatus(85, "commit"), absl::AbortedError("commit: the ruleset changed meanwhile"));
}

TEST(AnswerTest, CarriesTheKernelsWords) {
  const Message request = MakeMessage(1, 0, 77, FromHex("00000000"));
  Answer answer;
  ASSERT_TRUE(ParseAnswer(MakeAnswer(request, EINVAL, "bad thing", 24), answer).ok());
  EXPECT_EQ(answer.error, EINVAL);
  EXPECT_EQ(answer.extack, "bad thing");
  EXPECT_EQ(answer.offset, 24U);
  EXPECT_EQ(answer.sequence, 77U);

  ASSERT_TRUE(ParseAnswer(MakeAnswer(request, 0), answer).ok());
  EXPECT_EQ(answer.error, 0);
  EXPECT_EQ(answer.extack, "");
}

TEST(AnswerTest, TheWordsComeAfterTheWholeRequestIfThatIsQuoted) {
  const Message request = MakeMessage(1, 0, 77, FromHex("0102030405060708"));
  const int32_t code = -EPERM;
  Message payload(sizeof(code));
  std::memcpy(payload.data(), &code, sizeof(code));
  payload.insert(payload.end(), request.begin(), request.end());
  AppendAttr(payload, NLMSGERR_ATTR_MSG, FromHex("6e6f00"));
  Answer answer;
  ASSERT_TRUE(ParseAnswer(MakeMessage(NLMSG_ERROR, NLM_F_ACK_TLVS, 77, payload), answer).ok());
  EXPECT_EQ(answer.error, EPERM);
  EXPECT_EQ(answer.extack, "no");
}

TEST(AnswerTest, TruncatedOnesAreDataLoss) {
  const Message whole = MakeAnswer(MakeMessage(1, 0, 77, {}), EINVAL, "bad thing", 24);
  Answer answer;
  for (size_t size = sizeof(nlmsghdr); size < whole.size(); ++size) {
    const absl::Status status = ParseAnswer(ByteSpan(whole).first(size), answer);
    // Where the attributes happen to end at a boundary the rest is only missing.
    EXPECT_TRUE(absl::IsDataLoss(status) || (status.ok() && answer.error == EINVAL)) << size << status;
    if (size < sizeof(nlmsghdr) + 20) {
      EXPECT_TRUE(absl::IsDataLoss(status)) << size;
    }
  }
}

// --- batches ---------------------------------------------------------------------------------------------------------

TEST(BatchTest, IsBracketedAndOnlyTheLastMessageAsksForAnAnswer) {
  Batch batch(100, 0x01020304);
  batch.StartOp(0);
  for (int i = 0; i < 2; ++i) {
    nlmsghdr* message = batch.BeginMessage(NFT_MSG_NEWTABLE, NLM_F_CREATE, Family::kIpv6, 500);
    mnl_attr_put_strz(message, NFTA_TABLE_NAME, "x");
    batch.EndMessage();
  }
  batch.Finish();

  std::vector<std::string> messages;
  ASSERT_TRUE(ForEachMessage(batch.bytes(), [&](ByteSpan message) {
    messages.push_back(Hex(message));
    return true;
  }));
  // Length, type, flags, sequence, port; family, version, resource (the subsystem, 10); attributes.
  EXPECT_THAT(messages, ElementsAre("1c000000"
                                    "1000"
                                    "0100"
                                    "64000000"
                                    "00000000"
                                    "0000000a"
                                    "08000100"
                                    "01020304",
                                    "1c000000"
                                    "000a"
                                    "0104"
                                    "65000000"
                                    "00000000"
                                    "0a000000"
                                    "06000100"
                                    "78000000",
                                    "1c000000"
                                    "000a"
                                    "0504"
                                    "66000000"
                                    "00000000"
                                    "0a000000"
                                    "06000100"
                                    "78000000",
                                    "14000000"
                                    "1100"
                                    "0100"
                                    "67000000"
                                    "00000000"
                                    "0000000a"));
  EXPECT_EQ(batch.messages(), 2);
}

TEST(BatchTest, WithoutAGuardItNamesNoGeneration) {
  Batch batch(1, kUnknownGeneration);
  EXPECT_EQ(batch.bytes().size(), 20U);
  EXPECT_TRUE(batch.empty());
}

TEST(BatchTest, KnowsWhichOpASequenceNumberBelongsTo) {
  Batch batch(0xfffffffe, kUnknownGeneration);  // the numbers wrap
  for (int op : {0, 2, 2, 2, 5}) {
    batch.StartOp(op);
    batch.BeginMessage(NFT_MSG_NEWTABLE, 0, Family::kIpv4, 0);
    batch.EndMessage();
  }
  batch.Finish();
  EXPECT_FALSE(batch.OriginOf(0xfffffffe).has_value()) << "the beginning";
  EXPECT_EQ(batch.OriginOf(0xffffffff)->op, 0);
  EXPECT_EQ(batch.OriginOf(0xffffffff)->parts, 1);
  const auto third = batch.OriginOf(1);
  EXPECT_EQ(third->op, 2);
  EXPECT_EQ(third->part, 2);
  EXPECT_EQ(third->parts, 3);
  EXPECT_EQ(HeaderOf(third->message).nlmsg_seq, 1U);
  EXPECT_EQ(third->message.size(), 20U);
  EXPECT_EQ(batch.OriginOf(3)->op, 5);
  EXPECT_EQ(batch.OriginOf(3)->message.size(), 20U);
  EXPECT_FALSE(batch.OriginOf(4).has_value()) << "the end";
  EXPECT_FALSE(batch.OriginOf(77).has_value());
}

// --- questions -------------------------------------------------------------------------------------------------------

struct Asked {
  absl::Status status;
  int messages = 0;
};

Asked AskWith(uint16_t flags, std::vector<Reply> replies, int enough = 1000) {
  ScriptedTransport transport([&](ByteSpan) { return replies; });
  Asked asked;
  asked.status = Ask(transport, MakeMessage(1, flags, 9, FromHex("00000000")),
                     [&](ByteSpan) { return ++asked.messages < enough; });
  return asked;
}

Message Part(uint16_t flags = NLM_F_MULTI, uint32_t sequence = 9) { return MakeMessage(99, flags, sequence, {}); }

TEST(AskTest, AGetEndsWithItsFirstMessage) {
  const Asked asked = AskWith(0, {Part(0), Part(0)});
  EXPECT_TRUE(asked.status.ok()) << asked.status;
  EXPECT_EQ(asked.messages, 1);
}

TEST(AskTest, ADumpEndsWhenItSaysSo) {
  Message two = Part();
  const Message more = Part();
  two.insert(two.end(), more.begin(), more.end());
  const Asked asked = AskWith(NLM_F_DUMP, {two, Part(), MakeDone(9), Part()});
  EXPECT_TRUE(asked.status.ok()) << asked.status;
  EXPECT_EQ(asked.messages, 3);
}

TEST(AskTest, ADumpCanBeLeftEarly) {
  const Asked asked = AskWith(NLM_F_DUMP, {Part(), Part(), Part(), MakeDone(9)}, /*enough=*/2);
  EXPECT_TRUE(asked.status.ok()) << asked.status;
  EXPECT_EQ(asked.messages, 2);
}

TEST(AskTest, LeftoversOfEarlierQuestionsArePassedOver) {
  const Asked asked = AskWith(NLM_F_DUMP, {Part(NLM_F_MULTI, 8), MakeDone(8), Part(), MakeDone(9)});
  EXPECT_TRUE(asked.status.ok()) << asked.status;
  EXPECT_EQ(asked.messages, 1);
}

TEST(AskTest, WhatCanGoWrongHasACode) {
  const Message request = MakeMessage(1, 0, 9, FromHex("00000000"));
  Message cut = Part();
  cut.resize(10);
  const struct {
    const char* what;
    std::vector<Reply> replies;
    absl::StatusCode code;
  } table[] = {
      {"refused", {MakeAnswer(request, EPERM, "no")}, absl::StatusCode::kPermissionDenied},
      {"absent", {MakeAnswer(request, ENOENT)}, absl::StatusCode::kNotFound},
      {"refused at the end", {Part(), MakeDone(9, EOPNOTSUPP)}, absl::StatusCode::kFailedPrecondition},
      {"interrupted, said at the end", {Part(), MakeDone(9, 0, NLM_F_DUMP_INTR)}, absl::StatusCode::kDataLoss},
      {"interrupted, said in the middle",
       {Part(NLM_F_MULTI | NLM_F_DUMP_INTR), Part(), MakeDone(9)},
       absl::StatusCode::kDataLoss},
      {"interrupted, said by an error", {Part(), MakeDone(9, EINTR)}, absl::StatusCode::kDataLoss},
      {"answers lost", {Part(), absl::UnavailableError("ENOBUFS")}, absl::StatusCode::kUnavailable},
      {"no end", {Part()}, absl::StatusCode::kUnavailable},
      {"no answer", {}, absl::StatusCode::kUnavailable},
      {"cut off", {cut}, absl::StatusCode::kDataLoss},
      {"overrun", {MakeMessage(NLMSG_OVERRUN, 0, 9, {})}, absl::StatusCode::kDataLoss},
  };
  for (const auto& row : table) {
    EXPECT_EQ(AskWith(NLM_F_DUMP, row.replies).status.code(), row.code) << row.what;
  }
  EXPECT_THAT(std::string(AskWith(0, {MakeAnswer(request, EPERM, "not you")}).status.message()),
              HasSubstr("(not you)"));
}

}  // namespace
}  // namespace pointsman::nl
