// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/types/span.h"

#include "pointsman/net.h"
#include "pointsman/plan.h"

namespace pointsman {

// The first packet of a connection.
struct Packet {
  IpAddr source;
  IpAddr dest;
  Protocol protocol = Protocol::kTcp;
  uint16_t port = 0;         // destination port
  bool from_node = false;    // sent by the node itself: a process, or a pod in the host's network
  std::string in_interface;  // it comes in through; empty: unknown, or sent by the node

  friend bool operator==(const Packet&, const Packet&) = default;
};

// Where a packet may end up: a set, for the choice among endpoints is random.
struct Outcome {
  enum class Verdict { kPass, kDeliver, kReject, kDrop };
  struct Delivery {
    SocketAddr endpoint;
    bool snat = false;
    friend auto operator<=>(const Delivery&, const Delivery&) = default;
  };
  Verdict verdict = Verdict::kPass;      // kPass: not ours, the packet goes on untouched
  absl::btree_set<Delivery> deliveries;  // filled iff kDeliver

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

std::string FormatOutcome(const Outcome& outcome);  // "deliver 203.0.113.11:8080 203.0.113.12:8080+snat" | "reject" …

// What a packet's fate depends on besides the Services.
struct Surroundings {
  Policy policy;
  std::vector<Cidr> service_cidrs;     // destinations inside, neither a ClusterIP nor the node's own, are dropped
  std::vector<IpAddr> node_addresses;  // where the node itself answers, and masquerades nothing that comes in

  friend bool operator==(const Surroundings&, const Surroundings&) = default;
};

// The executable specification: what `packet` must meet under these plans.
// Inputs: `plans` hold no match twice.
Outcome Resolve(absl::Span<const std::shared_ptr<const ServicePlan>> plans, const Surroundings& around,
                const Packet& packet);

}  // namespace pointsman
