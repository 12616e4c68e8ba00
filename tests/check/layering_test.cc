// SPDX-License-Identifier: Apache-2.0
#include "tests/check/layering.h"

#include <ostream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pointsman::check {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::StartsWith;

TEST(LayeringTest, HoldsInThisTree) {
  const Tree tree = ReadTree(PM_SOURCE_DIR, {"include", "rules", "netlink", "agent", "tests", "bench"}, {".h", ".cc"});
  ASSERT_GT(tree.size(), 50U) << "read the wrong directory?";
  EXPECT_THAT(LayeringViolations(tree), IsEmpty());
}

struct Case {
  const char* name;
  const char* path;
  const char* line;
  bool allowed;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.path << " with " << c.line; }

class LayeringTableTest : public ::testing::TestWithParam<Case> {};

TEST_P(LayeringTableTest, JudgesMadeUpTrees) {
  const Case& c = GetParam();
  const Tree tree = {{c.path, std::string("// SPDX-License-Identifier: Apache-2.0\n") + c.line + "\n"}};
  if (c.allowed) {
    EXPECT_THAT(LayeringViolations(tree), IsEmpty());
  } else {
    EXPECT_THAT(LayeringViolations(tree), ElementsAre(StartsWith(std::string(c.path) + ":2: ")));
  }
}

INSTANTIATE_TEST_SUITE_P(
    , LayeringTableTest,
    ::testing::Values(
        Case{"PublicHeaderMayUseAbseil", "include/pointsman/a.h", "#include \"absl/status/status.h\"", true},
        Case{"PublicHeaderMayNotUseYaml", "include/pointsman/a.h", "#include \"yaml-cpp/yaml.h\"", false},
        Case{"PublicHeaderMayNotUsePrivateOne", "include/pointsman/a.h", "#include \"rules/nft/layout.h\"", false},
        Case{"PublicHeaderMayNotUseSockets", "include/pointsman/a.h", "#include <sys/socket.h>", false},
        Case{"RulesMayUseOwnHeaders", "rules/nft/compile.cc", "#include \"rules/nft/layout.h\"", true},
        Case{"RulesMayNotUseNetlink", "rules/nft/compile.cc", "#include \"netlink/core/attr.h\"", false},
        Case{"RulesMayNotUseAgent", "rules/nft/compile.cc", "#include \"agent/loop/inbox.h\"", false},
        Case{"RulesMayNotUseThreads", "rules/nft/compile.cc", "#include <thread>", false},
        Case{"RulesMayNotReadFiles", "rules/nft/compile.cc", "  #  include <fstream>", false},
        Case{"RulesMayNotReadClocks", "rules/plan/plan.cc", "#include \"absl/time/clock.h\"", false},
        Case{"RulesMayNotLog", "rules/plan/plan.cc", "#include \"pointsman/log.h\"", false},
        Case{"RulesMayNotUseSystemCalls", "rules/plan/plan.cc", "#include <unistd.h>", false},
        Case{"RulesMayUseByteOrder", "rules/plan/plan.cc", "#include <arpa/inet.h>", true},
        Case{"RulesMayNotUseJson", "rules/nft/compile.cc", "#include <nlohmann/json.hpp>", false},
        Case{"JsonFormatterMayUseJson", "rules/nft/format_json.cc", "#include <nlohmann/json.hpp>", true},
        Case{"NetlinkMayUseLibnftnl", "netlink/nft/encode.cc", "#include <libnftnl/set.h>", true},
        Case{"NetlinkMayUseLibnl", "netlink/rtnl/monitor.cc", "#include <netlink/route/addr.h>", true},
        Case{"NetlinkMayNotUseRules", "netlink/nft/encode.cc", "#include \"rules/nft/layout.h\"", false},
        Case{"NetlinkMayNotUseKernelHeadersDirectly", "netlink/nft/encode.cc", "#include <linux/netlink.h>", false},
        Case{"OneHeaderMayUseKernelHeaders", "netlink/core/uapi.h", "#include <linux/netlink.h>", true},
        Case{"NetlinkMayNotKnowServices", "netlink/nft/encode.cc", "#include \"pointsman/api.h\"", false},
        Case{"NetlinkCoreMayLog", "netlink/core/socket.cc", "#include \"pointsman/log.h\"", true},
        Case{"OtherNetlinkMayNotLog", "netlink/nft/dataplane.cc", "#include \"pointsman/log.h\"", false},
        Case{"AgentMayUseYaml", "agent/source/yaml_codec.cc", "#include \"yaml-cpp/yaml.h\"", true},
        Case{"AgentMayUseSystemCalls", "agent/source/file.cc", "#include <sys/inotify.h>", true},
        Case{"AgentMayNotUsePrivateHeaderOfRules", "agent/main.cc", "#include \"rules/nft/layout.h\"", false},
        Case{"AgentMayNotUsePrivateHeaderOfNetlink", "agent/main.cc", "#include \"netlink/core/socket.h\"", false},
        Case{"AgentMayNotUseKernelHeaders", "agent/main.cc", "#include <linux/netlink.h>", false},
        Case{"NobodyIncludesTests", "agent/main.cc", "#include \"tests/support/files.h\"", false},
        Case{"TestMayUseItsMirror", "tests/unit/rules/a_test.cc", "#include \"rules/nft/layout.h\"", true},
        Case{"TestMayNotUseOthersPrivateHeaders", "tests/unit/rules/a_test.cc", "#include \"agent/loop/inbox.h\"",
             false},
        Case{"PropertyTestSeesPublicHeadersOnly", "tests/property/a_test.cc", "#include \"rules/nft/layout.h\"", false},
        Case{"RelativeIncludeIsNoPath", "rules/nft/compile.cc", "#include \"layout.h\"", false},
        Case{"UnknownDirectoryHasNoRow", "surprise/a.cc", "#include <vector>", false}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(LayeringTest, LooksAtEveryLineButOnlyAtIncludes) {
  const Tree tree = {{"rules/a.cc",
                      "#include <vector>\n"
                      "// #include <thread> would be wrong\n"
                      "const char* text = \"#include <mutex>\";\n"
                      "#include <atomic>  // so is this\n"
                      "#include <future>"}};
  EXPECT_THAT(LayeringViolations(tree),
              ElementsAre(StartsWith("rules/a.cc:4: <atomic>: "), StartsWith("rules/a.cc:5: <future>: ")));
}

}  // namespace
}  // namespace pointsman::check
