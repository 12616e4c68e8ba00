// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_api/encode.h"

#include <google/protobuf/unknown_field_set.h>
#include <google/protobuf/util/json_util.h>

#include <utility>

#include "absl/strings/str_cat.h"

#include "pointsman/status.h"

namespace pointsman::support {
namespace {

using ::google::protobuf::Message;
using ::google::protobuf::UnknownFieldSet;

constexpr ResourceInfo kResources[] = {
    {.plural = "services", .group = "", .api_version = "v1", .kind = "Service", .path = "/api/v1/services"},
    {.plural = "nodes", .group = "", .api_version = "v1", .kind = "Node", .path = "/api/v1/nodes"},
    {.plural = "endpointslices",
     .group = "discovery.k8s.io",
     .api_version = "discovery.k8s.io/v1",
     .kind = "EndpointSlice",
     .path = "/apis/discovery.k8s.io/v1/endpointslices"},
    {.plural = "servicecidrs",
     .group = "networking.k8s.io",
     .api_version = "networking.k8s.io/v1",
     .kind = "ServiceCIDR",
     .path = "/apis/networking.k8s.io/v1/servicecidrs"},
};

constexpr char kManagedFields[] =
    R"({"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/last-applied-configuration":{}},)"
    R"("f:labels":{".":{},"f:kubernetes.io/service-name":{}}},"f:spec":{"f:clusterIP":{},"f:ports":{".":{}}}})";

std::string Varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(0x80 | (value & 0x7f));
  out += static_cast<char>(value);
  return out;
}

void AppendField(std::string* out, uint64_t number, absl::string_view bytes) {
  absl::StrAppend(out, Varint(number << 3 | 2), Varint(bytes.size()), bytes);
}

std::string Field(uint64_t number, absl::string_view bytes) {
  std::string out;
  AppendField(&out, number, bytes);
  return out;
}

std::string Envelope(absl::string_view api_version, absl::string_view kind, absl::string_view raw) {
  std::string out("k8s\0", 4);
  out.reserve(raw.size() + 64);
  AppendField(&out, 1, Field(1, api_version) + Field(2, kind));
  AppendField(&out, 2, raw);
  AppendField(&out, 3, "");  // contentEncoding
  AppendField(&out, 4, "");  // contentType
  return out;
}

std::string Json(const Message& message) {
  std::string out;
  PM_CHECK(google::protobuf::util::MessageToJsonString(message, &out).ok());
  return out;
}

// Puts members at the beginning of the object that follows `key`, if there is one. In a string the quotes of `key`
// would be escaped, so that it is none.
void AddMembers(std::string* json, absl::string_view key, absl::string_view members) {
  size_t at = json->find(key.data(), 0, key.size());
  if (at == std::string::npos) return;
  at += key.size();
  json->insert(at, absl::StrCat(members, (*json)[at] == '}' ? "" : ","));
}

std::string TypeMembers(absl::string_view api_version, absl::string_view kind) {
  return absl::StrCat(R"("kind":")", kind, R"(","apiVersion":")", api_version, "\"");
}

UnknownFieldSet* Unknown(Message* message) { return message->GetReflection()->MutableUnknownFields(message); }

void AddUnknown(kube::ObjectMeta* meta, const Noise& noise) {
  UnknownFieldSet* fields = Unknown(meta);
  fields->AddLengthDelimited(2, "");  // generateName
  fields->AddLengthDelimited(4, "");  // selfLink
  fields->AddLengthDelimited(5, noise.uid);
  fields->AddVarint(7, 1);  // generation
  std::string entry = Field(1, noise.manager) + Field(2, "Update") + Field(3, "v1") + Field(6, "FieldsV1");
  AppendField(&entry, 7, Field(1, kManagedFields));
  AppendField(&entry, 8, "");
  fields->AddLengthDelimited(17, entry);
}

