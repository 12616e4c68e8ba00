// SPDX-License-Identifier: Apache-2.0
//
// Settings as text.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "agent/options/settings.h"
#include "pointsman/diagnostic.h"

namespace pointsman::options {

// The configuration as a v1alpha1 file, every field of it; as YAML with the origin of each value in a comment, if asked
// for. What is written reads as the same configuration.
std::string ConfigurationYaml(const Settings& settings, bool with_origins = false);
// The same as one JSON object.
std::string ConfigurationJson(const Settings& settings);

// Each flag of the table and its value: {"proxy-mode", "nftables"}.
std::vector<std::pair<std::string, std::string>> FlagValues(const Settings& settings);

// "default", "FILE:LINE:COLUMN" or "--flag".
std::string OriginText(const Settings& settings, const std::string& name);

// What `pointsman config` prints: what is in force and where it comes from, and the remarks.
std::string EffectiveText(const Settings& settings);
std::string EffectiveJson(const Settings& settings);
std::string EffectiveYaml(const Settings& settings);

// One line: "FILE:LINE:COLUMN: warning: conntrack.mni: unknown field; did you mean conntrack.min?".
std::string FormatRemark(const Remark& remark);

}  // namespace pointsman::options
