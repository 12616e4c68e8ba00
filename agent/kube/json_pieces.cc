// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/json_pieces.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

#include "pointsman/status.h"

namespace pointsman::kube {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
bool EndsScalar(char c) { return IsSpace(c) || c == ',' || c == ']' || c == '}' || c == ':'; }

absl::Status Unexpected(absl::string_view wanted) {
  return absl::DataLossError(absl::StrCat("this is no JSON: ", wanted, " is missing"));
}

}  // namespace

JsonPieces::JsonPieces(std::vector<std::string> members, std::string list, size_t most)
    : members_(std::move(members)), list_(std::move(list)), most_(most) {}

bool JsonPieces::keeps() const {
  return state_ == State::kInKey || state_ == State::kInElement ||
         (state_ == State::kInValue && std::find(members_.begin(), members_.end(), key_) != members_.end());
}

void JsonPieces::Begin(State state, char first) {
  state_ = state;
  depth_ = 0;
  in_string_ = false;
  escaped_ = false;
  scalar_ = first != '"' && first != '{' && first != '[';
}

// Returns: whether the value ends within `bytes`; `length` is how much of them is of it.
bool JsonPieces::Scan(absl::string_view bytes, size_t& length) {
  for (size_t at = 0; at < bytes.size(); ++at) {
    const char c = bytes[at];
    if (scalar_) {
      if (!EndsScalar(c)) continue;
      length = at;
      return true;
    }
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
      }
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if (c == '}' || c == ']') {
      --depth_;
    }
    if (in_string_ || depth_ > 0) continue;
    length = at + 1;
    return true;
  }
  length = bytes.size();
  return false;
}

absl::Status JsonPieces::Ended(absl::string_view value, Taker taker) {
  switch (state_) {
    case State::kInKey:
      key_ = std::string(value.substr(1, value.size() - 2));
      state_ = State::kColon;
      return absl::OkStatus();
    case State::kInElement:
      state_ = State::kAfterElement;
      return taker({.member = list_, .value = value, .element = true});
    default: {
      const bool kept = keeps();
      state_ = State::kAfterValue;
      return kept ? taker({.member = key_, .value = value}) : absl::OkStatus();
    }
  }
}

// `c` stands between values. A state that begins a value leaves `c` to it.
absl::Status JsonPieces::AtToken(char c, Taker taker) {
  switch (state_) {
    case State::kOutside:
      if (c != '{') return Unexpected("the beginning of an object");
      state_ = State::kFirstKey;
      return absl::OkStatus();
    case State::kFirstKey:
    case State::kNextKey:
    case State::kAfterValue:
      if (c == '}' && state_ != State::kNextKey) {
        state_ = State::kOutside;
        return taker({});
      }
      if (state_ == State::kAfterValue) {
        if (c != ',') return Unexpected("a comma or the end of an object");
        state_ = State::kNextKey;
        return absl::OkStatus();
      }
      if (c != '"') return Unexpected("the name of a member");
      Begin(State::kInKey, c);
      return absl::OkStatus();
    case State::kColon:
      if (c != ':') return Unexpected("a colon");
      state_ = State::kValue;
      return absl::OkStatus();
    case State::kValue:
      if (!list_.empty() && key_ == list_ && c == '[') {
        state_ = State::kFirstElement;
        return absl::OkStatus();
      }
      if (!list_.empty() && key_ == list_ && c != 'n') return Unexpected(absl::StrCat("the list \"", list_, "\""));
      if (EndsScalar(c)) return Unexpected("a value");
      Begin(State::kInValue, c);
      return absl::OkStatus();
    case State::kFirstElement:
    case State::kNextElement:
      if (c == ']' && state_ == State::kFirstElement) {
        state_ = State::kAfterValue;
        return absl::OkStatus();
      }
      if (EndsScalar(c)) return Unexpected("an element of a list");
      Begin(State::kInElement, c);
      return absl::OkStatus();
    case State::kAfterElement:
      if (c != ',' && c != ']') return Unexpected("a comma or the end of a list");
      state_ = c == ',' ? State::kNextElement : State::kAfterValue;
      return absl::OkStatus();
    case State::kInKey:
    case State::kInValue:
    case State::kInElement:
      break;
  }
  return absl::InternalError("a value is no token");
}

absl::Status JsonPieces::Push(absl::string_view bytes, Taker taker) {
  const auto in_value = [this] {
    return state_ == State::kInKey || state_ == State::kInValue || state_ == State::kInElement;
  };
  while (!bytes.empty()) {
    if (!in_value()) {
      const char c = bytes[0];
      if (!IsSpace(c)) PM_RETURN_IF_ERROR(AtToken(c, taker));
      if (!in_value()) bytes.remove_prefix(1);
      continue;
    }
    size_t length = 0;
    const bool ended = Scan(bytes, length);
    const absl::string_view part = bytes.substr(0, length);
    bytes.remove_prefix(length);
    if (keeps()) {
      if (held_.size() + part.size() > most_) {
        return absl::DataLossError(absl::StrCat("a JSON value is larger than ", most_, " bytes"));
      }
      if (!ended || !held_.empty()) held_.append(part.data(), part.size());
    }
    if (!ended) continue;
    const std::string held = std::exchange(held_, {});
    PM_RETURN_IF_ERROR(Ended(held.empty() ? part : absl::string_view(held), taker));
  }
  return absl::OkStatus();
}

}  // namespace pointsman::kube
