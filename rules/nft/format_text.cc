// SPDX-License-Identifier: Apache-2.0
//
// nft's text form. Everything appends to one string: maps have hundreds of thousands of elements.
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

#include "pointsman/nft_format.h"
#include "rules/nft/element_text.h"
#include "rules/nft/expression_text.h"
#include "rules/nft/known_sets.h"

namespace pointsman::nft {
namespace {

constexpr absl::string_view kNotUnderstood = "# not understood: ";
constexpr absl::string_view kNotReadBack = "# nft cannot read this rule back; it is installed over netlink: ";
constexpr absl::string_view kGcNotReadBack = "# nft cannot read this line of a map back; it is set over netlink: ";

void AppendComment(absl::string_view comment, std::string& out) {
  if (!comment.empty()) absl::StrAppend(&out, " comment ", Quoted(comment));
}

// --- statements -----------------------------------------------------------------------------------------------------

void AppendTerm(const Term& term, std::string& out) {
  const TermInfo& info = InfoOf(term.kind);
  switch (info.object) {
    case TermInfo::Object::kPayload:
      absl::StrAppend(&out, info.first, " ", info.second);
      break;
    case TermInfo::Object::kMeta:
      absl::StrAppend(&out, info.first, info.first.empty() ? "" : " ", info.second);
      break;
    case TermInfo::Object::kCt:
      absl::StrAppend(&out, "ct ", info.first, info.first.empty() ? "" : " ", info.second);
      break;
    case TermInfo::Object::kFib:
      absl::StrAppend(&out, "fib ", info.first, " ", info.second);
      break;
    case TermInfo::Object::kNumgen:
      absl::StrAppend(&out, "numgen ", info.second, " mod ", term.modulus);
      break;
  }
  for (const Term::Step& step : term.steps) {
    absl::StrAppend(&out, " ", absl::string_view(&step.op, 1), " 0x", absl::Hex(step.operand, absl::kZeroPad8));
  }
}

void AppendKey(const Key& key, std::string& out) {
  for (size_t i = 0; i < key.size(); ++i) {
    if (i > 0) out += " . ";
    AppendTerm(key[i], out);
  }
}

struct StatementPrinter {
  Family family;
  std::string& out;

