// SPDX-License-Identifier: Apache-2.0
#include "tests/support/files.h"

#include <errno.h>
#include <stdlib.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

namespace pointsman::support {

namespace fs = std::filesystem;

void Fatal(const std::string& message) {
  std::fprintf(stderr, "tests/support: %s\n", message.c_str());
  std::abort();
}

void FatalErrno(const std::string& attempted) { Fatal(attempted + ": " + std::strerror(errno)); }

TempDir::TempDir() {
  const char* base = getenv("TMPDIR");
  std::string name = std::string(base != nullptr ? base : "/tmp") + "/pointsman-test.XXXXXX";
  if (mkdtemp(name.data()) == nullptr) FatalErrno("mkdtemp " + name);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) FatalErrno("open " + path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void WriteFile(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (!out) FatalErrno("write " + path);
}

void ReplaceFile(const std::string& path, const std::string& text) {
  const fs::path target(path);
  // Hidden, and not named like a manifest: a reader of the directory has no reason to look at it.
  const std::string staged = (target.parent_path() / ("." + target.filename().string() + ".new")).string();
  WriteFile(staged, text);
  if (std::rename(staged.c_str(), path.c_str()) != 0) FatalErrno("rename to " + path);
}

void CopyFiles(const std::string& from, const std::string& to, const std::string& suffix) {
  for (const fs::directory_entry& entry : fs::directory_iterator(from)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file() && name.size() >= suffix.size() &&
        name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0) {
      WriteFile((fs::path(to) / name).string(), ReadFile(entry.path().string()));
    }
  }
}

}  // namespace pointsman::support
