// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/container/btree_map.h"
#include "absl/time/time.h"

#include "agent/serve/board.h"
#include "agent/serve/http.h"

namespace pointsman::serve {

// What to say of this node when a load balancer or the kubelet asks.
struct ProxyHealth {
  struct OfFamily {
    absl::Time updated;  // by the calendar
    bool healthy = true;
  };
  absl::btree_map<Family, OfFamily> families;
  bool healthy = true;    // no family has a change waiting for too long
  bool eligible = false;  // the node is there to stay
  bool ready = false;
};

// Inputs: `limit`: a change that has waited for so long is too late; `now` is steady time.
ProxyHealth Assess(const Standing& standing, absl::Duration limit, absl::Time now);

// As Go writes a time in JSON: RFC 3339, up to nanoseconds, without trailing zeros. InfinitePast is the year 1.
std::string FormatGoTime(absl::Time time, absl::TimeZone zone);

// The answers to /healthz (proxy and node), /livez (proxy) and /readyz (the rules are in place), as of `now` by the
// calendar.
Response Healthz(const ProxyHealth& health, absl::Time now, absl::TimeZone zone);
Response Livez(const ProxyHealth& health, absl::Time now, absl::TimeZone zone);
Response Readyz(const ProxyHealth& health);

}  // namespace pointsman::serve
