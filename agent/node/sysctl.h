// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

#include "agent/options/settings.h"

namespace pointsman::node {

// A kernel parameter and what it should be.
struct Sysctl {
  std::string path;  // below the root, "proc/sys/net/netfilter/nf_conntrack_max"
  int64_t wanted = 0;
  bool at_least = false;  // more is as good

  friend bool operator==(const Sysctl&, const Sysctl&) = default;
};

// What the settings ask of the kernel; kube-proxy's rules. Parameters that are to be left alone are not in it.
//
// Inputs: `cpus` of the machine.
// Source: KubeProxyConfiguration.conntrack
std::vector<Sysctl> WantedSysctls(const options::Settings& settings, int cpus);

// How many connections the kernel is to remember: `max_per_core` for each CPU, at least `min`, never above 1048576 but
// for `min`'s sake. 0: leave it.
int64_t ConntrackMax(int32_t max_per_core, int32_t min, int cpus);

// What became of one.
struct SysctlOutcome {
  Sysctl sysctl;
  int64_t before = 0;    // if it could be read
  bool written = false;  // it was different, and is as wanted now
  absl::Status status;   // kNotFound: this kernel has none. kPermissionDenied, kFailedPrecondition (read-only).
};

// Writes those that differ, each on its own.
std::vector<SysctlOutcome> SetSysctls(absl::Span<const Sysctl> sysctls, const std::string& root = "/");

// CPUs of the machine, not those this process may use.
int CountCpus(const std::string& root = "/");

}  // namespace pointsman::node
