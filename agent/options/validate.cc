// SPDX-License-Identifier: Apache-2.0
#include "agent/options/validate.h"

#include <net/if.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "agent/options/effective.h"
#include "agent/options/feature_gates.h"
#include "agent/options/fields.h"
#include "agent/options/value.h"
#include "agent/source/allocate.h"
#include "agent/source/yaml_reader.h"

namespace pointsman::options {
namespace {

constexpr char kPreviousMinor[] = "1.35";
constexpr char kWriteCidr[] = "write ADDRESS/PREFIX, as in 10.244.0.0/16";
constexpr char kWriteSocket[] = "write IP:PORT or [IP6]:PORT, with a port from 1 to 65535";

class Validation {
 public:
  explicit Validation(const Settings& settings) : settings_(settings), proxy_(settings.proxy) {}

  Diagnostics Run() && {
    Modes();
    Node();
    Addresses();
    Periods();
    Pods();
    Gates();
    Logging();
    Own();
    return std::move(errors_);
  }

 private:
  void Fail(const std::string& path, absl::string_view problem, absl::string_view hint) {
    errors_.push_back({.severity = Severity::kError,
                       .where = PlaceOf(settings_, path),
                       .object = "",
                       .field = path,
                       .problem = std::string(problem),
                       .effect = "",
                       .hint = std::string(hint)});
  }

  template <typename T>
  void Between(const std::string& path, T value, T least, T most) {
    if (value < least || value > most) {
      Fail(path, absl::StrCat(value, " is out of range"), absl::StrCat("write ", least, " to ", most));
    }
  }
  void NotNegative(const std::string& path, int32_t value) {
    if (value < 0) Fail(path, absl::StrCat(value, " is negative"), "write 0 or more");
  }
  void NotNegative(const std::string& path, absl::Duration value) {
    if (value < absl::ZeroDuration())
      Fail(path, absl::StrCat(FormatGoDuration(value), " is negative"), "write 0 or more");
  }
  void Positive(const std::string& path, absl::Duration value) {
    if (value <= absl::ZeroDuration()) {
      Fail(path, absl::StrCat(FormatGoDuration(value), " is not more than 0"), "write a time, as in 30s");
    }
  }
  void IsCidr(const std::string& path, const std::string& text) {
    if (!Cidr::Parse(text)) Fail(path, absl::StrCat(QuoteForUser(text), " is not a CIDR"), kWriteCidr);
  }

  void Modes() {
    const std::string& mode = proxy_.mode;
    if (!mode.empty() && mode != "iptables" && mode != "ipvs" && mode != "nftables") {
      Fail("mode", absl::StrCat("unknown mode ", QuoteForUser(mode)), "write nftables, iptables or ipvs");
    }
    Between("iptables.masqueradeBit", proxy_.iptables.masquerade_bit, 0, 31);
    if (mode == "nftables") Between("nftables.masqueradeBit", proxy_.nftables.masquerade_bit, 0, 31);
    if (mode != "ipvs") return;
    NotNegative("ipvs.tcpTimeout", proxy_.ipvs.tcp_timeout);
    NotNegative("ipvs.tcpFinTimeout", proxy_.ipvs.tcp_fin_timeout);
    NotNegative("ipvs.udpTimeout", proxy_.ipvs.udp_timeout);
    const Texts& excluded = proxy_.ipvs.exclude_cidrs;
    for (size_t i = 0; i < excluded.size(); ++i) IsCidr(absl::StrCat("ipvs.excludeCIDRs[", i, "]"), excluded[i]);
  }

