// SPDX-License-Identifier: Apache-2.0
//
// Everything that servers and networks do to a client, one after another, while Services and endpoints change: after
// each of them the kernel must be equal to the store, without a flood of requests, and nothing may pile up.
//
// PM_FAULT_MINUTES=60 goes on with further rounds, each in an order of its own, until that time is over.
#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/netns/kube_world.h"

namespace pointsman {
namespace {

using ::testing::IsEmpty;

constexpr int kServices = 20;
constexpr size_t kMostRequests = 40;  // of a step
// A pause after failures in a row may last a minute, and some steps bring two of them.
constexpr absl::Duration kPatience = absl::Seconds(150);

struct Usage {
  int rss_kb = 0;
  int fds = 0;
};

Usage UsageOf(pid_t pid) {
  Usage usage;
  for (const absl::string_view line : absl::StrSplit(support::ReadFile(absl::StrCat("/proc/", pid, "/status")), '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (words.size() < 2 || words[0] != "VmRSS:") continue;
    EXPECT_TRUE(absl::SimpleAtoi(words[1], &usage.rss_kb));
  }
  for ([[maybe_unused]] const auto& fd : std::filesystem::directory_iterator(absl::StrCat("/proc/", pid, "/fd"))) {
    ++usage.fds;
  }
  return usage;
}

class KubeFaultsTest : public KubeWorld {
 protected:
  struct Step {
    std::string name;
    std::function<void()> inject;
    absl::Duration lasting = absl::ZeroDuration();
    std::function<void()> heal = [] {};
    bool change = true;  // the store, right after the fault began
    int code = 200;      // of an answer the agent must get; 0: it need not ask for anything
  };

  // A second server holds the same objects and never fails: what the kernel is compared with.
  void PutBoth(const support::Manifest& manifest) {
    for (support::FakeApi* api : {api_.get(), truth_.get()}) Put(*api, manifest);
  }

  // One Service comes or goes, and another gets other endpoints.
  void Change() {
    const auto number = [&](int below) { return std::uniform_int_distribution<>(0, below - 1)(random_); };
    const int moved = number(kServices);
    if (services_.erase(moved) != 0) {
      for (support::FakeApi* api : {api_.get(), truth_.get()}) {
        api->Delete("services", "load", absl::StrCat("s", moved));
        api->Delete("endpointslices", "load", absl::StrCat("s", moved, "-1"));
      }
    } else {
      services_[moved] = Fresh(moved);
      PutBoth(services_[moved]);
    }
    auto other = services_.lower_bound(number(kServices));
    if (other == services_.end()) other = services_.begin();
    if (other == services_.end()) return;
    other->second = Fresh(other->first);
    for (support::FakeApi* api : {api_.get(), truth_.get()}) api->Put(SliceOf(other->second));
  }
  // Endpoints nobody has had before.
  support::Manifest Fresh(int service) {
    support::Manifest manifest{
        .name = absl::StrCat("load/s", service), .ip = absl::StrCat("198.19.0.", service + 1), .endpoints = {}};
    for (int i = 0; i < 3; ++i, ++next_) {
      manifest.endpoints.push_back(absl::StrCat("198.18.", next_ / 250 % 250, ".", next_ % 250 + 1));
    }
    return manifest;
  }

  void Fault(support::Fault fault) { api_->Add(std::move(fault)); }

  // Apart from signs of life.
  std::vector<support::SeenRequest> Seen() const {
    std::vector<support::SeenRequest> seen = api_->Requests();
    std::erase_if(seen, [](const support::SeenRequest& request) { return request.path == "/version"; });
    return seen;
  }
  size_t Requests() const { return Seen().size(); }

  std::vector<Step> Steps();
  bool Converged() { return api_->open_watches() == 4 && Pointsman("diff", With(dir_.File("truth"))).exit_code == 0; }
  void Take(const Step& step, support::AgentProcess& agent);
  // With an agent of its own: these in their order, then in others until `lasting` is over.
  void Run(const std::vector<std::string>& args, std::vector<Step> steps, absl::Duration lasting);

  std::unique_ptr<support::FakeApi> api_;
  std::unique_ptr<support::FakeApi> truth_;
  std::map<int, support::Manifest> services_;
  std::mt19937 random_{20260103};
  int next_ = 0;
  int tokens_ = 0;
  const absl::Time begin_ = absl::Now();
};

// Faults are spread over the kinds, and those that meet all of them come first: the pauses of each kind grow with its
// own failures, and these follow closely.
std::vector<KubeFaultsTest::Step> KubeFaultsTest::Steps() {
  const auto again = [this] { api_->EndWatches(); };
  const auto relist = [this](const char* resource) { api_->FailWatches(resource, 410, "Expired"); };
  return {
      {.name = "token expired and rotated",
       .inject =
           [this] {
             api_->RefuseToken(absl::StrCat("token-", tokens_));
             api_->AllowToken(absl::StrCat("token-", ++tokens_));
             support::ReplaceFile(dir_.File("token"), absl::StrCat("token-", tokens_));
             api_->Disconnect();
           },
       .code = 401},
      {.name = "compacted, nothing new",
       .inject =
           [=, this] {
             api_->Compact();
             again();
           },
       .change = false},
      {.name = "disconnect", .inject = [this] { api_->Disconnect(); }},
      {.name = "goaway",
       .inject =
           [=, this] {
             api_->GoAway();
             again();
           }},
      {.name = "compacted, 410 event",
       .inject =
           [=, this] {
             api_->Compact();
             relist("endpointslices");
           }},
      {.name = "relist, nothing new", .inject = [=] { relist("nodes"); }, .change = false},
      {.name = "slow body",
       .inject =
           [=, this] {
             Fault({.resource = "endpointslices", .watch = true, .slow_bytes = 10});
             again();
           }},
      {.name = "slow head",
       .inject =
           [=, this] {
             Fault({.resource = "services", .watch = true, .delay = absl::Seconds(2)});
             again();
           }},
      {.name = "half a frame",
       .inject =
           [=, this] {
             Fault({.resource = "endpointslices", .watch = true, .cut_after = 40});
             again();
           }},
      {.name = "half a picture",
       .inject =
           [=, this] {
             Fault({.resource = "services", .watch = true, .cut_after = 1500});
             relist("services");
           }},
      {.name = "connection cut in a frame",
       .inject =
           [=, this] {
             Fault({.resource = "services", .watch = true, .cut_after = 40, .cut_connection = true});
             again();
           }},
      {.name = "500",
       .inject =
           [=, this] {
             Fault({.resource = "endpointslices",
                    .code = 500,
                    .reason = "InternalError",
                    .message = "etcdserver: request timed out"});
             again();
           },
       .code = 500},
      {.name = "500 event", .inject = [this] { api_->FailWatches("nodes", 500, "InternalError"); }},
      {.name = "429, Retry-After 2",
       .inject =
           [=, this] {
             Fault({.resource = "nodes",
                    .code = 429,
                    .message = "Too many requests, please try again later.\n",
                    .plain_text = true,
                    .retry_after = 2});
             again();
           },
       .code = 429},
      {.name = "503 page",
       .inject =
           [=, this] {
             Fault({.resource = "nodes",
                    .code = 503,
                    .message = "<html><body><h1>503 Service Unavailable</h1></body></html>",
                    .html = true});
             again();
           },
       .code = 503},
      {.name = "server away, new certificate",
       .inject = [this] { api_->Stop(); },
       .lasting = absl::Seconds(2),
       .heal = [this] { Restart(*api_); }},
      {.name = "frozen",
       .inject = [this] { api_->Freeze(); },
       .lasting = absl::Seconds(4),
       .heal = [this] { api_->Thaw(); },
       .code = 0},
      {.name = "sendInitialEvents refused",
       .inject =
           [=, this] {
             Fault({.resource = "servicecidrs", .watch = true, .code = 422, .reason = "Invalid"});
             relist("servicecidrs");
           },
       .code = 422},
      {.name = "watches end", .inject = again},
      {.name = "version too large",
       .inject =
           [=, this] {
             Fault({.resource = "servicecidrs",
                    .code = 504,
                    .reason = "Timeout",
                    .message = "Too large resource version",
                    .too_large_version = true});
             again();
           },
       .code = 504},
      {.name = "no body of ours",
       .inject =
           [=, this] {
             Fault({.resource = "servicecidrs",
                    .watch = true,
                    .raw_body = "<html>Please log in.</html>",
                    .raw_type = "text/html"});
             again();
           }},
  };
}

void KubeFaultsTest::Take(const Step& step, support::AgentProcess& agent) {
  SCOPED_TRACE(step.name);
  const size_t mark = agent.Mark();
  const size_t before = Requests();
  const absl::Time begin = absl::Now();
  step.inject();
  if (step.change) Change();
  absl::SleepFor(step.lasting);
  step.heal();
  // A fault that is used up by the next request must have met it: the first look may come too early.
  absl::SleepFor(absl::Milliseconds(300));
  ASSERT_TRUE(support::Eventually(kPatience, [&] { return Converged(); }))
      << Pointsman("diff", With(dir_.File("truth"))).out << agent.log().substr(mark);
  const absl::Duration took = absl::Now() - begin;
  api_->ClearFaults();

  // Quiet: nobody asks while nothing happens. A watch that had to be asked for twice may come a pause later.
  size_t requests = 0;
  ASSERT_TRUE(support::Eventually(kPatience,
                                  [&] {
                                    requests = Requests() - before;
                                    absl::SleepFor(absl::Seconds(1));
                                    return Requests() - before == requests && Converged();
                                  }))
      << requests << " requests, and no end of them\n"
      << agent.log().substr(mark);
  const std::vector<support::SeenRequest> seen = Seen();
  const bool met = step.code == 0 || std::any_of(seen.begin() + static_cast<ptrdiff_t>(before), seen.end(),
                                                 [&](const auto& request) { return request.code == step.code; });
  int transactions = 0;
  for (const support::LogLine& pass : agent.Events("reconciled", mark)) transactions += pass.Number("transactions");
  const Usage usage = UsageOf(agent.process().pid());
  std::printf("%7.1f s  %-36s took %5.1f s  %2zu requests  %d transactions  %d kB  %d fds\n",
              absl::ToDoubleSeconds(absl::Now() - begin_), step.name.c_str(), absl::ToDoubleSeconds(took), requests,
              transactions, usage.rss_kb, usage.fds);
  std::fflush(stdout);

  EXPECT_TRUE(met) << "nothing was answered " << step.code;
  EXPECT_LT(requests, kMostRequests) << agent.log().substr(mark);
  if (step.change) {
    EXPECT_GE(transactions, 1);
  } else {
    EXPECT_EQ(transactions, 0) << agent.log().substr(mark);
  }
  EXPECT_THAT(agent.Events("failed", mark), IsEmpty()) << agent.log().substr(mark);
  EXPECT_THAT(agent.Events("bad_input", mark), IsEmpty()) << agent.log().substr(mark);
}

void KubeFaultsTest::Run(const std::vector<std::string>& args, std::vector<Step> steps, absl::Duration lasting) {
  const size_t before = api_->Requests().size();
  support::AgentProcess agent(node(), args);
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  ASSERT_TRUE(support::Eventually(absl::Seconds(10), [&] { return Converged(); })) << agent.log();

  Usage warm;  // of the first third, and if there are more rounds, of the first
  int rounds = 0;
  do {
    if (rounds > 0) std::shuffle(steps.begin(), steps.end(), random_);
    for (size_t i = 0; i < steps.size(); ++i) {
      ASSERT_NO_FATAL_FAILURE(Take(steps[i], agent));
      ASSERT_TRUE(agent.process().running()) << agent.log();
      if (rounds == 0 && (i + 1 == steps.size() / 3 || (i + 1 == steps.size() && lasting > absl::ZeroDuration()))) {
        warm = UsageOf(agent.process().pid());
      }
    }
    ++rounds;
  } while (absl::Now() < begin_ + lasting);

  const Usage end = UsageOf(agent.process().pid());
  std::printf("%d rounds, %zu requests; from %d kB and %d fds to %d kB and %d fds\n", rounds,
              api_->Requests().size() - before, warm.rss_kb, warm.fds, end.rss_kb, end.fds);
  EXPECT_NEAR(end.fds, warm.fds, 2);
  EXPECT_LT(end.rss_kb, warm.rss_kb + 4096);
  for (const support::LogLine& line : AskStatus(agent)) std::printf("%s\n", line.text.c_str());
  EXPECT_EQ(agent.Terminate().exit_code, 0);
}

TEST_F(KubeFaultsTest, KernelIsEqualToTheStoreAfterEveryFault) {
  absl::Duration lasting;
  if (const char* minutes = getenv("PM_FAULT_MINUTES")) {
    int number = 0;
    ASSERT_TRUE(absl::SimpleAtoi(minutes, &number)) << "PM_FAULT_MINUTES is no number: " << minutes;
    lasting = absl::Minutes(number);
  }
  api_ = StartApi();
  truth_ = StartApi();
  api_->AllowToken("token-0");
  support::WriteFile(dir_.File("token"), "token-0");
  const std::vector<std::string> args = With(Config("config", *api_, dir_.File("token")));
  Config("truth", *truth_);
  for (support::FakeApi* api : {api_.get(), truth_.get()}) api->Put(NodeAt({"192.0.2.1"}));
  for (int i = 0; i < kServices; ++i) {
    services_[i] = Fresh(i);
    PutBoth(services_[i]);
  }
  if (lasting > absl::ZeroDuration()) {
    Run(args, Steps(), lasting);
    return;
  }
  // Two agents, one after the other, share the steps: what comes late in a row of failures takes long.
  std::vector<Step> halves[2];
  size_t i = 0;
  for (Step& step : Steps()) halves[i++ % 2].push_back(std::move(step));
  for (const std::vector<Step>& steps : halves) ASSERT_NO_FATAL_FAILURE(Run(args, steps, lasting));
}

}  // namespace
}  // namespace pointsman
