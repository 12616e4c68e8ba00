// SPDX-License-Identifier: Apache-2.0
//
// Kernel headers that only the search for leftovers needs. iptables' are apart from the others: libiptc brings them,
// and structures of the old interface with them.
#pragma once

// clang-format off
#include "netlink/core/uapi.h"

#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <linux/netfilter/ipset/ip_set.h>
#include <linux/netfilter/nf_tables_compat.h>
// clang-format on

namespace pointsman::nl {

// The netlink type of an ipset message, from its IPSET_CMD_*.
inline constexpr uint16_t IpsetType(uint16_t command) {
  return static_cast<uint16_t>((NFNL_SUBSYS_IPSET << 8) | command);
}

}  // namespace pointsman::nl
