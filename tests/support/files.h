// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace pointsman::support {

// A directory of its own under $TMPDIR, removed with all it holds at destruction.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Whole files. A failure ends the test program: there is nothing sensible left to test.
std::string ReadFile(const std::string& path);
void WriteFile(const std::string& path, const std::string& text);
// Writes next to `path` and renames over it: a reader sees the old text or the new one, never half of either.
void ReplaceFile(const std::string& path, const std::string& text);
// Copies the regular files of `from` whose names end in `suffix`, not those of its directories.
void CopyFiles(const std::string& from, const std::string& to, const std::string& suffix);

// Prints "tests/support: ..." and aborts.
[[noreturn]] void Fatal(const std::string& message);
[[noreturn]] void FatalErrno(const std::string& attempted);

}  // namespace pointsman::support
