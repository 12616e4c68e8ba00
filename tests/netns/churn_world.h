// SPDX-License-Identifier: Apache-2.0
//
// A Service with three endpoints, all of whose servers go on listening whatever the manifests say: a connection that
// fails was lost by the rules.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "gtest/gtest.h"

#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace pointsman {

// Instrumented code is several times slower; it must do the same, only less of it.
#ifdef PM_SANITIZED
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif
inline constexpr int kPods = 3;

class ChurnWorld : public ::testing::Test {
 protected:
  explicit ChurnWorld(Family family) : family_(family) {
    for (int i = 0; i < kPods; ++i) {
      servers_.push_back(std::make_unique<support::NameServer>(world_.pod(i), absl::StrCat("pod-", i)));
      servers_.back()->Listen(Protocol::kTcp, {world_.pod_ip(i, family_), 8080});
    }
  }

  std::string ClusterIp() const { return family_ == Family::kIpv4 ? "198.51.100.80" : "2001:db8:96::80"; }

  // Of the Service, with the pods whose bits are set as its endpoints.
  std::string Yaml(unsigned pods) const {
    support::Manifest web{.name = "shop/web", .ip = ClusterIp(), .endpoints = {}};
    for (int i = 0; i < kPods; ++i) {
      if ((pods >> i & 1) != 0) web.endpoints.push_back(FormatIp(world_.pod_ip(i, family_)));
    }
    return web.Yaml();
  }

  const Family family_;
  support::World world_{{.pods = kPods}};
  std::vector<std::unique_ptr<support::NameServer>> servers_;
  support::TempDir dir_;
};

}  // namespace pointsman
