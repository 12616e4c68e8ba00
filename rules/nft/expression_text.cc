// SPDX-License-Identifier: Apache-2.0
#include "rules/nft/expression_text.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"

#include "rules/nft/element_text.h"

namespace pointsman::nft {
namespace {

using Object = TermInfo::Object;
using Value = TermInfo::Value;

// By Term::Kind.
constexpr TermInfo kTerms[] = {
    {Object::kPayload, "ip", "saddr", 4, Value::kField, Field::kIpv4Addr},
    {Object::kPayload, "ip", "daddr", 4, Value::kField, Field::kIpv4Addr},
    {Object::kPayload, "ip6", "saddr", 16, Value::kField, Field::kIpv6Addr},
    {Object::kPayload, "ip6", "daddr", 16, Value::kField, Field::kIpv6Addr},
    {Object::kPayload, "th", "sport", 2, Value::kField, Field::kInetService},
    {Object::kPayload, "th", "dport", 2, Value::kField, Field::kInetService},
    {Object::kMeta, "meta", "mark", 4, Value::kMark},
    {Object::kMeta, "meta", "l4proto", 1, Value::kField, Field::kInetProto},
    {Object::kMeta, "", "iifname", 16, Value::kIfname},  // nft leaves the word meta out here
    {Object::kCt, "", "state", 4, Value::kBits},
    {Object::kCt, "", "status", 4, Value::kBits},
    {Object::kCt, "original", "ip daddr", 4, Value::kField, Field::kIpv4Addr},
    {Object::kCt, "original", "ip6 daddr", 16, Value::kField, Field::kIpv6Addr},
    {Object::kCt, "original", "proto-dst", 2, Value::kField, Field::kInetService},
    {Object::kFib, "saddr", "type", 4, Value::kFibType},
    {Object::kFib, "daddr", "type", 4, Value::kFibType},
    {Object::kNumgen, "", "random", 4, Value::kNumber},
};
static_assert(std::size(kTerms) == static_cast<size_t>(Term::Kind::kNumgen) + 1);

constexpr uint8_t kTcp = static_cast<uint8_t>(Protocol::kTcp);
constexpr size_t kSlots = 16;
constexpr size_t kIfnameSize = 16;  // IFNAMSIZ, with the NUL

size_t SlotsOf(size_t bytes) { return (bytes + 3) / 4; }

// Slots of the registers that hold `fields`.
size_t SlotsOf(const std::vector<Field>& fields) {
  size_t slots = 0;
  for (const Field field : fields) slots += field == Field::kIpv6Addr ? 4 : 1;
  return slots;
}

uint32_t HostWord(const Bytes& bytes) {
  uint32_t word = 0;
  std::memcpy(&word, bytes.data(), sizeof word);
  return word;
}

struct Bit {
  uint32_t bit;
  absl::string_view name;
};
// Source: enum ip_conntrack_info and ip_conntrack_status of the kernel, names of nft's ct.c.
constexpr Bit kStateBits[] = {{1, "invalid"}, {2, "established"}, {4, "related"}, {8, "new"}, {64, "untracked"}};
constexpr Bit kStatusBits[] = {{1, "expected"}, {2, "seen-reply"}, {4, "assured"}, {8, "confirmed"},
                               {16, "snat"},    {32, "dnat"},      {512, "dying"}};

absl::Span<const Bit> BitsOf(Term::Kind kind) {
  if (kind == Term::Kind::kCtState) return kStateBits;
  return kStatusBits;
}

bool HasBits(const Term& term) { return InfoOf(term.kind).value == Value::kBits; }

// RTN_* of linux/rtnetlink.h, by value.
constexpr absl::string_view kFibTypes[] = {"unspec",    "unicast",   "local",       "broadcast", "anycast",
                                           "multicast", "blackhole", "unreachable", "prohibit"};

// Interface name, or the beginning of one, as nft writes it.
std::optional<std::string> IfnameText(const Bytes& value) {
  const size_t whole = InfoOf(Term::Kind::kMetaIifname).length;
  const auto end = std::ranges::find(value, 0);
  std::string name(value.begin(), end);
  if (value.size() > whole || name.empty() || name.find_first_of("\"\n") != std::string::npos) return std::nullopt;
  if (value.size() < whole) {
    if (end != value.end()) return std::nullopt;
    return name + "*";
  }
  if (end == value.end() || std::any_of(end, value.end(), [](uint8_t b) { return b != 0; })) return std::nullopt;
  if (name.back() == '*') name.insert(name.size() - 1, "\\");
  return name;
}

// Runs a rule over registers that hold terms instead of values.
class Reader {
 public:
  Reader(Family family, SpecFinder specs) : family_(family), specs_(specs) { slot_.fill(kEmpty); }

