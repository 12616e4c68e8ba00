// SPDX-License-Identifier: Apache-2.0
#include "netlink/core/attr.h"

#include <algorithm>
#include <cstring>

#include "netlink/core/uapi.h"

namespace pointsman::nl {
namespace {

size_t Align4(size_t size) { return (size + 3) & ~size_t{3}; }

}  // namespace

bool ForEachAttr(ByteSpan bytes, absl::FunctionRef<void(uint16_t, ByteSpan)> visit) {
  while (bytes.size() >= sizeof(nlattr)) {
    nlattr header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    if (header.nla_len < sizeof(nlattr) || header.nla_len > bytes.size()) return false;
    visit(static_cast<uint16_t>(header.nla_type & NLA_TYPE_MASK),
          bytes.subspan(sizeof(nlattr), header.nla_len - sizeof(nlattr)));
    bytes.remove_prefix(std::min(Align4(header.nla_len), bytes.size()));
  }
  return true;
}

Attrs::Attrs(ByteSpan bytes) {
  ok_ = ForEachAttr(bytes, [this](uint16_t type, ByteSpan payload) {
    if (type > kMaxType) return;
    present_ |= Bit(type);
    values_[type] = payload;
  });
}

bool Attrs::HasOnly(std::initializer_list<uint16_t> types, uint16_t known_max) const {
  uint32_t allowed = 0;
  for (const uint16_t type : types) allowed |= Bit(type);
  const uint32_t known = (uint32_t{2} << known_max) - 1;
  return (present_ & known & ~allowed) == 0;
}

const uint8_t* Attrs::Exactly(uint16_t type, size_t size) {
  if (!Has(type)) return nullptr;
  if (values_[type].size() != size) {
    ok_ = false;
    return nullptr;
  }
  return values_[type].data();
}

uint8_t Attrs::U8(uint16_t type) {
  const uint8_t* bytes = Exactly(type, 1);
  return bytes == nullptr ? uint8_t{0} : *bytes;
}

uint32_t Attrs::U32(uint16_t type) {
  const uint8_t* bytes = Exactly(type, 4);
  if (bytes == nullptr) return 0;
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | bytes[i];
  return value;
}

uint64_t Attrs::U64(uint16_t type) {
  const uint8_t* bytes = Exactly(type, 8);
  if (bytes == nullptr) return 0;
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | bytes[i];
  return value;
}

absl::string_view Attrs::Str(uint16_t type) const {
  const ByteSpan raw = Raw(type);
  const auto* text = reinterpret_cast<const char*>(raw.data());
  return {text, raw.empty() ? 0 : strnlen(text, raw.size())};
}

ByteSpan Attrs::Raw(uint16_t type) const { return Has(type) ? values_[type] : ByteSpan(); }

Attrs Attrs::Nested(uint16_t type) {
  Attrs nested(Raw(type));
  if (!nested.ok()) ok_ = false;
  return nested;
}

bool ForEachMessage(ByteSpan datagram, absl::FunctionRef<bool(ByteSpan)> visit) {
  while (!datagram.empty()) {
    nlmsghdr header;
    if (datagram.size() < sizeof(header)) return false;
    std::memcpy(&header, datagram.data(), sizeof(header));
    if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > datagram.size()) return false;
    if (!visit(datagram.first(header.nlmsg_len))) return false;
    datagram.remove_prefix(std::min(Align4(header.nlmsg_len), datagram.size()));
  }
  return true;
}

}  // namespace pointsman::nl
