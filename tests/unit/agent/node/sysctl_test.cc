// SPDX-License-Identifier: Apache-2.0
#include "agent/node/sysctl.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/files.h"
#include "tests/support/netns.h"

namespace pointsman::node {
namespace {

namespace fs = std::filesystem;

using ::testing::HasSubstr;
using ::testing::SizeIs;

// A directory in place of the root.
class SysctlTest : public ::testing::Test {
 protected:
  std::string Root() const { return dir_.path() + "/"; }
  void Write(const std::string& path, const std::string& text) {
    std::error_code ignored;  // writing tells
    fs::create_directories(fs::path(Root() + path).parent_path(), ignored);
    support::WriteFile(Root() + path, text);
  }
  std::string Read(const std::string& path) const { return support::ReadFile(Root() + path); }
  // As if nobody had written it for an hour.
  fs::file_time_type Age(const std::string& path) {
    const fs::file_time_type then = fs::file_time_type::clock::now() - std::chrono::hours(1);
    fs::last_write_time(Root() + path, then);
    return fs::last_write_time(Root() + path);
  }
  SysctlOutcome Set(const Sysctl& sysctl) { return SetSysctls({sysctl}, Root()).front(); }

  support::TempDir dir_;
};

TEST_F(SysctlTest, WritesWhatDiffers) {
  Write("proc/sys/a", "100\n");

  const SysctlOutcome outcome = Set({.path = "proc/sys/a", .wanted = 2500});

  EXPECT_EQ(outcome.status, absl::OkStatus());
  EXPECT_EQ(outcome.before, 100);
  EXPECT_TRUE(outcome.written);
  EXPECT_EQ(outcome.sysctl.wanted, 2500);
  EXPECT_EQ(Read("proc/sys/a"), "2500");
}

struct LeftCase {
  const char* name;
  Sysctl sysctl;
};

class LeftAloneTest : public SysctlTest, public ::testing::WithParamInterface<LeftCase> {};

TEST_P(LeftAloneTest, IsNotEvenWrittenAgain) {
  Write("proc/sys/a", "100\n");
  const fs::file_time_type before = Age("proc/sys/a");

  const SysctlOutcome outcome = Set(GetParam().sysctl);

  EXPECT_EQ(outcome.status, absl::OkStatus());
  EXPECT_FALSE(outcome.written);
  EXPECT_EQ(outcome.before, 100);
  EXPECT_EQ(Read("proc/sys/a"), "100\n");
  EXPECT_EQ(fs::last_write_time(Root() + "proc/sys/a"), before);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, LeftAloneTest,
    ::testing::Values(LeftCase{"Equal", {.path = "proc/sys/a", .wanted = 100}},
                      LeftCase{"EqualIsEnough", {.path = "proc/sys/a", .wanted = 100, .at_least = true}},
                      LeftCase{"MoreIsAsGood", {.path = "proc/sys/a", .wanted = 99, .at_least = true}}),
    [](const auto& row) { return row.param.name; });

TEST_F(SysctlTest, LessThanAtLeastIsRaised) {
  Write("proc/sys/a", "100\n");
  EXPECT_TRUE(Set({.path = "proc/sys/a", .wanted = 101, .at_least = true}).written);
  EXPECT_EQ(Read("proc/sys/a"), "101\n");
}

TEST_F(SysctlTest, WhatIsNotThereIsNotMade) {
  const SysctlOutcome outcome = Set({.path = "proc/sys/a", .wanted = 1});

  EXPECT_TRUE(absl::IsNotFound(outcome.status)) << outcome.status;
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("proc/sys/a"));
  EXPECT_FALSE(outcome.written);
  EXPECT_FALSE(fs::exists(Root() + "proc/sys/a"));
}

TEST_F(SysctlTest, WhatIsNoNumberIsLeftAlone) {
  Write("proc/sys/a", "off\n");

  const SysctlOutcome outcome = Set({.path = "proc/sys/a", .wanted = 1});

  EXPECT_TRUE(absl::IsDataLoss(outcome.status)) << outcome.status;
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("\"off\""));
  EXPECT_EQ(Read("proc/sys/a"), "off\n");
}

TEST_F(SysctlTest, AFailureHoldsUpNoneOfTheOthers) {
  Write("proc/sys/b", "1\n");

  const std::vector<SysctlOutcome> outcomes =
      SetSysctls({{.path = "proc/sys/a", .wanted = 2}, {.path = "proc/sys/b", .wanted = 2}}, Root());

  ASSERT_THAT(outcomes, SizeIs(2));
  EXPECT_FALSE(outcomes[0].status.ok());
  EXPECT_TRUE(outcomes[1].written);
}

TEST(SysctlOfTheKernelTest, WhatNobodyMayWriteIsDenied) {
  const SysctlOutcome outcome = SetSysctls({{.path = "proc/sys/kernel/cap_last_cap", .wanted = 1}}).front();

  EXPECT_TRUE(absl::IsPermissionDenied(outcome.status)) << outcome.status;
  EXPECT_GT(outcome.before, 1);
  EXPECT_FALSE(outcome.written);
}

TEST_F(SysctlTest, AReadOnlyFileSystemIsAPreconditionThatFails) {
  Write("proc/sys/a", "100\n");
  support::NetNs privileged("privileged");  // without privileges of our own, mounting needs this
  SysctlOutcome outcome;
  bool mounted = false;

  std::thread elsewhere = privileged.Start([&] {
    const char* root = dir_.path().c_str();
    mounted = unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
              mount(root, root, nullptr, MS_BIND, nullptr) == 0 &&
              mount("none", root, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) == 0;
    if (mounted) outcome = Set({.path = "proc/sys/a", .wanted = 25});
  });
  elsewhere.join();

  ASSERT_TRUE(mounted);
  EXPECT_TRUE(absl::IsFailedPrecondition(outcome.status)) << outcome.status;
  EXPECT_EQ(outcome.before, 100);
  EXPECT_EQ(Read("proc/sys/a"), "100\n");
}

struct CpuCase {
  const char* name;
  const char* present;
  int count;
};

class CountCpusTest : public SysctlTest, public ::testing::WithParamInterface<CpuCase> {};

TEST_P(CountCpusTest, CountsThoseThatArePresent) {
  Write("sys/devices/system/cpu/present", GetParam().present);
  EXPECT_EQ(CountCpus(Root()), GetParam().count);
}

INSTANTIATE_TEST_SUITE_P(Cases, CountCpusTest,
                         ::testing::Values(CpuCase{"One", "0\n", 1}, CpuCase{"Range", "0-3\n", 4},
                                           CpuCase{"RangeAndOne", "0-3,8\n", 5}, CpuCase{"Ranges", "0-1,4-5\n", 4},
                                           CpuCase{"Many", "0-511\n", 512}),
                         [](const auto& row) { return row.param.name; });

TEST_F(SysctlTest, WhereNothingTellsCpusThereAreThoseTheLibraryKnowsOf) {
  EXPECT_EQ(CountCpus(Root()), static_cast<int>(sysconf(_SC_NPROCESSORS_CONF)));
}

}  // namespace
}  // namespace pointsman::node
