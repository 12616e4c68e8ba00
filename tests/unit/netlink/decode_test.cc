// SPDX-License-Identifier: Apache-2.0
#include "netlink/nft/decode.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "netlink/core/uapi.h"
#include "netlink/nft/fields.h"
#include "tests/support/nft_sample.h"
#include "tests/unit/netlink/changes.h"
#include "tests/unit/netlink/fake_kernel.h"

namespace pointsman::nl {
namespace {

using nft::Bytes;
using nft::Field;
using nft::Verdict;
using support::Ip;
using support::SampleRuleset;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Family kV4 = Family::kIpv4;

// {name, data}: the contents of an NFTA_LIST_ELEM.
Message Expression(const std::string& name, const Message& data) {
  Message bytes;
  AppendAttr(bytes, NFTA_EXPR_NAME, ByteSpan(reinterpret_cast<const uint8_t*>(name.c_str()), name.size() + 1));
  AppendAttr(bytes, NFTA_EXPR_DATA | NLA_F_NESTED, data);
  return bytes;
}

Message Data(std::initializer_list<std::pair<uint16_t, const char*>> attributes) {
  Message bytes;
  for (const auto& [type, hex] : attributes) AppendAttr(bytes, type, FromHex(hex));
  return bytes;
}

nft::Expr Decoded(const std::string& name, const Message& data, Family family = kV4) {
  const absl::StatusOr<nft::Expr> expr = DecodeExpr(family, Expression(name, data));
  EXPECT_TRUE(expr.ok()) << expr.status();
  return expr.ok() ? *expr : nft::Expr(nft::Foreign{"error", ""});
}

// --- round trip ------------------------------------------------------------------------------------------------------

TEST(CodecTest, AWholeProgramSurvivesTheBytes) {
  for (const bool affinity : {false, true}) {
    const nft::Ruleset ruleset = SampleRuleset(affinity);
    const absl::StatusOr<nft::Ruleset> decoded = ThroughBytes(ruleset);
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(*decoded, ruleset);
  }
}

TEST(CodecTest, EveryExpressionSurvivesTheBytes) {
  using nft::CtLoad;
  using nft::Lookup;
  std::vector<nft::Expr> exprs = {
      nft::Payload{nft::Payload::Base::kLink, 0, 14, 0},
      nft::Payload{nft::Payload::Base::kTransport, 2, 2, 15},
      nft::MetaLoad{nft::MetaLoad::Key::kIifName, 3},
      nft::MetaSet{nft::MetaLoad::Key::kMark, 4},
      CtLoad{CtLoad::Key::kState, false, 0},
      CtLoad{CtLoad::Key::kStatus, false, 1},
      CtLoad{CtLoad::Key::kProtoDst, true, 2},
      CtLoad{CtLoad::Key::kProtoDst, false, 2},
      CtLoad{CtLoad::Key::kDstIp, true, 12},
      CtLoad{CtLoad::Key::kDstIp6, true, 8},
      nft::FibLoad{3, 1, 5},
      nft::Numgen{0xffffffff, 7},
      nft::Byteorder{1, 2, 1, 2},
      nft::Cmp{nft::Cmp::Op::kEq, 0, {1}},
      nft::Cmp{nft::Cmp::Op::kNeq, 9, Ip("2001:db8::1")},
      nft::Bitwise{0, 1, 0xfeffffff, 0x01020304},
      Lookup{"s", 0, Lookup::Result::kNone, 0, true},
      Lookup{"m", 1, Lookup::Result::kData, 0, false},
      Lookup{"m", 1, Lookup::Result::kData, 5, false},
      Lookup{"v", 2, Lookup::Result::kVerdict, 0, false},
      nft::Dynset{nft::Dynset::Op::kAdd, "d", 0, {}, absl::ZeroDuration()},
      nft::Dynset{nft::Dynset::Op::kUpdate, "d", 1, nft::Reg{0}, absl::Milliseconds(1)},
      nft::Dynset{nft::Dynset::Op::kDelete, "d", 15, nft::Reg{11}, absl::Hours(24 * 365)},
      nft::Counter{},
      nft::Immediate{{Verdict::Code::kDrop, ""}},
      nft::Immediate{{Verdict::Code::kAccept, ""}},
      nft::Immediate{{Verdict::Code::kContinue, ""}},
      nft::Immediate{{Verdict::Code::kReturn, ""}},
      nft::Immediate{{Verdict::Code::kJump, std::string(255, 'j')}},
      nft::Immediate{{Verdict::Code::kGoto, "g"}},
      nft::Dnat{0, 1},
      nft::Masquerade{true},
      nft::Masquerade{false},
      nft::Reject{nft::Reject::Type::kIcmpUnreach, 4},
      nft::Reject{nft::Reject::Type::kTcpReset, 0},
  };
  for (const Family family : kFamilies) {
    for (const nft::Expr& expr : exprs) {
      nft::Ruleset ruleset;
      ruleset.tables[family].chains["c"].rules = {nft::Rule{{expr}, std::string(128, 'c')}};
      const absl::StatusOr<nft::Ruleset> decoded = ThroughBytes(ruleset);
      ASSERT_TRUE(decoded.ok()) << decoded.status();
      EXPECT_EQ(*decoded, ruleset) << "alternative " << expr.index();
    }
  }
}

TEST(FieldsTest, AreNumberedAsNftNumbersThem) {
  const std::vector<Field> fields = {Field::kIpv4Addr, Field::kInetProto, Field::kInetService, Field::kInteger};
  EXPECT_EQ(TypeId(fields), 0x1cc344U);
  EXPECT_EQ(FieldsOf(0x1cc344), fields);
  EXPECT_EQ(FieldsBytes(fields), 16U);
  EXPECT_EQ(FieldsBytes({Field::kInetService}), 2U) << "alone it is not padded";
  EXPECT_EQ(FieldsBytes({Field::kIpv6Addr, Field::kInetProto}), 20U);
  EXPECT_EQ(FieldsBytes({Field::kMark, Field::kMark, Field::kIpv6Addr, Field::kInetService}), 28U);
  EXPECT_EQ(FieldsBytes({Field::kIpv6Addr, static_cast<Field>(41)}), 0U);
  EXPECT_THAT(FieldsOf(0), IsEmpty());
}

// --- what the kernel adds --------------------------------------------------------------------------------------------

TEST(DecodeTest, ACounterSaysWhatItHasCountedAndIsTheSameRuleStill) {
  const nft::Expr counter =
      Decoded("counter", Data({{NFTA_COUNTER_BYTES, "0000000000000fff"}, {NFTA_COUNTER_PACKETS, "0000000100000002"}}));
  ASSERT_TRUE(std::holds_alternative<nft::Counter>(counter));
  EXPECT_EQ(std::get<nft::Counter>(counter).packets, 0x100000002U);
  EXPECT_EQ(counter, nft::Expr(nft::Counter{}));
  EXPECT_EQ(std::get<nft::Counter>(Decoded("counter", Data({}))).packets, 0U);
}

TEST(DecodeTest, RegistersHaveTwoNames) {
  const auto load = [](const char* reg) { return Data({{NFTA_META_KEY, "00000003"}, {NFTA_META_DREG, reg}}); };
  using nft::MetaLoad;
  EXPECT_EQ(Decoded("meta", load("00000001")), nft::Expr(MetaLoad{MetaLoad::Key::kMark, 0}));
  EXPECT_EQ(Decoded("meta", load("00000008")), nft::Expr(MetaLoad{MetaLoad::Key::kMark, 0}));
  EXPECT_EQ(Decoded("meta", load("00000004")), nft::Expr(MetaLoad{MetaLoad::Key::kMark, 12}));
  EXPECT_EQ(Decoded("meta", load("00000014")), nft::Expr(MetaLoad{MetaLoad::Key::kMark, 12}));
  EXPECT_EQ(Decoded("meta", load("00000017")), nft::Expr(MetaLoad{MetaLoad::Key::kMark, 15}));
  for (const char* none : {"00000000", "00000005", "00000018", "ffffffff"}) {
    EXPECT_TRUE(std::holds_alternative<nft::Foreign>(Decoded("meta", load(none)))) << none;
  }
}

TEST(DecodeTest, ImpliedNatFlagsAndRangesAreDropped) {
  // As Linux 6.18 shows `dnat ip to ... map @endpoints`.
  EXPECT_EQ(Decoded("nat", Data({{NFTA_NAT_TYPE, "00000001"},
                                 {NFTA_NAT_FAMILY, "00000002"},
                                 {NFTA_NAT_REG_ADDR_MIN, "00000001"},
                                 {NFTA_NAT_REG_ADDR_MAX, "00000001"},
                                 {NFTA_NAT_REG_PROTO_MIN, "00000009"},
                                 {NFTA_NAT_REG_PROTO_MAX, "00000009"},
                                 {NFTA_NAT_FLAGS, "00000003"}})),
            nft::Expr(nft::Dnat{0, 1}));
}

TEST(DecodeTest, DefaultsThatTheKernelSpellsOutAreTheDefaults) {
  EXPECT_EQ(Decoded("dynset", Data({{NFTA_DYNSET_SET_NAME, "7300"},
                                    {NFTA_DYNSET_OP, "00000001"},
                                    {NFTA_DYNSET_SREG_KEY, "00000001"},
                                    {NFTA_DYNSET_TIMEOUT, "0000000000000000"},
                                    {NFTA_DYNSET_FLAGS, "00000000"}})),
            nft::Expr(nft::Dynset{nft::Dynset::Op::kUpdate, "s", 0, {}, absl::ZeroDuration()}));
  EXPECT_EQ(Decoded("lookup",
                    Data({{NFTA_LOOKUP_SET, "7300"}, {NFTA_LOOKUP_SREG, "00000001"}, {NFTA_LOOKUP_FLAGS, "00000000"}})),
            nft::Expr(nft::Lookup{"s", 0, nft::Lookup::Result::kNone, 0, false}));
}

TEST(DecodeTest, IntervalEdgesAreJoinedInAnyOrder) {
  const nft::SetSpec spec = {.key = {Field::kIpv4Addr}, .interval = true};
  nft::Ruleset ruleset;
  nft::Set& set = ruleset.tables[kV4].sets["s"];
  set.spec = spec;
  set.elements[Ip("0.0.0.0")] = {.end = Ip("9.255.255.255"), .data = {}, .comment = "first"};
  set.elements[Ip("10.0.0.0")] = {.end = Ip("10.255.255.255"), .data = {}, .comment = "touches it"};
  set.elements[Ip("192.0.2.7")] = {.end = Ip("192.0.2.7"), .data = {}, .comment = "alone"};
  set.elements[Ip("255.255.255.255")] = {.end = Ip("255.255.255.255"), .data = {}, .comment = "last"};

  // One message for each edge.
  const Batch batch = EncodeBatch(FromNothing(ruleset), 1, kUnknownGeneration).value();
  std::vector<Message> head;
  std::vector<Message> edges;
  ForEachMessage(batch.bytes(), [&](ByteSpan message) {
    if (HeaderOf(message).nlmsg_type != NftType(NFT_MSG_NEWSETELEM)) {
      head.emplace_back(message.begin(), message.end());
      return true;
    }
    const ByteSpan attributes = message.subspan(sizeof(nlmsghdr) + sizeof(nfgenmsg));
    ForEachAttr(Attrs(attributes).Raw(NFTA_SET_ELEM_LIST_ELEMENTS), [&](uint16_t, ByteSpan element) {
      Message payload(message.begin() + sizeof(nlmsghdr), message.begin() + sizeof(nlmsghdr) + sizeof(nfgenmsg));
      AppendAttr(payload, NFTA_SET_ELEM_LIST_TABLE, FromHex("706f696e74736d616e00"));
      AppendAttr(payload, NFTA_SET_ELEM_LIST_SET, FromHex("7300"));
      Message list;
      AppendAttr(list, NFTA_LIST_ELEM, element);
      AppendAttr(payload, NFTA_SET_ELEM_LIST_ELEMENTS, list);
      edges.push_back(MakeMessage(NftType(NFT_MSG_NEWSETELEM), 0, 1, payload));
    });
    return true;
  });
  ASSERT_EQ(edges.size(), 7U) << "three with an end, one without";

  std::sort(edges.begin(), edges.end());
  for (int i = 0; i < 100 && std::next_permutation(edges.begin(), edges.end()); ++i) {
    RulesetDecoder decoder;
    for (const Message& message : head) ASSERT_TRUE(decoder.Add(message).ok());
    for (const Message& message : edges) ASSERT_TRUE(decoder.Add(message).ok());
    EXPECT_EQ(decoder.ElementsOf(kV4, "s"), 4U);
    ASSERT_EQ(decoder.Finish(), ruleset);
  }
}

TEST(DecodeTest, AnEdgeAtZeroBelongsToNoInterval) {
  nft::Ruleset ruleset;
  nft::Set& set = ruleset.tables[kV4].sets["s"];
  set.spec = {.key = {Field::kIpv4Addr}, .interval = true};
  const Batch batch = EncodeBatch(FromNothing(ruleset), 1, kUnknownGeneration).value();
  RulesetDecoder decoder;
  ForEachMessage(batch.bytes(), [&](ByteSpan message) { return decoder.Add(message).ok(); });
  // What nft sends for { 10.244.0.0/16 comment "pods", 240.0.0.0/4 }.
  const auto sent = FromHex(
      "020000000e000100706f696e74736d616e0000000600020073000000"
      "6c000380"
      "1800018008000300000000010c0001800800010000000000"
      "1c0002800c000180080001000af400000b0006000005706f64730000"
      "1800038008000300000000010c000180080001000af50000"
      "1c0004800c00018008000100f00000000a0006000104010000000000");
  ASSERT_TRUE(decoder.Add(MakeMessage(NftType(NFT_MSG_NEWSETELEM), 0, 1, sent)).ok());

  set.elements[Ip("10.244.0.0")] = {.end = Ip("10.244.255.255"), .data = {}, .comment = "pods"};
  set.elements[Ip("240.0.0.0")] = {.end = Ip("255.255.255.255")};
  EXPECT_EQ(decoder.Finish(), ruleset);
}

TEST(DecodeTest, CatchAllElementsHaveNoKey) {
  nft::Ruleset ruleset;
  for (const bool interval : {false, true}) {
    nft::Set& set = ruleset.tables[kV4].sets[interval ? "interval" : "plain"];
    set.spec = {.key = {Field::kIpv4Addr}, .verdicts = true, .interval = interval};
    set.elements[Bytes()] = {.end = {}, .data = Verdict{Verdict::Code::kDrop, ""}, .comment = "the rest"};
  }
  const absl::StatusOr<nft::Ruleset> decoded = ThroughBytes(ruleset);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(*decoded, ruleset);
}

// --- what is not ours ------------------------------------------------------------------------------------------------

TEST(DecodeTest, WhatWeDoNotModelIsForeignAndKeepsItsAttributes) {
  const struct {
    const char* what;
    const char* name;
    Message data;
  } table[] = {
      {"unknown expression", "quota", Data({{1, "0000000000000000"}, {2, "00000001"}})},
      {"payload written", "payload", Data({{NFTA_PAYLOAD_SREG, "00000001"}, {NFTA_PAYLOAD_BASE, "00000001"}})},
      {"payload of an inner header", "payload",
       Data({{NFTA_PAYLOAD_DREG, "00000001"}, {NFTA_PAYLOAD_BASE, "00000003"}})},
      {"another meta key", "meta", Data({{NFTA_META_KEY, "00000004"}, {NFTA_META_DREG, "00000001"}})},
      {"meta going both ways", "meta",
       Data({{NFTA_META_KEY, "00000003"}, {NFTA_META_DREG, "00000001"}, {NFTA_META_SREG, "00000001"}})},
      {"ct written", "ct", Data({{NFTA_CT_KEY, "00000002"}, {NFTA_CT_SREG, "00000001"}})},
      {"ct address without direction", "ct", Data({{NFTA_CT_KEY, "00000014"}, {NFTA_CT_DREG, "00000001"}})},
      {"numgen inc", "numgen",
       Data({{NFTA_NG_DREG, "00000001"}, {NFTA_NG_MODULUS, "00000002"}, {NFTA_NG_TYPE, "00000000"}})},
      {"numgen with an offset", "numgen",
       Data({{NFTA_NG_DREG, "00000001"}, {NFTA_NG_TYPE, "00000001"}, {NFTA_NG_OFFSET, "00000001"}})},
      {"byteorder ntoh", "byteorder",
       Data({{NFTA_BYTEORDER_SREG, "00000001"}, {NFTA_BYTEORDER_DREG, "00000001"}, {NFTA_BYTEORDER_OP, "00000000"}})},
      {"cmp less than", "cmp",
       Data({{NFTA_CMP_SREG, "00000001"}, {NFTA_CMP_OP, "00000002"}, {NFTA_CMP_DATA, "0800010000000001"}})},
      {"bitwise shift", "bitwise",
       Data({{NFTA_BITWISE_SREG, "00000001"},
             {NFTA_BITWISE_DREG, "00000001"},
             {NFTA_BITWISE_LEN, "00000004"},
             {NFTA_BITWISE_OP, "00000001"},
             {NFTA_BITWISE_DATA, "0800010000000001"}})},
      {"bitwise of sixteen bytes", "bitwise",
       Data({{NFTA_BITWISE_SREG, "00000001"},
             {NFTA_BITWISE_DREG, "00000001"},
             {NFTA_BITWISE_LEN, "00000010"},
             {NFTA_BITWISE_MASK, "1400010000000000000000000000000000000000"},
             {NFTA_BITWISE_XOR, "1400010000000000000000000000000000000000"}})},
      {"immediate value", "immediate",
       Data({{NFTA_IMMEDIATE_DREG, "00000001"}, {NFTA_IMMEDIATE_DATA, "0800010000000007"}})},
      {"unknown verdict", "immediate",
       Data({{NFTA_IMMEDIATE_DREG, "00000000"}, {NFTA_IMMEDIATE_DATA, "0c00028008000100fffffffe"}})},
      {"snat", "nat",
       Data({{NFTA_NAT_TYPE, "00000000"},
             {NFTA_NAT_FAMILY, "00000002"},
             {NFTA_NAT_REG_ADDR_MIN, "00000001"},
             {NFTA_NAT_REG_PROTO_MIN, "00000009"}})},
      {"dnat of the other family", "nat",
       Data({{NFTA_NAT_TYPE, "00000001"},
             {NFTA_NAT_FAMILY, "0000000a"},
             {NFTA_NAT_REG_ADDR_MIN, "00000001"},
             {NFTA_NAT_REG_PROTO_MIN, "00000009"}})},
      {"dnat to a range", "nat",
       Data({{NFTA_NAT_TYPE, "00000001"},
             {NFTA_NAT_FAMILY, "00000002"},
             {NFTA_NAT_REG_ADDR_MIN, "00000001"},
             {NFTA_NAT_REG_ADDR_MAX, "00000002"},
             {NFTA_NAT_REG_PROTO_MIN, "00000009"}})},
      {"dnat random", "nat",
       Data({{NFTA_NAT_TYPE, "00000001"},
             {NFTA_NAT_FAMILY, "00000002"},
             {NFTA_NAT_REG_ADDR_MIN, "00000001"},
             {NFTA_NAT_REG_PROTO_MIN, "00000009"},
             {NFTA_NAT_FLAGS, "00000007"}})},
      {"masquerade to ports", "masq", Data({{NFTA_MASQ_REG_PROTO_MIN, "00000001"}})},
      {"masquerade persistent", "masq", Data({{NFTA_MASQ_FLAGS, "00000008"}})},
      {"reject of both families", "reject", Data({{NFTA_REJECT_TYPE, "00000002"}, {NFTA_REJECT_ICMP_CODE, "01"}})},
      {"dynset with a statement", "dynset",
       Data({{NFTA_DYNSET_SET_NAME, "7300"},
             {NFTA_DYNSET_OP, "00000001"},
             {NFTA_DYNSET_SREG_KEY, "00000001"},
             {NFTA_DYNSET_EXPR, "00000000"}})},
      {"nothing at all", "lookup", {}},
  };
  for (const auto& row : table) {
    const nft::Expr expr = Decoded(row.name, row.data);
    ASSERT_TRUE(std::holds_alternative<nft::Foreign>(expr)) << row.what;
    EXPECT_EQ(std::get<nft::Foreign>(expr).name, row.name);
  }
  EXPECT_EQ(std::get<nft::Foreign>(Decoded("quota", table[0].data)).text, "1=0000000000000000 2=00000001");
}

Message Named(uint16_t type, std::initializer_list<std::pair<uint16_t, const char*>> attributes,
              const char* table = "706f696e74736d616e00", uint8_t family = NFPROTO_IPV4) {
  Message payload = {family, 0, 0, 0};
  AppendAttr(payload, 1, FromHex(table));
  for (const auto& [attribute, hex] : attributes) AppendAttr(payload, attribute, FromHex(hex));
  return MakeMessage(NftType(type), 0, 1, payload);
}

TEST(DecodeTest, OtherTablesAndFamiliesArePassedOver) {
  RulesetDecoder decoder;
  EXPECT_TRUE(decoder.Add(Named(NFT_MSG_NEWTABLE, {}, "706f696e74736d616e3200")).ok());
  EXPECT_TRUE(decoder.Add(Named(NFT_MSG_NEWTABLE, {}, "706f696e74736d616e00", NFPROTO_INET)).ok());
  EXPECT_TRUE(decoder.Add(Named(NFT_MSG_NEWRULE, {}, "7800")).ok());
  EXPECT_TRUE(decoder.Add(Named(NFT_MSG_NEWGEN, {})).ok());
  EXPECT_EQ(decoder.Finish(), nft::Ruleset());
}

TEST(DecodeTest, WhatBelongsToASingleRuleIsLeftOut) {
  RulesetDecoder decoder;
  ASSERT_TRUE(decoder.Add(Named(NFT_MSG_NEWTABLE, {})).ok());
  ASSERT_TRUE(decoder.Add(Named(NFT_MSG_NEWCHAIN, {{NFTA_CHAIN_NAME, "6300"}, {NFTA_CHAIN_FLAGS, "00000004"}})).ok());
  EXPECT_TRUE(decoder.Add(Named(NFT_MSG_NEWRULE, {{NFTA_RULE_CHAIN, "6300"}})).ok());
  ASSERT_TRUE(decoder.Add(Named(NFT_MSG_NEWSET, {{NFTA_SET_NAME, "7300"}, {NFTA_SET_FLAGS, "00000003"}})).ok());
  EXPECT_THAT(decoder.sets(), IsEmpty());
  const nft::Ruleset ruleset = decoder.Finish();
  EXPECT_THAT(ruleset.tables.at(kV4).chains, IsEmpty());
  EXPECT_THAT(ruleset.tables.at(kV4).sets, IsEmpty());
}

TEST(DecodeTest, SetsOfOthersKeepWhatTellsThemApart) {
  RulesetDecoder decoder;
  ASSERT_TRUE(decoder.Add(Named(NFT_MSG_NEWTABLE, {})).ok());
  ASSERT_TRUE(decoder
                  .Add(Named(NFT_MSG_NEWSET, {{NFTA_SET_NAME, "6100"},
                                              {NFTA_SET_FLAGS, "00000040"},
                                              {NFTA_SET_KEY_TYPE, "00000007"},
                                              {kNftaSetCount, "00000009"}}))
                  .ok());
  ASSERT_TRUE(decoder.Add(Named(NFT_MSG_NEWSET, {{NFTA_SET_NAME, "6200"}, {NFTA_SET_KEY_TYPE, "00000029"}})).ok());
  ASSERT_EQ(decoder.sets().size(), 2U);
  EXPECT_EQ(decoder.sets()[0].count, 9U);
  EXPECT_FALSE(decoder.sets()[1].count.has_value());
  const nft::Ruleset ruleset = decoder.Finish();
  EXPECT_TRUE(ruleset.tables.at(kV4).sets.at("a").spec.is_map()) << "a map to counters is not a set of addresses";
  EXPECT_THAT(ruleset.tables.at(kV4).sets.at("b").spec.key, ElementsAre(static_cast<Field>(41)));
}

TEST(DecodeTest, ACutSetIsEmptyAndSaysSo) {
  nft::Ruleset ruleset = SampleRuleset(false);
  const Batch batch = EncodeBatch(FromNothing(ruleset), 1, kUnknownGeneration).value();
  RulesetDecoder decoder;
  ForEachMessage(batch.bytes(), [&](ByteSpan message) { return decoder.Add(message).ok(); });
  for (const char* name : {"endpoints", "pod_cidrs"}) {
    EXPECT_EQ(decoder.ElementsOf(kV4, name), 3U);
    decoder.CutShort(kV4, name);
    EXPECT_EQ(decoder.ElementsOf(kV4, name), 0U);
    ruleset.tables[kV4].sets[name].elements.clear();
    ruleset.tables[kV4].sets[name].complete = false;
  }
  EXPECT_EQ(decoder.Finish(), ruleset);
}

// --- malformed -------------------------------------------------------------------------------------------------------

TEST(DecodeTest, WhatRefersToNothingIsDataLoss) {
  const Message messages[] = {
      Named(NFT_MSG_NEWCHAIN, {{NFTA_CHAIN_NAME, "6300"}}),
      Named(NFT_MSG_NEWRULE, {{NFTA_RULE_CHAIN, "6300"}}),
      Named(NFT_MSG_NEWSET, {{NFTA_SET_NAME, "7300"}}),
      Named(NFT_MSG_NEWSETELEM, {{NFTA_SET_ELEM_LIST_SET, "7300"}}),
  };
  for (const Message& message : messages) {
    RulesetDecoder decoder;
    EXPECT_TRUE(absl::IsDataLoss(decoder.Add(message)));
  }
  RulesetDecoder decoder;
  ASSERT_TRUE(decoder.Add(Named(NFT_MSG_NEWTABLE, {})).ok());
  EXPECT_TRUE(absl::IsDataLoss(decoder.Add(messages[1])));
  EXPECT_TRUE(absl::IsDataLoss(decoder.Add(messages[3])));
}

TEST(DecodeTest, WrongLengthsAreDataLoss) {
  RulesetDecoder decoder;
  ASSERT_TRUE(decoder.Add(Named(NFT_MSG_NEWTABLE, {})).ok());
  ASSERT_TRUE(decoder.Add(Named(NFT_MSG_NEWCHAIN, {{NFTA_CHAIN_NAME, "6300"}})).ok());
  ASSERT_TRUE(decoder.Add(Named(NFT_MSG_NEWSET, {{NFTA_SET_NAME, "7300"}, {NFTA_SET_KEY_TYPE, "00000007"}})).ok());
  const Message messages[] = {
      Named(NFT_MSG_NEWCHAIN, {{NFTA_CHAIN_NAME, "6400"}, {NFTA_CHAIN_POLICY, "01"}, {NFTA_CHAIN_HOOK, ""}}),
      Named(NFT_MSG_NEWCHAIN, {{NFTA_CHAIN_NAME, "6400"}, {NFTA_CHAIN_HOOK, "06000100000000"}}),
      Named(NFT_MSG_NEWCHAIN, {{NFTA_CHAIN_NAME, "6400"}, {NFTA_CHAIN_HOOK, "ff000100"}}),
      Named(NFT_MSG_NEWSET, {{NFTA_SET_NAME, "7400"}, {NFTA_SET_FLAGS, "0001"}}),
      Named(NFT_MSG_NEWSET, {{NFTA_SET_NAME, "7400"}, {NFTA_SET_DESC, "0600010000000000"}}),
      Named(NFT_MSG_NEWRULE, {{NFTA_RULE_CHAIN, "6300"}, {NFTA_RULE_EXPRESSIONS, "ff000180"}}),
      Named(NFT_MSG_NEWRULE, {{NFTA_RULE_CHAIN, "6300"}, {NFTA_RULE_EXPRESSIONS, "0800018009000100"}}),
      // meta with a key of two bytes
      Named(NFT_MSG_NEWRULE, {{NFTA_RULE_CHAIN, "6300"},
                              {NFTA_RULE_EXPRESSIONS,
                               "1c000180"
                               "090001006d65746100000000"
                               "0c000280"
                               "0600020000030000"}}),
      Named(NFT_MSG_NEWSETELEM, {{NFTA_SET_ELEM_LIST_SET, "7300"},
                                 {NFTA_SET_ELEM_LIST_ELEMENTS,
                                  "08000180"
                                  "08000300"}}),
      Named(NFT_MSG_NEWSETELEM, {{NFTA_SET_ELEM_LIST_SET, "7300"}, {NFTA_SET_ELEM_LIST_ELEMENTS, "04000180"}}),
  };
  for (const Message& message : messages) {
    EXPECT_TRUE(absl::IsDataLoss(decoder.Add(message))) << Hex(message);
  }
  EXPECT_TRUE(absl::IsDataLoss(DecodeGeneration(Named(NFT_MSG_NEWGEN, {}, "0001")).status()));
  EXPECT_TRUE(absl::IsDataLoss(DecodeGeneration(FromHex("00")).status()));
}

TEST(DecodeTest, ATruncatedBatchNeverDoesWorseThanFail) {
  nft::Ruleset ruleset = SampleRuleset(/*affinity=*/true);
  ruleset.tables.erase(Family::kIpv6);
  const Batch batch = EncodeBatch(FromNothing(ruleset), 1, kUnknownGeneration).value();
  int failed = 0;
  ForEachMessage(batch.bytes(), [&](ByteSpan message) {
    // Shortened, with a header that agrees: all lengths inside are those of the whole message.
    for (size_t size = sizeof(nlmsghdr); size + 4 <= message.size(); size += 4) {
      Message cut(message.begin(), message.begin() + static_cast<std::ptrdiff_t>(size));
      RulesetDecoder decoder;
      ForEachMessage(batch.bytes(),
                     [&](ByteSpan before) { return before.data() != message.data() && decoder.Add(before).ok(); });
      if (!decoder.Add(cut).ok()) ++failed;
      decoder.Finish();
    }
    return message.data() - batch.bytes().data() < 12'000;
  });
  EXPECT_GT(failed, 100);
}

}  // namespace
}  // namespace pointsman::nl
