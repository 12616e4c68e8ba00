// SPDX-License-Identifier: Apache-2.0
//
// The program itself, `pointsman run`, on a full API server (the tests' own, on loopback): what memory and processor it
// takes. Needs root, or user namespaces.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "agent/loop/clock.h"
#include "bench/api_server.h"
#include "bench/cluster.h"
#include "bench/report.h"
#include "tests/support/fake_api/kubeconfig.h"
#include "tests/support/files.h"
#include "tests/support/process.h"

namespace pointsman::bench {
namespace {

constexpr absl::Duration kSettling = absl::Seconds(3);

// agent/pointsman of the build that this program is of.
std::string Binary() {
  std::array<char, 4096> path = {};
  if (readlink("/proc/self/exe", path.data(), path.size() - 1) < 0) support::FatalErrno("readlink /proc/self/exe");
  const std::string self = path.data();
  const std::string directory = self.substr(0, self.rfind('/'));
  return absl::StrCat(directory.substr(0, directory.rfind('/')), "/agent/pointsman");
}

// A running agent with everything in its kernel.
class Agent {
 public:
  explicit Agent(ApiServer& server) : process_(server.ns(), Command(server)) {
    const absl::Time start = SteadyNow();
    const auto ready = [](const std::string& log) { return absl::StrContains(log, " ready\n"); };
    if (!process_.WaitForErr(ready, absl::Minutes(2))) support::Fatal(absl::StrCat("no agent: ", process_.err()));
    ready_after_ = SteadyNow() - start;
    absl::SleepFor(kSettling);
  }

  absl::Duration ready_after() const { return ready_after_; }

  // A line of /proc/PID/status.
  double Mb(const std::string& name) const {
    for (const absl::string_view line : absl::StrSplit(Proc("status"), '\n')) {
      const std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(": \t"), absl::SkipEmpty());
      double kb = 0;
      if (words.size() == 3 && words[0] == name && absl::SimpleAtod(words[1], &kb)) return kb / 1024;
    }
    support::Fatal(absl::StrCat("no ", name, " of the agent"));
  }
  // Of all its threads, in the kernel and outside.
  absl::Duration ProcessorTime() const {
    const std::string stat = Proc("stat");
    const std::vector<std::string> words = absl::StrSplit(stat.substr(stat.rfind(')') + 2), ' ');
    int64_t user = 0;
    int64_t system = 0;
    if (!absl::SimpleAtoi(words.at(11), &user) || !absl::SimpleAtoi(words.at(12), &system)) {
      support::Fatal("no processor time of the agent");
    }
    return absl::Seconds(1) / static_cast<double>(sysconf(_SC_CLK_TCK)) * static_cast<double>(user + system);
  }

 private:
  std::vector<std::string> Command(ApiServer& server) {
    support::WriteFile(dir_.File("kubeconfig"), support::Kubeconfig(server.url(), server.ca()));
    // The size of the connection tracking table is the machine's, not the namespace's.
    return {Binary(),
            "run",
            "--kubeconfig",
            dir_.File("kubeconfig"),
            "--hostname-override",
            "node-0",
            "--conntrack-max-per-core=0",
            "--cluster-cidr=10.0.0.0/8"};
  }
  std::string Proc(const std::string& file) const {
    return support::ReadFile(absl::StrCat("/proc/", process_.pid(), "/", file));
  }

  const support::TempDir dir_;
  support::Process process_;
  absl::Duration ready_after_;
};

void MeasureMemory(Report& report) {
  if (!report.options().Wants("memory")) return;
  report.Begin("memory",
               "`pointsman run`, 3 s after it was ready; per endpoint: what each one more than in the row before costs",
               {{"ready after", "s", 2},
                {"steady RSS", "MB"},
                {"anonymous", "MB"},
                {"peak RSS", "MB"},
                {"per endpoint", "bytes", 0}});
  struct Size {
    int services;
    int endpoints;
  };
  std::vector<Size> sizes = {{0, 0}, {10'000, 10}, {25'000, 10}, {50'000, 10}};
  if (report.options().quick) sizes = {{0, 0}, {100, 10}, {1'000, 10}};
  double last_mb = 0;
  int last_endpoints = 0;
  for (const Size size : sizes) {
    ApiServer server(size.services, size.endpoints);
    const Agent agent(server);
    const double steady = agent.Mb("VmRSS");
    const int endpoints = size.services * size.endpoints;
    report.Row(FormatSize(size.services, size.endpoints),
               {absl::ToDoubleSeconds(agent.ready_after()), steady, agent.Mb("RssAnon"), agent.Mb("VmHWM"),
                (steady - last_mb) * 1024 * 1024 / (endpoints - last_endpoints)});
    last_mb = steady;
    last_endpoints = endpoints;
  }
}

// Endpoints of one Service after another are replaced.
kube::EndpointSlice ChangeAt(int step, int services, int endpoints) {
  const int number = static_cast<int>(int64_t{step} * 7919 % services);
  return MessageOf(std::get<EndpointSlice>(MakeSlice(number, endpoints, 1 + step / services % 20).object.Unpack()));
}

void MeasureChanges(Report& report) {
  if (!report.options().Wants("running agent")) return;
  const bool quick = report.options().quick;
  const int services = quick ? 1'000 : 10'000;
  constexpr int kEndpoints = 10;
  report.Begin("running agent",
               absl::StrCat("`pointsman run`, ", FormatSize(services, kEndpoints),
                            ": endpoints are replaced at the API server; processor: all threads, kernel included"),
               {{"changes", "", 0},
                {"processor", "s", 2},
                {"of a core", "%"},
                {"per change", "us"},
                {"RSS before", "MB", 2},
                {"RSS after", "MB", 2}});
  struct Run {
    const char* name;
    int changes;
    int per_second;
    bool warm_up;  // so that all that is ever needed has been needed once
  };
  const std::vector<Run> runs = quick
                                    ? std::vector<Run>{{"200/s", 1'000, 200, false}, {"2,500/s", 5'000, 2'500, true}}
                                    : std::vector<Run>{{"200/s", 6'000, 200, false}, {"2,500/s", 100'000, 2'500, true}};
  ApiServer server(services, kEndpoints);
  const Agent agent(server);
  int step = 0;
  const auto change = [&](int changes, int per_second) {
    absl::Time next = SteadyNow();
    for (int i = 0; i < changes; ++i) {
      server.api().Put(ChangeAt(step++, services, kEndpoints));
      next += absl::Seconds(1) / per_second;
      absl::SleepFor(next - SteadyNow());
    }
  };
  for (const Run& run : runs) {
    if (run.warm_up) change(run.changes / 10, run.per_second);
    absl::SleepFor(kSettling);
    const double before = agent.Mb("VmRSS");
    const absl::Duration processor = agent.ProcessorTime();
    const absl::Time start = SteadyNow();
    change(run.changes, run.per_second);
    const absl::Duration lasted = SteadyNow() - start;
    absl::SleepFor(kSettling);
    const absl::Duration used = agent.ProcessorTime() - processor;
    report.Row(run.name,
               {static_cast<double>(run.changes), absl::ToDoubleSeconds(used), 100 * absl::FDivDuration(used, lasted),
                absl::ToDoubleMicroseconds(used) / run.changes, before, agent.Mb("VmRSS")});
  }
}

}  // namespace
}  // namespace pointsman::bench

int main(int argc, char** argv) {
  pointsman::bench::Report report("memory_bench", pointsman::bench::ParseOptions({argv + 1, argv + argc}));
  pointsman::bench::MeasureMemory(report);
  pointsman::bench::MeasureChanges(report);
}
