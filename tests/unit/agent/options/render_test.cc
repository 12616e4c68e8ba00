// SPDX-License-Identifier: Apache-2.0
#include "agent/options/render.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/options/config_file.h"
#include "agent/options/value.h"
#include "nlohmann/json.hpp"
#include "tests/unit/agent/options/loading.h"

namespace pointsman::options {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

Settings Sample() {
  return Load({"kube-proxy", "--proxy-mode=nftables", "--cluster-cidr=10.0.0.0/8,fd00::/48", "--masquerade-all",
               "--feature-gates=AllowServiceExternalIPs=false", "--vmodule=a=1,b*=2", "--kube-api-qps=0.5",
               "--hostname-override=true", "--ipvs-exclude-cidrs=192.0.2.0/24",
               "--conntrack-tcp-timeout-established=90m", "--pod-bridge-interface=# \"quoted\"\\"})
      .settings;
}

TEST(ConfigurationTextTest, ReadsAsTheSameConfigurationInYamlAndInJson) {
  const Settings settings = Sample();
  for (const std::string& text :
       {ConfigurationYaml(settings), ConfigurationYaml(settings, true), ConfigurationJson(settings)}) {
    Settings read;
    EXPECT_THAT(Lines(ReadConfigFile("f.conf", text, read)), IsEmpty()) << text;
    EXPECT_EQ(read.proxy, settings.proxy) << text;
    EXPECT_THAT(read.remarks, IsEmpty());
  }
}

TEST(ConfigurationTextTest, NestsItsFields) {
  const std::string text = ConfigurationYaml(Sample());

  EXPECT_TRUE(absl::StartsWith(text, absl::StrCat(kHeader, "bindAddress: \"0.0.0.0\"\n")));
  EXPECT_THAT(text, HasSubstr("\nlogging:\n  flushFrequency: \"5s\"\n  format: \"text\"\n  options:\n    json:\n"
                              "      infoBufferSize: \"0\"\n      splitStream: false\n    text:\n"));
  EXPECT_THAT(ConfigurationYaml(Sample(), true), HasSubstr("\nmode: \"nftables\"  # --proxy-mode\n"));
}

TEST(EffectiveTest, SaysWhereEachValueComesFromAndWhatIsWrong) {
  const Settings settings = LoadFile("mode: nftables\nmoed: x\n", {"--hostname-override=n1"}).settings;

  const std::string text = EffectiveText(settings);
  EXPECT_THAT(text, ::testing::ContainsRegex("\nmode +\"nftables\" +f.conf:3:7\n"));
  EXPECT_THAT(text, ::testing::ContainsRegex("\nhostnameOverride +\"n1\" +--hostname-override\n"));
  EXPECT_THAT(text, ::testing::ContainsRegex("\noomScoreAdj +-999 +default\n"));
  EXPECT_THAT(text, HasSubstr("\n\nf.conf:4:1: warning: moed: unknown field; did you mean mode?\n"));
  EXPECT_THAT(EffectiveYaml(settings), HasSubstr("\n# f.conf:4:1: warning: moed: unknown field"));
  EXPECT_THAT(EffectiveYaml(settings), HasSubstr("\n# --config=f.conf\n"));

  const auto json = nlohmann::json::parse(EffectiveJson(settings));
  EXPECT_EQ(json["configuration"]["mode"], "nftables");
  EXPECT_EQ(json["origins"]["mode"], "f.conf:3:7");
  EXPECT_EQ(json["flags"]["config"], "f.conf");
  EXPECT_EQ(json["remarks"][0]["kind"], "unknown");
  EXPECT_EQ(json["remarks"][0]["where"], "f.conf:4:1");
}

TEST(FormatRemarkTest, StaysInOneLine) {
  EXPECT_EQ(FormatRemark({Remark::Kind::kUnknown, "a\nb:1:1", "x", "unknown field"}),
            "a?b:1:1: warning: x: unknown field");
}

TEST(FlagValuesTest, AreThoseInForce) {
  const auto values = FlagValues(Sample());

  EXPECT_THAT(values, ::testing::Contains(std::pair<std::string, std::string>("proxy-mode", "nftables")));
  EXPECT_THAT(values, ::testing::Contains(std::pair<std::string, std::string>("vmodule", "a=1,b*=2")));
  EXPECT_THAT(values, ::testing::Contains(std::pair<std::string, std::string>("oom-score-adj", "-999")));
}

TEST(GoDurationTest, IsWrittenAsGoDoesAndReadBack) {
  const std::pair<absl::Duration, const char*> rows[] = {
      {absl::ZeroDuration(), "0s"}, {absl::Nanoseconds(1), "1ns"},         {absl::Microseconds(1500), "1.5ms"},
      {absl::Seconds(1), "1s"},     {absl::Milliseconds(61500), "1m1.5s"}, {absl::Milliseconds(60500), "1m0.5s"},
      {absl::Hours(24), "24h0m0s"}, {-absl::Minutes(90), "-1h30m0s"}};
  for (const auto& [duration, text] : rows) {
    EXPECT_EQ(FormatGoDuration(duration), text);
    EXPECT_EQ(ParseGoDuration(text), duration) << text;
  }
  for (const char* text : {"", "5", "5 s", "1d", "inf", "-inf", "s", "300000h10m20s1x", "3000000h"}) {
    EXPECT_EQ(ParseGoDuration(text), std::nullopt) << text;
  }
  EXPECT_EQ(ParseGoDuration("0"), absl::ZeroDuration());
}

TEST(QuantityTest, TakesKubernetesSuffixes) {
  EXPECT_EQ(ParseQuantity("0"), 0);
  EXPECT_EQ(ParseQuantity("512Ki"), 524288);
  EXPECT_EQ(ParseQuantity("1.5M"), 1500000);
  EXPECT_EQ(ParseQuantity("1e3"), 1000);
  for (const char* text : {"", "Ki", "1KB", "1 Ki", "inf", "0x10"})
    EXPECT_EQ(ParseQuantity(text), std::nullopt) << text;
}

}  // namespace
}  // namespace pointsman::options
