// SPDX-License-Identifier: Apache-2.0
//
// nft's JSON form, libnftables-json(5), as nft 1.0.6 writes it; plus three things it leaves out and later versions
// write: comments of tables and chains, the flag "dynamic", and updates of maps as objects rather than as a string.
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include <nlohmann/json.hpp>

#include "pointsman/nft_format.h"
#include "rules/nft/element_text.h"
#include "rules/nft/expression_text.h"
#include "rules/nft/known_sets.h"

namespace pointsman::nft {
namespace {

using Json = nlohmann::ordered_json;

Json Text(absl::string_view text) { return Json(std::string(text)); }

// {name: value}
Json Wrap(absl::string_view name, Json value) {
  Json out = Json::object();
  out[std::string(name)] = std::move(value);
  return out;
}

// The only element as itself, several as a list; nft's rule for types, flags and terms.
Json OneOrList(Json list) { return list.size() == 1 ? Json(std::move(list[0])) : list; }

// --- statements -----------------------------------------------------------------------------------------------------

Json TermJson(const Term& term) {
  const TermInfo& info = InfoOf(term.kind);
  Json out;
  switch (info.object) {
    case TermInfo::Object::kPayload:
      out = {{"payload", {{"protocol", Text(info.first)}, {"field", Text(info.second)}}}};
      break;
    case TermInfo::Object::kMeta:
      out = {{"meta", {{"key", Text(info.second)}}}};
      break;
    case TermInfo::Object::kCt:
      out = {{"ct", {{"key", Text(info.second)}}}};
      if (!info.first.empty()) out["ct"]["dir"] = Text(info.first);
      break;
    case TermInfo::Object::kFib:
      out = {{"fib", {{"result", Text(info.second)}, {"flags", Json::array({Text(info.first)})}}}};
      break;
    case TermInfo::Object::kNumgen:
      out = {{"numgen", {{"mode", Text(info.second)}, {"mod", term.modulus}, {"offset", 0}}}};
      break;
  }
  for (const Term::Step& step : term.steps) {
    out = Wrap(absl::string_view(&step.op, 1), Json::array({std::move(out), step.operand}));
  }
  return out;
}

Json KeyJson(const Key& key) {
  if (key.size() == 1) return TermJson(key[0]);
  Json list = Json::array();
  for (const Term& term : key) list.push_back(TermJson(term));
  return Wrap("concat", std::move(list));
}

Json VerdictJson(const Verdict& verdict) {
  Json target;  // null
  if (HasTarget(verdict.code)) target = Wrap("target", *verdict.chain);
  return Wrap(VerdictWord(verdict.code), std::move(target));
}

Json MatchJson(absl::string_view op, Json left, Json right) {
  return Wrap("match", {{"op", Text(op)}, {"left", std::move(left)}, {"right", std::move(right)}});
}

std::string SetReference(absl::string_view name) { return absl::StrCat("@", name); }

struct StatementJson {
  Family family;

