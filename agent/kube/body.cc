// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/body.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

#include "agent/kube/api.pb.h"
#include "agent/kube/decode_internal.h"
#include "agent/kube/json_pieces.h"
#include "agent/kube/wire.h"
#include "pointsman/status.h"

namespace pointsman::kube {
namespace {

using Sink = absl::FunctionRef<void(Piece)>;

std::string ListKind(Kind kind) { return absl::StrCat(FormatKind(kind), "List"); }

absl::Status TooLarge(uint64_t size) {
  return absl::DataLossError(
      absl::StrCat("an object has ", size, " bytes, and more than ", kMaxFrame, " are not taken"));
}

absl::Status CutShort() { return absl::DataLossError("the answer ends in the middle"); }

absl::StatusOr<ListInfo> DecodeListInfo(Encoding encoding, absl::string_view bytes) {
  ListMeta meta;
  PM_RETURN_IF_ERROR(ParseMessage(encoding, bytes, meta));
  return ListInfo{.resource_version = meta.resource_version(), .continue_token = meta.continue_token()};
}

absl::Status NoList(Kind kind, absl::string_view is) {
  return absl::DataLossError(absl::StrCat("this is of kind \"", ForMessage(is), "\", and not ", ListKind(kind)));
}

absl::Status StatusForList(Kind kind, absl::string_view message) {
  return absl::DataLossError(
      absl::StrCat("this is a ", kStatusKind, ", and not ", ListKind(kind), ": ", ForMessage(message)));
}

WatchEvent::Type EventType(absl::string_view type) {
  if (type == "ADDED") return WatchEvent::Type::kAdded;
  if (type == "MODIFIED") return WatchEvent::Type::kModified;
  if (type == "DELETED") return WatchEvent::Type::kDeleted;
  if (type == "BOOKMARK") return WatchEvent::Type::kBookmark;
  if (type == "ERROR") return WatchEvent::Type::kError;
  return WatchEvent::Type::kOther;
}

// `object` is as it stands in the event: protobuf in its envelope.
WatchEvent MakeEvent(Kind kind, Encoding encoding, absl::string_view type, absl::string_view object) {
  WatchEvent event;
  event.type = EventType(type);
  event.decoded.key.kind = kind;
  if (event.type == WatchEvent::Type::kOther) return event;
  if (event.type == WatchEvent::Type::kError) {
    absl::StatusOr<ApiStatus> status = DecodeStatus(encoding, object);
    if (status.ok()) {
      event.status = *std::move(status);
    } else {
      event.status.message = absl::StrCat("an error event that cannot be decoded: ", status.status().message());
    }
    return event;
  }
  std::string is;  // JSON may leave it out
  if (encoding == Encoding::kProtobuf) {
    const absl::StatusOr<Envelope> envelope = OpenEnvelope(object);
    if (!envelope.ok()) {
      event.decoded = Undecodable(kind, envelope.status().message());
      return event;
    }
    is = envelope->kind;
    object = envelope->raw;
  } else {
    is = JsonKind(object);
  }
  if (is != FormatKind(kind) && !(is.empty() && encoding == Encoding::kJson)) {
    event.decoded = Undecodable(kind, absl::StrCat("this is of kind \"", ForMessage(is), "\""));
  } else if (event.type == WatchEvent::Type::kBookmark) {
    event.decoded = DecodeBookmark(kind, encoding, object);
  } else {
    event.decoded = DecodeObject(kind, encoding, object);
  }
  return event;
}

class Reader {
 public:
  explicit Reader(Kind kind) : kind_(kind) {}
  virtual ~Reader() = default;
  virtual absl::Status Push(absl::string_view bytes, Sink sink) = 0;
  virtual absl::Status Finish() = 0;

 protected:
  const Kind kind_;
};

// Magic, then the fields of Unknown; within its `raw` those of the list.
class ProtobufList final : public Reader {
 public:
  using Reader::Reader;

  absl::Status Push(absl::string_view bytes, Sink sink) override {
    while (true) {
      const size_t before = bytes.size();
      const absl::StatusOr<bool> more = Advance(bytes, sink);
      position_ += before - bytes.size();
      if (!more.ok()) return more.status();
      if (in_list_ && position_ > list_end_) return TooLong();
      if (!*more) return absl::OkStatus();
    }
  }

  absl::Status Finish() override {
    if (step_ != Step::kTag || !taker_.idle() || (in_list_ && position_ != list_end_)) return CutShort();
    if (!informed_) return absl::DataLossError("the list has no metadata");
    return absl::OkStatus();
  }

 private:
  enum class Step : uint8_t { kMagic, kTag, kLength, kValue, kSkipVarint, kSkip };

