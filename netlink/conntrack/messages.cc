// SPDX-License-Identifier: Apache-2.0
#include "netlink/conntrack/messages.h"

#include <algorithm>
#include <cstring>

#include "netlink/core/batch.h"
#include "netlink/core/uapi.h"
#include "pointsman/status.h"

namespace pointsman::nl {
namespace {

constexpr size_t kHeaders = MNL_ALIGN(sizeof(nlmsghdr)) + MNL_ALIGN(sizeof(nfgenmsg));

// Room for the attributes of the largest request, and to spare.
constexpr size_t kQueryReserve = 128;

nlmsghdr* BeginMessage(uint8_t* buffer, uint16_t message, uint16_t flags, Family family, uint32_t sequence) {
  nlmsghdr* header = mnl_nlmsg_put_header(buffer);
  header->nlmsg_type = CtType(message);
  header->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  header->nlmsg_seq = sequence;
  auto* general = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
  general->nfgen_family = FamilyNumber(family);
  general->version = NFNETLINK_V0;
  general->res_id = 0;
  return header;
}

uint16_t PortOf(Attrs& attrs, uint16_t type) {
  const ByteSpan bytes = attrs.Raw(type);
  if (bytes.size() != 2) {
    attrs.Spoil();
    return 0;
  }
  return static_cast<uint16_t>(bytes[0] << 8 | bytes[1]);
}

IpAddr AddressOf(Attrs& attrs, uint16_t type, Family family) {
  const ByteSpan bytes = attrs.Raw(type);
  if (bytes.size() != (family == Family::kIpv4 ? size_t{4} : size_t{16})) {
    attrs.Spoil();
    return {};
  }
  return IpAddr::FromBytes(bytes);
}

std::optional<Family> FamilyOf(uint8_t number) {
  for (const Family family : kFamilies) {
    if (FamilyNumber(family) == number) return family;
  }
  return std::nullopt;
}

std::optional<Protocol> ProtocolOf(uint8_t number) {
  for (const Protocol protocol : {Protocol::kTcp, Protocol::kUdp, Protocol::kSctp}) {
    if (static_cast<uint8_t>(protocol) == number) return protocol;
  }
  return std::nullopt;
}

absl::Status Malformed() { return absl::DataLossError("malformed conntrack entry"); }

}  // namespace

bool FlowQuery::Admits(const Match& match) const {
  if (match.dest.family() != family) return false;
  if (protocol.has_value() && *protocol != match.protocol) return false;
  return !dest.has_value() || *dest == match.dest;
}

bool FlowQuery::Covers(const Match& match) const { return Admits(match) && (!port.has_value() || *port == match.port); }

FlowQuery NarrowQuery(const Match& match) {
  FlowQuery query = {.family = match.dest.family(), .protocol = match.protocol, .port = match.port};
  if (query.family == Family::kIpv4) query.dest = match.dest;
  return query;
}

Match FromFrontend(const Flow& flow) { return {flow.source.addr, flow.original.protocol, flow.source.port}; }

bool Stale(const FlowCheck& check, const Flow& flow) {
  if (flow.zoned) return false;
  if (check.answers && !flow.translated && FromFrontend(flow) == check.frontend) return true;
  if (flow.original != check.frontend) return false;
  if (check.translated_only && !flow.translated) return false;
  return !std::binary_search(check.keep.begin(), check.keep.end(), flow.reply_source);
}

std::vector<uint8_t> EncodeQuery(const FlowQuery& query, uint32_t sequence) {
  PM_CHECK(query.protocol.has_value() || !query.port.has_value());
  PM_CHECK(!query.dest.has_value() || (query.port.has_value() && query.dest->family() == Family::kIpv4));
  std::vector<uint8_t> bytes(kHeaders + kQueryReserve);
  nlmsghdr* message = BeginMessage(bytes.data(), IPCTNL_MSG_CT_GET, NLM_F_DUMP, query.family, sequence);
  if (query.filters()) {
    uint32_t flags = kCtaFilterProtoNum;
    nlattr* tuple = mnl_attr_nest_start(message, CTA_TUPLE_ORIG);
    if (query.dest.has_value()) {
      nlattr* ip = mnl_attr_nest_start(message, CTA_TUPLE_IP);
      mnl_attr_put(message, CTA_IP_V4_DST, query.dest->bytes().size(), query.dest->bytes().data());
      mnl_attr_nest_end(message, ip);
      flags |= kCtaFilterIpDst;
    }
    nlattr* proto = mnl_attr_nest_start(message, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(message, CTA_PROTO_NUM, static_cast<uint8_t>(*query.protocol));
    if (query.port.has_value()) {
      mnl_attr_put_u16(message, CTA_PROTO_DST_PORT, htons(*query.port));
      flags |= kCtaFilterProtoDstPort;
    }
    mnl_attr_nest_end(message, proto);
    mnl_attr_nest_end(message, tuple);
    nlattr* filter = mnl_attr_nest_start(message, CTA_FILTER);
    mnl_attr_put_u32(message, CTA_FILTER_ORIG_FLAGS, flags);  // the one integer here in host order
    mnl_attr_nest_end(message, filter);
  }
  PM_CHECK(message->nlmsg_len <= bytes.size());
  bytes.resize(message->nlmsg_len);
  return bytes;
}

absl::StatusOr<std::optional<Flow>> DecodeFlow(ByteSpan message) {
  nlmsghdr header;
  if (message.size() < kHeaders) return Malformed();
  std::memcpy(&header, message.data(), sizeof(header));
  if (header.nlmsg_type != CtType(IPCTNL_MSG_CT_NEW)) return Malformed();
  const std::optional<Family> family = FamilyOf(message[sizeof(header) + offsetof(nfgenmsg, nfgen_family)]);
  if (!family.has_value()) return std::nullopt;

  Attrs attrs(message.subspan(kHeaders));
  Attrs original = attrs.Nested(CTA_TUPLE_ORIG);
  Attrs original_proto = original.Nested(CTA_TUPLE_PROTO);
  const std::optional<Protocol> protocol = ProtocolOf(original_proto.U8(CTA_PROTO_NUM));
  if (!attrs.ok() || !original.ok() || !original_proto.ok() || !original_proto.Has(CTA_PROTO_NUM)) return Malformed();
  if (!protocol.has_value()) return std::nullopt;

  Attrs original_ip = original.Nested(CTA_TUPLE_IP);
  Attrs reply = attrs.Nested(CTA_TUPLE_REPLY);
  Attrs reply_ip = reply.Nested(CTA_TUPLE_IP);
  Attrs reply_proto = reply.Nested(CTA_TUPLE_PROTO);
  const bool v4 = *family == Family::kIpv4;
  Flow flow;
  flow.original.dest = AddressOf(original_ip, v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, *family);
  flow.original.protocol = *protocol;
  flow.original.port = PortOf(original_proto, CTA_PROTO_DST_PORT);
  flow.source.addr = AddressOf(original_ip, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, *family);
  flow.source.port = PortOf(original_proto, CTA_PROTO_SRC_PORT);
  flow.reply_source.addr = AddressOf(reply_ip, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, *family);
  flow.reply_source.port = PortOf(reply_proto, CTA_PROTO_SRC_PORT);
  flow.translated = (attrs.U32(CTA_STATUS) & IPS_DST_NAT) != 0;
  // CTA_ZONE is of both directions, CTA_TUPLE_ZONE of one. Zone 0 has neither.
  flow.zoned = attrs.Has(CTA_ZONE) || original.Has(CTA_TUPLE_ZONE) || reply.Has(CTA_TUPLE_ZONE);
  flow.id = attrs.U32(CTA_ID);
  flow.tuple = attrs.Raw(CTA_TUPLE_ORIG);
  for (const Attrs* level : {&attrs, &original, &original_ip, &original_proto, &reply, &reply_ip, &reply_proto}) {
    if (!level->ok()) return Malformed();
  }
  if (!attrs.Has(CTA_ID) || !attrs.Has(CTA_STATUS)) return Malformed();
  // An IPv4-mapped address would be taken for the IPv4 one.
  for (const IpAddr& addr : {flow.original.dest, flow.source.addr, flow.reply_source.addr}) {
    if (addr.family() != *family) return std::nullopt;
  }
  return flow;
}

void AppendDelete(Family family, uint32_t id, ByteSpan tuple, uint32_t sequence, std::vector<uint8_t>& to) {
  // Without a tuple it would be the deletion of everything.
  PM_CHECK(!tuple.empty());
  const size_t offset = to.size();
  to.resize(offset + kHeaders + 2 * MNL_ATTR_HDRLEN + MNL_ALIGN(tuple.size()) + sizeof(id));
  nlmsghdr* message = BeginMessage(to.data() + offset, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, family, sequence);
  mnl_attr_put(message, NLA_F_NESTED | CTA_TUPLE_ORIG, tuple.size(), tuple.data());
  mnl_attr_put_u32(message, CTA_ID, htonl(id));
  PM_CHECK(offset + message->nlmsg_len == to.size());
}

}  // namespace pointsman::nl
