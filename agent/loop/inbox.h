// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

#include "pointsman/store.h"

namespace pointsman {

// Where sources leave objects, and the only hand-over between threads. Newest wins per key; the time of the oldest
// change not yet taken survives coalescing, and so do the trigger times of all versions of an object that is not
// deleted.
class Inbox {
 public:
  Inbox();
  ~Inbox();
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  // Leaves the changes, as one: a Take never sees half of them. `now` is steady time.
  void Put(std::vector<ObjectChange> changes, absl::Time now);

  // The source has delivered everything that exists at the moment. From then on `synced()` is true.
  void MarkSynced();
  bool synced() const;

  struct Delivery {
    ObjectBatch batch;    // all that was left since the last Take
    bool synced = false;  // with this batch, everything that the source said there is has been taken
  };
  Delivery Take();

  // An eventfd, readable after Put or MarkSynced until the next Take.
  int fd() const { return fd_; }

 private:
  struct Left {
    PackedObject object;
    Rare<std::vector<absl::Time>> triggers;
  };

  const int fd_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<ObjectKey, Left> changes_ ABSL_GUARDED_BY(mutex_);
  absl::Time oldest_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  bool synced_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace pointsman
