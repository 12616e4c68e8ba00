// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "agent/source/manifest_kinds.h"

namespace pointsman {
namespace {

// Source: RFC 1123 section 2.1, as k8s.io/apimachinery IsDNS1123Label and IsDNS1123Subdomain read it.
bool IsDnsName(absl::string_view name, size_t most, bool dots) {
  const auto alnum = [](char at) {
    const auto c = static_cast<unsigned char>(at);
    return absl::ascii_islower(c) || absl::ascii_isdigit(c);
  };
  const auto inner = [&](char c) { return alnum(c) || c == '-' || (dots && c == '.'); };
  return !name.empty() && name.size() <= most && alnum(name.front()) && alnum(name.back()) &&
         std::all_of(name.begin(), name.end(), inner);
}

constexpr char kLabelHint[] = "use at most 63 lower-case letters, digits and -, with a letter or digit at both ends";

const char* SkippedEffect(Kind kind) {
  switch (kind) {
    case Kind::kService:
      return "this Service is skipped";
    case Kind::kEndpointSlice:
      return "this EndpointSlice is skipped";
    case Kind::kNode:
      return "this Node is skipped";
    case Kind::kServiceCidr:
      return "this ServiceCIDR is skipped";
  }
  return "";
}

}  // namespace

std::optional<ObjectMeta> ReadMeta(const YamlField& root, Kind kind) {
  const YamlField metadata = root["metadata"].Costing(SkippedEffect(kind)).Map();
  const YamlField name = metadata["name"];
  const YamlField ns = metadata["namespace"];
  const int errors = root.report().errors();
  root.report().set_object(FormatKind(kind));

  ObjectMeta meta;
  meta.name.name = name.Required().Text().value_or("");
  const bool namespaced = kind == Kind::kService || kind == Kind::kEndpointSlice;
  if (namespaced) {
    meta.name.ns = ns.Text().value_or("");
    if (meta.name.ns.empty()) meta.name.ns = "default";
  }
  if (root.report().errors() != errors) return std::nullopt;
  if (!IsDnsName(meta.name.name, 253, true)) {
    name.Error(absl::StrCat(QuoteForUser(meta.name.name), " is no valid name"),
               "use lower-case letters, digits, - and ., with a letter or digit at both ends");
    return std::nullopt;
  }
  if (namespaced && !IsDnsName(meta.name.ns, 63, false)) {
    ns.Error(absl::StrCat(QuoteForUser(meta.name.ns), " is no valid namespace"), kLabelHint);
    return std::nullopt;
  }
  root.report().set_object(FormatKey({kind, meta.name}));

  for (const auto& [key, value] : metadata["labels"].Costing("it is ignored").Entries()) {
    // A null value is the empty one, as everywhere in the API.
    if (!value.present()) {
      meta.labels[key] = "";
    } else if (std::optional<std::string> text = value.Text()) {
      meta.labels[key] = *std::move(text);
    }
  }
  const YamlField creation = metadata["creationTimestamp"].Costing("the object counts as the oldest");
  if (const std::optional<std::string> text = creation.Text()) {
    std::string error;
    if (!absl::ParseTime(absl::RFC3339_full, *text, &meta.creation, &error)) {
      meta.creation = absl::InfinitePast();
      creation.Error(absl::StrCat(QuoteForUser(*text), " is no time"), "write it like 2024-01-31T12:00:00Z");
    }
  }
  return meta;
}

std::optional<std::string> ReadPortName(const YamlField& name) {
  if (!name.present()) return "";
  std::optional<std::string> text = name.Text();
  if (text && !text->empty() && !IsDnsName(*text, 63, false)) {
    name.Error(absl::StrCat(QuoteForUser(*text), " is no valid port name"), kLabelHint);
    return std::nullopt;
  }
  return text;
}

}  // namespace pointsman
