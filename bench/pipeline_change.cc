// SPDX-License-Identifier: Apache-2.0
//
// One change in a full kernel.
#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

#include "bench/nft_peer.h"
#include "bench/pipeline_cluster.h"
#include "bench/pipeline_node.h"
#include "bench/pipeline_tables.h"
#include "bench/raw_netlink.h"
#include "pointsman/netlink.h"
#include "pointsman/status.h"

namespace pointsman::bench {
namespace {

constexpr int kGrown = 17;  // endpoints: one more than the size class of ten holds

// Visits Services in an order that caches do not know.
int ServiceAt(int step, int services) { return static_cast<int>(int64_t{step} * 7919 % services); }

// What many changes of one sort have cost, and the kernel alone for the same bytes.
struct Series {
  std::vector<double> total_us;
  std::vector<double> user_us;
  std::vector<double> bare_us;
  double allocations = 0;
  double bytes = 0;

  void Add(const Node::Cost& cost) {
    total_us.push_back(Us(cost.total));
    user_us.push_back(Us(cost.user));
    allocations += static_cast<double>(cost.allocations);
    bytes += static_cast<double>(cost.bytes);
  }
  double Mean(double sum) const { return sum / static_cast<double>(total_us.size()); }
};

double Mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// A change that was made, and in how many transactions.
struct Made {
  Series* series;
  int transactions;
};

// A node with everything in its kernel, that keeps what goes there.
struct FullNode {
  const std::vector<ObjectChange> objects;
  Node node;
  std::vector<Made> made;

  explicit FullNode(Size size) : objects(MakeWholeCluster(size.services, size.endpoints)) {
    node.Fill(objects);
    node.Settle();
    LetTheKernelSettle(size);
    node.tap().Clear();
    node.tap().keep = true;
  }
  const ObjectChange& Service(int number) const { return objects.at(static_cast<size_t>(2 * number)); }
  const ObjectChange& Slice(int number) const { return objects.at(static_cast<size_t>(2 * number + 1)); }