std::string UnknownMembers(const Noise& noise) {
  return absl::StrCat(R"("uid":")", noise.uid, R"(","generation":1,"managedFields":[{"manager":")", noise.manager,
                      R"(","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":)", kManagedFields,
                      "}]");
}

// metav1.Condition
const std::string& Condition() {
  static const auto& condition =
      *new std::string(Field(1, "Ready") + Field(2, "True") + Field(5, "Recorded") + Field(6, "as the test says"));
  return condition;
}
constexpr char kConditions[] =
    R"("conditions":[{"type":"Ready","status":"True","reason":"Recorded","message":"as the test says"}])";

void AddUnknown(kube::Service* service) {
  UnknownFieldSet* spec = Unknown(service->mutable_spec());
  spec->AddLengthDelimited(2, Field(1, "app") + Field(2, service->metadata().name()));  // selector
  spec->AddVarint(13, 0);                                                               // publishNotReadyAddresses
  spec->AddLengthDelimited(17, "SingleStack");                                          // ipFamilyPolicy
  Unknown(service->mutable_status())->AddLengthDelimited(2, Condition());
  for (kube::ServicePort& port : *service->mutable_spec()->mutable_ports()) {
    Unknown(&port)->AddLengthDelimited(4, std::string("\x08\x00\x10\x90\x3f\x1a\x00", 7));  // targetPort 8080
  }
}

void AddUnknown(kube::Node* node) {
  std::string condition = Field(1, "Ready") + Field(2, "True") + Field(5, "KubeletReady");
  Unknown(node->mutable_status())->AddLengthDelimited(4, condition);
}

void AddUnknown(kube::EndpointSlice* slice) {
  for (kube::Endpoint& endpoint : *slice->mutable_endpoints()) {
    UnknownFieldSet* fields = Unknown(&endpoint);
    fields->AddLengthDelimited(4, Field(1, "Pod") + Field(2, "shop") + Field(3, "pod"));  // targetRef
    fields->AddLengthDelimited(7, "zone-1");                                              // zone
  }
}

void AddUnknown(kube::ServiceCIDR* cidr) {
  Unknown(cidr)->AddLengthDelimited(3, Field(1, Condition()));  // status
}

template <typename F>
void Visit(Message* object, F act) {
  if (auto* service = dynamic_cast<kube::Service*>(object)) {
    act(service);
  } else if (auto* node = dynamic_cast<kube::Node*>(object)) {
    act(node);
  } else if (auto* slice = dynamic_cast<kube::EndpointSlice*>(object)) {
    act(slice);
  } else if (auto* cidr = dynamic_cast<kube::ServiceCIDR*>(object)) {
    act(cidr);
  } else {
    PM_CHECK(false);
  }
}

size_t Index(Encoding encoding) { return static_cast<size_t>(encoding); }

Frame MakeFrame(absl::string_view type, std::shared_ptr<const std::string> tail, Encoding encoding) {
  if (encoding == Encoding::kJson) return {.head = absl::StrCat(R"({"type":")", type, "\","), .tail = std::move(tail)};
  std::string event = Field(1, type);
  const size_t size = event.size() + tail->size();
  std::string head;
  for (const int shift : {24, 16, 8, 0}) head += static_cast<char>(size >> shift);
  return {.head = head + event, .tail = std::move(tail)};
}

// Of what stands in a RawExtension.
std::shared_ptr<const std::string> Tail(absl::string_view object, Encoding encoding) {
  if (encoding == Encoding::kJson)
    return std::make_shared<const std::string>(absl::StrCat("\"object\":", object, "}\n"));
  return std::make_shared<const std::string>(Field(2, Field(1, object)));
}

}  // namespace

const ResourceInfo* ResourceInfo::ByPlural(absl::string_view plural) {
  for (const ResourceInfo& resource : kResources) {
    if (plural == resource.plural) return &resource;
  }
  return nullptr;
}

