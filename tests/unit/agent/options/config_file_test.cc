// SPDX-License-Identifier: Apache-2.0
#include "agent/options/config_file.h"

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/options/effective.h"
#include "tests/unit/agent/options/loading.h"

namespace pointsman::options {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string ReadData(const std::string& name) {
  std::ifstream file(absl::StrCat(PM_TEST_DATA "/", name));
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> ErrorsOf(const std::string& text) {
  Settings settings;
  return Lines(ReadConfigFile("f.conf", text, settings));
}

TEST(ConfigFileTest, WhatKubeadmWritesIsTheDefaultsAndWhatItMeans) {
  const std::string text = ReadData("kubeadm/config.conf");
  const Loaded loaded = Load({"/usr/local/bin/kube-proxy", "--config=c", "--hostname-override=n1"}, {{"c", text}});

  ASSERT_THAT(Lines(loaded.errors), IsEmpty());
  KubeProxyConfiguration expected;
  expected.client_connection.kubeconfig = "/var/lib/kube-proxy/kubeconfig.conf";
  expected.cluster_cidr = "10.244.0.0/16,fd00:10:244::/56";
  expected.hostname_override = "n1";
  expected.detect_local_mode = "ClusterCIDR";
  EXPECT_EQ(loaded.settings.proxy, expected);
  EXPECT_THAT(Lines(loaded.settings.remarks), IsEmpty()) << "a zero that is the default is not worth a word";
}

TEST(ConfigFileTest, JsonIsTakenToo) {
  Settings settings;
  EXPECT_THAT(ReadConfigFile("f.conf",
                             R"({"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
                                 "conntrack": {"min": 5}, "hostnameOverride": "\u006e1"})",
                             settings),
              IsEmpty());
  EXPECT_EQ(settings.proxy.conntrack.min, 5);
  EXPECT_EQ(settings.proxy.hostname_override, "n1");
  EXPECT_EQ(settings.places["conntrack.min"], "f.conf:2:55");
}

TEST(ConfigFileTest, AllMistakesAreToldWithTheirPlaces) {
  EXPECT_THAT(ErrorsOf(absl::StrCat(kHeader, "conntrack:\n  min: five\n  maxPerCore: []\noomScoreAdj: no\n")),
              ElementsAre("f.conf:4:8: error: conntrack.min: the text \"five\" where a whole number is needed",
                          "f.conf:5:15: error: conntrack.maxPerCore: a list where a number is needed",
                          "f.conf:6:14: error: oomScoreAdj: the boolean \"no\" where a whole number is needed"));
}

TEST(ConfigFileTest, WithoutItsHeaderItIsNone) {
  EXPECT_THAT(ErrorsOf("mode: nftables\n"),
              ElementsAre("f.conf:1:1: error: apiVersion: is missing (write apiVersion: "
                          "kubeproxy.config.k8s.io/v1alpha1)",
                          "f.conf:1:1: error: kind: is missing (write kind: KubeProxyConfiguration)"));
  EXPECT_THAT(ErrorsOf("apiVersion: kubeproxy.config.k8s.io/v1\nkind: KubeletConfiguration\nmode: 5\n"),
              ElementsAre("f.conf:1:13: error: apiVersion: unknown apiVersion \"kubeproxy.config.k8s.io/v1\" (write "
                          "kubeproxy.config.k8s.io/v1alpha1)",
                          "f.conf:2:7: error: kind: unknown kind \"KubeletConfiguration\" (write "
                          "KubeProxyConfiguration)"));
  EXPECT_THAT(ErrorsOf("# nothing\n"),
              ElementsAre("f.conf:1:1: error: there is no configuration in this file (begin with apiVersion: "
                          "kubeproxy.config.k8s.io/v1alpha1 and kind: KubeProxyConfiguration)"));
  EXPECT_THAT(ErrorsOf("- a\n"), ElementsAre("f.conf:1:1: error: a list where a map is needed"));
}

TEST(ConfigFileTest, WhatIsNoYamlIsToldWithItsPlace) {
  EXPECT_THAT(ErrorsOf(absl::StrCat(kHeader, "mode: [\n")), ElementsAre(HasSubstr("f.conf:")));
  EXPECT_THAT(ErrorsOf("\xff\xfe"), ElementsAre(HasSubstr("f.conf:1:1: error: ")));
}

TEST(ConfigFileTest, UnknownAndRepeatedFieldsAreRemarkedUponAndTheLastOneCounts) {
  const Loaded loaded =
      LoadFile("moed: x\nmode: ipvs\nmode: nftables\nmaxPerCore: 3\nconntrack: {mni: 1}\nzzzzzzzz: 1\n");

  EXPECT_THAT(Lines(loaded.errors), IsEmpty());
  EXPECT_EQ(loaded.settings.proxy.mode, "nftables");
  EXPECT_THAT(Lines(loaded.settings.remarks),
              ElementsAre("f.conf:5:1: warning: mode: stands twice, first in line 4; the last one counts",
                          "f.conf:3:1: warning: moed: unknown field; did you mean mode?",
                          "f.conf:6:1: warning: maxPerCore: unknown field; did you mean conntrack.maxPerCore?",
                          "f.conf:7:13: warning: conntrack.mni: unknown field; did you mean conntrack.min?",
                          "f.conf:8:1: warning: zzzzzzzz: unknown field"));
  for (const Remark& remark : loaded.settings.remarks) EXPECT_EQ(remark.kind, Remark::Kind::kUnknown);
}

