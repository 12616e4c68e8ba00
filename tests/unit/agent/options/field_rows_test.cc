// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/options/config_file.h"
#include "agent/options/fields.h"
#include "agent/options/value.h"

namespace pointsman::options {
namespace {

using ::testing::IsEmpty;

struct Row {
  const char* path;
  const char* default_value;  // JSON
  const char* given;          // YAML
  const char* value;          // JSON
  const char* bad;            // YAML
  const char* problem;        // with the hint in brackets
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.path; }

constexpr char kNoBool[] = "the number \"1\" where true or false is needed";
constexpr char kNoText[] = "a list where a text is needed";
constexpr char kNoNumber[] = "the text \"5\" where a number is needed (remove the quotes)";
constexpr char kNoDuration[] = "\"5\" is not a duration (write a text with units, as in 30s, 1m30s or 24h)";
constexpr char kNoUnit[] = "the number 5 has no unit (write a text with units, as in 30s, 1m30s or 24h)";
constexpr char kNoList[] = "the text \"10.0.0.0/8\" where a list is needed (begin each item with `- `)";
constexpr char kTooMuch[] = "\"2147483648\" is not between -2147483648 and 2147483647";

// KubeProxyConfiguration of kube-proxy 1.36, every field of it.
const Row kRows[] = {
    {"bindAddress", "\"0.0.0.0\"", "192.0.2.1", "\"192.0.2.1\"", "[]", kNoText},
    {"bindAddressHardFail", "false", "true", "true", "1", kNoBool},
    {"clientConnection.acceptContentTypes", "\"\"", "application/json", "\"application/json\"", "[]", kNoText},
    {"clientConnection.burst", "10", "20", "20", "2147483648", kTooMuch},
    {"clientConnection.contentType", "\"application/vnd.kubernetes.protobuf\"", "application/json",
     "\"application/json\"", "[]", kNoText},
    {"clientConnection.kubeconfig", "\"\"", "/etc/kubeconfig", "\"/etc/kubeconfig\"", "[]", kNoText},
    {"clientConnection.qps", "5", "0.5", "0.5", "\"5\"",
     "this is no number (write one without quotes, as in 5 or 0.5)"},
    {"clusterCIDR", "\"\"", "10.244.0.0/16", "\"10.244.0.0/16\"", "10",
     "the number \"10\" where a text is needed (put it in quotes)"},
    {"configSyncPeriod", "\"15m0s\"", "1m", "\"1m0s\"", "5", kNoUnit},
    {"conntrack.maxPerCore", "32768", "0", "0", "\"5\"", kNoNumber},
    {"conntrack.min", "131072", "0", "0", "\"5\"", kNoNumber},
    {"conntrack.tcpBeLiberal", "false", "true", "true", "1", kNoBool},
    {"conntrack.tcpCloseWaitTimeout", "\"1h0m0s\"", "0s", "\"0s\"", "5", kNoUnit},
    {"conntrack.tcpEstablishedTimeout", "\"24h0m0s\"", "1h30m", "\"1h30m0s\"", "\"5\"", kNoDuration},
    {"conntrack.udpStreamTimeout", "\"0s\"", "1.5s", "\"1.5s\"", "5", kNoUnit},
    {"conntrack.udpTimeout", "\"0s\"", "300ms", "\"300ms\"", "5", kNoUnit},
    {"detectLocal.bridgeInterface", "\"\"", "cbr0", "\"cbr0\"", "[]", kNoText},
    {"detectLocal.interfaceNamePrefix", "\"\"", "veth", "\"veth\"", "[]", kNoText},
    {"detectLocalMode", "\"\"", "NodeCIDR", "\"NodeCIDR\"", "[]", kNoText},
    {"enableProfiling", "false", "true", "true", "1", kNoBool},
    {"featureGates", "{}", "{AllowServiceExternalIPs: false}", R"({"AllowServiceExternalIPs":false})", "[]",
     "a list where a map is needed"},
    {"healthzBindAddress", "\"0.0.0.0:10256\"", "192.0.2.1", "\"192.0.2.1:10256\"", "[]", kNoText},
    {"hostnameOverride", "\"\"", "n1", "\"n1\"", "[]", kNoText},
    {"iptables.localhostNodePorts", "true", "false", "false", "1", kNoBool},
    {"iptables.masqueradeAll", "false", "true", "true", "1", kNoBool},
    {"iptables.masqueradeBit", "14", "0", "0", "\"5\"", kNoNumber},
    {"iptables.minSyncPeriod", "\"1s\"", "2s", "\"2s\"", "5", kNoUnit},
    {"iptables.syncPeriod", "\"30s\"", "1m", "\"1m0s\"", "5", kNoUnit},
    {"ipvs.excludeCIDRs", "[]", "[10.0.0.0/8]", "[\"10.0.0.0/8\"]", "10.0.0.0/8", kNoList},
    {"ipvs.minSyncPeriod", "\"0s\"", "2s", "\"2s\"", "5", kNoUnit},
    {"ipvs.scheduler", "\"\"", "lc", "\"lc\"", "[]", kNoText},
    {"ipvs.strictARP", "false", "true", "true", "1", kNoBool},
    {"ipvs.syncPeriod", "\"30s\"", "1m", "\"1m0s\"", "5", kNoUnit},
    {"ipvs.tcpFinTimeout", "\"0s\"", "1m", "\"1m0s\"", "5", kNoUnit},
    {"ipvs.tcpTimeout", "\"0s\"", "1m", "\"1m0s\"", "5", kNoUnit},
    {"ipvs.udpTimeout", "\"0s\"", "1m", "\"1m0s\"", "5", kNoUnit},
    {"logging.flushFrequency", "\"5s\"", "10000000000", "\"10s\"", "\"5\"", kNoDuration},
    {"logging.format", "\"text\"", "json", "\"json\"", "[]", kNoText},
    {"logging.options.json.infoBufferSize", "\"0\"", "512", "\"512\"", "[]", kNoText},
    {"logging.options.json.splitStream", "false", "true", "true", "1", kNoBool},
    {"logging.options.text.infoBufferSize", "\"0\"", "\"512Ki\"", "\"512Ki\"", "[]", kNoText},
    {"logging.options.text.splitStream", "false", "true", "true", "1", kNoBool},
    {"logging.verbosity", "0", "4", "4", "-1", "\"-1\" is not between 0 and 2147483647"},
    {"logging.vmodule", "[]", "[{filePattern: proxier, verbosity: 5}]", R"([{"filePattern":"proxier","verbosity":5}])",
     "{}", "a map where a list is needed (begin each item with `- `)"},
    {"metricsBindAddress", "\"127.0.0.1:10249\"", "\"[::]:1\"", "\"[::]:1\"", "[]", kNoText},
    {"mode", "\"\"", "nftables", "\"nftables\"", "[]", kNoText},
    {"nftables.masqueradeAll", "false", "true", "true", "1", kNoBool},
    {"nftables.masqueradeBit", "14", "31", "31", "\"5\"", kNoNumber},
    {"nftables.minSyncPeriod", "\"1s\"", "2s", "\"2s\"", "5", kNoUnit},
    {"nftables.syncPeriod", "\"30s\"", "1m", "\"1m0s\"", "5", kNoUnit},
    {"nodePortAddresses", "[]", "[primary]", "[\"primary\"]", "10.0.0.0/8", kNoList},
    {"oomScoreAdj", "-999", "0", "0", "\"5\"", kNoNumber},
    {"portRange", "\"\"", "1-2", "\"1-2\"", "[]", kNoText},
    {"showHiddenMetricsForVersion", "\"\"", "\"1.35\"", "\"1.35\"", "1.35",
     "the number \"1.35\" where a text is needed (put it in quotes)"},
    {"windowsRunAsService", "false", "true", "true", "1", kNoBool},
    {"winkernel.enableDSR", "false", "true", "true", "1", kNoBool},
    {"winkernel.forwardHealthCheckVip", "false", "true", "true", "1", kNoBool},
    {"winkernel.networkName", "\"\"", "l2bridge", "\"l2bridge\"", "[]", kNoText},
    {"winkernel.rootHnsEndpointName", "\"\"", "cbr0", "\"cbr0\"", "[]", kNoText},
    {"winkernel.sourceVip", "\"\"", "192.0.2.1", "\"192.0.2.1\"", "[]", kNoText},
};

// A file with this one field, in line 3.
std::string FileWith(const char* path, const char* value) {
  std::string line;
  std::string closing;
  for (const absl::string_view part : absl::StrSplit(path, '.')) {
    absl::StrAppend(&line, line.empty() ? "" : "{", part, ": ");
    closing += line.find('{') == std::string::npos ? "" : "}";
  }
  return absl::StrCat("apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n", line, value,
                      closing, "\n");
}

TEST(FieldRows, AreTheFieldsOfTheFileNoneMissingAndNoneMore) {
  std::set<std::string> known;
  for (const Field& field : Fields()) {
    if (field.path.empty()) continue;
    EXPECT_TRUE(known.insert(std::string(field.path)).second) << field.path;
  }
  std::set<std::string> listed;
  for (const Row& row : kRows) listed.insert(row.path);
  EXPECT_EQ(known, listed);
}

class FieldRow : public ::testing::TestWithParam<Row> {};

TEST_P(FieldRow, HasItsDefaultAndTakesWhatTheFileSays) {
  const Row& row = GetParam();
  const Field& field = *FindField(row.path);
  Settings settings;
  EXPECT_EQ(FormatValue(field.slot, settings), row.default_value);

  ASSERT_THAT(ReadConfigFile("f.conf", FileWith(row.path, row.given), settings), IsEmpty());

  EXPECT_EQ(FormatValue(field.slot, settings), row.value);
  EXPECT_EQ(settings.OriginOf(row.path), Origin::kFile);
  EXPECT_THAT(PlaceOf(settings, row.path), ::testing::StartsWith("f.conf:3:"));
  EXPECT_THAT(settings.remarks, IsEmpty());
  for (const Field& other : Fields()) {
    EXPECT_EQ(SameValue(other.slot, settings, Settings()), other.path != field.path) << NameOf(other);
  }
}

TEST_P(FieldRow, OfAnotherTypeIsAMistakeThatTellsWhatIsNeeded) {
  const Row& row = GetParam();
  Settings settings;

  const Diagnostics errors = ReadConfigFile("f.conf", FileWith(row.path, row.bad), settings);

  ASSERT_EQ(errors.size(), 1U);
  EXPECT_THAT(FormatDiagnostic(errors[0]), ::testing::MatchesRegex("f\\.conf:3:[0-9]+: error: .*"));
  const std::string hint = errors[0].hint.empty() ? "" : absl::StrCat(" (", errors[0].hint, ")");
  EXPECT_EQ(absl::StrCat(errors[0].field, ": ", errors[0].problem, hint), absl::StrCat(row.path, ": ", row.problem));
  EXPECT_EQ(settings.proxy, KubeProxyConfiguration());
}

TEST_P(FieldRow, IsAbsentWhenItIsNull) {
  Settings settings;

  ASSERT_THAT(ReadConfigFile("f.conf", FileWith(GetParam().path, "null"), settings), IsEmpty());

  EXPECT_EQ(settings.proxy, KubeProxyConfiguration());
  EXPECT_EQ(settings.OriginOf(GetParam().path), Origin::kDefault);
}

INSTANTIATE_TEST_SUITE_P(, FieldRow, ::testing::ValuesIn(kRows), [](const auto& row) {
  std::string name = row.param.path;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

}  // namespace
}  // namespace pointsman::options
