// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/source/path_watch.h"

namespace pointsman {

// Notices when a configuration file says something else: also when a ConfigMap volume swaps the links above it, and not
// when it is merely touched.
class ConfigWatch {
 public:
  // Takes what is there now for known. `path` may be empty: then nothing ever changes.
  explicit ConfigWatch(std::string path);

  // Readable when Changed() is worth asking; -1 if never.
  int fd() const { return path_.empty() ? -1 : watch_.fd(); }

  // Whether the file says something that it did not the last time. A file that is gone or cannot be read says nothing
  // new.
  bool Changed();

 private:
  const std::string path_;
  PathWatch watch_;
  std::string text_;
};

// Starts this program over, with the same arguments and the same process number. Returns only if that fails.
absl::Status ExecuteAnew();

}  // namespace pointsman
