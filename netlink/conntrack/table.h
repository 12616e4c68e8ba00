// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "netlink/conntrack/messages.h"
#include "netlink/core/transport.h"
#include "pointsman/netlink.h"

namespace pointsman::nl {

// How often a listing is made before it says that the table does not hold still.
inline constexpr int kListAttempts = 5;

// Deletions in one datagram: their answers must fit a receive buffer that nobody was allowed to enlarge.
inline constexpr int kDeletionsPerDatagram = 128;

// More questions than these, in one family, and all its flows of the protocol are listed instead: each filtered dump is
// a walk over the whole table, and that costs about as much as sending a sixth of its entries (netlink/README.md).
inline constexpr int kMostFilteredDumps = 4;

// The table over one Transport.
class ConntrackTable final : public FlowTable {
 public:
  explicit ConntrackTable(std::unique_ptr<Transport> transport) : transport_(std::move(transport)) {}

  absl::StatusOr<FlowReport> Clean(absl::Span<const FlowCheck> checks) override;

 private:
  using Index = absl::flat_hash_map<Match, const FlowCheck*>;
  struct Condemned {
    Match frontend;
    uint32_t id;
    bool translated;
    std::vector<uint8_t> tuple;
  };

  absl::Status CleanFamily(absl::Span<const FlowCheck> checks, FlowReport& report);
  // Lists and deletes, until a listing was not interrupted.
  absl::Status CleanQuery(const FlowQuery& query, const Index& index, FlowReport& report);
  absl::Status List(const FlowQuery& query, const Index& index, std::vector<Condemned>& condemned, FlowReport& report);
  absl::Status Delete(Family family, absl::Span<const Condemned> condemned, FlowReport& report);

  std::unique_ptr<Transport> transport_;
  uint32_t sequence_ = 1;  // of the next request
  bool filters_ = true;    // the kernel knows how to filter a dump
};

}  // namespace pointsman::nl
