// SPDX-License-Identifier: Apache-2.0
//
// One line an event: `2026-01-02T03:04:05.678Z INFO reconciled services=3 messages=4`. To standard error.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace pointsman {

enum class LogLevel : int { kError = -2, kWarning = -1, kInfo = 0, kVerbose = 1 };

struct LogField {
  absl::string_view key;
  std::string value;
  LogField(absl::string_view k, absl::string_view v) : key(k), value(v.data(), v.size()) {}
  LogField(absl::string_view k, std::string v) : key(k), value(std::move(v)) {}
  LogField(absl::string_view k, const char* v) : key(k), value(v) {}
  template <typename T>
  LogField(absl::string_view k, const T& v) : key(k), value(absl::StrCat(v)) {}
};

// Lines above `level` are dropped; kInfo at start.
void SetLogLevel(LogLevel level);
bool LogEnabled(LogLevel level);

// The same with one text that says it all, unquoted: for lines that people and editors parse, `FILE:LINE:COLUMN: …`.
void LogText(LogLevel level, absl::string_view event, absl::string_view text);

// `event` is a stable name; a value with blanks or quotes is quoted. One write(2) a line, from any thread.
void Log(LogLevel level, absl::string_view event, const std::vector<LogField>& fields = {});

}  // namespace pointsman
