// SPDX-License-Identifier: Apache-2.0
//
// The ground the other tests of this tier stand on: if this fails, look no further.
#include <signal.h>
#include <unistd.h>

#include <memory>

#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/files.h"
#include "tests/support/process.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace pointsman::support {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(NetNsTest, SeesNothingOfTheOthers) {
  NetNs one("one");
  NetNs other("other");
  one.Ip("link add probe type veth peer name other\n");
  EXPECT_EQ(RunProcess(one, {"ip", "link", "show", "probe"}).exit_code, 0);
  EXPECT_NE(RunProcess(other, {"ip", "link", "show", "probe"}).exit_code, 0);
}

TEST(ProcessTest, GivesInputAndCollectsOutputAndExitCode) {
  NetNs ns("ns");
  const ProcessResult result = RunProcess(ns, {"sh", "-c", "cat; echo $WORD >&2; exit 3"},
                                          {.stdin_text = std::string(1 << 20, 'x'), .env = {"WORD=oops"}});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.out, std::string(1 << 20, 'x'));
  EXPECT_EQ(result.err, "oops\n");
}

TEST(ProcessTest, IsKilledWhenItLastsTooLong) {
  NetNs ns("ns");
  const ProcessResult result = RunProcess(ns, {"sleep", "100"}, {.timeout = absl::Milliseconds(50)});
  EXPECT_TRUE(result.timed_out);
  EXPECT_EQ(result.exit_code, 128 + SIGKILL);
}

TEST(ProcessTest, DiesWithItsNamespace) {
  auto ns = std::make_unique<NetNs>("ns");
  Process sleeper(*ns, {"sleep", "100"});
  ASSERT_TRUE(sleeper.running());
  ns.reset();
  const ProcessResult result = sleeper.Wait(absl::Seconds(5));
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.exit_code, 128 + SIGKILL);
}

class WorldTest : public ::testing::TestWithParam<Family> {};
INSTANTIATE_TEST_SUITE_P(, WorldTest, ::testing::ValuesIn(kFamilies),
                         [](const auto& row) { return row.param == Family::kIpv4 ? "IPv4" : "IPv6"; });

TEST_P(WorldTest, ClientAndNodeReachPodsByTheirAddresses) {
  World world({.pods = 2});
  const SocketAddr at{world.pod_ip(1, GetParam()), 8080};
  NameServer server(world.pod(1), "pod-1");
  server.Listen(Protocol::kTcp, at);
  server.Listen(Protocol::kUdp, at);
  for (const Protocol protocol : {Protocol::kTcp, Protocol::kUdp}) {
    const Reply reply = Ask(world.client(), protocol, at);
    EXPECT_EQ(reply.outcome, Outcome::kAnswered) << reply.Text();
    EXPECT_EQ(reply.name, "pod-1");
    EXPECT_THAT(reply.seen_as, HasSubstr(FormatIp(world.client_ip(GetParam()))));
    EXPECT_EQ(Ask(world.node(), protocol, at).name, "pod-1");
    EXPECT_EQ(Ask(world.pod(0), protocol, at).name, "pod-1");
  }
  EXPECT_EQ(server.answered(), 6);
}

TEST_P(WorldTest, TellsRefusedFromSilence) {
  World world({.pods = 1});
  const IpAddr pod = world.pod_ip(0, GetParam());
  EXPECT_EQ(Ask(world.client(), Protocol::kTcp, {pod, 81}).outcome, Outcome::kRefused);
  EXPECT_EQ(Ask(world.client(), Protocol::kUdp, {pod, 81}).outcome, Outcome::kRefused);
  ASSERT_EQ(RunProcess(world.node(), {"nft", "-f", "-"},
                       {.stdin_text = "table inet wall { chain c { type filter hook forward priority 0; drop; }; }"})
                .exit_code,
            0);
  const Reply reply = Ask(world.client(), Protocol::kTcp, {pod, 81}, absl::Milliseconds(300));
  EXPECT_EQ(reply.outcome, Outcome::kTimeout) << reply.Text();
  EXPECT_GE(reply.took, absl::Milliseconds(300));
}

TEST_P(WorldTest, SpeaksHttpThatOthersUnderstand) {
  World world({.pods = 1});
  const SocketAddr at{world.pod_ip(0, GetParam()), 8080};
  NameServer server(world.pod(0), "pod-0");
  server.Listen(Protocol::kTcp, at);
  const ProcessResult result =
      RunProcess(world.client(), {"python3", "-c",
                                  "import urllib.request as r; print(r.build_opener(r.ProxyHandler({})).open('http://" +
                                      FormatSocketAddr(at) + "/', timeout=3).read().decode(), end='')"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith("pod-0 "));
}

TEST_P(WorldTest, LoadKeepsItsRateAndCountsEveryConnection) {
  World world({.pods = 1});
  const SocketAddr at{world.pod_ip(0, GetParam()), 8080};
  NameServer server(world.pod(0), "pod-0");
  server.Listen(Protocol::kTcp, at);
  Load load(world.client(), at, 500);
  absl::SleepFor(absl::Seconds(1));
  const LoadReport report = load.Stop();
  EXPECT_EQ(report.failed, 0) << report.Text();
  EXPECT_EQ(report.answered, report.started);
  EXPECT_EQ(report.by_name.at("pod-0"), server.answered());
  EXPECT_GT(report.started, 400) << report.Text();
  EXPECT_LT(report.started, 600) << report.Text();
}

TEST_P(WorldTest, LoadSaysWhatFailed) {
  World world({.pods = 1});
  Load load(world.client(), {world.pod_ip(0, GetParam()), 8080}, 200);
  absl::SleepFor(absl::Milliseconds(200));
  const LoadReport report = load.Stop();
  EXPECT_GT(report.failed, 10);
  EXPECT_EQ(report.failed, report.started);
  EXPECT_THAT(report.failures.front(), EndsWith("Connection refused"));
}

TEST(FilesTest, ReplacingIsAtomicAndLeavesNothingBehind) {
  std::string kept;
  {
    TempDir dir;
    kept = dir.path();
    WriteFile(dir.File("a.yaml"), "old");
    ReplaceFile(dir.File("a.yaml"), "new");
    EXPECT_EQ(ReadFile(dir.File("a.yaml")), "new");
    TempDir copy;
    CopyFiles(dir.path(), copy.path(), ".yaml");
    EXPECT_EQ(ReadFile(copy.File("a.yaml")), "new");
    EXPECT_NE(access(dir.File(".a.yaml.new").c_str(), F_OK), 0);
  }
  EXPECT_NE(access(kept.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace pointsman::support
