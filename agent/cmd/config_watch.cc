// SPDX-License-Identifier: Apache-2.0
#include "agent/cmd/config_watch.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_split.h"

#include "agent/kube/text_file.h"
#include "pointsman/log.h"
#include "pointsman/status.h"

namespace pointsman {

ConfigWatch::ConfigWatch(std::string path) : path_(std::move(path)) {
  if (path_.empty()) return;
  if (const absl::Status aimed = watch_.Aim({path_}); !aimed.ok()) {
    Log(LogLevel::kWarning, "configuration", {{"file", path_}, {"error", aimed.message()}});
  }
  text_ = kube::ReadTextFile(path_).value_or("");
}

bool ConfigWatch::Changed() {
  if (path_.empty()) return false;
  watch_.Read();
  watch_.Aim({path_}).IgnoreError();  // told at the start; what is not seen now is seen at the next event
  absl::StatusOr<std::string> text = kube::ReadTextFile(path_);
  if (!text.ok() || text->empty() || *text == text_) return false;
  text_ = *std::move(text);
  return true;
}

absl::Status ExecuteAnew() {
  PM_ASSIGN_OR_RETURN(const std::string line, kube::ReadTextFile("/proc/self/cmdline"));
  std::vector<std::string> words = absl::StrSplit(line, '\0');
  if (!words.empty() && words.back().empty()) words.pop_back();  // each ends with a zero
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);  // libraries may have left some open
  execv("/proc/self/exe", argv.data());
  return absl::ErrnoToStatus(errno, "execute /proc/self/exe");
}

}  // namespace pointsman
