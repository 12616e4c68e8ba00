// SPDX-License-Identifier: Apache-2.0
//
// What the values of api.h are called in the API, and the bounds the API server puts on numbers: one table for every
// encoding.
#pragma once

#include <optional>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "pointsman/api.h"

namespace pointsman {

inline constexpr std::pair<absl::string_view, ServiceType> kTypeNames[] = {
    {"ClusterIP", ServiceType::kClusterIp},
    {"NodePort", ServiceType::kNodePort},
    {"LoadBalancer", ServiceType::kLoadBalancer},
    {"ExternalName", ServiceType::kExternalName}};
inline constexpr std::pair<absl::string_view, Family> kFamilyNames[] = {{"IPv4", Family::kIpv4},
                                                                        {"IPv6", Family::kIpv6}};
inline constexpr std::pair<absl::string_view, TrafficPolicy> kPolicyNames[] = {{"Cluster", TrafficPolicy::kCluster},
                                                                               {"Local", TrafficPolicy::kLocal}};
inline constexpr std::pair<absl::string_view, IpMode> kIpModeNames[] = {{"VIP", IpMode::kVip},
                                                                        {"Proxy", IpMode::kProxy}};
inline constexpr std::pair<absl::string_view, bool> kAffinityNames[] = {{"None", false}, {"ClientIP", true}};
inline constexpr std::pair<absl::string_view, Protocol> kProtocolNames[] = {
    {"TCP", Protocol::kTcp}, {"UDP", Protocol::kUdp}, {"SCTP", Protocol::kSctp}};
inline constexpr std::pair<absl::string_view, std::optional<Family>> kAddressTypeNames[] = {
    {"IPv4", Family::kIpv4}, {"IPv6", Family::kIpv6}, {"FQDN", std::nullopt}};

// What `kTriggerTimeAnnotation` holds; nullopt if it is no time.
inline std::optional<absl::Time> ParseTriggerTime(absl::string_view text) {
  absl::Time time;
  const bool parsed = absl::ParseTime(absl::RFC3339_full, text, &time, nullptr);
  // The parser takes "infinite-past" too.
  if (!parsed || time == absl::InfinitePast() || time == absl::InfiniteFuture()) return std::nullopt;
  return time;
}

inline constexpr int kMaxPort = 65535;
inline constexpr int kDefaultAffinitySeconds = 10800;
inline constexpr int kMaxAffinitySeconds = 86400;

}  // namespace pointsman
