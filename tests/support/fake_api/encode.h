// SPDX-License-Identifier: Apache-2.0
//
// Objects, lists, watch events and statuses as an API server writes them, protobuf and JSON.
#pragma once

#include <google/protobuf/message.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

#include "agent/kube/api.pb.h"

namespace pointsman::support {

enum class Encoding : uint8_t { kProtobuf, kJson };

struct ResourceInfo {
  const char* plural;
  const char* group;  // empty: the core's
  const char* api_version;
  const char* kind;
  const char* path;

  static const ResourceInfo* ByPlural(absl::string_view plural);  // null: not served
  static const ResourceInfo* ByPath(absl::string_view path);
};

// What only the real object has, and is written around what our messages hold: clients must drop it.
struct Noise {
  std::string uid;
  std::string manager = "kubectl-client-side-apply";
};

// One version of an object. Its serialised forms are made when first needed, and kept.
class Stored {
 public:
  // Takes `object`, puts `version` into it, and noise around what it has.
  Stored(const ResourceInfo& resource, std::unique_ptr<google::protobuf::Message> object, uint64_t version,
         const Noise& noise);

  const ResourceInfo& resource() const { return resource_; }
  const kube::ObjectMeta& meta() const { return *meta_; }
  uint64_t version() const { return version_; }
  const Noise& noise() const { return noise_; }
  std::string cluster_ip() const;
  // The same object at another version, as DELETED events show it.
  std::shared_ptr<const Stored> At(uint64_t version) const;

  // As an element of a list: protobuf without envelope, JSON without kind and apiVersion.
  const std::string& Item(Encoding encoding) const;
  // As the object of a watch event: what follows the event's type.
  const std::shared_ptr<const std::string>& EventTail(Encoding encoding) const;

 private:
  Stored(const Stored& other, uint64_t version);
  void SetVersion(uint64_t version);

  const ResourceInfo& resource_;
  std::unique_ptr<google::protobuf::Message> object_;
  kube::ObjectMeta* meta_;  // of object_
  uint64_t version_ = 0;
  Noise noise_;
  mutable std::array<std::string, 2> items_;
  mutable std::array<std::shared_ptr<const std::string>, 2> tails_;
};

// The metadata of any of the objects that are served.
kube::ObjectMeta* MetaOf(google::protobuf::Message* object);

// Bytes of a watch in two parts, the second of which is shared by all watches.
struct Frame {
  std::string head;
  std::shared_ptr<const std::string> tail;
};

std::string EncodeList(const ResourceInfo& resource, Encoding encoding,
                       const std::vector<std::shared_ptr<const Stored>>& items, uint64_t version,
                       const std::string& continue_token, std::optional<int64_t> remaining);

Frame EncodeEvent(absl::string_view type, const Stored& object, Encoding encoding);
Frame EncodeBookmark(const ResourceInfo& resource, uint64_t version, bool initial_events_end, Encoding encoding);
Frame EncodeErrorEvent(const kube::Status& status, Encoding encoding);

// Inputs:  `name` goes to details.name, `continue_token` to metadata.continue; both may be empty.
std::string EncodeStatus(const kube::Status& status, Encoding encoding, const std::string& name = "",
                         const std::string& continue_token = "");

}  // namespace pointsman::support
