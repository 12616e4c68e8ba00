// SPDX-License-Identifier: Apache-2.0
//
// Bytes as the kernel might send them, but need not: the decoders must take anything. What they do make sense of must
// survive being said again.
//
// The corpus holds recorded answers of Linux 6.18, each the datagrams of one reading in a row: what we write, what
// nft writes, things that are not ours, and refusals.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "netlink/core/attr.h"
#include "netlink/core/error.h"
#include "netlink/nft/decode.h"
#include "netlink/nft/encode.h"
#include "netlink/nft/userdata.h"
#include "pointsman/nft.h"
#include "pointsman/status.h"

namespace pointsman::nl {
namespace {

nft::ChangeSet FromNothing(const nft::Ruleset& ruleset) {
  nft::ChangeSet changes;
  for (const auto& [family, table] : ruleset.tables) {
    changes.push_back(nft::AddTable{family, table.comment});
    for (const auto& [name, chain] : table.chains) {
      changes.push_back(nft::AddChain{family, name, chain.hook, chain.comment});
      for (const nft::Rule& rule : chain.rules) changes.push_back(nft::AddRule{family, name, rule});
    }
    for (const auto& [name, set] : table.sets) {
      changes.push_back(nft::AddSet{family, name, set.spec});
      nft::AddElements add{family, name, set.spec, {}};
      for (const auto& [key, value] : set.elements) add.elements.push_back({key, value});
      changes.push_back(add);
    }
  }
  return changes;
}

void FuzzRuleset(ByteSpan bytes) {
  RulesetDecoder decoder;
  ForEachMessage(bytes, [&](ByteSpan message) { return decoder.Add(message).ok(); });
  for (const RulesetDecoder::SetRef& set : decoder.sets()) decoder.ElementsOf(set.family, set.name);
  const nft::Ruleset ruleset = decoder.Finish();

  const absl::StatusOr<Batch> batch = EncodeBatch(FromNothing(ruleset), 1, kUnknownGeneration);
  if (!batch.ok()) return;  // something we do not write
  RulesetDecoder again;
  ForEachMessage(batch->bytes(), [&](ByteSpan message) {
    PM_CHECK(again.Add(message).ok());
    return true;
  });
  PM_CHECK(again.Finish() == ruleset);
}

void FuzzPieces(ByteSpan bytes) {
  for (const Family family : kFamilies) (void)DecodeExpr(family, bytes);
  (void)DecodeGeneration(bytes);
  for (const uint8_t type : {uint8_t{0}, uint8_t{7}}) CommentIn(bytes, type);
  ForEachMessage(bytes, [](ByteSpan message) {
    Answer answer;
    (void)ParseAnswer(message, answer);
    return true;
  });
}

}  // namespace
}  // namespace pointsman::nl

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const pointsman::nl::ByteSpan bytes(data, size);
  pointsman::nl::FuzzRuleset(bytes);
  pointsman::nl::FuzzPieces(bytes);
  return 0;
}
