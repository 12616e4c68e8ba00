// SPDX-License-Identifier: Apache-2.0
//
// Bodies taken apart, for comparing.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include "agent/kube/body.h"
#include "agent/kube/decode.h"
#include "pointsman/api.h"
#include "pointsman/diagnostic.h"

namespace pointsman::kube {

struct Taken {
  std::vector<Piece> pieces;
  absl::Status status;  // of the first Push that failed, else of Finish
};

// Pushes `body` in chunks of `chunk` bytes; 0: all at once.
inline Taken TakeApart(Kind kind, BodyReader::Form form, Encoding encoding, absl::string_view body, size_t chunk = 0) {
  Taken taken;
  BodyReader reader(kind, form, encoding);
  if (chunk == 0) chunk = std::max<size_t>(body.size(), 1);
  for (size_t at = 0; at < body.size() && taken.status.ok(); at += chunk) {
    taken.status = reader.Push(body.substr(at, chunk), [&](Piece piece) { taken.pieces.push_back(std::move(piece)); });
  }
  if (taken.status.ok()) taken.status = reader.Finish();
  return taken;
}

inline bool Same(const Decoded& a, const Decoded& b) {
  const bool equal_objects = (a.object == nullptr) == (b.object == nullptr) && (!a.object || *a.object == *b.object);
  return equal_objects && a.key == b.key && a.resource_version == b.resource_version &&
         a.initial_events_end == b.initial_events_end && a.trigger == b.trigger && a.diagnostics == b.diagnostics;
}

inline bool Same(const Piece& a, const Piece& b) {
  if (a.index() != b.index()) return false;
  if (const auto* item = std::get_if<ListItem>(&a)) return Same(item->decoded, std::get<ListItem>(b).decoded);
  if (const auto* info = std::get_if<ListInfo>(&a)) {
    const auto& other = std::get<ListInfo>(b);
    return info->resource_version == other.resource_version && info->continue_token == other.continue_token;
  }
  const auto& event = std::get<WatchEvent>(a);
  const auto& other = std::get<WatchEvent>(b);
  return event.type == other.type && Same(event.decoded, other.decoded) && event.status == other.status;
}

inline std::string Describe(const Decoded& decoded) {
  std::string text =
      absl::StrCat(decoded.object ? "" : "no object ",
                   decoded.key.name.name.empty() ? FormatKind(decoded.key.kind) : FormatKey(decoded.key));
  if (!decoded.resource_version.empty()) absl::StrAppend(&text, " @", decoded.resource_version);
  if (decoded.initial_events_end) absl::StrAppend(&text, " end of initial events");
  for (const Diagnostic& diagnostic : decoded.diagnostics) absl::StrAppend(&text, " | ", FormatDiagnostic(diagnostic));
  return text;
}

inline std::string Describe(const Piece& piece) {
  constexpr const char* kTypes[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "OTHER"};
  if (const auto* item = std::get_if<ListItem>(&piece)) return Describe(item->decoded);
  if (const auto* info = std::get_if<ListInfo>(&piece)) {
    return absl::StrCat("list @", info->resource_version, info->continue_token.empty() ? "" : " and more");
  }
  const auto& event = std::get<WatchEvent>(piece);
  const char* type = kTypes[static_cast<size_t>(event.type)];
  if (event.type == WatchEvent::Type::kError) {
    return absl::StrCat(type, " ", event.status.code, " ", event.status.reason, ": ", event.status.message);
  }
  return event.type == WatchEvent::Type::kOther ? type : absl::StrCat(type, " ", Describe(event.decoded));
}

inline std::vector<std::string> Describe(const std::vector<Piece>& pieces) {
  std::vector<std::string> lines;
  lines.reserve(pieces.size());
  for (const Piece& piece : pieces) lines.push_back(Describe(piece));
  return lines;
}

}  // namespace pointsman::kube
