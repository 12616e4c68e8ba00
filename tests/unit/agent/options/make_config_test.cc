// SPDX-License-Identifier: Apache-2.0
#include "agent/make_config.h"

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/builders.h"
#include "tests/unit/agent/options/loading.h"

namespace pointsman {
namespace {

using options::Load;
using options::LoadFile;
using support::Ip;
using support::Net;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Of manifests that nobody reads.
Config ConfigOf(std::vector<std::string> flags) {
  flags.insert(flags.begin(), {"kube-proxy", "--manifests=m"});
  const options::Loaded loaded = Load(flags);
  EXPECT_THAT(options::Lines(loaded.errors), IsEmpty());
  const absl::StatusOr<Config> config = MakeConfig(loaded.settings);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.value_or(Config{});
}

TEST(MakeConfigTest, TakesTheBitAndTheMasqueradingOfTheActiveMode) {
  const std::string file =
      "iptables: {masqueradeBit: 1, masqueradeAll: true}\nnftables: {masqueradeBit: 2}\nhostnameOverride: N1\n";
  const Config iptables = *MakeConfig(LoadFile(file, {"--manifests=m"}).settings);
  EXPECT_EQ(iptables.masquerade_bit, 1);
  EXPECT_TRUE(iptables.masquerade_all);
  EXPECT_EQ(iptables.node_name, "n1");
  const Config nftables = *MakeConfig(LoadFile(file + "mode: nftables\n", {"--manifests=m"}).settings);
  EXPECT_EQ(nftables.masquerade_bit, 2);
  EXPECT_FALSE(nftables.masquerade_all);
}

TEST(MakeConfigTest, TakesWhatIsProgrammed) {
  const Config config = ConfigOf({"--service-cidr=10.96.0.0/16", "--allocate-from=10.97.0.0/16",
                                  "--pointsman.close-unranged-vips", "--pointsman.clean-tcp",
                                  "--pointsman.affinity-size=7", "--feature-gates=AllowServiceExternalIPs=false"});
  EXPECT_THAT(config.service_cidrs, ElementsAre(Net("10.96.0.0/16")));
  EXPECT_THAT(config.allocate_from.cidrs, ElementsAre(Net("10.97.0.0/16")));
  EXPECT_TRUE(config.close_unranged_vips);
  EXPECT_TRUE(config.clean_tcp);
  EXPECT_EQ(config.affinity_size, 7U);
  EXPECT_FALSE(config.external_ips);
  EXPECT_THAT(config.manifests, ElementsAre("m"));
  EXPECT_EQ(config.api, std::nullopt);
  EXPECT_TRUE(ConfigOf({}).external_ips);
  EXPECT_NE(ConfigOf({}).node_name, "") << "the name of this host";
}

TEST(MakeConfigTest, NodePortsAnswerWhereTheModeAndTheListSay) {
  EXPECT_TRUE(ConfigOf({}).node_ports_everywhere);
  EXPECT_FALSE(ConfigOf({"--proxy-mode=nftables"}).node_ports_everywhere);
  EXPECT_FALSE(ConfigOf({"--nodeport-addresses=primary"}).node_ports_everywhere);
  EXPECT_THAT(ConfigOf({"--nodeport-addresses=10.0.0.0/8,fd00::/8"}).node_port_addresses,
              ElementsAre(Net("10.0.0.0/8"), Net("fd00::/8")));
}

TEST(MakeConfigTest, AsksTheApiServerAsTheConnectionSays) {
  const Config config = *MakeConfig(
      LoadFile("clientConnection: {qps: 7.5, burst: 9, contentType: application/json, acceptContentTypes: text/x}\n"
               "detectLocalMode: NodeCIDR\n",
               {"--master=https://192.0.2.1,https://192.0.2.2", "--hostname-override=n1"})
          .settings);
  ASSERT_TRUE(config.api.has_value());
  EXPECT_THAT(config.api->access.servers, ElementsAre("https://192.0.2.1", "https://192.0.2.2"));
  EXPECT_EQ(config.api->qps, 7.5);
  EXPECT_EQ(config.api->burst, 9);
  EXPECT_EQ(config.api->content_type, "application/json");
  EXPECT_EQ(config.api->accept, "text/x");
  EXPECT_EQ(config.api->node_name, "n1");
  EXPECT_TRUE(config.api->need_pod_cidrs);
}

TEST(MakeConfigTest, TheKubeconfigOfKubeadmNamesServerTokenAndAuthority) {
  const absl::StatusOr<Config> config =
      MakeConfig(Load({"kube-proxy", "--kubeconfig=" PM_TEST_DATA "/kubeadm/kubeconfig.conf"}).settings);
  ASSERT_TRUE(config.ok()) << config.status();
  const kube::Access& access = config->api->access;
  EXPECT_THAT(access.servers, ElementsAre("https://192.0.2.10:6443"));
  EXPECT_EQ(access.ca.path, "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt");
  EXPECT_EQ(access.token_file, "/var/run/secrets/kubernetes.io/serviceaccount/token");
}

TEST(MakeConfigTest, AContentTypeNobodySpeaksIsRefusedWhereItStands) {
  EXPECT_EQ(MakeConfig(LoadFile("clientConnection: {contentType: application/cbor}\n").settings).status().message(),
            "f.conf:3:33: \"application/cbor\" is not spoken here: write application/vnd.kubernetes.protobuf or "
            "application/json");
}

TEST(MakeConfigTest, AKubeconfigThatIsNotThereIsAnError) {
  EXPECT_EQ(MakeConfig(Load({"kube-proxy", "--kubeconfig=/nonexistent/kubeconfig"}).settings).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(MakeConfigTest, TheBindAddressCountsUnlessItIsUnspecified) {
  EXPECT_EQ(ConfigOf({"--bind-address=192.0.2.1"}).bind_address, Ip("192.0.2.1"));
  EXPECT_EQ(ConfigOf({"--bind-address=::"}).bind_address, std::nullopt);
  EXPECT_EQ(ConfigOf({}).bind_address, std::nullopt);
}

// 16.1
struct AddressRow {
  const char* name;
  std::vector<std::string> raw;
  std::vector<std::string> bind;  // each gives the same
  Family primary;
  const char* ipv4;
  const char* ipv6;
};

class NodeAddressRow : public ::testing::TestWithParam<AddressRow> {};

TEST_P(NodeAddressRow, IsAsKubeProxyHasIt) {
  const AddressRow& row = GetParam();
  const Node node{.meta = {.name = {"", "n1"}}, .internal_ips = row.raw};
  for (const std::string& bind : row.bind) {
    const Config config = ConfigOf({absl::StrCat("--bind-address=", bind), "--proxy-mode=nftables"});
    const NodeAddresses expected = {row.primary, Ip(row.ipv4), Ip(row.ipv6)};
    EXPECT_EQ(FindNodeAddresses(config, &node), expected) << bind;
    if (row.raw.empty()) {
      EXPECT_EQ(FindNodeAddresses(config, nullptr), expected) << bind;
    }
    std::vector<IpAddr> ports;
    for (const char* text : {row.ipv4, row.ipv6}) {
      if (!Ip(text).IsLoopback()) ports.push_back(Ip(text));
    }
    if (ports.empty()) ports = {Ip("198.51.100.7")};
    EXPECT_EQ(MakeNodeInfo(config, &node, {Ip("198.51.100.7")}).node_port_addresses, ports)
        << "or every address of the interfaces, where none is known";
  }
}

INSTANTIATE_TEST_SUITE_P(
    , NodeAddressRow,
    ::testing::ValuesIn(std::vector<AddressRow>{
        {"F01", {}, {"10.0.0.1"}, Family::kIpv4, "10.0.0.1", "::1"},
        {"F02", {}, {"fd00:4321::2"}, Family::kIpv6, "127.0.0.1", "fd00:4321::2"},
        {"F03", {}, {"", "0.0.0.0"}, Family::kIpv4, "127.0.0.1", "::1"},
        {"F04", {"192.168.1.1"}, {"0.0.0.0", "::"}, Family::kIpv4, "192.168.1.1", "::1"},
        {"F05", {"fd00:1234::1"}, {"0.0.0.0", "::"}, Family::kIpv6, "127.0.0.1", "fd00:1234::1"},
        {"F06", {"90.90.90.90", "2001:db8::2"}, {"::"}, Family::kIpv4, "90.90.90.90", "2001:db8::2"},
        {"F07", {"2001:db8::2", "90.90.90.90"}, {"0.0.0.0"}, Family::kIpv6, "90.90.90.90", "2001:db8::2"},
        {"F08", {"2001:db8::2", "90.90.90.90"}, {"80.80.80.80"}, Family::kIpv4, "80.80.80.80", "2001:db8::2"},
        {"F09", {"90.90.90.90", "2001:db8::2"}, {"2001:db8::555"}, Family::kIpv6, "90.90.90.90", "2001:db8::555"},
        {"F10", {"2001:db8::2", "90.90.90.90"}, {"127.0.0.1"}, Family::kIpv4, "127.0.0.1", "2001:db8::2"},
        {"F11", {"90.90.90.90", "2001:db8::2"}, {"::1"}, Family::kIpv6, "90.90.90.90", "::1"},
    }),
    [](const auto& row) { return std::string(row.param.name); });

TEST(FindNodeAddressesTest, InternalAddressesComeBeforeExternalOnes) {
  const Node node{.internal_ips = {"10.0.0.5", "10.0.0.6"}, .external_ips = {"fd00::5"}};
  EXPECT_EQ(FindNodeAddresses({}, &node), (NodeAddresses{Family::kIpv4, Ip("10.0.0.5"), Ip("fd00::5")})) << "F13";
  const Node both{.internal_ips = {"10.0.0.5"}, .external_ips = {"1.2.3.4"}};
  EXPECT_EQ(FindNodeAddresses({}, &both).ipv4, Ip("10.0.0.5")) << "F12";
  EXPECT_EQ(FindNodeAddresses({}, nullptr), (NodeAddresses{Family::kIpv4, Ip("127.0.0.1"), Ip("::1")})) << "F15";
}

TEST(MakeNodeInfoTest, InOtherModesNodePortsAnswerEverywhereWhateverTheNodeSays) {
  const Node node{.internal_ips = {"192.0.2.1"}};
  EXPECT_THAT(
      MakeNodeInfo(ConfigOf({}), &node, {Ip("127.0.0.1"), Ip("192.0.2.1"), Ip("198.51.100.7")}).node_port_addresses,
      ElementsAre(Ip("192.0.2.1"), Ip("198.51.100.7")));
}

// 16.2; pods of a mode that needs the Node come with it.
struct DetectorRow {
  const char* name;
  std::vector<std::string> flags;
  LocalDetector pods;
};

class Detector : public ::testing::TestWithParam<DetectorRow> {};

TEST_P(Detector, IsThis) {
  std::vector<std::string> flags = GetParam().flags;
  flags.emplace_back("--hostname-override=n1");
  Store store;
  store.Apply(support::Batch(
      {{{Kind::kNode, {"", "n1"}},
        PackedObject(Node{.meta = {.name = {"", "n1"}}, .pod_cidrs = {"10.0.0.0/24", "2001:db8:7::/64"}})}}));
  Diagnostics diagnostics;
  EXPECT_EQ(MakeBaseSettings(ConfigOf(flags), store, diagnostics).policy.pods, GetParam().pods);
}

INSTANTIATE_TEST_SUITE_P(
    , Detector,
    ::testing::ValuesIn(std::vector<DetectorRow>{
        {"T01", {"--cluster-cidr=10.1.2.3/14"}, {.cidrs = {Net("10.0.0.0/14")}}},
        {"T02", {"--cluster-cidr=2002:0:0:1234::/64"}, {.cidrs = {Net("2002:0:0:1234::/64")}}},
        {"T04",
         {"--cluster-cidr=2002:0:0:1234::/64,10.0.0.0/14"},
         {.cidrs = {Net("10.0.0.0/14"), Net("2002:0:0:1234::/64")}}},
        {"T05", {}, {}},
        {"T07",
         {"--detect-local-mode=NodeCIDR", "--cluster-cidr=10.0.0.0/14"},
         {.cidrs = {Net("10.0.0.0/24"), Net("2001:db8:7::/64")}}},
        {"T09", {"--detect-local-mode=BridgeInterface", "--pod-bridge-interface=eth"}, {.interface = "eth"}},
        {"T10",
         {"--detect-local-mode=InterfaceNamePrefix", "--pod-interface-name-prefix=veth"},
         {.interface = "veth", .interface_prefix = true}},
    }),
    [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace pointsman
