// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"

#include "agent/loop/inbox.h"
#include "agent/source/allocate.h"
#include "agent/source/manifest_set.h"
#include "pointsman/diagnostic.h"

namespace pointsman {

// Keeps an Inbox up to date with the manifests under some paths, from a thread of its own.
//
// Every pass leaves the objects that changed, as one Put; the first in which every path was there is followed by
// MarkSynced, whatever was found in them.
// Passes follow edits, renames into place, deletions, directories removed and made again, and the symlink swap of a
// ConfigMap volume. A burst of events makes one pass: at once after a file was closed or renamed, 50 ms after the last
// event otherwise, and never more than 500 ms after the first. Where inotify is not to be had, it looks every second
// instead.
class FileSource {
 public:
  // Called from the source's thread.
  using Report = absl::AnyInvocable<void(const Diagnostic&)>;

  // Starts at once. `inbox` must outlive the source.
  FileSource(std::vector<std::string> paths, AllocationRanges ranges, Inbox& inbox, Report report);

  // Stops and joins the thread; what was put stays put.
  ~FileSource();
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  // Reads every file again and repeats every Diagnostic, soon. From any thread.
  void Reload();

 private:
  class Worker;

  const int wake_fd_;  // eventfd: counts kReload and kStop
  std::thread thread_;
};

}  // namespace pointsman
