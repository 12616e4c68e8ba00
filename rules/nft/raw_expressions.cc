// SPDX-License-Identifier: Apache-2.0
//
// Expressions one by one, as `nft --debug=netlink` shows them.
#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "rules/nft/element_text.h"
#include "rules/nft/expression_text.h"

namespace pointsman::nft {
namespace {

// The registers' two names: of 128 bits, where one begins, or of 32 bits.
std::string RegText(Reg reg) { return absl::StrCat("reg ", reg % 4 == 0 ? reg / 4 + 1 : reg + 8); }

struct Raw {
  std::string operator()(const Payload& e) const {
    static constexpr absl::string_view kBases[] = {"link", "network", "transport"};
    const auto base = static_cast<size_t>(e.base);
    return absl::StrFormat("payload load %db @ %s header + %d => %s", e.len,
                           base < std::size(kBases) ? kBases[base] : "unknown", e.offset, RegText(e.dreg));
  }
  std::string operator()(const MetaLoad& e) const {
    return absl::StrCat("meta load ", MetaWord(e.key), " => ", RegText(e.dreg));
  }
  std::string operator()(const MetaSet& e) const {
    return absl::StrCat("meta set ", MetaWord(e.key), " with ", RegText(e.sreg));
  }
  std::string operator()(const CtLoad& e) const {
    return absl::StrCat("ct load ", CtWord(e.key), " => ", RegText(e.dreg), e.original ? " , dir original" : "");
  }
  std::string operator()(const FibLoad& e) const {
    const std::string what = e.flags == 1 ? "saddr" : e.flags == 2 ? "daddr" : absl::StrCat("flags ", e.flags);
    return absl::StrCat("fib ", what, " ", e.result == 3 ? "type" : absl::StrCat("result ", e.result), " => ",
                        RegText(e.dreg));
  }
  std::string operator()(const Numgen& e) const {
    return absl::StrCat("numgen ", RegText(e.dreg), " = random mod ", e.modulus);
  }
  std::string operator()(const Byteorder& e) const {
    return absl::StrCat("byteorder ", RegText(e.dreg), " = hton(", RegText(e.sreg), ", ", e.size, ", ", e.len, ")");
  }
  std::string operator()(const Cmp& e) const {
    std::string out = absl::StrCat("cmp ",
                                   e.op == Cmp::Op::kEq    ? "eq "
                                   : e.op == Cmp::Op::kNeq ? "neq "
                                                           : "unknown ",
                                   RegText(e.sreg));
    for (size_t i = 0; i < e.data.size(); i += 4) {
      uint32_t word = 0;
      std::memcpy(&word, e.data.data() + i, std::min<size_t>(4, e.data.size() - i));
      absl::StrAppend(&out, " 0x", absl::Hex(word, absl::kZeroPad8));
    }
    return out;
  }
  std::string operator()(const Bitwise& e) const {
    return absl::StrFormat("bitwise %s = ( %s & 0x%08x ) ^ 0x%08x", RegText(e.dreg), RegText(e.sreg), e.mask,
                           e.xor_value);
  }
  std::string operator()(const Lookup& e) const {
    std::string out = absl::StrCat("lookup ", RegText(e.sreg), " set ", e.set);
    if (e.result == Lookup::Result::kData) absl::StrAppend(&out, " d", RegText(e.dreg));
    if (e.result == Lookup::Result::kVerdict) out += " dreg 0";
    return out += e.inverted ? " 0x1" : " 0x0";
  }
  std::string operator()(const Dynset& e) const {
    std::string out = absl::StrCat("dynset ", DynsetWord(e.op), " reg_key ", RegNumber(e.key), " set ", e.set);
    if (e.data) absl::StrAppend(&out, " sreg_data ", RegNumber(*e.data));
    if (e.timeout != absl::ZeroDuration()) {
      absl::StrAppend(&out, " timeout ", absl::ToInt64Milliseconds(e.timeout), "ms");
    }
    return out;
  }
  std::string operator()(const Counter&) const { return "counter pkts 0 bytes 0"; }
  std::string operator()(const Immediate& e) const {
    absl::string_view word = VerdictWord(e.verdict.code);
    std::string out = "immediate reg 0 ";
    if (word.empty()) return absl::StrCat(out, "verdict ", static_cast<int32_t>(e.verdict.code));
    absl::StrAppend(&out, word);
    if (HasTarget(e.verdict.code)) absl::StrAppend(&out, " -> ", *e.verdict.chain);
    return out;
  }
  std::string operator()(const Dnat& e) const {
    return absl::StrCat("nat dnat addr_min ", RegText(e.addr), " proto_min ", RegText(e.port));
  }
  std::string operator()(const Masquerade& e) const { return e.fully_random ? "masq flags 0x10" : "masq"; }
  std::string operator()(const Reject& e) const {
    return absl::StrCat("reject type ", static_cast<uint32_t>(e.type), " code ", e.code);
  }
  std::string operator()(const Foreign& e) const {
    // libnftnl's text starts with the name for some expressions and not for others.
    return absl::StartsWith(e.text, e.name) ? e.text : absl::StrCat(e.name, e.text.empty() ? "" : " ", e.text);
  }

 private:
  static int RegNumber(Reg reg) { return reg % 4 == 0 ? reg / 4 + 1 : reg + 8; }
  static std::string MetaWord(MetaLoad::Key key) {
    switch (key) {
      case MetaLoad::Key::kMark:
        return "mark";
      case MetaLoad::Key::kIifName:
        return "iifname";
      case MetaLoad::Key::kL4Proto:
        return "l4proto";
    }
    return absl::StrCat("key ", static_cast<uint32_t>(key));
  }
  static std::string CtWord(CtLoad::Key key) {
    switch (key) {
      case CtLoad::Key::kState:
        return "state";
      case CtLoad::Key::kStatus:
        return "status";
      case CtLoad::Key::kProtoDst:
        return "proto_dst";
      case CtLoad::Key::kDstIp:
        return "dst_ip";
      case CtLoad::Key::kDstIp6:
        return "dst_ip6";
    }
    return absl::StrCat("key ", static_cast<uint32_t>(key));
  }
};

}  // namespace

std::string RawExpressions(const Rule& rule) {
  std::string out;
  for (const Expr& expr : rule.exprs) absl::StrAppend(&out, out.empty() ? "[ " : " [ ", std::visit(Raw{}, expr), " ]");
  // Whatever a stranger's names hold, this stays on its line: it is printed as a comment.
  std::ranges::replace_if(
      out, [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); }, ' ');
  return out.empty() ? "[ ]" : out;
}

}  // namespace pointsman::nft
