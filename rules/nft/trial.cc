// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/time.h"

#include "pointsman/nft_program.h"

namespace pointsman::nft {
namespace {

IpAddr Host(Family family, uint8_t number) {
  const IpAddr net = *IpAddr::Parse(family == Family::kIpv4 ? "192.0.2.0" : "2001:db8::");
  std::vector<uint8_t> bytes(net.bytes().begin(), net.bytes().end());
  bytes.back() = number;
  return IpAddr::FromBytes(bytes);
}

// A Service port that uses whatever there is to be used.
PortPlan SamplePort(Family family) {
  const auto match = [&](uint8_t host) { return Match{Host(family, host), Protocol::kTcp, 80}; };
  const absl::Duration hour = absl::Hours(1);
  PortPlan port;
  port.name.port = family == Family::kIpv4 ? "v4" : "v6";
  port.frontends = {
      {.match = match(1), .action = {.snat = Snat::kOutsidePods, .affinity = hour}},
      {.match = match(2), .action = {.snat = Snat::kAlways}},
      {.match = match(3), .action = {.scope = Scope::kLocal}},
      {.match = match(4),
       .action = {.scope = Scope::kExternalLocal,
                  .fenced = true,
                  .allow = {Cidr(Host(family, 128), family == Family::kIpv4 ? 25 : 121)},
                  .affinity = hour}},
  };
  port.cluster = {{Host(family, 11), 80}, {Host(family, 12), 80}, {Host(family, 13), 80}};
  port.local = {{Host(family, 11), 80}};
  port.hairpin = {Host(family, 11)};
  return port;
}

}  // namespace

ChangeSet CompileTrial() {
  ServicePlan plan = {.service = {"trial", "trial"}};
  BaseSettings settings;
  for (const Family family : kFamilies) {
    const Cidr net(Host(family, 0), family == Family::kIpv4 ? 24 : 120);
    plan.ports.push_back(SamplePort(family));
    plan.cluster_ips.push_back(Host(family, 1));
    settings.policy.pods.cidrs.push_back(net);
    settings.service_cidrs.push_back(net);
  }
  const std::vector<std::shared_ptr<const ServicePlan>> plans = {std::make_shared<const ServicePlan>(std::move(plan))};
  return Diff(CompileAll(plans, settings), {}).commit;
}

}  // namespace pointsman::nft
