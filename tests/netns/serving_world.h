// SPDX-License-Identifier: Apache-2.0
//
// A node of a cluster with a configuration file, and questions to what the agent serves over HTTP.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "gtest/gtest.h"

#include "nlohmann/json.hpp"
#include "tests/netns/kube_world.h"
#include "tests/unit/agent/serve/client.h"

namespace pointsman {

inline constexpr uint16_t kHealthPort = 10256;
inline constexpr uint16_t kMetricsPort = 10249;

// The sum of the samples whose line begins with `name` and has `part` in it; -1 if there is none.
inline double Sample(const std::string& metrics, const std::string& name, const std::string& part = "") {
  double sum = -1;
  for (const absl::string_view line : absl::StrSplit(metrics, '\n')) {
    const bool this_one = absl::StartsWith(line, name + " ") || absl::StartsWith(line, name + "{");
    double value = 0;
    if (!this_one || !absl::StrContains(line, part)) continue;
    if (!absl::SimpleAtod(line.substr(line.rfind(' ') + 1), &value)) continue;
    sum = sum < 0 ? value : sum + value;
  }
  return sum;
}

class ServingWorld : public KubeWorld {
 protected:
  // The path of a configuration that names this API server. Connection tracking is left as the machine has it.
  std::string Configure(const support::FakeApi& api, const std::string& more = "",
                        const std::string& mode = "nftables") {
    support::ReplaceFile(
        dir_.File("config.conf"),
        absl::StrCat("apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ", mode,
                     "\nhostnameOverride: ", kNodeName,
                     "\nclientConnection:\n  kubeconfig: ", Config("kubeconfig", api),
                     "\nconntrack:\n  maxPerCore: 0\n  tcpEstablishedTimeout: 0s\n  tcpCloseWaitTimeout: 0s\n", more));
    return dir_.File("config.conf");
  }
  std::unique_ptr<support::AgentProcess> Start(const std::string& configuration) {
    return std::make_unique<support::AgentProcess>(node(), std::vector<std::string>{"--config", configuration});
  }

  // From the node itself.
  serve::Reply Get(uint16_t port, const std::string& path, const char* address = "127.0.0.1") {
    return serve::Ask(node(), serve::At(address, port), "GET", path);
  }
  serve::Reply Health(const std::string& path) { return Get(kHealthPort, path); }
  std::string Metrics() { return Get(kMetricsPort, "/metrics").body; }
  static nlohmann::json Parsed(const serve::Reply& reply) {
    return nlohmann::json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
  }
  // Until `path` of the health server is answered so.
  bool Becomes(const std::string& path, int status, absl::Duration timeout = absl::Seconds(10)) {
    return support::Eventually(timeout, [&] { return Health(path).status == status; });
  }
  // Where something listens in the node: "ADDRESS:PORT", as ss writes it.
  std::vector<std::string> Listening(int port) {
    const support::ProcessResult ss =
        support::RunProcess(node(), {"ss", "-Hltn", port == 0 ? "" : absl::StrCat("sport = :", port)});
    EXPECT_EQ(ss.exit_code, 0) << ss.err;
    std::vector<std::string> found;
    for (const absl::string_view line : absl::StrSplit(ss.out, '\n', absl::SkipEmpty())) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
      found.push_back(words.at(3));
    }
    return found;
  }
};

}  // namespace pointsman
