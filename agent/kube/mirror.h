// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"

#include "agent/kube/decode.h"
#include "pointsman/diagnostic.h"
#include "pointsman/store.h"

namespace pointsman::kube {

// The objects of one kind as the server last told them, and what changed since they were last asked for.
//
// An update that changes nothing we use stops here and is counted. What is decoded equal to what is held is dropped at
// once, so that a relist costs little more than what is new.
class Mirror {
 public:
  explicit Mirror(Kind kind) : kind_(kind) {}

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
  const Object* Find(const NamespacedName& name) const;
  int64_t unchanged() const { return unchanged_; }      // updates that stopped here, single ones and in relists
  int64_t undecodable() const { return undecodable_; }  // objects that could not be read

 private:
  using Objects = absl::flat_hash_map<NamespacedName, std::shared_ptr<const Object>>;

  // Returns: what is held, if that is equal.
  std::shared_ptr<const Object> Equal(const Decoded& decoded);
  void Report(Diagnostics diagnostics);
  void Change(const NamespacedName& name, std::shared_ptr<const Object> object);

  const Kind kind_;
  Objects held_;
  Objects next_;  // of the relist
  bool relisting_ = false;
  bool doubtful_ = false;  // the relist had an object of unknown name: any that is missing may be it
  absl::flat_hash_map<NamespacedName, std::shared_ptr<const Object>> changes_;
  Diagnostics diagnostics_;
  int64_t unchanged_ = 0;
  int64_t undecodable_ = 0;
};

}  // namespace pointsman::kube
