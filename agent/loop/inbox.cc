// SPDX-License-Identifier: Apache-2.0
#include "agent/loop/inbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>
#include <vector>

#include "pointsman/status.h"

namespace pointsman {
namespace {

// EAGAIN means the counter is full: then it is readable, which is all that is asked of it.
void Signal(int fd) {
  const uint64_t one = 1;
  while (write(fd, &one, sizeof one) < 0) {
    if (errno == EINTR) continue;
    PM_CHECK(errno == EAGAIN);
    return;
  }
}

void Drain(int fd) {
  uint64_t count = 0;
  while (read(fd, &count, sizeof count) < 0) {
    if (errno == EINTR) continue;
    PM_CHECK(errno == EAGAIN);
    return;
  }
}

}  // namespace

Inbox::Inbox() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) { PM_CHECK(fd_ >= 0); }

Inbox::~Inbox() { close(fd_); }

void Inbox::Put(std::vector<ObjectChange> changes, absl::Time now) {
  if (changes.empty()) return;
  absl::MutexLock lock(&mutex_);
  for (ObjectChange& change : changes) {
    Left& left = changes_[std::move(change.key)];
    left.object = std::move(change.object);
    if (left.object == nullptr) {
      left.triggers = {};
    } else if (left.triggers->empty()) {
      left.triggers = std::move(change.triggers);
    } else if (!change.triggers->empty()) {
      std::vector<absl::Time> all = *left.triggers;
      all.insert(all.end(), change.triggers->begin(), change.triggers->end());
      left.triggers = std::move(all);
    }
  }
  oldest_ = std::min(oldest_, now);
  Signal(fd_);
}

void Inbox::MarkSynced() {
  absl::MutexLock lock(&mutex_);
  synced_ = true;
  Signal(fd_);
}

bool Inbox::synced() const {
  absl::MutexLock lock(&mutex_);
  return synced_;
}

Inbox::Delivery Inbox::Take() {
  absl::flat_hash_map<ObjectKey, Left> changes;
  Delivery delivery;
  {
    // The eventfd changes under the mutex: drained outside of it, it could swallow the signal of a Put that came
    // between.
    absl::MutexLock lock(&mutex_);
    Drain(fd_);
    changes.swap(changes_);
    delivery.batch.oldest = std::exchange(oldest_, absl::InfiniteFuture());
    // Asked for apart, it could come true between the question and the Take, which swallows the signal of that.
    delivery.synced = synced_;
  }
  delivery.batch.changes.reserve(changes.size());
  for (auto& [key, left] : changes) {
    delivery.batch.changes.push_back({key, std::move(left.object), std::move(left.triggers)});
  }
  return delivery;
}

}  // namespace pointsman
