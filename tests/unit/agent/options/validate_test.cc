// SPDX-License-Identifier: Apache-2.0
#include "agent/options/validate.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/unit/agent/options/loading.h"

namespace pointsman::options {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Row {
  const char* name;
  const char* text;   // behind the header
  const char* error;  // begins so; empty: there is none
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

class Rule : public ::testing::TestWithParam<Row> {};

TEST_P(Rule, Holds) {
  const std::vector<std::string> errors = Lines(LoadFile(GetParam().text).errors);
  if (*GetParam().error == '\0') {
    EXPECT_THAT(errors, IsEmpty());
  } else {
    EXPECT_THAT(errors, ElementsAre(::testing::StartsWith(GetParam().error)));
  }
}

INSTANTIATE_TEST_SUITE_P(
    , Rule,
    ::testing::ValuesIn(std::vector<Row>{
        {"Mode", "mode: userspace\n", "f.conf:3:7: error: mode: unknown mode \"userspace\""},
        {"IptablesBitInEveryMode", "mode: nftables\niptables: {masqueradeBit: 32}\n",
         "f.conf:4:27: error: iptables.masqueradeBit: 32 is out of range (write 0 to 31)"},
        {"NftablesBit", "mode: nftables\nnftables: {masqueradeBit: -1}\n",
         "f.conf:4:27: error: nftables.masqueradeBit: -1 is out of range"},
        {"NftablesBitOfAnotherMode", "mode: iptables\nnftables: {masqueradeBit: -1}\n", ""},
        {"IpvsTimeout", "mode: ipvs\nipvs: {udpTimeout: -1s}\n",
         "f.conf:4:20: error: ipvs.udpTimeout: -1s is negative"},
        {"IpvsTcpTimeout", "mode: ipvs\nipvs: {tcpTimeout: -1s}\n", "f.conf:4:20: error: ipvs.tcpTimeout: -1s is"},
        {"IpvsFinTimeout", "mode: ipvs\nipvs: {tcpFinTimeout: -1s}\n",
         "f.conf:4:23: error: ipvs.tcpFinTimeout: -1s is"},
        {"IpvsTimeoutOfAnotherMode", "mode: nftables\nipvs: {udpTimeout: -1s}\n", ""},
        {"IpvsCidr", "mode: ipvs\nipvs: {excludeCIDRs: [10.0.0.0/8, x]}\n",
         "f.conf:4:35: error: ipvs.excludeCIDRs[1]: \"x\" is not a CIDR"},
        {"OomScore", "oomScoreAdj: 1001\n", "f.conf:3:14: error: oomScoreAdj: 1001 is out of range"},
        {"OomScoreMost", "oomScoreAdj: 1000\n", ""},
        {"Conntrack", "conntrack: {maxPerCore: -1}\n", "f.conf:3:25: error: conntrack.maxPerCore: -1 is negative"},
        {"ConntrackMin", "conntrack: {min: -1}\n", "f.conf:3:18: error: conntrack.min: -1 is negative"},
        {"ConntrackTimeout", "conntrack: {udpStreamTimeout: -1s}\n", "f.conf:3:31: error: conntrack.udpStreamTimeout"},
        {"ConfigSyncPeriod", "configSyncPeriod: -1s\n", "f.conf:3:19: error: configSyncPeriod: -1s is not more than 0"},
        {"SyncPeriod", "mode: nftables\nnftables: {syncPeriod: -1s}\n",
         "f.conf:4:24: error: nftables.syncPeriod: -1s is not more than 0"},
        {"SyncPeriodOfAnotherMode", "mode: iptables\nnftables: {syncPeriod: -1s}\n", ""},
        {"MinSyncPeriodLonger", "mode: ipvs\nipvs: {minSyncPeriod: 31s}\n",
         "f.conf:4:23: error: ipvs.minSyncPeriod: minSyncPeriod 31s is longer than syncPeriod 30s"},
        {"SyncPeriodShorter", "iptables: {syncPeriod: 500ms}\n",
         "f.conf:3:24: error: iptables.syncPeriod: minSyncPeriod 1s is longer than syncPeriod 500ms"},
        {"MinSyncPeriodNegative", "iptables: {minSyncPeriod: -1s}\n",
         "f.conf:3:27: error: iptables.minSyncPeriod: -1s is negative"},
        {"Burst", "clientConnection: {burst: -1}\n", "f.conf:3:27: error: clientConnection.burst: -1 is negative"},
        {"NegativeQps", "clientConnection: {qps: -1}\n", ""},
        {"BindAddress", "bindAddress: '[::1]'\n", "f.conf:3:14: error: bindAddress: \"[::1]\" is not an IP address"},
        {"BindAddressSloppy", "bindAddress: 010.0.0.1\n", ""},
        {"Healthz", "healthzBindAddress: localhost:1\n",
         "f.conf:3:21: error: healthzBindAddress: \"localhost:1\" is not an address with a port"},
        {"HealthzPort", "healthzBindAddress: 1.2.3.4:65536\n", "f.conf:3:21: error: healthzBindAddress: "},
        {"Metrics", "metricsBindAddress: '[fd00:1::5]'\n",
         "f.conf:3:21: error: metricsBindAddress: \"[fd00:1::5]\" is not an address with a port"},
        {"NodePortAddresses", "nodePortAddresses: [10.0.0.0]\n",
         "f.conf:3:21: error: nodePortAddresses[0]: \"10.0.0.0\" is not a CIDR"},
        {"NodePortPrimaryAndMore", "nodePortAddresses: [10.0.0.0/8, primary]\n",
         "f.conf:3:33: error: nodePortAddresses[1]: \"primary\" stands beside others"},
        {"HiddenMetrics", "showHiddenMetricsForVersion: '1.36'\n", "f.conf:3:30: error: showHiddenMetricsForVersion: "},
        {"HiddenMetricsPrevious", "showHiddenMetricsForVersion: '1.35'\n", ""},
        {"DetectLocalMode", "detectLocalMode: nodecidr\n", "f.conf:3:18: error: detectLocalMode: unknown mode"},
        {"Bridge", "detectLocalMode: BridgeInterface\n",
         "error: detectLocal.bridgeInterface: is missing, with detectLocalMode BridgeInterface (name an interface)"},
        {"BridgeTooLong", "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: a234567890123456}\n",
         "f.conf:4:32: error: detectLocal.bridgeInterface: \"a234567890123456\" is too long"},
        {"Prefix", "detectLocalMode: InterfaceNamePrefix\n", "error: detectLocal.interfaceNamePrefix: is missing"},
        {"ClusterCidr", "clusterCIDR: 10.0.0.0\n", "f.conf:3:14: error: clusterCIDR: \"10.0.0.0\" is not a CIDR"},
        {"ClusterCidrPair", "clusterCIDR: 'fd00::/48,10.0.0.0/14'\n", ""},
        {"ClusterCidrOfOneFamily", "clusterCIDR: 10.0.0.0/8,11.0.0.0/8\n", "f.conf:3:14: error: clusterCIDR: "},
        {"ClusterCidrTooMany", "clusterCIDR: '10.0.0.0/8,fd00::/48,fd01::/48'\n", "f.conf:3:14: error: clusterCIDR: "},
        {"ClusterCidrOfAnotherMode", "detectLocalMode: NodeCIDR\nclusterCIDR: oops\n", ""},
        {"LockedGate", "featureGates: {NFTablesProxyMode: false}\n",
         "f.conf:3:16: error: featureGates.NFTablesProxyMode: cannot be set to false (it is always true)"},
        {"LockedGateAsItIs", "featureGates: {NFTablesProxyMode: true}\n", ""},
        {"UnknownGate", "featureGates: {SCTPSupport: true}\n", ""},
        {"Format", "logging: {format: xml}\n", "f.conf:3:19: error: logging.format: unknown format \"xml\""},
        {"Flush", "logging: {flushFrequency: -1}\n", "f.conf:3:27: error: logging.flushFrequency: -1ns is not"},
        {"VmoduleOfJson", "logging: {format: json, vmodule: [{filePattern: a, verbosity: 1}]}\n",
         "f.conf:3:34: error: logging.vmodule: does not go with format json"},
        {"VmodulePattern", "logging: {vmodule: [{filePattern: 'a=b', verbosity: 1}]}\n",
         "f.conf:3:22: error: logging.vmodule[0].filePattern: \"a=b\" is not a pattern"},
        {"SplitStream", "logging: {options: {json: {splitStream: true}}}\n",
         "f.conf:3:41: error: logging.options.json.splitStream: true is not possible"},
        {"SplitStreamAllowed",
         "featureGates: {LoggingAlphaOptions: true}\nlogging: {options: {text: {splitStream: true, infoBufferSize: "
         "1}}}\n",
         ""},
        {"BufferSize", "logging: {options: {text: {infoBufferSize: 1Ki}}}\n",
         "f.conf:3:44: error: logging.options.text.infoBufferSize: \"1Ki\" is not possible"},
        {"BufferSizeText", "logging: {options: {text: {infoBufferSize: 1 Ki}}}\n",
         "f.conf:3:44: error: logging.options.text.infoBufferSize: \"1 Ki\" is not a size"},
    }),
    [](const auto& row) { return std::string(row.param.name); });

TEST(RemarksOnTest, TellWhatHasNoEffectOfWhatSomebodySet) {
  EXPECT_THAT(Lines(LoadFile("ipvs: {scheduler: lc, minSyncPeriod: 0s}\niptables: {localhostNodePorts: false}\n"
                             "featureGates: {SCTPSupport: true, WatchListClient: false, ContextualLogging: true}\n")
                        .settings.remarks),
              ElementsAre("f.conf:3:19: warning: ipvs.scheduler: has no effect: Services are programmed with nftables "
                          "alone",
                          "f.conf:4:32: warning: iptables.localhostNodePorts: has no effect: NodePorts do not answer "
                          "at loopback addresses",
                          "f.conf:5:16: warning: featureGates.SCTPSupport: is no feature gate known here",
                          "f.conf:5:35: warning: featureGates.WatchListClient: has no effect: nothing here depends on "
                          "it"));
  EXPECT_THAT(Lines(Load({"kube-proxy", "--iptables-min-sync-period=10s"}).settings.remarks),
              ElementsAre("--iptables-min-sync-period: warning: nftables.minSyncPeriod: has no effect: a change is "
                          "written as soon as the one before it is in place"))
      << "once for a flag, though it sets two fields";
}

// 16.6, and 15.2
struct MisfitRow {
  const char* name;
  std::vector<std::string> flags;
  Family primary;
  std::vector<std::string> pod_cidrs;
  const char* single;  // "FIELD" of a remark, "!FIELD" of an error; empty: neither
  const char* dual;
};

void PrintTo(const MisfitRow& row, std::ostream* out) { *out << row.name; }

class Misfit : public ::testing::TestWithParam<MisfitRow> {};

TEST_P(Misfit, IsFound) {
  const MisfitRow& row = GetParam();
  std::vector<std::string> args = {"kube-proxy"};
  args.insert(args.end(), row.flags.begin(), row.flags.end());
  const Loaded loaded = Load(args);
  ASSERT_THAT(Lines(loaded.errors), IsEmpty());

  for (const bool dual : {false, true}) {
    const Misfits misfits = FindMisfits(loaded.settings, row.primary, dual, row.pod_cidrs);
    std::string found;
    for (const Remark& remark : misfits.remarks) absl::StrAppend(&found, found.empty() ? "" : " ", remark.what);
    for (const Diagnostic& error : misfits.errors) absl::StrAppend(&found, found.empty() ? "!" : " !", error.field);
    EXPECT_EQ(found, dual ? row.dual : row.single) << (dual ? "dual-stack" : "single-stack");
  }
}

constexpr char kPorts4[] = "--nodeport-addresses=192.0.2.0/24";
constexpr char kPrimary[] = "--nodeport-addresses=primary";
constexpr char kV6[] = "--cluster-cidr=2001:db8::/64";

INSTANTIATE_TEST_SUITE_P(
    , Misfit,
    ::testing::ValuesIn(std::vector<MisfitRow>{
        {"Y01", {}, Family::kIpv4, {}, "nodePortAddresses", "nodePortAddresses"},
        {"Y01Nftables", {"--proxy-mode=nftables"}, Family::kIpv4, {}, "", ""},
        {"Y02", {"--cluster-cidr=10.0.0.0/14", kPorts4}, Family::kIpv4, {}, "", ""},
        {"Y03",
         {"--cluster-cidr=10.0.0.0/14,2001:db8::/64", kPorts4},
         Family::kIpv4,
         {},
         "nodePortAddresses",
         "nodePortAddresses"},
        {"Y04",
         {kV6, kPorts4, "--metrics-bind-address=::"},
         Family::kIpv6,
         {},
         "nodePortAddresses",
         "nodePortAddresses"},
        {"Y05", {kV6, "--detect-local-mode=NodeCIDR", kPrimary}, Family::kIpv4, {}, "clusterCIDR", "clusterCIDR"},
        {"Y06", {kV6, kPrimary}, Family::kIpv4, {}, "!clusterCIDR", "clusterCIDR"},
        {"Y07",
         {"--detect-local-mode=NodeCIDR", kPrimary},
         Family::kIpv4,
         {"2001:db8::/64"},
         "!detectLocalMode",
         "!detectLocalMode"},
        {"Y07OtherMode", {kPrimary}, Family::kIpv4, {"2001:db8::/64"}, "", ""},
        {"Y08", {"--metrics-bind-address=10.0.0.1:9999", kPrimary}, Family::kIpv6, {}, "metricsBindAddress", ""},
        {"Y09", {"--metrics-bind-address=0.0.0.0:9999", kPrimary}, Family::kIpv6, {}, "", ""},
        {"Y10",
         {"--ipvs-exclude-cidrs=10.0.0.0/8", "--metrics-bind-address=::", kPrimary},
         Family::kIpv6,
         {},
         "ipvs.excludeCIDRs",
         ""},
    }),
    [](const auto& row) { return std::string(row.param.name); });

TEST(MisfitsTest, SayWhatFollows) {
  const Misfits misfits = FindMisfits(Load({"kube-proxy", kV6, kPorts4}).settings, Family::kIpv6, true, {});

  EXPECT_THAT(Lines(misfits.remarks),
              ElementsAre("--nodeport-addresses: warning: nodePortAddresses: says nothing of IPv6: NodePorts answer at "
                          "every IPv6 address of this node; `primary` names one of each family"));
  EXPECT_THAT(Lines(FindMisfits(Load({"kube-proxy", kV6, kPrimary}).settings, Family::kIpv4, false, {}).errors),
              ElementsAre("--cluster-cidr: error: clusterCIDR: has IPv6 alone, and this node is IPv4 (give an IPv4 "
                          "range)"));
}

}  // namespace
}  // namespace pointsman::options
