// SPDX-License-Identifier: Apache-2.0
//
// From the API server to a model, and to a full kernel: time, memory and bytes. The server runs here, each measured
// client in a process of its own. Needs root, or user namespaces.
#include <malloc.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "agent/config.h"
#include "agent/kube/kube_source.h"
#include "agent/loop/inbox.h"
#include "agent/reconcile/driver.h"
#include "bench/api_server.h"
#include "bench/report.h"
#include "pointsman/netlink.h"
#include "pointsman/status.h"
#include "pointsman/store.h"
#include "tests/support/files.h"
#include "tests/support/process.h"

namespace pointsman::bench {
namespace {

constexpr int kEndpoints = 10;
constexpr absl::Duration kSettling = absl::Seconds(2);
constexpr absl::Duration kPatience = absl::Minutes(2);
constexpr char kChild[] = "--child";

// What a client does.
constexpr char kIdle[] = "idle";    // nothing
constexpr char kModel[] = "model";  // fills a Store
constexpr char kAgent[] = "agent";  // what `pointsman run` does, with the kernel

struct Setup {
  const char* name;
  const char* content_type;
  bool watch_list;
};
constexpr Setup kSetups[] = {
    {"protobuf, WatchList", kube::kProtobufType, true},
    {"protobuf, LIST in pages", kube::kProtobufType, false},
    {"JSON, WatchList", kube::kJsonType, true},
    {"JSON, LIST in pages", kube::kJsonType, false},
};

// What the client says of itself, on one line of numbers in this order.
struct Figures {
  double seconds = 0;  // from the start of the source to the work done
  int64_t peak_kb = 0;
  int64_t steady_kb = 0;
  int64_t used_kb = 0;  // of the heap, without what only malloc holds
  int64_t bytes = 0;    // of answers, as they came
};

// --- the client

// A line of /proc/self/status.
int64_t StatusKb(const std::string& name) {
  for (const absl::string_view line : absl::StrSplit(support::ReadFile("/proc/self/status"), '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(": \t"), absl::SkipEmpty());
    int64_t kb = 0;
    if (words.size() == 3 && words[0] == name && absl::SimpleAtoi(words[1], &kb)) return kb;
  }
  support::Fatal(absl::StrCat("no ", name, " in /proc/self/status"));
}

void WaitFor(int fd, absl::Duration longest) {
  pollfd p = {fd, POLLIN, 0};
  poll(&p, 1, static_cast<int>(absl::ToInt64Milliseconds(longest)));
}

[[noreturn]] void GiveUp() { support::Fatal("the client was not done in time"); }

void FillStore(Inbox& inbox, Store& store, size_t objects) {
  for (const absl::Time end = absl::Now() + kPatience; absl::Now() < end;) {
    WaitFor(inbox.fd(), absl::Seconds(1));
    const Inbox::Delivery delivery = inbox.Take();
    store.Apply(delivery.batch);
    if (!delivery.synced) continue;
    PM_CHECK(store.size() >= objects);
    return;
  }
  GiveUp();
}

// The reconciling half of the agent, as `pointsman run` puts it together.
struct Agent {
  std::unique_ptr<Dataplane> dataplane = OpenNftDataplane().value();
  Driver driver;

  explicit Agent(Inbox& inbox)
      : driver({.node_name = "node-0", .cluster_cidrs = {*Cidr::Parse("10.0.0.0/8")}}, inbox, *dataplane,
               {.diagnostic = [](const Diagnostic&) {},
                .pass = [](const PassReport&) {},
                .error = [](const absl::Status& error, const char*) { support::Fatal(std::string(error.message())); },
                .clean = [](const std::vector<FlowCheck>&) {},
                .not_remembered = [](uint64_t) {}}) {
    driver.SetAddresses(ReadAddresses().value());
  }

  void FillKernel(Inbox& inbox) {
    for (const absl::Time end = absl::Now() + kPatience; absl::Now() < end;) {
      const absl::Time next = driver.Step(absl::Now());
      if (inbox.synced() && driver.idle()) return;
      WaitFor(inbox.fd(), std::clamp(next - absl::Now(), absl::ZeroDuration(), absl::Seconds(1)));
      driver.Wake();
    }
    GiveUp();
  }
};

// Arguments: work, URL, content type, Services. The CA is standard input.
int RunClient(const std::vector<std::string>& args) {
  const std::string& work = args.at(0);
  Figures figures;
  Inbox inbox;
  Store store;
  std::optional<Agent> agent;
  std::optional<kube::KubeSource> source;
  if (work != kIdle) {
    kube::SourceOptions options;
    options.access.origin = "kube_bench";
    options.access.servers = {args.at(1)};
    options.access.ca.text.assign(std::istreambuf_iterator<char>(std::cin), {});
    options.node_name = "node-0";
    options.content_type = args.at(2);
    if (work == kAgent) agent.emplace(inbox);
    const absl::Time start = absl::Now();
    source.emplace(std::move(options), inbox, [](const Diagnostic& d) { support::Fatal(FormatDiagnostic(d)); });
    if (agent) {
      agent->FillKernel(inbox);
    } else {
      size_t services = 0;
      PM_CHECK(absl::SimpleAtoi(args.at(3), &services));
      FillStore(inbox, store, 2 * services);
    }
    figures.seconds = absl::ToDoubleSeconds(absl::Now() - start);
  }
  absl::SleepFor(kSettling);
  figures.peak_kb = StatusKb("VmHWM");
  figures.steady_kb = StatusKb("VmRSS");
  const struct mallinfo2 heap = mallinfo2();
  figures.used_kb = static_cast<int64_t>((heap.uordblks + heap.hblkhd) / 1024);
  if (source) figures.bytes = source->status().http.bytes_received;
  absl::PrintF("%.3f %d %d %d %d\n", figures.seconds, figures.peak_kb, figures.steady_kb, figures.used_kb,
               figures.bytes);
  return 0;
}

// --- the server

// What a client of this server needs.
class Server {
 public:
  Server(const Setup& setup, int services)
      : setup_(setup), services_(services), server_(services, kEndpoints, setup.watch_list) {}

  Figures Measure(const char* work) {
    const support::ProcessResult result = support::RunProcess(
        server_.ns(), {"/proc/self/exe", kChild, work, server_.url(), setup_.content_type, absl::StrCat(services_)},
        {.stdin_text = server_.ca(), .timeout = 2 * kPatience});
    const std::vector<std::string> words = absl::StrSplit(result.out, absl::ByAnyChar(" \n"), absl::SkipEmpty());
    Figures f;
    if (result.exit_code != 0 || words.size() != 5 || !absl::SimpleAtod(words[0], &f.seconds) ||
        !absl::SimpleAtoi(words[1], &f.peak_kb) || !absl::SimpleAtoi(words[2], &f.steady_kb) ||
        !absl::SimpleAtoi(words[3], &f.used_kb) || !absl::SimpleAtoi(words[4], &f.bytes)) {
      support::Fatal(absl::StrCat(work, ", ", setup_.name, ": ", result.out, result.err));
    }
    return f;
  }

 private:
  const Setup setup_;
  const int services_;
  ApiServer server_;
};

// --- what is said

double Megabytes(int64_t kb) { return static_cast<double>(kb) / 1024; }

void Measure(Report& report) {
  const bool quick = report.options().quick;
  const int services = quick ? 1'000 : 10'000;
  report.Begin(
      "from the API server", absl::StrCat(FormatSize(services, kEndpoints), " over TLS on loopback"),
      {{"time", "s", 2}, {"peak RSS", "MB"}, {"steady RSS", "MB"}, {"heap used", "MB"}, {"on the wire", "MB", 2}});
  const auto row = [&](const std::string& name, const Figures& f) {
    report.Row(name, {f.seconds, Megabytes(f.peak_kb), Megabytes(f.steady_kb), Megabytes(f.used_kb),
                      static_cast<double>(f.bytes) / 1e6});
  };
  for (const Setup& setup : kSetups) {
    Server server(setup, services);
    // The first to come waits for the server to write every object down.
    server.Measure(kModel);
    if (&setup == kSetups) row("a process that does nothing", server.Measure(kIdle));
    // The agent last: it fills the kernel.
    for (const char* work : {kModel, kAgent}) row(absl::StrCat(work, ", ", setup.name), server.Measure(work));
  }
}

}  // namespace
}  // namespace pointsman::bench

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (!args.empty() && args[0] == pointsman::bench::kChild) {
    return pointsman::bench::RunClient({args.begin() + 1, args.end()});
  }
  pointsman::bench::Report report("kube_bench", pointsman::bench::ParseOptions(args));
  if (report.options().Wants("from the API server")) pointsman::bench::Measure(report);
}
