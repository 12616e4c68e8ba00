// SPDX-License-Identifier: Apache-2.0
//
// A small nf_tables machine. Registers do not survive from rule to rule, so the state between rules is the mark and the
// place; a rule is run once per value of its random draw, and equal states are followed once.
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"

#include "pointsman/nft_simulate.h"
#include "pointsman/status.h"

namespace pointsman::nft {
namespace {

constexpr uint32_t kStatusDnat = 0x20;
constexpr uint32_t kTypeUnicast = 1;
constexpr uint32_t kTypeLocal = 2;
constexpr int kMaxJumps = 16;   // NFT_JUMP_STACK_SIZE
constexpr int kMaxChains = 64;  // on one way; more is a circle, which the kernel refuses

// The packet as one hook sees it.
struct View {
  IpAddr source;
  IpAddr dest;
  uint16_t port = 0;
  Protocol protocol = Protocol::kTcp;
  bool from_node = false;
  uint32_t status = 0;  // of the connection
};

// How a walk through a hook's chains ends.
struct End {
  enum class Kind { kAccept, kDrop, kReject, kDnat, kMasquerade };
  Kind kind = Kind::kAccept;
  SocketAddr to;  // kDnat
  uint32_t mark = 0;

  friend auto operator<=>(const End&, const End&) = default;
};

// What one rule does to a packet.
struct Step {
  enum class Kind { kNext, kEnd, kJump, kGoto, kReturn };
  Kind kind = Kind::kNext;
  uint32_t mark = 0;
  std::string chain;  // kJump, kGoto
  End end;            // kEnd

  friend auto operator<=>(const Step&, const Step&) = default;
};

absl::Status NotUnderstood(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("cannot simulate ", what));
}

// Fields and registers come in units of four bytes.
size_t Padded(size_t length) { return (length + 3) / 4 * 4; }

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

size_t KeyLength(const SetSpec& spec) {
  size_t length = 0;
  for (const Field field : spec.key) length += Padded(FieldLength(field));
  return spec.key.size() == 1 ? FieldLength(spec.key[0]) : length;
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
    const bool whole = first.size() == key.size() && value.end.size() == key.size();
    if (whole && InInterval(set.spec, key, first, value.end)) return &value;
  }
  return nullptr;
}

// Runs one rule with the random draw fixed.
class RuleRun {
 public:
  RuleRun(const Table& table, const View& view, uint32_t mark, uint32_t draw)
      : table_(table), view_(view), mark_(mark), draw_(draw) {}

  absl::StatusOr<Step> Run(const Rule& rule) {
    for (const Expr& expr : rule.exprs) {
      done_ = std::nullopt;
      PM_RETURN_IF_ERROR(std::visit([&](const auto& e) { return Do(e); }, expr));
      if (done_) return *done_;
    }
    return Step{.kind = Step::Kind::kNext, .mark = mark_};
  }

 private:
  absl::Status Break() {
    done_ = Step{.kind = Step::Kind::kNext, .mark = mark_};
    return absl::OkStatus();
  }
  absl::Status Finish(End end) {
    end.mark = mark_;
    done_ = Step{.kind = Step::Kind::kEnd, .mark = mark_, .end = end};
    return absl::OkStatus();
  }
  absl::Status Follow(const Verdict& verdict) {
    switch (verdict.code) {
      case Verdict::Code::kDrop:
        return Finish({.kind = End::Kind::kDrop});
      case Verdict::Code::kAccept:
        return Finish({.kind = End::Kind::kAccept});
      case Verdict::Code::kContinue:
        return Break();
      case Verdict::Code::kJump:
        done_ = Step{.kind = Step::Kind::kJump, .mark = mark_, .chain = verdict.chain};
        return absl::OkStatus();
      case Verdict::Code::kGoto:
        done_ = Step{.kind = Step::Kind::kGoto, .mark = mark_, .chain = verdict.chain};
        return absl::OkStatus();
      case Verdict::Code::kReturn:
        done_ = Step{.kind = Step::Kind::kReturn, .mark = mark_};
        return absl::OkStatus();
    }
    return NotUnderstood("a verdict");
  }

