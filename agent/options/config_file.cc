// SPDX-License-Identifier: Apache-2.0
#include "agent/options/config_file.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "agent/cmd/suggest.h"
#include "agent/options/effective.h"
#include "agent/options/fields.h"
#include "agent/options/value.h"
#include "agent/source/yaml_reader.h"
#include "agent/source/yaml_syntax.h"
#include "agent/source/yaml_tree.h"

namespace pointsman::options {
namespace {

constexpr int kMaxProblems = 100;
constexpr char kWriteDuration[] = "write a text with units, as in 30s, 1m30s or 24h";

// A place in the file, as it is and as the reader of types sees it.
struct Spot {
  YamlField field;
  const YamlNode* node;
};

class Reader {
 public:
  Reader(absl::string_view file_name, Settings& settings)
      : file_name_(file_name), settings_(settings), report_(file_name, kMaxProblems) {}

  void ReadDocument(const YamlNode& root) {
    if (root.type == YamlNode::Type::kNull) return;
    if (seen_) {
      Unknown(root.position, "", "one configuration is read: this second document is passed over");
      return;
    }
    seen_ = true;
    const YamlField field(root, report_);
    if (!field.Map().present()) return;
    Header(field, "apiVersion", kConfigApiVersion);
    Header(field, "kind", kConfigKind);
    // The fields of something else mean something else.
    if (report_.errors() > 0 && (field["kind"].present() || field["apiVersion"].present())) return;
    ReadMap({field, &root}, "");
    ApplyDefaults();
  }

  void Fail(const SyntaxProblem& problem) {
    report_.Add(Severity::kError, problem.position, "", problem.problem, "", problem.hint);
  }

  Diagnostics Take() && {
    if (!seen_ && report_.errors() == 0) {
      report_.Add(Severity::kError, {}, "", "there is no configuration in this file", "", HeaderHint());
    }
    return std::move(report_).Take();
  }

 private:
  static std::string HeaderHint() {
    return absl::StrCat("begin with apiVersion: ", kConfigApiVersion, " and kind: ", kConfigKind);
  }

  static void Header(const YamlField& root, const char* name, const char* wanted) {
    const YamlField field = root[name];
    if (!field.present()) {
      field.Error("is missing", absl::StrCat("write ", name, ": ", wanted));
      return;
    }
    const std::optional<std::string> text = field.Text();
    if (text && *text != wanted)
      field.Error(absl::StrCat("unknown ", name, " ", QuoteForUser(*text)), absl::StrCat("write ", wanted));
  }

  void Unknown(TextPosition position, absl::string_view path, absl::string_view why) {
    if (settings_.remarks.size() >= kMaxProblems) return;
    settings_.remarks.push_back({Remark::Kind::kUnknown, report_.Where(position), std::string(path), std::string(why)});
  }

  static std::string Join(absl::string_view prefix, absl::string_view key) {
    const std::string shown = absl::Utf8SafeCHexEscape(key);
    return prefix.empty() ? shown : absl::StrCat(prefix, ".", shown);
  }

  // The keys that may stand below `prefix`.
  static std::vector<std::string> KeysBelow(absl::string_view prefix) {
    std::vector<std::string> keys;
    if (prefix.empty()) keys = {"apiVersion", "kind"};
    for (const Field& field : Fields()) {
      absl::string_view rest = field.path;
      if (rest.empty()) continue;
      if (!prefix.empty() && (!absl::ConsumePrefix(&rest, prefix) || !absl::ConsumePrefix(&rest, "."))) continue;
      keys.emplace_back(rest.substr(0, rest.find('.')));
    }
    return keys;
  }

  // What was meant: a key of this section, or one that stands elsewhere.
  static std::string Meant(absl::string_view prefix, absl::string_view key, const std::vector<std::string>& known) {
    for (const Field& field : Fields()) {
      if (absl::EndsWith(field.path, absl::StrCat(".", key))) return std::string(field.path);
    }
    const std::string near = Nearest(std::string(key), known);
    return near.empty() ? "" : Join(prefix, near);
  }

