// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/kube_source.h"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "agent/loop/clock.h"
#include "pointsman/log.h"
#include "pointsman/status.h"

namespace pointsman::kube {
namespace {

constexpr absl::Duration kRepeatErrors = absl::Minutes(1);
// Between two words about what is waited for; each pause is twice the one before.
constexpr absl::Duration kProgress = absl::Seconds(5);
constexpr absl::Duration kSlowestProgress = absl::Minutes(5);
constexpr absl::Duration kUsualStart = absl::Seconds(1);  // takes no longer, and is nothing to speak of
// Between two words about a picture that grows old; each pause is twice the one before.
constexpr absl::Duration kFirstStale = absl::Minutes(1);
constexpr absl::Duration kStatusAge = absl::Seconds(1);

const char* YesNo(bool yes) { return yes ? "yes" : "no"; }

std::string Seconds(absl::Duration d) { return absl::FormatDuration(absl::Floor(d, absl::Seconds(1))); }

// Says what goes wrong once, and then once a minute as long as it does.
class Complaints {
 public:
  void Tell(absl::Time now, const Trouble& trouble) {
    if (absl::IsOutOfRange(trouble.status)) {
      // Versions are forgotten every few minutes: that is how it is meant to be.
      Log(LogLevel::kInfo, "api_relist",
          {{"resource", trouble.kind ? ResourceOf(*trouble.kind).name : "all"}, {"reason", trouble.status.message()}});
      return;
    }
    Told& told = told_[trouble.kind ? static_cast<int>(*trouble.kind) : -1];
    const std::string text(trouble.status.message());
    if (told.text == text && now < told.at + kRepeatErrors) {
      ++told.repeated;
      return;
    }
    std::vector<LogField> fields = {{"resource", trouble.kind ? ResourceOf(*trouble.kind).name : "all"},
                                    {"error", text}};
    if (told.text == text && told.repeated > 0) fields.emplace_back("repeated", told.repeated);
    fields.emplace_back("next", "the rules stay as they are; trying again");
    Log(LogLevel::kError, "api_error", fields);
    told = {.text = text, .at = now};
  }

 private:
  struct Told {
    std::string text = {};
    absl::Time at = absl::InfinitePast();
    int repeated = 0;
  };
  absl::flat_hash_map<int, Told> told_;
};

// What is of interest in a Node while the agent runs.
std::string Describe(const Node& node) {
  const auto zone = node.meta.labels.find(kZoneLabel);
  return absl::StrCat("addresses=", node.internal_ips.size() + node.external_ips.size(),
                      " pod_cidrs=", node.pod_cidrs.size(),
                      " zone=", zone == node.meta.labels.end() ? "-" : zone->second, " taints=", node.taints.size(),
                      " deleting=", YesNo(node.deleting));
}

}  // namespace

class KubeSource::Worker {
 public:
  Worker(SourceOptions options, Inbox& inbox, Report report)
      : inbox_(inbox),
        report_(std::move(report)),
        node_name_(options.node_name),
        gate_({.need_pod_cidrs = options.need_pod_cidrs}),
        session_(std::move(options)),
        started_(SteadyNow()),
        thread_([this] { Work(); }) {}

