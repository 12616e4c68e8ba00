// SPDX-License-Identifier: Apache-2.0
#include "netlink/nft/decode.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <variant>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include "netlink/core/uapi.h"
#include "netlink/nft/fields.h"
#include "netlink/nft/userdata.h"
#include "pointsman/status.h"

namespace pointsman::nl {
namespace {

using nft::Bytes;

absl::string_view AsText(ByteSpan bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

Bytes ToBytes(ByteSpan bytes) { return Bytes(bytes.begin(), bytes.end()); }

absl::Duration Milliseconds(uint64_t ms) {
  return absl::Milliseconds(static_cast<int64_t>(std::min<uint64_t>(ms, INT64_MAX)));
}

std::optional<nft::Reg> RegOf(uint32_t reg) {
  if (reg >= NFT_REG_1 && reg <= NFT_REG_4) return static_cast<nft::Reg>((reg - NFT_REG_1) * 4);
  if (reg >= NFT_REG32_00 && reg <= NFT_REG32_15) return static_cast<nft::Reg>(reg - NFT_REG32_00);
  return std::nullopt;
}

// NFTA_DATA_VALUE of a nested data attribute; empty if it is a verdict, or longer than any register.
Bytes ValueIn(Attrs& attrs, uint16_t type) {
  const Attrs data = attrs.Nested(type);
  if (!data.Has(NFTA_DATA_VALUE) || data.Has(NFTA_DATA_VERDICT)) return {};
  const ByteSpan value = data.Raw(NFTA_DATA_VALUE);
  if (value.size() > NFT_DATA_VALUE_MAXLEN) return {};
  return ToBytes(value);
}

std::optional<uint32_t> WordIn(Attrs& attrs, uint16_t type) {
  const Bytes value = ValueIn(attrs, type);
  uint32_t word = 0;
  if (value.size() != sizeof(word)) return std::nullopt;
  std::memcpy(&word, value.data(), sizeof(word));
  return word;
}

// NFTA_DATA_VERDICT { NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN }
std::optional<nft::Verdict> VerdictIn(Attrs& attrs, uint16_t type) {
  Attrs data = attrs.Nested(type);
  if (!data.Has(NFTA_DATA_VERDICT)) return std::nullopt;
  Attrs nested = data.Nested(NFTA_DATA_VERDICT);
  nft::Verdict verdict;
  verdict.code = static_cast<nft::Verdict::Code>(nested.U32(NFTA_VERDICT_CODE));
  if (!data.ok() || !nested.ok()) {
    attrs.Spoil();
    return std::nullopt;
  }
  switch (verdict.code) {
    case nft::Verdict::Code::kJump:
    case nft::Verdict::Code::kGoto:
      verdict.chain = std::string(nested.Str(NFTA_VERDICT_CHAIN));
      break;
    case nft::Verdict::Code::kDrop:
    case nft::Verdict::Code::kAccept:
    case nft::Verdict::Code::kContinue:
    case nft::Verdict::Code::kReturn:
      break;
    default:
      return std::nullopt;
  }
  if (!nested.Has(NFTA_VERDICT_CODE)) return std::nullopt;
  return verdict;
}

// --- expressions: nothing means that nft.h cannot say it -------------------------------------------------------------

using MaybeExpr = std::optional<nft::Expr>;

MaybeExpr DecodePayload(Attrs& a) {
  if (!a.HasOnly({NFTA_PAYLOAD_DREG, NFTA_PAYLOAD_BASE, NFTA_PAYLOAD_OFFSET, NFTA_PAYLOAD_LEN}, NFTA_PAYLOAD_MAX))
    return {};
  const auto dreg = RegOf(a.U32(NFTA_PAYLOAD_DREG));
  const uint32_t base = a.U32(NFTA_PAYLOAD_BASE);
  if (!dreg || base > static_cast<uint32_t>(nft::Payload::Base::kTransport)) return {};
  return nft::Payload{.base = static_cast<nft::Payload::Base>(base),
                      .offset = a.U32(NFTA_PAYLOAD_OFFSET),
                      .len = a.U32(NFTA_PAYLOAD_LEN),
                      .dreg = *dreg};
}

MaybeExpr DecodeMeta(Attrs& a) {
  const auto key = static_cast<nft::MetaLoad::Key>(a.U32(NFTA_META_KEY));
  if (key != nft::MetaLoad::Key::kMark && key != nft::MetaLoad::Key::kIifName && key != nft::MetaLoad::Key::kL4Proto) {
    return {};
  }
  const auto dreg = RegOf(a.U32(NFTA_META_DREG));
  const auto sreg = RegOf(a.U32(NFTA_META_SREG));
  if (a.Has(NFTA_META_DREG) == a.Has(NFTA_META_SREG)) return {};
  if (dreg) return nft::MetaLoad{.key = key, .dreg = *dreg};
  if (sreg) return nft::MetaSet{.key = key, .sreg = *sreg};
  return {};
}

MaybeExpr DecodeCt(Attrs& a) {
  if (!a.HasOnly({NFTA_CT_DREG, NFTA_CT_KEY, NFTA_CT_DIRECTION}, NFTA_CT_MAX) || !a.Has(NFTA_CT_KEY)) return {};
  const auto key = static_cast<nft::CtLoad::Key>(a.U32(NFTA_CT_KEY));
  const auto dreg = RegOf(a.U32(NFTA_CT_DREG));
  const uint8_t direction = a.U8(NFTA_CT_DIRECTION);
  if (!dreg || direction > 1) return {};
  switch (key) {
    case nft::CtLoad::Key::kState:
    case nft::CtLoad::Key::kStatus:
      if (a.Has(NFTA_CT_DIRECTION)) return {};
      return nft::CtLoad{.key = key, .dreg = *dreg};
    case nft::CtLoad::Key::kProtoDst:
    case nft::CtLoad::Key::kDstIp:
    case nft::CtLoad::Key::kDstIp6:
      if (!a.Has(NFTA_CT_DIRECTION)) return {};
      return nft::CtLoad{.key = key, .original = direction == 0, .dreg = *dreg};
  }
  return {};
}

MaybeExpr DecodeFib(Attrs& a) {
  const auto dreg = RegOf(a.U32(NFTA_FIB_DREG));
  if (!dreg) return {};
  return nft::FibLoad{.flags = a.U32(NFTA_FIB_FLAGS), .result = a.U32(NFTA_FIB_RESULT), .dreg = *dreg};
}

MaybeExpr DecodeNumgen(Attrs& a) {
  const auto dreg = RegOf(a.U32(NFTA_NG_DREG));
  if (!dreg || a.U32(NFTA_NG_TYPE) != NFT_NG_RANDOM || a.U32(NFTA_NG_OFFSET) != 0) return {};
  return nft::Numgen{.modulus = a.U32(NFTA_NG_MODULUS), .dreg = *dreg};
}

MaybeExpr DecodeByteorder(Attrs& a) {
  const auto sreg = RegOf(a.U32(NFTA_BYTEORDER_SREG));
  const auto dreg = RegOf(a.U32(NFTA_BYTEORDER_DREG));
  if (!sreg || !dreg || a.U32(NFTA_BYTEORDER_OP) != NFT_BYTEORDER_HTON) return {};
  return nft::Byteorder{
      .sreg = *sreg, .dreg = *dreg, .len = a.U32(NFTA_BYTEORDER_LEN), .size = a.U32(NFTA_BYTEORDER_SIZE)};
}

MaybeExpr DecodeCmp(Attrs& a) {
  const auto sreg = RegOf(a.U32(NFTA_CMP_SREG));
  const uint32_t op = a.U32(NFTA_CMP_OP);
  Bytes data = ValueIn(a, NFTA_CMP_DATA);
  if (!sreg || data.empty() || op > static_cast<uint32_t>(nft::Cmp::Op::kNeq)) return {};
  return nft::Cmp{.op = static_cast<nft::Cmp::Op>(op), .sreg = *sreg, .data = std::move(data)};
}

MaybeExpr DecodeBitwise(Attrs& a) {
  if (!a.HasOnly({NFTA_BITWISE_SREG, NFTA_BITWISE_DREG, NFTA_BITWISE_LEN, NFTA_BITWISE_MASK, NFTA_BITWISE_XOR,
                  NFTA_BITWISE_OP},
                 NFTA_BITWISE_MAX)) {
    return {};
  }
  const auto sreg = RegOf(a.U32(NFTA_BITWISE_SREG));
  const auto dreg = RegOf(a.U32(NFTA_BITWISE_DREG));
  const auto mask = WordIn(a, NFTA_BITWISE_MASK);
  const auto xor_value = WordIn(a, NFTA_BITWISE_XOR);
  if (!sreg || !dreg || !mask || !xor_value) return {};
  if (a.U32(NFTA_BITWISE_OP) != NFT_BITWISE_BOOL || a.U32(NFTA_BITWISE_LEN) != sizeof(uint32_t)) return {};
  return nft::Bitwise{.sreg = *sreg, .dreg = *dreg, .mask = *mask, .xor_value = *xor_value};
}

MaybeExpr DecodeLookup(Attrs& a) {
  const auto sreg = RegOf(a.U32(NFTA_LOOKUP_SREG));
  const uint32_t flags = a.U32(NFTA_LOOKUP_FLAGS);
  if (!sreg || (flags & ~uint32_t{NFT_LOOKUP_F_INV}) != 0) return {};
  nft::Lookup lookup{.set = std::string(a.Str(NFTA_LOOKUP_SET)), .sreg = *sreg, .inverted = flags != 0};
  if (a.Has(NFTA_LOOKUP_DREG)) {
    const uint32_t reg = a.U32(NFTA_LOOKUP_DREG);
    const auto dreg = RegOf(reg);
    if (reg == NFT_REG_VERDICT) {
      lookup.result = nft::Lookup::Result::kVerdict;
    } else if (dreg) {
      lookup.result = nft::Lookup::Result::kData;
      lookup.dreg = *dreg;
    } else {
      return {};
    }
  }
  return lookup;
}

MaybeExpr DecodeDynset(Attrs& a) {
  if (!a.HasOnly({NFTA_DYNSET_SET_NAME, NFTA_DYNSET_SET_ID, NFTA_DYNSET_OP, NFTA_DYNSET_SREG_KEY, NFTA_DYNSET_SREG_DATA,
                  NFTA_DYNSET_TIMEOUT, NFTA_DYNSET_PAD, NFTA_DYNSET_FLAGS},
                 NFTA_DYNSET_MAX)) {
    return {};
  }
  const auto key = RegOf(a.U32(NFTA_DYNSET_SREG_KEY));
  const auto data = RegOf(a.U32(NFTA_DYNSET_SREG_DATA));
  const uint32_t op = a.U32(NFTA_DYNSET_OP);
  if (!key || a.Has(NFTA_DYNSET_SREG_DATA) != data.has_value() || a.U32(NFTA_DYNSET_FLAGS) != 0 ||
      op > static_cast<uint32_t>(nft::Dynset::Op::kDelete)) {
    return {};
  }
  return nft::Dynset{.op = static_cast<nft::Dynset::Op>(op),
                     .set = std::string(a.Str(NFTA_DYNSET_SET_NAME)),
                     .key = *key,
                     .data = data,
                     .timeout = Milliseconds(a.U64(NFTA_DYNSET_TIMEOUT))};
}

MaybeExpr DecodeCounter(Attrs& a) { return nft::Counter{.packets = a.U64(NFTA_COUNTER_PACKETS)}; }

MaybeExpr DecodeImmediate(Attrs& a) {
  std::optional<nft::Verdict> verdict = VerdictIn(a, NFTA_IMMEDIATE_DATA);
  if (a.U32(NFTA_IMMEDIATE_DREG) != NFT_REG_VERDICT || !verdict) return {};
  return nft::Immediate{*std::move(verdict)};
}

MaybeExpr DecodeNat(Attrs& a, Family family) {
  // The kernel shows a range even where a single value was given, and says what it found in flags.
  constexpr uint32_t kImplied = NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED;
  const auto addr = RegOf(a.U32(NFTA_NAT_REG_ADDR_MIN));
  const auto port = RegOf(a.U32(NFTA_NAT_REG_PROTO_MIN));
  const auto is_end_of = [&a](uint16_t max, const std::optional<nft::Reg>& min) {
    return !a.Has(max) || RegOf(a.U32(max)) == min;
  };
  if (!addr || !port || !is_end_of(NFTA_NAT_REG_ADDR_MAX, addr) || !is_end_of(NFTA_NAT_REG_PROTO_MAX, port)) return {};
  if (a.U32(NFTA_NAT_TYPE) != NFT_NAT_DNAT || !a.Has(NFTA_NAT_TYPE)) return {};
  if (a.U32(NFTA_NAT_FAMILY) != (family == Family::kIpv4 ? NFPROTO_IPV4 : NFPROTO_IPV6)) return {};
  if ((a.U32(NFTA_NAT_FLAGS) & ~kImplied) != 0) return {};
  return nft::Dnat{.addr = *addr, .port = *port};
}

MaybeExpr DecodeMasquerade(Attrs& a) {
  const uint32_t flags = a.U32(NFTA_MASQ_FLAGS);
  if (!a.HasOnly({NFTA_MASQ_FLAGS}, NFTA_MASQ_MAX) || (flags != 0 && flags != NF_NAT_RANGE_PROTO_RANDOM_FULLY))
    return {};
  return nft::Masquerade{.fully_random = flags != 0};
}

MaybeExpr DecodeReject(Attrs& a) {
  const uint32_t type = a.U32(NFTA_REJECT_TYPE);
  if (!a.Has(NFTA_REJECT_TYPE)) return {};
  switch (static_cast<nft::Reject::Type>(type)) {
    case nft::Reject::Type::kIcmpUnreach:
      return nft::Reject{.type = nft::Reject::Type::kIcmpUnreach, .code = a.U8(NFTA_REJECT_ICMP_CODE)};
    case nft::Reject::Type::kTcpReset:
      return nft::Reject{.type = nft::Reject::Type::kTcpReset, .code = 0};
  }
  return {};
}

MaybeExpr DecodeKnown(Family family, absl::string_view name, Attrs& a) {
  if (name == "payload") return DecodePayload(a);
  if (name == "meta") return DecodeMeta(a);
  if (name == "ct") return DecodeCt(a);
  if (name == "fib") return DecodeFib(a);
  if (name == "numgen") return DecodeNumgen(a);
  if (name == "byteorder") return DecodeByteorder(a);
  if (name == "cmp") return DecodeCmp(a);
  if (name == "bitwise") return DecodeBitwise(a);
  if (name == "lookup") return DecodeLookup(a);
  if (name == "dynset") return DecodeDynset(a);
  if (name == "counter") return DecodeCounter(a);
  if (name == "immediate") return DecodeImmediate(a);
  if (name == "nat") return DecodeNat(a, family);
  if (name == "masq") return DecodeMasquerade(a);
  if (name == "reject") return DecodeReject(a);
  return {};
}

// "1=00000003 2=0a000001": type and payload of each attribute.
std::string ForeignText(ByteSpan data) {
  std::string text;
  ForEachAttr(data, [&text](uint16_t type, ByteSpan payload) {
    absl::StrAppend(&text, text.empty() ? "" : " ", type, "=", absl::BytesToHexString(AsText(payload)));
  });
  return text;
}

absl::Status Malformed(absl::string_view what) { return absl::DataLossError(absl::StrCat("malformed ", what)); }

// The key before `key`, which is not the first one.
Bytes Predecessor(Bytes key) {
  for (size_t i = key.size(); i-- > 0;) {
    if (key[i]-- != 0) break;
  }
  return key;
}

}  // namespace

absl::StatusOr<nft::Expr> DecodeExpr(Family family, ByteSpan expression) {
  Attrs attrs(expression);
  if (!attrs.ok()) return Malformed("expression");
  const absl::string_view name = attrs.Str(NFTA_EXPR_NAME);
  Attrs data = attrs.Nested(NFTA_EXPR_DATA);
  MaybeExpr expr = DecodeKnown(family, name, data);
  if (!attrs.ok() || !data.ok()) return Malformed(absl::StrCat("expression ", absl::CHexEscape(name)));
  if (expr.has_value()) return *std::move(expr);
  return nft::Foreign{.name = std::string(name), .text = ForeignText(attrs.Raw(NFTA_EXPR_DATA))};
}

absl::StatusOr<Generation> DecodeGeneration(ByteSpan message) {
  constexpr size_t kHeaders = sizeof(nlmsghdr) + sizeof(nfgenmsg);
  if (message.size() < kHeaders) return Malformed("generation");
  Attrs attrs(message.subspan(kHeaders));
  const Generation generation = attrs.U32(NFTA_GEN_ID);
  if (!attrs.ok() || !attrs.Has(NFTA_GEN_ID)) return Malformed("generation");
  return generation;
}

absl::Status RulesetDecoder::Add(ByteSpan message) {
  nlmsghdr header;
  nfgenmsg general;
  if (message.size() < sizeof(header) + sizeof(general)) return Malformed("nf_tables message");
  std::memcpy(&header, message.data(), sizeof(header));
  std::memcpy(&general, message.data() + sizeof(header), sizeof(general));
  if (general.nfgen_family != NFPROTO_IPV4 && general.nfgen_family != NFPROTO_IPV6) return absl::OkStatus();
  const Family family = general.nfgen_family == NFPROTO_IPV4 ? Family::kIpv4 : Family::kIpv6;

  // The table's name is attribute 1 of all of them.
  static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 && NFTA_SET_TABLE == 1 &&
                NFTA_SET_ELEM_LIST_TABLE == 1);
  Attrs attrs(message.subspan(sizeof(header) + sizeof(general)));
  if (!attrs.ok()) return Malformed("nf_tables message");
  if (attrs.Str(NFTA_TABLE_NAME) != nft::kTableName) return absl::OkStatus();

