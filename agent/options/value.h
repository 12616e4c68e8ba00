// SPDX-License-Identifier: Apache-2.0
//
// The types a setting can have: read from the text of a flag, written as JSON.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "agent/options/settings.h"

namespace pointsman::options {

using Texts = std::vector<std::string>;
using FeatureGates = std::map<std::string, bool>;
using Vmodules = std::vector<KubeProxyConfiguration::Vmodule>;

// Where in the Settings a value is kept.
template <typename T>
using Place = T& (*)(Settings&);
using Slot = std::variant<Place<bool>, Place<int32_t>, Place<uint32_t>, Place<double>, Place<std::string>,
                          Place<absl::Duration>, Place<Texts>, Place<FeatureGates>, Place<Vmodules>>;

// Calls `use` with the value itself.
template <typename Use>
auto WithValue(const Slot& slot, Settings& settings, Use use) {
  return std::visit([&](auto place) { return use(place(settings)); }, slot);
}
template <typename Use>
auto WithValue(const Slot& slot, const Settings& settings, Use use) {
  // A Place only finds the member; what it finds is passed on as const.
  return std::visit(
      [&](auto place) {
        const auto& value = place(const_cast<Settings&>(settings));
        return use(value);
      },
      slot);
}

// Reads what stands behind a flag, as kube-proxy does.
//
// Inputs:  lists and maps are added to.
// Returns: what is wrong with `text`, or nullopt: then the value is set.
std::optional<std::string> SetFromText(const Slot& slot, Settings& settings, absl::string_view text);

// Makes it the zero of its type: false, 0, nothing.
void Clear(const Slot& slot, Settings& settings);
bool IsZero(const Slot& slot, const Settings& settings);
bool SameValue(const Slot& slot, const Settings& a, const Settings& b);
void CopyValue(const Slot& slot, const Settings& from, Settings& to);

// "14", "\"nftables\"", "[\"primary\"]": JSON, and therefore YAML.
std::string FormatValue(const Slot& slot, const Settings& settings);
// As it would stand behind a flag.
std::string FormatFlagValue(const Slot& slot, const Settings& settings);

// As Go writes them: "24h0m0s", "1m30s", "1.5s", "0s".
std::string FormatGoDuration(absl::Duration duration);
// Returns: nullopt for anything else; "30" has no unit.
std::optional<absl::Duration> ParseGoDuration(absl::string_view text);

// A quantity of bytes: "0", "512Ki", "1M".
// Returns: nullopt for anything else.
std::optional<double> ParseQuantity(absl::string_view text);

}  // namespace pointsman::options
