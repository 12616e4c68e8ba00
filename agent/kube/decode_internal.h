// SPDX-License-Identifier: Apache-2.0
//
// What the readers of bodies need of the decoder, besides decode.h.
#pragma once

#include <google/protobuf/message.h>

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "agent/kube/decode.h"

namespace pointsman::kube {

inline constexpr char kStatusKind[] = "Status";

// An enveloped object begins with these; a message Unknown follows.
inline constexpr absl::string_view kMagic = absl::string_view("k8s\0", 4);

struct Envelope {
  std::string kind;
  absl::string_view raw;
};

// Errors: kDataLoss: no envelope.
absl::StatusOr<Envelope> OpenEnvelope(absl::string_view bytes);

// Errors: kDataLoss: these bytes are no such message; one line of printable text says why.
absl::Status ParseMessage(Encoding encoding, absl::string_view bytes, google::protobuf::Message& message);

// Of a BOOKMARK: only the version, and whether the initial events are over. Without envelope.
Decoded DecodeBookmark(Kind kind, Encoding encoding, absl::string_view bytes);

// The same for a Status without envelope.
absl::StatusOr<ApiStatus> DecodeBareStatus(Encoding encoding, absl::string_view bytes);

// What to give for an object of which nothing is known.
Decoded Undecodable(Kind kind, absl::string_view problem);

// The text that a JSON string stands for. Returns: nullopt if it is none.
std::optional<std::string> JsonText(absl::string_view json);

// The `kind` of a JSON object; empty if it does not say.
std::string JsonKind(absl::string_view json);

// The first line that is not blank, printable and not too long.
std::string ForMessage(absl::string_view text);

}  // namespace pointsman::kube