  void Node() {
    Between("oomScoreAdj", proxy_.oom_score_adj, -1000, 1000);
    const auto& conntrack = proxy_.conntrack;
    NotNegative("conntrack.maxPerCore", conntrack.max_per_core);
    NotNegative("conntrack.min", conntrack.min);
    NotNegative("conntrack.tcpEstablishedTimeout", conntrack.tcp_established_timeout);
    NotNegative("conntrack.tcpCloseWaitTimeout", conntrack.tcp_close_wait_timeout);
    NotNegative("conntrack.udpTimeout", conntrack.udp_timeout);
    NotNegative("conntrack.udpStreamTimeout", conntrack.udp_stream_timeout);
    NotNegative("clientConnection.burst", proxy_.client_connection.burst);
    const std::string& hidden = proxy_.show_hidden_metrics_for_version;
    if (!hidden.empty() && hidden != kPreviousMinor) {
      Fail("showHiddenMetricsForVersion", absl::StrCat(QuoteForUser(hidden), " is not the previous minor version"),
           absl::StrCat("write ", kPreviousMinor));
    }
  }

  void Addresses() {
    if (!IpAddr::Parse(proxy_.bind_address)) {
      Fail("bindAddress", absl::StrCat(QuoteForUser(proxy_.bind_address), " is not an IP address"),
           "write an address without brackets and port");
    }
    // Empty comes from the command line alone and serves nothing.
    const std::pair<const char*, const std::string&> served[] = {{"healthzBindAddress", proxy_.healthz_bind_address},
                                                                 {"metricsBindAddress", proxy_.metrics_bind_address}};
    for (const auto& [path, text] : served) {
      if (!text.empty() && !ParseSocketAddr(text)) {
        Fail(path, absl::StrCat(QuoteForUser(text), " is not an address with a port"), kWriteSocket);
      }
    }
    const Texts& ports = proxy_.node_port_addresses;
    for (size_t i = 0; i < ports.size(); ++i) {
      const std::string path = absl::StrCat("nodePortAddresses[", i, "]");
      if (ports[i] != "primary") {
        IsCidr(path, ports[i]);
      } else if (ports.size() > 1) {
        Fail(path, "\"primary\" stands beside others", "write it alone, or CIDRs");
      }
    }
  }

  void Periods() {
    Positive("configSyncPeriod", proxy_.config_sync_period);
    const ModeSettings active = ActiveModeSettings(proxy_);
    const std::string path = absl::StrCat(active.section, ".syncPeriod");
    const std::string least = absl::StrCat(active.section, ".minSyncPeriod");
    Positive(path, active.sync_period);
    NotNegative(least, active.min_sync_period);
    if (active.sync_period > absl::ZeroDuration() && active.min_sync_period > active.sync_period) {
      Fail(PlaceOf(settings_, least).empty() ? path : least,
           absl::StrCat("minSyncPeriod ", FormatGoDuration(active.min_sync_period), " is longer than syncPeriod ",
                        FormatGoDuration(active.sync_period)),
           "make it the same or shorter");
    }
  }

  void Interface(const std::string& path, const std::string& name) {
    if (name.empty()) {
      Fail(path, absl::StrCat("is missing, with detectLocalMode ", proxy_.detect_local_mode), "name an interface");
    } else if (name.size() >= IFNAMSIZ) {
      Fail(path, absl::StrCat(QuoteForUser(name), " is too long"),
           absl::StrCat("interface names have at most ", IFNAMSIZ - 1, " characters"));
    }
  }

  void Pods() {
    const std::string& mode = proxy_.detect_local_mode;
    if (mode == "BridgeInterface") {
      Interface("detectLocal.bridgeInterface", proxy_.detect_local.bridge_interface);
    } else if (mode == "InterfaceNamePrefix") {
      Interface("detectLocal.interfaceNamePrefix", proxy_.detect_local.interface_name_prefix);
    } else if (mode.empty() || mode == "ClusterCIDR") {
      const std::vector<std::string> cidrs = SplitList(proxy_.cluster_cidr);
      for (const std::string& cidr : cidrs) IsCidr("clusterCIDR", cidr);
      const bool pair = cidrs.size() == 2 && absl::StrContains(cidrs[0], ":") != absl::StrContains(cidrs[1], ":");
      if (cidrs.size() > 1 && !pair) {
        Fail("clusterCIDR", absl::StrCat(QuoteForUser(proxy_.cluster_cidr), " has more than one range of a family"),
             "write one CIDR, or one of each family");
      }
    } else if (mode != "NodeCIDR") {
      Fail("detectLocalMode", absl::StrCat("unknown mode ", QuoteForUser(mode)),
           "write ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix");
    }
  }

