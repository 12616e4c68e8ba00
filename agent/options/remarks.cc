// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include "agent/options/effective.h"
#include "agent/options/feature_gates.h"
#include "agent/options/fields.h"
#include "agent/options/validate.h"

namespace pointsman::options {
namespace {

// How many of `texts` are of each family; what cannot be read is of neither.
struct FamilyCount {
  int of_primary = 0;
  int of_other = 0;

  bool Wrong() const { return of_primary == 0 && of_other > 0; }
  bool Both() const { return of_primary > 0 && of_other > 0; }
};

FamilyCount Count(const std::vector<std::string>& cidrs, Family primary) {
  FamilyCount count;
  for (const std::string& text : cidrs) {
    const std::optional<Cidr> cidr = Cidr::Parse(text);
    if (cidr) ++(cidr->family() == primary ? count.of_primary : count.of_other);
  }
  return count;
}

Family Other(Family family) { return family == Family::kIpv4 ? Family::kIpv6 : Family::kIpv4; }

}  // namespace

std::vector<Remark> RemarksOn(const Settings& settings) {
  std::vector<Remark> remarks;
  const std::string& mode = settings.proxy.mode;
  if (mode.empty() || mode == "iptables" || mode == "ipvs") {
    remarks.push_back({Remark::Kind::kIgnored, PlaceOf(settings, "mode"),
                       absl::StrCat("mode ", mode.empty() ? "iptables (none is given)" : mode),
                       "programmed with nftables: the same Services, in other tables"});
  }
  static const Settings& defaults = *new Settings;
  for (const Field& field : Fields()) {
    const std::string name = NameOf(field);
    if (field.ignored.empty() || settings.OriginOf(name) == Origin::kDefault) continue;
    if (SameValue(field.slot, settings, defaults)) continue;
    const std::string place = PlaceOf(settings, name);
    // One flag may have set several fields; it is spoken of once.
    const bool said = std::any_of(remarks.begin(), remarks.end(), [&](const Remark& remark) {
      return settings.OriginOf(name) == Origin::kFlag && remark.where == place;
    });
    if (!said) remarks.push_back({Remark::Kind::kIgnored, place, name, absl::StrCat("has no effect: ", field.ignored)});
  }
  for (const auto& [name, on] : settings.proxy.feature_gates) {
    const std::string path = absl::StrCat("featureGates.", name);
    const FeatureGate* gate = FindFeatureGate(name);
    if (gate == nullptr) {
      remarks.push_back({Remark::Kind::kUnknown, PlaceOf(settings, path), path, "is no feature gate known here"});
    } else if (!gate->used && on != gate->on) {
      remarks.push_back(
          {Remark::Kind::kIgnored, PlaceOf(settings, path), path, "has no effect: nothing here depends on it"});
    }
  }
  return remarks;
}

Misfits FindMisfits(const Settings& settings, Family primary, bool dual_stack,
                    absl::Span<const std::string> pod_cidrs) {
  const KubeProxyConfiguration& proxy = settings.proxy;
  Misfits misfits;
  const auto remark = [&](const std::string& path, const std::string& why) {
    misfits.remarks.push_back({Remark::Kind::kIgnored, PlaceOf(settings, path), path, why});
  };
  const std::string given_other =
      absl::StrCat("has ", FormatFamily(Other(primary)), " alone, and this node is ", FormatFamily(primary));

  const std::vector<std::string> cluster_cidrs = SplitList(proxy.cluster_cidr);
  const FamilyCount pods = Count(cluster_cidrs, primary);
  const FamilyCount node_pods = Count({pod_cidrs.begin(), pod_cidrs.end()}, primary);
  const std::vector<std::string>& addresses = proxy.node_port_addresses;
  const bool primary_only = addresses == std::vector<std::string>{"primary"};
  const FamilyCount ports = Count(addresses, primary);
  const auto accepts_all = [](Family family) {
    return absl::StrCat("says nothing of ", FormatFamily(family), ": NodePorts answer at every ", FormatFamily(family),
                        " address of this node; `primary` names one of each family");
  };
  if (addresses.empty()) {
    remark("nodePortAddresses", "is not set: NodePorts answer at every address of this node; consider `primary`");
  } else if (!primary_only && ports.Wrong()) {
    remark("nodePortAddresses", accepts_all(primary));
  } else if (!primary_only && ports.of_other == 0 && (pods.Both() || node_pods.Both())) {
    remark("nodePortAddresses", accepts_all(Other(primary)));
  }

  const auto fail = [&](const std::string& path, const std::string& hint) {
    misfits.errors.push_back({.severity = Severity::kError,
                              .where = PlaceOf(settings, path),
                              .object = "",
                              .field = path,
                              .problem = given_other,
                              .effect = "",
                              .hint = hint});
  };
  const bool by_cluster_cidr = proxy.detect_local_mode.empty() || proxy.detect_local_mode == "ClusterCIDR";
  if (pods.Wrong()) {
    if (by_cluster_cidr && !dual_stack) {
      fail("clusterCIDR", absl::StrCat("give an ", FormatFamily(primary), " range"));
    } else {
      remark("clusterCIDR", given_other);
    }
  }
  if (node_pods.Wrong() && proxy.detect_local_mode == "NodeCIDR") {
    fail("detectLocalMode", absl::StrCat("the Node's podCIDRs must have an ", FormatFamily(primary), " range"));
  }
  if (dual_stack) return misfits;
  if (Count(proxy.ipvs.exclude_cidrs, primary).Wrong()) remark("ipvs.excludeCIDRs", given_other);
  const std::pair<const char*, const std::string&> served[] = {{"healthzBindAddress", proxy.healthz_bind_address},
                                                               {"metricsBindAddress", proxy.metrics_bind_address}};
  for (const auto& [path, text] : served) {
    const std::optional<SocketAddr> addr = ParseSocketAddr(text);
    if (addr && !addr->addr.IsUnspecified() && addr->addr.family() != primary) remark(path, given_other);
  }
  return misfits;
}

}  // namespace pointsman::options
