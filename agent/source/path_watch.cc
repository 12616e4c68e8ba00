// SPDX-License-Identifier: Apache-2.0
#include "agent/source/path_watch.h"

#include <dirent.h>
#include <limits.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <deque>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "agent/source/manifest_set.h"

namespace pointsman {
namespace {

constexpr uint32_t kNameEvents =
    IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB;
constexpr uint32_t kContentEvents = IN_MODIFY | IN_CLOSE_WRITE;
constexpr uint32_t kLostEvents = IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT;

constexpr int kMaxLinks = 40;  // as the kernel follows

std::string Join(const std::string& directory, const std::string& name) {
  return directory == "/" ? absl::StrCat("/", name) : absl::StrCat(directory, "/", name);
}

std::string Parent(const std::string& directory) {
  const size_t slash = directory.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : directory.substr(0, slash);
}

std::string WorkingDirectory() {
  char buffer[PATH_MAX];
  return getcwd(buffer, sizeof buffer) != nullptr ? buffer : "/";
}

}  // namespace

PathWatch::PathWatch() : fd_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {}

PathWatch::~PathWatch() {
  if (fd_ >= 0) close(fd_);
}

// Walks to `path` from `directory` as the kernel would, noting each name looked up on the way.
void PathWatch::Follow(std::string directory, const std::string& path, Interests& interests) {
  std::deque<std::string> names = absl::StrSplit(path, '/', absl::SkipEmpty());
  for (int links = 0; !names.empty();) {
    const std::string name = std::move(names.front());
    names.pop_front();
    if (name == ".") continue;
    if (name == "..") {
      directory = Parent(directory);
      continue;
    }
    Interest& interest = interests[directory];
    interest.names.insert(name);
    const std::string place = Join(directory, name);
    struct stat info;
    if (lstat(place.c_str(), &info) != 0) return;  // to be looked at again when it appears
    if (S_ISLNK(info.st_mode)) {
      char target[PATH_MAX];
      const ssize_t length = readlink(place.c_str(), target, sizeof target);
      if (length <= 0 || ++links > kMaxLinks) return;
      const absl::string_view text(target, static_cast<size_t>(length));
      if (text[0] == '/') directory = "/";
      const std::vector<std::string> more = absl::StrSplit(text, '/', absl::SkipEmpty());
      names.insert(names.begin(), more.begin(), more.end());
    } else if (S_ISDIR(info.st_mode)) {
      directory = place;
    } else {
      interest.content = true;
      return;
    }
  }
  Interest& interest = interests[directory];
  if (std::exchange(interest.manifests, true)) return;
  interest.content = true;
  DIR* const stream = opendir(directory.c_str());
  if (stream == nullptr) return;
  const absl::Cleanup close_stream = [stream] { closedir(stream); };
  while (const dirent* entry = readdir(stream)) {
    if (!IsManifestName(entry->d_name)) continue;
    // A file's own name matters anyway; only a link leads elsewhere. A link to a directory is no manifest.
    struct stat info;
    if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) continue;
    if (fstatat(dirfd(stream), entry->d_name, &info, 0) == 0 && S_ISDIR(info.st_mode)) continue;
    Follow(directory, entry->d_name, interests);
  }
}

PathWatch::Interests PathWatch::FindInterests(const std::vector<std::string>& paths) {
  Interests interests;
  for (const std::string& path : paths) {
    if (path.empty()) continue;
    Follow("/", path[0] == '/' ? path : absl::StrCat(WorkingDirectory(), "/", path), interests);
  }
  return interests;
}

absl::Status PathWatch::Place(const Interests& interests) {
  absl::Status status;
  absl::flat_hash_map<int, Interest> placed;
  for (const auto& [directory, interest] : interests) {
    const uint32_t mask = kNameEvents | (interest.content ? kContentEvents : 0);
    const int watch = inotify_add_watch(fd_, directory.c_str(), mask | IN_ONLYDIR | IN_MASK_ADD);
    if (watch < 0) {
      // Gone already: the directory around it tells. Unreadable, but only on the way: that rarely changes.
      const bool tolerable = errno == ENOENT || errno == ENOTDIR || (errno == EACCES && !interest.content);
      if (!tolerable) status.Update(absl::ErrnoToStatus(errno, absl::StrCat("watch ", directory)));
      continue;
    }
    // Two paths to one directory (bind mounts) share a watch.
    Interest& merged = placed[watch];
    merged.names.insert(interest.names.begin(), interest.names.end());
    merged.manifests |= interest.manifests;
    merged.content |= interest.content;
  }
  for (const auto& [watch, interest] : watches_) {
    if (!placed.contains(watch)) inotify_rm_watch(fd_, watch);
  }
  watches_ = std::move(placed);
  return status;
}

absl::Status PathWatch::Aim(const std::vector<std::string>& paths) {
  if (fd_ < 0) return absl::UnavailableError("inotify is not available (fs.inotify.max_user_instances?)");
  // What appears between looking and watching makes no event: look again until nothing did.
  constexpr int kMostTries = 5;
  absl::Status status;
  Interests interests = FindInterests(paths);
  for (int i = 0; i < kMostTries; ++i) {
    status = Place(interests);
    Interests now = FindInterests(paths);
    if (now == interests) break;
    interests = std::move(now);
  }
  return status;
}

std::vector<PathWatch::Event> PathWatch::Read() {
  std::vector<Event> events;
  alignas(inotify_event) char buffer[16 << 10];
  for (;;) {
    const ssize_t got = fd_ < 0 ? -1 : read(fd_, buffer, sizeof buffer);
    if (got < 0 && fd_ >= 0 && errno == EINTR) continue;
    if (got <= 0) return events;
    for (size_t at = 0; at < static_cast<size_t>(got);) {
      inotify_event header;
      std::memcpy(&header, buffer + at, sizeof header);
      const std::string name = header.len > 0 ? std::string(buffer + at + sizeof header) : "";
      at += sizeof header + header.len;
      if ((header.mask & IN_IGNORED) != 0) {
        watches_.erase(header.wd);
        continue;
      }
      const auto watch = watches_.find(header.wd);
      const bool lost = (header.mask & kLostEvents) != 0;
      const bool matters = watch != watches_.end() &&
                           (watch->second.names.contains(name) || (watch->second.manifests && IsManifestName(name)));
      if (!lost && !matters) continue;
      events.push_back({absl::StrCat(header.wd, "/", name), (header.mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0});
    }
  }
}

}  // namespace pointsman
