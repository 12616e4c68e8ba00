// SPDX-License-Identifier: Apache-2.0
#include "agent/options/value.h"

#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include <nlohmann/json.hpp>

#include "agent/source/yaml_reader.h"

namespace pointsman::options {
namespace {

using Problem = std::optional<std::string>;

Problem Is(absl::string_view text, absl::string_view not_what) {
  return absl::StrCat(QuoteForUser(text), " is not ", not_what);
}

std::optional<bool> ParseBool(absl::string_view text) {
  for (const char* yes : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (text == yes) return true;
  }
  for (const char* no : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

Problem Set(bool& value, absl::string_view text) {
  const std::optional<bool> parsed = ParseBool(text);
  if (!parsed) return Is(text, "true or false");
  value = *parsed;
  return std::nullopt;
}

template <typename T>
Problem SetInteger(T& value, absl::string_view text) {
  int64_t parsed = 0;
  if (!absl::SimpleAtoi(text, &parsed)) return Is(text, "a whole number");
  constexpr auto kLeast = static_cast<int64_t>(std::numeric_limits<T>::min());
  constexpr auto kMost = static_cast<int64_t>(std::numeric_limits<T>::max());
  if (parsed < kLeast || parsed > kMost) return Is(text, absl::StrCat("between ", kLeast, " and ", kMost));
  value = static_cast<T>(parsed);
  return std::nullopt;
}
Problem Set(int32_t& value, absl::string_view text) { return SetInteger(value, text); }
Problem Set(uint32_t& value, absl::string_view text) { return SetInteger(value, text); }

Problem Set(double& value, absl::string_view text) {
  double parsed = 0;
  if (!absl::SimpleAtod(text, &parsed) || !std::isfinite(parsed)) return Is(text, "a number");
  value = parsed;
  return std::nullopt;
}

Problem Set(std::string& value, absl::string_view text) {
  value = std::string(text);
  return std::nullopt;
}

Problem Set(absl::Duration& value, absl::string_view text) {
  const std::optional<absl::Duration> parsed = ParseGoDuration(text);
  if (!parsed) return absl::StrCat(*Is(text, "a duration"), "; write 30s, 1m30s or 24h");
  value = *parsed;
  return std::nullopt;
}

Problem Set(Texts& value, absl::string_view text) {
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const absl::string_view item = absl::StripAsciiWhitespace(part);
    if (!item.empty()) value.emplace_back(item);
  }
  return std::nullopt;
}

Problem Set(FeatureGates& value, absl::string_view text) {
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const absl::string_view item = absl::StripAsciiWhitespace(part);
    if (item.empty()) continue;
    const std::pair<absl::string_view, absl::string_view> gate = absl::StrSplit(item, absl::MaxSplits('=', 1));
    const std::optional<bool> on = ParseBool(absl::StripAsciiWhitespace(gate.second));
    if (!on) return Is(item, "GATE=true or GATE=false");
    value[std::string(absl::StripAsciiWhitespace(gate.first))] = *on;
  }
  return std::nullopt;
}

Problem Set(Vmodules& value, absl::string_view text) {
  for (const absl::string_view item : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const size_t equals = item.rfind('=');
    KubeProxyConfiguration::Vmodule module;
    if (equals == 0 || equals == absl::string_view::npos || Set(module.verbosity, item.substr(equals + 1))) {
      return Is(item, "PATTERN=N");
    }
    module.file_pattern = std::string(item.substr(0, equals));
    value.push_back(std::move(module));
  }
  return std::nullopt;
}

nlohmann::json ToJson(const Vmodules& modules) {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& module : modules) {
    list.push_back({{"filePattern", module.file_pattern}, {"verbosity", module.verbosity}});
  }
  return list;
}
nlohmann::json ToJson(absl::Duration duration) { return FormatGoDuration(duration); }
nlohmann::json ToJson(double number) {
  // 5, not 5.0, as Go writes it.
  if (number == std::floor(number) && std::abs(number) < 1e15) return static_cast<int64_t>(number);
  return number;
}
template <typename T>
nlohmann::json ToJson(const T& value) {
  return value;
}

std::string Flat(const Texts& list) { return absl::StrJoin(list, ","); }
std::string Flat(const FeatureGates& gates) {
  return absl::StrJoin(gates, ",", [](std::string* out, const auto& gate) {
    absl::StrAppend(out, gate.first, gate.second ? "=true" : "=false");
  });
}
std::string Flat(const Vmodules& modules) {
  return absl::StrJoin(modules, ",", [](std::string* out, const auto& module) {
    absl::StrAppend(out, module.file_pattern, "=", module.verbosity);
  });
}
std::string Flat(const std::string& text) { return text; }
std::string Flat(absl::Duration duration) { return FormatGoDuration(duration); }
template <typename T>
std::string Flat(const T& value) {
  return ToJson(value).dump();
}

}  // namespace

