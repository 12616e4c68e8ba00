// SPDX-License-Identifier: Apache-2.0
//
// A small planned cluster, and packets in short form. Rows of packets and their fates: tests/scenario/.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"

#include "pointsman/nft_program.h"
#include "pointsman/packet.h"
#include "tests/support/builders.h"

namespace pointsman::support {

// A planned cluster as seen from one node.
struct World {
  std::vector<std::shared_ptr<const ServicePlan>> plans;
  nft::BaseSettings settings;
  std::vector<IpAddr> node_addresses;

  Surroundings around() const { return {settings.policy, settings.service_cidrs, node_addresses}; }
};

// "pod", "node", "outside", or an address; "192.0.2.1:80", or with "/udp" or "/sctp".
inline Packet Send(const std::string& from, const std::string& to) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(to, absl::MaxSplits('/', 1));
  const SocketAddr dest = At(parts.first);
  const bool v4 = dest.addr.family() == Family::kIpv4;
  Packet packet{.dest = dest.addr, .port = dest.port, .from_node = from == "node"};
  packet.protocol = parts.second == "udp" ? Protocol::kUdp : parts.second == "sctp" ? Protocol::kSctp : Protocol::kTcp;
  packet.source = from == "pod"       ? Ip(v4 ? "10.0.0.2" : "fd00:10::2")
                  : from == "node"    ? Ip(v4 ? "192.168.0.2" : "2001:db8::2")
                  : from == "outside" ? Ip(v4 ? "203.0.113.2" : "2001:db8:f::2")
                                      : Ip(from);
  return packet;
}

inline NodeInfo ThisNode() {
  NodeInfo node{.name = "this"};
  node.local_addresses = {Ip("192.168.0.2"), Ip("2001:db8::2")};
  node.node_port_addresses = node.local_addresses;
  return node;
}

inline nft::BaseSettings WithDetector() {
  nft::BaseSettings settings;
  settings.policy.pods.cidrs = {Net("10.0.0.0/8"), Net("fd00:10::/32")};
  return settings;
}

inline std::shared_ptr<const World> MakeWorld(std::vector<ObjectChange> objects, nft::BaseSettings settings,
                                              const NodeInfo& node = ThisNode()) {
  Store store;
  const Touched touched = store.Apply(Batch(std::move(objects)));
  World world{.plans = {}, .settings = std::move(settings), .node_addresses = node.local_addresses};
  for (auto& [name, plan] : Planner().Plan(store, touched, node, world.settings.policy).services) {
    if (plan != nullptr) world.plans.push_back(std::move(plan));
  }
  return std::make_shared<const World>(std::move(world));
}

}  // namespace pointsman::support
