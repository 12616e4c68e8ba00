// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/mirror.h"

#include <iterator>
#include <utility>

namespace pointsman::kube {

void Mirror::Upsert(Decoded decoded) {
  if (decoded.object == nullptr) {
    ++undecodable_;
    Report(std::move(decoded.diagnostics));
    return;
  }
  if (Equal(decoded) != nullptr) return;
  Report(std::move(decoded.diagnostics));
  held_[decoded.key.name] = decoded.object;
  Change(decoded.key.name, std::move(decoded.object));
}

void Mirror::Remove(const NamespacedName& name) {
  if (held_.erase(name) > 0) Change(name, nullptr);
}

void Mirror::StartRelist() {
  next_.clear();
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
      next_.try_emplace(decoded.key.name, held->second);  // its last good version, unless there is a newer one
    }
    return;
  }
  std::shared_ptr<const Object> equal = Equal(decoded);
  if (equal == nullptr) Report(std::move(decoded.diagnostics));
  next_[decoded.key.name] = equal != nullptr ? std::move(equal) : std::move(decoded.object);
}

void Mirror::Discard(const NamespacedName& name) { next_.erase(name); }

void Mirror::FinishRelist() {
  for (const auto& [name, object] : held_) {
    if (next_.contains(name)) continue;
    if (doubtful_) {
      next_[name] = object;
    } else {
      Change(name, nullptr);
    }
  }
  for (const auto& [name, object] : next_) {
    const auto held = held_.find(name);
    if (held == held_.end() || held->second != object) Change(name, object);
  }
  held_ = std::exchange(next_, {});
  relisting_ = false;
}

std::vector<ObjectChange> Mirror::TakeChanges() {
  std::vector<ObjectChange> changes;
  changes.reserve(changes_.size());
  for (auto& [name, object] : std::exchange(changes_, {})) changes.push_back({{kind_, name}, std::move(object)});
  return changes;
}

Diagnostics Mirror::TakeDiagnostics() { return std::exchange(diagnostics_, {}); }

const Object* Mirror::Find(const NamespacedName& name) const {
  const auto held = held_.find(name);
  return held == held_.end() ? nullptr : held->second.get();
}

std::shared_ptr<const Object> Mirror::Equal(const Decoded& decoded) {
  const auto held = held_.find(decoded.key.name);
  if (held == held_.end() || *held->second != *decoded.object) return nullptr;
  ++unchanged_;
  return held->second;
}

void Mirror::Report(Diagnostics diagnostics) {
  diagnostics_.insert(diagnostics_.end(), std::make_move_iterator(diagnostics.begin()),
                      std::make_move_iterator(diagnostics.end()));
}

void Mirror::Change(const NamespacedName& name, std::shared_ptr<const Object> object) {
  changes_[name] = std::move(object);
}

}  // namespace pointsman::kube
