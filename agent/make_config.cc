// SPDX-License-Identifier: Apache-2.0
#include "agent/make_config.h"

#include <unistd.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "agent/kube/access.h"
#include "agent/kube/decode.h"
#include "agent/kube/session.h"
#include "agent/options/effective.h"
#include "agent/options/feature_gates.h"
#include "agent/options/fields.h"
#include "agent/source/yaml_reader.h"
#include "pointsman/status.h"

namespace pointsman {
namespace {

// As the kubelet does: the name of the host, in lower case.
std::string HostName() {
  char name[256] = "";
  if (gethostname(name, sizeof name - 1) != 0) return "";
  return absl::AsciiStrToLower(name);
}

// What is to be asked of which API server; nullopt: there are manifests instead.
absl::StatusOr<std::optional<kube::SourceOptions>> MakeApi(const options::Settings& settings, const Config& config) {
  if (!settings.own.manifests.empty()) return std::nullopt;
  const auto& client = settings.proxy.client_connection;
  if (!kube::EncodingOf(client.content_type)) {
    return absl::InvalidArgumentError(absl::StrCat(options::PlaceOf(settings, "clientConnection.contentType"), ": ",
                                                   QuoteForUser(client.content_type), " is not spoken here: write ",
                                                   kube::kProtobufType, " or ", kube::kJsonType));
  }
  absl::StatusOr<kube::Access> access = kube::FindAccess(client.kubeconfig, settings.masters);
  if (!access.ok()) {
    if (!client.kubeconfig.empty() || !settings.masters.empty()) return access.status();
    return absl::FailedPreconditionError(
        absl::StrCat("where are the objects? Give --manifests PATH or --kubeconfig FILE: ", access.status().message()));
  }
  return kube::SourceOptions{.access = *std::move(access),
                             .node_name = config.node_name,
                             .content_type = client.content_type,
                             .accept = client.accept_content_types,
                             // 0 is the default, on the command line as in the file.
                             .qps = client.qps == 0 ? 5 : client.qps,
                             .burst = client.burst == 0 ? 10 : client.burst,
                             .need_pod_cidrs = config.detect_local_mode == DetectLocalMode::kNodeCidr};
}

// Where NodePorts answer. Without a word about it: the primary addresses in mode nftables, every one in the others.
absl::Status SetNodePortAddresses(const options::Settings& settings, Config& config) {
  const std::vector<std::string>& given = settings.proxy.node_port_addresses;
  config.node_ports_everywhere = given.empty();
  if (given == std::vector<std::string>{"primary"}) return absl::OkStatus();
  PM_ASSIGN_OR_RETURN(config.node_port_addresses, ParseCidrs(absl::StrJoin(given, ",")));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Config> MakeConfig(const options::Settings& settings) {
  const options::KubeProxyConfiguration& proxy = settings.proxy;
  const options::OwnSettings& own = settings.own;
  const options::ModeSettings mode = options::ActiveModeSettings(proxy);
  Config config;
  config.manifests = own.manifests;
  config.node_name = proxy.hostname_override.empty() ? HostName() : proxy.hostname_override;
  if (config.node_name.empty()) {
    return absl::FailedPreconditionError("this host has no name: give one with --hostname-override");
  }
  config.masquerade_all = mode.masquerade_all;
  config.masquerade_bit = mode.masquerade_bit;
  config.close_unranged_vips = own.close_unranged_vips;
  config.clean_tcp = own.clean_tcp;
  config.affinity_size = own.affinity_size;
  config.external_ips = options::IsOn("AllowServiceExternalIPs", proxy);
  PM_ASSIGN_OR_RETURN(config.allocate_from, ParseAllocationRanges(own.allocate_from));
  PM_ASSIGN_OR_RETURN(config.detect_local_mode, ParseDetectLocalMode(proxy.detect_local_mode));
  // In the other modes it is not looked at, nor need it be readable.
  if (config.detect_local_mode == DetectLocalMode::kClusterCidr) {
    PM_ASSIGN_OR_RETURN(config.cluster_cidrs, ParseCidrs(proxy.cluster_cidr));
  }
  config.pod_bridge_interface = proxy.detect_local.bridge_interface;
  config.pod_interface_name_prefix = proxy.detect_local.interface_name_prefix;
  PM_ASSIGN_OR_RETURN(config.service_cidrs, ParseCidrs(own.service_cidr));
  PM_RETURN_IF_ERROR(SetNodePortAddresses(settings, config));
  const std::optional<IpAddr> bind = IpAddr::Parse(proxy.bind_address);
  if (bind && !bind->IsUnspecified()) config.bind_address = *bind;
  PM_ASSIGN_OR_RETURN(config.api, MakeApi(settings, config));
  return config;
}

}  // namespace pointsman