std::optional<std::string> SetFromText(const Slot& slot, Settings& settings, absl::string_view text) {
  return WithValue(slot, settings, [&](auto& value) { return Set(value, text); });
}

void Clear(const Slot& slot, Settings& settings) {
  WithValue(slot, settings, [](auto& value) { value = std::decay_t<decltype(value)>(); });
}

bool IsZero(const Slot& slot, const Settings& settings) {
  return WithValue(slot, settings, [](const auto& value) { return value == std::decay_t<decltype(value)>(); });
}

bool SameValue(const Slot& slot, const Settings& a, const Settings& b) {
  return std::visit([&](auto place) { return place(const_cast<Settings&>(a)) == place(const_cast<Settings&>(b)); },
                    slot);
}

void CopyValue(const Slot& slot, const Settings& from, Settings& to) {
  std::visit([&](auto place) { place(to) = place(const_cast<Settings&>(from)); }, slot);
}

std::string FormatValue(const Slot& slot, const Settings& settings) {
  return WithValue(slot, settings, [](const auto& value) {
    return ToJson(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  });
}

std::string FormatFlagValue(const Slot& slot, const Settings& settings) {
  return WithValue(slot, settings, [](const auto& value) { return Flat(value); });
}

std::string FormatGoDuration(absl::Duration duration) {
  if (duration < absl::ZeroDuration()) return absl::StrCat("-", FormatGoDuration(-duration));
  if (duration < absl::Seconds(1)) return absl::FormatDuration(duration) == "0" ? "0s" : absl::FormatDuration(duration);
  const int64_t hours = absl::IDivDuration(duration, absl::Hours(1), &duration);
  const int64_t minutes = absl::IDivDuration(duration, absl::Minutes(1), &duration);
  std::string text;
  if (hours > 0) absl::StrAppend(&text, hours, "h");
  if (hours > 0 || minutes > 0) absl::StrAppend(&text, minutes, "m");
  absl::StrAppend(&text, absl::IDivDuration(duration, absl::Seconds(1), &duration));
  const int64_t nanoseconds = absl::ToInt64Nanoseconds(duration);
  if (nanoseconds > 0) {
    const std::string digits = absl::StrFormat("%09d", nanoseconds);
    absl::StrAppend(&text, ".", digits.substr(0, digits.find_last_not_of('0') + 1));
  }
  return absl::StrCat(text, "s");
}

std::optional<absl::Duration> ParseGoDuration(absl::string_view text) {
  absl::Duration duration;
  if (absl::StrContains(text, "inf") || !absl::ParseDuration(text, &duration)) return std::nullopt;
  // What Go can hold: 64 bits of nanoseconds.
  const absl::Duration most = absl::Nanoseconds(std::numeric_limits<int64_t>::max());
  if (duration > most || duration < -most) return std::nullopt;
  return duration;
}

std::optional<double> ParseQuantity(absl::string_view text) {
  static constexpr std::pair<absl::string_view, double> kSuffixes[] = {
      {"Ki", 0x1p10}, {"Mi", 0x1p20}, {"Gi", 0x1p30}, {"Ti", 0x1p40}, {"Pi", 0x1p50},
      {"Ei", 0x1p60}, {"n", 1e-9},    {"u", 1e-6},    {"m", 1e-3},    {"k", 1e3},
      {"M", 1e6},     {"G", 1e9},     {"T", 1e12},    {"P", 1e15},    {"E", 1e18}};
  double factor = 1;
  for (const auto& [suffix, value] : kSuffixes) {
    if (!absl::ConsumeSuffix(&text, suffix)) continue;
    factor = value;
    break;
  }
  double number = 0;
  if (text.empty() || text.find_first_not_of("+-.0123456789eE") != absl::string_view::npos) return std::nullopt;
  if (!absl::SimpleAtod(text, &number)) return std::nullopt;
  return number * factor;
}

}  // namespace pointsman::options
