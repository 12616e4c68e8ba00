// SPDX-License-Identifier: Apache-2.0
#include "agent/source/file_source.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "agent/source/debounce.h"
#include "agent/source/path_watch.h"
#include "pointsman/status.h"

namespace pointsman {
namespace {

constexpr uint64_t kReload = 1;
constexpr uint64_t kStop = uint64_t{1} << 32;
constexpr absl::Duration kPollInterval = absl::Seconds(1);

// Debouncing must not stand still when somebody sets the clock back.
absl::Time SteadyNow() {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

void Signal(int fd, uint64_t what) {
  while (write(fd, &what, sizeof what) < 0) PM_CHECK(errno == EINTR);
}

}  // namespace

class FileSource::Worker {
 public:
  Worker(std::vector<std::string> paths, AllocationRanges ranges, Inbox& inbox, Report report, int wake_fd)
      : manifests_(std::move(paths), std::move(ranges)), inbox_(inbox), report_(std::move(report)), wake_fd_(wake_fd) {}

  void Run() {
    RunPass();
    while (Wait()) {
      if (SteadyNow() >= NextPass()) RunPass();
    }
  }

 private:
  absl::Time NextPass() const { return std::min(debounce_.Due(), poll_at_); }

  // Waits for something to do; returns false to stop.
  bool Wait() {
    const absl::Time next = NextPass();
    int timeout_ms = -1;
    if (next != absl::InfiniteFuture()) {
      const absl::Duration left = absl::Ceil(next - SteadyNow(), absl::Milliseconds(1));
      timeout_ms = static_cast<int>(std::max<int64_t>(absl::ToInt64Milliseconds(left), 0));
    }
    pollfd fds[] = {{wake_fd_, POLLIN, 0}, {watch_.fd(), POLLIN, 0}};  // poll passes over an fd of -1
    const int ready = poll(fds, 2, timeout_ms);
    PM_CHECK(ready >= 0 || errno == EINTR);
    if (ready <= 0) return true;
    if (fds[0].revents != 0) {
      uint64_t what = 0;
      while (read(wake_fd_, &what, sizeof what) < 0) PM_CHECK(errno == EINTR);
      if (what >= kStop) return false;
      manifests_.Forget();
      RunPass();
    } else if (fds[1].revents != 0) {
      for (const PathWatch::Event& event : watch_.Read()) {
        if (debounce_.Due() == absl::InfiniteFuture()) first_event_ = SteadyNow();
        debounce_.Note(event.what, event.settled, SteadyNow());
      }
    }
    return true;
  }

  void RunPass() {
    const absl::Time known = std::exchange(first_event_, absl::InfiniteFuture());
    watch_.Read();  // the pass sees what these tell of
    debounce_.Clear();
    TellWatching(watch_.Aim(manifests_.paths()));
    ManifestSet::Pass pass = manifests_.Load();
    for (const Diagnostic& diagnostic : pass.fresh) report_(diagnostic);
    inbox_.Put(Changes(pass.manifests.objects), std::min(known, SteadyNow()));
    // Not before every path was there once: a directory that is mounted late must not look like one that is empty.
    if (!synced_ && pass.manifests.complete) {
      synced_ = true;
      inbox_.MarkSynced();
    }
  }

  void TellWatching(const absl::Status& status) {
    poll_at_ = status.ok() ? absl::InfiniteFuture() : SteadyNow() + kPollInterval;
    if (!status.ok() && watching_.ok()) {
      report_({.severity = Severity::kWarning,
               .where = "",
               .object = "",
               .field = "",
               .problem = absl::StrCat("changes of manifests cannot be watched: ", status.message()),
               .effect = "they are looked for every second",
               .hint = "raise the fs.inotify.* sysctls"});
    }
    watching_ = status;
  }

  // What differs from what was put, which becomes it.
  std::vector<ObjectChange> Changes(const std::vector<LocatedObject>& objects) {
    std::vector<ObjectChange> changes;
    std::map<ObjectKey, std::shared_ptr<const Object>> now;
    for (const LocatedObject& located : objects) {
      const auto added = now.emplace_hint(now.end(), KeyOf(*located.object), located.object);
      const auto before = put_.find(added->first);
      if (before != put_.end() && (before->second == located.object || *before->second == *located.object)) continue;
      ObjectChange& change = changes.emplace_back(ObjectChange{added->first, PackedObject(*located.object)});
      if (located.trigger && *located.trigger > began_) change.triggers = {*located.trigger};
    }
    for (const auto& [key, object] : put_) {
      if (!now.contains(key)) changes.push_back({key, nullptr});
    }
    put_ = std::move(now);
    return changes;
  }

  ManifestSet manifests_;
  Inbox& inbox_;
  Report report_;
  const int wake_fd_;
  PathWatch watch_;
  absl::Status watching_;
  bool synced_ = false;
  Debounce debounce_;
  absl::Time first_event_ = absl::InfiniteFuture();  // of the burst
  const absl::Time began_ = absl::Now();             // what happened before is not timed; by the calendar
  absl::Time poll_at_ = absl::InfiniteFuture();
  std::map<ObjectKey, std::shared_ptr<const Object>> put_;
};

FileSource::FileSource(std::vector<std::string> paths, AllocationRanges ranges, Inbox& inbox, Report report)
    : wake_fd_(eventfd(0, EFD_CLOEXEC)) {
  PM_CHECK(wake_fd_ >= 0);
  thread_ = std::thread([paths = std::move(paths), ranges = std::move(ranges), &inbox, report = std::move(report),
                         wake_fd = wake_fd_]() mutable {
    Worker(std::move(paths), std::move(ranges), inbox, std::move(report), wake_fd).Run();
  });
}

FileSource::~FileSource() {
  Signal(wake_fd_, kStop);
  thread_.join();
  close(wake_fd_);
}

void FileSource::Reload() { Signal(wake_fd_, kReload); }

}  // namespace pointsman