  void operator()(const MatchValue& s) const {
    AppendTerm(s.left, out);
    switch (s.op) {
      case MatchValue::Op::kEq:
        // `ct status dnat` means "has the bit", so equality of the whole word has to be said.
        out += !s.left.steps.empty() || InfoOf(s.left.kind).value == TermInfo::Value::kBits ? " == " : " ";
        break;
      case MatchValue::Op::kNeq:
        out += " != ";
        break;
      case MatchValue::Op::kAny:
        out += " ";
        break;
      case MatchValue::Op::kNone:
        out += " ! ";
        break;
    }
    const Constant constant = *ConstantOf(s);
    const std::string words = absl::StrJoin(constant.words, ",");
    absl::StrAppend(&out, constant.quoted ? "\"" : "", words, constant.quoted ? "\"" : "");
  }
  void operator()(const MatchSet& s) const {
    AppendKey(s.left, out);
    const bool computed = s.left.size() == 1 && !s.left[0].steps.empty();
    absl::StrAppend(&out, s.inverted ? " != @" : computed ? " == @" : " @", s.set);
  }
  void operator()(const VerdictMap& s) const {
    AppendKey(s.key, out);
    absl::StrAppend(&out, " vmap @", s.map);
  }
  void operator()(const SetMark& s) const {
    out += "meta mark set ";
    AppendTerm(s.value, out);
  }
  void operator()(const DnatToMap& s) const {
    absl::StrAppend(&out, "dnat ", FamilyWord(family), " to ");
    AppendKey(s.key, out);
    absl::StrAppend(&out, " map @", s.map);
  }
  void operator()(const UpdateSet& s) const {
    absl::StrAppend(&out, DynsetWord(s.op), " @", s.set, " { ");
    AppendKey(s.key, out);
    if (s.timeout != absl::ZeroDuration()) absl::StrAppend(&out, " timeout ", DurationText(s.timeout));
    if (!s.data.empty()) {
      out += " : ";
      AppendKey(s.data, out);
    }
    out += " }";
  }
  // What it counted belongs to the kernel; written so, it starts afresh.
  void operator()(const Counter&) const { out += "counter packets 0 bytes 0"; }
  void operator()(const Verdict& s) const { out += FormatVerdict(s); }
  void operator()(const Masquerade& s) const { out += s.fully_random ? "masquerade fully-random" : "masquerade"; }
  void operator()(const Reject& s) const {
    if (s.type == Reject::Type::kTcpReset) {
      out += "reject with tcp reset";
    } else if (s.code == PortUnreachable(family)) {
      out += "reject";
    } else {
      absl::StrAppend(&out, "reject with ", family == Family::kIpv4 ? "icmp " : "icmpv6 ",
                      IcmpCodeWord(family, s.code));
    }
  }
};

// One line without its end: `prefix` and the rule, as a comment if it cannot be loaded.
void AppendRule(absl::string_view prefix, Family family, const Rule& rule, SpecFinder specs, bool mark_unreadable,
                std::string& out) {
  const std::optional<std::vector<Statement>> statements = ReadRule(family, rule, specs);
  if (!statements) {
    absl::StrAppend(&out, kNotUnderstood, prefix, RawExpressions(rule));
  } else {
    if (mark_unreadable && !NftReadsBack(*statements)) absl::StrAppend(&out, kNotReadBack);
    absl::StrAppend(&out, prefix);
    for (size_t i = 0; i < statements->size(); ++i) {
      if (i > 0) out += " ";
      std::visit(StatementPrinter{family, out}, (*statements)[i]);
    }
  }
  AppendComment(rule.comment, out);
}

// --- elements -------------------------------------------------------------------------------------------------------

void AppendFields(const FieldRanges& fields, std::string& out) {
  for (size_t i = 0; i < fields.size(); ++i) {
    const FieldRange& f = fields[i];
    if (i > 0) out += " . ";
    AppendValue(f.field, f.low, /*numeric=*/!f.single(), out);
    if (f.prefix_length) {
      absl::StrAppend(&out, "/", *f.prefix_length);
    } else if (!f.single()) {
      out += "-";
      AppendValue(f.field, f.high, /*numeric=*/true, out);
    }
  }
}

// False, with nothing appended, for an element that does not fit its set.
bool AppendElement(const SetSpec& spec, absl::Span<const uint8_t> key, const ElementValue& value, std::string& out) {
  const std::optional<FieldRanges> fields = SplitFields(spec.key, key, *value.end);
  if (!fields) return false;
  const Bytes* bytes = std::get_if<Bytes>(&value.data);
  const Verdict* verdict = std::get_if<Verdict>(&value.data);
  std::optional<FieldRanges> data;
  if (bytes != nullptr && !(data = SplitFields(spec.data, *bytes))) return false;
  if ((bytes != nullptr && spec.data.empty()) || (verdict != nullptr && !spec.verdicts)) return false;
  if (verdict != nullptr && VerdictWord(verdict->code).empty()) return false;

  AppendFields(*fields, out);
  AppendComment(*value.comment, out);
  if (data) {
    out += " : ";
    AppendFields(*data, out);
  } else if (verdict != nullptr) {
    absl::StrAppend(&out, " : ", VerdictWord(verdict->code));
    if (HasTarget(verdict->code)) absl::StrAppend(&out, " ", *verdict->chain);
  }
  return true;
}

void AppendRawElement(absl::Span<const uint8_t> key, const ElementValue& value, std::string& out) {
  absl::StrAppend(&out, kNotUnderstood, HexText(key));
  if (!value.end->empty()) absl::StrAppend(&out, "-", HexText(*value.end));
  AppendComment(*value.comment, out);
  if (const Bytes* bytes = std::get_if<Bytes>(&value.data)) absl::StrAppend(&out, " : ", HexText(*bytes));
  if (const Verdict* verdict = std::get_if<Verdict>(&value.data)) absl::StrAppend(&out, " : ", FormatVerdict(*verdict));
}

// --- sets, chains, tables -------------------------------------------------------------------------------------------

struct SpecLine {
  std::string text;
  bool nft_reads_back = true;
};

// The lines of a set's declaration, in nft's order.
std::vector<SpecLine> SpecLines(const SetSpec& spec) {
  std::vector<SpecLine> lines;
  const bool type_of = NeedsTypeof(spec);
  std::string type = absl::StrCat(type_of ? "typeof " : "type ", TypeList(spec.key, type_of));
  if (spec.is_map()) absl::StrAppend(&type, " : ", spec.verdicts ? "verdict" : TypeList(spec.data, type_of));
  lines.push_back({std::move(type)});
  if (spec.size != 0) lines.push_back({absl::StrCat("size ", spec.size)});
  // A default timeout implies the flag; nft then leaves it out, unless there is a list of flags anyway.
  const bool has_default = spec.timeout != absl::ZeroDuration();
  std::vector<absl::string_view> flags;
  if (spec.dynamic) flags.emplace_back("dynamic");
  if (spec.interval) flags.emplace_back("interval");
  if (spec.has_timeout && (!has_default || !flags.empty())) flags.emplace_back("timeout");
  if (!flags.empty()) lines.push_back({absl::StrCat("flags ", absl::StrJoin(flags, ","))});
  if (has_default) lines.push_back({absl::StrCat("timeout ", DurationText(spec.timeout))});
  if (spec.gc_interval != absl::ZeroDuration()) {
    // nft 1.0.6 has it in the grammar of sets alone.
    lines.push_back({absl::StrCat("gc-interval ", DurationText(spec.gc_interval)), !spec.is_map()});
  }
  if (!spec.comment.empty()) lines.push_back({absl::StrCat("comment ", Quoted(spec.comment))});
  return lines;
}

void AppendSet(const std::string& name, const Set& set, std::string& out) {
  absl::StrAppend(&out, "\t", set.spec.is_map() ? "map " : "set ", name, " {\n");
  for (const SpecLine& line : SpecLines(set.spec)) {
    absl::StrAppend(&out, "\t\t", line.nft_reads_back ? "" : kGcNotReadBack, line.text, "\n");
  }
  if (!set.complete) out += "\t\t# the set is too large to list; elements are missing here\n";
  std::string strange;
  bool first = true;
  for (const auto& [key, value] : set.elements) {
    const size_t before = out.size();
    out += first ? "\t\telements = { " : ",\n\t\t\t     ";
    if (AppendElement(set.spec, key, value, out)) {
      first = false;
      continue;
    }
    out.resize(before);
    strange += "\t\t";
    AppendRawElement(key, value, strange);
    strange += "\n";
  }
  if (!first) out += " }\n";
  absl::StrAppend(&out, strange, "\t}\n");
}

std::string HookText(const Hook& hook, absl::string_view separator) {
  return absl::StrCat("type ", hook.type, " hook ", FormatHook(hook.number), " priority ", PriorityText(hook),
                      separator, " policy ", hook.drop_policy ? "drop" : "accept", separator);
}

void AppendChain(Family family, const std::string& name, const Chain& chain, SpecFinder specs, std::string& out) {
  absl::StrAppend(&out, "\tchain ", name, " {\n");
  if (!chain.comment.empty()) absl::StrAppend(&out, "\t\tcomment ", Quoted(chain.comment), "\n");
  if (chain.hook) absl::StrAppend(&out, "\t\t", HookText(*chain.hook, ";"), "\n");
  for (const Rule& rule : chain.rules) {
    out += "\t\t";
    AppendRule("", family, rule, specs, /*mark_unreadable=*/true, out);
    out += "\n";
  }
  out += "\t}\n";
}

void AppendTable(Family family, const Table& table, std::string& out) {
  absl::StrAppend(&out, "table ", FamilyWord(family), " ", kTableName, " {\n");
  if (!table.comment.empty()) absl::StrAppend(&out, "\tcomment ", Quoted(table.comment), "\n");
  absl::string_view gap = "";
  for (const bool maps : {false, true}) {
    for (const auto& [name, set] : table.sets) {
      if (set.spec.is_map() != maps) continue;
      absl::StrAppend(&out, std::exchange(gap, "\n"));
      AppendSet(name, set, out);
    }
  }
  const auto specs = [&table](const std::string& name) -> const SetSpec* {
    const auto it = table.sets.find(name);
    return it == table.sets.end() ? nullptr : &it->second.spec;
  };
  for (const auto& [name, chain] : table.chains) {
    absl::StrAppend(&out, std::exchange(gap, "\n"));
    AppendChain(family, name, chain, specs, out);
  }
  out += "}\n";
}

// --- changes --------------------------------------------------------------------------------------------------------

std::string Place(Family family, absl::string_view name) {
  return absl::StrCat(FamilyWord(family), " ", kTableName, " ", name);
}

// Commands for one op, each on a line of its own.
struct OpPrinter {
  const KnownSets& known;
  std::string& out;