  bool Run(const Rule& rule) {
    for (const Expr& expr : rule.exprs) {
      if (ended_) return false;  // nft refuses statements after a final one
      if (!std::visit([this](const auto& e) { return Step(e); }, expr)) return false;
    }
    // A lookup nobody uses still decides whether the rule matches, and so can a load.
    return std::ranges::all_of(held_, &Held::used);
  }

  std::vector<Statement> Take() { return std::move(statements_); }

 private:
  static constexpr int kEmpty = -1;

  struct Found {  // the data of a map lookup
    Key key;
    std::string map;
  };
  struct Held {
    std::variant<Term, Found> what;
    size_t first = 0;
    size_t slots = 0;
    size_t epoch = 0;  // how many statements there were when it was loaded
    bool used = false;
  };

  bool Put(std::variant<Term, Found> what, size_t slots, Reg reg) {
    if (reg + slots > kSlots) return false;
    for (size_t i = reg; i < reg + slots; ++i) Forget(i);
    for (size_t i = reg; i < reg + slots; ++i) slot_[i] = static_cast<int>(held_.size());
    held_.push_back(
        {.what = std::move(what), .first = reg, .slots = slots, .epoch = statements_.size(), .used = false});
    return true;
  }

  // Overwriting a part spoils the whole.
  void Forget(size_t slot) {
    const int index = slot_[slot];
    if (index != kEmpty) std::ranges::replace(slot_, index, kEmpty);
  }

  Held* At(size_t slot) {
    if (slot >= kSlots || slot_[slot] == kEmpty) return nullptr;
    Held& held = held_[static_cast<size_t>(slot_[slot])];
    return held.first == slot ? &held : nullptr;
  }

  const Term* UseTerm(Reg reg) {
    Held* held = At(reg);
    if (held == nullptr) return nullptr;
    held->used = true;
    return std::get_if<Term>(&held->what);
  }

  bool Load(Term::Kind kind, Reg reg, uint32_t modulus = 0) {
    return Put(Term{.kind = kind, .modulus = modulus}, SlotsOf(InfoOf(kind).length), reg);
  }

  // The terms from `reg` on: as many as fill `slots`, or where that is not known, those loaded together, up to `stop`.
  std::optional<Key> UseKey(Reg reg, std::optional<size_t> slots, size_t stop = kSlots) {
    Key key;
    size_t at = reg;
    const Held* first = At(reg);
    while (slots ? at < reg + *slots : at < stop) {
      const Held* next = At(at);
      if (!slots && (next == nullptr || next->epoch != first->epoch)) break;
      const Term* term = UseTerm(static_cast<Reg>(at));
      if (term == nullptr) return std::nullopt;
      if (HasBits(*term) && !term->steps.empty()) return std::nullopt;  // bits are for comparing
      key.push_back(*term);
      at += next->slots;
    }
    if (key.empty() || (slots && at != reg + *slots)) return std::nullopt;
    return key;
  }

  std::optional<size_t> KeySlots(const SetSpec* spec) {
    return spec == nullptr ? std::nullopt : std::optional(SlotsOf(spec->key));
  }

  bool Say(Statement statement) {
    statements_.push_back(std::move(statement));
    return true;
  }

  bool Step(const Payload& e) {
    const bool ip4 = family_ == Family::kIpv4;
    if (e.base == Payload::Base::kNetwork && e.len == (ip4 ? 4 : 16)) {
      if (e.offset == (ip4 ? 12 : 8)) return Load(ip4 ? Term::Kind::kIpSaddr : Term::Kind::kIp6Saddr, e.dreg);
      if (e.offset == (ip4 ? 16 : 24)) return Load(ip4 ? Term::Kind::kIpDaddr : Term::Kind::kIp6Daddr, e.dreg);
    }
    if (e.base == Payload::Base::kTransport && e.len == 2) {
      if (e.offset == 0) return Load(Term::Kind::kThSport, e.dreg);
      if (e.offset == 2) return Load(Term::Kind::kThDport, e.dreg);
    }
    return false;
  }

