// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "pointsman/net.h"
#include "tests/support/netns.h"

namespace pointsman::bench {

// A client, a node that forwards, and a server that answers for every pod address: three namespaces in a row.
//
//   client 10.255.0.2, 198.51.100.2 ---- node 192.0.2.1 ---- server, all of 10.0.0.0/8 but 10.255.0.0/24
//
// The client sends Service addresses to the node. Neighbours are known from the start: no packet waits for one.
class PacketRoad {
 public:
  PacketRoad();

  support::NetNs& client() { return client_; }
  support::NetNs& node() { return node_; }
  support::NetNs& server() { return server_; }

  static IpAddr PodAddress();      // of the client, inside the pods' network
  static IpAddr OutsideAddress();  // of the client, outside of it

  // Loads `text` into the node with the nft program.
  void Nft(const std::string& text);

  // Makes the node drop packets to endpoints once source and destination are translated, if they bear kOneWay as type
  // of service: what is measured is the node's own work.
  void DropOneWay();
  static constexpr uint8_t kOneWay = 0x20;  // class selector 1
  // Packets dropped so far.
  int64_t Dropped();

 private:
  support::NetNs client_{"client"};
  support::NetNs node_{"node"};
  support::NetNs server_{"server"};
};

}  // namespace pointsman::bench
