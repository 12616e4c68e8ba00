// SPDX-License-Identifier: Apache-2.0
//
// API objects as a server sends them, protobuf or JSON, as the values of api.h.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "pointsman/api.h"
#include "pointsman/diagnostic.h"

namespace pointsman::kube {

enum class Encoding : uint8_t { kProtobuf, kJson };

inline constexpr char kProtobufType[] = "application/vnd.kubernetes.protobuf";
inline constexpr char kJsonType[] = "application/json";

// Of a Content-Type, whatever parameters it has: "application/vnd.kubernetes.protobuf;stream=watch".
std::optional<Encoding> EncodingOf(absl::string_view content_type);

// meta/v1 Status: why a request failed, or a watch ended.
struct ApiStatus {
  int code = 0;         // as HTTP has it; 0: the server did not say
  std::string reason;   // "Expired", "Forbidden", …
  std::string message;  // for people
  std::optional<absl::Duration> retry_after;
  bool too_large_version = false;  // the server has not come to the resourceVersion yet that was asked for

  friend bool operator==(const ApiStatus&, const ApiStatus&) = default;
};

struct Decoded {
  ObjectKey key;
  std::shared_ptr<const Object> object;  // null: nothing usable; `diagnostics` say why
  std::string resource_version;
  bool initial_events_end = false;  // a bookmark annotated k8s.io/initial-events-end
  // When the change happened that an EndpointSlice was written for. It is no part of the object: nothing depends on it.
  std::optional<absl::Time> trigger;
  Diagnostics diagnostics;
};

// Decodes one object without envelope: an element of a list, the `raw` of an envelope, or JSON text.
//
// Inputs:  `kind` is what it is known to be.
// Returns: a `key` with an empty name if not even that could be read. Of the labels only those named in api.h are kept.
//          The API server has validated and defaulted the object, so that only what a newer server may add is looked
//          out for: a protocol, type or policy nobody knew costs as little as it can, as in a manifest.
// Cost:    linear in `bytes`.
Decoded DecodeObject(Kind kind, Encoding encoding, absl::string_view bytes);

// The same for a complete protobuf object, with envelope.
// Errors:  kDataLoss: no envelope. kInvalidArgument: it holds another kind; the message names it.
absl::StatusOr<Decoded> DecodeEnveloped(Kind kind, absl::string_view bytes);

// Decodes a Status: protobuf with envelope, or JSON.
absl::StatusOr<ApiStatus> DecodeStatus(Encoding encoding, absl::string_view bytes);

// The body of an answer that is no success. Proxies and filters before the API server answer in plain text or HTML:
// then the message is the title or the first line of that, shortened.
ApiStatus DecodeFailure(int http_code, absl::string_view content_type, absl::string_view body);

}  // namespace pointsman::kube
