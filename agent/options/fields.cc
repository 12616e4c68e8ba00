// SPDX-License-Identifier: Apache-2.0
#include "agent/options/fields.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "agent/options/field_rows.h"

namespace pointsman::options {

const std::vector<Field>& Fields() {
  static const auto& fields = *[] {
    auto* all = new std::vector<Field>(UsedFields());
    for (Field& field : IgnoredFields()) all->push_back(std::move(field));
    return all;
  }();
  return fields;
}

const Field* FindField(absl::string_view path) {
  for (const Field& field : Fields()) {
    if (!path.empty() && field.path == path) return &field;
  }
  return nullptr;
}

bool Flag::BeatsFile() const {
  const absl::string_view path = fields.front()->path;
  return path.empty() || path == "hostnameOverride" || absl::StartsWith(path, "logging.");
}

const std::vector<Flag>& AllFlags() {
  static const auto& flags = *[] {
    auto* all = new std::vector<Flag>;
    for (const Field& field : Fields()) {
      for (const absl::string_view name : field.flags) {
        const auto known = std::find_if(all->begin(), all->end(), [&](const Flag& flag) { return flag.name == name; });
        Flag& flag = known == all->end() ? all->emplace_back(Flag{name, {}}) : *known;
        flag.fields.push_back(&field);
      }
    }
    return all;
  }();
  return flags;
}

const Flag* FindFlag(absl::string_view name) {
  for (const Flag& flag : AllFlags()) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

std::string PlaceOf(const Settings& settings, absl::string_view path) {
  while (true) {
    const auto place = settings.places.find(std::string(path));
    if (place != settings.places.end()) return place->second;
    const size_t end = path.find_last_of(".[");
    if (end == absl::string_view::npos || absl::StartsWith(path, "--")) return "";
    path = path.substr(0, end);
  }
}

std::string NameOf(const Field& field) {
  return field.path.empty() ? absl::StrCat("--", field.flags.front()) : std::string(field.path);
}

}  // namespace pointsman::options