  switch (header.nlmsg_type) {
    case NftType(NFT_MSG_NEWTABLE):
      return AddTable(family, attrs);
    case NftType(NFT_MSG_NEWCHAIN):
      return AddChain(family, attrs);
    case NftType(NFT_MSG_NEWRULE):
      return AddRule(family, attrs);
    case NftType(NFT_MSG_NEWSET):
      return AddSet(family, attrs);
    case NftType(NFT_MSG_NEWSETELEM):
      return AddElements(family, attrs);
    default:
      return absl::OkStatus();
  }
}

absl::Status RulesetDecoder::AddTable(Family family, Attrs& attrs) {
  ruleset_.tables[family].comment = CommentIn(attrs.Raw(NFTA_TABLE_USERDATA), NFTNL_UDATA_TABLE_COMMENT);
  return absl::OkStatus();
}

absl::Status RulesetDecoder::AddChain(Family family, Attrs& attrs) {
  const std::string name(attrs.Str(NFTA_CHAIN_NAME));
  const auto table = ruleset_.tables.find(family);
  if (table == ruleset_.tables.end()) return absl::DataLossError(absl::StrCat("chain ", name, " in no table"));
  nft::Chain chain;
  chain.comment = CommentIn(attrs.Raw(NFTA_CHAIN_USERDATA), NFTNL_UDATA_CHAIN_COMMENT);
  // NFTA_CHAIN_HOOK { NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY }
  if (attrs.Has(NFTA_CHAIN_HOOK)) {
    Attrs hook = attrs.Nested(NFTA_CHAIN_HOOK);
    chain.hook = nft::Hook{.type = std::string(attrs.Str(NFTA_CHAIN_TYPE)),
                           .number = static_cast<nft::Hook::Number>(hook.U32(NFTA_HOOK_HOOKNUM)),
                           .priority = static_cast<int32_t>(hook.U32(NFTA_HOOK_PRIORITY)),
                           .drop_policy = attrs.Has(NFTA_CHAIN_POLICY) && attrs.U32(NFTA_CHAIN_POLICY) == NF_DROP};
    if (!hook.ok()) attrs.Spoil();
  }
  const bool rule_owned = (attrs.U32(NFTA_CHAIN_FLAGS) & NFT_CHAIN_BINDING) != 0;
  if (!attrs.ok()) return Malformed("chain");
  if (rule_owned) {
    rule_owned_chains_[{family, name}] = true;
  } else {
    table->second.chains[name] = std::move(chain);
  }
  return absl::OkStatus();
}

absl::Status RulesetDecoder::AddRule(Family family, Attrs& attrs) {
  const std::string name(attrs.Str(NFTA_RULE_CHAIN));
  if (rule_owned_chains_.contains({family, name})) return absl::OkStatus();
  const auto table = ruleset_.tables.find(family);
  if (table == ruleset_.tables.end()) return absl::DataLossError("rule in no table");
  const auto chain = table->second.chains.find(name);
  if (chain == table->second.chains.end()) return absl::DataLossError(absl::StrCat("rule in no chain: ", name));

  nft::Rule rule;
  rule.comment = CommentIn(attrs.Raw(NFTA_RULE_USERDATA), NFTNL_UDATA_RULE_COMMENT);
  absl::Status status;
  const bool whole = ForEachAttr(attrs.Raw(NFTA_RULE_EXPRESSIONS), [&](uint16_t type, ByteSpan payload) {
    if (type != NFTA_LIST_ELEM || !status.ok()) return;
    absl::StatusOr<nft::Expr> expr = DecodeExpr(family, payload);
    if (expr.ok()) {
      rule.exprs.push_back(*std::move(expr));
    } else {
      status = expr.status();
    }
  });
  PM_RETURN_IF_ERROR(Annotate(status, absl::StrCat("rule in chain ", name)));
  if (!whole) return Malformed("rule");
  chain->second.rules.push_back(std::move(rule));
  return absl::OkStatus();
}

absl::Status RulesetDecoder::AddSet(Family family, Attrs& attrs) {
  const std::string name(attrs.Str(NFTA_SET_NAME));
  const auto table = ruleset_.tables.find(family);
  if (table == ruleset_.tables.end()) return absl::DataLossError(absl::StrCat("set ", name, " in no table"));

  const uint32_t flags = attrs.U32(NFTA_SET_FLAGS);
  nft::SetSpec spec;
  spec.key = FieldsOf(attrs.U32(NFTA_SET_KEY_TYPE));
  if ((flags & NFT_SET_MAP) != 0) {
    const uint32_t type = attrs.U32(NFTA_SET_DATA_TYPE);
    spec.verdicts = type == NFT_DATA_VERDICT;
    if (!spec.verdicts) spec.data = FieldsOf(type);
  }
  // A map to named objects (counters and such): not ours, and should not look like a plain set.
  if ((flags & NFT_SET_OBJECT) != 0) spec.data = {static_cast<nft::Field>(0)};
  spec.interval = (flags & NFT_SET_INTERVAL) != 0;
  spec.dynamic = (flags & NFT_SET_EVAL) != 0;
  spec.has_timeout = (flags & NFT_SET_TIMEOUT) != 0;
  spec.timeout = Milliseconds(attrs.U64(NFTA_SET_TIMEOUT));
  spec.gc_interval = Milliseconds(attrs.U32(NFTA_SET_GC_INTERVAL));
  Attrs description = attrs.Nested(NFTA_SET_DESC);
  spec.size = description.U32(NFTA_SET_DESC_SIZE);
  spec.comment = CommentIn(attrs.Raw(NFTA_SET_USERDATA), NFTNL_UDATA_SET_COMMENT);
  std::optional<uint32_t> count;
  if (attrs.Has(kNftaSetCount)) count = attrs.U32(kNftaSetCount);
  if (!attrs.ok() || !description.ok()) return Malformed("set");

  if ((flags & NFT_SET_ANONYMOUS) != 0) return absl::OkStatus();
  sets_.push_back(
      SetRef{.family = family, .name = name, .dynamic = spec.dynamic, .interval = spec.interval, .count = count});
  if (spec.interval && spec.key.size() == 1) edges_[{family, name}].clear();
  table->second.sets[name] = nft::Set{.spec = std::move(spec)};
  return absl::OkStatus();
}

absl::Status RulesetDecoder::AddElements(Family family, Attrs& attrs) {
  const std::string name(attrs.Str(NFTA_SET_ELEM_LIST_SET));
  const auto table = ruleset_.tables.find(family);
  if (table == ruleset_.tables.end()) return absl::DataLossError("elements in no table");
  const auto set = table->second.sets.find(name);
  if (set == table->second.sets.end()) return absl::DataLossError(absl::StrCat("elements in no set: ", name));
  const auto edges = edges_.find({family, name});

  const size_t before = set->second.elements.size();
  size_t added = 0;
  absl::Status status;
  // The kernel numbers them all NFTA_LIST_ELEM, libnftnl 1, 2, 3 …, and nobody looks.
  const bool whole = ForEachAttr(attrs.Raw(NFTA_SET_ELEM_LIST_ELEMENTS), [&](uint16_t, ByteSpan payload) {
    if (!status.ok()) return;
    status = AddElement(set->second, edges == edges_.end() ? nullptr : &edges->second, payload);
    ++added;
  });
  PM_RETURN_IF_ERROR(Annotate(status, absl::StrCat("set ", name)));
  if (edges == edges_.end() && set->second.elements.size() != before + added) repeated_.insert({family, name});
  return whole ? absl::OkStatus() : Malformed("elements");
}

absl::Status RulesetDecoder::AddElement(nft::Set& set, std::vector<Edge>* edges, ByteSpan bytes) {
  Attrs attrs(bytes);
  const uint32_t flags = attrs.U32(NFTA_SET_ELEM_FLAGS);
  const bool catch_all = (flags & NFT_SET_ELEM_CATCHALL) != 0;
  Bytes key = ValueIn(attrs, NFTA_SET_ELEM_KEY);
  Bytes end = ValueIn(attrs, NFTA_SET_ELEM_KEY_END);
  nft::ElementValue value;
  if (attrs.Has(NFTA_SET_ELEM_DATA)) {
    if (Bytes data = ValueIn(attrs, NFTA_SET_ELEM_DATA); !data.empty()) value.data = std::move(data);
    if (std::optional<nft::Verdict> verdict = VerdictIn(attrs, NFTA_SET_ELEM_DATA)) value.data = *std::move(verdict);
  }
  value.comment = CommentIn(attrs.Raw(NFTA_SET_ELEM_USERDATA), NFTNL_UDATA_SET_ELEM_COMMENT);
  if (!attrs.ok() || key.empty() != catch_all) return Malformed("element");

  if (edges != nullptr && !catch_all) {
    edges->push_back(
        Edge{.key = std::move(key), .end = (flags & NFT_SET_ELEM_INTERVAL_END) != 0, .value = std::move(value)});
    return absl::OkStatus();
  }
  // Without an end the interval is a single key.
  if (set.spec.interval && !catch_all) value.end = end.empty() ? key : std::move(end);
  set.elements.insert_or_assign(std::move(key), std::move(value));
  return absl::OkStatus();
}

size_t RulesetDecoder::ElementsOf(Family family, const std::string& set) const {
  if (const auto edges = edges_.find({family, set}); edges != edges_.end()) return (edges->second.size() + 1) / 2;
  const auto table = ruleset_.tables.find(family);
  if (table == ruleset_.tables.end()) return 0;
  const auto found = table->second.sets.find(set);
  return found == table->second.sets.end() ? 0 : found->second.elements.size();
}

void RulesetDecoder::CutShort(Family family, const std::string& set) {
  nft::Set& cut = ruleset_.tables[family].sets[set];
  cut.elements.clear();
  cut.complete = false;
  edges_.erase({family, set});
}

nft::Ruleset RulesetDecoder::Finish() {
  for (auto& [key, edges] : edges_) {
    nft::Set& set = ruleset_.tables[key.first].sets[key.second];
    // Where one interval ends and the next begins there are two edges with the same key.
    std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) {
      if (a.key != b.key) return a.key < b.key;
      return a.end > b.end;
    });
    Edge* open = nullptr;
    const auto close = [&set, &open](Bytes last) {
      open->value.end = std::move(last);
      set.elements.insert_or_assign(std::move(open->key), std::move(open->value));
      open = nullptr;
    };
    for (Edge& edge : edges) {
      // An end without a beginning is the one nft puts at zero, before the first interval.
      if (open != nullptr && open->key < edge.key) close(Predecessor(edge.key));
      if (!edge.end) open = &edge;
    }
    if (open != nullptr) close(Bytes(open->key.size(), 0xff));
  }
  edges_.clear();
  return std::move(ruleset_);
}

}  // namespace pointsman::nl
