// SPDX-License-Identifier: Apache-2.0
#include "agent/options/feature_gates.h"

#include <string>

#include "pointsman/status.h"

namespace pointsman::options {

absl::Span<const FeatureGate> FeatureGates136() {
  static constexpr FeatureGate kGates[] = {
      {"AllAlpha"},
      {"AllBeta"},
      {"AllowServiceExternalIPs", true, false, true},
      {"AtomicFIFO", true},
      {"ClientsAllowCARotation", true},
      {"ClientsAllowCBOR"},
      {"ClientsAllowTLSCacheGC", true},
      {"ClientsPreferCBOR"},
      {"ComponentFlagz", true},
      {"ComponentStatusz", true},
      {"ContextualLogging", true},
      {"InformerResourceVersion", true},
      {"InOrderInformers", true, true},
      {"InOrderInformersBatchProcess", true},
      {"LoggingAlphaOptions", false, false, true},
      {"LoggingBetaOptions", true},
      {"MultiCIDRServiceAllocator", true, true},
      {"NativeHistograms"},
      {"NFTablesProxyMode", true, true},
      {"PreferSameTrafficDistribution", true, true},
      {"UnlockWhileProcessingFIFO", true},
      {"WatchListClient", true},
  };
  return kGates;
}

const FeatureGate* FindFeatureGate(absl::string_view name) {
  for (const FeatureGate& gate : FeatureGates136()) {
    if (gate.name == name) return &gate;
  }
  return nullptr;
}

bool IsOn(absl::string_view name, const KubeProxyConfiguration& proxy) {
  const FeatureGate* gate = FindFeatureGate(name);
  PM_CHECK(gate != nullptr);
  const auto given = proxy.feature_gates.find(std::string(name));
  return given == proxy.feature_gates.end() ? gate->on : given->second;
}

}  // namespace pointsman::options