TEST(ConfigFileTest, WithStrictConfigUnknownFieldsAreErrors) {
  EXPECT_THAT(Lines(LoadFile("moed: x\nmode: nftables\n", {"--pointsman.strict-config"}).errors),
              ElementsAre("f.conf:3:1: error: moed: unknown field; did you mean mode? (--pointsman.strict-config does "
                          "not allow it)"));
}

TEST(ConfigFileTest, UnknownKeysAreSeenInLists) {
  const Loaded loaded = LoadFile("logging: {vmodule: [{filePatern: a, verbosity: 1, verbosity: 2}]}\nmode: nftables\n");

  EXPECT_THAT(Lines(loaded.settings.remarks),
              ElementsAre(HasSubstr("logging.vmodule[0].verbosity: stands twice"),
                          HasSubstr("logging.vmodule[0].filePatern: unknown field; did you mean "
                                    "logging.vmodule[0].filePattern?"),
                          HasSubstr("logging.vmodule: has no effect")));
  EXPECT_THAT(Lines(loaded.errors), ElementsAre(HasSubstr("logging.vmodule[0].filePattern: \"\" is not a pattern")));
}

TEST(ConfigFileTest, ASecondDocumentIsPassedOver) {
  const Loaded loaded = LoadFile("mode: nftables\n---\nmode: ipvs\n");

  EXPECT_EQ(loaded.settings.proxy.mode, "nftables");
  EXPECT_THAT(Lines(loaded.settings.remarks), ElementsAre(HasSubstr("f.conf:5:1: warning: ")));
}

TEST(ConfigFileTest, ZerosAreAsGoodAsNothingOnlyWhereKubeProxySaysSo) {
  const KubeProxyConfiguration proxy =
      LoadFile(
          "mode: nftables\nnftables: {minSyncPeriod: 0s, syncPeriod: 0s, masqueradeBit: 0}\n"
          "ipvs: {minSyncPeriod: 0s}\nclientConnection: {qps: 0, burst: 0}\nbindAddress: ''\n"
          "conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s}\noomScoreAdj: 0\nconfigSyncPeriod: 0s\n")
          .settings.proxy;

  EXPECT_EQ(proxy.nftables.min_sync_period, absl::Seconds(1));
  EXPECT_EQ(proxy.nftables.sync_period, absl::Seconds(30));
  EXPECT_EQ(proxy.nftables.masquerade_bit, 0);
  EXPECT_EQ(proxy.ipvs.min_sync_period, absl::ZeroDuration());
  EXPECT_EQ(proxy.client_connection.qps, 5);
  EXPECT_EQ(proxy.client_connection.burst, 10);
  EXPECT_EQ(proxy.bind_address, "0.0.0.0");
  EXPECT_EQ(proxy.conntrack.max_per_core, 0);
  EXPECT_EQ(proxy.conntrack.min, 0);
  EXPECT_EQ(proxy.conntrack.tcp_established_timeout, absl::ZeroDuration());
  EXPECT_EQ(proxy.oom_score_adj, 0);
  EXPECT_EQ(proxy.config_sync_period, absl::Minutes(15));
}

TEST(ConfigFileTest, TheFamilyOfTheBindAddressChoosesTheServedOnes) {
  for (const char* bind : {"'::'", "2001:db8::1"}) {
    const KubeProxyConfiguration proxy = LoadFile(absl::StrCat("bindAddress: ", bind, "\n")).settings.proxy;
    EXPECT_EQ(proxy.healthz_bind_address, "[::]:10256");
    EXPECT_EQ(proxy.metrics_bind_address, "[::1]:10249");
  }
  const KubeProxyConfiguration proxy = LoadFile("bindAddress: '::'\nmetricsBindAddress: 0.0.0.0\n").settings.proxy;
  EXPECT_EQ(proxy.metrics_bind_address, "0.0.0.0:10249");
}

TEST(ConfigFileTest, AFileThatCannotBeReadIsTold) {
  EXPECT_THAT(Lines(Load({"kube-proxy", "--config=gone"}).errors), ElementsAre("--config: error: gone: no such file"));
}

TEST(ActiveModeSettingsTest, AreOfTheSectionOfTheMode) {
  KubeProxyConfiguration proxy;
  proxy.iptables = {.masquerade_bit = 1, .masquerade_all = true, .sync_period = absl::Seconds(1)};
  proxy.ipvs = {.sync_period = absl::Seconds(2)};
  proxy.nftables = {.masquerade_bit = 3, .sync_period = absl::Seconds(3)};
  struct {
    const char* mode;
    const char* section;
    int seconds;
    int bit;
    bool all;
  } const rows[] = {{"", "iptables", 1, 1, true},
                    {"iptables", "iptables", 1, 1, true},
                    {"ipvs", "ipvs", 2, 1, true},
                    {"nftables", "nftables", 3, 3, false}};
  for (const auto& row : rows) {
    proxy.mode = row.mode;
    const ModeSettings active = ActiveModeSettings(proxy);
    EXPECT_EQ(active.section, row.section);
    EXPECT_EQ(active.sync_period, absl::Seconds(row.seconds)) << row.mode;
    EXPECT_EQ(active.masquerade_bit, row.bit) << row.mode;
    EXPECT_EQ(active.masquerade_all, row.all) << row.mode;
  }
}

}  // namespace
}  // namespace pointsman::options
