// SPDX-License-Identifier: Apache-2.0
//
// `pointsman trace` without its input and output: what is asked, what there is to say, and how it is said.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

#include "pointsman/net.h"
#include "pointsman/nft.h"
#include "pointsman/nft_simulate.h"
#include "pointsman/packet.h"
#include "pointsman/plan.h"

namespace pointsman {

// The words of the command line, understood.
struct TraceQuery {
  std::optional<IpAddr> source;  // nullopt: this node, whatever its address
  SocketAddr dest;
  Protocol protocol = Protocol::kTcp;
  std::string in_interface;

  friend bool operator==(const TraceQuery&, const TraceQuery&) = default;
};

// Inputs: `source` is an address or "node"; `dest` is "ADDRESS:PORT" or "[ADDRESS6]:PORT", with or without "/PROTOCOL".
// Errors: kInvalidArgument, with what to write instead.
absl::StatusOr<TraceQuery> ParseTraceQuery(const std::string& source, const std::string& dest,
                                           const std::string& in_interface);

// The packet as this node meets it: its own if it comes from one of its addresses.
// Errors: kInvalidArgument if the node has no address to send from, or nothing could come in so.
absl::StatusOr<Packet> MakePacket(const TraceQuery& query, const NodeInfo& node);

// Where `packet` goes by the plan and by the kernel, and why.
struct TraceReport {
  enum class Sender { kPod, kNode, kOutside };
  enum class Kernel {
    kTraced,
    kEmpty,          // there is no table of ours: everything passes
    kNotUnderstood,  // there is something in it that we would not have written
    kUnreadable,
  };

  Packet packet;
  Sender sender = Sender::kOutside;
  std::string sender_reason;
  std::string service;         // "shop/web:http"; empty: no Service has this address and port
  std::string service_detail;  // what the address is to it, or else where it belongs
  Outcome plan;
  Kernel kernel_state = Kernel::kTraced;
  std::string kernel_error;           // kNotUnderstood, kUnreadable
  Outcome kernel;                     // kTraced, kEmpty; of a client that nobody remembers
  std::optional<Outcome> remembered;  // kTraced: what this client meets, if that is another
  std::vector<nft::TraceStep> path;   // through the kernel's rules if kTraced, else through those it should have
};

// Inputs:  `program` is what the plans compile to; `kernel` is what the kernel holds, or why that is not known.
// Errors:  kInvalidArgument if `program` itself cannot be followed.
absl::StatusOr<TraceReport> ExplainPacket(const Packet& packet,
                                          absl::Span<const std::shared_ptr<const ServicePlan>> plans,
                                          const Surroundings& around, const nft::Ruleset& program,
                                          const absl::StatusOr<nft::Ruleset>& kernel);

// 0: plan and kernel agree. 1: they differ. 2: the kernel is not known.
int ExitStatus(const TraceReport& report);

std::string FormatTraceText(const TraceReport& report);
std::string FormatTraceJson(const TraceReport& report);  // one object

}  // namespace pointsman
