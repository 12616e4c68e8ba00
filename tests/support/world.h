// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pointsman/net.h"
#include "tests/support/netns.h"

namespace pointsman::support {

struct WorldOptions {
  int pods = 3;
  // Pod i has the addresses pods4 + (first_pod + i) and pods6 + the same digits.
  std::string pods4 = "203.0.113.";
  std::string pods6 = "2001:db8:113::";
  int first_pod = 11;
};

// A small routed network in namespaces:
//
//   client 192.0.2.2 ---- 192.0.2.1 node ---- pod 0   203.0.113.11
//          2001:db8::2   2001:db8::1     \--- pod 1   203.0.113.12 ...
//
// The client sends everything it has no route for, Service addresses among it, to the node; so do the pods, each on a
// veth of its own. The node forwards. Nothing waits for duplicate address detection, nothing limits ICMP errors.
class World {
 public:
  explicit World(WorldOptions options = {});

  NetNs& client() { return *client_; }
  NetNs& node() { return *node_; }
  NetNs& pod(int i) { return *pods_.at(static_cast<size_t>(i)); }
  int pods() const { return static_cast<int>(pods_.size()); }

  IpAddr node_ip(Family family) const;
  IpAddr client_ip(Family family) const;
  IpAddr pod_ip(int i, Family family) const;

 private:
  void Prepare(NetNs& ns);
  void Connect();
  void WaitUntilReachable();

  const WorldOptions options_;
  std::unique_ptr<NetNs> client_;
  std::unique_ptr<NetNs> node_;
  std::vector<std::unique_ptr<NetNs>> pods_;
};

// Parses an address that is known to be one.
IpAddr Ip(absl::string_view text);

}  // namespace pointsman::support