  void Make(std::vector<ObjectChange> changes, Series* series) {
    const Node::Cost cost = node.Apply(std::move(changes));
    if (series == nullptr) return;
    series->Add(cost);
    made.push_back({series, cost.transactions});
  }
  void Forget() {
    node.tap().Clear();
    made.clear();
  }
  // What has been made since, and ended as it began, once more: by libmnl. The Driver is of no use after that.
  void RepeatBare() {
    std::vector<std::vector<uint8_t>> batches;
    for (Transaction& t : node.tap().transactions) batches.push_back(WithoutGuard(std::move(t.batch)));
    const auto generations = OpenNftDataplane().value();
    const Generation before = generations->CurrentGeneration().value();
    RawNetlink raw;
    size_t next = 0;
    for (const Made& change : made) {
      absl::Duration took;
      for (int i = 0; i < change.transactions; ++i) took += raw.Send(batches.at(next++));
      change.series->bare_us.push_back(Us(took));
    }
    PM_CHECK(generations->CurrentGeneration().value() == before + batches.size());  // the kernel has done each
  }
};

// --- an endpoint is replaced by another

// Each second change takes the one before back: the kernel ends as it began, and all of it can be sent once more.
void Swap(FullNode& full, Size size, int changes, Series* series) {
  for (int i = 0; i < changes; ++i) {
    const int number = ServiceAt(i / 2, size.services);
    std::vector<ObjectChange> change = {i % 2 == 0 ? MakeSlice(number, size.endpoints, 1 + i / 2 % 20)
                                                   : full.Slice(number)};
    full.Make(std::move(change), series);
  }
}

void OneChangeRow(Report& report, Size size, std::optional<double>& smallest_us) {
  const bool quick = report.options().quick;
  EmptyNode ns;
  Series series;
  std::vector<double> library_us;
  std::vector<double> program_us;
  ns.Run([&] {
    FullNode full(size);
    Swap(full, size, 100, nullptr);
    std::vector<std::string> text;
    full.node.KeepText(&text);
    Swap(full, size, quick ? 6 : 20, nullptr);
    full.node.KeepText(nullptr);
    full.Forget();
    Swap(full, size, quick ? 400 : 2'000, &series);
    full.RepeatBare();
    LibNftables library;
    for (const std::string& commands : text) library_us.push_back(Us(library.Run(commands)));
    for (const std::string& commands : text) program_us.push_back(Us(*RunNft(commands)));
  });
  const double p50 = Percentile(series.total_us, 0.5);
  const double bare = Percentile(series.bare_us, 0.5);
  if (!smallest_us) smallest_us = p50;
  const double program = Percentile(program_us, 0.5);
  report.Row(FormatSize(size.services, size.endpoints),
             {p50, Percentile(series.total_us, 0.99), Percentile(series.total_us, 1), Percentile(series.user_us, 0.5),
              series.Mean(series.allocations), series.Mean(series.bytes), bare, Percentile(series.bare_us, 0.99),
              p50 / bare, p50 / *smallest_us, Percentile(library_us, 0.5) / 1000, program / 1000, program / p50});
}

// --- a verdict is added, removed or replaced

using ByKind = std::map<std::string, Series>;

void VerdictRow(Report& report, Size size) {
  constexpr const char* kKinds[] = {"class grows", "deleted", "created"};
  EmptyNode ns;
  ByKind by_kind;
  ns.Run([&] {
    FullNode full(size);
    const int rounds = report.options().quick ? 50 : 300;
    for (int i = -5; i < rounds; ++i) {
      if (i == 0) full.Forget();
      const int number = ServiceAt(i + 5, size.services);
      std::vector<ObjectChange> changes[] = {{SliceOfCount(number, size.endpoints, kGrown)},
                                             {Deletion(full.Service(number)), Deletion(full.Slice(number))},
                                             {full.Service(number), full.Slice(number)}};
      for (size_t k = 0; k < 3; ++k) {
        full.Make(std::move(changes[k]), i < 0 ? nullptr : &by_kind[kKinds[k]]);
      }
    }
    full.RepeatBare();
  });
  for (const char* kind : {"created", "deleted", "class grows"}) {
    Series& series = by_kind[kind];
    const double p50 = Percentile(series.total_us, 0.5);
    const double bare = Percentile(series.bare_us, 0.5);
    report.Row(absl::StrCat(kind, ", ", FormatSize(size.services, size.endpoints)),
               {p50, Percentile(series.total_us, 0.99), Percentile(series.total_us, 1), Percentile(series.user_us, 0.5),
                series.Mean(series.allocations), bare, Percentile(series.bare_us, 0.99), p50 / bare,
                Mean(series.total_us) / Mean(series.bare_us)});
  }
}

std::vector<Size> Sizes(const Report& report) {
  if (report.options().quick) return {{100, 10}, {1'000, 10}};
  return {{1'000, 10}, {10'000, 10}, {50'000, 10}};
}

}  // namespace

void MeasureOneChange(Report& report) {
  if (!report.options().Wants("one change")) return;
  report.Begin(
      "one change",
      "an endpoint is replaced, event to acknowledged commit; bare: the same bytes by libmnl; nft: the same text",
      {{"p50", "us"},
       {"p99", "us"},
       {"max", "us", 0},
       {"user p50", "us"},
       {"allocs", "", 0},
       {"bytes", "", 0},
       {"bare p50", "us"},
       {"bare p99", "us"},
       {"vs bare", "x", 2},
       {"vs smallest", "x", 2},
       {"libnftables", "ms"},
       {"nft -f", "ms"},
       {"nft vs us", "x", 0}});
  std::optional<double> smallest_us;
  for (const Size size : Sizes(report)) OneChangeRow(report, size, smallest_us);
}

void MeasureVerdicts(Report& report) {
  if (!report.options().Wants("verdicts")) return;
  report.Begin("verdicts", "a change that adds, removes or replaces a verdict: the kernel looks at all of them again",
               {{"p50", "us"},
                {"p99", "us"},
                {"max", "us", 0},
                {"user p50", "us"},
                {"allocs", "", 0},
                {"bare p50", "us"},
                {"bare p99", "us"},
                {"vs bare", "x", 2},
                {"mean vs bare", "x", 2}});
  for (const Size size : Sizes(report)) VerdictRow(report, size);
}

}  // namespace pointsman::bench