  void operator()(const AddTable& op) const {
    absl::StrAppend(&out, "add table ", FamilyWord(op.family), " ", kTableName);
    if (!op.comment.empty()) absl::StrAppend(&out, " { comment ", Quoted(op.comment), " ; }");
    out += "\n";
  }
  void operator()(const DeleteTable& op) const {
    absl::StrAppend(&out, "delete table ", FamilyWord(op.family), " ", kTableName, "\n");
  }
  void operator()(const AddChain& op) const {
    absl::StrAppend(&out, "add chain ", Place(op.family, op.name));
    if (op.hook || !op.comment.empty()) {
      out += " {";
      if (!op.comment.empty()) absl::StrAppend(&out, " comment ", Quoted(op.comment), " ;");
      if (op.hook) absl::StrAppend(&out, " ", HookText(*op.hook, " ;"));
      out += " }";
    }
    out += "\n";
  }
  void operator()(const FlushChain& op) const { Line("flush chain ", op.family, op.name); }
  void operator()(const DeleteChain& op) const { Line("delete chain ", op.family, op.name); }
  void operator()(const AddRule& op) const {
    const auto specs = [&](const std::string& name) { return known.Find(op.family, name); };
    AppendRule(absl::StrCat("add rule ", Place(op.family, op.chain), " "), op.family, op.rule, specs,
               /*mark_unreadable=*/true, out);
    out += "\n";
  }
  void operator()(const AddSet& op) const {
    const std::vector<SpecLine> lines = SpecLines(op.spec);
    for (const SpecLine& line : lines) {
      if (!line.nft_reads_back) absl::StrAppend(&out, kGcNotReadBack, line.text, "\n");
    }
    absl::StrAppend(&out, "add ", op.spec.is_map() ? "map " : "set ", Place(op.family, op.name), " {");
    for (const SpecLine& line : lines) {
      if (line.nft_reads_back) absl::StrAppend(&out, " ", line.text, " ;");
    }
    out += " }\n";
  }
  void operator()(const FlushSet& op) const { Line(op.map ? "flush map " : "flush set ", op.family, op.name); }
  void operator()(const DeleteSet& op) const { Line(op.map ? "delete map " : "delete set ", op.family, op.name); }
  void operator()(const AddElements& op) const { Elements("add element ", op.family, op.set, op.spec, op.elements); }
  void operator()(const DeleteElements& op) const {
    Elements("delete element ", op.family, op.set, op.spec, op.elements);
  }

