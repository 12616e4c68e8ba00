// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"

#include "agent/kube/decode.h"
#include "pointsman/diagnostic.h"
#include "pointsman/packed.h"
#include "pointsman/store.h"

namespace pointsman::kube {

// The objects of one kind as the server last told them, and what changed since they were last asked for.
//
// An update that changes nothing we use stops here and is counted. What is decoded equal to what is held is dropped at
// once, so that a relist costs little more than what is new.
class Mirror {
 public:
  // Changes that happened before `began` are not timed.
  explicit Mirror(Kind kind, absl::Time began = absl::InfinitePast()) : kind_(kind), began_(began) {}

  // A single change, outside of a relist.
  void Upsert(Decoded decoded);
  void Remove(const NamespacedName& name);

  // Everything anew. What is collected counts once it is complete; until then what is held stays, and nothing is
  // deleted.
  void StartRelist();
  void Collect(Decoded decoded);
  void Discard(const NamespacedName& name);  // it was deleted while the list was under way
  void FinishRelist();
  bool relisting() const { return relisting_; }

  // In no particular order, at most one per key.
  std::vector<ObjectChange> TakeChanges();
  // Of the objects that changed.
  Diagnostics TakeDiagnostics();

  size_t size() const { return held_.size(); }
  PackedObject Find(const NamespacedName& name) const;  // none: not held
  int64_t unchanged() const { return unchanged_; }      // updates that stopped here, single ones and in relists
  int64_t undecodable() const { return undecodable_; }  // objects that could not be read

 private:
  // Whether that is held. Counts it then, and makes `object` what is held.
  bool Holds(PackedObject& object);
  void Report(Diagnostics diagnostics);
  void Change(const NamespacedName& name, PackedObject object);
  bool Timed(const Decoded& decoded) const { return decoded.trigger && *decoded.trigger > began_; }

  const Kind kind_;
  const absl::Time began_;
  PackedObjects held_;
  PackedObjects next_;  // of the relist
  bool relisting_ = false;
  bool doubtful_ = false;  // the relist had an object of unknown name: any that is missing may be it
  absl::flat_hash_map<NamespacedName, PackedObject> changes_;
  absl::flat_hash_map<NamespacedName, std::vector<absl::Time>> triggers_;  // of those
  absl::flat_hash_map<NamespacedName, absl::Time> next_triggers_;          // of what differs in the relist
  Diagnostics diagnostics_;
  int64_t unchanged_ = 0;
  int64_t undecodable_ = 0;
};

}  // namespace pointsman::kube
