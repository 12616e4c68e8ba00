// SPDX-License-Identifier: Apache-2.0
#include "agent/source/yaml_codec.h"

#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "agent/source/api_names.h"
#include "agent/source/manifest_kinds.h"
#include "agent/source/yaml_reader.h"
#include "agent/source/yaml_syntax.h"
#include "agent/source/yaml_tree.h"

namespace pointsman {
namespace {

// Lists within Lists; one is what kubectl writes.
constexpr int kMaxListDepth = 4;
constexpr char kNothingUsed[] = "nothing of this file is used";

struct KnownKind {
  absl::string_view name;
  absl::string_view group;     // empty: core
  absl::string_view versions;  // each with a blank around it
  Kind kind;
};

constexpr KnownKind kKnownKinds[] = {
    {"Service", "", " v1 ", Kind::kService},
    {"EndpointSlice", "discovery.k8s.io", " v1 ", Kind::kEndpointSlice},
    {"Node", "", " v1 ", Kind::kNode},
    {"ServiceCIDR", "networking.k8s.io", " v1 v1beta1 ", Kind::kServiceCidr},
};

const KnownKind* FindKind(absl::string_view name) {
  for (const KnownKind& known : kKnownKinds) {
    if (known.name == name) return &known;
  }
  return nullptr;
}

class ManifestReader {
 public:
  explicit ManifestReader(absl::string_view file_name) : file_name_(file_name), report_(file_name, kMaxDiagnostics) {}

  void ReadDocument(const YamlNode& root) {
    if (root.type == YamlNode::Type::kNull) return;  // nothing between two `---`
    const YamlField field(root, report_);
    if (root.type != YamlNode::Type::kMap) {
      // Half a manifest is often one word: taking it for a manifest would delete what the whole one defines.
      parsed_.sound = false;
      report_.set_object("");
      field.Costing(kNothingUsed).Error("this is no manifest", "begin it with `apiVersion:` and `kind:`");
      return;
    }
    ReadItem(field, std::nullopt, 0);
  }

  void Fail(const SyntaxProblem& problem) {
    parsed_.sound = false;
    report_ = YamlReport(file_name_, kMaxDiagnostics);
    report_.Add(Severity::kError, problem.position, "", problem.problem, kNothingUsed, problem.hint);
  }

  ParsedManifests Take() && {
    if (!parsed_.sound) {
      parsed_.objects.clear();
      parsed_.other_kinds.clear();
    }
    parsed_.diagnostics = std::move(report_).Take();
    return std::move(parsed_);
  }

 private:
  // `implied` is the kind of the items of a typed list.
  void ReadItem(const YamlField& root, std::optional<absl::string_view> implied, int depth) {
    report_.set_object("");
    const YamlField field = root.Costing("this object is skipped");
    const std::optional<std::string> api_version = field["apiVersion"].Text();
    std::optional<std::string> kind = field["kind"].Text();
    if (!kind || kind->empty()) {
      if (!implied) {
        if (!field["kind"].present())
          field["kind"].Error("is missing", "say what this is, for instance `kind: Service`");
        return;
      }
      kind = std::string(*implied);
    }
    if (ReadList(field, *kind, depth)) return;
    const KnownKind* known = FindKind(*kind);
    if (known == nullptr) {
      ++parsed_.other_kinds[absl::Utf8SafeCHexEscape(*kind)];
      WarnOfSpelling(field["kind"], *kind);
    } else if (IsOurs(field, *known, api_version.value_or(""))) {
      ReadObject(root, known->kind);
    }
  }

  // Returns: false if this is no list.
  bool ReadList(const YamlField& field, absl::string_view kind, int depth) {
    std::optional<absl::string_view> implied;
    if (kind != "List") {
      if (!absl::ConsumeSuffix(&kind, "List") || FindKind(kind) == nullptr) return false;
      implied = kind;
    }
    if (depth >= kMaxListDepth) {
      field.Error("lists are nested too deeply");
      return true;
    }
    for (const YamlField& item : field["items"].Items()) {
      // A Diagnostic names its field from the object's own root, wherever that is.
      const YamlField object = item.AsRoot().Costing("this item is skipped").Required().Map();
      if (object.present()) ReadItem(object, implied, depth + 1);
    }
    return true;
  }

