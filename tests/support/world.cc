// SPDX-License-Identifier: Apache-2.0
#include "tests/support/world.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "tests/support/files.h"
#include "tests/support/traffic.h"

namespace pointsman::support {

IpAddr Ip(absl::string_view text) {
  const std::optional<IpAddr> addr = IpAddr::Parse(text);
  if (!addr) Fatal(absl::StrCat("not an address: ", text));
  return *addr;
}

World::World(WorldOptions options) : options_(std::move(options)) {
  client_ = std::make_unique<NetNs>("client");
  node_ = std::make_unique<NetNs>("node");
  for (int i = 0; i < options_.pods; ++i) pods_.push_back(std::make_unique<NetNs>(absl::StrCat("pod ", i)));
  Prepare(*client_);
  Prepare(*node_);
  for (const auto& pod : pods_) Prepare(*pod);
  node_->Sysctl("net/ipv4/ip_forward", "1");
  node_->Sysctl("net/ipv6/conf/all/forwarding", "1");
  Connect();
  WaitUntilReachable();
}

IpAddr World::node_ip(Family family) const { return Ip(family == Family::kIpv4 ? "192.0.2.1" : "2001:db8::1"); }

IpAddr World::client_ip(Family family) const { return Ip(family == Family::kIpv4 ? "192.0.2.2" : "2001:db8::2"); }

IpAddr World::pod_ip(int i, Family family) const {
  return Ip(absl::StrCat(family == Family::kIpv4 ? options_.pods4 : options_.pods6, options_.first_pod + i));
}

// Before any link exists, so that links inherit it.
void World::Prepare(NetNs& ns) {
  for (const char* scope : {"all", "default"}) {
    ns.Sysctl(absl::StrCat("net/ipv4/conf/", scope, "/rp_filter"), "0");
    ns.Sysctl(absl::StrCat("net/ipv6/conf/", scope, "/accept_dad"), "0");
    ns.Sysctl(absl::StrCat("net/ipv6/conf/", scope, "/accept_ra"), "0");
  }
  ns.Sysctl("net/ipv4/icmp_ratelimit", "0");
  ns.Sysctl("net/ipv6/icmp/ratelimit", "0");
  ns.Sysctl("net/ipv4/ip_local_port_range", "1024 65535");
  ns.Ip("link set lo up\n");
}

void World::Connect() {
  std::string node = absl::StrCat("link add client type veth peer name eth0 netns ", client_->path(),
                                  "\n"
                                  "addr add 192.0.2.1/24 dev client\n"
                                  "addr add 2001:db8::1/64 dev client nodad\n"
                                  "link set client up\n");
  for (int i = 0; i < pods(); ++i) {
    const std::string link = absl::StrCat("pod", i);
    absl::StrAppend(&node, "link add ", link, " type veth peer name eth0 netns ", pod(i).path(), "\n",  //
                    "addr add fe80::1/64 dev ", link, " nodad\n",                                       //
                    "link set ", link, " up\n",                                                         //
                    "route add ", FormatIp(pod_ip(i, Family::kIpv4)), "/32 dev ", link, "\n",           //
                    "route add ", FormatIp(pod_ip(i, Family::kIpv6)), "/128 dev ", link, "\n");
  }
  node_->Ip(node);
  // The first request for a neighbour may be lost while its link is still coming up; do not wait a second to repeat it.
  const auto ask_often = [](NetNs& ns, const std::string& link) {
    for (const char* family : {"ipv4", "ipv6"}) {
      ns.Sysctl(absl::StrCat("net/", family, "/neigh/", link, "/retrans_time_ms"), "50");
    }
  };
  ask_often(*node_, "client");
  ask_often(*client_, "eth0");
  for (int i = 0; i < pods(); ++i) {
    ask_often(*node_, absl::StrCat("pod", i));
    ask_often(pod(i), "eth0");
  }
  client_->Ip(
      "addr add 192.0.2.2/24 dev eth0\n"
      "addr add 2001:db8::2/64 dev eth0 nodad\n"
      "link set eth0 up\n"
      "route add 0.0.0.0/0 via 192.0.2.1\n"
      "route add ::/0 via 2001:db8::1 dev eth0\n");
  for (int i = 0; i < pods(); ++i) {
    pod(i).Ip(absl::StrCat("addr add ", FormatIp(pod_ip(i, Family::kIpv4)), "/32 dev eth0\n",         //
                           "addr add ", FormatIp(pod_ip(i, Family::kIpv6)), "/128 dev eth0 nodad\n",  //
                           "link set eth0 up\n"
                           "route add 192.0.2.1/32 dev eth0\n"
                           "route add 0.0.0.0/0 via 192.0.2.1 dev eth0\n"
                           "route add ::/0 via fe80::1 dev eth0\n"));
  }
}

// A link reports its carrier a moment after it is set up. A refused connection is an answer.
void World::WaitUntilReachable() {
  for (int i = 0; i < pods(); ++i) {
    for (const Family family : kFamilies) {
      const absl::Time deadline = absl::Now() + absl::Seconds(10);
      while (Ask(*client_, Protocol::kTcp, {pod_ip(i, family), 1}, absl::Milliseconds(100)).outcome !=
             Outcome::kRefused) {
        if (absl::Now() > deadline) Fatal(absl::StrCat(FormatIp(pod_ip(i, family)), " is not reachable"));
        absl::SleepFor(absl::Milliseconds(5));
      }
    }
  }
}

}  // namespace pointsman::support
