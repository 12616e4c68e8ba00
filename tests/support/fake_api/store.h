// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/fake_api/encode.h"

namespace pointsman::support {

// What etcd and the watch cache are to the API server: objects, a version that counts all writes, and the history.
class Store {
 public:
  using Object = std::shared_ptr<const Stored>;
  using Objects = std::vector<Object>;  // by namespace and name

  struct Change {
    Change(uint64_t v, Object b, Object a) : version(v), before(std::move(b)), after(std::move(a)) {}

    uint64_t version;
    Object before;  // null: created
    Object after;   // null: deleted
    // What a DELETED event shows, also one for an object that has left a selector: `before`, at this version. Made when
    // first needed.
    const Stored& Deleted() const;

   private:
    mutable Object deleted_;
  };
  using History = std::vector<Change>;

  void Put(const ResourceInfo& resource, const google::protobuf::Message& object);
  // Nothing if there is no such object.
  void Delete(const ResourceInfo& resource, const std::string& ns, const std::string& name);

  uint64_t version() const { return version_; }
  // Forgets all versions up to now, by being at one of its own: nobody starts from an older one any more.
  void Compact() { compacted_ = ++version_; }
  uint64_t compacted() const { return compacted_; }

  // All that ever happened to a resource, also before compaction: watches under way go on.
  const History& history(const ResourceInfo& resource) const { return Of(resource).history; }
  // Where in the history the changes after `version` begin.
  size_t After(const ResourceInfo& resource, uint64_t version) const;
  // Cost: that of a copy of pointers for the newest version and for one that was asked for last; else of replaying.
  Objects At(const ResourceInfo& resource, uint64_t version) const;

 private:
  struct Table {
    std::map<std::string, Object> objects;  // by "namespace/name"
    History history;
    uint64_t snapshot_version = 0;
    Objects snapshot;
  };
  const Table& Of(const ResourceInfo& resource) const { return tables_[resource.plural]; }

  mutable std::map<std::string, Table> tables_;
  // Versions of a fresh cluster: those below belong to what the API server itself put there.
  uint64_t version_ = 100;
  uint64_t compacted_ = 0;
  uint64_t created_ = 0;
};

}  // namespace pointsman::support
