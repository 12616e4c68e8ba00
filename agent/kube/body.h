// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "agent/kube/decode.h"
#include "pointsman/api.h"

namespace pointsman::kube {

// The largest object or event taken, as in Kubernetes' own clients.
inline constexpr size_t kMaxFrame = 16 << 20;

// One element of a list.
struct ListItem {
  Decoded decoded;
};

// What a list says of itself. It comes where it stands in the body: before, among or after the items.
struct ListInfo {
  std::string resource_version;
  std::string continue_token;  // empty: this is the last page
};

struct WatchEvent {
  enum class Type : uint8_t { kAdded, kModified, kDeleted, kBookmark, kError, kOther };

  Type type = Type::kOther;
  Decoded decoded;   // of all but kError and kOther; without object for kBookmark
  ApiStatus status;  // of kError
};

using Piece = std::variant<ListItem, ListInfo, WatchEvent>;

// Takes the body of a LIST or a WATCH apart while it comes in, and never holds more than one object of it.
//
// Protobuf: a list is an envelope around a message whose fields 1 and 2 are metadata and items; a watch is a sequence
// of frames, each a big-endian length of 4 bytes and a WatchEvent. JSON: a list is an object with members `metadata`
// and `items`, a watch a sequence of objects with members `type` and `object`, with or without line breaks between.
//
// Source: k8s.io/apimachinery pkg/runtime/serializer/protobuf and /streaming.
class BodyReader {
 public:
  enum class Form : uint8_t { kList, kWatch };

  BodyReader(Kind kind, Form form, Encoding encoding);
  ~BodyReader();
  BodyReader(BodyReader&&) noexcept;
  BodyReader& operator=(BodyReader&&) noexcept;

  // Calls `piece` for everything that `bytes` complete, in order.
  // Errors: kDataLoss: this is no such body, or an object is too large; nothing more can be had from it. An object that
  //         cannot be decoded is none, but a piece without object.
  absl::Status Push(absl::string_view bytes, absl::FunctionRef<void(Piece)> piece);

  // The body is over.
  // Errors: kDataLoss: in the middle of something, or a list that told nothing of itself.
  absl::Status Finish();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pointsman::kube
