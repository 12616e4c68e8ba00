// SPDX-License-Identifier: Apache-2.0
#include "agent/source/manifest_set.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/container/btree_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/types/variant.h"

namespace pointsman {
namespace {

// Two writes within this span may leave the same time stamps.
constexpr absl::Duration kStampGranularity = absl::Seconds(2);
constexpr size_t kMaxFileBytes = size_t{256} << 20;

// FNV-1a, to tell versions of one file apart.
uint64_t Digest(absl::string_view text) {
  uint64_t digest = 0xcbf29ce484222325;
  for (char c : text) digest = (digest ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return digest;
}

std::string JoinPath(absl::string_view directory, absl::string_view name) {
  return absl::StrCat(directory, absl::EndsWith(directory, "/") ? "" : "/", name);
}

bool IsGone(int error) { return error == ENOENT || error == ENOTDIR; }

// Returns: the errno, or 0 with the content in `text`.
int ReadAll(int fd, std::string& text) {
  constexpr size_t kChunk = size_t{64} << 10;
  for (;;) {
    const size_t size = text.size();
    if (size > kMaxFileBytes) return EFBIG;
    text.resize(size + kChunk);
    const ssize_t got = read(fd, text.data() + size, kChunk);
    text.resize(size + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0) return 0;
    if (got < 0 && errno != EINTR) return errno;
  }
}

Diagnostic PathProblem(const std::string& path, std::string problem, std::string effect, std::string hint) {
  return {Severity::kError, path, "", "", std::move(problem), std::move(effect), std::move(hint)};
}

std::string KeptEffect(const ParsedManifests& good) {
  const size_t n = good.objects.size();
  if (n == 0) return "nothing of this file is used";
  return absl::StrCat("keeping the ", n, n == 1 ? " object" : " objects", " of its last good version");
}

}  // namespace

LoadedManifests LoadManifests(const std::vector<std::string>& paths, const AllocationRanges& ranges) {
  ManifestSet set(paths, ranges);
  set.pipes_ = true;
  return set.Load().manifests;
}

bool IsManifestName(absl::string_view file_name) {
  return !absl::StartsWith(file_name, ".") && (absl::EndsWith(file_name, ".yaml") ||
                                               absl::EndsWith(file_name, ".yml") || absl::EndsWith(file_name, ".json"));
}

ManifestSet::ManifestSet(std::vector<std::string> paths, AllocationRanges ranges)
    : paths_(std::move(paths)), ranges_(std::move(ranges)) {}

void ManifestSet::Forget() { forget_ = true; }

ManifestSet::Listing ManifestSet::List() const {
  Listing listing;
  for (const std::string& path : paths_) {
    struct stat info;
    if (stat(path.c_str(), &info) != 0) {
      const int error = errno;
      if (!IsGone(error)) {
        listing.unknown.push_back(path);
        listing.complete = false;
        listing.diagnostics.push_back(PathProblem(path, absl::StrCat("cannot be looked at: ", std::strerror(error)),
                                                  "what was read from it before is kept", ""));
        continue;
      }
      listing.diagnostics.push_back(
          PathProblem(path, "does not exist", "it contributes no objects", "it is read when it appears"));
      listing.complete = false;
    } else if (S_ISDIR(info.st_mode)) {
      ListDirectory(path, listing);
    } else if (S_ISREG(info.st_mode) || (pipes_ && S_ISFIFO(info.st_mode))) {
      listing.files.insert(path);
    } else {
      listing.diagnostics.push_back(
          PathProblem(path, "is neither a file nor a directory", "it contributes no objects", ""));
    }
  }
  return listing;
}

void ManifestSet::ListDirectory(const std::string& path, Listing& listing) const {
  DIR* const directory = opendir(path.c_str());
  int error = directory == nullptr ? errno : 0;
  const absl::Cleanup close = [&] {
    if (directory != nullptr) closedir(directory);
  };
  while (directory != nullptr) {
    errno = 0;
    const dirent* entry = readdir(directory);
    if (entry == nullptr) {
      error = errno;
      break;
    }
    if (!IsManifestName(entry->d_name)) continue;
    struct stat info;
    if (fstatat(dirfd(directory), entry->d_name, &info, 0) != 0) {
      // Gone since it was listed, or a link to nowhere, as in the midst of a ConfigMap update.
      if (IsGone(errno)) continue;
    } else if (!S_ISREG(info.st_mode)) {
      continue;
    }
    listing.files.insert(JoinPath(path, entry->d_name));
  }
  if (error != 0 && !IsGone(error)) {
    listing.unknown.push_back(path);
    listing.complete = false;
    listing.diagnostics.push_back(PathProblem(path, absl::StrCat("cannot be listed: ", std::strerror(error)),
                                              "what was read from it before is kept", ""));
  }
}

bool ManifestSet::Refresh(const std::string& path, File& file) {
  const auto stamp_of = [](const struct stat& info) {
    return Stamp{info.st_dev, info.st_ino, info.st_size, absl::TimeFromTimespec(info.st_mtim),
                 absl::TimeFromTimespec(info.st_ctim)};
  };
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    if (IsGone(errno)) return false;
    Fail(path, errno, file);
    return true;
  }
  if (!forget_ && file.trusted && file.stamp == stamp_of(info)) return true;

