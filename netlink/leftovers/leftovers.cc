// SPDX-License-Identifier: Apache-2.0
#include "pointsman/leftovers.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "netlink/core/socket.h"
#include "netlink/leftovers/device.h"
#include "netlink/leftovers/ipset.h"
#include "netlink/leftovers/ipvs.h"
#include "netlink/leftovers/judge.h"
#include "netlink/leftovers/legacy.h"
#include "netlink/leftovers/names.h"
#include "netlink/leftovers/nft_tables.h"
#include "pointsman/status.h"

namespace pointsman {
namespace {

using nl::Judgement;
using nl::NftLeftovers;

// How often a stranger's commit to nf_tables may come between looking and removing.
constexpr int kRemoveAttempts = 20;

bool IsEmpty(const LeftoverTable& table) { return table.jumps.empty() && table.chains.empty(); }

void Take(const std::vector<Judgement>& judgements, Leftovers& found) {
  for (const Judgement& judgement : judgements) {
    if (!IsEmpty(judgement.goes)) found.tables.push_back(judgement.goes);
    found.kept.insert(found.kept.end(), judgement.kept.begin(), judgement.kept.end());
  }
}

std::string TableText(Family family) {
  return absl::StrCat("table ", family == Family::kIpv4 ? "ip " : "ip6 ", nl::kKubeProxyTable);
}

std::vector<std::string> Lines(const LeftoverTable& table) {
  const std::string begin = nl::TableText(table.family, table.name);
  const std::string end = absl::StrCat(" (", nl::VariantText(table.variant), ")");
  std::vector<std::string> lines;
  for (const LeftoverJump& jump : table.jumps)
    lines.push_back(absl::StrCat(begin, " rule -A ", jump.chain, " ... -j ", jump.target, end));
  for (const std::string& chain : table.chains) lines.push_back(absl::StrCat(begin, " chain ", chain, end));
  return lines;
}

std::string Line(const Match& server) { return absl::StrCat("IPVS virtual server ", FormatMatch(server)); }
std::string Line(const LeftoverDevice& device) { return absl::StrCat("device ", device.name); }
std::string Line(const std::string& ipset) { return absl::StrCat("ipset ", ipset); }

std::string Count(size_t number, absl::string_view what) {
  return absl::StrCat(number, " ", what, number == 1 ? "" : "s");
}

// Where lines go once they have come true, and errors until all has been tried.
class Ledger {
 public:
  explicit Ledger(std::vector<std::string>* removed) : removed_(removed) {}

  void Add(const absl::Status& status, const std::vector<std::string>& lines) {
    if (!status.ok()) {
      if (code_ == absl::StatusCode::kOk) code_ = status.code();
      errors_.emplace_back(status.message());
    } else if (removed_ != nullptr) {
      removed_->insert(removed_->end(), lines.begin(), lines.end());
    }
  }
  bool ok() const { return errors_.empty(); }
  absl::Status status() const { return absl::Status(code_, absl::StrJoin(errors_, "; ")); }

