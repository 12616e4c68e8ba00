// SPDX-License-Identifier: Apache-2.0
//
// A small nf_tables machine: one packet, one rule. Registers do not survive from rule to rule, so all that a rule hands
// to the next is the mark and the place to go on at.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "pointsman/net.h"
#include "pointsman/nft.h"

namespace pointsman::nft {

// The first packet of a connection as one hook sees it.
struct View {
  IpAddr source;
  SocketAddr dest;
  SocketAddr original;  // the destination as it was sent
  Protocol protocol = Protocol::kTcp;
  bool from_node = false;
  bool to_node = false;      // `dest` is an address of this node
  std::string in_interface;  // empty: none
  uint32_t status = 0;       // of the connection
};

// How a walk through a hook's chains ends.
struct End {
  enum class Kind { kAccept, kDrop, kReject, kDnat, kMasquerade };
  Kind kind = Kind::kAccept;
  SocketAddr to;  // kDnat
  uint32_t mark = 0;

  friend auto operator<=>(const End&, const End&) = default;
};

// What one rule makes of a packet.
struct Step {
  enum class Kind { kNext, kEnd, kJump, kGoto, kReturn };
  Kind kind = Kind::kNext;
  uint32_t mark = 0;
  std::string chain;  // kJump, kGoto
  End end;            // kEnd

  friend auto operator<=>(const Step&, const Step&) = default;
};

// The same in words, "192.0.2.1 . tcp . 80 -> goto pick_4": empty for a rule that did nothing.
struct Deed {
  std::string how;
  std::string target;   // an endpoint, where `how` leads up to one
  std::string comment;  // of an element that was found
};

absl::Status NotUnderstood(absl::string_view what);

// How many values the rule's random draw has; one without a draw.
uint32_t Draws(const Rule& rule);

// Runs `rule` with the random draw fixed. Tells what it did in `deed` unless that is null.
// Errors: kInvalidArgument: an expression or reference that is not understood.
absl::StatusOr<Step> RunRule(const Table& table, const Rule& rule, const View& view, uint32_t mark, uint32_t draw,
                             Deed* deed);

}  // namespace pointsman::nft
