// SPDX-License-Identifier: Apache-2.0
#include "rules/nft/machine.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "pointsman/status.h"
#include "rules/nft/numbers.h"

namespace pointsman::nft {
namespace {

// Fields and registers come in units of four bytes.
size_t Padded(size_t length) { return (length + 3) / 4 * 4; }

std::array<uint8_t, 2> NetworkOrder(uint16_t value) {
  return {static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
}

uint16_t FromNetworkOrder(absl::Span<const uint8_t> bytes) { return static_cast<uint16_t>(bytes[0] << 8 | bytes[1]); }

class Registers {
 public:
  void Put(Reg reg, absl::Span<const uint8_t> bytes) {
    std::memset(at(reg), 0, Padded(bytes.size()));
    std::memcpy(at(reg), bytes.data(), bytes.size());
  }
  void Put32(Reg reg, uint32_t value) { std::memcpy(at(reg), &value, sizeof value); }
  uint32_t Get32(Reg reg) const {
    uint32_t value = 0;
    std::memcpy(&value, bytes_.data() + Offset(reg), sizeof value);
    return value;
  }
  Bytes Get(Reg reg, size_t length) const {
    const auto first = bytes_.begin() + static_cast<std::ptrdiff_t>(Offset(reg));
    return Bytes(first, first + static_cast<std::ptrdiff_t>(length));
  }

 private:
  static size_t Offset(Reg reg) { return size_t{reg} * 4; }
  uint8_t* at(Reg reg) { return bytes_.data() + Offset(reg); }
  std::array<uint8_t, 128> bytes_ = {};  // twice the kernel's, so that no width can run over
};

size_t LengthOf(const std::vector<Field>& fields) {
  if (fields.size() == 1) return FieldLength(fields[0]);
  size_t length = 0;
  for (const Field field : fields) length += Padded(FieldLength(field));
  return length;
}

// In a concatenation each field must lie within its own range.
bool InInterval(const SetSpec& spec, const Bytes& key, const Bytes& first, const Bytes& last) {
  size_t at = 0;
  for (const Field field : spec.key) {
    const auto length = static_cast<std::ptrdiff_t>(FieldLength(field));
    const auto offset = static_cast<std::ptrdiff_t>(at);
    const Bytes k(key.begin() + offset, key.begin() + offset + length);
    const Bytes f(first.begin() + offset, first.begin() + offset + length);
    const Bytes l(last.begin() + offset, last.begin() + offset + length);
    if (k < f || l < k) return false;
    at += Padded(FieldLength(field));
  }
  return true;
}

const ElementValue* FindElement(const Set& set, const Bytes& key) {
  if (!set.spec.interval) {
    const auto it = set.elements.find(key);
    return it == set.elements.end() ? nullptr : &it->second;
  }
  for (const auto& [first, value] : set.elements) {
    const bool whole = first.size() == key.size() && value.end->size() == key.size();
    if (whole && InInterval(set.spec, key, first, *value.end)) return &value;
  }
  return nullptr;
}

std::string HexWord(uint32_t value) { return absl::StrCat("0x", absl::Hex(value)); }

// "192.0.2.1 . tcp . 80"
std::string FieldsText(const std::vector<Field>& fields, absl::Span<const uint8_t> bytes) {
  std::vector<std::string> words;
  for (const Field field : fields) {
    const absl::Span<const uint8_t> value = bytes.first(FieldLength(field));
    uint32_t word = 0;
    if (value.size() == sizeof word) std::memcpy(&word, value.data(), sizeof word);
    switch (field) {
      case Field::kIpv4Addr:
      case Field::kIpv6Addr:
        words.push_back(FormatIp(IpAddr::FromBytes(value)));
        break;
      case Field::kInetProto:
        words.emplace_back(FormatProtocol(static_cast<Protocol>(value[0])));
        break;
      case Field::kInetService:
        words.push_back(absl::StrCat(FromNetworkOrder(value)));
        break;
      case Field::kInteger:
        words.push_back(absl::StrCat(word));
        break;
      case Field::kMark:
        words.push_back(HexWord(word));
        break;
    }
    bytes.remove_prefix(std::min(bytes.size(), Padded(value.size())));
  }
  return absl::StrJoin(words, " . ");
}

class RuleRun {
 public:
  RuleRun(const Table& table, const View& view, uint32_t mark, uint32_t draw, Deed* deed)
      : table_(table), view_(view), mark_(mark), draw_(draw), deed_(deed) {}

  absl::StatusOr<Step> Run(const Rule& rule) {
    for (const Expr& expr : rule.exprs) {
      done_ = std::nullopt;
      PM_RETURN_IF_ERROR(std::visit([&](const auto& e) { return Do(e); }, expr));
      if (done_) break;
    }
    if (deed_ != nullptr && !acts_.empty()) {
      deed_->how =
          absl::StrCat(absl::StrJoin(found_, ", "), found_.empty() ? "" : " -> ", absl::StrJoin(acts_, ", then "));
    }
    return done_ ? *done_ : Step{.kind = Step::Kind::kNext, .mark = mark_};
  }

 private:
  void Act(std::string words) {
    if (deed_ != nullptr) acts_.push_back(std::move(words));
  }
  void Find(const Lookup& lookup, const Set& set, const Bytes& key, const ElementValue* value) {
    if (deed_ == nullptr) return;
    if (value != nullptr && deed_->comment.empty()) deed_->comment = value->comment;
    // The slot that was drawn is not what the packet was recognised by.
    if (std::find(set.spec.key.begin(), set.spec.key.end(), Field::kInteger) != set.spec.key.end()) return;
    std::string text = FieldsText(set.spec.key, key);
    if (lookup.result == Lookup::Result::kNone) {
      absl::StrAppend(&text, lookup.inverted ? " not in @" : " in @", lookup.set);
    }
    found_.push_back(std::move(text));
  }

  absl::Status Break() {
    done_ = Step{.kind = Step::Kind::kNext, .mark = mark_};
    return absl::OkStatus();
  }
  absl::Status Finish(End end) {
    end.mark = mark_;
    done_ = Step{.kind = Step::Kind::kEnd, .mark = mark_, .end = end};
    return absl::OkStatus();
  }
  absl::Status Leave(Step::Kind kind, absl::string_view word, const std::string& chain) {
    // Nothing may come between a deed and its target.
    const bool has_target = deed_ != nullptr && !deed_->target.empty();
    if (!has_target) Act(absl::StrCat(word, chain.empty() ? "" : " ", chain));
    done_ = Step{.kind = kind, .mark = mark_, .chain = chain};
    return absl::OkStatus();
  }
  absl::Status Follow(const Verdict& verdict) {
    switch (verdict.code) {
      case Verdict::Code::kDrop:
        Act("drop");
        return Finish({.kind = End::Kind::kDrop});
      case Verdict::Code::kAccept:
        Act("accept");
        return Finish({.kind = End::Kind::kAccept});
      case Verdict::Code::kContinue:
        return Break();
      case Verdict::Code::kJump:
        return Leave(Step::Kind::kJump, "jump", *verdict.chain);
      case Verdict::Code::kGoto:
        return Leave(Step::Kind::kGoto, "goto", *verdict.chain);
      case Verdict::Code::kReturn:
        return Leave(Step::Kind::kReturn, "return", "");
    }
    return NotUnderstood("a verdict");
  }
  absl::StatusOr<const Set*> SetNamed(const std::string& name, absl::string_view what) const {
    const auto set = table_.sets.find(name);
    if (set == table_.sets.end()) return NotUnderstood(absl::StrCat(what, " ", name, ", which is not there"));
    return &set->second;
  }

  absl::Status Do(const Payload& e) {
    const bool v4 = view_.dest.addr.family() == Family::kIpv4;
    if (e.base == Payload::Base::kTransport && e.offset == 2 && e.len == 2) {
      regs_.Put(e.dreg, NetworkOrder(view_.dest.port));
    } else if (e.base == Payload::Base::kNetwork && e.offset == (v4 ? 12u : 8u) && e.len == (v4 ? 4u : 16u)) {
      regs_.Put(e.dreg, view_.source.bytes());
    } else if (e.base == Payload::Base::kNetwork && e.offset == (v4 ? 16u : 24u) && e.len == (v4 ? 4u : 16u)) {
      regs_.Put(e.dreg, view_.dest.addr.bytes());
    } else {
      return NotUnderstood("a payload match");
    }
    return absl::OkStatus();
  }
  absl::Status Do(const MetaLoad& e) {
    switch (e.key) {
      case MetaLoad::Key::kMark:
        regs_.Put32(e.dreg, mark_);
        return absl::OkStatus();
      case MetaLoad::Key::kIifName: {
        std::array<uint8_t, kInterfaceNameSize> name = {};
        std::copy_n(view_.in_interface.begin(), std::min(view_.in_interface.size(), name.size() - 1), name.begin());
        regs_.Put(e.dreg, name);
        return absl::OkStatus();
      }
      case MetaLoad::Key::kL4Proto: {
        const std::array<uint8_t, 1> protocol = {static_cast<uint8_t>(view_.protocol)};
        regs_.Put(e.dreg, protocol);
        return absl::OkStatus();
      }
    }
    return NotUnderstood("a meta key");
  }
  absl::Status Do(const MetaSet& e) {
    if (e.key != MetaLoad::Key::kMark) return NotUnderstood("a meta key");
    const uint32_t before = std::exchange(mark_, regs_.Get32(e.sreg));
    if ((mark_ & ~before) != 0) Act(absl::StrCat("sets mark ", HexWord(mark_ & ~before)));
    if ((before & ~mark_) != 0) Act(absl::StrCat("clears mark ", HexWord(before & ~mark_)));
    return absl::OkStatus();
  }
  absl::Status Do(const CtLoad& e) {
    const bool v4 = view_.original.addr.family() == Family::kIpv4;
    if (e.key == CtLoad::Key::kStatus && !e.original) {
      regs_.Put32(e.dreg, view_.status);
    } else if (e.key == CtLoad::Key::kProtoDst && e.original) {
      regs_.Put(e.dreg, NetworkOrder(view_.original.port));
    } else if (e.key == (v4 ? CtLoad::Key::kDstIp : CtLoad::Key::kDstIp6) && e.original) {
      regs_.Put(e.dreg, view_.original.addr.bytes());
    } else {
      return NotUnderstood("a conntrack key");
    }
    return absl::OkStatus();
  }
  absl::Status Do(const FibLoad& e) {
    if ((e.flags != kFibSource && e.flags != kFibDest) || e.result != kFibAddrType) {
      return NotUnderstood("a fib lookup");
    }
    const bool local = e.flags == kFibSource ? view_.from_node : view_.to_node;
    regs_.Put32(e.dreg, local ? kTypeLocal : kTypeUnicast);
    return absl::OkStatus();
  }
  absl::Status Do(const Numgen& e) {
    regs_.Put32(e.dreg, draw_);
    return absl::OkStatus();
  }
  absl::Status Do(const Byteorder& e) {
    // Whole units only; with the length nft gives for a protocol there are none.
    return e.len < e.size ? absl::OkStatus() : NotUnderstood("a change of byte order");
  }
  absl::Status Do(const Cmp& e) {
    const bool equal = regs_.Get(e.sreg, e.data.size()) == e.data;
    return equal == (e.op == Cmp::Op::kEq) ? absl::OkStatus() : Break();
  }
  absl::Status Do(const Bitwise& e) {
    regs_.Put32(e.dreg, (regs_.Get32(e.sreg) & e.mask) ^ e.xor_value);
    return absl::OkStatus();
  }
  absl::Status Do(const Lookup& e) {
    PM_ASSIGN_OR_RETURN(const Set* set, SetNamed(e.set, "a lookup in"));
    const Bytes key = regs_.Get(e.sreg, LengthOf(set->spec.key));
    const ElementValue* found = FindElement(*set, key);
    if ((found != nullptr) == e.inverted) return Break();
    Find(e, *set, key, found);
    if (e.result == Lookup::Result::kNone) return absl::OkStatus();
    if (e.result == Lookup::Result::kVerdict) {
      const auto* verdict = std::get_if<Verdict>(&found->data);
      return verdict != nullptr ? Follow(*verdict)
                                : NotUnderstood(absl::StrCat("verdicts of ", e.set, ", which has none"));
    }
    const auto* data = std::get_if<Bytes>(&found->data);
    if (data == nullptr) return NotUnderstood(absl::StrCat("data of ", e.set, ", which has none"));
    regs_.Put(e.dreg, *data);
    return absl::OkStatus();
  }
  // A full set is the one reason for which the kernel would not do it.
  absl::Status Do(const Dynset& e) {
    PM_ASSIGN_OR_RETURN(const Set* set, SetNamed(e.set, "an update of"));
    const Bytes key = regs_.Get(e.key, LengthOf(set->spec.key));
    const bool full = set->spec.size != 0 && set->elements.size() >= set->spec.size;
    if (e.op != Dynset::Op::kDelete && full && FindElement(*set, key) == nullptr) return Break();
    if (deed_ != nullptr) {
      constexpr absl::string_view kWords[] = {"adds to", "updates", "deletes from"};
      Act(absl::StrCat(kWords[static_cast<size_t>(e.op)], " @", e.set, " ", FieldsText(set->spec.key, key)));
      if (e.data && e.op != Dynset::Op::kDelete) {
        acts_.back() += " :";
        deed_->target = FieldsText(set->spec.data, regs_.Get(*e.data, LengthOf(set->spec.data)));
        found_.clear();  // they only led here, each endpoint by its own
      }
    }
    return absl::OkStatus();
  }
  static absl::Status Do(const Counter&) { return absl::OkStatus(); }
  absl::Status Do(const Immediate& e) { return Follow(e.verdict); }
  absl::Status Do(const Dnat& e) {
    const size_t length = view_.dest.addr.family() == Family::kIpv4 ? 4 : 16;
    const SocketAddr to = {IpAddr::FromBytes(regs_.Get(e.addr, length)), FromNetworkOrder(regs_.Get(e.port, 2))};
    Act("to");
    if (deed_ != nullptr) deed_->target = FormatSocketAddr(to);
    return Finish({.kind = End::Kind::kDnat, .to = to});
  }
  absl::Status Do(const Masquerade&) {
    Act("masquerade");
    return Finish({.kind = End::Kind::kMasquerade});
  }
  absl::Status Do(const Reject& e) {
    const bool reset = e.type == Reject::Type::kTcpReset;
    if (reset && view_.protocol != Protocol::kTcp) return NotUnderstood("a reset without TCP");
    Act(reset ? "reject with tcp reset" : "reject");
    return Finish({.kind = End::Kind::kReject});
  }
  static absl::Status Do(const Foreign& e) { return NotUnderstood(absl::StrCat("expression ", e.name)); }

  const Table& table_;
  const View& view_;
  uint32_t mark_;
  const uint32_t draw_;
  Deed* const deed_;
  std::vector<std::string> found_;
  std::vector<std::string> acts_;
  Registers regs_;
  std::optional<Step> done_;
};

}  // namespace

absl::Status NotUnderstood(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("cannot simulate ", what));
}

uint32_t Draws(const Rule& rule) {
  for (const Expr& expr : rule.exprs) {
    if (const auto* numgen = std::get_if<Numgen>(&expr)) return numgen->modulus;
  }
  return 1;
}

absl::StatusOr<Step> RunRule(const Table& table, const Rule& rule, const View& view, uint32_t mark, uint32_t draw,
                             Deed* deed) {
  return RuleRun(table, view, mark, draw, deed).Run(rule);
}

}  // namespace pointsman::nft
