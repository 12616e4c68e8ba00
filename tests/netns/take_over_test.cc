// SPDX-License-Identifier: Apache-2.0
//
// From kube-proxy to Pointsman and back, while clients connect: none may notice.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/netns/leftovers_world.h"
#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace pointsman {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// To the ClusterIP and to the NodePort each.
constexpr double kPerSecond = 500;
constexpr char kPodCidrs[] = "10.244.0.0/16,2001:db8:244::/48";

// A connection that has asked half of a question.
class Held {
 public:
  Held(support::NetNs& from, const SocketAddr& to) {
    const bool v6 = to.addr.family() == Family::kIpv6;
    fd_ = from.Socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM);
    const timeval patience = {.tv_sec = 3, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(to.port)};
    sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(to.port)};
    const auto bytes = to.addr.bytes();
    std::copy(bytes.begin(), bytes.end(), v6 ? in6.sin6_addr.s6_addr : reinterpret_cast<uint8_t*>(&in.sin_addr.s_addr));
    const auto* addr = v6 ? reinterpret_cast<sockaddr*>(&in6) : reinterpret_cast<sockaddr*>(&in);
    if (connect(fd_, addr, v6 ? sizeof(in6) : sizeof(in)) != 0)
      support::FatalErrno("connect to " + FormatSocketAddr(to));
    Send("GET / HTTP/1.1\r\n");
  }
  ~Held() { close(fd_); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

  // The answer to the whole of it; what there is of one if the connection fails.
  std::string Finish() {
    Send("\r\n");
    std::string answer;
    char buffer[512];
    while (true) {
      const ssize_t n = read(fd_, buffer, sizeof(buffer));
      if (n <= 0) return answer;
      answer.append(buffer, static_cast<size_t>(n));
    }
  }

 private:
  void Send(const std::string& text) { send(fd_, text.data(), text.size(), MSG_NOSIGNAL); }

  int fd_ = -1;
};

class TakeOverTest : public ::testing::TestWithParam<std::tuple<Old, Family>> {
 protected:
  static constexpr int kPods = 3;

  TakeOverTest() {
    for (int i = 0; i < kPods; ++i) {
      servers_.push_back(std::make_unique<support::NameServer>(world_.pod(i), absl::StrCat("pod-", i)));
      for (const uint16_t port : {uint16_t{8080}, uint16_t{8761}})
        servers_.back()->Listen(Protocol::kTcp, {world_.pod_ip(i, family()), port});
    }
    support::CopyFiles(support::SourceDir() + "/examples", dir_.path(), ".yaml");
    support::CopyFiles(support::SourceDir() + "/tests/data/kube_proxy_rules", dir_.path(), ".yaml");
  }

  Old old() const { return std::get<Old>(GetParam()); }
  Family family() const { return std::get<Family>(GetParam()); }
  bool v6() const { return family() == Family::kIpv6; }
  support::NetNs& node() { return world_.node(); }

  SocketAddr Web() const { return {support::Ip(v6() ? "2001:db8:96::80" : "10.96.0.80"), 80}; }
  SocketAddr NodePort() const { return {world_.node_ip(family()), static_cast<uint16_t>(v6() ? 30008 : 30007)}; }

  struct Traffic {
    std::unique_ptr<Held> held_web, held_port;
    std::unique_ptr<support::Load> web, port;
  };
  Traffic StartTraffic() {
    return {std::make_unique<Held>(world_.client(), Web()), std::make_unique<Held>(world_.client(), NodePort()),
            std::make_unique<support::Load>(world_.client(), Web(), kPerSecond),
            std::make_unique<support::Load>(world_.client(), NodePort(), kPerSecond)};
  }
  static void ExpectNothingLost(Traffic& traffic) {
    for (support::Load* load : {traffic.web.get(), traffic.port.get()}) {
      const support::LoadReport report = load->Stop();
      std::printf("%s\n", report.Text().c_str());
      EXPECT_EQ(report.failed, 0) << report.Text();
      EXPECT_EQ(report.answered, report.started);
      EXPECT_GE(static_cast<double>(report.started), 0.9 * kPerSecond * absl::ToDoubleSeconds(report.lasted))
          << report.Text();
    }
    EXPECT_THAT(traffic.held_web->Finish(), HasSubstr("200 OK"));
    EXPECT_THAT(traffic.held_port->Finish(), HasSubstr("200 OK"));
  }
  // Long enough for hundreds of connections on either side of whatever happens.
  static void LetItFlow() { absl::SleepFor(absl::Milliseconds(500)); }

  support::World world_{{.pods = kPods, .pods4 = "10.244.1.", .pods6 = "2001:db8:244:1::", .first_pod = 11}};
  std::vector<std::unique_ptr<support::NameServer>> servers_;
  support::TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(, TakeOverTest, ::testing::Combine(::testing::ValuesIn(kOlds), ::testing::ValuesIn(kFamilies)),
                         [](const auto& row) {
                           return OldName(std::get<0>(row.param)) +
                                  (std::get<1>(row.param) == Family::kIpv4 ? "IPv4" : "IPv6");
                         });

TEST_P(TakeOverTest, NoConnectionIsLostOnTheWayThereAndBack) {
  AddStrangers(node());
  const std::string before = Snapshot(node());
  AddKubeProxy(node(), old());
  const std::string full = Snapshot(node());

  // There. What IPVS does of kube-proxy's work is not part of these rules, so in its modes nothing can flow before.
  Traffic traffic;
  if (!IsIpvs(old())) traffic = StartTraffic();
  if (IsIpvs(old())) {
    // Ours are in place before; the traffic is to see the removal.
    ASSERT_EQ(support::RunPointsman(node(), {"run", "--once", "--manifests", dir_.path(), "--cluster-cidr", kPodCidrs})
                  .exit_code,
              0);
    traffic = StartTraffic();
  }
  LetItFlow();
  support::AgentProcess agent(node(),
                              {"--manifests", dir_.path(), "--cluster-cidr", kPodCidrs, "--pointsman.take-over"});
  ASSERT_TRUE(agent.WaitForEvent("took_over", absl::Seconds(20))) << agent.log();
  EXPECT_THAT(agent.Events("leftovers"), SizeIs(1)) << agent.log();
  EXPECT_THAT(agent.Events("failed"), IsEmpty()) << agent.log();
  LetItFlow();
  ExpectNothingLost(traffic);
  EXPECT_EQ(Snapshot(node()), before);
  EXPECT_EQ(support::RunPointsman(node(), {"diff", "--manifests", dir_.path(), "--cluster-cidr", kPodCidrs}).exit_code,
            0);
  if (IsIpvs(old())) return;

  // And back.
  traffic = StartTraffic();
  LetItFlow();
  AddKubeProxy(node(), old());
  LetItFlow();
  agent.Terminate();
  const support::ProcessResult cleanup = support::RunPointsman(node(), {"cleanup"});
  EXPECT_EQ(cleanup.exit_code, 0) << cleanup.err;
  LetItFlow();
  ExpectNothingLost(traffic);
  EXPECT_EQ(Snapshot(node()), full);
  EXPECT_THAT(Tool(node(), {"nft", "list", "tables"}), Not(HasSubstr("pointsman")));
}

}  // namespace
}  // namespace pointsman