 private:
  void Line(absl::string_view command, Family family, absl::string_view name) const {
    absl::StrAppend(&out, command, Place(family, name), "\n");
  }
  void Elements(absl::string_view command, Family family, absl::string_view set, const SetSpec& spec,
                const std::vector<Element>& elements) const {
    const std::string start = absl::StrCat(command, Place(family, set), " { ");
    for (const Element& element : elements) {
      const size_t before = out.size();
      out += start;
      if (!AppendElement(spec, element.key, element.value, out)) {
        out.resize(before);
        absl::StrAppend(&out, kNotUnderstood, start);
        std::string raw;
        AppendRawElement(element.key, element.value, raw);
        absl::StrAppend(&out, absl::string_view(raw).substr(kNotUnderstood.size()));
      }
      out += " }\n";
    }
  }
};

}  // namespace

std::string FormatText(const Ruleset& ruleset) {
  std::string out;
  for (const auto& [family, table] : ruleset.tables) AppendTable(family, table, out);
  return out;
}

std::string FormatChanges(const ChangeSet& changes) {
  const KnownSets known(changes);
  std::string out;
  for (const Op& op : changes) std::visit(OpPrinter{known, out}, op);
  return out;
}

std::string FormatOp(const Op& op) {
  const KnownSets known(absl::MakeConstSpan(&op, 1));
  std::string out;
  std::visit(OpPrinter{known, out}, op);
  if (!out.empty()) out.pop_back();
  return out;
}

std::string FormatRule(Family family, const Rule& rule) {
  std::string out;
  AppendRule(
      "", family, rule, [](const std::string&) -> const SetSpec* { return nullptr; },
      /*mark_unreadable=*/false, out);
  return out;
}

std::string FormatElement(const SetSpec& spec, const Element& element) {
  std::string out;
  if (!AppendElement(spec, element.key, element.value, out)) AppendRawElement(element.key, element.value, out);
  return out;
}

std::string FormatVerdict(const Verdict& verdict) {
  const absl::string_view word = VerdictWord(verdict.code);
  if (word.empty()) return absl::StrCat("verdict ", static_cast<int32_t>(verdict.code));
  return HasTarget(verdict.code) ? absl::StrCat(word, " ", *verdict.chain) : std::string(word);
}

}  // namespace pointsman::nft