const ResourceInfo* ResourceInfo::ByPath(absl::string_view path) {
  for (const ResourceInfo& resource : kResources) {
    if (path == resource.path) return &resource;
  }
  return nullptr;
}

kube::ObjectMeta* MetaOf(Message* object) {
  kube::ObjectMeta* meta = nullptr;
  Visit(object, [&](auto* known) { meta = known->mutable_metadata(); });
  return meta;
}

Stored::Stored(const ResourceInfo& resource, std::unique_ptr<Message> object, uint64_t version, const Noise& noise)
    : resource_(resource), object_(std::move(object)), meta_(MetaOf(object_.get())), noise_(noise) {
  AddUnknown(meta_, noise_);
  Visit(object_.get(), [](auto* known) { AddUnknown(known); });
  (*meta_->mutable_annotations())["kubectl.kubernetes.io/last-applied-configuration"] =
      absl::StrCat(R"({"apiVersion":")", resource.api_version, R"(","kind":")", resource.kind,
                   R"(","metadata":{"name":")", meta_->name(), "\"}}\n");
  SetVersion(version);
}

Stored::Stored(const Stored& other, uint64_t version)
    : resource_(other.resource_), object_(other.object_->New()), noise_(other.noise_) {
  object_->CopyFrom(*other.object_);
  meta_ = MetaOf(object_.get());
  SetVersion(version);
}

void Stored::SetVersion(uint64_t version) {
  version_ = version;
  meta_->set_resource_version(absl::StrCat(version));
}

std::string Stored::cluster_ip() const {
  const auto* service = dynamic_cast<const kube::Service*>(object_.get());
  return service == nullptr ? "" : service->spec().cluster_ip();
}

std::shared_ptr<const Stored> Stored::At(uint64_t version) const {
  return std::shared_ptr<const Stored>(new Stored(*this, version));
}

const std::string& Stored::Item(Encoding encoding) const {
  std::string& item = items_[Index(encoding)];
  if (!item.empty()) return item;
  if (encoding == Encoding::kProtobuf) {
    PM_CHECK(object_->SerializeToString(&item));
    return item;
  }
  item = Json(*object_);
  AddMembers(&item, R"("metadata":{)", UnknownMembers(noise_));
  const absl::string_view kind = resource_.kind;
  if (kind == "Service") {
    AddMembers(&item, R"("spec":{)",
               absl::StrCat(R"("selector":{"app":")", meta_->name(), R"("},"ipFamilyPolicy":"SingleStack")"));
    AddMembers(&item, R"("status":{)", kConditions);
  }
  if (kind == "Node") AddMembers(&item, R"("status":{)", kConditions);
  if (kind == "ServiceCIDR") item.insert(item.size() - 1, absl::StrCat(R"(,"status":{)", kConditions, "}"));
  return item;
}

const std::shared_ptr<const std::string>& Stored::EventTail(Encoding encoding) const {
  std::shared_ptr<const std::string>& tail = tails_[Index(encoding)];
  if (tail != nullptr) return tail;
  if (encoding == Encoding::kProtobuf) {
    tail = Tail(Envelope(resource_.api_version, resource_.kind, Item(encoding)), encoding);
  } else {
    std::string object = Item(encoding);
    AddMembers(&object, "{", TypeMembers(resource_.api_version, resource_.kind));
    tail = Tail(object, encoding);
  }
  return tail;
}

