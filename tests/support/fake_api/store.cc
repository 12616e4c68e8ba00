// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_api/store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "pointsman/status.h"

namespace pointsman::support {
namespace {

// As etcd's keys are ordered.
std::string Key(const std::string& ns, const std::string& name) {
  return ns.empty() ? name : absl::StrCat(ns, "/", name);
}

Store::Objects Values(const std::map<std::string, Store::Object>& objects) {
  Store::Objects values;
  values.reserve(objects.size());
  for (const auto& [key, object] : objects) values.push_back(object);
  return values;
}

}  // namespace

const Stored& Store::Change::Deleted() const {
  if (deleted_ == nullptr) deleted_ = before->At(version);
  return *deleted_;
}

void Store::Put(const ResourceInfo& resource, const google::protobuf::Message& object) {
  std::unique_ptr<google::protobuf::Message> copy(object.New());
  copy->CopyFrom(object);
  kube::ObjectMeta* meta = MetaOf(copy.get());
  PM_CHECK(!meta->name().empty());

  Table& table = tables_[resource.plural];
  Object& held = table.objects[Key(meta->namespace_(), meta->name())];
  const Object before = held;
  ++version_;
  Noise noise;
  if (held != nullptr) {
    noise = held->noise();
  } else {
    noise.uid = absl::StrFormat("6f1c1c9e-0000-4000-8000-%012d", ++created_);
  }
  if (!meta->has_creation_timestamp()) {
    if (held != nullptr) {
      *meta->mutable_creation_timestamp() = held->meta().creation_timestamp();
    } else {
      meta->mutable_creation_timestamp()->set_seconds(absl::ToUnixSeconds(absl::Now()));
    }
  }
  held = std::make_shared<const Stored>(resource, std::move(copy), version_, noise);
  table.history.emplace_back(version_, before, held);
}

void Store::Delete(const ResourceInfo& resource, const std::string& ns, const std::string& name) {
  Table& table = tables_[resource.plural];
  const auto found = table.objects.find(Key(ns, name));
  if (found == table.objects.end()) return;
  ++version_;
  table.history.emplace_back(version_, found->second, nullptr);
  table.objects.erase(found);
}

size_t Store::After(const ResourceInfo& resource, uint64_t version) const {
  const History& history = Of(resource).history;
  const auto at = std::upper_bound(history.begin(), history.end(), version,
                                   [](uint64_t wanted, const Change& change) { return wanted < change.version; });
  return static_cast<size_t>(at - history.begin());
}

Store::Objects Store::At(const ResourceInfo& resource, uint64_t version) const {
  Table& table = tables_[resource.plural];
  const size_t end = After(resource, version);
  if (end == table.history.size()) return Values(table.objects);
  if (table.snapshot_version == version) return table.snapshot;
  std::map<std::string, Object> objects;
  for (size_t i = 0; i < end; ++i) {
    const Change& change = table.history[i];
    const kube::ObjectMeta& meta = (change.after != nullptr ? change.after : change.before)->meta();
    if (change.after != nullptr) {
      objects[Key(meta.namespace_(), meta.name())] = change.after;
    } else {
      objects.erase(Key(meta.namespace_(), meta.name()));
    }
  }
  table.snapshot_version = version;
  table.snapshot = Values(objects);
  return table.snapshot;
}

}  // namespace pointsman::support
