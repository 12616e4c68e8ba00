// SPDX-License-Identifier: Apache-2.0
//
// The pod of deploy/daemon-set/ without a container runtime: its command, its capabilities, its read-only file systems.
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/netns/kube_world.h"

namespace pointsman {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// As a runtime leaves a container that is not privileged: nothing can be written, /proc/sys and /sys among it.
constexpr char kReadOnly[] =
    "mount -o remount,bind,ro / && "
    "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && "
    "mount --rbind /sys /sys && mount -o remount,bind,ro /sys && "
    "exec \"$@\"";

class PodTest : public KubeWorld {
 protected:
  // `securityContext` of the container; user 0 has what is in the bounding set.
  static std::vector<std::string> InPod(std::vector<std::string> command) {
    std::vector<std::string> words = {
        "unshare",        "--mount",         "sh",         "-c",  kReadOnly, "sh", "setpriv", "--no-new-privs",
        "--bounding-set", "-all,+net_admin", "--inh-caps", "-all"};
    words.insert(words.end(), command.begin(), command.end());
    return words;
  }

  // The ConfigMap as it is in deploy/, with the test's server in it. Returns the path of config.conf.
  std::string MountConfig(const support::FakeApi& api) {
    const std::string text = support::ReadFile(support::SourceDir() + "/deploy/config-map.yaml");
    support::WriteFile(dir_.File("ca.crt"), ca_.pem());
    support::WriteFile(dir_.File("token"), "a-token");
    const std::vector<std::pair<std::string, std::string>> here = {
        {"/var/lib/kube-proxy", dir_.path()},
        {"/var/run/secrets/kubernetes.io/serviceaccount", dir_.path()},
        {"https://control-plane.example.com:6443", api.url()}};
    for (const char* key : {"config.conf", "kubeconfig.conf"}) {
      support::WriteFile(dir_.File(key), absl::StrReplaceAll(Value(text, key), here));
    }
    return dir_.File("config.conf");
  }

  // A block of text under `data`.
  static std::string Value(const std::string& config_map, const std::string& key) {
    std::string value;
    bool inside = false;
    for (const absl::string_view line : absl::StrSplit(config_map, '\n')) {
      if (inside && !line.empty() && !absl::StartsWith(line, "    ")) break;
      if (inside) absl::StrAppend(&value, absl::StripPrefix(line, "    "), "\n");
      if (line == absl::StrCat("  ", key, ": |")) inside = true;
    }
    return value;
  }

  static std::string Field(const std::string& status, const std::string& name) {
    for (const absl::string_view line : absl::StrSplit(status, '\n')) {
      const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(":\t", 1));
      if (parts.first == name) return std::string(parts.second);
    }
    return "no " + name;
  }
};

TEST_F(PodTest, TheTestTakesAwayWhatItSays) {
  const auto attempt = [&](const std::string& script) {
    return support::RunProcess(node(), InPod({"sh", "-c", script})).exit_code;
  };
  EXPECT_EQ(attempt("nft add table ip t && nft delete table ip t"), 0);
  EXPECT_NE(attempt("echo 1 >/proc/sys/net/ipv4/ip_forward"), 0);
  EXPECT_NE(attempt(absl::StrCat("echo 1 >", dir_.File("x"))), 0);
  EXPECT_NE(attempt("mount -t tmpfs none /mnt"), 0);
}

// Those that deploy/ gives, in DaemonSet, components and unit.
TEST_F(PodTest, ItsFlagsAreInTheHelp) {
  const std::string help = support::RunPointsman(node(), {"run", "--help"}).out;
  const std::regex flag("--[a-z][a-z.-]*");
  for (const char* file : {"daemon-set/daemon-set.yaml", "components/node-setup/init-container.yaml",
                           "components/take-over/kustomization.yaml", "systemd/pointsman.service"}) {
    const std::string text = support::ReadFile(absl::StrCat(support::SourceDir(), "/deploy/", file));
    int flags = 0;
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      if (absl::StartsWith(absl::StripLeadingAsciiWhitespace(line), "#")) continue;
      const std::string words(line);
      for (std::sregex_iterator it(words.begin(), words.end(), flag), end; it != end; ++it, ++flags) {
        EXPECT_THAT(help, HasSubstr(it->str())) << file;
      }
    }
    EXPECT_GT(flags, 0) << file;
  }
}

TEST_F(PodTest, ProgramsWithCapNetAdminAlone) {
  const auto api = StartApi();
  api->AllowToken("a-token");
  api->Put(NodeAt({"192.0.2.1"}));
  Put(*api, {.name = "shop/web", .ip = "198.51.100.80", .endpoints = {"203.0.113.11"}});
  const std::string config = MountConfig(*api);

  support::Process pod(node(), InPod({support::PointsmanBinary(), "--config=" + config,
                                      absl::StrCat("--hostname-override=", kNodeName)}));
  const auto ready = [](const std::string& log) { return absl::StrContains(log, " ready"); };
  ASSERT_TRUE(pod.WaitForErr(ready, absl::Seconds(40))) << pod.err();
  EXPECT_THAT(Nft({"list", "map", "ip", "pointsman", "frontends"}), HasSubstr("198.51.100.80 . tcp . 80"));
  const std::string status = support::ReadFile(absl::StrCat("/proc/", pod.pid(), "/status"));
  for (const char* set : {"CapPrm", "CapEff", "CapBnd"}) EXPECT_EQ(Field(status, set), "0000000000001000") << set;
  for (const char* set : {"CapInh", "CapAmb"}) EXPECT_EQ(Field(status, set), "0000000000000000") << set;
  EXPECT_EQ(Field(status, "NoNewPrivs"), "1");

  // It goes on following.
  Put(*api, {.name = "shop/late", .ip = "198.51.100.81", .endpoints = {"203.0.113.12"}});
  EXPECT_TRUE(support::Eventually(absl::Seconds(10), [&] {
    return absl::StrContains(Nft({"list", "map", "ip", "pointsman", "frontends"}), "198.51.100.81 . tcp . 80");
  })) << pod.err();
  EXPECT_TRUE(pod.running());

  // What it could not set is told in one line, and nothing of it is an error.
  std::vector<std::string> errors;
  std::vector<std::string> about_sysctls;
  for (const support::LogLine& line : support::ParseLog(pod.err())) {
    if (line.level == "ERROR") errors.push_back(line.text);
    if (line.level == "WARNING" && absl::StrContains(line.text, "/proc/sys")) about_sysctls.push_back(line.text);
  }
  EXPECT_THAT(errors, IsEmpty());
  EXPECT_EQ(about_sysctls.size(), 1U) << pod.err();

  pod.Signal(SIGTERM);
  EXPECT_EQ(pod.Wait(absl::Seconds(10)).exit_code, 0);
  EXPECT_THAT(Nft({"list", "map", "ip", "pointsman", "frontends"}), HasSubstr("198.51.100.81 . tcp . 80"));
}

}  // namespace
}  // namespace pointsman
