// SPDX-License-Identifier: Apache-2.0
//
// Law 5: Decode(Encode(x)) == x, for everything that can be said.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

#include "netlink/core/uapi.h"
#include "netlink/nft/fields.h"
#include "tests/unit/netlink/changes.h"

namespace pointsman::nl {
namespace {

using nft::Bytes;
using nft::Field;
using nft::Verdict;

int Below(int limit) { return *rc::gen::inRange(0, limit); }
bool Sometimes() { return Below(2) == 0; }
uint32_t Any32() { return *rc::gen::arbitrary<uint32_t>(); }
nft::Reg ArbReg() { return static_cast<nft::Reg>(Below(16)); }

// Names of few letters, so that they meet; comments that may be empty, and anything but NUL.
std::string ArbName() { return absl::StrCat("n", Below(4)); }
std::string ArbComment() {
  if (Sometimes()) return "";
  std::string comment;
  const int length = Sometimes() ? Below(10) : 128;
  for (int i = 0; i < length; ++i) comment += static_cast<char>(1 + Below(255));
  return comment;
}
Bytes ArbBytes(size_t size) {
  Bytes bytes;
  while (bytes.size() < size) bytes.push_back(static_cast<uint8_t>(Sometimes() ? 0xff * Below(2) : Below(256)));
  return bytes;
}

Verdict ArbVerdict() {
  using Code = Verdict::Code;
  const Code code =
      *rc::gen::element(Code::kDrop, Code::kAccept, Code::kContinue, Code::kJump, Code::kGoto, Code::kReturn);
  return {code, code == Code::kJump || code == Code::kGoto ? ArbName() : ""};
}

nft::Expr ArbExpr() {
  using nft::CtLoad;
  using nft::Lookup;
  using nft::MetaLoad;
  const auto meta_key = [] {
    return *rc::gen::element(MetaLoad::Key::kMark, MetaLoad::Key::kIifName, MetaLoad::Key::kL4Proto);
  };
  switch (Below(16)) {
    case 0:
      return nft::Payload{static_cast<nft::Payload::Base>(Below(3)), Any32(), Any32(), ArbReg()};
    case 1:
      return MetaLoad{meta_key(), ArbReg()};
    case 2:
      return nft::MetaSet{meta_key(), ArbReg()};
    case 3:
      return CtLoad{*rc::gen::element(CtLoad::Key::kState, CtLoad::Key::kStatus), false, ArbReg()};
    case 4:
      return CtLoad{*rc::gen::element(CtLoad::Key::kProtoDst, CtLoad::Key::kDstIp, CtLoad::Key::kDstIp6), Sometimes(),
                    ArbReg()};
    case 5:
      return nft::FibLoad{Any32(), Any32(), ArbReg()};
    case 6:
      return nft::Numgen{Any32(), ArbReg()};
    case 7:
      return nft::Byteorder{ArbReg(), ArbReg(), Any32(), Any32()};
    case 8:
      return nft::Cmp{static_cast<nft::Cmp::Op>(Below(2)), ArbReg(), ArbBytes(*rc::gen::inRange<size_t>(1, 17))};
    case 9:
      return nft::Bitwise{ArbReg(), ArbReg(), Any32(), Any32()};
    case 10: {
      Lookup lookup{
          .set = ArbName(), .sreg = ArbReg(), .result = static_cast<Lookup::Result>(Below(3)), .inverted = Sometimes()};
      if (lookup.result == Lookup::Result::kData) lookup.dreg = ArbReg();
      return lookup;
    }
    case 11: {
      nft::Dynset dynset{.op = static_cast<nft::Dynset::Op>(Below(3)), .set = ArbName(), .key = ArbReg()};
      if (Sometimes()) dynset.data = ArbReg();
      if (Sometimes()) dynset.timeout = absl::Milliseconds(*rc::gen::inRange<int64_t>(0, int64_t{1} << 40));
      return dynset;
    }
    case 12:
      return nft::Immediate{ArbVerdict()};
    case 13:
      return nft::Counter{Any32()};
    case 14:
      return Sometimes() ? nft::Expr(nft::Dnat{ArbReg(), ArbReg()}) : nft::Expr(nft::Masquerade{Sometimes()});
    default:
      if (Sometimes()) return nft::Reject{nft::Reject::Type::kTcpReset, 0};
      return nft::Reject{nft::Reject::Type::kIcmpUnreach, static_cast<uint8_t>(Below(256))};
  }
}

std::vector<Field> ArbFields(int least, int most) {
  std::vector<Field> fields;
  const int count = *rc::gen::inRange(least, most + 1);
  fields.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    fields.push_back(*rc::gen::element(Field::kInteger, Field::kIpv4Addr, Field::kIpv6Addr, Field::kInetProto,
                                       Field::kInetService, Field::kMark));
  }
  while (FieldsBytes(fields) > NFT_DATA_VALUE_MAXLEN) fields.pop_back();  // the kernel takes no more
  return fields;
}

nft::Set ArbSet() {
  nft::Set set;
  nft::SetSpec& spec = set.spec;
  spec.key = ArbFields(1, 5);
  switch (Below(3)) {
    case 0:
      spec.verdicts = true;
      break;
    case 1:
      spec.data = ArbFields(1, 3);
      break;
    default:
      break;
  }
  spec.interval = Sometimes();
  spec.dynamic = Sometimes();
  spec.has_timeout = Sometimes();
  if (Sometimes()) spec.timeout = absl::Milliseconds(*rc::gen::inRange<int64_t>(1, int64_t{1} << 40));
  if (Sometimes()) spec.gc_interval = absl::Milliseconds(*rc::gen::inRange<int64_t>(1, 0xffffffff));
  if (Sometimes()) spec.size = Any32();
  spec.comment = ArbComment().substr(0, 20);

  const size_t key_size = FieldsBytes(spec.key);
  const auto value = [&spec] {
    nft::ElementValue v{.end = {}, .data = {}, .comment = ArbComment()};
    if (spec.verdicts) v.data = ArbVerdict();
    if (!spec.data.empty()) v.data = ArbBytes(FieldsBytes(spec.data));
    return v;
  };
  const int count = Below(12);
  if (!spec.interval) {
    for (int i = 0; i < count; ++i) set.elements[ArbBytes(key_size)] = value();
  } else if (spec.key.size() > 1) {
    for (int i = 0; i < count; ++i) {
      Bytes from = ArbBytes(key_size);
      Bytes to = ArbBytes(key_size);
      if (to < from) std::swap(from, to);
      nft::ElementValue v = value();
      v.end = to;
      set.elements[from] = v;
    }
  } else {
    // Disjoint: sorted points, taken in pairs; a pair may be a single key, and may touch the next.
    std::vector<Bytes> points;
    points.reserve(2 * static_cast<size_t>(count));
    for (int i = 0; i < 2 * count; ++i) points.push_back(ArbBytes(key_size));
    std::sort(points.begin(), points.end());
    points.erase(std::unique(points.begin(), points.end()), points.end());
    for (size_t i = 0; i < points.size();) {
      const size_t last = Sometimes() && i + 1 < points.size() ? i + 1 : i;
      nft::ElementValue v = value();
      v.end = points[last];
      set.elements[points[i]] = v;
      i = last + 1;
    }
  }
  return set;
}

nft::Ruleset ArbRuleset() {
  nft::Ruleset ruleset;
  for (const Family family : kFamilies) {
    if (Below(4) == 0) continue;
    nft::Table& table = ruleset.tables[family];
    table.comment = ArbComment();
    for (int i = Below(4); i > 0; --i) {
      nft::Chain& chain = table.chains[ArbName()];
      chain = {};
      chain.comment = ArbComment();
      if (Sometimes()) {
        chain.hook = nft::Hook{.type = Sometimes() ? "nat" : "filter",
                               .number = static_cast<nft::Hook::Number>(Below(5)),
                               .priority = *rc::gen::arbitrary<int32_t>(),
                               .drop_policy = Sometimes()};
      }
      for (int j = Below(4); j > 0; --j) {
        nft::Rule rule{{}, ArbComment()};
        for (int k = Below(6); k > 0; --k) rule.exprs.push_back(ArbExpr());
        chain.rules.push_back(std::move(rule));
      }
    }
    for (int i = Below(4); i > 0; --i) table.sets[ArbName()] = ArbSet();
  }
  return ruleset;
}

RC_GTEST_PROP(CodecPropertyTest, WhatIsEncodedDecodesToTheSame, ()) {
  const nft::Ruleset ruleset = ArbRuleset();
  const absl::StatusOr<nft::Ruleset> decoded = ThroughBytes(ruleset);
  if (!decoded.ok()) RC_FAIL(decoded.status().ToString());
  RC_ASSERT(*decoded == ruleset);
}

RC_GTEST_PROP(CodecPropertyTest, TheSameIsEncodedToTheSameBytes, ()) {
  const nft::ChangeSet changes = FromNothing(ArbRuleset());
  RC_ASSERT(Hex(EncodeBatch(changes, 3, 4)->bytes()) == Hex(EncodeBatch(changes, 3, 4)->bytes()));
}

// A byte changed anywhere: an error or another ruleset, and nothing worse.
RC_GTEST_PROP(CodecPropertyTest, DamagedBytesAreSurvived, ()) {
  const absl::StatusOr<Batch> batch = EncodeBatch(FromNothing(ArbRuleset()), 1, kUnknownGeneration);
  RC_ASSERT(batch.ok());
  std::vector<uint8_t> bytes(batch->bytes().begin(), batch->bytes().end());
  for (int i = 1 + Below(4); i > 0; --i)
    bytes[static_cast<size_t>(Below(static_cast<int>(bytes.size())))] ^= static_cast<uint8_t>(1 + Below(255));
  const absl::StatusOr<nft::Ruleset> decoded = Decode(bytes);
  RC_ASSERT(decoded.ok() || absl::IsDataLoss(decoded.status()));
}

}  // namespace
}  // namespace pointsman::nl
