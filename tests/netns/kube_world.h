// SPDX-License-Identifier: Apache-2.0
//
// A node with an API server on its loopback, and what to put into it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "gtest/gtest.h"

#include "pointsman/netlink.h"
#include "tests/support/agent_process.h"
#include "tests/support/fake_api/fake_api.h"
#include "tests/support/fake_api/kubeconfig.h"
#include "tests/support/files.h"
#include "tests/support/world.h"

namespace pointsman {

inline constexpr char kNodeName[] = "node-a";

// A Manifest's Service and its EndpointSlice as the API server keeps them, defaults filled in.
inline kube::Service ServiceOf(const support::Manifest& manifest) {
  const std::pair<std::string, std::string> names = absl::StrSplit(manifest.name, absl::MaxSplits('/', 1));
  kube::Service service;
  service.mutable_metadata()->set_namespace_(names.first);
  service.mutable_metadata()->set_name(names.second);
  kube::ServiceSpec& spec = *service.mutable_spec();
  spec.set_type(manifest.node_port == 0 ? "ClusterIP" : "NodePort");
  spec.set_cluster_ip(manifest.ip);
  spec.add_cluster_ips(manifest.ip);
  spec.add_ip_families(absl::StrContains(manifest.ip, ":") ? "IPv6" : "IPv4");
  spec.set_session_affinity("None");
  spec.set_internal_traffic_policy("Cluster");
  if (manifest.node_port != 0) spec.set_external_traffic_policy("Cluster");
  kube::ServicePort& port = *spec.add_ports();
  port.set_protocol(manifest.protocol);
  port.set_port(manifest.port);
  if (manifest.node_port != 0) port.set_node_port(manifest.node_port);
  return service;
}

inline kube::EndpointSlice SliceOf(const support::Manifest& manifest) {
  const std::pair<std::string, std::string> names = absl::StrSplit(manifest.name, absl::MaxSplits('/', 1));
  kube::EndpointSlice slice;
  slice.mutable_metadata()->set_namespace_(names.first);
  slice.mutable_metadata()->set_name(absl::StrCat(names.second, "-1"));
  (*slice.mutable_metadata()->mutable_labels())["kubernetes.io/service-name"] = names.second;
  slice.set_address_type(absl::StrContains(manifest.ip, ":") ? "IPv6" : "IPv4");
  for (const std::string& address : manifest.endpoints) {
    kube::Endpoint& endpoint = *slice.add_endpoints();
    endpoint.add_addresses(address);
    endpoint.mutable_conditions()->set_ready(true);
    endpoint.mutable_conditions()->set_serving(true);
    endpoint.mutable_conditions()->set_terminating(false);
  }
  kube::EndpointPort& port = *slice.add_ports();
  port.set_name("");
  port.set_protocol(manifest.protocol);
  port.set_port(manifest.target_port);
  return slice;
}

inline void Put(support::FakeApi& api, const support::Manifest& manifest) {
  api.Put(ServiceOf(manifest));
  api.Put(SliceOf(manifest));
}

// The node of the World, as the kubelet registers it.
inline kube::Node NodeAt(const std::vector<std::string>& addresses) {
  kube::Node node;
  node.mutable_metadata()->set_name(kNodeName);
  for (const std::string& text : addresses) {
    kube::NodeAddress& address = *node.mutable_status()->add_addresses();
    address.set_type("InternalIP");
    address.set_address(text);
  }
  return node;
}

class KubeWorld : public ::testing::Test {
 protected:
  support::NetNs& node() { return world_.node(); }

  // A server in the node's namespace, where its thread stays.
  std::unique_ptr<support::FakeApi> StartApi(support::FakeApi::Options options = {}) {
    std::unique_ptr<support::FakeApi> api;
    node().Run([&] { api = std::make_unique<support::FakeApi>(ca_, std::move(options)); });
    return api;
  }
  // One that was stopped listens in the namespace of who starts it.
  void Restart(support::FakeApi& api) {
    node().Run([&] { api.Start(ca_); });
  }

  // The path of a kubeconfig; `name` is the file's.
  std::string Config(const std::string& name, const support::FakeApi& api, const std::string& token_file = "") {
    support::ReplaceFile(dir_.File(name), support::Kubeconfig(api.url(), ca_.pem(), token_file));
    return dir_.File(name);
  }
  static std::vector<std::string> With(const std::string& kubeconfig, std::vector<std::string> more = {}) {
    // The size of the connection tracking table is the machine's, not the namespace's.
    std::vector<std::string> args = {"--kubeconfig", kubeconfig, "--hostname-override", kNodeName,
                                     "--conntrack-max-per-core=0"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  support::ProcessResult Pointsman(const std::string& command, std::vector<std::string> args) {
    args.insert(args.begin(), command);
    return support::RunPointsman(node(), args, {.timeout = absl::Seconds(30)});
  }

  Generation KernelGeneration() {
    const absl::StatusOr<Generation> generation = node().Call([] {
      const auto dataplane = OpenNftDataplane();
      return dataplane.ok() ? (*dataplane)->CurrentGeneration() : dataplane.status();
    });
    EXPECT_TRUE(generation.ok()) << generation.status();
    return generation.value_or(kUnknownGeneration);
  }
  std::string Nft(const std::vector<std::string>& words) {
    std::vector<std::string> command = {"nft"};
    command.insert(command.end(), words.begin(), words.end());
    return support::RunProcess(node(), command, {.timeout = absl::Seconds(60)}).out;
  }

  // What the agent says of itself when asked: the lines about each kind, then the one about the server.
  static std::vector<support::LogLine> AskStatus(support::AgentProcess& agent) {
    const size_t mark = agent.Mark();
    agent.process().Signal(SIGUSR1);
    std::vector<support::LogLine> lines;
    EXPECT_TRUE(support::Eventually(absl::Seconds(5), [&] {
      lines = agent.Events("api_status", mark);
      const std::vector<support::LogLine> server = agent.Events("api_server", mark);
      lines.insert(lines.end(), server.begin(), server.end());
      return lines.size() == 5;
    })) << agent.log().substr(mark);
    return lines;
  }
  // Over all kinds.
  static int Sum(const std::vector<support::LogLine>& status, const std::string& field) {
    int sum = 0;
    for (const support::LogLine& line : status) {
      if (line.event == "api_status") sum += line.Number(field);
    }
    return sum;
  }

  support::World world_{{.pods = 2}};
  support::CertificateAuthority ca_{"cluster CA"};
  support::TempDir dir_;
};

}  // namespace pointsman