  absl::Status Do(const Payload& e) {
    const bool v4 = view_.dest.family() == Family::kIpv4;
    if (e.base == Payload::Base::kTransport && e.offset == 2 && e.len == 2) {
      const std::array<uint8_t, 2> port = {static_cast<uint8_t>(view_.port >> 8), static_cast<uint8_t>(view_.port)};
      regs_.Put(e.dreg, port);
    } else if (e.base == Payload::Base::kNetwork && e.offset == (v4 ? 12u : 8u) && e.len == (v4 ? 4u : 16u)) {
      regs_.Put(e.dreg, view_.source.bytes());
    } else if (e.base == Payload::Base::kNetwork && e.offset == (v4 ? 16u : 24u) && e.len == (v4 ? 4u : 16u)) {
      regs_.Put(e.dreg, view_.dest.bytes());
    } else {
      return NotUnderstood("a payload match");
    }
    return absl::OkStatus();
  }
  absl::Status Do(const MetaLoad& e) {
    if (e.key == MetaLoad::Key::kMark) {
      regs_.Put32(e.dreg, mark_);
    } else if (e.key == MetaLoad::Key::kL4Proto) {
      const std::array<uint8_t, 1> protocol = {static_cast<uint8_t>(view_.protocol)};
      regs_.Put(e.dreg, protocol);
    } else {
      return NotUnderstood("a meta key");
    }
    return absl::OkStatus();
  }
  absl::Status Do(const MetaSet& e) {
    if (e.key != MetaLoad::Key::kMark) return NotUnderstood("a meta key");
    mark_ = regs_.Get32(e.sreg);
    return absl::OkStatus();
  }
  absl::Status Do(const CtLoad& e) {
    if (e.key != CtLoad::Key::kStatus) return NotUnderstood("a conntrack key");
    regs_.Put32(e.dreg, view_.status);
    return absl::OkStatus();
  }
  absl::Status Do(const FibLoad& e) {
    if (e.flags != 1 || e.result != 3) return NotUnderstood("a fib lookup");
    regs_.Put32(e.dreg, view_.from_node ? kTypeLocal : kTypeUnicast);
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
    const auto set = table_.sets.find(e.set);
    if (set == table_.sets.end()) return NotUnderstood(absl::StrCat("a lookup in ", e.set, ", which is not there"));
    const ElementValue* found = FindElement(set->second, regs_.Get(e.sreg, KeyLength(set->second.spec)));
    if ((found != nullptr) == e.inverted) return Break();
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
  absl::Status Do(const Immediate& e) { return Follow(e.verdict); }
  absl::Status Do(const Dnat& e) {
    const size_t length = view_.dest.family() == Family::kIpv4 ? 4 : 16;
    const Bytes addr = regs_.Get(e.addr, length);
    const Bytes port = regs_.Get(e.port, 2);
    return Finish(
        {.kind = End::Kind::kDnat, .to = {IpAddr::FromBytes(addr), static_cast<uint16_t>(port[0] << 8 | port[1])}});
  }
  absl::Status Do(const Masquerade&) { return Finish({.kind = End::Kind::kMasquerade}); }
  absl::Status Do(const Reject& e) {
    if (e.type == Reject::Type::kTcpReset && view_.protocol != Protocol::kTcp)
      return NotUnderstood("a reset without TCP");
    return Finish({.kind = End::Kind::kReject});
  }
  absl::Status Do(const Dynset& e) { return NotUnderstood(absl::StrCat("an update of ", e.set)); }
  absl::Status Do(const Foreign& e) { return NotUnderstood(absl::StrCat("expression ", e.name)); }

  const Table& table_;
  const View& view_;
  uint32_t mark_;
  const uint32_t draw_;
  Registers regs_;
  std::optional<Step> done_;
};

uint32_t Draws(const Rule& rule) {
  for (const Expr& expr : rule.exprs) {
    if (const auto* numgen = std::get_if<Numgen>(&expr)) return numgen->modulus;
  }
  return 1;
}

struct Place {
  const Chain* chain = nullptr;
  size_t rule = 0;
};

// Follows a packet from one place on, collecting every end it may come to.
class Walk {
 public:
  Walk(const Table& table, const View& view, std::set<End>& ends) : table_(table), view_(view), ends_(ends) {}

  absl::Status From(Place place, std::vector<Place> stack, uint32_t mark) {
    if (depth_ == kMaxChains) return NotUnderstood("a way through that many chains");
    ++depth_;
    absl::Status status = Follow(place, std::move(stack), mark);
    --depth_;
    return status;
  }

 private:
  absl::Status Follow(Place place, std::vector<Place> stack, uint32_t mark) {
    while (place.rule < place.chain->rules.size()) {
      const Rule& rule = place.chain->rules[place.rule];
      std::set<Step> steps;
      for (uint32_t draw = 0; draw < Draws(rule); ++draw) {
        PM_ASSIGN_OR_RETURN(Step step, RuleRun(table_, view_, mark, draw).Run(rule));
        steps.insert(std::move(step));
      }
      ++place.rule;
      std::optional<Step> next;
      for (const Step& step : steps) {
        if (step.kind == Step::Kind::kNext) {
          // Follow the branches that leave the chain first, this one in the loop.
          if (next && next->mark != step.mark) return NotUnderstood("a mark set by luck");
          next = step;
        } else {
          PM_RETURN_IF_ERROR(Branch(step, place, stack));
        }
      }
      if (!next) return absl::OkStatus();
      mark = next->mark;
    }
    return Return(std::move(stack), mark);
  }

