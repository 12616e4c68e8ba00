// SPDX-License-Identifier: Apache-2.0
#include "agent/options/effective.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace pointsman::options {

ModeSettings ActiveModeSettings(const KubeProxyConfiguration& proxy) {
  if (proxy.mode == "nftables") {
    return {"nftables", proxy.nftables.sync_period, proxy.nftables.min_sync_period, proxy.nftables.masquerade_all,
            proxy.nftables.masquerade_bit};
  }
  ModeSettings settings = {"iptables", proxy.iptables.sync_period, proxy.iptables.min_sync_period,
                           proxy.iptables.masquerade_all, proxy.iptables.masquerade_bit};
  if (proxy.mode == "ipvs") {
    settings.section = "ipvs";
    settings.sync_period = proxy.ipvs.sync_period;
    settings.min_sync_period = proxy.ipvs.min_sync_period;
  }
  return settings;
}

std::optional<SocketAddr> ParseSocketAddr(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return std::nullopt;
  absl::string_view host = text.substr(0, colon);
  const absl::string_view digits = text.substr(colon + 1);
  const bool brackets = absl::ConsumePrefix(&host, "[") && absl::ConsumeSuffix(&host, "]");
  if (!brackets && absl::StrContains(host, ":")) return std::nullopt;
  const std::optional<IpAddr> addr = IpAddr::Parse(host);
  int port = 0;
  if (!addr || digits.empty() || digits.find_first_not_of("0123456789") != absl::string_view::npos ||
      !absl::SimpleAtoi(digits, &port) || port < 1 || port > 65535) {
    return std::nullopt;
  }
  return SocketAddr{*addr, static_cast<uint16_t>(port)};
}

std::string WithPort(const std::string& address, int port) {
  if (!IpAddr::Parse(address)) return address;
  return absl::StrContains(address, ":") ? absl::StrCat("[", address, "]:", port) : absl::StrCat(address, ":", port);
}

std::string DefaultHealthzAddress(Family family) {
  return WithPort(family == Family::kIpv6 ? "::" : "0.0.0.0", kHealthzPort);
}

std::string DefaultMetricsAddress(Family family) {
  return WithPort(family == Family::kIpv6 ? "::1" : "127.0.0.1", kMetricsPort);
}

std::vector<std::string> SplitList(absl::string_view text) {
  std::vector<std::string> parts;
  for (const absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    parts.emplace_back(absl::StripAsciiWhitespace(part));
  }
  return parts;
}

std::string NormaliseNodeName(absl::string_view name) {
  return absl::AsciiStrToLower(absl::StripAsciiWhitespace(name));
}

}  // namespace pointsman::options
