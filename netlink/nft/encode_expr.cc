// SPDX-License-Identifier: Apache-2.0
#include "netlink/nft/encode_expr.h"

#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include "netlink/core/batch.h"
#include "netlink/core/uapi.h"
#include "pointsman/status.h"

namespace pointsman::nl {
namespace {

constexpr size_t kMaxName = NFT_NAME_MAXLEN - 1;
constexpr size_t kMaxCmp = 16;  // sizeof(struct nft_data)

class ExprEncoder {
 public:
  ExprEncoder(Family family, nftnl_rule* rule) : family_(family), rule_(rule) {}

  absl::Status Put(const nft::Expr& expr) {
    std::visit([this](const auto& e) { PutOne(e); }, expr);
    return std::move(status_);
  }

 private:
  // The expression belongs to the rule from the start; attributes are set while it is in it.
  nftnl_expr* Start(const char* name) {
    nftnl_expr* expr = nftnl_expr_alloc(name);
    PM_CHECK(expr != nullptr);
    nftnl_rule_add_expr(rule_, expr);
    return expr;
  }

  void PutReg(nftnl_expr* expr, uint16_t attribute, nft::Reg reg) {
    if (reg > 15) return Fail(absl::StrCat("no register ", int{reg}));
    // As the kernel reports them: the 128-bit registers by their old numbers.
    nftnl_expr_set_u32(expr, attribute, reg % 4 == 0 ? NFT_REG_1 + reg / 4u : NFT_REG32_00 + uint32_t{reg});
  }

  void Fail(absl::string_view why) {
    if (status_.ok()) status_ = absl::InternalError(why);
  }

  void PutSetName(nftnl_expr* expr, uint16_t attribute, const std::string& name) {
    if (absl::Status status = CheckName("set", name); !status.ok()) return Fail(status.message());
    nftnl_expr_set_str(expr, attribute, name.c_str());
  }

