// SPDX-License-Identifier: Apache-2.0
//
// A ConfigMap that is edited while the node serves: the agent starts over with it, and no client notices.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/netns/serving_world.h"
#include "tests/support/traffic.h"

namespace pointsman {
namespace {

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr absl::Duration kSoon = absl::Seconds(10);
constexpr double kPerSecond = 300;

// A volume as the kubelet lays it out: the files are links through `..data`, and that is a link which is replaced.
class ConfigMapVolume {
 public:
  explicit ConfigMapVolume(std::string directory) : directory_(std::move(directory)) {
    fs::create_directory(directory_);
    fs::create_symlink("..data/config.conf", file());
  }

  std::string file() const { return directory_ + "/config.conf"; }
  // Whoever reads sees the old text or the new one.
  void Publish(const std::string& text) {
    const std::string before = generation_ == 0 ? "" : Generation();
    ++generation_;
    fs::create_directory(directory_ + "/" + Generation());
    support::WriteFile(directory_ + "/" + Generation() + "/config.conf", text);
    fs::create_symlink(Generation(), directory_ + "/..data_tmp");
    fs::rename(directory_ + "/..data_tmp", directory_ + "/..data");
    if (!before.empty()) fs::remove_all(directory_ + "/" + before);
  }

 private:
  std::string Generation() const { return absl::StrCat("..2026_05_01_10_00_00.", generation_); }

  const std::string directory_;
  int generation_ = 0;
};

class ConfigReloadTest : public ServingWorld {
 protected:
  ConfigReloadTest() {
    for (int i = 0; i < world_.pods(); ++i) {
      servers_.push_back(std::make_unique<support::NameServer>(world_.pod(i), absl::StrCat("pod-", i)));
      servers_.back()->Listen(Protocol::kTcp, {world_.pod_ip(i, Family::kIpv4), 8080});
    }
    api_->Put(NodeAt({"192.0.2.1"}));
    Put(*api_, {.name = "shop/web",
                .ip = "198.51.100.80",
                .endpoints = {FormatIp(world_.pod_ip(0, Family::kIpv4)), FormatIp(world_.pod_ip(1, Family::kIpv4))}});
  }

  std::string With(const std::string& cluster_cidr) {
    return support::ReadFile(Configure(*api_, absl::StrCat("clusterCIDR: ", cluster_cidr, "\n")));
  }
  std::unique_ptr<support::AgentProcess> Started() {
    auto agent = Start(volume_.file());
    EXPECT_TRUE(agent->WaitReady()) << agent->log();
    return agent;
  }
  std::string Table() { return Nft({"list", "table", "ip", "pointsman"}); }
  bool InForce(const std::string& cluster_cidr) {
    return support::Eventually(kSoon, [&] { return absl::StrContains(Table(), cluster_cidr); });
  }
  static std::vector<std::string> OpenFiles(pid_t pid) {
    std::vector<std::string> open;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(absl::StrCat("/proc/", pid, "/fd"), error)) {
      open.push_back(fs::read_symlink(entry.path(), error).string());
    }
    return open;
  }