  // Calls `use` for each entry that counts: of a key that stands twice the last, and none that `known` lacks.
  template <typename Use>
  void ForEachEntry(const Spot& map, const std::string& prefix, const std::vector<std::string>* known, Use use) {
    if (!map.field.Map().present()) return;
    std::map<absl::string_view, const YamlEntry*> last;
    for (const YamlEntry& entry : map.node->entries) {
      const auto [before, is_new] = last.emplace(entry.key, &entry);
      if (is_new) continue;
      if (!before->second->merged) {
        Unknown(entry.position, Join(prefix, entry.key),
                absl::StrCat("stands twice, first in line ", before->second->position.line, "; the last one counts"));
      }
      before->second = &entry;
    }
    for (const YamlEntry& entry : map.node->entries) {
      if (last[entry.key] != &entry) continue;
      const std::string path = Join(prefix, entry.key);
      if (known != nullptr && std::find(known->begin(), known->end(), entry.key) == known->end()) {
        const std::string meant = Meant(prefix, entry.key, *known);
        Unknown(entry.position, path,
                absl::StrCat("unknown field", meant.empty() ? "" : absl::StrCat("; did you mean ", meant, "?")));
        continue;
      }
      use(path, entry, Spot{map.field[entry.key], entry.value});
    }
  }

  void ReadMap(const Spot& map, const std::string& prefix) {
    const std::vector<std::string> known = KeysBelow(prefix);
    ForEachEntry(map, prefix, &known, [&](const std::string& path, const YamlEntry&, const Spot& spot) {
      if (path == "apiVersion" || path == "kind") return;
      const Field* field = FindField(path);
      if (field == nullptr) {
        ReadMap(spot, path);
      } else if (spot.field.present()) {
        ReadField(*field, spot);
      }
    });
  }

  void ReadField(const Field& field, const Spot& spot) {
    const std::string path(field.path);
    static const Settings& defaults = *new Settings;
    Clear(field.slot, settings_);
    const int errors = report_.errors();
    WithValue(field.slot, settings_, [&](auto& value) { Read(spot, path, value); });
    const bool absent = field.zero_is_default && IsZero(field.slot, settings_);
    if (report_.errors() > errors || absent) {
      CopyValue(field.slot, defaults, settings_);
      return;
    }
    settings_.origins[path] = Origin::kFile;
    settings_.places[path] = report_.Where(spot.field.position());
  }

  static void Read(const Spot& spot, const std::string&, bool& value) { value = spot.field.Bool().value_or(false); }
  static void Read(const Spot& spot, const std::string&, int32_t& value) {
    value = spot.field.Number(std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()).value_or(0);
  }
  static void Read(const Spot& spot, const std::string&, uint32_t& value) {
    value = static_cast<uint32_t>(spot.field.Number(0, std::numeric_limits<int32_t>::max()).value_or(0));
  }

  static void Read(const Spot& spot, const std::string&, double& value) {
    const bool number = spot.node->type == YamlNode::Type::kScalar && spot.node->plain &&
                        absl::SimpleAtod(spot.node->text, &value) && std::isfinite(value);
    if (!number) spot.field.Error("this is no number", "write one without quotes, as in 5 or 0.5");
  }

  static void Read(const Spot& spot, const std::string& path, std::string& value) {
    // A quantity may be written as a number.
    if (absl::EndsWith(path, "infoBufferSize") && spot.node->type == YamlNode::Type::kScalar) {
      value = std::string(spot.node->text);
      return;
    }
    value = spot.field.Text().value_or("");
  }

