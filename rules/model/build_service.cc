// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

#include "pointsman/model.h"

namespace pointsman {
namespace {

constexpr absl::Duration kDefaultAffinity = absl::Seconds(10800);

// Collects what is wrong with one object.
class Complaints {
 public:
  Complaints(Diagnostics& out, Kind kind, const NamespacedName& name) : out_(out), kind_(kind), name_(name) {}

  void Add(Severity severity, std::string field, std::string problem, std::string effect, std::string hint = "") {
    out_.push_back({.severity = severity,
                    .where = "",
                    .object = FormatKey({kind_, name_}),
                    .field = std::move(field),
                    .problem = std::move(problem),
                    .effect = std::move(effect),
                    .hint = std::move(hint)});
  }

 private:
  Diagnostics& out_;
  const Kind kind_;
  const NamespacedName& name_;
};

bool Hidden(const Service& service) {
  return service.type == ServiceType::kExternalName || service.meta.labels.contains(kServiceProxyNameLabel) ||
         service.cluster_ips.empty() || service.cluster_ips[0].empty() || service.cluster_ips[0] == "None";
}

// The text of the Service's ClusterIP in `family`: at the family's place in ipFamilies, else the first if it fits.
std::optional<size_t> ClusterIpIndex(const Service& service, Family family) {
  if (service.ip_families.empty()) return 0;
  const auto it = std::find(service.ip_families.begin(), service.ip_families.end(), family);
  const auto index = static_cast<size_t>(it - service.ip_families.begin());
  if (it == service.ip_families.end() || index >= service.cluster_ips.size()) return std::nullopt;
  return index;
}

// Whether a port has a name that should be its alone.
bool Repeats(const Service& service, const ServicePortSpec& port) {
  return std::count_if(service.ports.begin(), service.ports.end(), [&](const ServicePortSpec& other) {
           return other.name == port.name && other.protocol == port.protocol;
         }) > 1;
}

struct Addresses {
  std::vector<IpAddr> external_ips;
  std::vector<IpAddr> load_balancer_ips;
  std::vector<Cidr> source_ranges;
  bool ranged = false;  // there are source ranges, readable or not
};

void AddUnique(std::vector<IpAddr>& to, const IpAddr& addr) {
  if (std::find(to.begin(), to.end(), addr) == to.end()) to.push_back(addr);
}

// Parses the address lists of all families; what does not parse is left out.
Addresses ParseAddresses(const Service& service, Complaints& complaints) {
  Addresses parsed;
  for (size_t i = 0; i < service.external_ips.size(); ++i) {
    if (service.external_ips[i].empty()) continue;
    if (const auto addr = IpAddr::Parse(service.external_ips[i])) {
      AddUnique(parsed.external_ips, *addr);
    } else {
      complaints.Add(Severity::kError, absl::StrCat("spec.externalIPs[", i, "]"),
                     absl::StrCat("\"", service.external_ips[i], "\" is not an IP address"), "this address is skipped");
    }
  }
  for (size_t i = 0; i < service.ingress.size(); ++i) {
    const LoadBalancerIngress& ingress = service.ingress[i];
    if (ingress.ip.empty() || ingress.mode == IpMode::kProxy) continue;
    if (const auto addr = IpAddr::Parse(ingress.ip)) {
      AddUnique(parsed.load_balancer_ips, *addr);
    } else {
      complaints.Add(Severity::kError, absl::StrCat("status.loadBalancer.ingress[", i, "].ip"),
                     absl::StrCat("\"", ingress.ip, "\" is not an IP address"), "this address is skipped");
    }
  }
  parsed.ranged = !service.source_ranges.empty();
  for (size_t i = 0; i < service.source_ranges.size(); ++i) {
    if (const auto cidr = Cidr::Parse(absl::StripAsciiWhitespace(service.source_ranges[i]))) {
      parsed.source_ranges.push_back(*cidr);
    } else {
      complaints.Add(Severity::kError, absl::StrCat("spec.loadBalancerSourceRanges[", i, "]"),
                     absl::StrCat("\"", service.source_ranges[i], "\" is not a CIDR"), "this range admits nobody",
                     "write ADDRESS/PREFIX, as in 203.0.113.0/24");
    }
  }
  return parsed;
}

std::vector<IpAddr> OfFamily(const std::vector<IpAddr>& addrs, Family family) {
  std::vector<IpAddr> out;
  std::copy_if(addrs.begin(), addrs.end(), std::back_inserter(out),
               [&](const IpAddr& a) { return a.family() == family; });
  return out;
}

// The ranges of one family; empty (everyone) if one of them is everything.
std::vector<Cidr> RangesOfFamily(const std::vector<Cidr>& ranges, Family family) {
  std::vector<Cidr> out;
  for (const Cidr& cidr : ranges) {
    if (cidr.family() != family) continue;
    if (cidr.prefix_length() == 0) return {};
    out.push_back(cidr);
  }
  return out;
}

bool HasFamily(const std::vector<Cidr>& ranges, Family family) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const Cidr& cidr) { return cidr.family() == family; });
}