 private:
  std::vector<std::string>* const removed_;
  absl::StatusCode code_ = absl::StatusCode::kOk;
  std::vector<std::string> errors_;
};

// The tables of `found` in nf_tables, all of them in one transaction.
absl::Status RemoveFromNft(const Leftovers& found) {
  std::vector<LeftoverTable> wanted;
  for (const LeftoverTable& table : found.tables) {
    if (table.variant == IptablesVariant::kNft) wanted.push_back(table);
  }
  if (wanted.empty() && found.nft_tables.empty()) return absl::OkStatus();
  PM_ASSIGN_OR_RETURN(const std::unique_ptr<nl::Socket> socket, nl::Socket::Open());
  absl::Status status;
  for (int attempt = 0; attempt < kRemoveAttempts; ++attempt) {
    PM_ASSIGN_OR_RETURN(const NftLeftovers now, nl::FindNft(*socket));
    Leftovers there;
    Take(now.judgements, there);
    std::sort(there.tables.begin(), there.tables.end());
    if (there.tables != wanted || now.tables != found.nft_tables) {
      return absl::AbortedError(absl::StrCat("remove kube-proxy's rules from nf_tables: ", nl::kChangedMeanwhile));
    }
    status = nl::RemoveNft(*socket, now);
    if (!absl::IsAborted(status)) break;
  }
  return status;
}

std::vector<std::string> NftLines(const Leftovers& found) {
  std::vector<std::string> lines;
  for (const Family family : found.nft_tables) lines.push_back(TableText(family));
  for (const LeftoverTable& table : found.tables) {
    if (table.variant != IptablesVariant::kNft) continue;
    const std::vector<std::string> more = Lines(table);
    lines.insert(lines.end(), more.begin(), more.end());
  }
  return lines;
}

}  // namespace

absl::StatusOr<Leftovers> FindLeftovers() {
  Leftovers found;
  PM_ASSIGN_OR_RETURN(const std::unique_ptr<nl::Socket> socket, nl::Socket::Open());
  PM_ASSIGN_OR_RETURN(NftLeftovers nft, nl::FindNft(*socket));
  found.nft_tables = std::move(nft.tables);
  Take(nft.judgements, found);
  const absl::StatusOr<std::vector<Judgement>> legacy = nl::FindLegacy();
  if (absl::IsPermissionDenied(legacy.status())) {
    std::sort(found.tables.begin(), found.tables.end());
    found.kept.emplace_back(
        "iptables (legacy): not looked into, that needs CAP_NET_RAW; ipsets and devices stay too, its rules may use "
        "them");
    return found;
  }
  PM_RETURN_IF_ERROR(legacy.status());
  Take(*legacy, found);
  std::sort(found.tables.begin(), found.tables.end());
  if (nl::HasIpsets()) {
    PM_ASSIGN_OR_RETURN(found.ipsets, nl::FindIpsets(*socket));
  }
  PM_ASSIGN_OR_RETURN(found.device, nl::FindDevice());
  if (found.device.has_value()) found.virtual_servers = nl::FindVirtualServers(found.device->addresses);
  return found;
}

absl::Status RemoveLeftovers(const Leftovers& found, std::vector<std::string>* removed) {
  Ledger ledger(removed);
  ledger.Add(RemoveFromNft(found), NftLines(found));
  for (const LeftoverTable& table : found.tables) {
    if (table.variant == IptablesVariant::kLegacy) ledger.Add(nl::RemoveLegacy(table), Lines(table));
  }
  // A rule that is still there may need what comes now.
  if (!ledger.ok()) return ledger.status();
  if (!found.ipsets.empty()) {
    PM_ASSIGN_OR_RETURN(const std::unique_ptr<nl::Socket> socket, nl::Socket::Open());
    for (const std::string& ipset : found.ipsets) ledger.Add(nl::RemoveIpset(*socket, ipset), {Line(ipset)});
  }
  if (!found.virtual_servers.empty()) {
    PM_ASSIGN_OR_RETURN(const std::unique_ptr<nl::Transport> generic, nl::OpenGeneric());
    for (const Match& server : found.virtual_servers)
      ledger.Add(nl::RemoveVirtualServer(*generic, server), {Line(server)});
  }
  if (found.device.has_value()) ledger.Add(nl::RemoveDevice(*found.device), {Line(*found.device)});
  return ledger.status();
}

std::vector<std::string> Describe(const Leftovers& found) {
  std::vector<std::string> lines = NftLines(found);
  for (const LeftoverTable& table : found.tables) {
    if (table.variant != IptablesVariant::kLegacy) continue;
    const std::vector<std::string> more = Lines(table);
    lines.insert(lines.end(), more.begin(), more.end());
  }
  for (const std::string& ipset : found.ipsets) lines.push_back(Line(ipset));
  for (const Match& server : found.virtual_servers) lines.push_back(Line(server));
  if (found.device.has_value()) lines.push_back(Line(*found.device));
  return lines;
}

std::string Summarise(const Leftovers& found) {
  std::vector<std::string> parts;
  for (const Family family : found.nft_tables) parts.push_back(TableText(family));
  for (const LeftoverTable& table : found.tables) {
    parts.push_back(absl::StrCat(nl::TableText(table.family, table.name), " (", nl::VariantText(table.variant),
                                 "): ", Count(table.chains.size(), "chain"), ", ", Count(table.jumps.size(), "rule")));
  }
  if (!found.ipsets.empty()) parts.push_back(Count(found.ipsets.size(), "ipset"));
  if (!found.virtual_servers.empty()) parts.push_back(Count(found.virtual_servers.size(), "IPVS virtual server"));
  if (found.device.has_value()) parts.push_back(Line(*found.device));
  return absl::StrJoin(parts, ", ");
}

}  // namespace pointsman
