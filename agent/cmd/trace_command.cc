// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <limits>

#include "absl/strings/str_format.h"

#include "agent/cmd/command.h"
#include "agent/cmd/trace.h"
#include "pointsman/netlink.h"
#include "pointsman/nft_program.h"
#include "pointsman/status.h"

namespace pointsman {
namespace {

absl::StatusOr<nft::Ruleset> ReadKernel() {
  PM_RETURN_IF_ERROR(CheckNetAdmin());
  PM_ASSIGN_OR_RETURN(const std::unique_ptr<Dataplane> dataplane,
                      OpenNftDataplane({.max_listed_elements = std::numeric_limits<int>::max(), .list_filled = true}));
  PM_ASSIGN_OR_RETURN(Observation observation, dataplane->Observe());
  return std::move(observation.ruleset);
}

absl::StatusOr<TraceReport> Explain(const Flags& flags) {
  PM_ASSIGN_OR_RETURN(const TraceQuery query,
                      ParseTraceQuery(flags.trace_source, flags.trace_dest, flags.in_interface));
  PM_ASSIGN_OR_RETURN(const Config config, ParseConfig(flags));
  PM_ASSIGN_OR_RETURN(const Desired desired, LoadDesired(config));
  PM_ASSIGN_OR_RETURN(const Packet packet, MakePacket(query, desired.node));
  const Surroundings around = {.policy = desired.settings.policy,
                               .service_cidrs = desired.settings.service_cidrs,
                               .node_addresses = desired.node.local_addresses};
  const std::vector<std::shared_ptr<const ServicePlan>> plans = desired.plans();
  return ExplainPacket(packet, plans, around, nft::CompileAll(plans, desired.settings), ReadKernel());
}

}  // namespace

int TraceCommand(const Flags& flags) {
  const absl::StatusOr<TraceReport> report = Explain(flags);
  if (!report.ok()) {
    PrintError(report.status());
    return 2;
  }
  if (flags.output == OutputFormat::kJson) {
    absl::PrintF("%s\n", FormatTraceJson(*report));
  } else {
    absl::PrintF("%s", FormatTraceText(*report));
  }
  return ExitStatus(*report);
}

}  // namespace pointsman
