// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace pointsman::options {

// kubeproxy.config.k8s.io/v1alpha1 KubeProxyConfiguration, as it is in the file: nothing derived. Defaults are
// kube-proxy's. Names are those of the file; the table of fields (fields.h) says what each one is for.
struct KubeProxyConfiguration {
  std::map<std::string, bool> feature_gates;

  struct ClientConnection {
    std::string kubeconfig;
    std::string accept_content_types;
    std::string content_type = "application/vnd.kubernetes.protobuf";
    double qps = 5;
    int32_t burst = 10;
    friend bool operator==(const ClientConnection&, const ClientConnection&) = default;
  } client_connection;

  struct Vmodule {
    std::string file_pattern;
    uint32_t verbosity = 0;
    friend bool operator==(const Vmodule&, const Vmodule&) = default;
  };
  struct LogStream {
    bool split_stream = false;
    std::string info_buffer_size = "0";  // a quantity
    friend bool operator==(const LogStream&, const LogStream&) = default;
  };
  struct Logging {
    std::string format = "text";
    absl::Duration flush_frequency = absl::Seconds(5);
    uint32_t verbosity = 0;
    std::vector<Vmodule> vmodule;
    LogStream text;
    LogStream json;
    friend bool operator==(const Logging&, const Logging&) = default;
  } logging;

  std::string hostname_override;
  std::string bind_address = "0.0.0.0";
  std::string healthz_bind_address = "0.0.0.0:10256";
  std::string metrics_bind_address = "127.0.0.1:10249";
  bool bind_address_hard_fail = false;
  bool enable_profiling = false;
  std::string show_hidden_metrics_for_version;
  std::string mode;

  struct Iptables {
    int32_t masquerade_bit = 14;
    bool masquerade_all = false;
    bool localhost_node_ports = true;
    absl::Duration sync_period = absl::Seconds(30);
    absl::Duration min_sync_period = absl::Seconds(1);
    friend bool operator==(const Iptables&, const Iptables&) = default;
  } iptables;

  struct Ipvs {
    absl::Duration sync_period = absl::Seconds(30);
    absl::Duration min_sync_period = absl::ZeroDuration();
    std::string scheduler;
    std::vector<std::string> exclude_cidrs;
    bool strict_arp = false;
    absl::Duration tcp_timeout = absl::ZeroDuration();
    absl::Duration tcp_fin_timeout = absl::ZeroDuration();
    absl::Duration udp_timeout = absl::ZeroDuration();
    friend bool operator==(const Ipvs&, const Ipvs&) = default;
  } ipvs;

  struct Nftables {
    int32_t masquerade_bit = 14;
    bool masquerade_all = false;
    absl::Duration sync_period = absl::Seconds(30);
    absl::Duration min_sync_period = absl::Seconds(1);
    friend bool operator==(const Nftables&, const Nftables&) = default;
  } nftables;

  struct Winkernel {
    std::string network_name;
    std::string source_vip;
    bool enable_dsr = false;
    std::string root_hns_endpoint_name;
    bool forward_health_check_vip = false;
    friend bool operator==(const Winkernel&, const Winkernel&) = default;
  } winkernel;

  std::string detect_local_mode;
  struct DetectLocal {
    std::string bridge_interface;
    std::string interface_name_prefix;
    friend bool operator==(const DetectLocal&, const DetectLocal&) = default;
  } detect_local;

  std::string cluster_cidr;
  std::vector<std::string> node_port_addresses;
  int32_t oom_score_adj = -999;

  struct Conntrack {
    int32_t max_per_core = 32768;
    int32_t min = 131072;
    absl::Duration tcp_established_timeout = absl::Hours(24);
    absl::Duration tcp_close_wait_timeout = absl::Hours(1);
    bool tcp_be_liberal = false;
    absl::Duration udp_timeout = absl::ZeroDuration();
    absl::Duration udp_stream_timeout = absl::ZeroDuration();
    friend bool operator==(const Conntrack&, const Conntrack&) = default;
  } conntrack;

  absl::Duration config_sync_period = absl::Minutes(15);
  std::string port_range;
  bool windows_run_as_service = false;

  friend bool operator==(const KubeProxyConfiguration&, const KubeProxyConfiguration&) = default;
};

}  // namespace pointsman::options