// Endpoints of one Service by the port they serve, as they come.
using EndpointKey = std::tuple<Family, std::string, Protocol>;
// A std::map, for AddSlice holds on to several of its lists while it makes new ones.
using EndpointsByPort = std::map<EndpointKey, std::vector<Endpoint>>;

int Rank(const Endpoint& e) { return e.ready ? 3 : e.serving && !e.terminating ? 2 : e.serving ? 1 : 0; }

// Sorts by address. Of duplicates the better one stays, of equally good ones the first.
void Collapse(std::vector<Endpoint>& endpoints) {
  // Slices are mostly written in order.
  const auto before = [](const Endpoint& a, const Endpoint& b) {
    if (a.addr != b.addr) return a.addr < b.addr;
    return Rank(a) > Rank(b);
  };
  if (!std::is_sorted(endpoints.begin(), endpoints.end(), before)) {
    std::stable_sort(endpoints.begin(), endpoints.end(), before);
  }
  const auto same = [](const Endpoint& a, const Endpoint& b) { return a.addr == b.addr; };
  endpoints.erase(std::unique(endpoints.begin(), endpoints.end(), same), endpoints.end());
}

void AddSlice(const EndpointSlice& slice, EndpointsByPort& out, Diagnostics& diagnostics) {
  if (!slice.address_type || slice.meta.labels.contains(kHeadlessLabel)) return;
  Complaints complaints(diagnostics, Kind::kEndpointSlice, slice.meta.name);
  std::vector<std::vector<Endpoint>*> lists;
  std::vector<uint16_t> numbers;
  for (size_t p = 0; p < slice.ports.size(); ++p) {
    const SlicePort& port = slice.ports[p];
    if (!port.name || !port.port || *port.port == 0) {
      complaints.Add(Severity::kError, absl::StrCat("ports[", p, "].", port.name ? "port" : "name"),
                     port.name ? "has no number (\"all ports\" cannot be proxied)" : "is missing",
                     "this port is skipped");
      continue;
    }
    lists.push_back(&out[{*slice.address_type, *port.name, port.protocol}]);
    numbers.push_back(*port.port);
    lists.back()->reserve(lists.back()->size() + slice.endpoints.size());
  }
  for (size_t e = 0; e < slice.endpoints.size(); ++e) {
    const SliceEndpoint& from = slice.endpoints[e];
    if (from.addresses.empty()) {
      complaints.Add(Severity::kError, absl::StrCat("endpoints[", e, "].addresses"), "is empty",
                     "this endpoint is skipped");
      continue;
    }
    const std::optional<IpAddr> addr = IpAddr::Parse(from.addresses[0]);
    if (!addr || addr->family() != *slice.address_type || addr->IsUnspecified() || addr->IsLoopback()) {
      complaints.Add(Severity::kError, absl::StrCat("endpoints[", e, "].addresses[0]"),
                     absl::StrCat("\"", from.addresses[0], "\" is not an ", FormatFamily(*slice.address_type),
                                  " address that can be reached"),
                     "this endpoint is skipped");
      continue;
    }
    for (size_t p = 0; p < lists.size(); ++p) {
      lists[p]->push_back({.addr = {*addr, numbers[p]},
                           .ready = from.ready,
                           .serving = from.serving,
                           .terminating = from.terminating,
                           .node = from.node_name,
                           .zone_hints = from.zone_hints,
                           .node_hints = from.node_hints});
    }
  }
}

}  // namespace

