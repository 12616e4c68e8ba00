// SPDX-License-Identifier: Apache-2.0
#include "tests/scenario/bed.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "tests/support/files.h"

namespace pointsman::scenario {
namespace {

using support::NetNs;

std::string Single(const IpAddr& addr) { return FormatCidr(Cidr(addr, addr.family() == Family::kIpv4 ? 32 : 128)); }

std::string AddAddress(const IpAddr& addr, absl::string_view link) {
  return absl::StrCat("addr add ", Single(addr), " dev ", link, addr.family() == Family::kIpv6 ? " nodad" : "", "\n");
}

std::string AddRoute(const IpAddr& to, absl::string_view link) {
  return absl::StrCat("route add ", Single(to), " dev ", link, "\n");
}

std::string AddRoute(const std::string& to, const IpAddr& via, absl::string_view link) {
  return absl::StrCat("route add ", to, " via ", FormatIp(via), " dev ", link, " onlink\n");
}

std::string Everything(Family family) { return family == Family::kIpv4 ? "0.0.0.0/0" : "::/0"; }

Probe Knock(NetNs& from, const IpAddr& at) {
  return {.from = &from, .to = {at, 1}, .patience = absl::Milliseconds(50)};
}

// Knocks where nobody listens; a refused connection is an answer.
void WaitUntilRefused(std::vector<Probe> open) {
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (!open.empty()) {
    const std::vector<Answer> answers = AskAll(open);
    std::vector<Probe> left;
    for (size_t i = 0; i < open.size(); ++i) {
      if (answers[i].kind != Answer::Kind::kRefused) left.push_back(open[i]);
    }
    open = std::move(left);
    if (!open.empty() && absl::Now() > deadline) {
      support::Fatal(
          absl::StrCat(FormatIp(open.front().to.addr), " is not reachable from ", open.front().from->name()));
    }
  }
}

bool OnLan(const Host& host) { return host.kind != HostKind::kPod; }

}  // namespace

Bed::Bed(BedPlan plan) : plan_(std::move(plan)), lan_(std::make_unique<NetNs>("lan")) {
  for (const Host& host : plan_.hosts) {
    namespaces_[host.name] = std::make_unique<NetNs>(host.name);
    Prepare(host);
  }
  servers_ = std::make_unique<Servers>();
  Connect();
  for (const SysctlLine& line : plan_.sysctls) ns(*plan_.Find(line.host)).Sysctl(line.name, line.value);
  WaitUntilReachable();
}

Bed::~Bed() = default;

// Before any link exists, so that links inherit it.
void Bed::Prepare(const Host& host) {
  NetNs& in = ns(host);
  for (const char* scope : {"all", "default"}) {
    in.Sysctl(absl::StrCat("net/ipv4/conf/", scope, "/rp_filter"), "0");
    // Who is told of a shorter way would go past the node.
    in.Sysctl(absl::StrCat("net/ipv4/conf/", scope, "/send_redirects"), "0");
    in.Sysctl(absl::StrCat("net/ipv4/conf/", scope, "/accept_redirects"), "0");
    in.Sysctl(absl::StrCat("net/ipv6/conf/", scope, "/accept_redirects"), "0");
    in.Sysctl(absl::StrCat("net/ipv6/conf/", scope, "/accept_dad"), "0");
    in.Sysctl(absl::StrCat("net/ipv6/conf/", scope, "/accept_ra"), "0");
  }
  in.Sysctl("net/ipv4/icmp_ratelimit", "0");
  in.Sysctl("net/ipv6/icmp/ratelimit", "0");
  if (host.kind == HostKind::kNode || host.kind == HostKind::kRouter) {
    in.Sysctl("net/ipv4/ip_forward", "1");
    in.Sysctl("net/ipv6/conf/all/forwarding", "1");
  }
  in.Ip("link set lo up\n");
}

void Bed::Connect() {
  std::map<std::string, std::string> commands;  // by host
  std::string lan =
      "link add name bridge0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set bridge0 up\n";
  int number = 0;
  for (const Host& host : plan_.hosts) {
    if (!OnLan(host)) continue;
    const std::string port = absl::StrCat("port", number++);
    absl::StrAppend(&lan, "link add name ", port, " type veth peer name ", kLanInterface, " netns ", ns(host).path(),
                    "\n", "link set ", port, " master bridge0\nlink set ", port, " up\n");
    std::string& own = commands[host.name];
    for (const auto& [family, addresses] : host.addresses) {
      for (const IpAddr& addr : addresses) absl::StrAppend(&own, AddAddress(addr, kLanInterface));
    }
    absl::StrAppend(&own, "link set ", kLanInterface, " up\n");
  }
  lan_->Ip(lan);

  const Host& node = plan_.node();
  for (const Host& host : plan_.hosts) {
    std::string& own = commands[host.name];
    if (host.kind == HostKind::kNode) {
      for (const Alias& alias : plan_.aliases) {
        const std::string link = alias.loopback ? "lo" : alias.name;
        if (!alias.loopback) {
          absl::StrAppend(&own, "link add name ", link, " type veth peer name ", link, "-peer\nlink set ", link,
                          "-peer up\n");
        }
        for (const auto& [family, addr] : alias.addresses) absl::StrAppend(&own, AddAddress(addr, link));
        absl::StrAppend(&own, "link set ", link, " up\n");
      }
      if (!plan_.bridge.empty()) {
        absl::StrAppend(&own, "link add name ", plan_.bridge,
                        " type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n");
        for (const auto& [family, addr] : plan_.gateway) absl::StrAppend(&own, AddAddress(addr, plan_.bridge));
        absl::StrAppend(&own, "link set ", plan_.bridge, " up\n");
      }
    }
    // Pods: a veth at the node, a veth at the router.
    for (const Host& pod : plan_.hosts) {
      if (pod.on != host.name) continue;
      const std::string link = PodInterface(pod.name);
      const bool bridged = host.kind == HostKind::kNode && !plan_.bridge.empty();
      absl::StrAppend(&own, "link add name ", link, " type veth peer name eth0 netns ", ns(pod).path(), "\n");
      if (bridged) {
        // Where netfilter sees bridged packets, a pod reaches itself without leaving the bridge.
        absl::StrAppend(&own, "link set ", link, " master ", plan_.bridge, "\n");
        absl::StrAppend(&own, "link set ", link, " type bridge_slave hairpin on\n");
      }
      absl::StrAppend(&own, "link set ", link, " up\n");
      std::string& inside = commands[pod.name];
      absl::StrAppend(&inside, "link set eth0 up\n");
      for (const auto& [family, addresses] : pod.addresses) {
        const IpAddr& gateway = host.kind == HostKind::kNode ? plan_.gateway.at(family) : *host.Address(family);
        // IPv6 answers for the addresses of the interface only.
        if (!bridged) absl::StrAppend(&own, AddAddress(gateway, link));
        absl::StrAppend(&own, AddRoute(addresses.front(), bridged ? plan_.bridge : link));
        for (const IpAddr& addr : addresses) absl::StrAppend(&inside, AddAddress(addr, "eth0"));
        absl::StrAppend(&inside, AddRoute(gateway, "eth0"), AddRoute(Everything(family), gateway, "eth0"));
      }
    }
    if (!OnLan(host)) continue;
    // Neighbours, and the pods behind them.
    for (const Host& other : plan_.hosts) {
      if (other.name == host.name || other.on == host.name) continue;
      for (const auto& [family, addresses] : other.addresses) {
        if (host.Address(family) == nullptr) continue;
        for (const IpAddr& addr : addresses) {
          if (OnLan(other)) {
            absl::StrAppend(&own, AddRoute(addr, kLanInterface));
          } else if (const IpAddr* via = plan_.Find(other.on)->Address(family)) {
            absl::StrAppend(&own, AddRoute(Single(addr), *via, kLanInterface));
          }
        }
      }
    }
    // The rest.
    for (const Family family : kFamilies) {
      const IpAddr* via = host.kind == HostKind::kClient ? node.Address(family) : plan_.world()->Address(family);
      if (via == nullptr || host.Address(family) == nullptr || host.kind == HostKind::kWorld) continue;
      absl::StrAppend(&own, AddRoute(Everything(family), *via, kLanInterface));
    }
  }
  // Links are made by the node and the routers, so they go first.
  for (const bool routers : {true, false}) {
    for (const Host& host : plan_.hosts) {
      if ((host.kind == HostKind::kNode || host.kind == HostKind::kRouter) == routers) ns(host).Ip(commands[host.name]);
    }
  }
  // The first request for a neighbour may be lost while its link is still coming up; do not wait a second to repeat it.
  const auto ask_often = [&](const Host& host, const std::string& link) {
    for (const char* family : {"ipv4", "ipv6"}) {
      ns(host).Sysctl(absl::StrCat("net/", family, "/neigh/", link, "/retrans_time_ms"), "50");
    }
  };
  for (const Host& host : plan_.hosts) {
    ask_often(host, OnLan(host) ? kLanInterface : "eth0");
    if (OnLan(host)) continue;
    const Host& on = *plan_.Find(host.on);
    ask_often(on, on.kind == HostKind::kNode && !plan_.bridge.empty() ? plan_.bridge : PodInterface(host.name));
  }
}

// A link reports its carrier a moment after it is set up, and the first packet waits for the neighbour.
void Bed::WaitUntilReachable() {
  std::vector<Probe> open;
  for (const Host& from : plan_.hosts) {
    for (const Host& to : plan_.hosts) {
      // Everybody asks who is next to him, in both directions.
      const bool neighbours =
          from.name != to.name && ((OnLan(from) && OnLan(to)) || from.on == to.name || to.on == from.name);
      if (!neighbours) continue;
      for (const auto& [family, addresses] : to.addresses) {
        if (from.Address(family) == nullptr) continue;
        const bool gateway = from.on == to.name && to.kind == HostKind::kNode;
        open.push_back(Knock(ns(from), gateway ? plan_.gateway.at(family) : addresses.front()));
      }
    }
  }
  WaitUntilRefused(std::move(open));
}

void Bed::GiveToWorld(const std::set<IpAddr>& addresses) {
  std::string commands;
  std::vector<Probe> knocks;
  NetNs& world = ns(*plan_.world());
  for (const IpAddr& addr : addresses) {
    if (!in_world_.insert(addr).second) continue;
    absl::StrAppend(&commands, AddAddress(addr, "lo"));
    knocks.push_back(Knock(world, addr));
  }
  if (commands.empty()) return;
  world.Ip(commands);
  // The kernel makes the route to an IPv6 address in its own time.
  WaitUntilRefused(std::move(knocks));
}

}  // namespace pointsman::scenario
