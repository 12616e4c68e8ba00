// SPDX-License-Identifier: Apache-2.0
//
// Userdata: what nft stores beside an object for its own use, opaque to the kernel. A list of {u8 type, u8 length,
// value}, integers in host byte order (libnftnl/udata.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

#include "netlink/core/attr.h"
#include "pointsman/nft.h"

namespace pointsman::nl {

// A comment, as entry `type`; empty for an empty comment.
std::vector<uint8_t> CommentUserdata(uint8_t type, absl::string_view comment);

// The comment that is entry `type`; empty if there is none, or if the list does not parse: it is nobody's truth.
std::string CommentIn(ByteSpan userdata, uint8_t type);

// Entry 0 (comment) and 1 (flags) of a set element. `open`: an interval without an end element.
std::vector<uint8_t> ElementUserdata(absl::string_view comment, bool open);

// What nft writes for a set of this shape. Keys or data with an integer field are described as `typeof` expressions,
// else nft could print them but not read them back: ip daddr, ip6 daddr, meta l4proto, th dport, numgen random mod 2
// for the five datatypes. The others get by with the type numbers in the set itself.
std::vector<uint8_t> SetUserdata(const nft::SetSpec& spec);

}  // namespace pointsman::nl
