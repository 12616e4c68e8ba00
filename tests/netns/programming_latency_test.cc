// SPDX-License-Identifier: Apache-2.0
//
// How long changes take from where they were made into the kernel, as a scrape shows it.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"

#include "gtest/gtest.h"

#include "pointsman/api.h"
#include "tests/netns/serving_world.h"

namespace pointsman {
namespace {

constexpr char kName[] = "kubeproxy_network_programming_duration_seconds";

std::string Rfc3339(absl::Time time) { return absl::FormatTime(absl::RFC3339_full, time, absl::UTCTimeZone()); }

class ProgrammingLatencyTest : public ServingWorld {
 protected:
  static support::Manifest Web(const std::vector<std::string>& endpoints, const std::string& ip = "198.51.100.80") {
    return {.name = "shop/web", .ip = ip, .endpoints = endpoints};
  }
  static kube::EndpointSlice Timed(const support::Manifest& manifest, absl::Time trigger) {
    kube::EndpointSlice slice = SliceOf(manifest);
    (*slice.mutable_metadata()->mutable_annotations())[kTriggerTimeAnnotation] = Rfc3339(trigger);
    return slice;
  }
  // So many observations in the buckets up to `le`; -1: the scrape has no such bucket.
  static double Below(const std::string& metrics, const std::string& family, const std::string& le) {
    return Sample(metrics, absl::StrCat(kName, "_bucket"), absl::StrCat("ip_family=\"", family, "\",le=\"", le, "\""));
  }
  static double Count(const std::string& metrics, const std::string& family) {
    return Sample(metrics, absl::StrCat(kName, "_count"), family);
  }
  static double Stage(const std::string& metrics, const std::string& stage) {
    return Sample(metrics, "pointsman_stage_duration_seconds_count", absl::StrCat("\"", stage, "\""));
  }
  // A scrape with so many observations for IPv4; the last one there was if it does not come to that.
  std::string ScrapeWith(double count) {
    std::string metrics;
    EXPECT_TRUE(support::Eventually(absl::Seconds(10), [&] {
      metrics = Metrics();
      return Count(metrics, "IPv4") == count;
    })) << metrics;
    return metrics;
  }
  // Two seconds and more ago something could happen that an agent which is ready by now counts.
  static void LetTwoSecondsPass() { absl::SleepFor(absl::Milliseconds(2200)); }
};

TEST_F(ProgrammingLatencyTest, CountsFromTheTimeThatTheSliceCarries) {
  // Given a slice from before the agent.
  const std::unique_ptr<support::FakeApi> api = StartApi();
  api->Put(NodeAt({"192.0.2.1"}));
  Put(*api, Web({"203.0.113.11"}));
  api->Put(Timed(Web({"203.0.113.11"}), absl::Now() - absl::Minutes(1)));
  const auto agent = Start(Configure(*api));
  ASSERT_TRUE(agent->WaitReady()) << agent->log();
  LetTwoSecondsPass();
  EXPECT_EQ(Count(Metrics(), "IPv4"), 0) << "what was there at the start is no change";

  // When a change took two seconds to get here.
  api->Put(Timed(Web({"203.0.113.12"}), absl::Now() - absl::Seconds(2)));
  const std::string metrics = ScrapeWith(1);
  EXPECT_EQ(Below(metrics, "IPv4", "1"), 0);
  EXPECT_EQ(Below(metrics, "IPv4", "3"), 1) << metrics;
  EXPECT_EQ(Count(metrics, "IPv6"), 0);

  // What brings nothing new, what nobody has timed, and what is not readable are not counted; the next that is timed
  // is.
  api->Put(Timed(Web({"203.0.113.12"}), absl::Now()));
  api->Put(SliceOf(Web({"203.0.113.13"})));
  kube::EndpointSlice broken = SliceOf(Web({"203.0.113.14"}));
  (*broken.mutable_metadata()->mutable_annotations())[kTriggerTimeAnnotation] = "yesterday";
  api->Put(broken);
  ASSERT_TRUE(agent->WaitForEvent("bad_input", absl::Seconds(10))) << agent->log();
  api->Put(Timed(Web({"203.0.113.15"}), absl::Now()));
  const std::string later = ScrapeWith(2);
  EXPECT_EQ(Below(later, "IPv4", "1"), 1) << later;

  // And every stage has been seen on the way.
  for (const char* stage : {"wait", "plan", "compile", "encode", "commit", "sweep", "observe"}) {
    EXPECT_GT(Stage(later, stage), 0) << stage;
  }
  EXPECT_EQ(Sample(later, "pointsman_stage_duration_seconds_bucket", "stage=\"plan\",le=\"60\""), Stage(later, "plan"));
}

TEST_F(ProgrammingLatencyTest, ManifestsMayCarryTheTimeToo) {
  const support::TempDir manifests;
  const auto write = [&](const std::string& endpoint, std::optional<absl::Time> trigger) {
    std::string yaml = Web({endpoint}, "2001:db8:80::1").Yaml();
    if (trigger) {
      // The Service may carry it too, and means nothing by it.
      absl::StrReplaceAll({{"metadata:\n", absl::StrCat("metadata:\n  annotations: {", kTriggerTimeAnnotation, ": \"",
                                                        Rfc3339(*trigger), "\"}\n")}},
                          &yaml);
    }
    support::ReplaceFile(manifests.File("web.yaml"), yaml);
  };
  write("2001:db8:11::1", absl::Now() - absl::Minutes(1));
  support::AgentProcess agent(node(), {"--manifests", manifests.path(), "--metrics-bind-address", "127.0.0.1:10249"});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  LetTwoSecondsPass();

  write("2001:db8:11::2", absl::Now() - absl::Seconds(2));
  std::string metrics;
  EXPECT_TRUE(support::Eventually(absl::Seconds(10), [&] {
    metrics = Metrics();
    return Count(metrics, "IPv6") == 1;
  })) << metrics;
  EXPECT_EQ(Below(metrics, "IPv6", "1"), 0);
  EXPECT_EQ(Below(metrics, "IPv6", "3"), 1) << metrics;
  EXPECT_EQ(Count(metrics, "IPv4"), 0);
}

}  // namespace
}  // namespace pointsman
