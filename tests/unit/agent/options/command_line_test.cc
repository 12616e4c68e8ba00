// SPDX-License-Identifier: Apache-2.0
#include "agent/options/command_line.h"

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/unit/agent/options/loading.h"

namespace pointsman::options {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct SplitRow {
  const char* name;
  std::vector<std::string> args;
  std::string given;  // "flag=value flag=value"
  std::string rest;
  bool of_kube_proxy = false;
};

class Split : public ::testing::TestWithParam<SplitRow> {};

TEST_P(Split, TellsTheSettingsFromTheRest) {
  const SplitRow& row = GetParam();

  const absl::StatusOr<CommandLine> line = SplitCommandLine(row.args);

  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(absl::StrJoin(
                line->given, " ",
                [](std::string* out, const Given& given) { absl::StrAppend(out, given.flag->name, "=", given.value); }),
            row.given);
  EXPECT_EQ(absl::StrJoin(line->rest, " "), row.rest);
  EXPECT_EQ(line->of_kube_proxy, row.of_kube_proxy);
}

INSTANTIATE_TEST_SUITE_P(
    , Split,
    ::testing::ValuesIn(std::vector<SplitRow>{
        {"Nothing", {"pointsman"}, "", "pointsman"},
        {"OurOwn", {"pointsman", "run", "--once", "--node-name", "n1"}, "node-name=n1", "pointsman run --once"},
        {"ByName", {"/usr/local/bin/kube-proxy"}, "", "/usr/local/bin/kube-proxy run", true},
        {"ByFlag", {"pointsman", "--config=a"}, "config=a", "pointsman run", true},
        {"ByShortFlag", {"pointsman", "-v4"}, "v=4", "pointsman run", true},
        {"HelpIsOurs", {"pointsman", "--help"}, "", "pointsman --help"},
        {"VersionIsOurs", {"pointsman", "--version"}, "", "pointsman --version"},
        {"HelpOfKubeProxy", {"kube-proxy", "--help"}, "", "kube-proxy run --help", true},
        {"Equals", {"kube-proxy", "--proxy-mode=nftables"}, "proxy-mode=nftables", "kube-proxy run", true},
        {"Blank", {"kube-proxy", "--proxy-mode", "nftables"}, "proxy-mode=nftables", "kube-proxy run", true},
        {"Underscores", {"kube-proxy", "--proxy_mode", "a_b"}, "proxy-mode=a_b", "kube-proxy run", true},
        {"NegativeNumber", {"kube-proxy", "--oom-score-adj", "-998"}, "oom-score-adj=-998", "kube-proxy run", true},
        {"EmptyValue", {"kube-proxy", "--metrics-bind-address="}, "metrics-bind-address=", "kube-proxy run", true},
        {"EmptyArgument", {"kube-proxy", "--cluster-cidr", ""}, "cluster-cidr=", "kube-proxy run", true},
        {"Bool", {"kube-proxy", "--masquerade-all"}, "masquerade-all=true", "kube-proxy run", true},
        {"BoolFalse", {"kube-proxy", "--masquerade-all=false"}, "masquerade-all=false", "kube-proxy run", true},
        {"BoolTakesNoArgument",
         {"kube-proxy", "--masquerade-all", "false"},
         "masquerade-all=true",
         "kube-proxy run false",
         true},
        {"VerbosityBlank", {"kube-proxy", "-v", "4"}, "v=4", "kube-proxy run", true},
        {"VerbosityEquals", {"kube-proxy", "-v=4"}, "v=4", "kube-proxy run", true},
        {"VerbosityLong", {"kube-proxy", "--v=4"}, "v=4", "kube-proxy run", true},
        {"VerbosityLongBlank", {"kube-proxy", "--v", "4"}, "v=4", "kube-proxy run", true},
        {"VerbosityBare", {"pointsman", "run", "-v", "--once"}, "v=2", "pointsman run --once"},
        {"VerbosityLast", {"pointsman", "run", "--verbose"}, "verbose=2", "pointsman run"},
        {"ManyManifests",
         {"pointsman", "dump", "--manifests", "a", "b", "-o", "json"},
         "manifests=a manifests=b",
         "pointsman dump -o json"},
        {"ManifestsBesideArguments",
         {"pointsman", "trace", "--manifests", "a", "node", "192.0.2.1:80"},
         "manifests=a",
         "pointsman trace node 192.0.2.1:80"},
        {"Unknown",
         {"kube-proxy", "--cleanup-ipvs", "--proxy-port-range=1-2"},
         "",
         "kube-proxy run --cleanup-ipvs --proxy-port-range=1-2",
         true},
        {"OtherCommandsKeepTheirs",
         {"pointsman", "cleanup", "--kube-proxy", "--dry-run"},
         "",
         "pointsman cleanup --kube-proxy --dry-run"},
        {"AfterTwoHyphens", {"kube-proxy", "--", "--config=a"}, "", "kube-proxy run -- --config=a", true},
    }),
    [](const auto& row) { return std::string(row.param.name); });

TEST(SplitCommandLineTest, AFlagWithoutItsValueIsNamed) {
  EXPECT_EQ(SplitCommandLine(std::vector<std::string>{"kube-proxy", "--config"}).status().message(),
            "--config needs a value");
}

TEST(LoadSettingsTest, ListsGrowByCommaAndByRepetition) {
  const Settings settings =
      Load({"kube-proxy", "--nodeport-addresses=10.0.0.0/8,192.0.2.0/24", "--nodeport-addresses", "2001:db8::/64",
            "--feature-gates=AllowServiceExternalIPs=false", "--feature-gates=WatchListClient=true",
            "--master=https://192.0.2.1,https://192.0.2.2"})
          .settings;

  EXPECT_THAT(settings.proxy.node_port_addresses, ElementsAre("10.0.0.0/8", "192.0.2.0/24", "2001:db8::/64"));
  EXPECT_EQ(settings.proxy.feature_gates.size(), 2U);
  EXPECT_THAT(settings.masters, ElementsAre("https://192.0.2.1", "https://192.0.2.2"));
}

TEST(LoadSettingsTest, OfARepeatedFlagTheLastCounts) {
  EXPECT_EQ(Load({"kube-proxy", "--proxy-mode=ipvs", "--proxy-mode=nftables"}).settings.proxy.mode, "nftables");
}

TEST(LoadSettingsTest, EveryMistakeIsTold) {
  EXPECT_THAT(Lines(Load({"kube-proxy", "--oom-score-adj=x", "--conntrack-min=-1", "--cluster-cidr=oops"}).errors),
              ElementsAre("--oom-score-adj: error: \"x\" is not a whole number",
                          "--conntrack-min: error: conntrack.min: -1 is negative (write 0 or more)",
                          "--cluster-cidr: error: clusterCIDR: \"oops\" is not a CIDR (write ADDRESS/PREFIX, as in "
                          "10.244.0.0/16)"));
}

// --- Precedence ---

TEST(PrecedenceTest, BesideAFileFlagsThatHaveAWordInItAreOverruledAndNamedOnce) {
  const Loaded loaded =
      LoadFile("mode: nftables\n", {"--proxy-mode=ipvs", "--cluster-cidr=oops", "--proxy-mode=iptables",
                                    "--healthz-port=1", "--hostname-override=n1", "--master=https://192.0.2.1", "-v3"});

  EXPECT_THAT(Lines(loaded.errors), IsEmpty()) << "nor need they be right";
  EXPECT_EQ(loaded.settings.proxy.mode, "nftables");
  EXPECT_EQ(loaded.settings.proxy.cluster_cidr, "");
  EXPECT_EQ(loaded.settings.proxy.hostname_override, "n1");
  EXPECT_EQ(loaded.settings.proxy.logging.verbosity, 3U);
  EXPECT_THAT(loaded.settings.masters, ElementsAre("https://192.0.2.1"));
  EXPECT_THAT(Lines(loaded.settings.remarks),
              ElementsAre("--config: warning: --proxy-mode --cluster-cidr --healthz-port: has no effect: f.conf says "
                          "it, or its defaults do"));
  EXPECT_EQ(loaded.settings.remarks[0].kind, Remark::Kind::kOverruled);
}

TEST(PrecedenceTest, FlagsOfTheLogWinAndVmodulesAreMergedTheFlagsFirst) {
  const Loaded loaded =
      LoadFile("logging: {verbosity: 1, flushFrequency: 1s, vmodule: [{filePattern: a, verbosity: 1}]}\n",
               {"--v=5", "--vmodule=b=2", "--log-flush-frequency=2s"});

  EXPECT_EQ(loaded.settings.proxy.logging.verbosity, 5U);
  EXPECT_EQ(loaded.settings.proxy.logging.flush_frequency, absl::Seconds(2));
  ASSERT_EQ(loaded.settings.proxy.logging.vmodule.size(), 2U);
  EXPECT_EQ(loaded.settings.proxy.logging.vmodule[0].file_pattern, "b");
  EXPECT_EQ(loaded.settings.proxy.logging.vmodule[1].file_pattern, "a");
}

TEST(PrecedenceTest, OurOwnFlagsCountBesideAFile) {
  const Settings settings =
      LoadFile("", {"--manifests=m", "--service-cidr=10.96.0.0/16", "--pointsman.clean-tcp"}).settings;

  EXPECT_THAT(settings.own.manifests, ElementsAre("m"));
  EXPECT_EQ(settings.own.service_cidr, "10.96.0.0/16");
  EXPECT_TRUE(settings.own.clean_tcp);
}

TEST(PrecedenceTest, InKubeProxysPlaceItsLeftoversAreTakenOverUnlessSaidOtherwise) {
  const auto take_over = [](const std::vector<std::string>& words) {
    const CommandLine line = SplitCommandLine(words).value();
    const auto no_file = [](const std::string&) -> absl::StatusOr<std::string> { return absl::NotFoundError("none"); };
    return LoadSettings(line, no_file).settings.own.take_over;
  };
  EXPECT_TRUE(take_over({"/usr/local/bin/kube-proxy", "--kubeconfig=k"}));
  EXPECT_TRUE(take_over({"pointsman", "--kubeconfig=k"}));
  EXPECT_FALSE(take_over({"kube-proxy", "--kubeconfig=k", "--pointsman.take-over=false"}));
  EXPECT_FALSE(take_over({"pointsman", "run", "--kubeconfig=k"}));
}

TEST(PrecedenceTest, ManifestsBeatTheFilesKubeconfigButNotTheCommandLines) {
  EXPECT_THAT(Lines(LoadFile("clientConnection: {kubeconfig: k}\n", {"--manifests=m"}).errors), IsEmpty());
  EXPECT_THAT(
      Lines(Load({"pointsman", "run", "--manifests=m", "--kubeconfig=k"}).errors),
      ElementsAre("--manifests: error: --manifests: the objects come from there or from an API server, not both"));
}

// 16.5
TEST(HostnameOverrideTest, IsTrimmedAndInLowerCaseAndMustNotBeBlank) {
  const std::string file = "hostnameOverride: foo\n";
  EXPECT_EQ(LoadFile(file).settings.proxy.hostname_override, "foo") << "X01";
  EXPECT_EQ(LoadFile(file, {"--hostname-override="}).settings.proxy.hostname_override, "foo") << "X01";
  EXPECT_EQ(LoadFile(file, {"--hostname-override", " Bar "}).settings.proxy.hostname_override, "bar") << "X02";
  EXPECT_THAT(Lines(LoadFile(file, {"--hostname-override", " "}).errors),
              ElementsAre("--hostname-override: error: hostnameOverride: there are only blanks (give a name, or leave "
                          "it out)"))
      << "X03";
}

// 16.4
struct AddressRow {
  const char* name;
  std::vector<std::string> flags;
  const char* healthz;
  const char* metrics;
};

class ServedAddress : public ::testing::TestWithParam<AddressRow> {};

TEST_P(ServedAddress, IsThis) {
  std::vector<std::string> args = {"kube-proxy"};
  args.insert(args.end(), GetParam().flags.begin(), GetParam().flags.end());

  const Loaded loaded = Load(args);

  EXPECT_THAT(Lines(loaded.errors), IsEmpty());
  EXPECT_EQ(loaded.settings.proxy.healthz_bind_address, GetParam().healthz);
  EXPECT_EQ(loaded.settings.proxy.metrics_bind_address, GetParam().metrics);
}

INSTANTIATE_TEST_SUITE_P(
    , ServedAddress,
    ::testing::ValuesIn(std::vector<AddressRow>{
        {"Default", {}, "0.0.0.0:10256", "127.0.0.1:10249"},
        {"BindAddressChangesNoFlagDefault", {"--bind-address=::"}, "0.0.0.0:10256", "127.0.0.1:10249"},
        {"V01", {"--healthz-bind-address=1.2.3.4", "--metrics-bind-address=1.2.3.4"}, "1.2.3.4:10256", "1.2.3.4:10249"},
        {"V02", {"--healthz-bind-address=1.2.3.4:12345"}, "1.2.3.4:12345", "127.0.0.1:10249"},
        {"V03", {"--healthz-bind-address=fd00:1::5"}, "[fd00:1::5]:10256", "127.0.0.1:10249"},
        {"V04", {"--metrics-bind-address=[fd00:1::5]:12345"}, "0.0.0.0:10256", "[fd00:1::5]:12345"},
        {"PortOfAnAddressWithout",
         {"--healthz-bind-address=1.2.3.4", "--healthz-port=7", "--metrics-bind-address=::1", "--metrics-port=8"},
         "1.2.3.4:7",
         "[::1]:8"},
        {"PortOfAnAddressWithOne",
         {"--healthz-bind-address=1.2.3.4:1", "--healthz-port=7"},
         "1.2.3.4:1",
         "127.0.0.1:10249"},
        {"PortOfTheDefault", {"--metrics-port=7"}, "0.0.0.0:10256", "127.0.0.1:10249"},
        {"V07", {"--healthz-port=0"}, "", "127.0.0.1:10249"},
        {"V08DisablesHere", {"--metrics-port=0"}, "0.0.0.0:10256", ""},
        {"EmptyDisablesHere", {"--metrics-bind-address=", "--healthz-bind-address="}, "", ""},
        {"PortsBesideWriting",
         {"--write-config-to=w", "--metrics-port=0", "--healthz-bind-address=1.2.3.4"},
         "1.2.3.4:10256",
         "127.0.0.1:10249"},
    }),
    [](const auto& row) { return std::string(row.param.name); });

TEST(ServedAddressTest, BracketsWithoutAPortAreNone) {
  EXPECT_THAT(Lines(Load({"kube-proxy", "--metrics-bind-address=[fd00:1::5]"}).errors),
              ElementsAre(HasSubstr("\"[fd00:1::5]\" is not an address with a port")))
      << "V05";
}

TEST(ServedAddressTest, APortThatMeansNothingIsTold) {
  EXPECT_THAT(Lines(Load({"kube-proxy", "--metrics-port=7"}).settings.remarks),
              ElementsAre("--metrics-port: warning: --metrics-port: has no effect: metricsBindAddress is "
                          "127.0.0.1:10249, with a port of its own"));
}

// --- Modes ---

TEST(ModeTest, NoneIsIptablesForKubeProxysCommandLinesAndNftablesForOurs) {
  EXPECT_EQ(Load({"kube-proxy"}).settings.proxy.mode, "");
  EXPECT_EQ(Load({"pointsman", "--config=f.conf"}).settings.proxy.mode, "");
  EXPECT_EQ(Load({"pointsman", "run", "--config=f.conf"}).settings.proxy.mode, "") << "the file's own default";
  EXPECT_EQ(Load({"pointsman", "run"}).settings.proxy.mode, "nftables");
  EXPECT_EQ(Load({"pointsman", "dump", "--proxy-mode=iptables"}).settings.proxy.mode, "iptables");
}

TEST(ModeTest, OnlyInNftablesModeNodePortsAreAtThePrimaryAddressesUnlessToldOtherwise) {
  EXPECT_THAT(Load({"kube-proxy", "--proxy-mode=nftables"}).settings.proxy.node_port_addresses, ElementsAre("primary"));
  EXPECT_THAT(LoadFile("mode: nftables\nnodePortAddresses: []\n").settings.proxy.node_port_addresses,
              ElementsAre("primary"));
  EXPECT_THAT(Load({"kube-proxy", "--proxy-mode=iptables"}).settings.proxy.node_port_addresses, IsEmpty());
}

TEST(ModeTest, AnotherThanNftablesIsTakenWithOneWarning) {
  for (const char* mode : {"iptables", "ipvs"}) {
    const Loaded loaded = Load({"kube-proxy", absl::StrCat("--proxy-mode=", mode)});
    EXPECT_THAT(Lines(loaded.errors), IsEmpty());
    EXPECT_EQ(loaded.settings.proxy.mode, mode);
    ASSERT_EQ(loaded.settings.remarks.size(), 1U);
    EXPECT_EQ(FormatRemark(loaded.settings.remarks[0]),
              absl::StrCat("--proxy-mode: warning: mode ", mode,
                           ": programmed with nftables: the same Services, in other tables"));
  }
  EXPECT_EQ(Load({"kube-proxy"}).settings.remarks.size(), 1U);
  EXPECT_THAT(Load({"kube-proxy", "--proxy-mode=nftables"}).settings.remarks, IsEmpty());
}

// --- Whole command lines ---

TEST(CommandLinesTest, OfKubeProxyAreTakenAsTheyAre) {
  std::ifstream file(PM_TEST_DATA "/kube_proxy_command_lines");
  std::string text;
  int lines = 0;
  while (std::getline(file, text)) {
    if (text.empty() || text[0] == '#') continue;
    ++lines;
    const std::vector<std::string> args = absl::StrSplit(text, ' ', absl::SkipEmpty());
    const absl::StatusOr<CommandLine> line = SplitCommandLine(args);
    ASSERT_TRUE(line.ok()) << text << ": " << line.status();
    EXPECT_THAT(line->rest, ElementsAre(args[0], "run")) << text;
    const Loaded loaded =
        Load(args, {{"/var/lib/kube-proxy/config.conf", kHeader}, {"/var/lib/kube-proxy-config/config.yaml", kHeader}});
    EXPECT_THAT(Lines(loaded.errors), IsEmpty()) << text;
  }
  EXPECT_GE(lines, 8);
}

}  // namespace
}  // namespace pointsman::options
