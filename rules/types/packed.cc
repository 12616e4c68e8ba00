// SPDX-License-Identifier: Apache-2.0
//
// An object's bytes: its kind, its name, its labels, and then what else it has. What the objects of a cluster have in
// common, and the endpoints of a slice with each other, is not repeated.
#include "pointsman/packed.h"

#include <array>
#include <cstring>
#include <new>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "rules/types/pack.h"

namespace pointsman {
namespace {

// Labels known by number; one more than their index.
constexpr std::array<const char*, 5> kLabels = {kServiceNameLabel, kServiceProxyNameLabel, kHeadlessLabel, kZoneLabel,
                                                kAppLabel};

size_t NumberOfLabel(absl::string_view key) {
  for (size_t i = 0; i < kLabels.size(); ++i) {
    if (key == kLabels[i]) return i + 1;
  }
  return 0;
}

// --- name and labels: also read alone, without copying anything

NameView ReadName(PackReader& reader) {
  const absl::string_view ns = reader.View();
  return {ns, reader.View()};
}

// A value that the object's own name begins with is the name's: slices are named after their Service.
void WriteLabels(PackWriter& writer, const ObjectMeta& meta) {
  writer.Number(meta.labels.size());
  for (const auto& [key, value] : meta.labels) {
    const size_t number = NumberOfLabel(key);
    writer.Number(number);
    if (number == 0) writer.Text(key);
    const bool in_name = absl::string_view(meta.name.name).substr(0, value.size()) == value;
    writer.Number(value.size() * 2 + (in_name ? 1 : 0));
    if (!in_name) writer.Bytes(value);
  }
}

template <typename Each>
void ReadLabels(PackReader& reader, absl::string_view name, Each each) {
  size_t count = 0;
  for (reader.Number(count); count > 0; --count) {
    size_t number = 0;
    reader.Number(number);
    const absl::string_view key = number == 0 ? reader.View() : kLabels[number - 1];
    size_t size = 0;
    reader.Number(size);
    const bool in_name = size % 2 == 1;
    each(key, in_name ? name.substr(0, size / 2) : reader.Take(size / 2));
  }
}

void WriteMeta(PackWriter& writer, const ObjectMeta& meta) {
  writer.Text(meta.name.ns);
  writer.Text(meta.name.name);
  WriteLabels(writer, meta);
  writer.Span(meta.creation - absl::UnixEpoch());
}

ObjectMeta ReadMeta(PackReader& reader) {
  ObjectMeta meta;
  const NameView name = ReadName(reader);
  meta.name = {std::string(name.ns), std::string(name.name)};
  ReadLabels(reader, name.name, [&](absl::string_view key, absl::string_view value) {
    meta.labels.emplace_hint(meta.labels.end(), key, value);
  });
  absl::Duration since_epoch;
  reader.Span(since_epoch);
  meta.creation = absl::UnixEpoch() + since_epoch;
  return meta;
}

// --- the rest: `code` writes or reads

template <typename Code, typename T>
using Given = std::conditional_t<Code::kReads, T, const T>;

template <typename Code>
void Texts(Code& code, auto& list) {
  code.ForEach(list, [&](auto& text) { code.Text(text); });
}

template <typename Code>
void Addresses(Code& code, auto& list) {
  code.ForEach(list, [&](auto& text) { code.Address(text); });
}

template <typename Code>
void Fields(Code& code, Given<Code, Service>& service) {
  code.Byte(service.type);
  Addresses(code, service.cluster_ips);
  code.ForEach(service.ip_families, [&](auto& family) { code.Byte(family); });
  code.ForEach(service.ports, [&](auto& port) {
    code.Text(port.name);
    code.Byte(port.protocol);
    code.Number(port.port);
    code.Number(port.node_port);
  });
  Addresses(code, service.external_ips);
  code.ForEach(service.ingress, [&](auto& ingress) {
    code.Address(ingress.ip);
    code.Byte(ingress.mode);
  });
  Texts(code, service.source_ranges);
  code.Byte(service.internal_policy);
  code.Byte(service.external_policy);
  if (code.Has(service.client_ip_affinity)) code.Span(*service.client_ip_affinity);
  code.Number(service.health_check_node_port);
}

// What the endpoint before had, which the next one's is like.
struct Neighbour {
  std::string node_name;
  std::string zone_hint;
};

enum EndpointFlag : uint8_t {
  kReady = 1 << 0,
  kServing = 1 << 1,
  kTerminating = 1 << 2,
  kHasNodeName = 1 << 3,
  kHasZoneHints = 1 << 4,
  kHasNodeHints = 1 << 5,
  kOneIpv4 = 1 << 6,  // its one address, in canonical spelling
  kOneIpv6 = 1 << 7,
};

uint8_t FlagsOf(const SliceEndpoint& endpoint, const std::optional<IpAddr>& addr) {
  uint8_t flags = 0;
  const auto set = [&](EndpointFlag flag, bool is) { flags = static_cast<uint8_t>(is ? flags | flag : flags); };
  set(kReady, endpoint.ready);
  set(kServing, endpoint.serving);
  set(kTerminating, endpoint.terminating);
  set(kHasNodeName, endpoint.node_name.has_value());
  set(kHasZoneHints, !endpoint.zone_hints->empty());
  set(kHasNodeHints, !endpoint.node_hints->empty());
  set(kOneIpv4, addr && addr->family() == Family::kIpv4);
  set(kOneIpv6, addr && addr->family() == Family::kIpv6);
  return flags;
}

void WriteEndpoint(PackWriter& writer, const SliceEndpoint& endpoint, Neighbour& neighbour) {
  const std::optional<IpAddr> addr =
      endpoint.addresses.size() == 1 ? ParseCanonicalIp(endpoint.addresses[0]) : std::nullopt;
  const uint8_t flags = FlagsOf(endpoint, addr);
  writer.Byte(flags);
  if (addr) {
    writer.IpBytes(*addr);
  } else {
    Addresses(writer, endpoint.addresses);
  }
  if (endpoint.node_name) {
    writer.Like(neighbour.node_name, *endpoint.node_name);
    neighbour.node_name = *endpoint.node_name;
  }
  if ((flags & kHasZoneHints) != 0) {
    writer.ForEach(*endpoint.zone_hints, [&](const std::string& hint) {
      writer.Like(neighbour.zone_hint, hint);
      neighbour.zone_hint = hint;
    });
  }
  if ((flags & kHasNodeHints) != 0) {
    writer.ForEach(*endpoint.node_hints, [&](const std::string& hint) { writer.Like(neighbour.node_name, hint); });
  }
}

void ReadEndpoint(PackReader& reader, SliceEndpoint& endpoint, Neighbour& neighbour) {
  uint8_t flags = 0;
  reader.Byte(flags);
  endpoint.ready = (flags & kReady) != 0;
  endpoint.serving = (flags & kServing) != 0;
  endpoint.terminating = (flags & kTerminating) != 0;
  if ((flags & (kOneIpv4 | kOneIpv6)) != 0) {
    reader.IpBytes((flags & kOneIpv4) != 0 ? Family::kIpv4 : Family::kIpv6, endpoint.addresses.emplace_back());
  } else {
    Addresses(reader, endpoint.addresses);
  }
  if ((flags & kHasNodeName) != 0) {
    reader.Like(neighbour.node_name, endpoint.node_name.emplace());
    neighbour.node_name = *endpoint.node_name;
  }
  if ((flags & kHasZoneHints) != 0) {
    std::vector<std::string> hints;
    reader.ForEach(hints, [&](std::string& hint) {
      reader.Like(neighbour.zone_hint, hint);
      neighbour.zone_hint = hint;
    });
    endpoint.zone_hints = std::move(hints);
  }
  if ((flags & kHasNodeHints) != 0) {
    std::vector<std::string> hints;
    reader.ForEach(hints, [&](std::string& hint) { reader.Like(neighbour.node_name, hint); });
    endpoint.node_hints = std::move(hints);
  }
}

template <typename Code>
void Fields(Code& code, Given<Code, EndpointSlice>& slice) {
  if (code.Has(slice.address_type)) code.Byte(*slice.address_type);
  code.ForEach(slice.ports, [&](auto& port) {
    if (code.Has(port.name)) code.Text(*port.name);
    code.Byte(port.protocol);
    if (code.Has(port.port)) code.Number(*port.port);
  });
  Neighbour neighbour;
  code.ForEach(slice.endpoints, [&](auto& endpoint) {
    if constexpr (Code::kReads) {
      ReadEndpoint(code, endpoint, neighbour);
    } else {
      WriteEndpoint(code, endpoint, neighbour);
    }
  });
}

template <typename Code>
void Fields(Code& code, Given<Code, Node>& node) {
  Addresses(code, node.internal_ips);
  Addresses(code, node.external_ips);
  Texts(code, node.pod_cidrs);
  Texts(code, node.taints);
  code.Byte(node.deleting);
}

template <typename Code>
void Fields(Code& code, Given<Code, ServiceCidr>& cidr) {
  Texts(code, cidr.cidrs);
}

template <typename T>
Object ReadObject(PackReader& reader) {
  T object;
  object.meta = ReadMeta(reader);
  Fields(reader, object);
  PM_CHECK(reader.done());
  return Object(std::move(object));
}

}  // namespace

PackedObject::PackedObject(const Object& object) {
  PackWriter writer;
  writer.Byte(object.index());
  WriteMeta(writer, MetaOf(object));
  std::visit([&](const auto& o) { Fields(writer, o); }, object);
  const std::string& bytes = writer.bytes();
  void* const memory = ::operator new(sizeof(Block) + bytes.size());
  block_ = new (memory) Block{{1}, static_cast<uint32_t>(bytes.size())};
  memcpy(static_cast<char*>(memory) + sizeof(Block), bytes.data(), bytes.size());
}

void PackedObject::Free(Block* block) {
  block->~Block();
  ::operator delete(block);
}

Object PackedObject::Unpack() const {
  PackReader reader(bytes().substr(1));
  switch (kind()) {
    case Kind::kService:
      return ReadObject<Service>(reader);
    case Kind::kEndpointSlice:
      return ReadObject<EndpointSlice>(reader);
    case Kind::kNode:
      return ReadObject<Node>(reader);
    case Kind::kServiceCidr:
      return ReadObject<ServiceCidr>(reader);
  }
  return {};
}

Kind PackedObject::kind() const { return static_cast<Kind>(bytes()[0]); }

NameView PackedObject::name() const {
  PackReader reader(bytes().substr(1));
  return ReadName(reader);
}

absl::string_view PackedObject::Label(absl::string_view key) const {
  PackReader reader(bytes().substr(1));
  absl::string_view found;
  ReadLabels(reader, ReadName(reader).name, [&](absl::string_view each, absl::string_view value) {
    if (each == key) found = value;
  });
  return found;
}

}  // namespace pointsman
