// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "pointsman/model.h"
#include "tests/support/builders.h"

namespace pointsman {
namespace {

using support::Slice;
using support::Svc;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

template <typename Range, typename Format>
void AppendList(std::string& text, const char* what, const Range& range, Format format) {
  if (range.empty()) return;
  absl::StrAppend(&text, " ", what, "=",
                  absl::StrJoin(range, ",", [&](std::string* out, const auto& v) { absl::StrAppend(out, format(v)); }));
}

// One port without its endpoints; what is at its default is left out.
std::string Describe(const ServicePort& port) {
  std::string text =
      absl::StrCat(FormatSocketAddr({port.cluster_ip, port.port}), "/", FormatProtocol(port.name.protocol));
  if (!port.name.port.empty()) absl::StrAppend(&text, " ", port.name.port);
  if (port.node_port != 0) absl::StrAppend(&text, " node=", port.node_port);
  AppendList(text, "external", port.external_ips, FormatIp);
  AppendList(text, "vip", port.load_balancer_ips, FormatIp);
  AppendList(text, "from", port.source_ranges, FormatCidr);
  if (port.ranged_elsewhere) absl::StrAppend(&text, " from elsewhere");
  if (port.health_check_node_port != 0) absl::StrAppend(&text, " health=", port.health_check_node_port);
  if (port.internal_policy == TrafficPolicy::kLocal) absl::StrAppend(&text, " itp=local");
  if (port.external_policy == TrafficPolicy::kLocal) absl::StrAppend(&text, " etp=local");
  if (port.affinity) absl::StrAppend(&text, " sticky=", absl::FormatDuration(*port.affinity));
  return text;
}

// R: ready; ST: serving and terminating; SN: serving only; NT: terminating only; N: nothing.
std::string Describe(const Endpoint& e) {
  std::string text = FormatSocketAddr(e.addr);
  absl::StrAppend(&text, e.ready                      ? " R"
                         : e.serving && e.terminating ? " ST"
                         : e.serving                  ? " SN"
                         : e.terminating              ? " NT"
                                                      : " N");
  if (e.node) absl::StrAppend(&text, " @", *e.node);
  for (const std::string& zone : *e.zone_hints) absl::StrAppend(&text, " z:", zone);
  for (const std::string& node : *e.node_hints) absl::StrAppend(&text, " n:", node);
  return text;
}

template <typename T>
std::vector<std::string> DescribeAll(const std::vector<T>& values) {
  std::vector<std::string> out;
  for (const T& value : values) out.push_back(Describe(value));
  return out;
}

std::vector<std::string> Fields(const Diagnostics& diagnostics) {
  std::vector<std::string> fields;
  for (const Diagnostic& d : diagnostics) fields.push_back(d.field);
  return fields;
}

// A copy of what `svc` has built, changed by `change`.
template <typename Change>
Service With(const Svc& svc, Change change) {
  Service service = svc.Build();
  change(service);
  return service;
}

// --- Services ---

struct ServiceRow {
  std::string name;
  std::string why;
  Service service;
  std::vector<std::string> ports;
  std::vector<std::string> complaints;  // the fields they name
};

class BuildServiceRow : public ::testing::TestWithParam<ServiceRow> {};

TEST_P(BuildServiceRow, BecomesThesePorts) {
  const ServiceRow& row = GetParam();

  const BuiltService built = BuildService(row.service, {});

  EXPECT_EQ(DescribeAll(built.ports), row.ports) << row.why;
  EXPECT_EQ(Fields(built.diagnostics), row.complaints) << row.why;
}

std::vector<ServiceRow> ServiceRows() {
  const auto web = [] { return Svc("ns/web").ClusterIp("172.30.0.41").Tcp(80, "http"); };
  const auto dual = [] { return Svc("ns/web").ClusterIp("172.30.0.41").ClusterIp("fd00::41").Tcp(80, "http"); };
  const std::string http = "172.30.0.41:80/tcp http";
  return {
      {"Plain", "the common case", web().Build(), {http}, {}},

      // What is none of our business.
      {"Headless", "S01: clusterIP None", Svc("ns/web").ClusterIp("None").Tcp(80).Udp(53).Build(), {}, {}},
      {"NoClusterIp", "not allocated yet", Svc("ns/web").Tcp(80).Build(), {}, {}},
      {"EmptyClusterIp", "the same, spelled out", Svc("ns/web").ClusterIp("").Tcp(80).Build(), {}, {}},
      {"ExternalName", "S07: even with a clusterIP", web().Type(ServiceType::kExternalName).Build(), {}, {}},
      {"OtherProxy", "another proxy serves it", web().Label(kServiceProxyNameLabel, "mine").Build(), {}, {}},
      {"OtherProxyEmpty", "the key counts, not the value", web().Label(kServiceProxyNameLabel, "").Build(), {}, {}},
      {"HeadlessLabelOnService",
       "that label means something on slices only",
       web().Label(kHeadlessLabel, "").Build(),
       {http},
       {}},

      // Families.
      {"DualStack", "one port per family", dual().Build(), {http, "[fd00::41]:80/tcp http"}, {}},
      {"Ipv6First",
       "IPv4 comes first whatever the order of ipFamilies",
       Svc("ns/web").ClusterIp("fd00::41").ClusterIp("172.30.0.41").Tcp(80, "http").Build(),
       {http, "[fd00::41]:80/tcp http"},
       {}},
      {"Ipv6Only",
       "S08: nothing for IPv4",
       Svc("ns/web").ClusterIp("fd00::41").Tcp(80).Build(),
       {"[fd00::41]:80/tcp"},
       {}},
      {"NoFamiliesNamed",
       "then the first clusterIP says its family",
       With(web(), [](Service& s) { s.ip_families.clear(); }),
       {http},
       {}},
      {"NoFamiliesNamedIpv6",
       "in either family",
       With(Svc("ns/web").ClusterIp("fd00::41").Tcp(80), [](Service& s) { s.ip_families.clear(); }),
       {"[fd00::41]:80/tcp"},
       {}},
      {"NoFamiliesNamedSecond",
       "the second clusterIP counts only where ipFamilies says so",
       With(dual(), [](Service& s) { s.ip_families.clear(); }),
       {http},
       {}},
      {"ClusterIpsTooShort",
       "S18: no second address, no second family",
       With(dual(), [](Service& s) { s.cluster_ips.pop_back(); }),
       {http},
       {}},
      {"FamilyDoesNotFit",
       "the address at IPv4's place is IPv6: neither family has one",
       With(web(), [](Service& s) { s.cluster_ips = {"fd00::41"}; }),
       {},
       {}},
      {"UnreadableClusterIp",
       "costs that family, not the other",
       With(dual(), [](Service& s) { s.cluster_ips[1] = "fd00::x"; }),
       {http},
       {"spec.clusterIPs[1]"}},
      {"UnreadableOnlyClusterIp",
       "said once, though no family is named",
       With(web(), [](Service& s) { s.cluster_ips = {"17x"}, s.ip_families.clear(); }),
       {},
       {"spec.clusterIPs[0]"}},

      // Ports.
      {"TwoPorts",
       "S02: in the order of the spec",
       Svc("ns/web").ClusterIp("172.16.55.4").Udp(1234, "p1").Udp(1235, "p2").Build(),
       {"172.16.55.4:1234/udp p1", "172.16.55.4:1235/udp p2"},
       {}},
      {"NodePorts",
       "S03",
       Svc("ns/web")
           .ClusterIp("172.16.55.10")
           .Type(ServiceType::kNodePort)
           .Udp(345, "a", 678)
           .Tcp(344, "b", 677)
           .Build(),
       {"172.16.55.10:345/udp a node=678", "172.16.55.10:344/tcp b node=677"},
       {}},
      {"NodePortOfClusterIpType",
       "a nodePort counts whatever the type",
       Svc("ns/web").ClusterIp("172.30.0.41").Tcp(80, "http", 30080).Build(),
       {http + " node=30080"},
       {}},
      {"SamePortNumberInThreeProtocols",
       "they are independent",
       Svc("ns/dns").ClusterIp("172.30.0.41").Tcp(53, "t").Udp(53, "u").Port(Protocol::kSctp, 53, "s", 0).Build(),
       {"172.30.0.41:53/tcp t", "172.30.0.41:53/udp u", "172.30.0.41:53/sctp s"},
       {}},
      {"PortZero",
       "costs that port, and is said once for both families",
       dual().Udp(0, "none").Build(),
       {http, "[fd00::41]:80/tcp http"},
       {"spec.ports[1].port"}},
      {"NoPorts", "nothing to serve", Svc("ns/web").ClusterIp("172.30.0.41").Build(), {}, {}},

      // Addresses.
      {"ExternalIps",
       "family by family, in order, once each",
       dual()
           .ExternalIp("198.51.100.2")
           .ExternalIp("2001:db8::2")
           .ExternalIp("198.51.100.1")
           .ExternalIp("198.51.100.2")
           .Build(),
       {http + " external=198.51.100.2,198.51.100.1", "[fd00::41]:80/tcp http external=2001:db8::2"},
       {}},
      {"EmptyExternalIp", "passed over in silence", web().ExternalIp("").Build(), {http}, {}},
      {"UnreadableExternalIp",
       "costs itself",
       web().ExternalIp("198.51.100").ExternalIp("198.51.100.1").Build(),
       {http + " external=198.51.100.1"},
       {"spec.externalIPs[0]"}},
      {"Vips", "S04: status counts", web().Vip("10.1.2.4").Build(), {http + " vip=10.1.2.4"}, {}},
      {"ProxiedVip",
       "S05, I01: ipMode Proxy is left to the load balancer",
       web().Vip("10.1.2.4", IpMode::kProxy).Vip("10.1.2.5").Build(),
       {http + " vip=10.1.2.5"},
       {}},
      {"HostnameOnlyVip", "no address, no rule", web().Vip("").Build(), {http}, {}},
      {"UnreadableVip",
       "costs itself",
       web().Vip("ten").Vip("10.1.2.5").Build(),
       {http + " vip=10.1.2.5"},
       {"status.loadBalancer.ingress[0].ip"}},
      {"UnreadableProxiedVip", "nobody would have used it", web().Vip("ten", IpMode::kProxy).Build(), {http}, {}},
      {"VipTwice", "once is enough", web().Vip("10.1.2.4").Vip("10.1.2.004").Build(), {http + " vip=10.1.2.4"}, {}},
      {"FamiliesApart",
       "S10, S11: each family sees its own",
       dual()
           .ExternalIp("8.8.8.8")
           .ExternalIp("2001:db8:85a3::7335")
           .SourceRange("0.0.0.0/1")
           .SourceRange("2001:db8::/32")
           .Vip("8.8.4.4")
           .Vip("2001:db8::7")
           .Build(),
       {http + " external=8.8.8.8 vip=8.8.4.4 from=0.0.0.0/1",
        "[fd00::41]:80/tcp http external=2001:db8:85a3::7335 vip=2001:db8::7 from=2001:db8::/32"},
       {}},
      {"LeadingZeros",
       "S13: everything is made canonical",
       Svc("ns/web")
           .ClusterIp("172.30.0.041")
           .Tcp(80, "http")
           .ExternalIp("192.168.099.022")
           .Vip("1.2.3.004")
           .SourceRange("203.0.113.000/025")
           .Build(),
       {http + " external=192.168.99.22 vip=1.2.3.4 from=203.0.113.0/25"},
       {}},

      // Source ranges.
      {"TrimmedRange",
       "S12: blanks around a range do not count",
       web().Vip("1.2.3.4").SourceRange(" 10.1.2.0/28").Build(),
       {http + " vip=1.2.3.4 from=10.1.2.0/28"},
       {}},
      {"RangeOfEverything",
       "L10: one range of everything admits everyone",
       web().Vip("1.2.3.4").SourceRange("10.1.2.0/28").SourceRange("0.0.0.0/0").Build(),
       {http + " vip=1.2.3.4"},
       {}},
      {"EverythingOfTheOtherFamily",
       "says nothing about this one",
       web().Vip("1.2.3.4").SourceRange("10.1.2.0/28").SourceRange("::/0").Build(),
       {http + " vip=1.2.3.4 from=10.1.2.0/28"},
       {}},
      {"RangesOfTheOtherFamily",
       "L11: say nothing of this family",
       dual().Vip("1.2.3.4").Vip("2001:db8::7").SourceRange("10.1.2.0/28").Build(),
       {http + " vip=1.2.3.4 from=10.1.2.0/28", "[fd00::41]:80/tcp http vip=2001:db8::7 from elsewhere"},
       {}},
      {"UnreadableRange",
       "a readable one of the family is left: that one counts, nobody else gets in",
       web().Vip("1.2.3.4").SourceRange("10.1.2.0/28").SourceRange("10.1.3.0").Build(),
       {http + " vip=1.2.3.4 from=10.1.2.0/28"},
       {"spec.loadBalancerSourceRanges[1]"}},
      {"UnreadableOnlyRange",
       "there are ranges, but none that says anything of this family; what that means the policy decides",
       web().Vip("1.2.3.4").SourceRange("10.1.3.0").Build(),
       {http + " vip=1.2.3.4 from elsewhere"},
       {"spec.loadBalancerSourceRanges[0]"}},
      {"UnreadableRangeOfEitherFamily",
       "nobody knows which family was meant",
       dual().Vip("1.2.3.4").Vip("2001:db8::7").SourceRange("10.1.2.0/28").SourceRange("x").Build(),
       {http + " vip=1.2.3.4 from=10.1.2.0/28", "[fd00::41]:80/tcp http vip=2001:db8::7 from elsewhere"},
       {"spec.loadBalancerSourceRanges[1]"}},
      {"UnreadableRangeWithoutVip",
       "nothing to close",
       web().SourceRange("x").Build(),
       {http + " from elsewhere"},
       {"spec.loadBalancerSourceRanges[0]"}},

      // Policies.
      {"InternalLocal", "as written", web().InternalLocal().Build(), {http + " itp=local"}, {}},
      {"ExternalLocalOfClusterIp", "S14: takes no external traffic", web().ExternalLocal().Build(), {http}, {}},
      {"ExternalLocalWithExternalIps",
       "S15: takes external traffic",
       web().ExternalIp("198.51.100.1").ExternalLocal().Build(),
       {http + " external=198.51.100.1 etp=local"},
       {}},
      {"ExternalLocalWithExternalIpsOfTheOtherFamily",
       "the raw list counts",
       web().ExternalIp("2001:db8::2").ExternalLocal().Build(),
       {http + " etp=local"},
       {}},
      {"ExternalLocalOfNodePort",
       "takes external traffic",
       web().Type(ServiceType::kNodePort).ExternalLocal().Build(),
       {http + " etp=local"},
       {}},
      {"ExternalLocalOfLoadBalancer",
       "takes external traffic, even before it has an address",
       web().Type(ServiceType::kLoadBalancer).ExternalLocal().Build(),
       {http + " etp=local"},
       {"spec.healthCheckNodePort"}},
      {"HealthCheck",
       "S06: of a load balancer with external policy Local",
       web().Type(ServiceType::kLoadBalancer).ExternalLocal().HealthCheckPort(345).Build(),
       {http + " health=345 etp=local"},
       {}},
      {"HealthCheckOfClusterPolicy",
       "S16: nobody asks",
       web().Type(ServiceType::kLoadBalancer).HealthCheckPort(345).Build(),
       {http},
       {}},
      {"HealthCheckOfNodePort",
       "nor here",
       web().Type(ServiceType::kNodePort).ExternalLocal().HealthCheckPort(345).Build(),
       {http + " etp=local"},
       {}},
      {"Affinity",
       "as written",
       With(web(), [](Service& s) { s.client_ip_affinity = absl::Seconds(60); }),
       {http + " sticky=1m"},
       {}},
      {"AffinityWithoutTimeout",
       "three hours is the API's default",
       With(web(), [](Service& s) { s.client_ip_affinity = absl::ZeroDuration(); }),
       {http + " sticky=3h"},
       {}},
  };
}

INSTANTIATE_TEST_SUITE_P(Model, BuildServiceRow, ::testing::ValuesIn(ServiceRows()),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(BuildServiceTest, APortCarriesTheNameAndTheAgeOfItsService) {
  const absl::Time created = absl::FromUnixSeconds(1700000000);

  const BuiltService built =
      BuildService(Svc("ns/web").ClusterIp("172.30.0.41").Udp(53, "dns").Created(created).Build(), {});

  ASSERT_EQ(built.ports.size(), 1U);
  EXPECT_EQ(built.ports[0].creation, created);
  EXPECT_EQ(FormatServicePort(built.ports[0].name), "ns/web:dns");
  EXPECT_EQ(FormatServicePort({{"ns", "web"}, "", Protocol::kTcp}), "ns/web") << "an unnamed port adds nothing";
}

TEST(BuildServiceTest, AComplaintNamesTheObjectTheFieldAndTheEffect) {
  const BuiltService built =
      BuildService(Svc("ns/web").ClusterIp("172.30.0.41").Tcp(80).Vip("1.2.3.4").SourceRange("10.1.3.0").Build(), {});

  ASSERT_EQ(built.diagnostics.size(), 1U);
  EXPECT_EQ(
      FormatDiagnostic(built.diagnostics[0]),
      "error: Service ns/web: spec.loadBalancerSourceRanges[0]: \"10.1.3.0\" is not a CIDR; this range admits nobody "
      "(write ADDRESS/PREFIX, as in 203.0.113.0/24)");
}

// --- Slices ---

struct SliceRow {
  std::string name;
  std::string why;
  std::vector<EndpointSlice> slices;
  std::vector<std::string> endpoints;   // of the IPv4 port "http"
  std::vector<std::string> complaints;  // the fields they name
};

class BuildSliceRow : public ::testing::TestWithParam<SliceRow> {};

TEST_P(BuildSliceRow, GivesThePortTheseEndpoints) {
  const SliceRow& row = GetParam();
  const Service service = Svc("ns/web").ClusterIp("172.30.0.41").Tcp(80, "http").Build();
  std::vector<const EndpointSlice*> slices;
  for (const EndpointSlice& slice : row.slices) slices.push_back(&slice);

  // In every order of arrival.
  std::sort(slices.begin(), slices.end());
  do {
    const BuiltService built = BuildService(service, slices);

    ASSERT_EQ(built.ports.size(), 1U);
    EXPECT_EQ(DescribeAll(built.ports[0].endpoints), row.endpoints) << row.why;
    EXPECT_EQ(Fields(built.diagnostics), row.complaints) << row.why;
  } while (std::next_permutation(slices.begin(), slices.end()));
}

template <typename Change>
EndpointSlice With(const Slice& from, Change change) {
  EndpointSlice slice = from.Build();
  change(slice);
  return slice;
}

std::vector<SliceRow> SliceRows() {
  const auto http = [](const std::string& name = "ns/web-1") { return Slice(name, "web").Port(80, "http"); };
  return {
      {"NoSlices", "a Service may be without", {}, {}, {}},
      {"Plain",
       "G01: node, and order by address",
       {http().Ready("10.0.1.3", "n2").Ready("10.0.1.2", "n1").Build()},
       {"10.0.1.2:80 R @n1", "10.0.1.3:80 R @n2"},
       {}},
      {"TwoSlices",
       "G02: merged",
       {http("ns/web-1").Ready("10.0.1.1").Build(), http("ns/web-2").Ready("10.0.2.1").Build()},
       {"10.0.1.1:80 R", "10.0.2.1:80 R"},
       {}},
      {"OtherFamily",
       "G09: IPv6 and FQDN slices are not for IPv4",
       {Slice("ns/web-6", "web", Family::kIpv6).Port(80, "http").Ready("2001:db8::1").Build(),
        With(http("ns/web-f").Ready("10.0.1.9"), [](EndpointSlice& s) { s.address_type = std::nullopt; })},
       {},
       {}},
      {"HeadlessLabel",
       "a slice of a headless Service is not for us, label by hand or not",
       {With(http().Ready("10.0.1.1"), [](EndpointSlice& s) { s.meta.labels[kHeadlessLabel] = ""; })},
       {},
       {}},
      {"OtherPortName",
       "joined by name",
       {Slice("ns/web-1", "web").Port(80, "admin").Ready("10.0.1.1").Build()},
       {},
       {}},
      {"OtherProtocol",
       "and by protocol",
       {Slice("ns/web-1", "web").Port(80, "http", Protocol::kUdp).Ready("10.0.1.1").Build()},
       {},
       {}},
      {"PortWithoutName",
       "nil is not the empty name, and costs that port alone",
       {With(http().Port(81, "x").Ready("10.0.1.1"), [](EndpointSlice& s) { s.ports[1].name = std::nullopt; })},
       {"10.0.1.1:80 R"},
       {"ports[1].name"}},
      {"PortWithoutNumber",
       "G05: \"all ports\" is not implemented",
       {With(http().Ready("10.0.1.1"), [](EndpointSlice& s) { s.ports[0].port = std::nullopt; })},
       {},
       {"ports[0].port"}},
      {"PortZero",
       "the same",
       {Slice("ns/web-1", "web").Port(0, "http").Ready("10.0.1.1").Build()},
       {},
       {"ports[0].port"}},
      {"MixedNumbers",
       "G06: a named target port may differ from pod to pod",
       {http("ns/web-1").Ready("10.0.1.1").Ready("10.0.1.2").Build(),
        Slice("ns/web-2", "web").Port(8080, "http").Ready("10.0.1.1").Ready("10.0.1.3").Build()},
       {"10.0.1.1:80 R", "10.0.1.1:8080 R", "10.0.1.2:80 R", "10.0.1.3:8080 R"},
       {}},
      {"NoAddresses",
       "costs that endpoint alone",
       {http().Add({}).Ready("10.0.1.1").Build()},
       {"10.0.1.1:80 R"},
       {"endpoints[0].addresses"}},
      {"SecondAddress",
       "G13: only the first counts",
       {http().Add({.addresses = {"10.0.1.1", "10.0.1.2"}}).Build()},
       {"10.0.1.1:80 R"},
       {}},
      {"UnreadableAddress",
       "costs that endpoint alone",
       {http().Ready("10.0.1").Ready("10.0.1.2").Build()},
       {"10.0.1.2:80 R"},
       {"endpoints[0].addresses[0]"}},
      {"AddressOfTheOtherFamily",
       "does not fit its slice",
       {http().Ready("2001:db8::1").Build()},
       {},
       {"endpoints[0].addresses[0]"}},
      {"LoopbackAddress",
       "would be this node's own",
       {http().Ready("127.0.0.1").Build()},
       {},
       {"endpoints[0].addresses[0]"}},
      {"UnspecifiedAddress", "is nobody's", {http().Ready("0.0.0.0").Build()}, {}, {"endpoints[0].addresses[0]"}},
      {"LeadingZeros", "S13", {http().Ready("10.180.00.001").Build()}, {"10.180.0.1:80 R"}, {}},
      {"Conditions",
       "all are kept: choosing comes later",
       {http().Terminating("10.0.1.1").NotReady("10.0.1.2").Add({.addresses = {"10.0.1.3"}, .ready = false}).Build()},
       {"10.0.1.1:80 ST", "10.0.1.2:80 N", "10.0.1.3:80 SN"},
       {}},
      {"Hints",
       "go along",
       {http().Add({.addresses = {"10.0.1.1"}, .zone_hints = {"a", "b"}, .node_hints = {"n1"}}).Build()},
       {"10.0.1.1:80 R z:a z:b n:n1"},
       {}},

      // The same endpoint told of more than once.
      {"DuplicateWithinASlice",
       "G07: ready wins wherever it stands",
       {http().Terminating("10.0.1.1").Ready("10.0.1.1", "n1").NotReady("10.0.1.1").Build()},
       {"10.0.1.1:80 R @n1"},
       {}},
      {"DuplicateAcrossSlices",
       "the better state wins, not the later slice",
       {http("ns/web-1").Ready("10.0.1.1", "n1").Build(), http("ns/web-2").Terminating("10.0.1.1", "n2").Build()},
       {"10.0.1.1:80 R @n1"},
       {}},
      {"DuplicateServingBeatsTerminating",
       "who is not leaving",
       {http("ns/web-1").Terminating("10.0.1.1", "n1").Build(),
        http("ns/web-2").Add({.addresses = {"10.0.1.1"}, .ready = false, .node_name = "n2"}).Build()},
       {"10.0.1.1:80 SN @n2"},
       {}},
      {"DuplicateTie",
       "then the slice that sorts first by name",
       {http("ns/web-2").Ready("10.0.1.1", "n2").Build(), http("ns/web-1").Ready("10.0.1.1", "n1").Build()},
       {"10.0.1.1:80 R @n1"},
       {}},
      {"DuplicatePort",
       "two ports of the same name and number are one",
       {http().Port(80, "http").Ready("10.0.1.1").Build()},
       {"10.0.1.1:80 R"},
       {}},
  };
}

INSTANTIATE_TEST_SUITE_P(Model, BuildSliceRow, ::testing::ValuesIn(SliceRows()),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(BuildServiceTest, AnUnnamedPortIsServedByTheEmptyName) {
  const Service service = Svc("ns/web").ClusterIp("172.30.0.41").Tcp(80).Build();
  const EndpointSlice slice = Slice("ns/web-1", "web").Port(8080, "").Ready("10.0.1.1").Build();

  const BuiltService built = BuildService(service, {&slice});

  EXPECT_THAT(DescribeAll(built.ports[0].endpoints), ElementsAre("10.0.1.1:8080 R"));
}

TEST(BuildServiceTest, EachFamilyAndEachPortGetsItsOwnEndpoints) {
  const Service service =
      Svc("ns/web").ClusterIp("172.30.0.41").ClusterIp("fd00::41").Tcp(80, "http").Tcp(443, "https").Build();
  const EndpointSlice v4 = Slice("ns/web-4", "web").Port(8080, "http").Port(8443, "https").Ready("10.0.1.1").Build();
  const EndpointSlice v6 = Slice("ns/web-6", "web", Family::kIpv6).Port(8080, "http").Ready("2001:db8::1").Build();

  const BuiltService built = BuildService(service, {&v4, &v6});

  ASSERT_EQ(built.ports.size(), 4U);
  EXPECT_THAT(DescribeAll(built.ports[0].endpoints), ElementsAre("10.0.1.1:8080 R"));
  EXPECT_THAT(DescribeAll(built.ports[1].endpoints), ElementsAre("10.0.1.1:8443 R"));
  EXPECT_THAT(DescribeAll(built.ports[2].endpoints), ElementsAre("[2001:db8::1]:8080 R"));
  EXPECT_THAT(built.ports[3].endpoints, IsEmpty());
}

TEST(BuildServiceTest, ComplaintsAboutASliceNameTheSlice) {
  const Service service = Svc("ns/web").ClusterIp("172.30.0.41").Tcp(80).Build();
  const EndpointSlice slice = Slice("ns/web-x1", "web").Port(80).Ready("x").Build();

  const BuiltService built = BuildService(service, {&slice});

  EXPECT_THAT(built.diagnostics, ElementsAre(AllOf(Field(&Diagnostic::object, "EndpointSlice ns/web-x1"),
                                                   Field(&Diagnostic::problem, HasSubstr("\"x\"")))));
}

}  // namespace
}  // namespace pointsman
