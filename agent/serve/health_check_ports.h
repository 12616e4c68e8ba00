// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"

#include "agent/serve/http_server.h"
#include "pointsman/api.h"
#include "pointsman/net.h"
#include "pointsman/plan.h"

namespace pointsman::serve {

// Tells load balancers on which nodes a Service with externalTrafficPolicy Local has endpoints: a port per Service.
//
// Threads: Update, Replace and SetAddresses from one.
class HealthCheckPorts {
 public:
  using Check = HealthCheck;
  using Change = std::pair<NamespacedName, std::optional<Check>>;  // nullopt: it has no such port, or is gone

  // What has become of the listener of one Service and family.
  struct News {
    NamespacedName service;
    Family family = Family::kIpv4;
    uint16_t port = 0;
    absl::Status status;  // OK: it listens, or listens again. An error: it does not; told once while it is tried again
  };

  // `proxy_healthy` is called on the server's thread, `report` there and from Update, Replace and SetAddresses.
  // `server` must outlive this.
  HealthCheckPorts(HttpServer& server, std::function<bool()> proxy_healthy, std::function<void(const News&)> report);
  ~HealthCheckPorts();
  HealthCheckPorts(const HealthCheckPorts&) = delete;
  HealthCheckPorts& operator=(const HealthCheckPorts&) = delete;

  // These Services, each named once, are now so; the others stay as they are. A listener that does not change is not
  // touched.
  void Update(const std::vector<Change>& changes);
  // The Services are these and no others.
  void Replace(const std::vector<std::pair<NamespacedName, Check>>& all);
  // Where to listen in `family`: these addresses, maybe none, or all there are (nullopt). At first, all.
  void SetAddresses(Family family, std::optional<std::vector<IpAddr>> addresses);

 private:
  struct Shared;
  // All that claim a port in a family, the first of which has it.
  struct Port {
    std::vector<NamespacedName> claimants;
    std::optional<HttpServer::Id> listener;
  };
  using PortKey = std::pair<Family, uint16_t>;

  void Claim(Family family, const NamespacedName& service, uint16_t number);
  void Withdraw(Family family, const NamespacedName& service, uint16_t number);
  void Serve(const PortKey& key, Port& port);
  std::vector<SocketAddr> Addresses(const PortKey& key) const;

  HttpServer& server_;
  const std::shared_ptr<Shared> shared_;
  const std::function<void(const News&)> report_;
  std::array<std::optional<std::vector<IpAddr>>, 2> addresses_;  // by family
  absl::flat_hash_map<NamespacedName, Check> services_;
  absl::btree_map<PortKey, Port> ports_;
};

}  // namespace pointsman::serve