  bool Step(const MetaLoad& e) {
    switch (e.key) {
      case MetaLoad::Key::kMark:
        return Load(Term::Kind::kMetaMark, e.dreg);
      case MetaLoad::Key::kIifName:
        return Load(Term::Kind::kMetaIifname, e.dreg);
      case MetaLoad::Key::kL4Proto:
        return Load(Term::Kind::kMetaL4Proto, e.dreg);
    }
    return false;
  }

  bool Step(const MetaSet& e) {
    const Term* term = UseTerm(e.sreg);
    if (term == nullptr || e.key != MetaLoad::Key::kMark) return false;
    if (term->kind != Term::Kind::kMetaMark && term->kind != Term::Kind::kNumgen) return false;
    return Say(SetMark{*term});
  }

  bool Step(const CtLoad& e) {
    switch (e.key) {
      case CtLoad::Key::kState:
        return !e.original && Load(Term::Kind::kCtState, e.dreg);
      case CtLoad::Key::kStatus:
        return !e.original && Load(Term::Kind::kCtStatus, e.dreg);
      case CtLoad::Key::kProtoDst:
        return e.original && Load(Term::Kind::kCtOriginalProtoDst, e.dreg);
      case CtLoad::Key::kDstIp:
        return e.original && Load(Term::Kind::kCtOriginalIpDaddr, e.dreg);
      case CtLoad::Key::kDstIp6:
        return e.original && Load(Term::Kind::kCtOriginalIp6Daddr, e.dreg);
    }
    return false;
  }

  bool Step(const FibLoad& e) {
    constexpr uint32_t kAddrType = 3;  // NFT_FIB_RESULT_ADDRTYPE
    if (e.result != kAddrType || (e.flags != 1 && e.flags != 2)) return false;
    return Load(e.flags == 1 ? Term::Kind::kFibSaddrType : Term::Kind::kFibDaddrType, e.dreg);
  }

  bool Step(const Numgen& e) { return Load(Term::Kind::kNumgen, e.dreg, e.modulus); }

  // nft puts one after a one-byte field in the key of an interval set; it swaps len / size = 0 words.
  bool Step(const Byteorder& e) {
    const Held* held = At(e.sreg);
    return held != nullptr && e.sreg == e.dreg && e.len < e.size;
  }

  bool Step(const Cmp& e) {
    const Term* found = UseTerm(e.sreg);
    if (found == nullptr || e.op > Cmp::Op::kNeq) return false;
    MatchValue match{
        .left = *found, .op = e.op == Cmp::Op::kEq ? MatchValue::Op::kEq : MatchValue::Op::kNeq, .value = e.data};
    const TermInfo& info = InfoOf(match.left.kind);
    if (info.value != Value::kIfname && e.data.size() != info.length) return false;
    if (HasBits(match.left) && !match.left.steps.empty()) {
      // (status & bits) compared with 0 is how "any of these" and "none of these" are built; other comparisons have no
      // spelling that reads back.
      if (HostWord(e.data) != 0 || match.left.steps.size() != 1 || match.left.steps[0].op != '&') return false;
      match.op = e.op == Cmp::Op::kNeq ? MatchValue::Op::kAny : MatchValue::Op::kNone;
      std::memcpy(match.value.data(), &match.left.steps[0].operand, sizeof(uint32_t));
      match.left.steps.clear();
    }
    if (!ConstantOf(match)) return false;
    return Say(std::move(match));
  }

  // (x & mask) ^ xor, taken apart as nft does: bits that are always set show as `|`.
  // Source: netlink_parse_bitwise() of nft.
  bool Step(const Bitwise& e) {
    const Term* found = UseTerm(e.sreg);
    if (found == nullptr || !found->steps.empty()) return false;
    Term term = *found;
    if (term.kind != Term::Kind::kMetaMark && !HasBits(term)) return false;
    const uint32_t set = ~e.mask & e.xor_value;
    const uint32_t kept = e.mask | set;
    const uint32_t flipped = e.mask & e.xor_value;
    if (kept != ~uint32_t{0}) term.steps.push_back({'&', kept});
    if (flipped != 0) term.steps.push_back({'^', flipped});
    if (set != 0) term.steps.push_back({'|', set});
    if (term.steps.empty()) return false;  // changes nothing, so there is nothing to write
    return Put(std::move(term), 1, e.dreg);
  }

