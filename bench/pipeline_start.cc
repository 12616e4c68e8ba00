// SPDX-License-Identifier: Apache-2.0
//
// From nothing to a full kernel, and a start over a kernel that is full already.
#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "agent/loop/clock.h"
#include "bench/nft_peer.h"
#include "bench/pipeline_cluster.h"
#include "bench/pipeline_connections.h"
#include "bench/pipeline_node.h"
#include "bench/pipeline_tables.h"
#include "bench/raw_netlink.h"
#include "pointsman/nft_format.h"
#include "pointsman/status.h"
#include "tests/support/files.h"

namespace pointsman::bench {
namespace {

// --- cold start

// One start, from the objects in the Inbox to a full kernel.
struct Start {
  absl::Duration total;
  absl::Duration user;   // of that, outside the kernel
  absl::Duration cpu;    // of the processor, both
  absl::Duration first;  // to the first acknowledged commit
  absl::Duration vital;  // to the commit that brings the API server and DNS
  int64_t bytes = 0;
  int transactions = 0;
};

bool Contains(const std::vector<uint8_t>& batch, const uint8_t (&vip)[4]) {
  return memmem(batch.data(), batch.size(), vip, sizeof(vip)) != nullptr;
}

// The transaction that is the first to have both VIPs behind it.
size_t VitalTransaction(const std::vector<Transaction>& transactions) {
  bool api = false;
  bool dns = false;
  for (size_t i = 0; i < transactions.size(); ++i) {
    api = api || Contains(transactions[i].batch, kApiVip);
    dns = dns || Contains(transactions[i].batch, kDnsVip);
    if (api && dns) return i;
  }
  support::Fatal("a cold start without the API server and DNS");
}

Start ColdStart(const std::vector<ObjectChange>& objects, size_t vital) {
  EmptyNode ns;
  return ns.Call([&] {
    Node node;
    node.Fill(objects);
    const absl::Duration cpu = ThreadTime();
    const absl::Time start = SteadyNow();
    node.Settle();
    Start result;
    result.total = SteadyNow() - start;
    result.cpu = ThreadTime() - cpu;
    result.user = result.total - node.tap().waiting - node.listing();
    const std::vector<Transaction>& transactions = node.tap().transactions;
    result.first = transactions.front().acked - start;
    result.vital = transactions.at(vital).acked - start;
    for (const Transaction& t : transactions) result.bytes += t.bytes;
    result.transactions = static_cast<int>(transactions.size());
    return result;
  });
}

// What a cold start sends.
std::vector<Transaction> Record(const std::vector<ObjectChange>& objects) {
  EmptyNode ns;
  return ns.Call([&] {
    Node node;
    node.tap().keep = true;
    node.Fill(objects);
    node.Settle();
    return std::move(node.tap().transactions);
  });
}

// Memory the kernel has taken for itself: small pieces and large ones.
double KernelMb() {
  double kb = 0;
  for (const absl::string_view line : absl::StrSplit(support::ReadFile("/proc/meminfo"), '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(": "), absl::SkipEmpty());
    double value = 0;
    if (words.size() < 2 || !absl::SimpleAtod(words[1], &value)) continue;
    if (words[0] == "Slab" || words[0] == "VmallocUsed") kb += value;
  }
  return kb / 1024;
}

struct Bare {
  absl::Duration total;
  absl::Duration cpu;
  double kernel_mb = 0;
};

Bare BareStart(const std::vector<std::vector<uint8_t>>& batches, Size size) {
  EmptyNode ns;
  return ns.Call([&] {
    RawNetlink raw;
    const double before = KernelMb();
    Bare bare;
    const absl::Duration cpu = ThreadTime();
    for (const std::vector<uint8_t>& batch : batches) bare.total += raw.Send(batch);
    bare.cpu = ThreadTime() - cpu;
    LetTheKernelSettle(size);
    bare.kernel_mb = KernelMb() - before;
    return bare;
  });
}

// `nft -f` of the whole program.
double NftStartMs(const std::vector<ObjectChange>& objects) {
  Store store;
  ObjectBatch batch;
  batch.changes = objects;
  const Touched touched = store.Apply(batch);
  Planner planner;
  const nft::BaseSettings settings = BenchSettings();
  const auto plans = PlansOf(planner.Plan(store, touched, BenchNode(), settings.policy));
  const std::string text = nft::FormatText(nft::CompileAll(plans, settings));
  EmptyNode ns;
  const std::optional<absl::Duration> took = ns.Call([&] { return RunNft(text); });
  return took ? Ms(*took) : kNone;
}

template <typename T>
T Median(std::vector<T> runs) {
  const auto middle = runs.begin() + static_cast<std::ptrdiff_t>(runs.size() / 2);
  std::nth_element(runs.begin(), middle, runs.end(), [](const T& a, const T& b) { return a.total < b.total; });
  return *middle;
}

void ColdStartRow(Report& report, Size size) {
  const std::vector<ObjectChange> objects = MakeWholeCluster(size.services, size.endpoints);
  std::vector<Transaction> recorded = Record(objects);
  const size_t vital = VitalTransaction(recorded);
  std::vector<std::vector<uint8_t>> batches;
  for (Transaction& t : recorded) batches.push_back(WithoutGuard(std::move(t.batch)));
  std::vector<Start> ours;
  std::vector<Bare> bare;
  for (int run = 0; run < 3; ++run) {
    LetTheKernelSettle(size);
    ours.push_back(ColdStart(objects, vital));
    LetTheKernelSettle(size);
    bare.push_back(BareStart(batches, size));
  }
  LetTheKernelSettle(size);
  const double nft_ms = NftStartMs(objects);
  LetTheKernelSettle(size);
  const Start start = Median(std::move(ours));
  const Bare limit = Median(std::move(bare));
  report.Row(FormatSize(size.services, size.endpoints),
             {Ms(start.total), Ms(start.user), Ms(start.cpu), Ms(limit.total), Ms(limit.cpu),
              absl::FDivDuration(start.total, limit.total), absl::FDivDuration(start.cpu, limit.cpu), Ms(start.first),
              Ms(start.vital), static_cast<double>(start.transactions), static_cast<double>(start.bytes) / 1e6,
              limit.kernel_mb, nft_ms, nft_ms / Ms(start.total)});
}

// --- warm restart

struct Warm {
  absl::Duration total;
  absl::Duration listing;
  absl::Duration user;
  absl::Duration cpu;
  int transactions = 0;
  int messages = 0;
};

// In the namespace of a kernel that holds `objects` already.
Warm WarmRestart(const std::vector<ObjectChange>& objects) {
  Node node;
  node.Fill(objects);
  const absl::Duration cpu = ThreadTime();
  const absl::Time start = SteadyNow();
  node.Settle();
  Warm result;
  result.total = SteadyNow() - start;
  result.cpu = ThreadTime() - cpu;
  result.listing = node.listing();
  result.user = result.total - node.tap().waiting - node.listing();
  for (const Transaction& t : node.tap().transactions) result.messages += t.messages;
  result.transactions = static_cast<int>(node.tap().transactions.size());
  return result;
}

void WarmRestartRow(Report& report, Size size, bool connections) {
  const std::vector<ObjectChange> objects = MakeWholeCluster(size.services, size.endpoints);
  EmptyNode ns;
  ns.Run([&] {
    Node node;
    node.Fill(objects);
    node.Settle();
  });
  LetTheKernelSettle(size);
  std::optional<Connections> clients;
  if (connections) {
    clients.emplace(ns, size.services, 500);
    absl::SleepFor(absl::Seconds(1));
  }
  const int64_t before = clients ? clients->opened() : 0;
  const Warm warm = ns.Call([&] { return WarmRestart(objects); });
  double meanwhile = kNone;
  Connections::Result result;
  if (clients) {
    meanwhile = static_cast<double>(clients->opened() - before);
    absl::SleepFor(absl::Seconds(1));
    result = clients->Stop();
  }
  report.Row(absl::StrCat(FormatSize(size.services, size.endpoints), connections ? ", with connections" : ""),
             {Ms(warm.total), Ms(warm.listing), Ms(warm.user), Ms(warm.cpu), static_cast<double>(warm.transactions),
              static_cast<double>(warm.messages), meanwhile, connections ? static_cast<double>(result.failed) : kNone,
              connections ? Ms(result.slowest) : kNone});
}

}  // namespace

void MeasureColdStart(Report& report) {
  if (!report.options().Wants("cold start")) return;
  report.Begin(
      "cold start",
      "objects in hand to a full kernel, from nothing; bare: the same bytes by libmnl; kernel: Slab + VmallocUsed",
      {{"all", "ms"},
       {"user", "ms"},
       {"cpu", "ms"},
       {"bare", "ms"},
       {"bare cpu", "ms"},
       {"vs bare", "x", 2},
       {"cpu vs bare", "x", 2},
       {"first", "ms"},
       {"API+DNS", "ms"},
       {"commits", "", 0},
       {"sent", "MB"},
       {"kernel", "MB"},
       {"nft -f", "ms", 0},
       {"nft vs us", "x"}});
  std::vector<Size> sizes = {{1'000, 10}, {10'000, 10}, {50'000, 10}, {5'000, 50}, {45'000, 1}};
  if (report.options().quick) sizes = {{100, 10}, {1'000, 10}};
  for (const Size size : sizes) ColdStartRow(report, size);
}

void MeasureWarmRestart(Report& report) {
  if (!report.options().Wants("warm restart")) return;
  report.Begin(
      "warm restart",
      "objects in hand to all in place, over a kernel that holds it; connections: TCP, 500/s, to random Services",
      {{"all", "ms"},
       {"listing", "ms"},
       {"user", "ms"},
       {"cpu", "ms"},
       {"commits", "", 0},
       {"messages", "", 0},
       {"connections", "", 0},
       {"failed", "", 0},
       {"slowest", "ms"}});
  std::vector<Size> sizes = {{1'000, 10}, {10'000, 10}, {50'000, 10}};
  if (report.options().quick) sizes = {{100, 10}, {1'000, 10}};
  for (const Size size : sizes) WarmRestartRow(report, size, /*connections=*/false);
  WarmRestartRow(report, sizes.back(), /*connections=*/true);
}

}  // namespace pointsman::bench
