// SPDX-License-Identifier: Apache-2.0
//
// `trace` beside a real kernel: it agrees with what the agent has programmed, and tells when somebody changes that.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include <nlohmann/json.hpp>

#include "tests/support/agent_process.h"
#include "tests/support/netns.h"

namespace pointsman {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kWeb[] = "10.96.0.80:80";

class TraceTest : public ::testing::Test {
 protected:
  void Program() {
    const support::ProcessResult run =
        support::RunPointsman(node_, {"run", "--once", "--manifests", support::SourceDir() + "/examples"});
    ASSERT_EQ(run.exit_code, 0) << run.err;
  }
  support::ProcessResult Trace(const std::vector<std::string>& args) {
    std::vector<std::string> all = {"trace", "--manifests", support::SourceDir() + "/examples"};
    all.insert(all.end(), args.begin(), args.end());
    return support::RunPointsman(node_, all);
  }
  void Nft(const std::string& command) {
    const support::ProcessResult nft = support::RunProcess(node_, {"nft", command});
    ASSERT_EQ(nft.exit_code, 0) << nft.err;
  }

  support::NetNs node_{"node"};
};

TEST_F(TraceTest, AgreesWithAKernelThatHoldsTheProgram) {
  Program();

  for (const char* dest : {kWeb, "10.96.0.80:81", "10.96.0.10:53/udp", "10.96.0.10:53/TCP", "192.0.2.200:80"}) {
    const support::ProcessResult trace = Trace({"10.244.1.9", dest});
    EXPECT_EQ(trace.exit_code, 0) << dest << trace.out << trace.err;
    EXPECT_THAT(trace.out, HasSubstr("path through the rules of the kernel:\n"));
    EXPECT_THAT(trace.out, HasSubstr("result:  plan and kernel agree\n"));
  }
  EXPECT_THAT(Trace({"10.244.1.9", kWeb}).out, HasSubstr("service: shop/web:http"));
}

TEST_F(TraceTest, ShowsBothSidesWhereAnEndpointWasTakenFromTheKernel) {
  Program();
  Nft("delete element ip pointsman endpoints { 10.96.0.80 . tcp . 80 . 1 }");

  const support::ProcessResult trace = Trace({"10.244.1.9", kWeb});

  EXPECT_EQ(trace.exit_code, 1) << trace.err;
  const size_t plan = trace.out.find("plan:    deliver\n");
  const size_t kernel = trace.out.find("kernel:  deliver\n");
  const size_t path = trace.out.find("path through the rules of the kernel:\n");
  ASSERT_TRUE(plan < kernel && kernel < path && path != std::string::npos) << trace.out;
  EXPECT_THAT(trace.out.substr(plan, kernel - plan), HasSubstr("10.244.1.12:8080"));
  EXPECT_THAT(trace.out.substr(kernel, path - kernel), Not(HasSubstr("10.244.1.12:8080")));
  EXPECT_THAT(trace.out, ContainsRegex("result:  plan and kernel differ: the plan alone has 10.244.1.12:8080"));
  EXPECT_EQ(Trace({"10.244.1.9", "10.96.0.10:53"}).exit_code, 0) << "another Service is as it was";
}

TEST_F(TraceTest, TellsARefusalThatThePlanDoesNotKnow) {
  Program();
  Nft("insert rule ip pointsman services ip daddr 10.96.0.80 drop");

  const support::ProcessResult trace = Trace({"-o", "json", "10.244.1.9", kWeb});

  EXPECT_EQ(trace.exit_code, 1) << trace.err;
  const auto json = nlohmann::json::parse(trace.out, nullptr, false);
  ASSERT_TRUE(json.is_object()) << trace.out;
  EXPECT_EQ(json["plan"]["verdict"], "deliver");
  EXPECT_EQ(json["kernel"]["verdict"], "drop");
  EXPECT_EQ(json["agree"], false);
  EXPECT_EQ(json["path"].back()["text"], "ip daddr 10.96.0.80 drop");
}

TEST_F(TraceTest, AKernelWithoutOurTablesLetsThePacketPass) {
  const support::ProcessResult trace = Trace({"10.244.1.9", kWeb});

  EXPECT_EQ(trace.exit_code, 1) << trace.err;
  EXPECT_THAT(trace.out, HasSubstr("kernel:  has no table of pointsman: pass\n"));
  EXPECT_THAT(trace.out, HasSubstr("path through the rules the kernel should have:\n"));
  EXPECT_EQ(Trace({"10.244.1.9", "192.0.2.200:80"}).exit_code, 0) << "what is not ours passes anyway";
}

TEST_F(TraceTest, WithoutPrivilegesItShowsTheWayThroughTheProgram) {
  const support::ProcessResult trace = support::RunProcess(
      node_, {"setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin", support::PointsmanBinary(),
              "trace", "--manifests", support::SourceDir() + "/examples", "10.244.1.9", kWeb});

  EXPECT_EQ(trace.exit_code, 2) << trace.err;
  EXPECT_THAT(trace.out, HasSubstr("CAP_NET_ADMIN"));
  EXPECT_THAT(trace.out, HasSubstr("path through the rules the kernel should have:\n"));
  EXPECT_THAT(trace.out, HasSubstr("result:  plan and kernel were not compared\n"));
}

TEST_F(TraceTest, TheNodeIsKnownByItsAddresses) {
  const support::ProcessResult address =
      support::RunProcess(node_, {"ip", "address", "add", "198.51.100.1/32", "dev", "lo"});
  ASSERT_EQ(address.exit_code, 0) << address.err;
  Program();

  for (const char* source : {"node", "198.51.100.1"}) {
    const support::ProcessResult trace = Trace({source, kWeb});
    EXPECT_EQ(trace.exit_code, 0) << trace.out << trace.err;
    EXPECT_THAT(trace.out, HasSubstr("sender:  this node: 198.51.100.1 is an address of this node\n"));
    EXPECT_THAT(trace.out, HasSubstr("  output nat_output 1: jump services\n"));
  }
}

TEST_F(TraceTest, MistakesOnTheCommandLineAreNamed) {
  struct Row {
    std::vector<std::string> args;
    const char* says;
  };
  const std::vector<Row> rows = {
      {{"nod", kWeb}, "did you mean node?"},
      {{"node", "10.96.0.80"}, "write ADDRESS:PORT"},
      {{"10.244.1.9"}, "DEST is required"},
      {{"--in-interfac", "eth0", "10.244.1.9", kWeb}, "did you mean --in-interface?"},
  };
  for (const Row& row : rows) {
    const support::ProcessResult trace = Trace(row.args);
    EXPECT_EQ(trace.exit_code, 2) << row.says;
    EXPECT_THAT(trace.err, HasSubstr(row.says));
    EXPECT_EQ(trace.out, "") << row.says;
  }
}

}  // namespace
}  // namespace pointsman