  Json operator()(const MatchValue& s) const {
    absl::string_view op;
    switch (s.op) {
      case MatchValue::Op::kEq:
        op = "==";
        break;
      case MatchValue::Op::kNeq:
        op = "!=";
        break;
      case MatchValue::Op::kAny:
        op = "in";
        break;
      case MatchValue::Op::kNone:
        op = "!";
        break;
    }
    const Constant constant = *ConstantOf(s);
    return MatchJson(op, TermJson(s.left), constant.number ? Json(*constant.number) : OneOrList(constant.words));
  }
  Json operator()(const MatchSet& s) const {
    return MatchJson(s.inverted ? "!=" : "==", KeyJson(s.left), SetReference(s.set));
  }
  Json operator()(const VerdictMap& s) const {
    return Wrap("vmap", {{"key", KeyJson(s.key)}, {"data", SetReference(s.map)}});
  }
  Json operator()(const SetMark& s) const {
    return Wrap("mangle", {{"key", {{"meta", {{"key", "mark"}}}}}, {"value", TermJson(s.value)}});
  }
  Json operator()(const DnatToMap& s) const {
    Json map = Wrap("map", {{"key", KeyJson(s.key)}, {"data", SetReference(s.map)}});
    return Wrap("dnat", {{"family", Text(FamilyWord(family))}, {"addr", std::move(map)}});
  }
  Json operator()(const UpdateSet& s) const {
    Json element = KeyJson(s.key);
    if (s.timeout != absl::ZeroDuration()) {
      element = Wrap("elem", {{"val", std::move(element)}, {"timeout", absl::ToInt64Seconds(s.timeout)}});
    }
    Json out = {{"op", Text(DynsetWord(s.op))}, {"elem", std::move(element)}};
    if (!s.data.empty()) out["data"] = KeyJson(s.data);
    const char* const kind = s.data.empty() ? "set" : "map";
    out[kind] = SetReference(s.set);
    return Wrap(kind, std::move(out));
  }
  Json operator()(const Counter&) const { return Wrap("counter", {{"packets", 0}, {"bytes", 0}}); }
  Json operator()(const Verdict& s) const { return VerdictJson(s); }
  Json operator()(const Masquerade& s) const {
    return Wrap("masquerade", s.fully_random ? Json{{"flags", "fully-random"}} : Json());
  }
  Json operator()(const Reject& s) const {
    if (s.type == Reject::Type::kTcpReset) return {{"reject", {{"type", "tcp reset"}}}};
    return {{"reject",
             {{"type", family == Family::kIpv4 ? "icmp" : "icmpv6"}, {"expr", Text(IcmpCodeWord(family, s.code))}}}};
  }
};

Json RuleJson(Family family, const std::string& chain, const Rule& rule, SpecFinder specs) {
  Json out = {{"family", Text(FamilyWord(family))}, {"table", kTableName}, {"chain", chain}};
  if (!rule.comment.empty()) out["comment"] = rule.comment;
  Json exprs = Json::array();
  if (const auto statements = ReadRule(family, rule, specs)) {
    for (const Statement& statement : *statements) exprs.push_back(std::visit(StatementJson{family}, statement));
  } else {
    // A string, as nft itself writes what its JSON has no object for.
    exprs.push_back(absl::StrCat("# not understood: ", RawExpressions(rule)));
  }
  out["expr"] = std::move(exprs);
  return Wrap("rule", std::move(out));
}

// --- elements -------------------------------------------------------------------------------------------------------

Json ValueJson(Field field, absl::Span<const uint8_t> bytes, bool numeric) {
  if (const std::optional<uint32_t> number = NumberOf(field, bytes, numeric)) return *number;
  std::string text;
  AppendValue(field, bytes, numeric, text);
  return text;
}

Json FieldJson(const FieldRange& f) {
  if (f.single()) return ValueJson(f.field, f.low, /*numeric=*/false);
  Json low = ValueJson(f.field, f.low, /*numeric=*/true);
  if (f.prefix_length) return Wrap("prefix", {{"addr", std::move(low)}, {"len", *f.prefix_length}});
  return Wrap("range", Json::array({std::move(low), ValueJson(f.field, f.high, /*numeric=*/true)}));
}

Json FieldsJson(const FieldRanges& fields) {
  if (fields.size() == 1) return FieldJson(fields[0]);
  Json list = Json::array();
  for (const FieldRange& f : fields) list.push_back(FieldJson(f));
  return Wrap("concat", std::move(list));
}

Json ElementJson(const SetSpec& spec, const Bytes& key, const ElementValue& value) {
  const std::optional<FieldRanges> fields = SplitFields(spec.key, key, *value.end);
  const Verdict* verdict = std::get_if<Verdict>(&value.data);
  const Bytes* bytes = std::get_if<Bytes>(&value.data);
  std::optional<FieldRanges> data;
  if (bytes != nullptr) data = SplitFields(spec.data, *bytes);
  if (!fields || (bytes != nullptr && (!data || spec.data.empty())) ||
      (verdict != nullptr && (!spec.verdicts || VerdictWord(verdict->code).empty()))) {
    return FormatElement(spec, {key, value});  // "# not understood: …"
  }
  Json out = FieldsJson(*fields);
  if (!value.comment->empty()) out = Wrap("elem", {{"val", std::move(out)}, {"comment", *value.comment}});
  if (verdict != nullptr) return Json::array({std::move(out), VerdictJson(*verdict)});
  if (data) return Json::array({std::move(out), FieldsJson(*data)});
  return out;
}

// --- sets, chains, tables -------------------------------------------------------------------------------------------

Json TableJson(Family family, absl::string_view comment) {
  Json out = {{"family", Text(FamilyWord(family))}, {"name", kTableName}};
  if (!comment.empty()) out["comment"] = Text(comment);
  return Wrap("table", std::move(out));
}

absl::string_view SetWord(bool is_map) { return is_map ? "map" : "set"; }

Json SetName(Family family, const std::string& name) {
  return {{"family", Text(FamilyWord(family))}, {"name", name}, {"table", kTableName}};
}

Json SetJson(Family family, const std::string& name, const SetSpec& spec) {
  Json out = SetName(family, name);
  Json type = Json::array();
  for (const Field field : spec.key) type.push_back(Text(FieldType(field)));
  out["type"] = OneOrList(std::move(type));
  if (!spec.comment.empty()) out["comment"] = spec.comment;
  if (spec.is_map()) out["map"] = spec.verdicts ? "verdict" : TypeList(spec.data);
  if (spec.size != 0) out["size"] = spec.size;
  Json flags = Json::array();
  if (spec.interval) flags.push_back("interval");
  if (spec.has_timeout) flags.push_back("timeout");
  if (spec.dynamic) flags.push_back("dynamic");
  if (!flags.empty()) out["flags"] = std::move(flags);
  if (spec.timeout != absl::ZeroDuration()) out["timeout"] = absl::ToInt64Seconds(spec.timeout);
  if (spec.gc_interval != absl::ZeroDuration()) out["gc-interval"] = absl::ToInt64Seconds(spec.gc_interval);
  return Wrap(SetWord(spec.is_map()), std::move(out));
}

Json ChainName(Family family, const std::string& name) {
  return {{"family", Text(FamilyWord(family))}, {"table", kTableName}, {"name", name}};
}

Json ChainJson(Family family, const std::string& name, const std::optional<Hook>& hook, const std::string& comment) {
  Json out = ChainName(family, name);
  if (!comment.empty()) out["comment"] = comment;
  if (hook) {
    out["type"] = hook->type;
    out["hook"] = Text(FormatHook(hook->number));
    out["prio"] = hook->priority;
    out["policy"] = hook->drop_policy ? "drop" : "accept";
  }
  return Wrap("chain", std::move(out));
}

// {"nftables": [...]}, one object a line. Each is written out as soon as it is made: the tree of one map is large
// enough.
class Document {
 public:
  void Add(const Json& object) {
    out_ += first_ ? "\n" : ",\n";
    first_ = false;
    // A stranger's comment may be no UTF-8; the document shall be.
    out_ += object.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  std::string Finish() && { return std::move(out_) + "\n]}\n"; }

 private:
  std::string out_ = "{\"nftables\": [";
  bool first_ = true;
};

void AddTableObjects(Family family, const Table& table, Document& document) {
  document.Add(TableJson(family, table.comment));
  for (const bool maps : {false, true}) {
    for (const auto& [name, set] : table.sets) {
      if (set.spec.is_map() != maps) continue;
      Json object = SetJson(family, name, set.spec);
      Json& fields = object[std::string(SetWord(maps))];
      if (!set.complete) fields["complete"] = false;  // ours: the kernel's list was too long to read
      if (!set.elements.empty()) {
        Json list = Json::array();
        for (const auto& [key, value] : set.elements) list.push_back(ElementJson(set.spec, key, value));
        fields["elem"] = std::move(list);
      }
      document.Add(object);
    }
  }
  for (const auto& [name, chain] : table.chains) document.Add(ChainJson(family, name, chain.hook, chain.comment));
  const auto specs = [&table](const std::string& name) -> const SetSpec* {
    const auto it = table.sets.find(name);
    return it == table.sets.end() ? nullptr : &it->second.spec;
  };
  for (const auto& [name, chain] : table.chains) {
    for (const Rule& rule : chain.rules) document.Add(RuleJson(family, name, rule, specs));
  }
}

// --- changes --------------------------------------------------------------------------------------------------------

struct OpJson {
  const KnownSets& known;

