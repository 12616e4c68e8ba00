// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "pointsman/status.h"
#include "tests/scenario/scenario.h"

namespace pointsman::scenario {

// --- values ---

const IpAddr* Host::Address(Family family) const {
  const auto found = addresses.find(family);
  return found == addresses.end() ? nullptr : &found->second.front();
}

bool Host::Has(const IpAddr& addr) const {
  const auto found = addresses.find(addr.family());
  return found != addresses.end() && std::count(found->second.begin(), found->second.end(), addr) != 0;
}

const Host* BedPlan::Find(absl::string_view name) const {
  for (const Host& host : hosts) {
    if (host.name == name) return &host;
  }
  return nullptr;
}

const Host& BedPlan::node() const {
  const auto found =
      std::find_if(hosts.begin(), hosts.end(), [](const Host& host) { return host.kind == HostKind::kNode; });
  PM_CHECK(found != hosts.end());
  return *found;
}

const Host* BedPlan::world() const {
  const auto found =
      std::find_if(hosts.begin(), hosts.end(), [](const Host& host) { return host.kind == HostKind::kWorld; });
  return found == hosts.end() ? nullptr : &*found;
}

std::vector<IpAddr> BedPlan::NodeAddresses() const {
  std::set<IpAddr> all;
  for (const auto& [family, addresses] : node().addresses) all.insert(addresses.begin(), addresses.end());
  for (const auto& [family, addr] : gateway) all.insert(addr);
  for (const Alias& alias : aliases) {
    for (const auto& [family, addr] : alias.addresses) all.insert(addr);
  }
  return {all.begin(), all.end()};
}

bool BedPlan::IsNodeAddress(const IpAddr& addr) const {
  const std::vector<IpAddr> all = NodeAddresses();
  return addr.IsLoopback() || std::count(all.begin(), all.end(), addr) != 0;
}

std::string PodInterface(absl::string_view pod) { return absl::StrCat("pod", pod); }

std::string BedPlan::InterfaceOf(const Host& host) const {
  if (host.kind == HostKind::kNode) return "";
  if (host.kind != HostKind::kPod || host.on != node().name) return kLanInterface;
  return bridge.empty() ? PodInterface(host.name) : bridge;
}

const Service* Cluster::FindService(absl::string_view name) const {
  for (const auto& object : objects) {
    const auto* service = std::get_if<Service>(object.get());
    if (service != nullptr && service->meta.name.name == name) return service;
  }
  return nullptr;
}

const char* FormatWire(Wire wire) {
  switch (wire) {
    case Wire::kTcp:
      return "tcp";
    case Wire::kUdp:
      return "udp";
    case Wire::kSctp:
      return "sctp";
    case Wire::kIcmp:
      return "icmp";
  }
  return "?";
}

Protocol ProtocolOf(Wire wire) {
  PM_CHECK(wire != Wire::kIcmp);
  return wire == Wire::kTcp ? Protocol::kTcp : wire == Wire::kUdp ? Protocol::kUdp : Protocol::kSctp;
}

IpAddr SeenAs(const BedPlan& bed, const Question& question, const ExpectedEndpoint& endpoint) {
  const Family family = question.family;
  const IpAddr primary = *bed.node().Address(family);
  if (endpoint.source == Source::kKept) return question.source();
  if (endpoint.source == Source::kPrimary) return primary;
  const Host* host = bed.Find(endpoint.host);
  return host->kind == HostKind::kPod && host->on == bed.node().name ? bed.gateway.at(family) : primary;
}

namespace {

absl::Status Wrong(const std::string& text) { return absl::InvalidArgumentError(text); }

Wire WireOf(Protocol protocol) {
  return protocol == Protocol::kTcp ? Wire::kTcp : protocol == Protocol::kUdp ? Wire::kUdp : Wire::kSctp;
}

Wire WireOf(const std::string& text) {
  for (const Wire wire : {Wire::kTcp, Wire::kUdp, Wire::kSctp}) {
    if (text == FormatWire(wire)) return wire;
  }
  return Wire::kIcmp;
}

// One place an address stands for, in one family.
struct Place {
  IpAddr addr;
  uint16_t port = 0;
  Wire wire = Wire::kTcp;
  const Service* service = nullptr;            // may be null
  const ServicePortSpec* port_spec = nullptr;  // may be null: no port of the Service
};

// The parsed addresses of `texts` in `family`, in order.
std::vector<IpAddr> OfFamily(const std::vector<std::string>& texts, Family family) {
  std::vector<IpAddr> addresses;
  for (const std::string& text : texts) {
    const std::optional<IpAddr> addr = IpAddr::Parse(text);
    if (addr && addr->family() == family) addresses.push_back(*addr);
  }
  return addresses;
}

std::vector<std::string> IngressOf(const Service& service) {
  std::vector<std::string> texts;
  for (const LoadBalancerIngress& ingress : service.ingress) texts.push_back(ingress.ip);
  return texts;
}

// The addresses of `name`, a host, an alias, "localhost" or an address.
absl::btree_map<Family, IpAddr> PlainAddresses(const BedPlan& bed, const std::string& name) {
  absl::btree_map<Family, IpAddr> addresses;
  if (const std::optional<IpAddr> literal = IpAddr::Parse(name)) addresses[literal->family()] = *literal;
  if (name == "localhost") {
    addresses = {{Family::kIpv4, *IpAddr::Parse("127.0.0.1")}, {Family::kIpv6, *IpAddr::Parse("::1")}};
  }
  if (const Host* host = bed.Find(name)) {
    for (const auto& [family, list] : host->addresses) addresses[family] = list.front();
  }
  for (const Alias& alias : bed.aliases) {
    if (alias.name == name) addresses = alias.addresses;
  }
  return addresses;
}

// The addresses `text` names, and whether the port is a node port.
absl::StatusOr<absl::btree_map<Family, IpAddr>> AddressesOf(const BedPlan& bed, const Cluster& cluster,
                                                            const Address& text) {
  if (text.kind.empty()) {
    absl::btree_map<Family, IpAddr> addresses = PlainAddresses(bed, text.object);
    if (addresses.empty()) return Wrong(absl::StrCat(text.object, " is no address, host or alias"));
    return addresses;
  }
  const Service* service = cluster.FindService(text.object);
  if (service == nullptr) return Wrong(absl::StrCat("there is no Service ", text.object));
  if (text.kind == "nodeport" || text.kind == "health") {
    absl::btree_map<Family, IpAddr> addresses = PlainAddresses(bed, text.at.empty() ? bed.node().name : text.at);
    if (addresses.empty()) return Wrong(absl::StrCat("there is no ", text.at));
    return addresses;
  }
  absl::btree_map<Family, IpAddr> addresses;
  for (const Family family : kFamilies) {
    const std::vector<IpAddr> list = OfFamily(text.kind == "cluster"    ? service->cluster_ips
                                              : text.kind == "external" ? service->external_ips
                                                                        : IngressOf(*service),
                                              family);
    if (list.size() > static_cast<size_t>(text.index)) addresses[family] = list[static_cast<size_t>(text.index)];
  }
  if (addresses.empty()) return Wrong(absl::StrCat(text.text, ": the Service has no such address"));
  return addresses;
}

// Who answers at an address that is not named by its Service; null if nobody does.
const Service* Owner(const BedPlan& bed, const Cluster& cluster, const IpAddr& addr, uint16_t port) {
  for (const auto& object : cluster.objects) {
    const auto* service = std::get_if<Service>(object.get());
    if (service == nullptr) continue;
    for (const auto& list : {service->cluster_ips, service->external_ips, IngressOf(*service)}) {
      const std::vector<IpAddr> parsed = OfFamily(list, addr.family());
      if (std::count(parsed.begin(), parsed.end(), addr) != 0) return service;
    }
    if (!bed.IsNodeAddress(addr)) continue;
    for (const ServicePortSpec& spec : service->ports) {
      if (spec.node_port != 0 && spec.node_port == port) return service;
    }
  }
  return nullptr;
}

absl::StatusOr<std::vector<Place>> PlacesOf(const BedPlan& bed, const Cluster& cluster, const Address& text) {
  PM_ASSIGN_OR_RETURN(const auto addresses, AddressesOf(bed, cluster, text));
  std::vector<Place> places;
  for (const auto& [family, addr] : addresses) {
    const Service* service =
        text.kind.empty() ? Owner(bed, cluster, addr, text.port) : cluster.FindService(text.object);
    if (text.kind == "health") {
      places.push_back({addr, service->health_check_node_port, Wire::kTcp, service, nullptr});
      continue;
    }
    const bool node_port = text.kind == "nodeport" || (text.kind.empty() && bed.IsNodeAddress(addr));
    bool any = false;
    for (const ServicePortSpec& spec : service == nullptr ? std::vector<ServicePortSpec>() : service->ports) {
      const uint16_t port = node_port ? spec.node_port : spec.port;
      if (port == 0 || (text.port != 0 && text.port != port)) continue;
      if (!text.protocols.empty() &&
          std::count(text.protocols.begin(), text.protocols.end(), std::string(FormatProtocol(spec.protocol))) == 0) {
        continue;
      }
      const auto in_service = std::find(service->ports.begin(), service->ports.end(), spec);
      places.push_back({addr, port, WireOf(spec.protocol), service, &*in_service});
      any = true;
    }
    if (any) continue;
    // A port nobody serves: then it must be said in full.
    if (text.protocols.empty()) return Wrong(absl::StrCat(text.text, ": no Service port; say which protocol"));
    for (const std::string& protocol : text.protocols) {
      const Wire wire = WireOf(protocol);
      if (text.port == 0 && wire != Wire::kIcmp) return Wrong(absl::StrCat(text.text, ": no Service port; say which"));
      places.push_back({addr, text.port, wire, service, nullptr});
    }
  }
  return places;
}

// Where `host` listens for `spec`, by the slices of the Service.
absl::StatusOr<uint16_t> PortAt(const Cluster& cluster, const Service& service, const ServicePortSpec& spec,
                                const IpAddr& addr, const std::string& host) {
  std::set<uint16_t> ports;
  for (const auto& object : cluster.objects) {
    const auto* slice = std::get_if<EndpointSlice>(object.get());
    if (slice == nullptr || slice->meta.name.ns != service.meta.name.ns) continue;
    const auto label = slice->meta.labels.find(kServiceNameLabel);
    if (label == slice->meta.labels.end() || label->second != service.meta.name.name) continue;
    const bool there = std::any_of(slice->endpoints.begin(), slice->endpoints.end(), [&](const SliceEndpoint& e) {
      return !e.addresses.empty() && IpAddr::Parse(e.addresses.front()) == addr;
    });
    if (!there) continue;
    for (const SlicePort& port : slice->ports) {
      if (port.name == spec.name && port.protocol == spec.protocol && port.port) ports.insert(*port.port);
    }
  }
  if (ports.size() == 1) return *ports.begin();
  return Wrong(absl::StrCat(host, " (", FormatIp(addr), ") is an endpoint of ", service.meta.name.name, " at ",
                            ports.size(), " ports; say NAME:PORT"));
}

absl::Status Endpoints(const BedPlan& bed, const Cluster& cluster, const Expectation& expect, const Service* service,
                       const ServicePortSpec* spec, Question& question) {
  question.expect = expect;
  question.endpoints.clear();
  for (const EndpointText& text : expect.endpoints) {
    const Host* host = bed.Find(text.host);
    const IpAddr* addr = host->Address(question.family);
    if (addr == nullptr) return Wrong(absl::StrCat(text.host, " has no ", FormatFamily(question.family), " address"));
    ExpectedEndpoint endpoint{.host = text.host, .at = {*addr, text.port}, .lost = text.lost};
    if (text.port == 0) {
      if (service == nullptr || spec == nullptr) return Wrong(absl::StrCat("which port of ", text.host, "?"));
      PM_ASSIGN_OR_RETURN(endpoint.at.port, PortAt(cluster, *service, *spec, *addr, text.host));
    }
    endpoint.source = text.source ? *text.source : *expect.source;
    // Who reaches itself must see another address, whatever the policy, or it would answer itself directly.
    if (host == question.from && endpoint.source == Source::kKept) {
      endpoint.source = host->kind == HostKind::kNode ? Source::kPrimary : Source::kMasq;
    }
    question.endpoints.push_back(std::move(endpoint));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Question>> Questions(const BedPlan& bed, const Cluster& cluster, const std::string& id,
                                                int line, const Sender& from, const Address& to,
                                                const Expectation& expect) {
  PM_ASSIGN_OR_RETURN(const std::vector<Place> places, PlacesOf(bed, cluster, to));
  absl::btree_map<Family, IpAddr> bound;
  if (from.as) {
    PM_ASSIGN_OR_RETURN(bound, AddressesOf(bed, cluster, *from.as));
  }
  std::vector<Question> questions;
  const Host* host = bed.Find(from.host);
  for (const Place& place : places) {
    const Family family = place.addr.family();
    if (host->Address(family) == nullptr || (expect.family && *expect.family != family)) continue;
    Question question{.id = id,
                      .line = line,
                      .text = absl::StrCat(from.host, from.as ? absl::StrCat("@", from.as->text) : "", " -> ", to.text),
                      .from = host,
                      .family = family,
                      .wire = place.wire,
                      .to = {place.addr, place.port},
                      .service = place.service == nullptr ? "" : place.service->meta.name.name};
    if (from.as) {
      if (bound.count(family) == 0) continue;
      question.bound_to = bound.at(family);
    }
    PM_RETURN_IF_ERROR(Endpoints(bed, cluster, expect, place.service, place.port_spec, question));
    questions.push_back(std::move(question));
  }
  if (questions.empty()) return Wrong(absl::StrCat(to.text, ": nothing to ask, in no family"));
  return questions;
}

absl::Status At(const Case& scenario, int line, const absl::Status& status) {
  return absl::InvalidArgumentError(absl::StrCat(scenario.path, ":", line, ": ", status.message()));
}

}  // namespace

absl::StatusOr<std::vector<Question>> Expand(const Case& scenario, const Cluster& cluster, int line, const Row& row) {
  std::vector<Question> all;
  for (const Sender& from : row.from) {
    for (const Address& to : row.to) {
      auto questions = Questions(scenario.bed, cluster, row.id, line, from, to, row.expect);
      if (!questions.ok()) return At(scenario, line, questions.status());
      all.insert(all.end(), questions->begin(), questions->end());
    }
  }
  return all;
}

absl::StatusOr<std::vector<Question>> Expand(const Case& scenario, const Cluster& cluster, int line, const Flow& flow) {
  const Expectation any{.family = flow.family};
  auto questions = Questions(scenario.bed, cluster, flow.name, line, flow.from, flow.to, any);
  if (!questions.ok()) return At(scenario, line, questions.status());
  return questions;
}

absl::Status ExpectOf(const Case& scenario, const Cluster& cluster, int line, const Expectation& expect,
                      Question& question) {
  const Service* service = Owner(scenario.bed, cluster, question.to.addr, question.to.port);
  const ServicePortSpec* spec = nullptr;
  const bool node_port = scenario.bed.IsNodeAddress(question.to.addr);
  for (size_t i = 0; service != nullptr && i < service->ports.size(); ++i) {
    const ServicePortSpec& candidate = service->ports[i];
    const uint16_t port = node_port ? candidate.node_port : candidate.port;
    if (port == question.to.port && WireOf(candidate.protocol) == question.wire) spec = &candidate;
  }
  const absl::Status status = Endpoints(scenario.bed, cluster, expect, service, spec, question);
  return status.ok() ? status : At(scenario, line, status);
}

}  // namespace pointsman::scenario
