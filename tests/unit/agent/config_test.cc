// SPDX-License-Identifier: Apache-2.0
#include "agent/config.h"

#include <string>
#include <vector>

#include "absl/strings/str_join.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/builders.h"

namespace pointsman {
namespace {

using support::Batch;
using support::Ip;
using support::Net;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<IpAddr> Ips(const std::vector<std::string>& texts) {
  std::vector<IpAddr> addrs;
  addrs.reserve(texts.size());
  for (const std::string& text : texts) addrs.push_back(Ip(text));
  return addrs;
}

std::vector<std::string> Texts(const std::vector<IpAddr>& addrs) {
  std::vector<std::string> texts;
  texts.reserve(addrs.size());
  for (const IpAddr& addr : addrs) texts.push_back(FormatIp(addr));
  return texts;
}

nft::BaseSettings SettingsOf(const Config& config, const Store& store = {}) {
  Diagnostics diagnostics;
  nft::BaseSettings settings = MakeBaseSettings(config, store, diagnostics);
  EXPECT_THAT(diagnostics, IsEmpty());
  return settings;
}

// --- Node port addresses ---

struct NodeIpsRow {
  const char* name;
  std::vector<std::string> internal_ips;
  std::vector<std::string> external_ips;
  std::vector<std::string> addresses;
};

class PrimaryAddressesTest : public ::testing::TestWithParam<NodeIpsRow> {};

// k8s.io/component-helpers GetNodeHostIPs: F12 to F14.
TEST_P(PrimaryAddressesTest, AreTheFirstOfEachFamilyInternalOnesBeforeExternalOnes) {
  const Node node{
      .meta = {.name = {"", "n1"}}, .internal_ips = GetParam().internal_ips, .external_ips = GetParam().external_ips};
  EXPECT_EQ(Texts(MakeNodeInfo({}, &node, {}).node_port_addresses), GetParam().addresses);
}

INSTANTIATE_TEST_SUITE_P(, PrimaryAddressesTest,
                         ::testing::Values(NodeIpsRow{"BothOfOneFamily", {"10.0.0.5"}, {"192.0.2.4"}, {"10.0.0.5"}},
                                           NodeIpsRow{"ExternalOneOfTheOtherFamily",
                                                      {"10.0.0.5", "10.0.0.6"},
                                                      {"2001:db8::5"},
                                                      {"10.0.0.5", "2001:db8::5"}},
                                           NodeIpsRow{"ExternalOneAlone", {}, {"192.0.2.4"}, {"192.0.2.4"}}),
                         [](const auto& row) { return std::string(row.param.name); });

const std::vector<std::string> kInterfaces = {"10.20.30.51", "100.200.201.1", "127.0.0.1",     "169.254.1.1",
                                              "::1",         "2001:db8::1",   "2001:db8:1::2", "fe80::1"};

struct AddressRow {
  const char* name;
  const char* why;
  std::vector<std::string> cidrs;  // configured; none: primary
  bool has_node;
  std::vector<std::string> internal_ips;  // of the Node
  std::vector<std::string> addresses;     // where NodePorts answer
};

class NodePortAddresses : public ::testing::TestWithParam<AddressRow> {};

TEST_P(NodePortAddresses, AreThese) {
  const AddressRow& row = GetParam();
  Config config;
  for (const std::string& cidr : row.cidrs) config.node_port_addresses.push_back(Net(cidr));
  const Node node{.meta = {.name = {"", "n1"}}, .internal_ips = row.internal_ips};

  const NodeInfo info = MakeNodeInfo(config, row.has_node ? &node : nullptr, Ips(kInterfaces));

  EXPECT_EQ(Texts(info.node_port_addresses), row.addresses) << row.why;
  EXPECT_EQ(Texts(info.local_addresses), kInterfaces) << "whatever takes NodePorts";
}

std::vector<AddressRow> AddressRows() {
  const std::vector<std::string> v4 = {"10.20.30.51", "100.200.201.1"};
  const std::vector<std::string> all = {"10.20.30.51", "100.200.201.1", "2001:db8::1", "2001:db8:1::2"};
  return {
      // Primary.
      {"PrimaryWithoutNode", "all but loopback and link-local", {}, false, {}, all},
      {"Primary", "the Node's address", {}, true, {"10.20.30.51"}, {"10.20.30.51"}},
      {"PrimaryDualStack",
       "one of each family, sorted",
       {},
       true,
       {"2001:db8::1", "10.20.30.51"},
       {"10.20.30.51", "2001:db8::1"}},
      {"PrimaryFirstOfEach",
       "the first of a family",
       {},
       true,
       {"100.200.201.1", "10.20.30.51", "2001:db8::1", "2001:db8:1::2"},
       {"100.200.201.1", "2001:db8::1"}},
      {"PrimaryNotOnInterface",
       "an address the interfaces do not show may be routed here",
       {},
       true,
       {"192.0.2.1"},
       {"192.0.2.1"}},
      {"PrimaryLoopback", "passed over", {}, true, {"127.0.0.1", "10.20.30.51"}, {"10.20.30.51"}},
      {"PrimaryUnreadable", "passed over", {}, true, {"host.example", "10.20.30.51"}, {"10.20.30.51"}},
      {"PrimaryOfANodeWithoutAddresses", "as without a Node", {}, true, {}, all},
      // CIDRs.
      {"OneNetwork",
       "A11: what lies inside; the other family, which is not named, in full",
       {"10.20.30.0/24"},
       false,
       {},
       {"10.20.30.51", "2001:db8::1", "2001:db8:1::2"}},
      {"OneNetworkWithNode",
       "an explicit list beats the Node",
       {"10.20.30.0/24", "2001:db8::/64"},
       true,
       {"100.200.201.1"},
       {"10.20.30.51", "2001:db8::1"}},
      {"Everything",
       "A12: but never loopback",
       {"0.0.0.0/0", "2001:db8::/64"},
       false,
       {},
       {"10.20.30.51", "100.200.201.1", "169.254.1.1", "2001:db8::1"}},
      {"Ipv6WithLoopback",
       "A13: ::1 is never served",
       {"2001:db8::/64", "::1/128"},
       false,
       {},
       {"10.20.30.51", "100.200.201.1", "2001:db8::1"}},
      {"LoopbackOnly",
       "A14: never, though it is asked for",
       {"127.0.0.0/8", "2001:db8::/64"},
       false,
       {},
       {"2001:db8::1"}},
      {"NothingInside", "A15: then there are none", {"192.0.2.0/24", "2001:db8:f::/64"}, false, {}, {}},
      {"EverythingAndMore",
       "A16",
       {"1.2.3.0/24", "0.0.0.0/0", "2001:db8:f::/64"},
       false,
       {},
       {"10.20.30.51", "100.200.201.1", "169.254.1.1"}},
      {"LinkLocalByName",
       "where somebody wants it",
       {"fe80::/10", "10.0.0.0/8"},
       false,
       {},
       {"10.20.30.51", "fe80::1"}},
  };
}

INSTANTIATE_TEST_SUITE_P(Config, NodePortAddresses, ::testing::ValuesIn(AddressRows()),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(MakeNodeInfoTest, TakesNameFromTheConfigAndZoneFromTheNode) {
  const Config config{.node_name = "n1"};
  Node node{.meta = {.name = {"", "n1"}}};

  EXPECT_EQ(MakeNodeInfo(config, &node, {}).zone, "");
  node.meta.labels[kZoneLabel] = "a";
  EXPECT_EQ(MakeNodeInfo(config, &node, {}).zone, "a");
  EXPECT_EQ(MakeNodeInfo(config, &node, {}).name, "n1");
  EXPECT_EQ(MakeNodeInfo(config, nullptr, {}).name, "n1") << "without a Node too";
}

// --- Settings ---

ObjectChange PutCidr(const std::string& name, const std::vector<std::string>& cidrs) {
  const ServiceCidr object{.meta = {.name = {"", name}}, .cidrs = cidrs};
  return {{Kind::kServiceCidr, object.meta.name}, PackedObject(object)};
}

std::string Cidrs(const nft::BaseSettings& settings) {
  return absl::StrJoin(settings.service_cidrs, " ",
                       [](std::string* out, const Cidr& cidr) { out->append(FormatCidr(cidr)); });
}

TEST(MakeBaseSettingsTest, ServiceCidrsAreTheUnionOfFlagsAndObjects) {
  const Config config{.allocate_from = {.cidrs = {Net("10.97.0.0/16"), Net("fd00::/112")}},
                      .service_cidrs = {Net("10.96.0.0/16")}};
  Store store;
  store.Apply(Batch({PutCidr("a", {"10.98.0.0/16", "fd01::/112"}), PutCidr("b", {"10.99.0.0/16"})}));

  EXPECT_EQ(Cidrs(SettingsOf(config, store)),
            "10.96.0.0/16 10.97.0.0/16 10.98.0.0/16 10.99.0.0/16 fd00::/112 fd01::/112");
}

TEST(MakeBaseSettingsTest, ARangeInsideAnotherIsLeftOut) {
  const Config config{.service_cidrs = {Net("10.96.0.0/16"), Net("10.96.0.0/12"), Net("10.112.0.0/16")}};
  Store store;
  store.Apply(Batch({PutCidr("a", {"10.96.5.0/24", "10.96.0.0/16"})}));

  EXPECT_EQ(Cidrs(SettingsOf(config, store)), "10.96.0.0/12 10.112.0.0/16");
}

TEST(MakeBaseSettingsTest, TheSameRangeOfTwoObjectsOutlivesOneOfThem) {
  Store store;
  store.Apply(Batch({PutCidr("a", {"10.96.0.0/16"}), PutCidr("b", {"10.96.0.0/16"})}));
  ASSERT_EQ(Cidrs(SettingsOf({}, store)), "10.96.0.0/16");

  store.Apply(Batch({{{Kind::kServiceCidr, {"", "a"}}, nullptr}}));

  EXPECT_EQ(Cidrs(SettingsOf({}, store)), "10.96.0.0/16");
}

TEST(MakeBaseSettingsTest, TheMarkIsOneBit) {
  Config config;
  EXPECT_EQ(SettingsOf(config).mark, 0x4000U);

  config.masquerade_bit = 31;
  EXPECT_EQ(SettingsOf(config).mark, 0x80000000U);
}

TEST(MakeBaseSettingsTest, ThePolicyIsTheConfigs) {
  const Config config{.masquerade_all = true,
                      .close_unranged_vips = true,
                      .clean_tcp = true,
                      .affinity_size = 7,
                      .external_ips = false,
                      .families = {Family::kIpv6}};

  const nft::BaseSettings settings = SettingsOf(config);

  EXPECT_TRUE(settings.policy.masquerade_all);
  EXPECT_TRUE(settings.policy.close_unranged);
  EXPECT_TRUE(settings.policy.clean_tcp);
  EXPECT_EQ(settings.affinity_size, 7U);
  EXPECT_FALSE(settings.policy.external_ips);
  EXPECT_EQ(settings.policy.families, std::vector<Family>{Family::kIpv6});
}

TEST(ParseDetectLocalModeTest, TakesKubeProxysSpellingAndNoOther) {
  EXPECT_EQ(*ParseDetectLocalMode("InterfaceNamePrefix"), DetectLocalMode::kInterfaceNamePrefix);
  EXPECT_EQ(ParseDetectLocalMode("clustercidr").status().message(),
            "\"clustercidr\" is no mode: write ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix");
}

TEST(MakeBaseSettingsTest, PodsAreWhereTheModeSays) {
  Config config{.node_name = "n1",
                .cluster_cidrs = {Net("10.245.0.0/16"), Net("10.244.0.0/16"), Net("fd00::/48"), Net("10.244.1.0/24")},
                .pod_bridge_interface = "cbr0",
                .pod_interface_name_prefix = "veth"};
  Store store;
  store.Apply(
      support::Batch({{{Kind::kNode, {"", "n1"}},
                       PackedObject(Node{.meta = {.name = {"", "n1"}}, .pod_cidrs = {"10.244.7.0/24", "oops"}})}}));

  EXPECT_EQ(SettingsOf(config, store).policy.pods,
            (LocalDetector{.cidrs = {Net("10.244.0.0/16"), Net("10.245.0.0/16"), Net("fd00::/48")}}));
  config.detect_local_mode = DetectLocalMode::kNodeCidr;
  EXPECT_EQ(SettingsOf(config, store).policy.pods, (LocalDetector{.cidrs = {Net("10.244.7.0/24")}}));
  EXPECT_EQ(SettingsOf(config).policy.pods, LocalDetector{}) << "without the Node nothing is known of pods";
  config.detect_local_mode = DetectLocalMode::kBridgeInterface;
  EXPECT_EQ(SettingsOf(config, store).policy.pods, (LocalDetector{.interface = "cbr0"}));
  config.detect_local_mode = DetectLocalMode::kInterfaceNamePrefix;
  EXPECT_EQ(SettingsOf(config, store).policy.pods, (LocalDetector{.interface = "veth", .interface_prefix = true}));
}

TEST(MakeBaseSettingsTest, AServiceCidrThatCannotBeReadIsTold) {
  Store store;
  store.Apply(support::Batch(
      {{{Kind::kServiceCidr, {"", "more"}},
        PackedObject(ServiceCidr{.meta = {.name = {"", "more"}}, .cidrs = {"10.96.0.0/16", "10.97.0.0"}})}}));
  Diagnostics diagnostics;

  const nft::BaseSettings settings = MakeBaseSettings({}, store, diagnostics);

  EXPECT_THAT(settings.service_cidrs, ElementsAre(Net("10.96.0.0/16")));
  ASSERT_EQ(diagnostics.size(), 1U);
  EXPECT_EQ(
      FormatDiagnostic(diagnostics[0]),
      "error: ServiceCIDR more: spec.cidrs[1]: \"10.97.0.0\" is not a CIDR; unused addresses in it are not dropped "
      "(write ADDRESS/PREFIX, as in 10.96.0.0/16)");
}

// --- Text ---

TEST(ParseCidrsTest, TakesAListWithBlanks) {
  const auto cidrs = ParseCidrs(" 10.0.0.0/8, fd00::/8 ,,");

  ASSERT_TRUE(cidrs.ok());
  EXPECT_THAT(*cidrs, ElementsAre(Net("10.0.0.0/8"), Net("fd00::/8")));
  ASSERT_TRUE(ParseCidrs("").ok());
  EXPECT_THAT(*ParseCidrs(""), IsEmpty());
}

TEST(ParseCidrsTest, NamesWhatItCannotRead) {
  const auto cidrs = ParseCidrs("10.0.0.0/8, 10.0.0.1");

  EXPECT_EQ(cidrs.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(cidrs.status().message()), HasSubstr("\"10.0.0.1\" is not a CIDR"));
}

}  // namespace
}  // namespace pointsman
