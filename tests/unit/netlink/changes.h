// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

#include "netlink/core/attr.h"
#include "netlink/core/batch.h"
#include "netlink/nft/decode.h"
#include "netlink/nft/encode.h"
#include "pointsman/nft.h"
#include "pointsman/status.h"

namespace pointsman::nl {

inline std::string Hex(ByteSpan bytes) {
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}
inline std::vector<uint8_t> FromHex(absl::string_view hex) {
  const std::string bytes = absl::HexStringToBytes(hex);
  return {bytes.begin(), bytes.end()};
}

// The changes that make `ruleset` from nothing.
inline nft::ChangeSet FromNothing(const nft::Ruleset& ruleset) {
  nft::ChangeSet changes;
  for (const auto& [family, table] : ruleset.tables) {
    changes.push_back(nft::AddTable{family, table.comment});
    for (const auto& [name, chain] : table.chains) {
      changes.push_back(nft::AddChain{family, name, chain.hook, chain.comment});
    }
    for (const auto& [name, set] : table.sets) {
      changes.push_back(nft::AddSet{family, name, set.spec});
      nft::AddElements add{family, name, set.spec, {}};
      for (const auto& [key, value] : set.elements) add.elements.push_back({key, value});
      changes.push_back(std::move(add));
    }
    for (const auto& [name, chain] : table.chains) {
      for (const nft::Rule& rule : chain.rules) changes.push_back(nft::AddRule{family, name, rule});
    }
  }
  return changes;
}

// What a decoder makes of a whole batch.
inline absl::StatusOr<nft::Ruleset> Decode(ByteSpan batch) {
  RulesetDecoder decoder;
  absl::Status status;
  const bool whole = ForEachMessage(batch, [&](ByteSpan message) {
    status = decoder.Add(message);
    return status.ok();
  });
  PM_RETURN_IF_ERROR(status);
  if (!whole) return absl::DataLossError("cut off");
  return decoder.Finish();
}

inline absl::StatusOr<nft::Ruleset> ThroughBytes(const nft::Ruleset& ruleset) {
  PM_ASSIGN_OR_RETURN(const Batch batch, EncodeBatch(FromNothing(ruleset), 1, kUnknownGeneration));
  return Decode(batch.bytes());
}

}  // namespace pointsman::nl
