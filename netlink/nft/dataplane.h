// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "netlink/core/batch.h"
#include "netlink/core/error.h"
#include "netlink/core/transport.h"
#include "netlink/nft/decode.h"
#include "pointsman/dataplane.h"
#include "pointsman/netlink.h"

namespace pointsman::nl {

// On a failed commit the refused message in hex, as payload, shortened to its first kilobytes.
inline constexpr char kFailedMessagePayload[] = "pointsman/failed-message";

// How often Observe reads before it says that the tables do not hold still.
inline constexpr int kObserveAttempts = 10;

// nf_tables over one Transport. Commit uses `transport` for good; each reading has a fresh one, so that a dump given up
// half way leaves nothing behind.
class NftDataplane final : public Dataplane {
 public:
  NftDataplane(std::unique_ptr<Transport> transport, const NftOptions& options);

  absl::StatusOr<Observation> Observe() override;
  absl::StatusOr<CommitReport> Commit(const nft::ChangeSet& changes, Generation guard) override;
  absl::StatusOr<Generation> CurrentGeneration() override;
  absl::StatusOr<uint64_t> CountedPackets() override;

 private:
  absl::Status Read(RulesetDecoder& decoder, bool last_attempt);
  absl::Status ReadTable(Family family, Transport& transport, RulesetDecoder& decoder);
  // On the last attempt a set that is not held still comes out incomplete instead.
  absl::Status ReadElements(const RulesetDecoder::SetRef& set, std::unique_ptr<Transport>& transport,
                            RulesetDecoder& decoder, bool last_attempt);

  // `set` may be null, `table` too.
  absl::Status AskNft(Transport& transport, uint16_t message, uint8_t family, bool dump, const char* table,
                      const char* set, absl::FunctionRef<bool(ByteSpan)> visit);

  const std::unique_ptr<Transport> transport_;
  const NftOptions options_;
  uint32_t sequence_ = 1;  // of the next request
  Batch::Memory memory_;   // for the next batch
};

}  // namespace pointsman::nl
