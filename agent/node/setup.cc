// SPDX-License-Identifier: Apache-2.0
#include "agent/node/setup.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

#include "agent/node/sysctl.h"
#include "pointsman/log.h"

namespace pointsman::node {
namespace {

// As sysctl(8) has it: "net.netfilter.nf_conntrack_max"; what is elsewhere keeps its path.
std::string NameOf(const Sysctl& sysctl) {
  absl::string_view path = sysctl.path;
  if (absl::ConsumePrefix(&path, "proc/sys/")) return absl::StrReplaceAll(path, {{"/", "."}});
  return absl::StrCat("/", path);
}

// Routing between pods is the network plug-in's to turn on; without it nothing that is translated arrives.
void WarnOfForwarding() {
  for (const char* path : {"proc/sys/net/ipv4/ip_forward", "proc/sys/net/ipv6/conf/all/forwarding"}) {
    const Sysctl forwarding = {.path = path, .wanted = 0, .at_least = true};
    const SysctlOutcome now = SetSysctls({forwarding}).front();
    if (!now.status.ok() || now.before != 0) continue;
    Log(LogLevel::kWarning, "forwarding_off",
        {{"parameter", NameOf(forwarding)},
         {"effect", "what goes to a Service from elsewhere does not reach endpoints on other nodes or in pods"},
         {"hint", "the network plug-in should turn it on; --pointsman.ip-forward does"}});
  }
}

}  // namespace

absl::Status SetUp(const options::Settings& settings) {
  const int oom_score = settings.proxy.oom_score_adj;
  const SysctlOutcome oom = SetSysctls({{.path = "proc/self/oom_score_adj", .wanted = oom_score}}).front();
  if (!oom.status.ok()) {
    Log(LogLevel::kVerbose, "oom_score_adj", {{"wanted", oom_score}, {"error", oom.status.message()}});
  }

  std::vector<std::string> failed;
  for (const SysctlOutcome& outcome : SetSysctls(WantedSysctls(settings, CountCpus()))) {
    const std::string name = NameOf(outcome.sysctl);
    if (!outcome.status.ok()) {
      failed.push_back(absl::StrCat(
          name, "=", outcome.sysctl.wanted, " (",
          absl::IsNotFound(outcome.status) ? "not there: is nf_conntrack loaded?" : absl::StrCat("is ", outcome.before),
          ")"));
    } else if (outcome.written) {
      Log(LogLevel::kInfo, "sysctl", {{"parameter", name}, {"before", outcome.before}, {"now", outcome.sysctl.wanted}});
    }
  }
  if (!settings.own.ip_forward) WarnOfForwarding();
  if (failed.empty()) return absl::OkStatus();
  const std::string list = absl::StrJoin(failed, ", ");
  Log(LogLevel::kWarning, "sysctl_not_set",
      {{"parameters", list},
       {"effect", "the node's own values stay"},
       {"hint",
        "run once with --init-only where /proc/sys may be written (a privileged init container), set them on "
        "the node, or set the conntrack fields of the configuration to 0"}});
  return absl::FailedPreconditionError(absl::StrCat("could not set ", list));
}

}  // namespace pointsman::node
