// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "agent/options/field_rows.h"

namespace pointsman::options {
namespace {

constexpr char kNoPeriod[] = "a change is written as soon as the one before it is in place";
constexpr char kNoIpvs[] = "Services are programmed with nftables alone";
constexpr char kNoWindows[] = "it concerns Windows";
constexpr char kOneLog[] = "the log is text, a line an event, on standard error and not buffered";
constexpr char kNoIds[] = "nothing here asks for it";

std::vector<Field> IgnoredIpvs() {
  const auto field = [](absl::string_view path, absl::string_view flag, Slot slot, absl::string_view type) {
    return Field{path, {flag}, slot, Group::kIgnored, type, "", kNoIpvs};
  };
  return {
      {.path = "ipvs.minSyncPeriod",
       .flags = {"ipvs-min-sync-period"},
       .slot = kProxy<&Kpc::ipvs, &Kpc::Ipvs::min_sync_period>,
       .group = Group::kIgnored,
       .type = "TIME",
       .ignored = kNoPeriod,
       .flag_default = "1s"},
      field("ipvs.scheduler", "ipvs-scheduler", kProxy<&Kpc::ipvs, &Kpc::Ipvs::scheduler>, "NAME"),
      field("ipvs.excludeCIDRs", "ipvs-exclude-cidrs", kProxy<&Kpc::ipvs, &Kpc::Ipvs::exclude_cidrs>, "CIDR,..."),
      field("ipvs.strictARP", "ipvs-strict-arp", kProxy<&Kpc::ipvs, &Kpc::Ipvs::strict_arp>, ""),
      field("ipvs.tcpTimeout", "ipvs-tcp-timeout", kProxy<&Kpc::ipvs, &Kpc::Ipvs::tcp_timeout>, "TIME"),
      field("ipvs.tcpFinTimeout", "ipvs-tcpfin-timeout", kProxy<&Kpc::ipvs, &Kpc::Ipvs::tcp_fin_timeout>, "TIME"),
      field("ipvs.udpTimeout", "ipvs-udp-timeout", kProxy<&Kpc::ipvs, &Kpc::Ipvs::udp_timeout>, "TIME"),
  };
}

std::vector<Field> IgnoredLogging() {
  const Group g = Group::kIgnored;
  return {
      {.path = "logging.format",
       .flags = {"logging-format"},
       .slot = kProxy<&Kpc::logging, &Kpc::Logging::format>,
       .group = g,
       .type = "text|json",
       .ignored = kOneLog,
       .zero_is_default = true},
      {.path = "logging.flushFrequency",
       .flags = {"log-flush-frequency"},
       .slot = kProxy<&Kpc::logging, &Kpc::Logging::flush_frequency>,
       .group = g,
       .type = "TIME",
       .ignored = kOneLog,
       .zero_is_default = true},
      {"logging.vmodule",
       {"vmodule"},
       kProxy<&Kpc::logging, &Kpc::Logging::vmodule>,
       g,
       "PATTERN=N,...",
       "",
       "there are no Go files here whose verbosity could differ"},
      {"logging.options.text.splitStream",
       {"log-text-split-stream"},
       kProxy<&Kpc::logging, &Kpc::Logging::text, &Kpc::LogStream::split_stream>,
       g,
       "",
       "",
       kOneLog},
      {"logging.options.text.infoBufferSize",
       {"log-text-info-buffer-size"},
       kProxy<&Kpc::logging, &Kpc::Logging::text, &Kpc::LogStream::info_buffer_size>,
       g,
       "SIZE",
       "",
       kOneLog},
      {"logging.options.json.splitStream",
       {"log-json-split-stream"},
       kProxy<&Kpc::logging, &Kpc::Logging::json, &Kpc::LogStream::split_stream>,
       g,
       "",
       "",
       kOneLog},
      {"logging.options.json.infoBufferSize",
       {"log-json-info-buffer-size"},
       kProxy<&Kpc::logging, &Kpc::Logging::json, &Kpc::LogStream::info_buffer_size>,
       g,
       "SIZE",
       "",
       kOneLog},
  };
}

std::vector<Field> IgnoredOthers() {
  const Group g = Group::kIgnored;
  return {
      {.path = "nftables.minSyncPeriod",
       .flags = {"iptables-min-sync-period"},
       .slot = kProxy<&Kpc::nftables, &Kpc::Nftables::min_sync_period>,
       .group = g,
       .type = "TIME",
       .ignored = kNoPeriod,
       .zero_is_default = true},
      {.path = "iptables.minSyncPeriod",
       .flags = {"iptables-min-sync-period"},
       .slot = kProxy<&Kpc::iptables, &Kpc::Iptables::min_sync_period>,
       .group = g,
       .type = "TIME",
       .ignored = kNoPeriod,
       .zero_is_default = true},
      {"iptables.localhostNodePorts",
       {"iptables-localhost-nodeports"},
       kProxy<&Kpc::iptables, &Kpc::Iptables::localhost_node_ports>,
       g,
       "",
       "",
       "NodePorts do not answer at loopback addresses"},
      {.path = "configSyncPeriod",
       .flags = {"config-sync-period"},
       .slot = kProxy<&Kpc::config_sync_period>,
       .group = g,
       .type = "TIME",
       .ignored = "objects are followed, not looked through again",
       .zero_is_default = true},
      {"showHiddenMetricsForVersion",
       {"show-hidden-metrics-for-version"},
       kProxy<&Kpc::show_hidden_metrics_for_version>,
       g,
       "VERSION",
       "",
       "no metric is hidden"},
      {"portRange", {}, kProxy<&Kpc::port_range>, g, "RANGE", "", "kube-proxy has no use for it either"},
      {"windowsRunAsService", {}, kProxy<&Kpc::windows_run_as_service>, g, "", "", kNoWindows},
      {"winkernel.networkName", {}, kProxy<&Kpc::winkernel, &Kpc::Winkernel::network_name>, g, "NAME", "", kNoWindows},
      {"winkernel.sourceVip", {}, kProxy<&Kpc::winkernel, &Kpc::Winkernel::source_vip>, g, "IP", "", kNoWindows},
      {"winkernel.enableDSR", {}, kProxy<&Kpc::winkernel, &Kpc::Winkernel::enable_dsr>, g, "", "", kNoWindows},
      {"winkernel.rootHnsEndpointName",
       {},
       kProxy<&Kpc::winkernel, &Kpc::Winkernel::root_hns_endpoint_name>,
       g,
       "NAME",
       "",
       kNoWindows},
      {"winkernel.forwardHealthCheckVip",
       {},
       kProxy<&Kpc::winkernel, &Kpc::Winkernel::forward_health_check_vip>,
       g,
       "",
       "",
       kNoWindows},
      {"", {"machine-id-file"}, kStart<&Invocation::machine_id_files>, g, "FILE,...", "", kNoIds},
      {"", {"boot-id-file"}, kStart<&Invocation::boot_id_files>, g, "FILE,...", "", kNoIds},
  };
}

}  // namespace

std::vector<Field> IgnoredFields() {
  std::vector<Field> all;
  for (auto part : {IgnoredIpvs, IgnoredLogging, IgnoredOthers}) {
    for (Field& field : part()) all.push_back(std::move(field));
  }
  return all;
}

}  // namespace pointsman::options
