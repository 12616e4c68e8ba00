// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

#include "gtest/gtest.h"

#include "netlink/core/ask.h"
#include "netlink/core/batch.h"
#include "netlink/core/error.h"
#include "netlink/core/socket.h"
#include "netlink/core/uapi.h"
#include "pointsman/net.h"
#include "pointsman/netlink.h"
#include "tests/support/netns.h"
#include "tests/support/world.h"

namespace pointsman::support {

// An entry of the connection tracking table.
struct FlowEntry {
  Protocol protocol = Protocol::kUdp;
  SocketAddr source;
  SocketAddr dest;
  std::optional<SocketAddr> endpoint;  // its destination is translated to this
  uint16_t zone = 0;
};

// Parses "192.0.2.1:80" or "[2001:db8::1]:80".
inline SocketAddr At(absl::string_view text) {
  const size_t colon = text.rfind(':');
  absl::string_view addr = text.substr(0, colon);
  if (absl::ConsumePrefix(&addr, "[")) addr.remove_suffix(1);
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(text.substr(colon + 1), &port)) << text;
  return {Ip(addr), static_cast<uint16_t>(port)};
}

inline std::string FormatFlow(const FlowEntry& flow) {
  return absl::StrCat(FormatSocketAddr(flow.source), " > ", FormatSocketAddr(flow.dest), "/",
                      FormatProtocol(flow.protocol),
                      flow.endpoint ? absl::StrCat(" to ", FormatSocketAddr(*flow.endpoint)) : "",
                      flow.zone != 0 ? absl::StrCat(" in zone ", flow.zone) : "");
}

// A network namespace with connection tracking entries that were put there by hand.
class FlowNamespace {
 public:
  explicit FlowNamespace(std::string name) : FlowNamespace(std::make_unique<NetNs>(std::move(name))) {}
  // One that is there already.
  explicit FlowNamespace(NetNs& ns) : ns_(ns) {
    absl::StatusOr<std::unique_ptr<nl::Socket>> socket = ns_.Call([] { return nl::Socket::Open(); });
    EXPECT_TRUE(socket.ok()) << socket.status();
    socket_ = *std::move(socket);
    absl::StatusOr<std::unique_ptr<FlowTable>> table = ns_.Call([] { return OpenFlowTable(); });
    EXPECT_TRUE(table.ok()) << table.status();
    table_ = *std::move(table);
  }

  NetNs& ns() { return ns_; }
  // Opened inside; its socket stays there, whoever calls.
  FlowTable& table() { return *table_; }

  void Add(const std::vector<FlowEntry>& flows) {
    constexpr size_t kPerDatagram = 128;
    for (size_t at = 0; at < flows.size(); at += kPerDatagram) {
      std::vector<uint8_t> datagram;
      for (size_t i = at; i < flows.size() && i < at + kPerDatagram; ++i) AppendNew(flows[i], datagram);
      ASSERT_TRUE(socket_->Send(datagram).ok());
      // Only what was refused is answered.
      const absl::StatusOr<nl::ByteSpan> refused = socket_->Receive();
      ASSERT_TRUE(refused.ok()) << refused.status();
      nl::Answer answer;
      const absl::Status parsed = refused->empty() ? absl::OkStatus() : nl::ParseAnswer(*refused, answer);
      ASSERT_TRUE(parsed.ok()) << parsed;
      ASSERT_EQ(answer.error, 0) << answer.extack << " (from " << FormatFlow(flows[at]) << " on)";
    }
  }

  // Whether the entry with the source and destination of `flow` is there.
  bool Has(const FlowEntry& flow) {
    std::vector<uint8_t> request(kRoom);
    nlmsghdr* message = Begin(request.data(), IPCTNL_MSG_CT_GET, 0, flow);
    PutTuple(message, CTA_TUPLE_ORIG, flow.protocol, flow.source, flow.dest);
    request.resize(message->nlmsg_len);
    const absl::Status status = nl::Ask(*socket_, request, [](nl::ByteSpan) { return true; });
    EXPECT_TRUE(status.ok() || absl::IsNotFound(status)) << status;
    return status.ok();
  }

  // All entries, of all families and zones, by the kernel's own count.
  int64_t Count() { return Stat(CTA_STATS_GLOBAL_ENTRIES); }
  // How many there may be. Outside of the initial network namespace nobody can change that.
  int64_t Limit() { return Stat(CTA_STATS_GLOBAL_MAX_ENTRIES); }

 private:
  explicit FlowNamespace(std::unique_ptr<NetNs> own) : FlowNamespace(*own) { own_ = std::move(own); }

