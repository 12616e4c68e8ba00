// SPDX-License-Identifier: Apache-2.0
//
// What is sent down the road, and how long it takes. Each runs in the client's thread, alone but for the kernel: the
// veth devices carry a packet to the other end, and the answer back, within the call that sends it.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"

#include "bench/packet_road.h"
#include "pointsman/net.h"

namespace pointsman::bench {

// A SYN from a new port to each target in turn, up to the reset that comes back: nobody listens.
// The node forgets a connection that is refused, so that each is a new one, in a table that stays empty.
// Returns: microseconds, one for each target.
std::vector<double> RoundTrips(PacketRoad& road, const IpAddr& from, absl::Span<const SocketAddr> targets);

// The same SYNs, dropped by the node at the end of its work (PacketRoad::DropOneWay), sent many with one call.
// Returns: nanoseconds a packet, one figure for each `kBurst` targets.
inline constexpr size_t kBurst = 256;
std::vector<double> OneWay(PacketRoad& road, const IpAddr& from, absl::Span<const SocketAddr> targets);

// TCP connections to each target in turn: connected, accepted, closed with a reset.
// Returns: microseconds, one for each target.
std::vector<double> Connections(PacketRoad& road, absl::Span<const SocketAddr> targets);

// One byte and one back, over and over, on one connection.
// Returns: microseconds, one for each exchange.
std::vector<double> Exchanges(PacketRoad& road, const SocketAddr& target, int count);

// As much as goes through one connection, sent and received by the same thread.
// Returns: Gbit/s.
double Throughput(PacketRoad& road, const SocketAddr& target, absl::Duration lasting);

}  // namespace pointsman::bench