  ~Worker() {
    stop_ = true;
    session_.Wake();
    thread_.join();
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  SourceStatus status() const {
    const std::lock_guard lock(mutex_);
    return status_;
  }

  void LogStatus() {
    log_status_ = true;
    session_.Wake();
  }

 private:
  void Work() {
    while (!stop_) {
      session_.Step(std::clamp(Due() - SteadyNow(), absl::ZeroDuration(), kProgress));
      const absl::Time now = SteadyNow();
      TellOfConnection();
      Deliver();
      for (const Trouble& trouble : session_.TakeTroubles()) complaints_.Tell(now, trouble);
      if (!released_) Ask(now);
      Publish(now);
      SpeakOfStaleness();
      if (log_status_.exchange(false)) WriteStatus();
    }
  }

  void TellOfConnection() {
    const SourceStatus status = session_.status();
    if (status.connected && !connected_) Log(LogLevel::kInfo, "api_connected", {{"server", status.server}});
    connected_ = status.connected;
  }

  absl::Time Due() const { return std::min(gate_due_, now_and_then_); }

  void Deliver() {
    std::vector<ObjectChange> changes = session_.TakeChanges();
    // A Node that was deleted stays what it was last known as, as long as this runs on it.
    std::erase_if(changes, [&](const ObjectChange& change) {
      if (change.key.kind != Kind::kNode) return false;
      Log(LogLevel::kInfo, "node",
          {{"name", change.key.name.name},
           {"is",
            change.object ? Describe(std::get<Node>(change.object.Unpack())) : "deleted; what was known of it stays"}});
      return change.object == nullptr;
    });
    inbox_.Put(std::move(changes), SteadyNow());
    for (const Diagnostic& diagnostic : session_.TakeDiagnostics()) report_(diagnostic);
  }

  void Ask(absl::Time now) {
    const Gate::Verdict verdict = gate_.Ask(now, session_.picture());
    gate_due_ = verdict.until;
    if (!verdict.open) {
      const bool news = verdict.waiting_for != waiting_for_;
      if (now < started_ + kUsualStart || (!news && now < speak_at_)) return;
      progress_ = news ? kProgress : std::min(progress_ * 2, kSlowestProgress);
      speak_at_ = now + progress_;
      waiting_for_ = verdict.waiting_for;
      std::vector<LogField> fields = {{"what", verdict.waiting_for}, {"since", Seconds(now - started_)}};
      if (verdict.until != absl::InfiniteFuture()) {
        fields.emplace_back("node", node_name_);
        fields.emplace_back("next", absl::StrCat("going on without in ", Seconds(verdict.until - now)));
      }
      Log(LogLevel::kInfo, "waiting_for", fields);
      return;
    }
    released_ = true;
    gate_due_ = absl::InfiniteFuture();
    if (!verdict.without.empty()) {
      Log(LogLevel::kWarning, "going_on_without",
          {{"what", verdict.without},
           {"node", node_name_},
           {"effect", "NodePorts, zones and pod ranges follow when it is there"}});
    }
    const SourceStatus status = session_.status();
    Log(LogLevel::kInfo, "api_synced",
        {{"services", status.kinds[static_cast<size_t>(Kind::kService)].objects},
         {"endpointslices", status.kinds[static_cast<size_t>(Kind::kEndpointSlice)].objects},
         {"after", absl::FormatDuration(absl::Floor(now - started_, absl::Milliseconds(1)))},
         {"bytes", status.http.bytes_received}});
    inbox_.MarkSynced();
  }

  void Publish(absl::Time now) {
    if (now < now_and_then_) return;
    now_and_then_ = now + kStatusAge;
    SourceStatus status = session_.status();
    status.released = released_;
    const std::lock_guard lock(mutex_);
    status_ = std::move(status);
  }

  void SpeakOfStaleness() {
    if (!released_) return;
    const absl::Duration stale = session_.status().stale;
    if (stale < kFirstStale) {
      if (stale_pause_ > kFirstStale && stale == absl::ZeroDuration()) {
        Log(LogLevel::kInfo, "api_fresh", {{"server", session_.status().server}});
        stale_pause_ = kFirstStale;
      }
      return;
    }
    if (stale < stale_pause_) return;
    stale_pause_ = stale * 2;
    Log(LogLevel::kWarning, "api_stale",
        {{"for", Seconds(stale)}, {"effect", "the rules stay as they were when the API server was last heard of"}});
  }

  void WriteStatus() {
    const SourceStatus status = session_.status();
    for (size_t i = 0; i < status.kinds.size(); ++i) {
      const SourceStatus::OfKind& kind = status.kinds[i];
      Log(LogLevel::kInfo, "api_status",
          {{"kind", FormatKind(static_cast<Kind>(i))},
           {"synced", YesNo(kind.synced)},
           {"following", YesNo(kind.following)},
           {"objects", kind.objects},
           {"unchanged", kind.unchanged},
           {"undecodable", kind.undecodable},
           {"lists", kind.counts.lists},
           {"watches", kind.counts.watches},
           {"relists", kind.counts.relists},
           {"events", kind.counts.events},
           {"bookmarks", kind.counts.bookmarks},
           {"failures", kind.counts.failures},
           {"error", kind.error.ok() ? "none" : std::string(kind.error.message())}});
    }
    Log(LogLevel::kInfo, "api_server",
        {{"server", status.server},
         {"stale", absl::FormatDuration(absl::Floor(status.stale, absl::Milliseconds(1)))},
         {"requests", status.http.requests},
         {"connections", status.http.connections},
         {"bytes", status.http.bytes_received}});
  }

  Inbox& inbox_;
  Report report_;
  const std::string node_name_;
  Gate gate_;
  Session session_;
  Complaints complaints_;
  const absl::Time started_;
  bool released_ = false;
  absl::Time gate_due_ = absl::InfiniteFuture();
  absl::Time now_and_then_ = absl::InfinitePast();
  bool connected_ = false;
  std::string waiting_for_;  // as last told
  absl::Duration progress_ = kProgress;
  absl::Time speak_at_ = absl::InfinitePast();
  absl::Duration stale_pause_ = kFirstStale;

  std::atomic<bool> stop_ = false;
  std::atomic<bool> log_status_ = false;
  mutable std::mutex mutex_;
  SourceStatus status_ ABSL_GUARDED_BY(mutex_);

  std::thread thread_;  // last: it uses all of the above
};

KubeSource::KubeSource(SourceOptions options, Inbox& inbox, Report report) {
  options.reflector.began = absl::Now();
  worker_ = std::make_unique<Worker>(std::move(options), inbox, std::move(report));
}
KubeSource::~KubeSource() = default;

SourceStatus KubeSource::status() const { return worker_->status(); }
void KubeSource::LogStatus() { worker_->LogStatus(); }

absl::StatusOr<ClusterObjects> ReadCluster(const SourceOptions& options, absl::Duration patience) {
  const absl::Time give_up = SteadyNow() + patience;
  Session session(options);
  ClusterObjects cluster;
  size_t unreachable = 0;
  std::array<bool, kKinds> done = {};
  while (true) {
    session.Step(give_up - SteadyNow());
    for (ObjectChange& change : session.TakeChanges()) {
      if (change.object != nullptr) cluster.objects.push_back(std::move(change));
    }
    Diagnostics diagnostics = session.TakeDiagnostics();
    cluster.diagnostics.insert(cluster.diagnostics.end(), std::make_move_iterator(diagnostics.begin()),
                               std::make_move_iterator(diagnostics.end()));
    for (const Trouble& trouble : session.TakeTroubles()) {
      if (!trouble.kind) {
        if (++unreachable >= options.access.servers.size()) return trouble.status;
        continue;
      }
      const bool needed = *trouble.kind == Kind::kService || *trouble.kind == Kind::kEndpointSlice;
      if (needed) return trouble.status;
      if (std::exchange(done[static_cast<size_t>(*trouble.kind)], true)) continue;
      cluster.diagnostics.push_back({.severity = Severity::kWarning,
                                     .where = "",
                                     .object = "",
                                     .field = "",
                                     .problem = std::string(trouble.status.message()),
                                     .effect = "going on without",
                                     .hint = ""});
    }
    bool complete = true;
    for (size_t i = 0; i < done.size(); ++i) {
      done[i] = done[i] || session.synced(static_cast<Kind>(i));
      complete = complete && done[i];
    }
    if (complete) return cluster;
    if (SteadyNow() >= give_up) {
      return absl::DeadlineExceededError(
          absl::StrCat("read ", session.status().server, ": not everything was there after ", Seconds(patience)));
    }
  }
}

}  // namespace pointsman::kube
