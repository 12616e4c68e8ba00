// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "absl/strings/str_format.h"

#include "agent/cmd/command.h"
#include "pointsman/netlink.h"
#include "pointsman/nft_format.h"
#include "pointsman/status.h"

namespace pointsman {
namespace {

// The tables that are there, and gone afterwards unless `dry_run`.
absl::StatusOr<nft::ChangeSet> RemoveTables(bool dry_run) {
  PM_ASSIGN_OR_RETURN(const std::unique_ptr<Dataplane> dataplane, OpenNftDataplane({.max_listed_elements = 0}));
  PM_ASSIGN_OR_RETURN(const Observation observation, dataplane->Observe());
  nft::ChangeSet changes;
  for (const auto& [family, table] : observation.ruleset.tables) changes.push_back(nft::DeleteTable{family});
  if (!dry_run) PM_RETURN_IF_ERROR(dataplane->Commit(changes, kUnknownGeneration).status());
  return changes;
}

}  // namespace

int CleanupCommand(const Flags& flags) {
  const absl::StatusOr<nft::ChangeSet> changes = RemoveTables(flags.dry_run);
  if (!changes.ok()) {
    PrintError(changes.status());
    return 2;
  }
  if (flags.output == OutputFormat::kJson) {
    absl::PrintF("%s\n", nft::FormatChangesJson(*changes));
    return 0;
  }
  if (changes->empty()) absl::PrintF("nothing to remove\n");
  for (const nft::Op& op : *changes) {
    absl::PrintF("%s%s\n", flags.dry_run ? "would " : "", nft::FormatOp(op));
  }
  return 0;
}

}  // namespace pointsman