  // One step.
  // Returns: false if it takes more bytes.
  absl::StatusOr<bool> Advance(absl::string_view& in, Sink sink) {
    uint64_t number = 0;
    switch (step_) {
      case Step::kMagic: {
        const auto magic = taker_.Bytes(in, kMagic.size());
        if (!magic) return false;
        if (*magic != kMagic) return absl::DataLossError("the answer is not in the envelope of Kubernetes");
        step_ = Step::kTag;
        return true;
      }
      case Step::kTag: {
        if (in_list_ && position_ == list_end_) {
          if (!taker_.idle()) return TooLong();
          in_list_ = false;
        }
        const auto got = taker_.Varint(in, number);
        if (got == WireTaker::Got::kNotYet) return false;
        const std::optional<WireTag> tag = got == WireTaker::Got::kAll ? ParseTag(number) : std::nullopt;
        if (!tag) return Nonsense();
        field_ = tag->number;
        left_ = tag->type == WireType::kFixed64 ? 8 : 4;
        step_ = tag->type == WireType::kVarint  ? Step::kSkipVarint
                : tag->type == WireType::kBytes ? Step::kLength
                                                : Step::kSkip;
        return true;
      }
      case Step::kLength: {
        const size_t before = in.size();
        const auto got = taker_.Varint(in, number);
        if (got == WireTaker::Got::kNotYet) return false;
        if (got != WireTaker::Got::kAll || number > kEndless) return Nonsense();
        left_ = number;
        PM_RETURN_IF_ERROR(Enter(position_ + (before - in.size())));
        return true;
      }
      case Step::kValue: {
        const auto value = taker_.Bytes(in, left_);
        if (!value) return false;
        step_ = Step::kTag;
        PM_RETURN_IF_ERROR(Take(*value, sink));
        return true;
      }
      case Step::kSkipVarint: {
        const auto got = taker_.Varint(in, number);
        if (got == WireTaker::Got::kNonsense) return Nonsense();
        if (got == WireTaker::Got::kAll) step_ = Step::kTag;
        return got == WireTaker::Got::kAll;
      }
      case Step::kSkip: {
        const size_t now = std::min<uint64_t>(left_, in.size());
        in.remove_prefix(now);
        left_ -= now;
        if (left_ == 0) step_ = Step::kTag;
        return left_ == 0;
      }
    }
    return Nonsense();
  }

  // A field of `left_` bytes begins at `begin`.
  absl::Status Enter(uint64_t begin) {
    if (in_list_ && left_ > list_end_ - std::min(list_end_, begin)) return Nonsense();
    const bool wanted = field_ == 1 || field_ == 2;
    if (!in_list_ && field_ == 2 && type_ == ListKind(kind_)) {
      in_list_ = true;
      list_end_ = begin + left_;
      step_ = Step::kTag;
      return absl::OkStatus();
    }
    if (!in_list_ && field_ == 2 && type_ != kStatusKind) return NoList(kind_, type_);
    step_ = wanted ? Step::kValue : Step::kSkip;
    return wanted && left_ > kMaxFrame ? TooLarge(left_) : absl::OkStatus();
  }

  absl::Status Take(absl::string_view value, Sink sink) {
    if (in_list_ && field_ == 2) {
      sink(ListItem{DecodeObject(kind_, Encoding::kProtobuf, value)});
      return absl::OkStatus();
    }
    if (in_list_) {
      PM_ASSIGN_OR_RETURN(ListInfo info, DecodeListInfo(Encoding::kProtobuf, value));
      informed_ = true;
      sink(std::move(info));
      return absl::OkStatus();
    }
    if (field_ == 1) {
      TypeMeta type;
      PM_RETURN_IF_ERROR(ParseMessage(Encoding::kProtobuf, value, type));
      type_ = type.kind();
      return absl::OkStatus();
    }
    PM_ASSIGN_OR_RETURN(const ApiStatus status, DecodeBareStatus(Encoding::kProtobuf, value));
    return StatusForList(kind_, status.message);
  }

  static absl::Status TooLong() { return absl::DataLossError("a list is longer than it says"); }
  static absl::Status Nonsense() { return absl::DataLossError("the protobuf of the list is damaged"); }

  static constexpr uint64_t kEndless = std::numeric_limits<int64_t>::max();

  WireTaker taker_;
  Step step_ = Step::kMagic;
  uint64_t position_ = 0;
  std::string type_;  // the kind in the envelope
  bool in_list_ = false;
  uint64_t list_end_ = 0;
  bool informed_ = false;

  // Of the field under way.
  uint32_t field_ = 0;
  uint64_t left_ = 0;
};

class ProtobufWatch final : public Reader {
 public:
  using Reader::Reader;

  absl::Status Push(absl::string_view bytes, Sink sink) override {
    constexpr size_t kPrefix = 4;
    while (true) {
      const auto taken = taker_.Bytes(bytes, length_.value_or(kPrefix));
      if (!taken) return absl::OkStatus();
      if (length_) {
        length_.reset();
        PM_RETURN_IF_ERROR(Frame(*taken, sink));
        continue;
      }
      size_t length = 0;
      for (const char byte : *taken) length = length << 8 | static_cast<uint8_t>(byte);
      if (length > kMaxFrame) return TooLarge(length);
      length_ = length;
    }
  }

  absl::Status Finish() override { return !length_ && taker_.idle() ? absl::OkStatus() : CutShort(); }

