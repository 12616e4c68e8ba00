// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/node/sysctl.h"

namespace pointsman::node {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

constexpr int32_t kDefaultPerCore = 32768;
constexpr int32_t kDefaultMin = 131072;

// kube-proxy's worked cases.
struct MaxCase {
  const char* name;
  int32_t per_core;
  int32_t min;
  int cpus;
  int64_t max;
};
void PrintTo(const MaxCase& c, std::ostream* out) { *out << c.name; }

class ConntrackMaxTest : public ::testing::TestWithParam<MaxCase> {};

TEST_P(ConntrackMaxTest, IsKubeProxys) {
  const MaxCase& c = GetParam();
  EXPECT_EQ(ConntrackMax(c.per_core, c.min, c.cpus), c.max);
}

INSTANTIATE_TEST_SUITE_P(Cases, ConntrackMaxTest,
                         ::testing::ValuesIn(std::vector<MaxCase>{
                             {"U01_nothing_per_core_leaves_it", 0, 123456, 8, 0},
                             {"U01_on_one_cpu_too", 0, 123456, 1, 0},
                             {"U02_defaults", kDefaultPerCore, kDefaultMin, 2, 131072},
                             {"U03_grows_with_cpus", 32768, 131072, 8, 262144},
                             {"U04_the_minimum_wins", 1, 123456, 8, 123456},
                             {"U05_capped", 32768, 0, 512, 1048576},
                             {"U06_the_cap_beats_the_minimum", 32768, 2000000, 64, 1048576},
                             {"U07_the_minimum_is_not_capped", 1, 2000000, 64, 2000000},
                             {"exactly_the_cap", 32768, 2000000, 32, 2000000},
                             {"more_than_fits_into_32_bits", 2147483647, 0, 1024, 1048576},
                         }),
                         [](const auto& row) { return row.param.name; });

// "PATH=VALUE", without what all paths have in common; ">=" where more is as good.
std::vector<std::string> Format(const std::vector<Sysctl>& sysctls) {
  std::vector<std::string> lines;
  lines.reserve(sysctls.size());
  for (const Sysctl& s : sysctls) lines.push_back(absl::StrCat(s.path, s.at_least ? ">=" : "=", s.wanted));
  return lines;
}

constexpr char kMax[] = "proc/sys/net/netfilter/nf_conntrack_max";
constexpr char kHash[] = "sys/module/nf_conntrack/parameters/hashsize";
constexpr char kEstablished[] = "proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established";
constexpr char kCloseWait[] = "proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait";
constexpr char kLiberal[] = "proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal";
constexpr char kUdp[] = "proc/sys/net/netfilter/nf_conntrack_udp_timeout";
constexpr char kUdpStream[] = "proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream";
constexpr char kForward4[] = "proc/sys/net/ipv4/ip_forward";
constexpr char kForward6[] = "proc/sys/net/ipv6/conf/all/forwarding";

TEST(WantedSysctlsTest, ByDefaultAreTheTableOfConnectionsAndTwoTimeouts) {
  EXPECT_THAT(Format(WantedSysctls({}, 8)),
              ElementsAre(absl::StrCat(kMax, "=262144"), absl::StrCat(kHash, ">=65536"),
                          absl::StrCat(kEstablished, "=86400"), absl::StrCat(kCloseWait, "=3600")));
}

using Proxy = options::KubeProxyConfiguration;

// One field at a time, over settings that ask for nothing.
struct FieldCase {
  const char* name;
  std::function<void(options::Settings&)> set;
  std::vector<std::string> wanted;
};
void PrintTo(const FieldCase& c, std::ostream* out) { *out << c.name; }

class WantedSysctlsTest : public ::testing::TestWithParam<FieldCase> {};

TEST_P(WantedSysctlsTest, FollowTheField) {
  options::Settings settings;
  Proxy::Conntrack& conntrack = settings.proxy.conntrack;
  conntrack.max_per_core = 0;
  conntrack.tcp_established_timeout = conntrack.tcp_close_wait_timeout = absl::ZeroDuration();
  ASSERT_THAT(WantedSysctls(settings, 8), ::testing::IsEmpty());

  GetParam().set(settings);

  EXPECT_THAT(Format(WantedSysctls(settings, 8)), ElementsAreArray(GetParam().wanted));
}

std::function<void(options::Settings&)> Timeout(absl::Duration Proxy::Conntrack::*field, absl::Duration value) {
  return [=](options::Settings& s) { s.proxy.conntrack.*field = value; };
}

INSTANTIATE_TEST_SUITE_P(
    Fields, WantedSysctlsTest,
    ::testing::ValuesIn(std::vector<FieldCase>{
        {"max_per_core",
         [](options::Settings& s) { s.proxy.conntrack.max_per_core = 100000; },
         {absl::StrCat(kMax, "=800000"), absl::StrCat(kHash, ">=200000")}},
        {"min",
         [](options::Settings& s) {
           s.proxy.conntrack.max_per_core = 1;
           s.proxy.conntrack.min = 999;
         },
         {absl::StrCat(kMax, "=999"), absl::StrCat(kHash, ">=249")}},
        {"min_alone_is_not_looked_at", [](options::Settings& s) { s.proxy.conntrack.min = 999; }, {}},
        {"established",
         Timeout(&Proxy::Conntrack::tcp_established_timeout, absl::Minutes(5)),
         {absl::StrCat(kEstablished, "=300")}},
        {"established_below_a_second",
         Timeout(&Proxy::Conntrack::tcp_established_timeout, absl::Milliseconds(1)),
         {absl::StrCat(kEstablished, "=1")}},
        {"established_and_a_half",
         Timeout(&Proxy::Conntrack::tcp_established_timeout, absl::Milliseconds(2500)),
         {absl::StrCat(kEstablished, "=3")}},
        {"close_wait",
         Timeout(&Proxy::Conntrack::tcp_close_wait_timeout, absl::Seconds(7)),
         {absl::StrCat(kCloseWait, "=7")}},
        {"close_wait_below_a_second",
         Timeout(&Proxy::Conntrack::tcp_close_wait_timeout, absl::Milliseconds(900)),
         {absl::StrCat(kCloseWait, "=1")}},
        {"be_liberal",
         [](options::Settings& s) { s.proxy.conntrack.tcp_be_liberal = true; },
         {absl::StrCat(kLiberal, "=1")}},
        {"udp", Timeout(&Proxy::Conntrack::udp_timeout, absl::Seconds(40)), {absl::StrCat(kUdp, "=40")}},
        {"udp_below_a_second",
         Timeout(&Proxy::Conntrack::udp_timeout, absl::Nanoseconds(1)),
         {absl::StrCat(kUdp, "=1")}},
        {"udp_stream",
         Timeout(&Proxy::Conntrack::udp_stream_timeout, absl::Hours(1)),
         {absl::StrCat(kUdpStream, "=3600")}},
        {"udp_stream_below_a_second",
         Timeout(&Proxy::Conntrack::udp_stream_timeout, absl::Milliseconds(500)),
         {absl::StrCat(kUdpStream, "=1")}},
        {"ip_forward",
         [](options::Settings& s) { s.own.ip_forward = true; },
         {absl::StrCat(kForward4, "=1"), absl::StrCat(kForward6, "=1")}},
    }),
    [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace pointsman::node