  file.trusted = false;
  const absl::Time now = absl::Now();
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | (pipes_ ? 0 : O_NONBLOCK));
  if (fd < 0) {
    if (IsGone(errno)) return false;
    Fail(path, errno, file);
    return true;
  }
  const absl::Cleanup close_fd = [fd] { close(fd); };
  if (fstat(fd, &info) != 0) {
    Fail(path, errno, file);
    return true;
  }
  std::string text;
  if (!S_ISFIFO(info.st_mode) && info.st_size > 0) text.reserve(static_cast<size_t>(info.st_size) + (64u << 10));
  if (const int error = ReadAll(fd, text); error != 0) {
    Fail(path, error, file);
    return true;
  }
  const bool was_read = file.stamp.size >= 0;
  file.stamp = stamp_of(info);
  file.trusted = std::max(file.stamp.changed, file.stamp.modified) + kStampGranularity < now;
  const uint64_t digest = Digest(text);
  if (forget_ || !was_read || digest != file.digest) Take(path, text, file);
  file.digest = digest;
  return true;
}

void ManifestSet::Take(const std::string& path, const std::string& text, File& file) {
  if (text.empty() && !file.good.objects.empty()) {
    // Half a write, or a full disk, far more often than a wish to delete.
    file.news = true;
    file.diagnostics = {
        PathProblem(path, "is empty", KeptEffect(file.good), "remove the file to remove what it defined")};
    file.diagnostics[0].severity = Severity::kWarning;
    return;
  }
  ParsedManifests parsed = ParseManifests(path, text);
  file.diagnostics = parsed.diagnostics;
  file.news = true;
  if (parsed.sound) {
    file.good = std::move(parsed);
    return;
  }
  for (Diagnostic& diagnostic : file.diagnostics) diagnostic.effect = KeptEffect(file.good);
}

void ManifestSet::Fail(const std::string& path, int error, File& file) {
  Diagnostics diagnostics = {
      PathProblem(path, absl::StrCat("cannot be read: ", std::strerror(error)), KeptEffect(file.good), "")};
  file.news = forget_ || diagnostics != file.diagnostics;
  file.diagnostics = std::move(diagnostics);
  file.stamp = {};
  file.trusted = false;
}

ManifestSet::Pass ManifestSet::Load() {
  Listing listing = List();
  const auto is_kept = [&](const std::string& path) {
    return listing.files.contains(path) ||
           std::any_of(listing.unknown.begin(), listing.unknown.end(), [&](const std::string& unknown) {
             return path == unknown || absl::StartsWith(path, JoinPath(unknown, ""));
           });
  };
  std::erase_if(files_, [&](const auto& entry) { return !is_kept(entry.first); });
  for (auto& [path, file] : files_) file.news = false;
  for (const std::string& path : listing.files) {
    if (!Refresh(path, files_[path])) files_.erase(path);
  }

  Pass pass;
  LoadedManifests& loaded = pass.manifests;
  Diagnostics shared = std::move(listing.diagnostics);
  loaded.files = static_cast<int>(files_.size());
  loaded.complete = listing.complete;
  absl::btree_map<ObjectKey, LocatedObject> objects;
  for (const auto& [path, file] : files_) {
    loaded.diagnostics.insert(loaded.diagnostics.end(), file.diagnostics.begin(), file.diagnostics.end());
    if (file.news) pass.fresh.insert(pass.fresh.end(), file.diagnostics.begin(), file.diagnostics.end());
    for (const auto& [kind, count] : file.good.other_kinds) loaded.other_kinds[kind] += count;
    for (const LocatedObject& located : file.good.objects) {
      const auto [first, is_new] = objects.try_emplace(KeyOf(*located.object), located);
      if (is_new) continue;
      shared.push_back({Severity::kWarning, located.where, FormatKey(first->first), "",
                        absl::StrCat("is defined at ", first->second.where, " already"), "this copy is ignored",
                        "remove one of the two"});
    }
  }
  loaded.objects.reserve(objects.size());
  for (auto& [key, located] : objects) loaded.objects.push_back(std::move(located));
  AllocatedObjects allocated = AllocateAddresses(std::move(loaded.objects), ranges_);
  loaded.objects = std::move(allocated.objects);
  std::move(allocated.diagnostics.begin(), allocated.diagnostics.end(), std::back_inserter(shared));

  for (const Diagnostic& diagnostic : shared) {
    if (forget_ || !told_.contains(diagnostic)) pass.fresh.push_back(diagnostic);
  }
  loaded.diagnostics.insert(loaded.diagnostics.end(), shared.begin(), shared.end());
  told_ = std::set<Diagnostic>(std::make_move_iterator(shared.begin()), std::make_move_iterator(shared.end()));
  forget_ = false;
  return pass;
}

}  // namespace pointsman