 private:
  absl::Status Frame(absl::string_view frame, Sink sink) const {
    absl::string_view type;
    absl::string_view object;
    WireFields fields(frame);
    while (const std::optional<WireField> field = fields.Next()) {
      if (field->number == 1) type = field->bytes;
      if (field->number != 2) continue;
      WireFields extension(field->bytes);
      while (const std::optional<WireField> raw = extension.Next()) {
        if (raw->number == 1) object = raw->bytes;
      }
      if (!extension.ok()) return Damaged();
    }
    if (!fields.ok()) return Damaged();
    sink(MakeEvent(kind_, Encoding::kProtobuf, type, object));
    return absl::OkStatus();
  }

  static absl::Status Damaged() { return absl::DataLossError("a frame holds no watch event"); }

  WireTaker taker_;
  std::optional<size_t> length_;  // of the frame under way
};

class JsonList final : public Reader {
 public:
  explicit JsonList(Kind kind) : Reader(kind), pieces_({"kind", "metadata", "message"}, "items", kMaxFrame) {}

  absl::Status Push(absl::string_view bytes, Sink sink) override {
    return pieces_.Push(bytes, [&](const JsonPieces::Piece& piece) { return Take(piece, sink); });
  }

  absl::Status Finish() override {
    if (!pieces_.between_objects() || !over_) return CutShort();
    if (!informed_) return absl::DataLossError("the list has no metadata");
    return absl::OkStatus();
  }

 private:
  absl::Status Take(const JsonPieces::Piece& piece, Sink sink) {
    if (over_) return absl::DataLossError("something follows the list");
    if (piece.element) {
      sink(ListItem{DecodeObject(kind_, Encoding::kJson, piece.value)});
    } else if (piece.member.empty()) {
      over_ = true;
      if (failure_) return StatusForList(kind_, message_);
    } else if (piece.member == "kind") {
      const std::string kind = JsonText(piece.value).value_or("");
      failure_ = kind == kStatusKind;
      if (!failure_ && kind != ListKind(kind_)) return NoList(kind_, kind);
    } else if (piece.member == "message") {
      message_ = JsonText(piece.value).value_or("");
    } else if (!failure_) {
      PM_ASSIGN_OR_RETURN(ListInfo info, DecodeListInfo(Encoding::kJson, piece.value));
      informed_ = true;
      sink(std::move(info));
    }
    return absl::OkStatus();
  }

  JsonPieces pieces_;
  bool informed_ = false;
  bool over_ = false;
  bool failure_ = false;  // it is a Status
  std::string message_;
};

class JsonWatch final : public Reader {
 public:
  explicit JsonWatch(Kind kind) : Reader(kind), pieces_({"type", "object"}, "", kMaxFrame) {}

  absl::Status Push(absl::string_view bytes, Sink sink) override {
    return pieces_.Push(bytes, [&](const JsonPieces::Piece& piece) {
      if (piece.member == "type") {
        type_ = JsonText(piece.value).value_or("");
      } else if (piece.member == "object") {
        object_ = std::string(piece.value);
      } else {
        sink(MakeEvent(kind_, Encoding::kJson, std::exchange(type_, {}), std::exchange(object_, {})));
      }
      return absl::OkStatus();
    });
  }

  absl::Status Finish() override { return pieces_.between_objects() ? absl::OkStatus() : CutShort(); }

 private:
  JsonPieces pieces_;
  std::string type_;
  std::string object_;
};

std::unique_ptr<Reader> MakeReader(Kind kind, BodyReader::Form form, Encoding encoding) {
  if (form == BodyReader::Form::kList) {
    if (encoding == Encoding::kProtobuf) return std::make_unique<ProtobufList>(kind);
    return std::make_unique<JsonList>(kind);
  }
  if (encoding == Encoding::kProtobuf) return std::make_unique<ProtobufWatch>(kind);
  return std::make_unique<JsonWatch>(kind);
}

}  // namespace

// What has failed once stays so.
class BodyReader::Impl {
 public:
  explicit Impl(std::unique_ptr<Reader> reader) : reader_(std::move(reader)) {}

  absl::Status Push(absl::string_view bytes, Sink sink) {
    if (failed_.ok()) failed_ = AsDataLoss(reader_->Push(bytes, sink));
    return failed_;
  }
  absl::Status Finish() { return failed_.ok() ? AsDataLoss(reader_->Finish()) : failed_; }

 private:
  static absl::Status AsDataLoss(const absl::Status& status) {
    return status.ok() ? status : absl::DataLossError(status.message());
  }

  std::unique_ptr<Reader> reader_;
  absl::Status failed_;
};

BodyReader::BodyReader(Kind kind, Form form, Encoding encoding)
    : impl_(std::make_unique<Impl>(MakeReader(kind, form, encoding))) {}
BodyReader::~BodyReader() = default;
BodyReader::BodyReader(BodyReader&&) noexcept = default;
BodyReader& BodyReader::operator=(BodyReader&&) noexcept = default;

absl::Status BodyReader::Push(absl::string_view bytes, absl::FunctionRef<void(Piece)> piece) {
  return impl_->Push(bytes, piece);
}
absl::Status BodyReader::Finish() { return impl_->Finish(); }

}  // namespace pointsman::kube
