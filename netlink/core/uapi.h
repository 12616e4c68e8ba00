// SPDX-License-Identifier: Apache-2.0
//
// The only place that includes kernel headers and the netlink libraries that include them. <netinet/in.h> comes first,
// else it and <linux/netfilter.h> both define in_addr.
#pragma once

// clang-format off
#include <netinet/in.h>
#include <sys/socket.h>

#include <linux/if_addr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <libmnl/libmnl.h>
#include <libnftnl/batch.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
// clang-format on

namespace pointsman::nl {

// errno values of the kernel that have no business in user space, and so no name there.
inline constexpr int kErestart = 85;

// NFTA_SET_COUNT of kernels newer than our headers: elements in the set.
inline constexpr uint16_t kNftaSetCount = 20;

// Bits of CTA_FILTER_ORIG_FLAGS: which parts of CTA_TUPLE_ORIG a dump of flows goes by (since Linux 5.8). The kernel
// keeps their names to itself (CTA_FILTER_F_*).
inline constexpr uint32_t kCtaFilterIpDst = 1U << 1;
inline constexpr uint32_t kCtaFilterProtoNum = 1U << 3;
inline constexpr uint32_t kCtaFilterProtoDstPort = 1U << 5;

// The netlink type of an nf_tables message, from its NFT_MSG_*.
inline constexpr uint16_t NftType(uint16_t message) {
  return static_cast<uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | message);
}

// The netlink type of a conntrack message, from its IPCTNL_MSG_CT_*.
inline constexpr uint16_t CtType(uint16_t message) {
  return static_cast<uint16_t>((NFNL_SUBSYS_CTNETLINK << 8) | message);
}

}  // namespace pointsman::nl