  static constexpr size_t kRoom = 512;
  static constexpr uint32_t kTimeoutSeconds = 3600;

  int64_t Stat(uint16_t attribute) {
    int64_t value = -1;
    std::vector<uint8_t> request(kRoom);
    nlmsghdr* message = Begin(request.data(), IPCTNL_MSG_CT_GET_STATS, 0, FlowEntry());
    request.resize(message->nlmsg_len);
    const absl::Status status = nl::Ask(*socket_, request, [&](nl::ByteSpan answer) {
      nl::Attrs attrs(answer.subspan(sizeof(nlmsghdr) + sizeof(nfgenmsg)));
      value = attrs.U32(attribute);
      return true;
    });
    EXPECT_TRUE(status.ok()) << status;
    return value;
  }

  nlmsghdr* Begin(uint8_t* buffer, uint16_t type, int flags, const FlowEntry& flow) {
    nlmsghdr* message = mnl_nlmsg_put_header(buffer);
    message->nlmsg_type = nl::CtType(type);
    message->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
    message->nlmsg_seq = ++sequence_;
    auto* general = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
    general->nfgen_family = nl::FamilyNumber(flow.dest.addr.family());
    general->version = NFNETLINK_V0;
    general->res_id = 0;
    if (flow.zone != 0) mnl_attr_put_u16(message, CTA_ZONE, htons(flow.zone));
    return message;
  }

  static void PutAddr(nlmsghdr* message, uint16_t v4, uint16_t v6, const IpAddr& addr) {
    mnl_attr_put(message, addr.family() == Family::kIpv4 ? v4 : v6, addr.bytes().size(), addr.bytes().data());
  }

  static void PutTuple(nlmsghdr* message, uint16_t type, Protocol protocol, const SocketAddr& source,
                       const SocketAddr& dest) {
    nlattr* tuple = mnl_attr_nest_start(message, type);
    nlattr* ip = mnl_attr_nest_start(message, CTA_TUPLE_IP);
    PutAddr(message, CTA_IP_V4_SRC, CTA_IP_V6_SRC, source.addr);
    PutAddr(message, CTA_IP_V4_DST, CTA_IP_V6_DST, dest.addr);
    mnl_attr_nest_end(message, ip);
    nlattr* proto = mnl_attr_nest_start(message, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(message, CTA_PROTO_NUM, static_cast<uint8_t>(protocol));
    mnl_attr_put_u16(message, CTA_PROTO_SRC_PORT, htons(source.port));
    mnl_attr_put_u16(message, CTA_PROTO_DST_PORT, htons(dest.port));
    mnl_attr_nest_end(message, proto);
    mnl_attr_nest_end(message, tuple);
  }

  void AppendNew(const FlowEntry& flow, std::vector<uint8_t>& to) {
    const size_t offset = to.size();
    to.resize(offset + kRoom);
    nlmsghdr* message = Begin(to.data() + offset, IPCTNL_MSG_CT_NEW, NLM_F_CREATE | NLM_F_EXCL, flow);
    PutTuple(message, CTA_TUPLE_ORIG, flow.protocol, flow.source, flow.dest);
    PutTuple(message, CTA_TUPLE_REPLY, flow.protocol, flow.dest, flow.source);
    mnl_attr_put_u32(message, CTA_TIMEOUT, htonl(kTimeoutSeconds));
    if (flow.endpoint) {
      nlattr* nat = mnl_attr_nest_start(message, CTA_NAT_DST);
      PutAddr(message, CTA_NAT_V4_MINIP, CTA_NAT_V6_MINIP, flow.endpoint->addr);
      PutAddr(message, CTA_NAT_V4_MAXIP, CTA_NAT_V6_MAXIP, flow.endpoint->addr);
      nlattr* ports = mnl_attr_nest_start(message, CTA_NAT_PROTO);
      mnl_attr_put_u16(message, CTA_PROTONAT_PORT_MIN, htons(flow.endpoint->port));
      mnl_attr_put_u16(message, CTA_PROTONAT_PORT_MAX, htons(flow.endpoint->port));
      mnl_attr_nest_end(message, ports);
      mnl_attr_nest_end(message, nat);
    }
    to.resize(offset + MNL_ALIGN(message->nlmsg_len));
  }

  std::unique_ptr<NetNs> own_;
  NetNs& ns_;
  std::unique_ptr<nl::Socket> socket_;
  std::unique_ptr<FlowTable> table_;
  uint32_t sequence_ = 0;
};

}  // namespace pointsman::support
