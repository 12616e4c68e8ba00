// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/mirror.h"

#include <iterator>
#include <utility>

namespace pointsman::kube {
namespace {

void Replace(PackedObjects& objects, const PackedObject& object) {
  objects.erase(object);
  objects.insert(object);
}

}  // namespace

void Mirror::Upsert(Decoded decoded) {
  if (decoded.object == nullptr) {
    ++undecodable_;
    Report(std::move(decoded.diagnostics));
    return;
  }
  PackedObject object(*decoded.object);
  if (Holds(object)) return;
  Report(std::move(decoded.diagnostics));
  Replace(held_, object);
  if (Timed(decoded)) triggers_[decoded.key.name].push_back(*decoded.trigger);
  Change(decoded.key.name, std::move(object));
}

void Mirror::Remove(const NamespacedName& name) {
  if (held_.erase(name) > 0) Change(name, nullptr);
}

void Mirror::StartRelist() {
  next_.clear();
  next_triggers_.clear();
  relisting_ = true;
  doubtful_ = false;
}

void Mirror::Collect(Decoded decoded) {
  if (decoded.object == nullptr) {
    ++undecodable_;
    Report(std::move(decoded.diagnostics));
    if (decoded.key.name.name.empty()) {
      doubtful_ = true;
    } else if (const auto held = held_.find(decoded.key.name); held != held_.end()) {
      next_.insert(*held);  // its last good version, unless there is a newer one
    }
    return;
  }
  PackedObject object(*decoded.object);
  const bool equal = Holds(object);
  if (!equal) Report(std::move(decoded.diagnostics));
  // What the list tells last is what it comes to.
  next_triggers_.erase(decoded.key.name);
  if (!equal && Timed(decoded)) next_triggers_[decoded.key.name] = *decoded.trigger;
  Replace(next_, object);
}

void Mirror::Discard(const NamespacedName& name) {
  next_.erase(name);
  next_triggers_.erase(name);
}

void Mirror::FinishRelist() {
  for (const PackedObject& object : held_) {
    if (next_.contains(object)) continue;
    if (doubtful_) {
      next_.insert(object);
    } else {
      Change(object.name().Copy(), nullptr);
    }
  }
  for (const PackedObject& object : next_) {
    const auto held = held_.find(object);
    if (held == held_.end() || *held != object) Change(object.name().Copy(), object);
  }
  for (const auto& [name, trigger] : std::exchange(next_triggers_, {})) triggers_[name].push_back(trigger);
  held_ = std::exchange(next_, {});
  relisting_ = false;
}

std::vector<ObjectChange> Mirror::TakeChanges() {
  std::vector<ObjectChange> changes;
  changes.reserve(changes_.size());
  for (auto& [name, object] : std::exchange(changes_, {})) {
    ObjectChange& change = changes.emplace_back(ObjectChange{{kind_, name}, std::move(object)});
    if (const auto timed = triggers_.find(name); timed != triggers_.end()) change.triggers = std::move(timed->second);
  }
  triggers_.clear();
  return changes;
}

Diagnostics Mirror::TakeDiagnostics() { return std::exchange(diagnostics_, {}); }

PackedObject Mirror::Find(const NamespacedName& name) const {
  const auto held = held_.find(name);
  return held == held_.end() ? nullptr : *held;
}

bool Mirror::Holds(PackedObject& object) {
  const auto held = held_.find(object);
  if (held == held_.end() || *held != object) return false;
  ++unchanged_;
  object = *held;
  return true;
}

void Mirror::Report(Diagnostics diagnostics) {
  diagnostics_.insert(diagnostics_.end(), std::make_move_iterator(diagnostics.begin()),
                      std::make_move_iterator(diagnostics.end()));
}

void Mirror::Change(const NamespacedName& name, PackedObject object) {
  // What is gone is not measured: the time it carried is that of its last update.
  if (object == nullptr) triggers_.erase(name);
  changes_[name] = std::move(object);
}

}  // namespace pointsman::kube
