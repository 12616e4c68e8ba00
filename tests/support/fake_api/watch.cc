// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_api/watch.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace pointsman::support {

WatchBody::WatchBody(const Store& store, const ResourceInfo& resource, Encoding encoding, Selector selector,
                     Start start)
    : store_(store),
      resource_(resource),
      encoding_(encoding),
      selector_(std::move(selector)),
      start_(std::move(start)),
      frame_{.head = std::move(start_.raw)} {}

H2Body::Part WatchBody::Read(char* to, size_t room) {
  size_t size = 0;
  const auto copy = [&](const std::string& from, size_t at) {
    const size_t part = std::min(room - size, from.size() - at);
    std::memcpy(to + size, from.data() + at, part);
    size += part;
    sent_ += part;
  };
  while (size < room) {
    const size_t tail = frame_.tail == nullptr ? 0 : frame_.tail->size();
    if (sent_ < frame_.head.size()) {
      copy(frame_.head, sent_);
    } else if (sent_ < frame_.head.size() + tail) {
      copy(*frame_.tail, sent_ - frame_.head.size());
    } else if (end_) {
      return {.size = size, .then = Then::kEnd};
    } else if (!Next()) {
      return {.size = size, .then = Then::kWait};
    }
  }
  return {.size = size, .then = Then::kMore};
}

bool WatchBody::Next() {
  sent_ = 0;
  frame_ = {};
  if (error_.has_value()) {
    frame_ = EncodeErrorEvent(*error_, encoding_);
    end_ = true;
    return true;
  }
  if (next_initial_ < start_.initial.size()) {
    frame_ = EncodeEvent("ADDED", *start_.initial[next_initial_++], encoding_);
    return true;
  }
  if (std::exchange(start_.end_bookmark, false)) {
    frame_ = EncodeBookmark(resource_, start_.version, /*initial_events_end=*/true, encoding_);
    return true;
  }
  if (!start_.follow) return false;
  if (NextChange()) return true;
  if (std::exchange(bookmark_, false)) {
    frame_ = EncodeBookmark(resource_, store_.version(), /*initial_events_end=*/false, encoding_);
    return true;
  }
  return false;
}

bool WatchBody::NextChange() {
  const Store::History& history = store_.history(resource_);
  while (start_.after < history.size()) {
    const Store::Change& change = history[start_.after++];
    if (change.version <= start_.version) continue;
    const bool before = change.before != nullptr && selector_.Matches(*change.before);
    const bool after = change.after != nullptr && selector_.Matches(*change.after);
    if (!before && !after) continue;
    if (after) {
      frame_ = EncodeEvent(before ? "MODIFIED" : "ADDED", *change.after, encoding_);
    } else {
      frame_ = EncodeEvent("DELETED", change.Deleted(), encoding_);
    }
    return true;
  }
  return false;
}

}  // namespace pointsman::support
