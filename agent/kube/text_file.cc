// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/text_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace pointsman::kube {
namespace {

constexpr size_t kMostBytes = 1 << 20;

absl::Status Failed(const std::string& path, absl::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat("read ", absl::Utf8SafeCHexEscape(path), ": ", why));
}

}  // namespace

absl::StatusOr<std::string> ReadTextFile(const std::string& path) {
  // Not to wait for somebody to write into a pipe.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    const absl::Status failed = Failed(path, std::strerror(errno));
    return errno == ENOENT || errno == ENOTDIR ? absl::NotFoundError(failed.message()) : failed;
  }
  const absl::Cleanup close_fd = [fd] { close(fd); };
  struct stat info;
  if (fstat(fd, &info) != 0) return Failed(path, std::strerror(errno));
  if (S_ISDIR(info.st_mode)) return Failed(path, "it is a directory");
  if (!S_ISREG(info.st_mode)) return Failed(path, "it is no regular file");
  std::string text;
  char buffer[16 << 10];
  for (;;) {
    const ssize_t length = read(fd, buffer, sizeof buffer);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) return Failed(path, std::strerror(errno));
    if (length == 0) return text;
    text.append(buffer, static_cast<size_t>(length));
    if (text.size() > kMostBytes) return Failed(path, "it is larger than 1 MiB");
  }
}

bool HasControlCharacter(absl::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; });
}

}  // namespace pointsman::kube
