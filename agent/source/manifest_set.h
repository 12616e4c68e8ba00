// SPDX-License-Identifier: Apache-2.0
//
// The manifests under some paths, read and merged into one set of objects.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "agent/source/allocate.h"
#include "agent/source/yaml_codec.h"
#include "pointsman/diagnostic.h"

namespace pointsman {

struct LoadedManifests {
  std::vector<LocatedObject> objects;  // unique by key, in order of key
  Diagnostics diagnostics;             // file by file, then those of the whole
  KindCounts other_kinds;
  int files = 0;         // read, or kept from before
  bool complete = true;  // false: a path given could not be looked into, so that more may exist
};

// Reads what is under `paths` once: a file, or every *.yaml, *.yml and *.json directly in a directory, dotfiles
// excepted.
//
// Returns: an object defined twice is taken from the file that sorts first, and there from where it stands first.
// Errors:  all are Diagnostics; a path that does not exist or a file that does not parse costs what it would have held.
LoadedManifests LoadManifests(const std::vector<std::string>& paths, const AllocationRanges& ranges);

// True for the names a directory is searched for.
bool IsManifestName(absl::string_view file_name);

// The same, again and again: remembers what it read, so that a pass costs little and a file that breaks keeps its
// objects.
class ManifestSet {
 public:
  ManifestSet(std::vector<std::string> paths, AllocationRanges ranges);

  struct Pass {
    LoadedManifests manifests;
    Diagnostics fresh;  // those of `manifests.diagnostics` that are news since the last pass
  };

  // Reads what changed on disk since the last pass.
  //
  // Errors:  a file that no longer parses, is empty or cannot be read keeps the objects of its last good version, with
  //          a Diagnostic; one that is gone loses them.
  Pass Load();

  // Makes the next pass read every file again, and tell every Diagnostic again.
  void Forget();

  const std::vector<std::string>& paths() const { return paths_; }

 private:
  friend LoadedManifests LoadManifests(const std::vector<std::string>& paths, const AllocationRanges& ranges);

  // What tells whether a file is still the one that was read, without reading it.
  struct Stamp {
    uint64_t device = 0;
    uint64_t inode = 0;
    int64_t size = -1;
    absl::Time modified;
    absl::Time changed;

    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  struct File {
    Stamp stamp;
    bool trusted = false;  // the stamp would have moved, had the file been written since
    uint64_t digest = 0;
    ParsedManifests good;     // the last sound version
    Diagnostics diagnostics;  // of the latest
    bool news = false;        // `diagnostics` are of this pass
  };
  struct Listing {
    std::set<std::string> files;
    std::vector<std::string> unknown;  // directories that could not be listed
    bool complete = true;              // every path given was looked into
    Diagnostics diagnostics;
  };

  Listing List() const;
  void ListDirectory(const std::string& path, Listing& listing) const;
  // Returns: false if the file is gone.
  bool Refresh(const std::string& path, File& file);
  void Take(const std::string& path, const std::string& text, File& file);
  void Fail(const std::string& path, int error, File& file);

  const std::vector<std::string> paths_;
  const AllocationRanges ranges_;
  std::map<std::string, File> files_;  // by path
  std::set<Diagnostic> told_;          // of what is no single file's
  bool forget_ = false;
  bool pipes_ = false;  // a path may be a pipe, which can be read but once
};

}  // namespace pointsman