  static void WarnOfSpelling(const YamlField& field, absl::string_view kind) {
    for (const KnownKind& known : kKnownKinds) {
      if (!absl::EqualsIgnoreCase(kind, known.name)) continue;
      field.Warn(absl::StrCat("unknown kind ", QuoteForUser(kind)), absl::StrCat("write it as ", known.name));
    }
  }

  // A kind of ours may share its name with one of another group; in a version we do not know it may mean anything.
  bool IsOurs(const YamlField& field, const KnownKind& known, absl::string_view api_version) {
    if (api_version.empty()) return true;  // trimmed examples, and the items of typed lists
    const size_t slash = api_version.find('/');
    const absl::string_view group = slash == absl::string_view::npos ? "" : api_version.substr(0, slash);
    const absl::string_view version = slash == absl::string_view::npos ? api_version : api_version.substr(slash + 1);
    if (group == known.group && absl::StrContains(known.versions, absl::StrCat(" ", version, " "))) return true;
    ++parsed_.other_kinds[absl::StrCat(known.name, " (", absl::Utf8SafeCHexEscape(api_version), ")")];
    if (group == known.group) {
      const std::string wanted = absl::StrCat(group, group.empty() ? "" : "/", "v1");
      field["apiVersion"].Warn(absl::StrCat(known.name, " in ", QuoteForUser(api_version), " is not supported"),
                               absl::StrCat("write it as ", wanted));
    }
    return false;
  }

  // What cannot be read is not measured, and costs nothing else.
  static std::optional<absl::Time> ReadTrigger(const YamlField& root) {
    const YamlField field = root["metadata"]["annotations"][kTriggerTimeAnnotation].Costing("this change is not timed");
    const std::optional<std::string> text = field.Text();
    if (!text) return std::nullopt;
    const std::optional<absl::Time> trigger = ParseTriggerTime(*text);
    if (!trigger) field.Note(absl::StrCat(QuoteForUser(*text), " is no time"), "write it like 2024-01-31T12:00:00Z");
    return trigger;
  }

  void ReadObject(const YamlField& root, Kind kind) {
    CreationWishes wishes;
    std::optional<absl::Time> trigger;
    std::optional<Object> object;
    switch (kind) {
      case Kind::kService:
        object = ReadService(root, wishes);
        break;
      case Kind::kEndpointSlice:
        object = ReadEndpointSlice(root);
        trigger = ReadTrigger(root);
        break;
      case Kind::kNode:
        object = ReadNode(root);
        break;
      case Kind::kServiceCidr:
        object = ReadServiceCidr(root);
        break;
    }
    root.WarnOfRepeatedKeys();
    if (!object) return;
    parsed_.objects.push_back(
        {std::make_shared<const Object>(*std::move(object)), report_.Where(root.position()), wishes, trigger});
  }

  const absl::string_view file_name_;
  YamlReport report_;
  ParsedManifests parsed_;
};

}  // namespace

ParsedManifests ParseManifests(absl::string_view file_name, absl::string_view text) {
  ManifestReader reader(file_name);
  absl::ConsumePrefix(&text, "\xef\xbb\xbf");
  if (const std::optional<SyntaxProblem> problem = CheckText(text)) {
    reader.Fail(*problem);
    return std::move(reader).Take();
  }
  std::string joined;
  const absl::string_view content = absl::StripLeadingAsciiWhitespace(text);
  if ((absl::StartsWith(content, "{") || absl::StartsWith(content, "[")) && absl::StrContains(text, "\\u")) {
    joined = JoinSurrogates(text);
    text = joined;
  }
  if (const auto error = ParseYaml(text, [&](const YamlNode& root) { reader.ReadDocument(root); })) {
    reader.Fail(ExplainYamlError(text, *error));
  }
  return std::move(reader).Take();
}

}  // namespace pointsman
