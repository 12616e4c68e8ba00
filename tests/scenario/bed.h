// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "pointsman/net.h"
#include "tests/scenario/probe.h"
#include "tests/scenario/scenario.h"
#include "tests/support/netns.h"

namespace pointsman::scenario {

// The hosts of a plan in namespaces, one each: node, routers, clients and the world on one LAN, each pod on a veth to
// the node or router it is behind (or, for the node's, on a bridge there).
//
//   pods --- node ---+--- LAN ---+--- router --- pods
//                    +-- clients +-- world
//
// Every host knows every other by a route of its own (/32, /128), so plans may use any addresses. Clients and pods send
// the rest, Service addresses among it, to the node; the node and the routers send it to the world.
class Bed {
 public:
  explicit Bed(BedPlan plan);
  ~Bed();

  const BedPlan& plan() const { return plan_; }
  support::NetNs& ns(const Host& host) { return *namespaces_.at(host.name); }
  support::NetNs& node() { return ns(plan_.node()); }
  Servers& servers() { return *servers_; }

  // From now on the world has these addresses, too: what the node lets through untouched arrives there.
  void GiveToWorld(const std::set<IpAddr>& addresses);

 private:
  void Prepare(const Host& host);
  void Connect();
  void WaitUntilReachable();

  const BedPlan plan_;
  std::unique_ptr<support::NetNs> lan_;
  std::map<std::string, std::unique_ptr<support::NetNs>> namespaces_;
  std::unique_ptr<Servers> servers_;
  std::set<IpAddr> in_world_;
};

}  // namespace pointsman::scenario
