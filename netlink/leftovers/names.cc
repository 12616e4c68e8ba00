// SPDX-License-Identifier: Apache-2.0
#include "netlink/leftovers/names.h"

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"

namespace pointsman::nl {
namespace {

constexpr absl::string_view kBuiltin[] = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"};

constexpr absl::string_view kNat[] = {"KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ",
                                      "KUBE-PROXY-CANARY",
                                      // mode ipvs
                                      "KUBE-NODE-PORT", "KUBE-LOAD-BALANCER"};

constexpr absl::string_view kFilter[] = {"KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD", "KUBE-NODEPORTS",
                                         "KUBE-PROXY-FIREWALL", "KUBE-PROXY-CANARY",
                                         // mode ipvs
                                         "KUBE-NODE-PORT", "KUBE-SOURCE-RANGES-FIREWALL", "KUBE-IPVS-FILTER",
                                         "KUBE-IPVS-OUT-FILTER"};

constexpr absl::string_view kMangle[] = {"KUBE-PROXY-CANARY"};

// In nat, followed by a hash. XLB is what EXT was called before Kubernetes 1.24.
constexpr absl::string_view kPerService[] = {"KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-",
                                             "KUBE-FW-",  "KUBE-SEP-", "KUBE-XLB-"};
constexpr size_t kHashLength = 16;

// Where jumps from built-in chains lead to.
constexpr absl::string_view kEntrances[] = {"KUBE-SERVICES",  "KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD",
                                            "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL",    "KUBE-POSTROUTING",
                                            "KUBE-NODE-PORT", "KUBE-IPVS-FILTER",       "KUBE-IPVS-OUT-FILTER"};

// What follows "KUBE-", or "KUBE-6-" in IPv6.
constexpr absl::string_view kIpsets[] = {"LOOP-BACK",
                                         "CLUSTER-IP",
                                         "EXTERNAL-IP",
                                         "EXTERNAL-IP-LOCAL",
                                         "LOAD-BALANCER",
                                         "LOAD-BALANCER-LOCAL",
                                         "LOAD-BALANCER-FW",
                                         "LOAD-BALANCER-SOURCE-CIDR",
                                         "LOAD-BALANCER-SOURCE-IP",
                                         "NODE-PORT-TCP",
                                         "NODE-PORT-UDP",
                                         "NODE-PORT-LOCAL-TCP",
                                         "NODE-PORT-LOCAL-UDP",
                                         "NODE-PORT-SCTP-HASH",
                                         "NODE-PORT-LOCAL-SCTP-HASH",
                                         "HEALTH-CHECK-NODE-PORT",
                                         "IPVS-IPS"};
constexpr size_t kMaxIpsetName = 31;

bool Among(absl::Span<const absl::string_view> names, absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Of RFC 4648's base32.
bool IsHash(absl::string_view text) {
  return text.size() == kHashLength &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '2' && c <= '7'); });
}

}  // namespace

bool IsBuiltinChain(absl::string_view name) { return Among(kBuiltin, name); }

bool IsKubeProxyChain(absl::string_view table, absl::string_view chain) {
  if (table == "filter") return Among(kFilter, chain);
  if (table == "mangle") return Among(kMangle, chain);
  if (table != "nat") return false;
  if (Among(kNat, chain)) return true;
  return std::any_of(std::begin(kPerService), std::end(kPerService), [&](absl::string_view prefix) {
    absl::string_view hash = chain;
    return absl::ConsumePrefix(&hash, prefix) && IsHash(hash);
  });
}

bool IsKubeProxyJump(absl::string_view target, absl::string_view comment) {
  return Among(kEntrances, target) &&
         (absl::StartsWith(comment, "kubernetes ") || absl::StartsWith(comment, "kube-proxy "));
}

bool IsKubeProxyIpset(absl::string_view name) {
  return std::any_of(std::begin(kIpsets), std::end(kIpsets), [&](absl::string_view rest) {
    return name == absl::StrCat("KUBE-", rest) || name == absl::StrCat("KUBE-6-", rest).substr(0, kMaxIpsetName);
  });
}

}  // namespace pointsman::nl