std::string EncodeList(const ResourceInfo& resource, Encoding encoding,
                       const std::vector<std::shared_ptr<const Stored>>& items, uint64_t version,
                       const std::string& continue_token, std::optional<int64_t> remaining) {
  const std::string kind = absl::StrCat(resource.kind, "List");
  size_t size = 256;
  for (const auto& item : items) size += item->Item(encoding).size() + 8;
  std::string out;
  out.reserve(size);
  if (encoding == Encoding::kProtobuf) {
    std::string meta = Field(1, "") + Field(2, absl::StrCat(version)) + Field(3, continue_token);
    if (remaining.has_value()) absl::StrAppend(&meta, "\x20", Varint(static_cast<uint64_t>(*remaining)));
    AppendField(&out, 1, meta);
    for (const auto& item : items) AppendField(&out, 2, item->Item(encoding));
    return Envelope(resource.api_version, kind, out);
  }
  absl::StrAppend(&out, "{", TypeMembers(resource.api_version, kind), R"(,"metadata":{"resourceVersion":")", version,
                  "\"");
  if (!continue_token.empty()) absl::StrAppend(&out, R"(,"continue":")", continue_token, "\"");
  if (remaining.has_value()) absl::StrAppend(&out, R"(,"remainingItemCount":)", *remaining);
  absl::StrAppend(&out, R"(},"items":[)");
  const char* comma = "";
  for (const auto& item : items) absl::StrAppend(&out, std::exchange(comma, ","), item->Item(encoding));
  absl::StrAppend(&out, "]}\n");
  return out;
}

Frame EncodeEvent(absl::string_view type, const Stored& object, Encoding encoding) {
  return MakeFrame(type, object.EventTail(encoding), encoding);
}

Frame EncodeBookmark(const ResourceInfo& resource, uint64_t version, bool initial_events_end, Encoding encoding) {
  kube::ObjectMeta meta;
  meta.set_resource_version(absl::StrCat(version));
  if (initial_events_end) (*meta.mutable_annotations())["k8s.io/initial-events-end"] = "true";
  const absl::string_view kind = resource.kind;
  if (encoding == Encoding::kJson) {
    const char* rest = "";
    if (kind == "Service") rest = R"(,"spec":{},"status":{"loadBalancer":{}})";
    if (kind == "EndpointSlice") rest = R"(,"addressType":"","endpoints":null,"ports":null)";
    if (kind == "Node" || kind == "ServiceCIDR") rest = R"(,"spec":{},"status":{})";
    return MakeFrame(
        "BOOKMARK",
        Tail(absl::StrCat("{", TypeMembers(resource.api_version, kind), R"(,"metadata":)", Json(meta), rest, "}"),
             encoding),
        encoding);
  }
  for (const int number : {2, 4, 5}) Unknown(&meta)->AddLengthDelimited(number, "");
  meta.set_name("");
  meta.set_namespace_("");
  std::string object = Field(1, meta.SerializeAsString());
  if (kind == "Service") AppendField(&object, 2, Field(3, "") + Field(4, "") + Field(7, ""));
  if (kind == "EndpointSlice") AppendField(&object, 4, "");
  return MakeFrame("BOOKMARK", Tail(Envelope(resource.api_version, kind, object), encoding), encoding);
}

Frame EncodeErrorEvent(const kube::Status& status, Encoding encoding) {
  std::string object = EncodeStatus(status, encoding);
  if (encoding == Encoding::kJson) object.pop_back();  // the line's end
  return MakeFrame("ERROR", Tail(object, encoding), encoding);
}

std::string EncodeStatus(const kube::Status& status, Encoding encoding, const std::string& name,
                         const std::string& continue_token) {
  if (encoding == Encoding::kProtobuf) {
    kube::Status full = status;
    Unknown(&full)->AddLengthDelimited(1, Field(1, "") + Field(2, "") + Field(3, continue_token));
    if (!name.empty()) Unknown(full.mutable_details())->AddLengthDelimited(1, name);
    return Envelope("v1", "Status", full.SerializeAsString());
  }
  std::string json = Json(status);
  if (!name.empty()) AddMembers(&json, R"("details":{)", absl::StrCat(R"("name":")", name, "\""));
  AddMembers(&json, "{",
             absl::StrCat(TypeMembers("v1", "Status"), R"(,"metadata":{)",
                          continue_token.empty() ? "" : absl::StrCat(R"("continue":")", continue_token, "\""), "}"));
  return json + "\n";
}

}  // namespace pointsman::support