  // NFTA_PAYLOAD_{DREG, BASE, OFFSET, LEN}
  void PutOne(const nft::Payload& e) {
    nftnl_expr* expr = Start("payload");
    PutReg(expr, NFTNL_EXPR_PAYLOAD_DREG, e.dreg);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_BASE, static_cast<uint32_t>(e.base));
    nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_OFFSET, e.offset);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_LEN, e.len);
  }

  // NFTA_META_{KEY, DREG}
  void PutOne(const nft::MetaLoad& e) {
    nftnl_expr* expr = Start("meta");
    nftnl_expr_set_u32(expr, NFTNL_EXPR_META_KEY, static_cast<uint32_t>(e.key));
    PutReg(expr, NFTNL_EXPR_META_DREG, e.dreg);
  }

  // NFTA_META_{KEY, SREG}
  void PutOne(const nft::MetaSet& e) {
    nftnl_expr* expr = Start("meta");
    nftnl_expr_set_u32(expr, NFTNL_EXPR_META_KEY, static_cast<uint32_t>(e.key));
    PutReg(expr, NFTNL_EXPR_META_SREG, e.sreg);
  }

  // NFTA_CT_{KEY, DIRECTION, DREG}; tuple keys have a direction, the others must not.
  void PutOne(const nft::CtLoad& e) {
    nftnl_expr* expr = Start("ct");
    nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_KEY, static_cast<uint32_t>(e.key));
    const bool tuple = e.key != nft::CtLoad::Key::kState && e.key != nft::CtLoad::Key::kStatus;
    if (tuple) nftnl_expr_set_u8(expr, NFTNL_EXPR_CT_DIR, e.original ? 0 : 1);  // IP_CT_DIR_ORIGINAL, IP_CT_DIR_REPLY
    if (!tuple && e.original) Fail("ct state and ct status have no direction");
    PutReg(expr, NFTNL_EXPR_CT_DREG, e.dreg);
  }

  // NFTA_FIB_{DREG, RESULT, FLAGS}
  void PutOne(const nft::FibLoad& e) {
    nftnl_expr* expr = Start("fib");
    PutReg(expr, NFTNL_EXPR_FIB_DREG, e.dreg);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_RESULT, e.result);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_FLAGS, e.flags);
  }

  // NFTA_NG_{DREG, MODULUS, TYPE, OFFSET}
  void PutOne(const nft::Numgen& e) {
    nftnl_expr* expr = Start("numgen");
    PutReg(expr, NFTNL_EXPR_NG_DREG, e.dreg);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_NG_MODULUS, e.modulus);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_NG_TYPE, NFT_NG_RANDOM);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_NG_OFFSET, 0);
  }

  // NFTA_BYTEORDER_{SREG, DREG, OP, LEN, SIZE}
  void PutOne(const nft::Byteorder& e) {
    nftnl_expr* expr = Start("byteorder");
    PutReg(expr, NFTNL_EXPR_BYTEORDER_SREG, e.sreg);
    PutReg(expr, NFTNL_EXPR_BYTEORDER_DREG, e.dreg);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_BYTEORDER_OP, NFT_BYTEORDER_HTON);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_BYTEORDER_LEN, e.len);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_BYTEORDER_SIZE, e.size);
  }

  // NFTA_CMP_{SREG, OP, DATA { NFTA_DATA_VALUE }}
  void PutOne(const nft::Cmp& e) {
    if (e.data.empty() || e.data.size() > kMaxCmp) return Fail(absl::StrCat("cmp with ", e.data.size(), " bytes"));
    nftnl_expr* expr = Start("cmp");
    PutReg(expr, NFTNL_EXPR_CMP_SREG, e.sreg);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_OP, static_cast<uint32_t>(e.op));
    nftnl_expr_set(expr, NFTNL_EXPR_CMP_DATA, e.data.data(), static_cast<uint32_t>(e.data.size()));
  }

  // NFTA_BITWISE_{SREG, DREG, OP, LEN, MASK { NFTA_DATA_VALUE }, XOR { NFTA_DATA_VALUE }}
  void PutOne(const nft::Bitwise& e) {
    nftnl_expr* expr = Start("bitwise");
    PutReg(expr, NFTNL_EXPR_BITWISE_SREG, e.sreg);
    PutReg(expr, NFTNL_EXPR_BITWISE_DREG, e.dreg);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_LEN, sizeof(e.mask));
    nftnl_expr_set(expr, NFTNL_EXPR_BITWISE_MASK, &e.mask, sizeof(e.mask));
    nftnl_expr_set(expr, NFTNL_EXPR_BITWISE_XOR, &e.xor_value, sizeof(e.xor_value));
  }

  // NFTA_LOOKUP_{SET, SREG, DREG, FLAGS}; the verdict register is a destination like any other.
  void PutOne(const nft::Lookup& e) {
    nftnl_expr* expr = Start("lookup");
    PutReg(expr, NFTNL_EXPR_LOOKUP_SREG, e.sreg);
    PutSetName(expr, NFTNL_EXPR_LOOKUP_SET, e.set);
    if (e.result == nft::Lookup::Result::kData) PutReg(expr, NFTNL_EXPR_LOOKUP_DREG, e.dreg);
    if (e.result == nft::Lookup::Result::kVerdict) {
      nftnl_expr_set_u32(expr, NFTNL_EXPR_LOOKUP_DREG, NFT_REG_VERDICT);
    }
    if (e.result != nft::Lookup::Result::kData && e.dreg != 0) Fail("lookup without data has no data register");
    if (e.inverted) nftnl_expr_set_u32(expr, NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
  }

  // NFTA_DYNSET_{SET_NAME, SREG_KEY, SREG_DATA, OP, TIMEOUT}
  void PutOne(const nft::Dynset& e) {
    nftnl_expr* expr = Start("dynset");
    PutReg(expr, NFTNL_EXPR_DYNSET_SREG_KEY, e.key);
    if (e.data.has_value()) PutReg(expr, NFTNL_EXPR_DYNSET_SREG_DATA, *e.data);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_DYNSET_OP, static_cast<uint32_t>(e.op));
    PutSetName(expr, NFTNL_EXPR_DYNSET_SET_NAME, e.set);
    if (e.timeout > absl::ZeroDuration()) {
      nftnl_expr_set_u64(expr, NFTNL_EXPR_DYNSET_TIMEOUT, static_cast<uint64_t>(absl::ToInt64Milliseconds(e.timeout)));
    }
  }

  // Without NFTA_COUNTER_{BYTES, PACKETS} it starts at zero.
  void PutOne(const nft::Counter&) { Start("counter"); }

  // NFTA_IMMEDIATE_{DREG, DATA { NFTA_DATA_VERDICT { NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN } }}
  void PutOne(const nft::Immediate& e) {
    nftnl_expr* expr = Start("immediate");
    nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_VERDICT, static_cast<uint32_t>(e.verdict.code));
    if (e.verdict.code == nft::Verdict::Code::kJump || e.verdict.code == nft::Verdict::Code::kGoto) {
      if (absl::Status status = CheckName("chain", *e.verdict.chain); !status.ok()) {
        return Fail(status.message());
      }
      nftnl_expr_set_str(expr, NFTNL_EXPR_IMM_CHAIN, e.verdict.chain->c_str());
    } else if (!e.verdict.chain->empty()) {
      Fail("verdict with a chain it does not go to");
    }
  }

  // NFTA_NAT_{TYPE, FAMILY, REG_ADDR_MIN, REG_PROTO_MIN}
  void PutOne(const nft::Dnat& e) {
    nftnl_expr* expr = Start("nat");
    nftnl_expr_set_u32(expr, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_NAT_FAMILY, FamilyNumber(family_));
    PutReg(expr, NFTNL_EXPR_NAT_REG_ADDR_MIN, e.addr);
    PutReg(expr, NFTNL_EXPR_NAT_REG_PROTO_MIN, e.port);
  }

  // NFTA_MASQ_FLAGS
  void PutOne(const nft::Masquerade& e) {
    nftnl_expr* expr = Start("masq");
    if (e.fully_random) nftnl_expr_set_u32(expr, NFTNL_EXPR_MASQ_FLAGS, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
  }

  // NFTA_REJECT_{TYPE, ICMP_CODE}
  void PutOne(const nft::Reject& e) {
    nftnl_expr* expr = Start("reject");
    nftnl_expr_set_u32(expr, NFTNL_EXPR_REJECT_TYPE, static_cast<uint32_t>(e.type));
    nftnl_expr_set_u8(expr, NFTNL_EXPR_REJECT_CODE, e.code);
    if (e.type == nft::Reject::Type::kTcpReset && e.code != 0) Fail("a TCP reset has no ICMP code");
  }

  void PutOne(const nft::Foreign& e) { Fail(absl::StrCat("expression ", e.name, " is not one we write")); }

  const Family family_;
  nftnl_rule* const rule_;
  absl::Status status_;
};

}  // namespace

absl::Status CheckName(absl::string_view kind, const std::string& name) {
  if (name.empty() || name.size() > kMaxName || name.find('\0') != std::string::npos) {
    return absl::InternalError(absl::StrCat("not a ", kind, " name: \"", name, "\""));
  }
  return absl::OkStatus();
}

absl::Status EncodeExpr(Family family, const nft::Expr& expr, nftnl_rule& rule) {
  return ExprEncoder(family, &rule).Put(expr);
}

}  // namespace pointsman::nl
