// SPDX-License-Identifier: Apache-2.0
//
// libiptc's two libraries, which differ in nothing but names. Not together with netlink/core/uapi.h: libiptc needs
// <linux/if.h>, which goes with <net/if.h> only in this order.
#pragma once

// clang-format off
#include <netinet/in.h>

#include <net/if.h>

#include <climits>
// libip6tc.h does not say it itself.
extern "C" {
#include <libiptc/libip6tc.h>
}
#include <libiptc/libiptc.h>
#include <linux/netfilter/xt_comment.h>
// clang-format on

#include <cstring>
#include <string>

#include "pointsman/net.h"

namespace pointsman::nl {

struct XtablesV4 {
  static constexpr Family kFamily = Family::kIpv4;
  static constexpr auto kInit = iptc_init;
  static constexpr auto kFree = iptc_free;
  static constexpr auto kFirstChain = iptc_first_chain;
  static constexpr auto kNextChain = iptc_next_chain;
  static constexpr auto kIsBuiltin = iptc_builtin;
  static constexpr auto kFirstRule = iptc_first_rule;
  static constexpr auto kNextRule = iptc_next_rule;
  static constexpr auto kTarget = iptc_get_target;
  static constexpr auto kDeleteRule = iptc_delete_num_entry;
  static constexpr auto kFlushChain = iptc_flush_entries;
  static constexpr auto kDeleteChain = iptc_delete_chain;
  static constexpr auto kCommit = iptc_commit;
  static constexpr auto kText = iptc_strerror;
};

struct XtablesV6 {
  static constexpr Family kFamily = Family::kIpv6;
  static constexpr auto kInit = ip6tc_init;
  static constexpr auto kFree = ip6tc_free;
  static constexpr auto kFirstChain = ip6tc_first_chain;
  static constexpr auto kNextChain = ip6tc_next_chain;
  static constexpr auto kIsBuiltin = ip6tc_builtin;
  static constexpr auto kFirstRule = ip6tc_first_rule;
  static constexpr auto kNextRule = ip6tc_next_rule;
  static constexpr auto kTarget = ip6tc_get_target;
  static constexpr auto kDeleteRule = ip6tc_delete_num_entry;
  static constexpr auto kFlushChain = ip6tc_flush_entries;
  static constexpr auto kDeleteChain = ip6tc_delete_chain;
  static constexpr auto kCommit = ip6tc_commit;
  static constexpr auto kText = ip6tc_strerror;
};

// What `-m comment` says in `rule`, an ipt_entry or ip6t_entry: the matches stand between it and its target.
template <typename Entry>
std::string CommentOf(const Entry& rule) {
  const auto* bytes = reinterpret_cast<const char*>(&rule);
  for (size_t at = sizeof(Entry); at + sizeof(xt_entry_match) <= rule.target_offset;) {
    xt_entry_match match;
    std::memcpy(&match, bytes + at, sizeof(match));
    const size_t size = match.u.match_size;
    if (size < sizeof(match)) break;
    if (strncmp(match.u.user.name, "comment", sizeof(match.u.user.name)) == 0) {
      return std::string(bytes + at + sizeof(match), strnlen(bytes + at + sizeof(match), size - sizeof(match)));
    }
    at += size;
  }
  return "";
}

}  // namespace pointsman::nl