  static void Read(const Spot& spot, const std::string& path, absl::Duration& value) {
    int64_t number = 0;
    const bool plain = spot.node->type == YamlNode::Type::kScalar && spot.node->plain;
    if (plain && absl::SimpleAtoi(spot.node->text, &number)) {
      if (path == "logging.flushFrequency") {
        value = absl::Nanoseconds(number);
      } else {
        spot.field.Error(absl::StrCat("the number ", number, " has no unit"), kWriteDuration);
      }
      return;
    }
    const std::optional<std::string> text = spot.field.Text();
    if (!text) return;
    const std::optional<absl::Duration> duration = ParseGoDuration(*text);
    if (!duration) spot.field.Error(absl::StrCat(QuoteForUser(*text), " is not a duration"), kWriteDuration);
    value = duration.value_or(absl::ZeroDuration());
  }

  void Read(const Spot& spot, const std::string& path, Texts& value) {
    for (const YamlField& item : spot.field.Items()) {
      settings_.places[absl::StrCat(path, "[", value.size(), "]")] = report_.Where(item.position());
      value.push_back(item.Text().value_or(""));
    }
  }

  void Read(const Spot& spot, const std::string& path, FeatureGates& value) {
    ForEachEntry(spot, path, nullptr, [&](const std::string& name, const YamlEntry& entry, const Spot& gate) {
      const std::optional<bool> on = gate.field.Bool();
      if (on) value[std::string(entry.key)] = *on;
      settings_.places[name] = report_.Where(entry.position);
    });
  }

  void Read(const Spot& spot, const std::string& path, Vmodules& value) {
    static const auto& known = *new std::vector<std::string>{"filePattern", "verbosity"};
    const std::vector<YamlField> items = spot.field.Items();
    for (size_t i = 0; i < items.size(); ++i) {
      KubeProxyConfiguration::Vmodule module;
      const std::string at = absl::StrCat(path, "[", i, "]");
      ForEachEntry({items[i], spot.node->items[i]}, at, &known,
                   [&](const std::string& name, const YamlEntry& entry, const Spot& of) {
                     settings_.places[name] = report_.Where(entry.position);
                     if (entry.key == "verbosity") {
                       Read(of, name, module.verbosity);
                     } else {
                       Read(of, name, module.file_pattern);
                     }
                   });
      value.push_back(std::move(module));
    }
  }

  // Defaults that depend on another field.
  void ApplyDefaults() {
    KubeProxyConfiguration& proxy = settings_.proxy;
    const std::optional<IpAddr> bind = IpAddr::Parse(proxy.bind_address);
    const Family family = bind ? bind->family() : Family::kIpv4;
    proxy.healthz_bind_address = settings_.OriginOf("healthzBindAddress") == Origin::kFile
                                     ? WithPort(proxy.healthz_bind_address, kHealthzPort)
                                     : DefaultHealthzAddress(family);
    proxy.metrics_bind_address = settings_.OriginOf("metricsBindAddress") == Origin::kFile
                                     ? WithPort(proxy.metrics_bind_address, kMetricsPort)
                                     : DefaultMetricsAddress(family);
  }

  const std::string file_name_;
  Settings& settings_;
  YamlReport report_;
  bool seen_ = false;
};

}  // namespace

Diagnostics ReadConfigFile(absl::string_view file_name, absl::string_view text, Settings& settings) {
  Reader reader(file_name, settings);
  absl::ConsumePrefix(&text, "\xef\xbb\xbf");
  if (const std::optional<SyntaxProblem> problem = CheckText(text)) {
    reader.Fail(*problem);
    return std::move(reader).Take();
  }
  std::string joined;
  if (absl::StartsWith(absl::StripLeadingAsciiWhitespace(text), "{") && absl::StrContains(text, "\\u")) {
    joined = JoinSurrogates(text);
    text = joined;
  }
  if (const auto error = ParseYaml(text, [&](const YamlNode& root) { reader.ReadDocument(root); })) {
    reader.Fail(ExplainYamlError(text, *error));
  }
  return std::move(reader).Take();
}

}  // namespace pointsman::options
