// SPDX-License-Identifier: Apache-2.0
//
// What might come from an API server, or from whatever answers in its place. However it is cut, the same must come of
// it.
//
// The first four bytes choose the kind, the form, the encoding and the size of the chunks; the rest is the body. The
// corpus holds recorded answers.
#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "agent/kube/body.h"
#include "agent/kube/decode.h"
#include "pointsman/api.h"
#include "pointsman/diagnostic.h"
#include "pointsman/status.h"
#include "tests/unit/agent/kube/pieces.h"

namespace pointsman::kube {
namespace {

void CheckDecoded(const Decoded& decoded, Kind kind, bool bookmark) {
  PM_CHECK(decoded.key.kind == kind);
  PM_CHECK(decoded.object == nullptr || KeyOf(*decoded.object) == decoded.key);
  PM_CHECK(decoded.object == nullptr || (!decoded.key.name.name.empty() && !bookmark));
  PM_CHECK(decoded.object != nullptr || bookmark || !decoded.diagnostics.empty());
  for (const Diagnostic& diagnostic : decoded.diagnostics) {
    // One line each, so that no text can forge a second.
    PM_CHECK(diagnostic.problem.find('\n') == std::string::npos);
  }
}

void CheckPiece(const Piece& piece, Kind kind) {
  if (const auto* item = std::get_if<ListItem>(&piece)) CheckDecoded(item->decoded, kind, false);
  const auto* event = std::get_if<WatchEvent>(&piece);
  if (event == nullptr || event->type == WatchEvent::Type::kError || event->type == WatchEvent::Type::kOther) return;
  CheckDecoded(event->decoded, kind, event->type == WatchEvent::Type::kBookmark);
}

void Fuzz(const uint8_t* choices, absl::string_view body) {
  const auto kind = static_cast<Kind>(choices[0] % kKinds);
  const auto form = static_cast<BodyReader::Form>(choices[1] % 2);
  const auto encoding = static_cast<Encoding>(choices[2] % 2);
  const size_t chunk = size_t{choices[3]} + 1;

  const Taken whole = TakeApart(kind, form, encoding, body);
  const Taken cut = TakeApart(kind, form, encoding, body, chunk);
  PM_CHECK(whole.status.ok() || whole.status.code() == absl::StatusCode::kDataLoss);
  PM_CHECK(whole.status.code() == cut.status.code() && whole.pieces.size() == cut.pieces.size());
  for (size_t i = 0; i < whole.pieces.size(); ++i) {
    CheckPiece(whole.pieces[i], kind);
    PM_CHECK(Same(whole.pieces[i], cut.pieces[i]));
  }

  CheckDecoded(DecodeObject(kind, encoding, body), kind, false);
  (void)DecodeEnveloped(kind, body);
  (void)DecodeStatus(encoding, body);
  for (const char* type : {kProtobufType, kJsonType, "text/html"}) {
    PM_CHECK(DecodeFailure(503, type, body).code == 503);
  }
}

}  // namespace
}  // namespace pointsman::kube

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kChoices = 4;
  if (size < kChoices) return 0;
  pointsman::kube::Fuzz(data, absl::string_view(reinterpret_cast<const char*>(data) + kChoices, size - kChoices));
  return 0;
}
