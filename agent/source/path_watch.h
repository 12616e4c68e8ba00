// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"

namespace pointsman {

// Watches, by inotify, everything on which it depends what the manifests under some paths are: the files, the
// directories, the symbolic links on the way, and every directory around them, in which they may appear or be replaced.
class PathWatch {
 public:
  PathWatch();
  ~PathWatch();
  PathWatch(const PathWatch&) = delete;
  PathWatch& operator=(const PathWatch&) = delete;

  // Watches what matters for `paths` as the file system is now. To be called again after every event, before reading.
  //
  // Errors:  what cannot be watched; the rest is.
  absl::Status Aim(const std::vector<std::string>& paths);

  struct Event {
    std::string what;      // equal for events of one file
    bool settled = false;  // the file was closed, or renamed into place: it is complete
  };

  // The events that matter since the last call; does not wait.
  std::vector<Event> Read();

  // Readable when there may be events; -1 when inotify is not to be had.
  int fd() const { return fd_; }

 private:
  // What matters in one directory.
  struct Interest {
    std::set<std::string> names;
    bool manifests = false;  // whatever is named like a manifest
    bool content = false;    // that files are written, not only that names come and go

    friend bool operator==(const Interest&, const Interest&) = default;
  };
  using Interests = std::map<std::string, Interest>;  // by directory, free of symbolic links

  static Interests FindInterests(const std::vector<std::string>& paths);
  static void Follow(std::string directory, const std::string& path, Interests& interests);
  absl::Status Place(const Interests& interests);

  const int fd_;
  absl::flat_hash_map<int, Interest> watches_;  // by watch descriptor
};

}  // namespace pointsman