  bool Step(const Lookup& e) {
    const SetSpec* spec = specs_(e.set);
    std::optional<Key> key = UseKey(e.sreg, KeySlots(spec));
    if (!key) return false;
    switch (e.result) {
      case Lookup::Result::kNone:
        return Say(MatchSet{.left = *std::move(key), .set = e.set, .inverted = e.inverted});
      case Lookup::Result::kVerdict:
        if (e.inverted || (spec != nullptr && !spec->verdicts)) return false;
        return Say(VerdictMap{.key = *std::move(key), .map = e.set});
      case Lookup::Result::kData: {
        if (e.inverted || (spec != nullptr && spec->data.empty())) return false;
        // Unknown maps are taken for what dnat wants; Dnat below checks that it is asked for no other.
        const size_t slots = spec != nullptr ? SlotsOf(spec->data) : AddressSlots() + 1;
        return Put(Found{.key = *std::move(key), .map = e.set}, slots, e.dreg);
      }
    }
    return false;
  }

  bool Step(const Dynset& e) {
    if (e.op > Dynset::Op::kDelete) return false;
    const SetSpec* spec = specs_(e.set);
    if (spec != nullptr && spec->data.empty() == e.data.has_value()) return false;
    const size_t stop = e.data && *e.data > e.key ? *e.data : kSlots;
    std::optional<Key> key = UseKey(e.key, KeySlots(spec), stop);
    if (!key) return false;
    UpdateSet update{.op = e.op, .set = e.set, .key = *std::move(key), .timeout = e.timeout};
    if (e.data) {
      std::optional<Key> data = UseKey(*e.data, spec == nullptr ? std::nullopt : std::optional(SlotsOf(spec->data)),
                                       e.key > *e.data ? e.key : kSlots);
      if (!data) return false;
      update.data = *std::move(data);
    }
    return Say(std::move(update));
  }

  bool Step(const Counter& e) { return Say(e); }

  bool Step(const Immediate& e) {
    if (VerdictWord(e.verdict.code).empty()) return false;
    ended_ = e.verdict.code != Verdict::Code::kContinue;
    return Say(e.verdict);
  }

  bool Step(const Dnat& e) {
    Held* held = At(e.addr);
    if (held == nullptr || held->slots != AddressSlots() + 1 || e.port != e.addr + AddressSlots()) return false;
    const Found* found = std::get_if<Found>(&held->what);
    if (found == nullptr) return false;
    held->used = true;
    ended_ = true;
    return Say(DnatToMap{.key = found->key, .map = found->map});
  }

  bool Step(const Masquerade& e) {
    ended_ = true;
    return Say(e);
  }

  bool Step(const Reject& e) {
    ended_ = true;
    if (e.type == Reject::Type::kIcmpUnreach) return !IcmpCodeWord(family_, e.code).empty() && Say(e);
    if (e.type != Reject::Type::kTcpReset || e.code != 0) return false;
    // A reset implies a match on tcp, which nft puts in front of the rule and does not print.
    const auto is_tcp = [](const Statement& statement) {
      const MatchValue* match = std::get_if<MatchValue>(&statement);
      return match != nullptr && match->left.kind == Term::Kind::kMetaL4Proto && match->op == MatchValue::Op::kEq &&
             match->value.size() == 1 && match->value[0] == kTcp;
    };
    const auto tcp = std::ranges::find_if(statements_, is_tcp);
    if (tcp == statements_.end()) return false;
    if (tcp == statements_.begin()) statements_.erase(tcp);
    return Say(e);
  }

  bool Step(const Foreign&) { return false; }

  size_t AddressSlots() const { return family_ == Family::kIpv4 ? 1 : 4; }

