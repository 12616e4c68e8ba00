// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/netns.h"
#include "tests/support/process.h"

namespace pointsman {
namespace {

using support::ProcessResult;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kHeader[] = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

class KubeProxyCommandLineTest : public ::testing::Test {
 protected:
  KubeProxyCommandLineTest() {
    if (symlink(support::PointsmanBinary().c_str(), dir_.File("kube-proxy").c_str()) != 0) {
      support::FatalErrno("make a symbolic link");
    }
  }

  ProcessResult KubeProxy(std::vector<std::string> args) {
    args.insert(args.begin(), dir_.File("kube-proxy"));
    return support::RunProcess(node_, args);
  }
  ProcessResult Pointsman(const std::vector<std::string>& args) { return support::RunPointsman(node_, args); }

  std::string Config(const std::string& text) {
    support::WriteFile(dir_.File("config.conf"), kHeader + text);
    return absl::StrCat("--config=", dir_.File("config.conf"));
  }
  std::string Manifests() const { return absl::StrCat("--manifests=", support::SourceDir(), "/examples"); }
  std::string Tables() { return support::RunProcess(node_, {"nft", "list", "tables"}).out; }

  support::TempDir dir_;
  support::NetNs node_{"node"};
};

TEST_F(KubeProxyCommandLineTest, ProgramsTheKernelUnderThatNameAndCleansUp) {
  const ProcessResult run =
      KubeProxy({Config("clusterCIDR: 10.244.0.0/16\n"), "--hostname-override=n1", Manifests(), "--once", "-v=1"});

  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(Tables(), HasSubstr("table ip pointsman"));
  EXPECT_THAT(run.err, HasSubstr("mode iptables (none is given): programmed with nftables"));
  EXPECT_THAT(run.err, HasSubstr("--hostname-override=n1\n"));
  EXPECT_EQ(
      Pointsman({"diff", Config("clusterCIDR: 10.244.0.0/16\n"), "--hostname-override=n1", Manifests()}).exit_code, 0)
      << "the other commands take the same file";

  const ProcessResult cleanup = KubeProxy({"--cleanup"});
  EXPECT_EQ(cleanup.exit_code, 0) << cleanup.err;
  EXPECT_EQ(Tables(), "");
}

TEST_F(KubeProxyCommandLineTest, AFlagInFrontMeansRun) {
  EXPECT_EQ(Pointsman({"--proxy-mode=nftables", Manifests(), "--once"}).exit_code, 0);
  EXPECT_THAT(Tables(), HasSubstr("table ip pointsman"));
}

TEST_F(KubeProxyCommandLineTest, VersionIsThatOfKubernetesFirst) {
  for (const char* flag : {"--version", "--version=true", "--version=raw"}) {
    const ProcessResult version = KubeProxy({"--config=/nonexistent", flag});
    EXPECT_EQ(version.exit_code, 0) << flag;
    EXPECT_THAT(version.out, ::testing::MatchesRegex("Kubernetes v1\\.36\\.[0-9]+\npointsman [0-9.]+\n")) << flag;
  }
  EXPECT_THAT(Pointsman({"--version"}).out, ::testing::StartsWith("pointsman "));
}

TEST_F(KubeProxyCommandLineTest, WhatKubeProxyHasNotIsRefusedWithStatus1) {
  struct Row {
    std::vector<std::string> args;
    const char* says;
  };
  const std::vector<Row> rows = {
      {{"--cleanup-ipvs"}, "unknown flag --cleanup-ipvs; did you mean --cleanup?"},
      {{"--logtostderr"}, "unknown flag --logtostderr"},
      {{"extra"}, "unknown argument extra"},
      {{"--config=/nonexistent/config.conf"}, "/nonexistent/config.conf"},
      {{"--oom-score-adj=2000", "--conntrack-min=-1"},
       "pointsman: --conntrack-min: error: conntrack.min: -1 is negative"},
  };
  for (const Row& row : rows) {
    const ProcessResult run = KubeProxy(row.args);
    EXPECT_EQ(run.exit_code, 1) << row.says;
    EXPECT_THAT(run.err, HasSubstr(row.says));
  }
}

TEST_F(KubeProxyCommandLineTest, TheHelpNamesEveryGroup) {
  const ProcessResult help = KubeProxy({"--help"});

  EXPECT_EQ(help.exit_code, 0);
  for (const char* title : {"Where the configuration",
                            "What is programmed:", "This node:", "Serving and logging:", "without effect here:"}) {
    EXPECT_THAT(help.out, HasSubstr(title));
  }
  EXPECT_THAT(Pointsman({"dump", "--help"}).out, Not(HasSubstr("Serving and logging:")));
}

TEST_F(KubeProxyCommandLineTest, ConfigShowsWhatIsInForceAndEndsWith1WhenSomethingIsUnknown) {
  const ProcessResult good = Pointsman({"config", Config("mode: nftables\n")});
  EXPECT_EQ(good.exit_code, 0) << good.err;
  EXPECT_THAT(good.out, ::testing::ContainsRegex("\nmode +\"nftables\" +[^ ]*config.conf:3:7\n"));
  EXPECT_THAT(good.err, IsEmpty());

  const ProcessResult unknown = Pointsman({"config", "-o", "yaml", Config("moed: nftables\n")});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.out, HasSubstr("config.conf:3:1: warning: moed: unknown field; did you mean mode?"));

  const ProcessResult bad = Pointsman({"config", Config("mode: 5\nconntrack: {min: []}\n")});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_EQ(bad.out, "");
  EXPECT_THAT(bad.err, HasSubstr("config.conf:3:7: error: mode: "));
  EXPECT_THAT(bad.err, HasSubstr("config.conf:4:18: error: conntrack.min: "));
}

TEST_F(KubeProxyCommandLineTest, WriteConfigToWritesWhatReadsAsTheSame) {
  const std::string written = dir_.File("written.conf");
  const ProcessResult run = KubeProxy({"--proxy-mode=nftables", "--masquerade-all", "--cluster-cidr=10.244.0.0/16",
                                       absl::StrCat("--write-config-to=", written)});

  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(Tables(), "") << "nothing is started";
  EXPECT_THAT(support::ReadFile(written), HasSubstr("\nmode: \"nftables\"\n"));
  EXPECT_THAT(run.err, HasSubstr("masqueradeAll: true"));
  const std::string again = dir_.File("again.conf");
  EXPECT_EQ(KubeProxy({absl::StrCat("--config=", written), absl::StrCat("--write-config-to=", again)}).exit_code, 0);
  EXPECT_EQ(support::ReadFile(again), support::ReadFile(written));
  EXPECT_EQ(KubeProxy({"--write-config-to=/nonexistent/written.conf"}).exit_code, 1);
}

}  // namespace
}  // namespace pointsman
