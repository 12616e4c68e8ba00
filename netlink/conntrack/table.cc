// SPDX-License-Identifier: Apache-2.0
#include "netlink/conntrack/table.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

#include "netlink/core/ask.h"
#include "netlink/core/error.h"
#include "netlink/core/socket.h"
#include "netlink/core/uapi.h"
#include "pointsman/status.h"

namespace pointsman {
namespace nl {
namespace {

// What to ask so that the answers hold every flow that one of `checks`, of one family, is about.
std::vector<FlowQuery> QueriesFor(absl::Span<const FlowCheck> checks) {
  std::vector<FlowQuery> queries;
  queries.reserve(checks.size());
  for (const FlowCheck& check : checks) queries.push_back(NarrowQuery(check.frontend));
  std::sort(queries.begin(), queries.end());
  queries.erase(std::unique(queries.begin(), queries.end()), queries.end());
  // Flows from a frontend are not asked for by where they go.
  const bool answers = std::any_of(checks.begin(), checks.end(), [](const FlowCheck& check) { return check.answers; });
  if (queries.size() <= kMostFilteredDumps && !answers) return queries;
  FlowQuery wide = {.family = queries.front().family};
  // Sorted by protocol first.
  if (queries.front().protocol == queries.back().protocol) wide.protocol = queries.front().protocol;
  return {wide};
}

// How a kernel speaks that does not take the filter.
bool IsRefusal(const absl::Status& status) { return absl::IsFailedPrecondition(status) || absl::IsInternal(status); }

}  // namespace

absl::StatusOr<FlowReport> ConntrackTable::Clean(absl::Span<const FlowCheck> checks) {
  FlowReport report;
  // Sorted by frontend means by family first.
  const auto v6 = std::partition_point(checks.begin(), checks.end(), [](const FlowCheck& check) {
    return check.frontend.dest.family() == Family::kIpv4;
  });
  const auto count = static_cast<size_t>(v6 - checks.begin());
  PM_RETURN_IF_ERROR(CleanFamily(checks.first(count), report));
  PM_RETURN_IF_ERROR(CleanFamily(checks.subspan(count), report));
  return report;
}

absl::Status ConntrackTable::CleanFamily(absl::Span<const FlowCheck> checks, FlowReport& report) {
  if (checks.empty()) return absl::OkStatus();
  Index index;
  index.reserve(checks.size());
  for (const FlowCheck& check : checks) index.emplace(check.frontend, &check);
  if (filters_) {
    for (const FlowQuery& query : QueriesFor(checks)) {
      const absl::Status status = CleanQuery(query, index, report);
      if (!filters_) break;
      PM_RETURN_IF_ERROR(status);
    }
    if (filters_) return absl::OkStatus();
  }
  return CleanQuery({.family = checks.front().frontend.dest.family()}, index, report);
}

absl::Status ConntrackTable::CleanQuery(const FlowQuery& query, const Index& index, FlowReport& report) {
  absl::Status listed;
  for (int attempt = 0; attempt < kListAttempts; ++attempt) {
    std::vector<Condemned> condemned;
    listed = List(query, index, condemned, report);
    // What an interrupted listing found is no less stale.
    PM_RETURN_IF_ERROR(Delete(query.family, condemned, report));
    if (listed.ok()) return listed;
    if (query.filters() && IsRefusal(listed)) filters_ = false;
    // The rest of it may still be on its way.
    PM_ASSIGN_OR_RETURN(transport_, transport_->Reopen());
    if (!absl::IsDataLoss(listed)) break;
  }
  return Annotate(listed, "list connection tracking entries");
}

absl::Status ConntrackTable::List(const FlowQuery& query, const Index& index, std::vector<Condemned>& condemned,
                                  FlowReport& report) {
  absl::Status malformed;
  const auto visit = [&](ByteSpan message) {
    ++report.seen;
    const absl::StatusOr<std::optional<Flow>> decoded = DecodeFlow(message);
    if (!decoded.ok()) malformed.Update(decoded.status());
    if (!decoded.ok() || !decoded->has_value()) return true;
    const Flow& flow = **decoded;
    if (!query.Admits(flow.original)) filters_ = false;  // an older kernel does not know that it should filter
    // What other queries of this cleaning ask for is left to them: nothing is deleted, or counted, twice.
    if (!query.Covers(flow.original)) return true;
    for (const Match& frontend : {flow.original, FromFrontend(flow)}) {
      const auto check = index.find(frontend);
      if (check == index.end() || !Stale(*check->second, flow)) continue;
      condemned.push_back({frontend, flow.id, flow.translated, {flow.tuple.begin(), flow.tuple.end()}});
      break;
    }
    return true;
  };
  PM_RETURN_IF_ERROR(Ask(*transport_, EncodeQuery(query, sequence_++), visit));
  return malformed;
}

absl::Status ConntrackTable::Delete(Family family, absl::Span<const Condemned> condemned, FlowReport& report) {
  absl::Status first_error;
  while (!condemned.empty()) {
    const absl::Span<const Condemned> part = condemned.first(std::min<size_t>(condemned.size(), kDeletionsPerDatagram));
    condemned.remove_prefix(part.size());
    const uint32_t first = sequence_;
    std::vector<uint8_t> datagram;
    for (const Condemned& flow : part) AppendDelete(family, flow.id, flow.tuple, sequence_++, datagram);
    PM_RETURN_IF_ERROR(transport_->Send(datagram));

    size_t answered = 0;
    const auto take = [&](ByteSpan message) {
      nlmsghdr header;
      std::memcpy(&header, message.data(), sizeof(header));
      Answer answer;
      if (header.nlmsg_type != NLMSG_ERROR || !ParseAnswer(message, answer).ok()) return true;
      const size_t position = static_cast<uint32_t>(answer.sequence - first);  // wraps for earlier ones: out of range
      if (position >= part.size()) return true;
      ++answered;
      // It ended by itself, or was replaced by one with another id.
      if (answer.error == 0 || answer.error == ENOENT) {
        ++report.deleted;
        if (!part[position].translated) ++report.bypassed;
      } else {
        const std::string attempted = absl::StrCat("delete a flow to ", FormatMatch(part[position].frontend));
        first_error.Update(ErrnoStatus(answer.error, attempted, answer.extack));
      }
      return true;
    };
    while (answered < part.size()) {
      PM_ASSIGN_OR_RETURN(const ByteSpan bytes, transport_->Receive());
      if (bytes.empty()) return absl::UnavailableError("the kernel's answers to deletions of flows were lost");
      ForEachMessage(bytes, take);
    }
  }
  return first_error;
}

}  // namespace nl

absl::StatusOr<std::unique_ptr<FlowTable>> OpenFlowTable() {
  PM_ASSIGN_OR_RETURN(std::unique_ptr<nl::Socket> socket, nl::Socket::Open());
  return absl::StatusOr<std::unique_ptr<FlowTable>>(std::make_unique<nl::ConntrackTable>(std::move(socket)));
}

}  // namespace pointsman
