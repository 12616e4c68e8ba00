// SPDX-License-Identifier: Apache-2.0
#include "pointsman/log.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "absl/strings/escaping.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace pointsman {
namespace {

std::atomic<LogLevel> log_level{LogLevel::kInfo};

const char* FormatLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return "ERROR";
    case LogLevel::kWarning:
      return "WARNING";
    case LogLevel::kInfo:
      return "INFO";
    case LogLevel::kVerbose:
      return "VERBOSE";
  }
  return "?";
}

// Blanks and quotes would end a value early, a line break or `=` would forge what follows.
bool NeedsQuotes(absl::string_view value) {
  if (value.empty()) return true;
  for (char c : value) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '\\' || c == '=' || c == '\x7f') return true;
  }
  return false;
}

std::string LineStart(LogLevel level, absl::string_view event) {
  return absl::StrCat(absl::FormatTime("%Y-%m-%dT%H:%M:%E3S", absl::Now(), absl::UTCTimeZone()), "Z ",
                      FormatLevel(level), " ", event);
}

// One write a line, so that lines of several threads never mix. A log that cannot be written is no reason to stop.
void WriteLine(std::string line) {
  line.push_back('\n');
  while (write(STDERR_FILENO, line.data(), line.size()) < 0 && errno == EINTR) {
  }
}

}  // namespace

void SetLogLevel(LogLevel level) { log_level.store(level, std::memory_order_relaxed); }

bool LogEnabled(LogLevel level) { return level <= log_level.load(std::memory_order_relaxed); }

void Log(LogLevel level, absl::string_view event, const std::vector<LogField>& fields) {
  if (!LogEnabled(level)) return;
  std::string line = LineStart(level, event);
  for (const LogField& field : fields) {
    absl::StrAppend(&line, " ", field.key, "=");
    if (NeedsQuotes(field.value)) {
      absl::StrAppend(&line, "\"", absl::Utf8SafeCEscape(field.value), "\"");
    } else {
      absl::StrAppend(&line, field.value);
    }
  }
  WriteLine(std::move(line));
}

void LogText(LogLevel level, absl::string_view event, absl::string_view text) {
  if (!LogEnabled(level)) return;
  std::string line = absl::StrCat(LineStart(level, event), " ", text);
  // A line break in the text must not start a line of its own making.
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  WriteLine(std::move(line));
}

}  // namespace pointsman