std::string FormatServicePort(const ServicePortName& name) {
  return name.port.empty() ? FormatName(name.service) : absl::StrCat(FormatName(name.service), ":", name.port);
}

BuiltService BuildService(const Service& service, absl::Span<const EndpointSlice* const> slices) {
  BuiltService built;
  if (Hidden(service)) return built;

  // By name, so that a tie between duplicates does not depend on the order of arrival.
  std::vector<const EndpointSlice*> ordered(slices.begin(), slices.end());
  std::sort(ordered.begin(), ordered.end(),
            [](const EndpointSlice* a, const EndpointSlice* b) { return a->meta.name < b->meta.name; });
  EndpointsByPort endpoints;
  for (const EndpointSlice* slice : ordered) AddSlice(*slice, endpoints, built.diagnostics);
  for (auto& [port, list] : endpoints) Collapse(list);

  Complaints complaints(built.diagnostics, Kind::kService, service.meta.name);
  const Addresses addresses = ParseAddresses(service, complaints);
  const bool takes_external_traffic = service.type != ServiceType::kClusterIp || !service.external_ips.empty();
  const bool health_checked =
      service.type == ServiceType::kLoadBalancer && service.external_policy == TrafficPolicy::kLocal;
  if (health_checked && service.health_check_node_port == 0) {
    complaints.Add(Severity::kNote, "spec.healthCheckNodePort", "is missing",
                   "load balancers cannot ask this node whether it has endpoints");
  }

  for (size_t p = 0; p < service.ports.size(); ++p) {
    if (service.ports[p].port != 0) continue;
    complaints.Add(Severity::kError, absl::StrCat("spec.ports[", p, "].port"), "is missing or 0",
                   "this port is skipped");
  }
  for (const Family family : kFamilies) {
    const std::optional<size_t> index = ClusterIpIndex(service, family);
    if (!index) continue;
    const std::optional<IpAddr> cluster_ip = IpAddr::Parse(service.cluster_ips[*index]);
    if (!cluster_ip) {
      if (family == Family::kIpv6 && service.ip_families.empty()) continue;  // said once
      complaints.Add(Severity::kError, absl::StrCat("spec.clusterIPs[", *index, "]"),
                     absl::StrCat("\"", service.cluster_ips[*index], "\" is not an IP address"),
                     "the Service gets no rules in this family");
      continue;
    }
    if (cluster_ip->family() != family) continue;
    for (const ServicePortSpec& port : service.ports) {
      if (port.port == 0) continue;
      ServicePort out = {.name = {service.meta.name, port.name, port.protocol},
                         .family = family,
                         .cluster_ip = *cluster_ip,
                         .port = port.port,
                         .node_port = port.node_port,
                         .external_ips = OfFamily(addresses.external_ips, family),
                         .load_balancer_ips = OfFamily(addresses.load_balancer_ips, family),
                         .source_ranges = RangesOfFamily(addresses.source_ranges, family),
                         .ranged_elsewhere = addresses.ranged && !HasFamily(addresses.source_ranges, family),
                         .health_check_node_port = health_checked ? service.health_check_node_port : uint16_t{0},
                         .internal_policy = service.internal_policy,
                         .external_policy = takes_external_traffic ? service.external_policy : TrafficPolicy::kCluster,
                         .affinity = service.client_ip_affinity,
                         .endpoints = {},
                         .creation = service.meta.creation};
      if (out.affinity && *out.affinity <= absl::ZeroDuration()) out.affinity = kDefaultAffinity;
      const auto list = endpoints.find({family, port.name, port.protocol});
      if (list != endpoints.end()) {
        out.endpoints = Repeats(service, port) ? list->second : std::move(list->second);
      }
      built.ports.push_back(std::move(out));
    }
  }
  return built;
}

}  // namespace pointsman
