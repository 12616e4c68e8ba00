// SPDX-License-Identifier: Apache-2.0
//
// What a configuration amounts to, where kube-proxy has a rule for it.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "agent/options/kube_proxy_configuration.h"
#include "pointsman/net.h"

namespace pointsman::options {

inline constexpr int kHealthzPort = 10256;
inline constexpr int kMetricsPort = 10249;

// The settings that each mode has a section of its own for.
struct ModeSettings {
  absl::string_view section;  // "iptables", "ipvs", "nftables": of the periods
  absl::Duration sync_period;
  absl::Duration min_sync_period;
  bool masquerade_all = false;
  int32_t masquerade_bit = 14;
};

// Those of the active mode; no mode is iptables. ipvs has its periods in its own section, the rest in iptables'.
ModeSettings ActiveModeSettings(const KubeProxyConfiguration& proxy);

// "IP:PORT" or "[IP6]:PORT", the port not 0. nullopt for anything else.
std::optional<SocketAddr> ParseSocketAddr(absl::string_view text);

// Puts `port` behind what is an address without one; anything else stays as it is.
std::string WithPort(const std::string& address, int port);

// Where health and metrics are served by default, for a bindAddress of this family.
std::string DefaultHealthzAddress(Family family);
std::string DefaultMetricsAddress(Family family);

// The non-empty parts between commas, without blanks around them.
std::vector<std::string> SplitList(absl::string_view text);

// The name without blanks around it, in lower case.
std::string NormaliseNodeName(absl::string_view name);

}  // namespace pointsman::options
