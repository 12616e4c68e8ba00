// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/options/fields.h"
#include "tests/unit/agent/options/loading.h"

namespace pointsman::options {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Row {
  const char* flag;
  const char* default_value;
  const char* given;
  const char* value;  // of the flag's fields, as behind a flag
  const char* bad;    // empty: everything is taken
  const char* error;
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.flag; }

// Every flag of kube-proxy 1.36 but --version and --help, and our own.
const Row kRows[] = {
    {"config", "", "f.conf", "f.conf", "missing.conf", "--config: error: missing.conf: no such file"},
    {"write-config-to", "", "out.conf", "out.conf", "", ""},
    {"cleanup", "false", "true", "true", "maybe", "--cleanup: error: \"maybe\" is not true or false"},
    {"init-only", "false", "T", "true", "maybe", "--init-only: error: \"maybe\" is not true or false"},
    {"master", "", "https://192.0.2.1:6443, https://192.0.2.2:6443", "https://192.0.2.1:6443,https://192.0.2.2:6443",
     "", ""},
    {"hostname-override", "", "N1", "n1", "  ",
     "--hostname-override: error: hostnameOverride: there are only blanks (give a name, or leave it out)"},
    {"kubeconfig", "", "/etc/kubeconfig", "/etc/kubeconfig", "", ""},
    {"kube-api-content-type", "application/vnd.kubernetes.protobuf", "application/json", "application/json", "", ""},
    {"kube-api-qps", "5", "0.5", "0.5", "many", "--kube-api-qps: error: \"many\" is not a number"},
    {"kube-api-burst", "10", "20", "20", "-1",
     "--kube-api-burst: error: clientConnection.burst: -1 is negative (write 0 or more)"},
    {"feature-gates", "", "AllowServiceExternalIPs=false, WatchListClient=true",
     "AllowServiceExternalIPs=false,WatchListClient=true", "A",
     "--feature-gates: error: \"A\" is not GATE=true or GATE=false"},
    {"bind-address", "0.0.0.0", "2001:db8::1", "2001:db8::1", "[::1]",
     "--bind-address: error: bindAddress: \"[::1]\" is not an IP address (write an address without brackets and port)"},
    {"healthz-bind-address", "0.0.0.0:10256", "192.0.2.1", "192.0.2.1:10256", "host:1",
     "--healthz-bind-address: error: healthzBindAddress: \"host:1\" is not an address with a port (write IP:PORT or "
     "[IP6]:PORT, with a port from 1 to 65535)"},
    {"metrics-bind-address", "127.0.0.1:10249", "2001:db8::1", "[2001:db8::1]:10249", "192.0.2.1:0",
     "--metrics-bind-address: error: metricsBindAddress: \"192.0.2.1:0\" is not an address with a port (write IP:PORT "
     "or [IP6]:PORT, with a port from 1 to 65535)"},
    {"bind-address-hard-fail", "false", "1", "true", "2",
     "--bind-address-hard-fail: error: \"2\" is not true or false"},
    {"profiling", "false", "true", "true", "2", "--profiling: error: \"2\" is not true or false"},
    {"show-hidden-metrics-for-version", "", "1.35", "1.35", "1.34",
     "--show-hidden-metrics-for-version: error: showHiddenMetricsForVersion: \"1.34\" is not the previous minor "
     "version "
     "(write 1.35)"},
    {"proxy-mode", "", "nftables", "nftables", "userspace",
     "--proxy-mode: error: mode: unknown mode \"userspace\" (write nftables, iptables or ipvs)"},
    {"iptables-masquerade-bit", "14", "0", "0", "32",
     "--iptables-masquerade-bit: error: iptables.masqueradeBit: 32 is out of range (write 0 to 31)"},
    {"masquerade-all", "false", "true", "true", "2", "--masquerade-all: error: \"2\" is not true or false"},
    {"iptables-localhost-nodeports", "true", "false", "false", "2",
     "--iptables-localhost-nodeports: error: \"2\" is not true or false"},
    {"iptables-sync-period", "30s", "1m", "1m0s", "0",
     "--iptables-sync-period: error: iptables.syncPeriod: 0s is not more than 0 (write a time, as in 30s)"},
    {"iptables-min-sync-period", "1s", "0", "0s", "1m",
     "--iptables-min-sync-period: error: iptables.minSyncPeriod: minSyncPeriod 1m0s is longer than syncPeriod 30s "
     "(make it the same or shorter)"},
    {"ipvs-sync-period", "30s", "1m", "1m0s", "1",
     "--ipvs-sync-period: error: \"1\" is not a duration; write 30s, 1m30s or 24h"},
    {"ipvs-min-sync-period", "1s", "0s", "0s", "1",
     "--ipvs-min-sync-period: error: \"1\" is not a duration; write 30s, 1m30s or 24h"},
    {"ipvs-scheduler", "", "lc", "lc", "", ""},
    {"ipvs-exclude-cidrs", "", "10.0.0.0/8,192.0.2.0/24", "10.0.0.0/8,192.0.2.0/24", "", ""},
    {"ipvs-strict-arp", "false", "true", "true", "2", "--ipvs-strict-arp: error: \"2\" is not true or false"},
    {"ipvs-tcp-timeout", "0s", "1m", "1m0s", "1",
     "--ipvs-tcp-timeout: error: \"1\" is not a duration; write 30s, 1m30s or 24h"},
    {"ipvs-tcpfin-timeout", "0s", "1m", "1m0s", "1",
     "--ipvs-tcpfin-timeout: error: \"1\" is not a duration; write 30s, 1m30s or 24h"},
    {"ipvs-udp-timeout", "0s", "1m", "1m0s", "1",
     "--ipvs-udp-timeout: error: \"1\" is not a duration; write 30s, 1m30s or 24h"},
    {"detect-local-mode", "ClusterCIDR", "NodeCIDR", "NodeCIDR", "Bridge",
     "--detect-local-mode: error: detectLocalMode: unknown mode \"Bridge\" (write ClusterCIDR, NodeCIDR, "
     "BridgeInterface or InterfaceNamePrefix)"},
    {"pod-bridge-interface", "", "cbr0", "cbr0", "", ""},
    {"pod-interface-name-prefix", "", "veth", "veth", "", ""},
    {"cluster-cidr", "", "10.244.0.0/16,2001:db8::/48", "10.244.0.0/16,2001:db8::/48", "10.0.0.0/8,10.1.0.0/16",
     "--cluster-cidr: error: clusterCIDR: \"10.0.0.0/8,10.1.0.0/16\" has more than one range of a family (write one "
     "CIDR, or one of each family)"},
    {"nodeport-addresses", "", "10.0.0.0/8, 192.0.2.0/24", "10.0.0.0/8,192.0.2.0/24", "primary,10.0.0.0/8",
     "--nodeport-addresses: error: nodePortAddresses[0]: \"primary\" stands beside others (write it alone, or CIDRs)"},
    {"oom-score-adj", "-999", "-998", "-998", "-1001",
     "--oom-score-adj: error: oomScoreAdj: -1001 is out of range (write -1000 to 1000)"},
    {"conntrack-max-per-core", "32768", "0", "0", "-1",
     "--conntrack-max-per-core: error: conntrack.maxPerCore: -1 is negative (write 0 or more)"},
    {"conntrack-min", "131072", "0", "0", "2147483648",
     "--conntrack-min: error: \"2147483648\" is not between -2147483648 and 2147483647"},
    {"conntrack-tcp-timeout-established", "24h0m0s", "0", "0s", "-1s",
     "--conntrack-tcp-timeout-established: error: conntrack.tcpEstablishedTimeout: -1s is negative (write 0 or more)"},
    {"conntrack-tcp-timeout-close-wait", "1h0m0s", "1m1.5s", "1m1.5s", "-1s",
     "--conntrack-tcp-timeout-close-wait: error: conntrack.tcpCloseWaitTimeout: -1s is negative (write 0 or more)"},
    {"conntrack-tcp-be-liberal", "false", "true", "true", "2",
     "--conntrack-tcp-be-liberal: error: \"2\" is not true or false"},
    {"conntrack-udp-timeout", "0s", "1m", "1m0s", "-1s",
     "--conntrack-udp-timeout: error: conntrack.udpTimeout: -1s is negative (write 0 or more)"},
    {"conntrack-udp-timeout-stream", "0s", "1m", "1m0s", "-1s",
     "--conntrack-udp-timeout-stream: error: conntrack.udpStreamTimeout: -1s is negative (write 0 or more)"},
    {"config-sync-period", "15m0s", "1m", "1m0s", "0s",
     "--config-sync-period: error: configSyncPeriod: 0s is not more than 0 (write a time, as in 30s)"},
    {"healthz-port", "10256", "0", "0", "65536",
     "--healthz-port: error: 65536 is out of range (write 1 to 65535, or 0 for no server)"},
    {"metrics-port", "10249", "0", "0", "-1",
     "--metrics-port: error: -1 is out of range (write 1 to 65535, or 0 for no server)"},
    {"logging-format", "text", "json", "json", "xml",
     "--logging-format: error: logging.format: unknown format \"xml\" (write text or json)"},
    {"log-flush-frequency", "5s", "1s", "1s", "0s",
     "--log-flush-frequency: error: logging.flushFrequency: 0s is not more than 0 (write a time, as in 30s)"},
    {"v", "0", "4", "4", "-1", "--v: error: \"-1\" is not between 0 and 4294967295"},
    {"vmodule", "", "proxier=5,healthcheck*=2", "proxier=5,healthcheck*=2", "proxier",
     "--vmodule: error: \"proxier\" is not PATTERN=N"},
    {"log-text-split-stream", "false", "false", "false", "true",
     "--log-text-split-stream: error: logging.options.text.splitStream: true is not possible (it needs feature gate "
     "LoggingAlphaOptions)"},
    {"log-json-split-stream", "false", "false", "false", "true",
     "--log-json-split-stream: error: logging.options.json.splitStream: true is not possible (it needs feature gate "
     "LoggingAlphaOptions)"},
    {"log-text-info-buffer-size", "0", "0", "0", "1Ki",
     "--log-text-info-buffer-size: error: logging.options.text.infoBufferSize: \"1Ki\" is not possible (it needs "
     "feature gate LoggingAlphaOptions)"},
    {"log-json-info-buffer-size", "0", "0", "0", "much",
     "--log-json-info-buffer-size: error: logging.options.json.infoBufferSize: \"much\" is not a size (write a "
     "quantity, as in 512Ki)"},
    {"machine-id-file", "", "/etc/machine-id,/var/lib/dbus/machine-id", "/etc/machine-id,/var/lib/dbus/machine-id", "",
     ""},
    {"boot-id-file", "", "/proc/sys/kernel/random/boot_id", "/proc/sys/kernel/random/boot_id", "", ""},

    // Our own.
    {"manifests", "", "a,b.yaml", "a,b.yaml", "", ""},
    {"allocate-from", "", "", "", "10.96.0.0/16",
     "--allocate-from: error: --allocate-from: an API server gives addresses itself (it goes with --manifests)"},
    {"service-cidr", "", "10.96.0.0/16,2001:db8::/112", "10.96.0.0/16,2001:db8::/112", "10.96.0.0",
     "--service-cidr: error: --service-cidr: \"10.96.0.0\" is not a CIDR (write ADDRESS/PREFIX, as in 10.244.0.0/16)"},
    {"node-name", "", "n1", "n1", " ",
     "--node-name: error: hostnameOverride: there are only blanks (give a name, or leave it out)"},
    {"masquerade-bit", "14", "7", "7", "-1",
     "--masquerade-bit: error: iptables.masqueradeBit: -1 is out of range (write 0 to 31)"},
    {"verbose", "0", "1", "1", "x", "--verbose: error: \"x\" is not a whole number"},
    {"pointsman.strict-config", "false", "true", "true", "2",
     "--pointsman.strict-config: error: \"2\" is not true or false"},
    {"pointsman.close-unranged-vips", "false", "true", "true", "2",
     "--pointsman.close-unranged-vips: error: \"2\" is not true or false"},
    {"pointsman.clean-tcp", "false", "true", "true", "2", "--pointsman.clean-tcp: error: \"2\" is not true or false"},
    {"pointsman.affinity-size", "262144", "100", "100", "0",
     "--pointsman.affinity-size: error: --pointsman.affinity-size: 0 is out of range (write 1 to 1073741824)"},
    {"pointsman.take-over", "true", "false", "false", "2", "--pointsman.take-over: error: \"2\" is not true or false"},
    {"pointsman.ip-forward", "false", "true", "true", "2", "--pointsman.ip-forward: error: \"2\" is not true or false"},
};

TEST(FlagRows, AreTheFlagsNoneMissingAndNoneMore) {
  std::set<std::string> known;
  for (const Flag& flag : AllFlags()) EXPECT_TRUE(known.insert(std::string(flag.name)).second) << flag.name;
  std::set<std::string> listed;
  for (const Row& row : kRows) listed.insert(row.flag);
  EXPECT_EQ(known, listed);
}

class FlagRow : public ::testing::TestWithParam<Row> {};

TEST_P(FlagRow, HasItsDefaultAndTakesWhatTheCommandLineSays) {
  const Row& row = GetParam();
  const Flag& flag = *FindFlag(row.flag);
  for (const Field* field : flag.fields) {
    EXPECT_EQ(FormatFlagValue(field->slot, Load({"kube-proxy"}).settings), row.default_value);
  }

  const Loaded joined = Load({"kube-proxy", absl::StrCat("--", row.flag, "=", row.given)});

  EXPECT_THAT(Lines(joined.errors), IsEmpty());
  for (const Field* field : flag.fields) {
    EXPECT_EQ(FormatFlagValue(field->slot, joined.settings), row.value) << NameOf(*field);
    EXPECT_EQ(joined.settings.OriginOf(NameOf(*field)), Origin::kFlag);
    EXPECT_EQ(PlaceOf(joined.settings, NameOf(*field)), absl::StrCat("--", row.flag));
  }
  if (!flag.IsBool()) {
    EXPECT_EQ(Load({"kube-proxy", absl::StrCat("--", row.flag), row.given}).settings.proxy, joined.settings.proxy)
        << "with a blank for the equals sign";
  }
}

TEST_P(FlagRow, WithABadValueSaysWhatIsAllowed) {
  const Row& row = GetParam();
  if (*row.bad == '\0') {
    ASSERT_STREQ(row.error, "") << "any text may be meant";
    return;
  }
  EXPECT_THAT(Lines(Load({"kube-proxy", absl::StrCat("--", row.flag, "=", row.bad)}).errors), ElementsAre(row.error));
}

INSTANTIATE_TEST_SUITE_P(, FlagRow, ::testing::ValuesIn(kRows), [](const auto& row) {
  std::string name = row.param.flag;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == '-' || c == '.'; }, '_');
  return name;
});

}  // namespace
}  // namespace pointsman::options
