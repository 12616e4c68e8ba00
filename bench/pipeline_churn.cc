// SPDX-License-Identifier: Apache-2.0
//
// Changes from one thread, the agent on another, as in `pointsman run`.
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "agent/loop/clock.h"
#include "bench/pipeline_cluster.h"
#include "bench/pipeline_node.h"
#include "bench/pipeline_tables.h"

namespace pointsman::bench {
namespace {

// A full node whose Driver runs on a thread of its own, as in `pointsman run`, until it is told to stop.
class RunningNode {
 public:
  explicit RunningNode(Size size) : size_(size) {
    thread_ = ns_.Start([this] { Work(); });
    while (!ready_) absl::SleepFor(absl::Milliseconds(10));
  }
  ~RunningNode() { Stop(); }
  RunningNode(const RunningNode&) = delete;
  RunningNode& operator=(const RunningNode&) = delete;

  void Put(ObjectChange change) {
    const std::lock_guard<std::mutex> lock(mutex_);
    waiting_.push_back(SteadyNow());
    std::vector<ObjectChange> changes;
    changes.push_back(std::move(change));
    node_->inbox().Put(std::move(changes), waiting_.back());
  }
  bool AllIn() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return waiting_.empty();
  }

  struct Result {
    std::vector<double> staleness_ms;  // by change: from Put to the commit acknowledged
    absl::Duration cpu;                // of the Driver's thread, in the kernel and outside
    int transactions = 0;
  };
  // Waits until all is in.
  Result Stop() {
    while (thread_.joinable() && !AllIn()) absl::SleepFor(absl::Milliseconds(1));
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    return std::move(result_);
  }

 private:
  void Work() {
    Node node;
    node_ = &node;
    node.Fill(MakeWholeCluster(size_.services, size_.endpoints));
    node.Settle();
    LetTheKernelSettle(size_);
    node.tap().Clear();
    ready_ = true;
    const absl::Duration cpu = ThreadTime();
    size_t taken = 0;  // of waiting_, from its front
    while (!stop_) {
      const absl::Time next = node.driver().Step(SteadyNow());
      if (node.driver().idle() && taken > 0) {
        const std::lock_guard<std::mutex> lock(mutex_);
        const absl::Time now = SteadyNow();
        const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(taken);
        for (auto at = waiting_.begin(); at != end; ++at) result_.staleness_ms.push_back(Ms(now - *at));
        waiting_.erase(waiting_.begin(), end);
        taken = 0;
      }
      pollfd inbox = {node.inbox().fd(), POLLIN, 0};
      const absl::Duration pause = std::clamp(next - SteadyNow(), absl::ZeroDuration(), absl::Milliseconds(100));
      if (poll(&inbox, 1, static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(pause, absl::Milliseconds(1))))) == 1) {
        const std::lock_guard<std::mutex> lock(mutex_);
        node.driver().Wake();
        taken = waiting_.size();
      }
    }
    result_.cpu = ThreadTime() - cpu;
    result_.transactions = static_cast<int>(node.tap().transactions.size());
  }

  const Size size_;
  EmptyNode ns_;
  Node* node_ = nullptr;  // the thread's; its Inbox is anybody's
  std::atomic<bool> ready_ = false;
  std::atomic<bool> stop_ = false;
  std::mutex mutex_;                 // what is in the Inbox goes with the times of it
  std::vector<absl::Time> waiting_;  // when what is not in the kernel yet was put
  Result result_;
  std::thread thread_;
};

// One thing after another that happens in clusters; each kind is taken back the next time around.
ObjectChange ChangeAt(int step, Size size) {
  const int number = static_cast<int>(int64_t{step} / 6 * 7919 % size.services);
  switch (step % 6) {
    case 0:
      return MakeSlice(number, size.endpoints, 1 + step % 20);
    case 1:
      return SliceOfCount(number, size.endpoints, size.endpoints - 1);
    case 2:
      return SliceOfCount(number, size.endpoints, size.endpoints + 1);
    case 3:
      return SliceOfCount(number, size.endpoints, size.endpoints);
    case 4:
      return SliceWithUnready(number, size.endpoints, 1);
    default:
      return MakeSlice(number, size.endpoints, 0);
  }
}

}  // namespace

void MeasureChurn(Report& report) {
  if (!report.options().Wants("churn")) return;
  const bool quick = report.options().quick;
  constexpr int kPerSecond = 200;
  const Size size = quick ? Size{1'000, 10} : Size{10'000, 10};
  const int seconds = quick ? 5 : 60;
  report.Begin(
      "churn",
      "endpoints replaced, added, removed, unready and ready again; processor: the Driver's thread, kernel included",
      {{"changes", "", 0},
       {"commits", "", 0},
       {"processor", "s", 3},
       {"of a core", "%", 2},
       {"stale p50", "ms", 2},
       {"stale p99", "ms", 2},
       {"stale max", "ms", 2}});
  RunningNode node(size);
  absl::Time next = SteadyNow();
  const absl::Time start = next;
  for (int i = 0; i < seconds * kPerSecond; ++i) {
    node.Put(ChangeAt(i, size));
    next += absl::Seconds(1) / kPerSecond;
    absl::SleepFor(next - SteadyNow());
  }
  RunningNode::Result result = node.Stop();
  const absl::Duration lasted = SteadyNow() - start;
  report.Row(absl::StrCat(kPerSecond, "/s for ", seconds, " s, ", FormatSize(size.services, size.endpoints)),
             {static_cast<double>(result.staleness_ms.size()), static_cast<double>(result.transactions),
              absl::ToDoubleSeconds(result.cpu), 100 * absl::FDivDuration(result.cpu, lasted),
              Percentile(result.staleness_ms, 0.5), Percentile(result.staleness_ms, 0.99),
              Percentile(result.staleness_ms, 1)});
}

void MeasureBurst(Report& report) {
  if (!report.options().Wants("burst")) return;
  const Size size = report.options().quick ? Size{1'000, 10} : Size{10'000, 10};
  report.Begin("burst", "an endpoint of every Service is replaced, as fast as they can be put",
               {{"changes", "", 0},
                {"put in", "ms"},
                {"all in", "ms"},
                {"commits", "", 0},
                {"processor", "ms"},
                {"stale p50", "ms"},
                {"stale max", "ms"}});
  std::vector<ObjectChange> changes;
  for (int i = 0; i < size.services; ++i) changes.push_back(MakeSlice(i, size.endpoints, 7));
  RunningNode node(size);
  const absl::Time start = SteadyNow();
  for (ObjectChange& change : changes) node.Put(std::move(change));
  const absl::Duration put = SteadyNow() - start;
  while (!node.AllIn()) absl::SleepFor(absl::Milliseconds(1));
  const absl::Duration all = SteadyNow() - start;
  RunningNode::Result result = node.Stop();
  report.Row(
      FormatSize(size.services, size.endpoints),
      {static_cast<double>(result.staleness_ms.size()), Ms(put), Ms(all), static_cast<double>(result.transactions),
       Ms(result.cpu), Percentile(result.staleness_ms, 0.5), Percentile(result.staleness_ms, 1)});
}

}  // namespace pointsman::bench
