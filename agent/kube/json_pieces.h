// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace pointsman::kube {

// Takes JSON objects, one after the other, apart while they come in: into the members asked for, and the elements of
// one member that is a list. Nothing else is kept.
//
// It knows where values end, and not whether they are right: that is for whoever parses them.
class JsonPieces {
 public:
  struct Piece {
    absl::string_view member;  // empty: the object is over
    absl::string_view value;   // JSON text, valid during the call
    bool element = false;      // `value` is one of the list
  };
  using Taker = absl::FunctionRef<absl::Status(const Piece&)>;

  // `list` may be empty; null in its place is an empty list. A piece has at most `most` bytes.
  JsonPieces(std::vector<std::string> members, std::string list, size_t most);

  // Errors: kDataLoss: this is no sequence of objects, or a piece is too large. What `taker` returns, at once.
  absl::Status Push(absl::string_view bytes, Taker taker);

  // There is no object begun and not ended.
  bool between_objects() const { return state_ == State::kOutside; }

 private:
  enum class State : uint8_t {
    kOutside,
    kFirstKey,
    kNextKey,
    kInKey,
    kColon,
    kValue,
    kInValue,
    kAfterValue,
    kFirstElement,
    kNextElement,
    kInElement,
    kAfterElement,
  };

  absl::Status AtToken(char c, Taker taker);
  void Begin(State state, char first);
  bool Scan(absl::string_view bytes, size_t& length);
  absl::Status Ended(absl::string_view value, Taker taker);
  bool keeps() const;

  const std::vector<std::string> members_;
  const std::string list_;
  const size_t most_;

  State state_ = State::kOutside;
  std::string key_;
  std::string held_;  // what came of the value in earlier chunks

  // Of the value under way.
  int64_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  bool scalar_ = false;  // a number or a word: it ends before what cannot be of it
};

}  // namespace pointsman::kube