  absl::Status Branch(const Step& step, const Place& after, std::vector<Place> stack) {
    switch (step.kind) {
      case Step::Kind::kEnd:
        ends_.insert(step.end);
        return absl::OkStatus();
      case Step::Kind::kReturn:
        return Return(std::move(stack), step.mark);
      case Step::Kind::kJump:
        stack.push_back(after);
        if (stack.size() > kMaxJumps) return NotUnderstood("that many nested jumps");
        break;
      case Step::Kind::kGoto:
      case Step::Kind::kNext:
        break;
    }
    const auto chain = table_.chains.find(step.chain);
    if (chain == table_.chains.end())
      return NotUnderstood(absl::StrCat("a way to chain ", step.chain, ", which is not there"));
    return From({&chain->second, 0}, std::move(stack), step.mark);
  }

  absl::Status Return(std::vector<Place> stack, uint32_t mark) {
    if (stack.empty()) {
      ends_.insert({.kind = End::Kind::kAccept, .to = {}, .mark = mark});
      return absl::OkStatus();
    }
    const Place place = stack.back();
    stack.pop_back();
    return From(place, std::move(stack), mark);
  }

  const Table& table_;
  const View& view_;
  std::set<End>& ends_;
  int depth_ = 0;
};

// Every end the packet may come to at one hook. With several chains there, in order of priority, the first that
// decides anything but acceptance decides.
absl::StatusOr<std::set<End>> RunHook(const Table& table, Hook::Number hook, const View& view, uint32_t mark) {
  std::vector<const Chain*> chains;
  for (const auto& [name, chain] : table.chains) {
    if (chain.hook && chain.hook->number == hook) chains.push_back(&chain);
  }
  std::stable_sort(chains.begin(), chains.end(),
                   [](const Chain* a, const Chain* b) { return a->hook->priority < b->hook->priority; });
  std::set<End> ends = {{.kind = End::Kind::kAccept, .to = {}, .mark = mark}};
  for (const Chain* chain : chains) {
    std::set<End> after;
    for (const End& end : ends) {
      if (end.kind != End::Kind::kAccept) {
        after.insert(end);
      } else {
        PM_RETURN_IF_ERROR(Walk(table, view, after).From({chain, 0}, {}, end.mark));
      }
    }
    ends = std::move(after);
  }
  return ends;
}

// Adds what becomes of a connection that was sent to `endpoint`.
absl::Status Deliver(const Table& table, const Packet& packet, const End& sent, Outcome& outcome) {
  const View view = {.source = packet.source,
                     .dest = sent.to.addr,
                     .port = sent.to.port,
                     .protocol = packet.protocol,
                     .from_node = packet.from_node,
                     .status = kStatusDnat};
  PM_ASSIGN_OR_RETURN(const std::set<End> ends, RunHook(table, Hook::Number::kPostrouting, view, sent.mark));
  for (const End& end : ends) {
    if (end.kind != End::Kind::kAccept && end.kind != End::Kind::kMasquerade) {
      return NotUnderstood("an endpoint that is chosen and then refused");
    }
    outcome.deliveries.insert({sent.to, end.kind == End::Kind::kMasquerade});
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Outcome> Simulate(const Ruleset& ruleset, const Packet& packet) {
  const auto table = ruleset.tables.find(packet.dest.family());
  if (table == ruleset.tables.end()) return Outcome{};
  const View view = {.source = packet.source,
                     .dest = packet.dest,
                     .port = packet.port,
                     .protocol = packet.protocol,
                     .from_node = packet.from_node};
  const Hook::Number hook = packet.from_node ? Hook::Number::kOutput : Hook::Number::kPrerouting;
  PM_ASSIGN_OR_RETURN(const std::set<End> ends, RunHook(table->second, hook, view, 0));

  std::optional<Outcome> outcome;
  for (const End& end : ends) {
    Outcome::Verdict verdict = Outcome::Verdict::kPass;
    if (end.kind == End::Kind::kDnat) verdict = Outcome::Verdict::kDeliver;
    if (end.kind == End::Kind::kDrop) verdict = Outcome::Verdict::kDrop;
    if (end.kind == End::Kind::kReject) verdict = Outcome::Verdict::kReject;
    if (outcome && outcome->verdict != verdict) return NotUnderstood("a fate left to luck");
    if (!outcome) outcome = Outcome{verdict, {}};
    if (verdict == Outcome::Verdict::kDeliver) PM_RETURN_IF_ERROR(Deliver(table->second, packet, end, *outcome));
  }
  return *outcome;
}

}  // namespace pointsman::nft
