// SPDX-License-Identifier: Apache-2.0
#include "bench/packet_road.h"

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "pointsman/status.h"
#include "tests/support/files.h"
#include "tests/support/process.h"

namespace pointsman::bench {
namespace {

using support::NetNs;

// Before any link exists, so that links inherit it.
void Prepare(NetNs& ns) {
  for (const char* scope : {"all", "default"}) {
    ns.Sysctl(absl::StrCat("net/ipv4/conf/", scope, "/rp_filter"), "0");
    ns.Sysctl(absl::StrCat("net/ipv6/conf/", scope, "/disable_ipv6"), "1");
  }
  ns.Sysctl("net/ipv4/ip_local_port_range", "1024 65535");
  ns.Ip("link set lo up\n");
}

std::string Run(NetNs& ns, const std::vector<std::string>& argv, const std::string& input) {
  const support::ProcessResult result =
      support::RunProcess(ns, argv, {.stdin_text = input, .timeout = absl::Minutes(10)});
  if (result.exit_code != 0) support::Fatal(absl::StrCat(argv[0], ": ", result.err.substr(0, 2000)));
  return result.out;
}

}  // namespace

PacketRoad::PacketRoad() {
  for (NetNs* ns : {&client_, &node_, &server_}) Prepare(*ns);
  node_.Sysctl("net/ipv4/ip_forward", "1");
  node_.Ip(absl::StrCat(
      "link add client address 02:00:00:00:00:01 type veth peer name eth0 address 02:00:00:00:00:02 netns ",
      client_.path(),
      "\n"
      "link add server address 02:00:00:00:00:03 type veth peer name eth0 address 02:00:00:00:00:04 netns ",
      server_.path(), "\n"));
  client_.Ip(
      "addr add 10.255.0.2/24 dev eth0\n"
      "addr add 198.51.100.2/24 dev eth0\n"
      "link set eth0 up\n"
      "neigh add 10.255.0.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent\n"
      "route add default via 10.255.0.1\n");
  // The client's network among the local routes: it is part of what the server answers for, but for this.
  server_.Ip(
      "addr add 192.0.2.2/24 dev eth0\n"
      "link set eth0 up\n"
      "neigh add 192.0.2.1 lladdr 02:00:00:00:00:03 dev eth0 nud permanent\n"
      "route add default via 192.0.2.1\n"
      "route add local 10.0.0.0/8 dev lo\n"
      "route add 10.255.0.0/24 via 192.0.2.1 table local\n");
  node_.Ip(
      "addr add 10.255.0.1/24 dev client\n"
      "addr add 198.51.100.1/24 dev client\n"
      "addr add 192.0.2.1/24 dev server\n"
      "link set client up\n"
      "link set server up\n"
      "neigh add 10.255.0.2 lladdr 02:00:00:00:00:02 dev client nud permanent\n"
      "neigh add 198.51.100.2 lladdr 02:00:00:00:00:02 dev client nud permanent\n"
      "neigh add 192.0.2.2 lladdr 02:00:00:00:00:04 dev server nud permanent\n"
      "route add 10.0.0.0/8 via 192.0.2.2\n");
  // Connections that were reset are forgotten soon, or they would fill the table.
  node_.Sysctl("net/netfilter/nf_conntrack_tcp_timeout_close", "1");
}

IpAddr PacketRoad::PodAddress() { return *IpAddr::Parse("10.255.0.2"); }
IpAddr PacketRoad::OutsideAddress() { return *IpAddr::Parse("198.51.100.2"); }

void PacketRoad::Nft(const std::string& text) { Run(node_, {"nft", "-f", "-"}, text); }

void PacketRoad::DropOneWay() {
  Nft(R"(
table ip bench {
  counter dropped {}
  chain after_translation {
    type filter hook postrouting priority 200
    ip dscp cs1 ip daddr 10.0.0.0/8 tcp dport 8080 counter name dropped drop
  }
})");
}

int64_t PacketRoad::Dropped() {
  const std::string text = Run(node_, {"nft", "list", "counter", "ip", "bench", "dropped"}, "");
  const std::vector<std::string> words = absl::StrSplit(text, absl::ByAnyChar(" \t\n"), absl::SkipEmpty());
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    int64_t packets = 0;
    if (words[i] == "packets" && absl::SimpleAtoi(words[i + 1], &packets)) return packets;
  }
  support::Fatal(absl::StrCat("no packets in: ", text));
}

}  // namespace pointsman::bench