  const Family family_;
  const SpecFinder specs_;
  std::vector<Held> held_;
  std::array<int, kSlots> slot_;  // index into held_
  std::vector<Statement> statements_;
  bool ended_ = false;
};

}  // namespace

const TermInfo& InfoOf(Term::Kind kind) { return kTerms[static_cast<size_t>(kind)]; }

std::optional<std::vector<Statement>> ReadRule(Family family, const Rule& rule, SpecFinder specs) {
  Reader reader(family, specs);
  if (!reader.Run(rule)) return std::nullopt;
  std::vector<Statement> statements = reader.Take();
  if (statements.empty()) return std::nullopt;  // nft has no spelling for a rule that does nothing
  return statements;
}

bool NftReadsBack(const std::vector<Statement>& statements) {
  struct Visitor {
    bool protocol_known = false;  // by a match before

    static bool Fine(const Key& key) {
      return std::ranges::none_of(key, [](const Term& t) { return t.kind == Term::Kind::kCtOriginalProtoDst; });
    }
    static bool FitsRegister(const Key& key) {
      size_t slots = 0;
      for (const Term& term : key) slots += SlotsOf(InfoOf(term.kind).length);
      return slots <= 4;
    }

    bool operator()(const MatchValue& s) {
      if (s.left.kind == Term::Kind::kMetaL4Proto && s.op == MatchValue::Op::kEq) protocol_known = true;
      if (InfoOf(s.left.kind).value == Value::kIfname && ConstantOf(s)->words[0].size() >= kIfnameSize) return false;
      return Fine({s.left});
    }
    bool operator()(const MatchSet& s) { return Fine(s.left); }
    bool operator()(const VerdictMap& s) { return Fine(s.key); }
    bool operator()(const DnatToMap& s) {
      const auto computed = [](const Term& term) { return !term.steps.empty(); };
      const auto protocol = [](const Term& term) { return term.kind == Term::Kind::kMetaL4Proto; };
      return Fine(s.key) && std::none_of(s.key.begin() + 1, s.key.end(), computed) &&
             (protocol_known || std::ranges::any_of(s.key, protocol));
    }
    bool operator()(const UpdateSet& s) {
      return Fine(s.key) && Fine(s.data) && (s.data.empty() || (FitsRegister(s.key) && FitsRegister(s.data)));
    }
    bool operator()(const SetMark&) { return true; }
    bool operator()(const Counter&) { return true; }
    bool operator()(const Verdict&) { return true; }
    bool operator()(const Masquerade&) { return true; }
    bool operator()(const Reject&) { return true; }
  };
  Visitor visitor;
  return std::ranges::all_of(statements, [&](const Statement& s) { return std::visit(visitor, s); });
}

std::optional<Constant> ConstantOf(const MatchValue& match) {
  const TermInfo& info = InfoOf(match.left.kind);
  Constant out;
  switch (info.value) {
    case Value::kField:
      AppendValue(info.field, match.value, /*numeric=*/false, out.words.emplace_back());
      out.number = NumberOf(info.field, match.value, /*numeric=*/false);
      return out;
    case Value::kMark:
      out.number = HostWord(match.value);
      out.words.push_back(absl::StrCat("0x", absl::Hex(*out.number, absl::kZeroPad8)));
      return out;
    case Value::kNumber:
      out.number = HostWord(match.value);
      out.words.push_back(absl::StrCat(*out.number));
      return out;
    case Value::kFibType: {
      const uint32_t type = HostWord(match.value);
      if (type < std::size(kFibTypes)) {
        out.words.emplace_back(kFibTypes[type]);
      } else {
        out.number = type;
        out.words.push_back(absl::StrCat(type));
      }
      return out;
    }
    case Value::kIfname: {
      std::optional<std::string> name = IfnameText(match.value);
      if (!name) return std::nullopt;
      out.words.push_back(*std::move(name));
      out.quoted = true;
      return out;
    }
    case Value::kBits: {
      uint32_t left = HostWord(match.value);
      for (const Bit& bit : BitsOf(match.left.kind)) {
        if ((left & bit.bit) == 0) continue;
        left &= ~bit.bit;
        out.words.emplace_back(bit.name);
      }
      const bool asks = match.op == MatchValue::Op::kAny || match.op == MatchValue::Op::kNone;
      if (left != 0 || out.words.empty() || (!asks && out.words.size() != 1)) return std::nullopt;
      return out;
    }
  }
  return std::nullopt;
}

absl::string_view IcmpCodeWord(Family family, uint8_t code) {
  struct Word {
    uint8_t code;
    absl::string_view name;
  };
  static constexpr Word kIcmp[] = {{0, "net-unreachable"},  {1, "host-unreachable"}, {2, "prot-unreachable"},
                                   {3, "port-unreachable"}, {9, "net-prohibited"},   {10, "host-prohibited"},
                                   {13, "admin-prohibited"}};
  static constexpr Word kIcmp6[] = {{0, "no-route"},         {1, "admin-prohibited"}, {3, "addr-unreachable"},
                                    {4, "port-unreachable"}, {5, "policy-fail"},      {6, "reject-route"}};
  const absl::Span<const Word> words =
      family == Family::kIpv4 ? absl::MakeConstSpan(kIcmp) : absl::MakeConstSpan(kIcmp6);
  const auto it = std::ranges::find(words, code, &Word::code);
  return it == words.end() ? "" : it->name;
}

uint8_t PortUnreachable(Family family) { return family == Family::kIpv4 ? 3 : 4; }

}  // namespace pointsman::nft