  std::unique_ptr<support::FakeApi> api_ = StartApi();
  std::vector<std::unique_ptr<support::NameServer>> servers_;
  ConfigMapVolume volume_{dir_.File("config")};
};

TEST_F(ConfigReloadTest, AChangeTakesEffectInTheSameProcessAndNoConnectionFails) {
  volume_.Publish(With("203.0.113.0/24"));
  const auto agent = Started();
  ASSERT_THAT(Table(), AllOf(HasSubstr("203.0.113.0/24"), Not(HasSubstr("198.18.0.0/15"))));
  support::Process monitor(node(), {"nft", "monitor", "destroy"});
  ASSERT_TRUE(support::Eventually(kSoon, [&] {
    Nft({"add table inet stranger; delete table inet stranger"});
    return absl::StrContains(monitor.out(), "stranger");
  })) << "it listens";
  support::Load load(world_.client(), {support::Ip("198.51.100.80"), 80}, kPerSecond);
  absl::SleepFor(absl::Milliseconds(300));

  const size_t mark = agent->Mark();
  volume_.Publish(With("198.18.0.0/15"));
  EXPECT_TRUE(agent->WaitForEvent("ready", kSoon, mark)) << agent->log();
  EXPECT_TRUE(InForce("198.18.0.0/15")) << Table();
  EXPECT_THAT(Table(), Not(HasSubstr("203.0.113.0/24")));
  absl::SleepFor(absl::Milliseconds(300));

  EXPECT_TRUE(agent->process().running()) << "under the same number";
  EXPECT_THAT(agent->Events("configuration_changed"), SizeIs(1)) << agent->log();
  const support::LoadReport report = load.Stop();
  std::printf("%s\n", report.Text().c_str());
  EXPECT_EQ(report.failed, 0) << report.Text();
  EXPECT_GT(report.answered, 100);
  monitor.Signal(SIGTERM);
  std::vector<std::string> destroyed = absl::StrSplit(monitor.Wait(kSoon).out, '\n', absl::SkipEmpty());
  std::erase(destroyed, "delete table inet stranger");
  EXPECT_THAT(destroyed, ElementsAre("delete element ip pointsman pod_cidrs { 203.0.113.0/24 }"))
      << "everything else stays in place";
  EXPECT_EQ(Get(kMetricsPort, "/proxyMode").status, 200) << "it serves again";
  EXPECT_THAT(Get(kMetricsPort, "/configz").body, HasSubstr("198.18.0.0/15"));
}

TEST_F(ConfigReloadTest, WhatIsTheSameIsNoChange) {
  const std::string text = With("203.0.113.0/24");
  volume_.Publish(text);
  const auto agent = Started();
  const size_t mark = agent->Mark();

  volume_.Publish(text);
  fs::last_write_time(volume_.file(), fs::file_time_type::clock::now());
  absl::SleepFor(absl::Seconds(1));
  EXPECT_EQ(agent->log().substr(mark), "");

  volume_.Publish(With("198.18.0.0/15"));
  EXPECT_TRUE(InForce("198.18.0.0/15")) << agent->log();
  EXPECT_THAT(agent->Events("configuration_changed", mark), SizeIs(1)) << agent->log();
}

TEST_F(ConfigReloadTest, AMistakeIsToldInOneLineAndCostsNothing) {
  volume_.Publish(With("203.0.113.0/24"));
  const auto agent = Started();
  const std::string table = Table();
  const size_t mark = agent->Mark();

  for (const std::string& wrong : {With("nonsense"), std::string("{"), With("203.0.113.0/24") + "mode: ipvs6\n"}) {
    const size_t before = agent->Mark();
    volume_.Publish(wrong);
    ASSERT_TRUE(agent->WaitForEvent("configuration_changed", kSoon, before)) << wrong << agent->log();
    absl::SleepFor(absl::Milliseconds(300));
    const std::string told = agent->log().substr(before);
    EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 1) << told;
    EXPECT_THAT(agent->Events("configuration_changed", before)[0].level, ::testing::StartsWith("ERR")) << told;
    EXPECT_THAT(told, HasSubstr("config.conf"));
  }
  EXPECT_EQ(Table(), table);
  EXPECT_THAT(agent->Events("ready", mark), IsEmpty()) << "it has not started over";
  api_->Delete("services", "shop", "web");
  EXPECT_TRUE(support::Eventually(kSoon, [&] { return !absl::StrContains(Table(), "198.51.100.80"); }))
      << "and goes on";

  volume_.Publish(With("198.18.0.0/15"));
  EXPECT_TRUE(InForce("198.18.0.0/15")) << agent->log();
}

TEST_F(ConfigReloadTest, ManyChangesLeaveNoFilesOpen) {
  volume_.Publish(With("203.0.113.0/24"));
  const auto agent = Started();
  // Those of the settled process: servers open, watches running.
  const auto settled = [&] {
    std::vector<std::string> open;
    absl::SleepFor(absl::Milliseconds(500));
    EXPECT_TRUE(support::Eventually(kSoon, [&] {
      const std::vector<std::string> before = std::exchange(open, OpenFiles(agent->process().pid()));
      absl::SleepFor(absl::Milliseconds(100));
      return before.size() == open.size();
    }));
    return open;
  };
  // Not of the very first one: what it was started with is not passed on.
  std::vector<std::string> at_first;
  for (int i = 0; i < 20; ++i) {
    const size_t mark = agent->Mark();
    volume_.Publish(With(absl::StrCat("198.18.", i, ".0/24")));
    ASSERT_TRUE(agent->WaitForEvent("ready", kSoon, mark)) << agent->log();
    if (i == 0) at_first = settled();
  }

  EXPECT_TRUE(InForce("198.18.19.0/24"));
  EXPECT_THAT(settled(), SizeIs(at_first.size())) << ::testing::PrintToString(at_first);
}

TEST_F(ConfigReloadTest, AChangeThatComesWhileItStartsOverIsNotMissed) {
  volume_.Publish(With("203.0.113.0/24"));
  const auto agent = Started();
  for (int i = 0; i < 30; ++i) {
    const size_t mark = agent->Mark();
    volume_.Publish(With(absl::StrCat("198.18.", i, ".0/24")));
    ASSERT_TRUE(agent->WaitForEvent("configuration_changed", kSoon, mark)) << agent->log();
    // Each time at another point of the start.
    absl::SleepFor(absl::Milliseconds(3 * i));
    volume_.Publish(With(absl::StrCat("198.19.", i, ".0/24")));
    ASSERT_TRUE(InForce(absl::StrCat("198.19.", i, ".0/24"))) << i << "\n" << agent->log().substr(mark);
  }
}

}  // namespace
}  // namespace pointsman
