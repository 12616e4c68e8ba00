// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/decode.h"

#include <google/protobuf/arena.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include <google/protobuf/wrappers.pb.h>

#include "agent/kube/api.pb.h"
#include "agent/kube/convert.h"
#include "agent/kube/decode_internal.h"
#include "agent/kube/json_pieces.h"
#include "agent/kube/wire.h"
#include "agent/source/api_names.h"
#include "pointsman/status.h"

namespace pointsman::kube {
namespace {

constexpr char kInitialEventsEnd[] = "k8s.io/initial-events-end";
constexpr char kTooLargeVersion[] = "ResourceVersionTooLarge";

bool Namespaced(Kind kind) { return kind == Kind::kService || kind == Kind::kEndpointSlice; }

// Returns: a key with an empty name if it would not be a whole one.
ObjectKey KeyIn(Kind kind, const ObjectMeta& metadata) {
  ObjectKey key;
  key.kind = kind;
  if (Namespaced(kind) && metadata.namespace_().empty()) return key;
  key.name.name = metadata.name();
  if (Namespaced(kind) && !key.name.name.empty()) key.name.ns = metadata.namespace_();
  return key;
}

std::string Label(const ObjectKey& key) { return key.name.name.empty() ? FormatKind(key.kind) : FormatKey(key); }

ObjectMeta SalvageProtobuf(absl::string_view bytes) {
  ObjectMeta metadata;
  WireFields fields(bytes);
  while (const std::optional<WireField> field = fields.Next()) {
    if (field->number != 1) continue;
    WireFields inner(field->bytes);
    while (const std::optional<WireField> text = inner.Next()) {
      const std::string value(text->bytes);
      if (text->number == 1) metadata.set_name(value);
      if (text->number == 3) metadata.set_namespace_(value);
      if (text->number == 6) metadata.set_resource_version(value);
    }
    break;
  }
  return metadata;
}

ObjectMeta SalvageJson(absl::string_view bytes) {
  ObjectMeta metadata;
  JsonPieces object({"metadata"}, "", bytes.size());
  const auto inner = [&](const JsonPieces::Piece& piece) {
    JsonPieces members({"name", "namespace", "resourceVersion"}, "", bytes.size());
    return members.Push(piece.value, [&](const JsonPieces::Piece& text) {
      const std::string value = JsonText(text.value).value_or("");
      if (text.member == "name") metadata.set_name(value);
      if (text.member == "namespace") metadata.set_namespace_(value);
      if (text.member == "resourceVersion") metadata.set_resource_version(value);
      return absl::OkStatus();
    });
  };
  // However far it gets is good.
  (void)object.Push(bytes, [&](const JsonPieces::Piece& piece) {
    return piece.member == "metadata" ? inner(piece) : absl::OkStatus();
  });
  return metadata;
}

Decoded Broken(Kind kind, const ObjectMeta& metadata, std::string field, std::string problem) {
  Decoded decoded;
  decoded.key = KeyIn(kind, metadata);
  decoded.resource_version = metadata.resource_version();
  Complaints complaints(Label(decoded.key));
  complaints.Add(std::move(field), std::move(problem), absl::StrCat("this ", FormatKind(kind), " is skipped"));
  decoded.diagnostics = std::move(complaints).Take();
  return decoded;
}

// What cannot be read is not measured, and costs nothing else.
std::optional<absl::Time> TriggerOf(const ObjectMeta& metadata, Complaints& complaints) {
  const auto found = metadata.annotations().find(kTriggerTimeAnnotation);
  if (found == metadata.annotations().end()) return std::nullopt;
  const std::optional<absl::Time> trigger = ParseTriggerTime(found->second);
  if (!trigger) {
    complaints.Note(absl::StrCat("metadata.annotations.", kTriggerTimeAnnotation),
                    absl::StrCat("\"", ForMessage(found->second), "\" is no time"), "this change is not timed");
  }
  return trigger;
}

enum class Use { kObject, kBookmark };

template <typename Message>
Decoded DecodeAs(Kind kind, Encoding encoding, absl::string_view bytes, Use use) {
  google::protobuf::ArenaOptions options;
  const size_t aligned = bytes.size() & ~(alignof(std::max_align_t) - 1);  // the arena relies on that
  options.start_block_size = std::clamp(aligned, size_t{1024}, size_t{64 << 10});
  google::protobuf::Arena arena(options);
  auto& message = *google::protobuf::Arena::CreateMessage<Message>(&arena);
  if (const absl::Status parsed = ParseMessage(encoding, bytes, message); !parsed.ok()) {
    return Broken(kind, encoding == Encoding::kProtobuf ? SalvageProtobuf(bytes) : SalvageJson(bytes), "",
                  absl::StrCat("cannot be decoded: ", parsed.message()));
  }
  const ObjectMeta& metadata = message.metadata();
  Decoded decoded;
  decoded.key = KeyIn(kind, metadata);
  decoded.resource_version = metadata.resource_version();
  if (use == Use::kBookmark) {
    const auto end = metadata.annotations().find(kInitialEventsEnd);
    decoded.initial_events_end = end != metadata.annotations().end() && end->second == "true";
    return decoded;
  }
  if (decoded.key.name.name.empty()) {
    const bool named = !metadata.name().empty();
    return Broken(kind, metadata, named ? "metadata.namespace" : "metadata.name", "is missing");
  }
  Complaints complaints(FormatKey(decoded.key));
  std::optional<Object> object = Convert(message, ConvertMeta(decoded.key.name, metadata), complaints);
  if (object) decoded.object = std::make_shared<const Object>(*std::move(object));
  if (kind == Kind::kEndpointSlice) decoded.trigger = TriggerOf(metadata, complaints);
  decoded.diagnostics = std::move(complaints).Take();
  return decoded;
}

Decoded DecodeKind(Kind kind, Encoding encoding, absl::string_view bytes, Use use) {
  switch (kind) {
    case Kind::kService:
      return DecodeAs<Service>(kind, encoding, bytes, use);
    case Kind::kEndpointSlice:
      return DecodeAs<EndpointSlice>(kind, encoding, bytes, use);
    case Kind::kNode:
      return DecodeAs<Node>(kind, encoding, bytes, use);
    case Kind::kServiceCidr:
      return DecodeAs<ServiceCIDR>(kind, encoding, bytes, use);
  }
  return Undecodable(kind, "of no kind we know");
}

// What proxies answer is mostly HTML, and its first line says nothing.
absl::string_view TitleOf(absl::string_view text) {
  constexpr absl::string_view kBegin = "<title>";
  const size_t begin = text.find(kBegin);
  if (begin == absl::string_view::npos) return {};
  text.remove_prefix(begin + kBegin.size());
  return text.substr(0, text.find("</title>"));
}

}  // namespace

std::string ForMessage(absl::string_view text) {
  constexpr size_t kMost = 200;
  text = absl::StripAsciiWhitespace(text);
  text = absl::StripTrailingAsciiWhitespace(text.substr(0, text.find('\n')));
  const bool cut = text.size() > kMost;
  if (cut) {
    size_t length = kMost;
    while (length > 0 && (static_cast<uint8_t>(text[length]) & 0xc0) == 0x80) --length;
    text = text.substr(0, length);
  }
  // Quotes and apostrophes are ordinary text here.
  std::string printable;
  for (const char c : text) {
    const bool plain = static_cast<uint8_t>(c) >= 0x80 || absl::ascii_isprint(static_cast<unsigned char>(c));
    absl::StrAppend(&printable, plain ? std::string(1, c) : absl::CHexEscape(absl::string_view(&c, 1)));
  }
  return cut ? absl::StrCat(printable, "...") : printable;
}

std::optional<std::string> JsonText(absl::string_view json) {
  google::protobuf::StringValue value;
  if (json.empty() || json[0] != '"' || !ParseMessage(Encoding::kJson, json, value).ok()) return std::nullopt;
  return value.value();
}

std::string JsonKind(absl::string_view json) {
  std::string kind;
  JsonPieces pieces({"kind"}, "", json.size());
  // It comes first, and then the rest is not looked at.
  (void)pieces.Push(json, [&](const JsonPieces::Piece& piece) {
    if (piece.member.empty()) return absl::OkStatus();
    kind = JsonText(piece.value).value_or("");
    return absl::CancelledError();
  });
  return kind;
}

absl::Status ParseMessage(Encoding encoding, absl::string_view bytes, google::protobuf::Message& message) {
  if (bytes.size() > static_cast<size_t>(std::numeric_limits<int>::max())) return absl::DataLossError("too large");
  if (encoding == Encoding::kProtobuf) {
    if (message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return absl::OkStatus();
    return absl::DataLossError("no such protobuf message");
  }
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  const auto parsed = google::protobuf::util::JsonStringToMessage({bytes.data(), bytes.size()}, &message, options);
  if (parsed.ok()) return absl::OkStatus();
  const auto message_of = parsed.message();
  absl::string_view why(message_of.data(), message_of.size());
  absl::ConsumePrefix(&why, ": ");  // the path to the object itself is empty
  return absl::DataLossError(ForMessage(why));
}

absl::StatusOr<Envelope> OpenEnvelope(absl::string_view bytes) {
  if (!absl::StartsWith(bytes, kMagic)) return absl::DataLossError("an object is not in the envelope of Kubernetes");
  Envelope envelope;
  WireFields fields(bytes.substr(kMagic.size()));
  while (const std::optional<WireField> field = fields.Next()) {
    if (field->number == 2) envelope.raw = field->bytes;
    if (field->number != 1) continue;
    TypeMeta type;
    PM_RETURN_IF_ERROR(ParseMessage(Encoding::kProtobuf, field->bytes, type));
    envelope.kind = type.kind();
  }
  if (!fields.ok()) return absl::DataLossError("the envelope of an object is damaged");
  return envelope;
}

Decoded Undecodable(Kind kind, absl::string_view problem) {
  return Broken(kind, ObjectMeta(), "", absl::StrCat("cannot be decoded: ", problem));
}

Decoded DecodeBookmark(Kind kind, Encoding encoding, absl::string_view bytes) {
  return DecodeKind(kind, encoding, bytes, Use::kBookmark);
}

std::optional<Encoding> EncodingOf(absl::string_view content_type) {
  const absl::string_view type = absl::StripAsciiWhitespace(content_type.substr(0, content_type.find(';')));
  if (absl::EqualsIgnoreCase(type, kProtobufType)) return Encoding::kProtobuf;
  if (absl::EqualsIgnoreCase(type, kJsonType)) return Encoding::kJson;
  return std::nullopt;
}

Decoded DecodeObject(Kind kind, Encoding encoding, absl::string_view bytes) {
  return DecodeKind(kind, encoding, bytes, Use::kObject);
}

absl::StatusOr<Decoded> DecodeEnveloped(Kind kind, absl::string_view bytes) {
  PM_ASSIGN_OR_RETURN(const Envelope envelope, OpenEnvelope(bytes));
  if (envelope.kind != FormatKind(kind)) {
    return absl::InvalidArgumentError(
        absl::StrCat("this is of kind \"", ForMessage(envelope.kind), "\", and not ", FormatKind(kind)));
  }
  return DecodeObject(kind, Encoding::kProtobuf, envelope.raw);
}

absl::StatusOr<ApiStatus> DecodeBareStatus(Encoding encoding, absl::string_view bytes) {
  Status message;
  PM_RETURN_IF_ERROR(ParseMessage(encoding, bytes, message));
  ApiStatus status;
  status.code = message.code();
  status.reason = message.reason();
  status.message = message.message();
  if (message.details().retry_after_seconds() > 0) {
    status.retry_after = absl::Seconds(message.details().retry_after_seconds());
  }
  status.too_large_version = std::any_of(message.details().causes().begin(), message.details().causes().end(),
                                         [](const StatusCause& cause) { return cause.reason() == kTooLargeVersion; });
  return status;
}

absl::StatusOr<ApiStatus> DecodeStatus(Encoding encoding, absl::string_view bytes) {
  Envelope envelope;
  if (encoding == Encoding::kProtobuf) {
    PM_ASSIGN_OR_RETURN(envelope, OpenEnvelope(bytes));
  } else {
    envelope = {JsonKind(bytes), bytes};
  }
  if (envelope.kind != kStatusKind) {
    return absl::InvalidArgumentError(
        absl::StrCat("this is of kind \"", ForMessage(envelope.kind), "\", and not ", kStatusKind));
  }
  return DecodeBareStatus(encoding, envelope.raw);
}

ApiStatus DecodeFailure(int http_code, absl::string_view content_type, absl::string_view body) {
  if (const std::optional<Encoding> encoding = EncodingOf(content_type)) {
    absl::StatusOr<ApiStatus> status = DecodeStatus(*encoding, body);
    if (status.ok()) {
      // What HTTP says is what everybody on the way went by.
      if (http_code != 0) status->code = http_code;
      return *std::move(status);
    }
  }
  ApiStatus failure;
  failure.code = http_code;
  failure.message = ForMessage(TitleOf(body));
  if (failure.message.empty()) failure.message = ForMessage(body);
  return failure;
}

}  // namespace pointsman::kube
