// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tests/support/fake_api/encode.h"
#include "tests/support/fake_api/h2_server.h"
#include "tests/support/fake_api/selector.h"
#include "tests/support/fake_api/store.h"

namespace pointsman::support {

// The body of a watch: what it starts with, then the store's history as it goes on.
class WatchBody : public H2Body {
 public:
  struct Start {
    std::string raw;            // bytes in front of all else
    Store::Objects initial;     // as ADDED events
    bool end_bookmark = false;  // after them
    bool follow = true;         // the history
    size_t after = 0;           // where in the history to begin
    uint64_t version = 0;       // no change up to this one, and the version of the first bookmark
  };

  WatchBody(const Store& store, const ResourceInfo& resource, Encoding encoding, Selector selector, Start start);

  Part Read(char* to, size_t room) override;

  const ResourceInfo& resource() const { return resource_; }
  // Each of these takes effect after the event that is being sent; Resume the stream after it.
  void Bookmark() { bookmark_ = true; }
  void End() { end_ = true; }
  void Fail(const kube::Status& status) { error_ = status; }

 private:
  bool Next();
  bool NextChange();

  const Store& store_;
  const ResourceInfo& resource_;
  Encoding encoding_;
  Selector selector_;
  Start start_;
  size_t next_initial_ = 0;
  bool bookmark_ = false;
  bool end_ = false;
  std::optional<kube::Status> error_;
  Frame frame_;  // being sent
  size_t sent_ = 0;
};

}  // namespace pointsman::support