  void Gates() {
    for (const auto& [name, on] : proxy_.feature_gates) {
      const FeatureGate* gate = FindFeatureGate(name);
      if (gate == nullptr || !gate->locked || on == gate->on) continue;
      Fail(absl::StrCat("featureGates.", name), absl::StrCat("cannot be set to ", on ? "true" : "false"),
           absl::StrCat("it is always ", gate->on ? "true" : "false"));
    }
  }

  void Logging() {
    const auto& logging = proxy_.logging;
    if (logging.format != "text" && logging.format != "json") {
      Fail("logging.format", absl::StrCat("unknown format ", QuoteForUser(logging.format)), "write text or json");
    }
    Positive("logging.flushFrequency", logging.flush_frequency);
    Verbosity("logging.verbosity", logging.verbosity);
    if (!logging.vmodule.empty() && logging.format != "text") {
      Fail("logging.vmodule", absl::StrCat("does not go with format ", logging.format), "leave it out");
    }
    for (size_t i = 0; i < logging.vmodule.size(); ++i) {
      const std::string path = absl::StrCat("logging.vmodule[", i, "]");
      const auto& [pattern, verbosity] = logging.vmodule[i];
      if (pattern.empty() || pattern.find_first_of("=,") != std::string::npos) {
        Fail(path + ".filePattern", absl::StrCat(QuoteForUser(pattern), " is not a pattern of file names"),
             "write one, without = and comma");
      }
      Verbosity(path + ".verbosity", verbosity);
    }
    Stream("logging.options.text", logging.text);
    Stream("logging.options.json", logging.json);
  }

  void Verbosity(const std::string& path, uint32_t value) {
    constexpr uint32_t kMost = std::numeric_limits<int32_t>::max();
    Between(path, value, uint32_t{0}, kMost);
  }

  void Stream(const std::string& path, const KubeProxyConfiguration::LogStream& stream) {
    const bool allowed = IsOn("LoggingAlphaOptions", proxy_);
    constexpr char kNeeds[] = "it needs feature gate LoggingAlphaOptions";
    const std::optional<double> size = ParseQuantity(stream.info_buffer_size);
    if (!size || *size < 0) {
      Fail(path + ".infoBufferSize", absl::StrCat(QuoteForUser(stream.info_buffer_size), " is not a size"),
           "write a quantity, as in 512Ki");
    } else if (*size > 0 && !allowed) {
      Fail(path + ".infoBufferSize", absl::StrCat(QuoteForUser(stream.info_buffer_size), " is not possible"), kNeeds);
    }
    if (stream.split_stream && !allowed) Fail(path + ".splitStream", "true is not possible", kNeeds);
  }

  void Own() {
    const OwnSettings& own = settings_.own;
    Between("--pointsman.affinity-size", own.affinity_size, uint32_t{1}, uint32_t{1} << 30);
    for (const std::string& cidr : SplitList(own.service_cidr)) IsCidr("--service-cidr", cidr);
    const absl::StatusOr<AllocationRanges> ranges = ParseAllocationRanges(own.allocate_from);
    if (!ranges.ok()) Fail("--allocate-from", std::string(ranges.status().message()), "");
    if (own.manifests.empty()) {
      if (!own.allocate_from.empty()) {
        Fail("--allocate-from", "an API server gives addresses itself", "it goes with --manifests");
      }
      return;
    }
    // Beside a file the flag says that this time it is to be manifests.
    const bool kubeconfig = settings_.OriginOf("clientConnection.kubeconfig") == Origin::kFlag;
    if (kubeconfig || !settings_.masters.empty()) {
      Fail("--manifests", "the objects come from there or from an API server, not both", "");
    }
  }

  const Settings& settings_;
  const KubeProxyConfiguration& proxy_;
  Diagnostics errors_;
};

}  // namespace

Diagnostics Validate(const Settings& settings) { return Validation(settings).Run(); }

}  // namespace pointsman::options
