// SPDX-License-Identifier: Apache-2.0
//
// Values of the kernel's that rules compare with: for the compiler that writes them and the machine that runs them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pointsman::nft {

inline constexpr uint32_t kStatusDnat = 0x20;  // IPS_DST_NAT, linux/netfilter/nf_conntrack_common.h

// `fib`: NFTA_FIB_F_SADDR, NFTA_FIB_F_DADDR, NFT_FIB_RESULT_ADDRTYPE, linux/netfilter/nf_tables.h
inline constexpr uint32_t kFibSource = 1;
inline constexpr uint32_t kFibDest = 2;
inline constexpr uint32_t kFibAddrType = 3;

// What that results in: RTN_UNICAST, RTN_LOCAL, linux/rtnetlink.h
inline constexpr uint32_t kTypeUnicast = 1;
inline constexpr uint32_t kTypeLocal = 2;

inline constexpr size_t kInterfaceNameSize = 16;  // IFNAMSIZ, linux/if.h

}  // namespace pointsman::nft