  Json operator()(const AddTable& op) const { return Wrap("add", TableJson(op.family, op.comment)); }
  Json operator()(const DeleteTable& op) const { return Wrap("delete", TableJson(op.family, "")); }
  Json operator()(const AddChain& op) const { return Wrap("add", ChainJson(op.family, op.name, op.hook, op.comment)); }
  Json operator()(const FlushChain& op) const { return Wrap("flush", Wrap("chain", ChainName(op.family, op.name))); }
  Json operator()(const DeleteChain& op) const { return Wrap("delete", Wrap("chain", ChainName(op.family, op.name))); }
  Json operator()(const AddRule& op) const {
    const auto specs = [&](const std::string& name) { return known.Find(op.family, name); };
    return Wrap("add", RuleJson(op.family, op.chain, op.rule, specs));
  }
  Json operator()(const AddSet& op) const { return Wrap("add", SetJson(op.family, op.name, op.spec)); }
  Json operator()(const FlushSet& op) const { return Wrap("flush", NamedSet(op.family, op.name, op.map)); }
  Json operator()(const DeleteSet& op) const { return Wrap("delete", NamedSet(op.family, op.name, op.map)); }
  Json operator()(const AddElements& op) const {
    return Wrap("add", Elements(op.family, op.set, op.spec, op.elements));
  }
  Json operator()(const DeleteElements& op) const {
    return Wrap("delete", Elements(op.family, op.set, op.spec, op.elements));
  }

 private:
  Json NamedSet(Family family, const std::string& name, bool map) const {
    return Wrap(SetWord(map), SetName(family, name));
  }
  static Json Elements(Family family, const std::string& set, const SetSpec& spec,
                       const std::vector<Element>& elements) {
    Json out = {{"family", Text(FamilyWord(family))}, {"table", kTableName}, {"name", set}};
    Json list = Json::array();
    for (const Element& element : elements) list.push_back(ElementJson(spec, element.key, element.value));
    out["elem"] = std::move(list);
    return Wrap("element", std::move(out));
  }
};

}  // namespace

std::string FormatJson(const Ruleset& ruleset) {
  Document document;
  document.Add({{"metainfo", {{"json_schema_version", 1}}}});
  for (const auto& [family, table] : ruleset.tables) AddTableObjects(family, table, document);
  return std::move(document).Finish();
}

std::string FormatChangesJson(const ChangeSet& changes) {
  const KnownSets known(changes);
  Document document;
  for (const Op& op : changes) document.Add(std::visit(OpJson{known}, op));
  return std::move(document).Finish();
}

}  // namespace pointsman::nft
