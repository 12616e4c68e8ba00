// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "absl/strings/str_format.h"

#include <nlohmann/json.hpp>

#include "agent/cmd/command.h"
#include "pointsman/leftovers.h"
#include "pointsman/netlink.h"
#include "pointsman/nft_format.h"
#include "pointsman/status.h"

namespace pointsman {
namespace {

struct Report {
  nft::ChangeSet changes;               // of our own tables
  std::vector<std::string> kube_proxy;  // lines of Describe()
  std::vector<std::string> kept;
};

// Our tables that are there, and gone afterwards unless `dry_run`.
absl::StatusOr<nft::ChangeSet> RemoveTables(bool dry_run) {
  PM_ASSIGN_OR_RETURN(const std::unique_ptr<Dataplane> dataplane, OpenNftDataplane({.max_listed_elements = 0}));
  PM_ASSIGN_OR_RETURN(const Observation observation, dataplane->Observe());
  nft::ChangeSet changes;
  for (const auto& [family, table] : observation.ruleset.tables) changes.push_back(nft::DeleteTable{family});
  if (!dry_run) PM_RETURN_IF_ERROR(dataplane->Commit(changes, kUnknownGeneration).status());
  return changes;
}

// `report` tells what is gone, or would go, on an error too.
absl::Status CleanUp(const Flags& flags, Report& report) {
  Leftovers found;
  // Before anything is removed: what cannot be read to its end is left alone, all of it.
  if (flags.kube_proxy) {
    PM_RETURN_IF_ERROR(CheckNetAdmin());
    PM_ASSIGN_OR_RETURN(found, FindLeftovers());
  }
  PM_ASSIGN_OR_RETURN(report.changes, RemoveTables(flags.dry_run));
  report.kept = found.kept;
  if (!flags.dry_run) return RemoveLeftovers(found, &report.kube_proxy);
  report.kube_proxy = Describe(found);
  return absl::OkStatus();
}

void PrintText(const Report& report, bool dry_run) {
  const char* would = dry_run ? "would " : "";
  if (report.changes.empty() && report.kube_proxy.empty()) absl::PrintF("nothing to remove\n");
  for (const nft::Op& op : report.changes) absl::PrintF("%s%s\n", would, nft::FormatOp(op));
  for (const std::string& line : report.kube_proxy) absl::PrintF("%sdelete %s\n", would, line);
  for (const std::string& line : report.kept) absl::PrintF("%s\n", line);
}

// One object in the schema of nft -j; with --kube-proxy also two lists of lines.
void PrintJson(const Report& report, bool kube_proxy) {
  const std::string changes = nft::FormatChangesJson(report.changes);
  if (!kube_proxy) {
    absl::PrintF("%s\n", changes);
    return;
  }
  nlohmann::ordered_json document = nlohmann::ordered_json::parse(changes);
  document["kube-proxy"] = report.kube_proxy;
  document["kept"] = report.kept;
  absl::PrintF("%s\n", document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace

int CleanupCommand(const Flags& flags) {
  Report report;
  const absl::Status status = CleanUp(flags, report);
  const bool anything = !report.changes.empty() || !report.kube_proxy.empty();
  if (status.ok() || anything) {
    if (flags.output == OutputFormat::kJson) {
      PrintJson(report, flags.kube_proxy);
    } else {
      PrintText(report, flags.dry_run);
    }
  }
  if (status.ok()) return 0;
  PrintError(status);
  return 2;
}

}  // namespace pointsman
