// SPDX-License-Identifier: Apache-2.0
//
// Flows of the connection tracking table as netlink messages.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"

#include "netlink/core/attr.h"
#include "pointsman/flows.h"
#include "pointsman/net.h"

namespace pointsman::nl {

// Which flows the kernel is asked for: those of a family; of these, those of a protocol; of these, those that were
// opened to a port, or to a port of one address.
struct FlowQuery {
  Family family = Family::kIpv4;
  std::optional<Protocol> protocol;
  std::optional<uint16_t> port;  // only with `protocol`
  std::optional<IpAddr> dest;    // IPv4; only with `port`

  // Whether a flow to `match` is what it asks for.
  bool Covers(const Match& match) const;
  // Whether a flow to `match` may come up in the answer all the same: the kernel does not filter SCTP by port.
  bool Admits(const Match& match) const;
  bool filters() const { return protocol.has_value(); }

  friend auto operator<=>(const FlowQuery&, const FlowQuery&) = default;
};

// The narrowest query there is for the flows to `match`. In IPv6 it goes by the port alone: where kernels compare IPv6
// addresses (ctnetlink_filter_match_tuple) they leave out those that are equal, and let all others through.
FlowQuery NarrowQuery(const Match& match);

// An entry of the table, as far as we judge it.
struct Flow {
  Match original;           // the destination it was opened to
  SocketAddr source;        // who opened it
  SocketAddr reply_source;  // who answers
  bool translated = false;  // its destination is not the one it was opened to (IPS_DST_NAT)
  bool zoned = false;       // it lives in a conntrack zone, if only in one direction: somebody else's
  uint32_t id = 0;          // tells it from a later one with the same addresses
  ByteSpan tuple;           // CTA_TUPLE_ORIG as it came, in the message
};

// The frontend whose answer `flow` began with, if it began with one.
Match FromFrontend(const Flow& flow);

// Whether `check` finds `flow` stale. Of flows to (and, with FlowCheck::answers, from) other addresses it finds
// nothing.
bool Stale(const FlowCheck& check, const Flow& flow);

// The request for a dump:
//
//   IPCTNL_MSG_CT_GET
//     CTA_TUPLE_ORIG
//       CTA_TUPLE_IP     CTA_IP_V4_DST
//       CTA_TUPLE_PROTO  CTA_PROTO_NUM, CTA_PROTO_DST_PORT
//     CTA_FILTER         CTA_FILTER_ORIG_FLAGS: which of the above count
std::vector<uint8_t> EncodeQuery(const FlowQuery& query, uint32_t sequence);

// Decodes an IPCTNL_MSG_CT_NEW, header included.
// Returns: nullopt for entries no check is about: protocols without ports, or other than Protocol names. The Flow
// refers
//          to `message`.
// Errors:  kDataLoss when it is malformed.
absl::StatusOr<std::optional<Flow>> DecodeFlow(ByteSpan message);

// Appends an IPCTNL_MSG_CT_DELETE for the entry `id` with `tuple` in zone 0, to be acknowledged.
void AppendDelete(Family family, uint32_t id, ByteSpan tuple, uint32_t sequence, std::vector<uint8_t>& to);

}  // namespace pointsman::nl
