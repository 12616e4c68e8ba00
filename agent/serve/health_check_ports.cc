// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/health_check_ports.h"

#include <algorithm>
#include <mutex>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"

#include "nlohmann/json.hpp"

namespace pointsman::serve {
namespace {

constexpr absl::Duration kFirstPause = absl::Seconds(1);
constexpr absl::Duration kLongestPause = absl::Seconds(5);

const std::optional<int>& CountOf(const HealthCheckPorts::Check& check, Family family) {
  return family == Family::kIpv4 ? check.local_ipv4 : check.local_ipv6;
}

Response Tell(const NamespacedName& service, int local, bool proxy_healthy) {
  const nlohmann::ordered_json body = {{"service", {{"namespace", service.ns}, {"name", service.name}}},
                                       {"localEndpoints", local},
                                       {"serviceProxyHealthy", proxy_healthy}};
  Response response =
      Json(local > 0 && proxy_healthy ? 200 : 503, body.dump(1, '\t', false, nlohmann::json::error_handler_t::replace));
  response.headers.emplace_back("X-Load-Balancing-Endpoint-Weight", absl::StrCat(local));
  return response;
}

}  // namespace

// What the handlers know. It outlives the object: they run until the server has closed their listeners.
struct HealthCheckPorts::Shared {
  explicit Shared(std::function<bool()> healthy) : proxy_healthy(std::move(healthy)) {}

  // A request may come while its Service is being taken away: then there is nothing here any more.
  Response Answer(const NamespacedName& service, Family family, uint16_t port) {
    std::optional<int> local;
    {
      const std::lock_guard lock(mutex);
      const auto it = checks.find(service);
      if (it != checks.end() && it->second.port == port) local = CountOf(it->second, family);
    }
    return local ? Tell(service, *local, proxy_healthy()) : Text(503, "");
  }

  const std::function<bool()> proxy_healthy;
  std::mutex mutex;
  absl::flat_hash_map<NamespacedName, Check> checks ABSL_GUARDED_BY(mutex);
};

HealthCheckPorts::HealthCheckPorts(HttpServer& server, std::function<bool()> proxy_healthy,
                                   std::function<void(const News&)> report)
    : server_(server), shared_(std::make_shared<Shared>(std::move(proxy_healthy))), report_(std::move(report)) {}

HealthCheckPorts::~HealthCheckPorts() {
  for (const auto& [key, port] : ports_) {
    if (port.listener) server_.Close(*port.listener);
  }
  server_.Flush();
}

void HealthCheckPorts::Update(const std::vector<Change>& changes) {
  {
    const std::lock_guard lock(shared_->mutex);
    for (const auto& [name, check] : changes) {
      if (check) {
        shared_->checks[name] = *check;
      } else {
        shared_->checks.erase(name);
      }
    }
  }
  // Withdrawals first: a port that one Service leaves may be what another comes for.
  const auto port_in = [](const std::optional<Check>& check, Family family) -> std::optional<uint16_t> {
    return check && check->port != 0 && CountOf(*check, family) ? std::optional(check->port) : std::nullopt;
  };
  std::vector<std::pair<NamespacedName, PortKey>> claims;
  for (const auto& [name, check] : changes) {
    const auto it = services_.find(name);
    const std::optional<Check> before = it == services_.end() ? std::nullopt : std::optional(it->second);
    for (const Family family : kFamilies) {
      const std::optional<uint16_t> was = port_in(before, family);
      const std::optional<uint16_t> is = port_in(check, family);
      if (was == is) continue;
      if (was) Withdraw(family, name, *was);
      if (is) claims.emplace_back(name, PortKey{family, *is});
    }
    if (check) {
      services_[name] = *check;
    } else if (it != services_.end()) {
      services_.erase(it);
    }
  }
  for (const auto& [name, key] : claims) Claim(key.first, name, key.second);
}

void HealthCheckPorts::Replace(const std::vector<std::pair<NamespacedName, Check>>& all) {
  std::vector<Change> changes;
  changes.reserve(all.size() + services_.size());
  absl::flat_hash_map<NamespacedName, Check> gone = services_;
  for (const auto& [name, check] : all) {
    gone.erase(name);
    changes.emplace_back(name, check);
  }
  for (const auto& [name, check] : gone) changes.emplace_back(name, std::nullopt);
  Update(changes);
}

void HealthCheckPorts::SetAddresses(Family family, std::optional<std::vector<IpAddr>> addresses) {
  if (addresses) std::erase_if(*addresses, [&](const IpAddr& a) { return a.family() != family; });
  auto& current = addresses_[static_cast<size_t>(family)];
  if (addresses == current) return;
  current = std::move(addresses);
  for (const auto& [key, port] : ports_) {
    if (key.first == family && port.listener) server_.Move(*port.listener, Addresses(key));
  }
}

void HealthCheckPorts::Claim(Family family, const NamespacedName& service, uint16_t number) {
  const PortKey key = {family, number};
  Port& port = ports_[key];
  port.claimants.push_back(service);
  if (port.claimants.size() == 1) {
    Serve(key, port);
  } else {
    report_({service, family, number,
             absl::AlreadyExistsError(absl::StrCat("health-check node port ", number, " is that of Service ",
                                                   FormatName(port.claimants.front()), " already"))});
  }
}

void HealthCheckPorts::Withdraw(Family family, const NamespacedName& service, uint16_t number) {
  const auto it = ports_.find({family, number});
  Port& port = it->second;
  const bool had_it = port.claimants.front() == service;
  std::erase(port.claimants, service);
  if (!had_it) return;
  if (port.listener) server_.Close(*port.listener);
  port.listener.reset();
  if (port.claimants.empty()) {
    ports_.erase(it);
  } else {
    Serve(it->first, port);
  }
}

void HealthCheckPorts::Serve(const PortKey& key, Port& port) {
  const auto [family, number] = key;
  const NamespacedName& service = port.claimants.front();
  port.listener = server_.Listen({
      .addresses = Addresses(key),
      .handler = [shared = shared_, service, f = family,
                  n = number](const Request&) { return shared->Answer(service, f, n); },
      .report =
          [report = report_, service, f = family, n = number](const absl::Status& status) {
            report({service, f, n, status});
          },
      .first_pause = kFirstPause,
      .longest_pause = kLongestPause,
  });
}

std::vector<SocketAddr> HealthCheckPorts::Addresses(const PortKey& key) const {
  const auto [family, number] = key;
  const auto& only = addresses_[static_cast<size_t>(family)];
  if (!only) {
    constexpr std::array<uint8_t, 16> kZeros = {};
    return {{IpAddr::FromBytes(absl::MakeConstSpan(kZeros).first(family == Family::kIpv4 ? 4 : 16)), number}};
  }
  std::vector<SocketAddr> addresses;
  addresses.reserve(only->size());
  for (const IpAddr& addr : *only) addresses.push_back({addr, number});
  return addresses;
}

}  // namespace pointsman::serve
