// SPDX-License-Identifier: Apache-2.0
#include "agent/options/render.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

#include <nlohmann/json.hpp>

#include "agent/options/config_file.h"
#include "agent/options/fields.h"
#include "agent/options/value.h"

namespace pointsman::options {
namespace {

using Json = nlohmann::json;

// The fields of the file, in alphabetical order as kube-proxy writes them.
std::vector<const Field*> FileFields() {
  std::vector<const Field*> fields;
  for (const Field& field : Fields()) {
    if (!field.path.empty()) fields.push_back(&field);
  }
  std::sort(fields.begin(), fields.end(), [](const Field* a, const Field* b) { return a->path < b->path; });
  return fields;
}

std::vector<const Field*> OwnFields() {
  std::vector<const Field*> fields;
  for (const Field& field : Fields()) {
    if (field.path.empty()) fields.push_back(&field);
  }
  return fields;
}

Json ToJson(const Field& field, const Settings& settings) { return Json::parse(FormatValue(field.slot, settings)); }

Json ConfigurationObject(const Settings& settings) {
  Json object = {{"apiVersion", kConfigApiVersion}, {"kind", kConfigKind}};
  for (const Field* field : FileFields()) {
    Json* at = &object;
    for (const absl::string_view part : absl::StrSplit(field->path, '.')) at = &(*at)[std::string(part)];
    *at = ToJson(*field, settings);
  }
  return object;
}

std::string Dump(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace); }

// `key: value`, the sections above it where they begin.
void AppendYaml(absl::string_view path, const std::string& value, const std::string& comment,
                std::vector<std::string>& open, std::string& out) {
  const std::vector<std::string> parts = absl::StrSplit(path, '.');
  size_t same = 0;
  while (same < open.size() && same + 1 < parts.size() && open[same] == parts[same]) ++same;
  open.assign(parts.begin(), parts.end() - 1);
  for (; same + 1 < parts.size(); ++same) absl::StrAppend(&out, std::string(2 * same, ' '), parts[same], ":\n");
  absl::StrAppend(&out, std::string(2 * same, ' '), parts.back(), ": ", value,
                  comment.empty() ? "" : absl::StrCat("  # ", comment), "\n");
}

// File names may hold anything.
std::string OneLine(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, '?');
  return text;
}

}  // namespace

std::string ConfigurationYaml(const Settings& settings, bool with_origins) {
  std::string out = absl::StrCat("apiVersion: ", kConfigApiVersion, "\nkind: ", kConfigKind, "\n");
  std::vector<std::string> open;
  for (const Field* field : FileFields()) {
    const std::string name(field->path);
    AppendYaml(name, FormatValue(field->slot, settings), with_origins ? OneLine(OriginText(settings, name)) : "", open,
               out);
  }
  return out;
}

std::string ConfigurationJson(const Settings& settings) { return Dump(ConfigurationObject(settings)); }

std::vector<std::pair<std::string, std::string>> FlagValues(const Settings& settings) {
  std::vector<std::pair<std::string, std::string>> values;
  for (const Flag& flag : AllFlags()) {
    values.emplace_back(flag.name, FormatFlagValue(flag.fields.front()->slot, settings));
  }
  std::sort(values.begin(), values.end());
  return values;
}

std::string OriginText(const Settings& settings, const std::string& name) {
  if (settings.OriginOf(name) == Origin::kDefault) return "default";
  return PlaceOf(settings, name);
}

std::string EffectiveText(const Settings& settings) {
  std::vector<const Field*> fields = FileFields();
  const std::vector<const Field*> own = OwnFields();
  fields.insert(fields.end(), own.begin(), own.end());
  size_t widest_name = 0;
  size_t widest_value = 0;
  for (const Field* field : fields) {
    widest_name = std::max(widest_name, NameOf(*field).size());
    widest_value = std::max(widest_value, std::min<size_t>(FormatValue(field->slot, settings).size(), 40));
  }
  std::string out;
  for (const Field* field : fields) {
    const std::string name = NameOf(*field);
    absl::StrAppendFormat(&out, "%-*s  %-*s  %s\n", static_cast<int>(widest_name), name, static_cast<int>(widest_value),
                          FormatValue(field->slot, settings), OneLine(OriginText(settings, name)));
  }
  if (!settings.remarks.empty()) absl::StrAppend(&out, "\n");
  for (const Remark& remark : settings.remarks) absl::StrAppend(&out, FormatRemark(remark), "\n");
  return out;
}

std::string EffectiveJson(const Settings& settings) {
  Json origins = Json::object();
  for (const auto& [name, origin] : settings.origins) {
    if (origin != Origin::kDefault) origins[name] = OriginText(settings, name);
  }
  Json own = Json::object();
  for (const Field* field : OwnFields()) own[std::string(field->flags.front())] = ToJson(*field, settings);
  Json remarks = Json::array();
  static constexpr const char* kKinds[] = {"ignored", "overruled", "unknown"};
  for (const Remark& remark : settings.remarks) {
    remarks.push_back({{"kind", kKinds[static_cast<size_t>(remark.kind)]},
                       {"where", remark.where},
                       {"what", remark.what},
                       {"why", remark.why}});
  }
  return absl::StrCat(Dump({{"configuration", ConfigurationObject(settings)},
                            {"flags", own},
                            {"origins", origins},
                            {"remarks", remarks}}),
                      "\n");
}

std::string EffectiveYaml(const Settings& settings) {
  std::string out = ConfigurationYaml(settings, true);
  for (const Field* field : OwnFields()) {
    const std::string name = NameOf(*field);
    if (settings.OriginOf(name) == Origin::kDefault) continue;
    absl::StrAppend(&out, "# ", name, "=", OneLine(FormatFlagValue(field->slot, settings)), "\n");
  }
  for (const Remark& remark : settings.remarks) absl::StrAppend(&out, "# ", FormatRemark(remark), "\n");
  return out;
}

std::string FormatRemark(const Remark& remark) {
  return OneLine(
      absl::StrCat(remark.where, remark.where.empty() ? "" : ": ", "warning: ", remark.what, ": ", remark.why));
}

}  // namespace pointsman::options
