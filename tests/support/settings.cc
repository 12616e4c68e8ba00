// SPDX-License-Identifier: Apache-2.0
#include "tests/support/settings.h"

#include <functional>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "agent/source/allocate.h"
#include "pointsman/status.h"

namespace pointsman::support {
namespace {

using Take = std::function<absl::Status(const std::string& value, Config& config)>;

template <typename T>
absl::Status Store(absl::StatusOr<T> parsed, T& place) {
  if (!parsed.ok()) return parsed.status();
  place = *std::move(parsed);
  return absl::OkStatus();
}

const std::map<std::string, Take>& Values() {
  static const auto& values = *new std::map<std::string, Take>{
      {"--node-name",
       [](const std::string& value, Config& config) {
         config.node_name = value;
         return absl::OkStatus();
       }},
      {"--cluster-cidr",
       [](const std::string& value, Config& config) { return Store(ParseCidrs(value), config.cluster_cidrs); }},
      {"--service-cidr",
       [](const std::string& value, Config& config) { return Store(ParseCidrs(value), config.service_cidrs); }},
      {"--nodeport-addresses",
       [](const std::string& value, Config& config) {
         if (value == "primary") return absl::OkStatus();
         return Store(ParseCidrs(value), config.node_port_addresses);
       }},
      {"--allocate-from", [](const std::string& value,
                             Config& config) { return Store(ParseAllocationRanges(value), config.allocate_from); }},
      {"--detect-local-mode",
       [](const std::string& value, Config& config) {
         return Store(ParseDetectLocalMode(value), config.detect_local_mode);
       }},
      {"--pod-bridge-interface",
       [](const std::string& value, Config& config) {
         config.pod_bridge_interface = value;
         return absl::OkStatus();
       }},
      {"--pod-interface-name-prefix",
       [](const std::string& value, Config& config) {
         config.pod_interface_name_prefix = value;
         return absl::OkStatus();
       }},
      {"--pointsman.affinity-size",
       [](const std::string& value, Config& config) {
         return absl::SimpleAtoi(value, &config.affinity_size)
                    ? absl::OkStatus()
                    : absl::InvalidArgumentError(absl::StrCat("\"", value, "\" is no number"));
       }},
  };
  return values;
}

const std::map<std::string, bool Config::*>& Switches() {
  static const auto& switches = *new std::map<std::string, bool Config::*>{
      {"--masquerade-all", &Config::masquerade_all},
      {"--pointsman.close-unranged-vips", &Config::close_unranged_vips},
      {"--pointsman.clean-tcp", &Config::clean_tcp},
  };
  return switches;
}

}  // namespace

absl::StatusOr<Config> ConfigOf(const std::vector<std::string>& flags) {
  Config config;
  for (size_t i = 0; i < flags.size(); ++i) {
    if (const auto found = Switches().find(flags[i]); found != Switches().end()) {
      config.*found->second = true;
      continue;
    }
    const auto found = Values().find(flags[i]);
    if (found == Values().end()) return absl::InvalidArgumentError(absl::StrCat("unknown setting ", flags[i]));
    if (i + 1 == flags.size()) return absl::InvalidArgumentError(absl::StrCat(flags[i], " wants a value"));
    PM_RETURN_IF_ERROR(Annotate(found->second(flags[++i], config), found->first));
  }
  return config;
}

}  // namespace pointsman::support
