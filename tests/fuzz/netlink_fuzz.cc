// SPDX-License-Identifier: Apache-2.0
//
// Bytes as the kernel might send them, but need not: the decoders must take anything. What they do make sense of must
// survive being said again.
//
// The corpus holds recorded answers of Linux 6.18, each the datagrams of one reading in a row: what we write, what
// nft writes, things that are not ours, refusals, and connection tracking entries.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "netlink/conntrack/messages.h"
#include "netlink/conntrack/table.h"
#include "netlink/core/attr.h"
#include "netlink/core/error.h"
#include "netlink/core/transport.h"
#include "netlink/core/uapi.h"
#include "netlink/nft/decode.h"
#include "netlink/nft/encode.h"
#include "netlink/nft/userdata.h"
#include "pointsman/flows.h"
#include "pointsman/net.h"
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

// Gives the same answer to everything it is asked, as if it were one to that.
class Echo final : public Transport {
 public:
  explicit Echo(ByteSpan answer) : answer_(answer.begin(), answer.end()) {}

  absl::Status Send(ByteSpan datagram) override {
    uint32_t sequence = 0;
    std::memcpy(&sequence, datagram.data() + offsetof(nlmsghdr, nlmsg_seq), sizeof(sequence));
    size_t at = 0;
    ForEachMessage(answer_, [&](ByteSpan message) {
      std::memcpy(answer_.data() + at + offsetof(nlmsghdr, nlmsg_seq), &sequence, sizeof(sequence));
      at += MNL_ALIGN(message.size());
      return true;
    });
    ready_ = true;
    return absl::OkStatus();
  }
  absl::StatusOr<ByteSpan> Receive() override { return std::exchange(ready_, false) ? ByteSpan(answer_) : ByteSpan(); }
  absl::StatusOr<std::unique_ptr<Transport>> Reopen() override {
    return absl::StatusOr<std::unique_ptr<Transport>>(std::make_unique<Echo>(answer_));
  }

 private:
  std::vector<uint8_t> answer_;
  bool ready_ = false;
};

void FuzzFlows(ByteSpan bytes) {
  absl::btree_map<Match, FlowCheck> checks;
  ForEachMessage(bytes, [&](ByteSpan message) {
    const absl::StatusOr<std::optional<Flow>> decoded = DecodeFlow(message);
    if (!decoded.ok() || !decoded->has_value()) return true;
    const Flow& flow = **decoded;
    checks[flow.original] = {.frontend = flow.original, .keep = {}};
    // What was understood can be asked for, is judged by who answers, and is called by its own name when it goes.
    PM_CHECK(NarrowQuery(flow.original).Covers(flow.original));
    PM_CHECK(!EncodeQuery(NarrowQuery(flow.original), 1).empty());
    PM_CHECK(Stale({.frontend = flow.original, .keep = {}}, flow) == !flow.zoned);
    PM_CHECK(!Stale({.frontend = flow.original, .keep = {flow.reply_source}}, flow));
    std::vector<uint8_t> deletion;
    AppendDelete(flow.original.dest.family(), flow.id, flow.tuple, 1, deletion);
    Attrs attrs(ByteSpan(deletion).subspan(MNL_ALIGN(sizeof(nlmsghdr)) + MNL_ALIGN(sizeof(nfgenmsg))));
    PM_CHECK(attrs.U32(CTA_ID) == flow.id && attrs.Raw(CTA_TUPLE_ORIG) == flow.tuple && attrs.ok());
    return true;
  });

  std::vector<FlowCheck> sorted;
  for (auto& [match, check] : checks) sorted.push_back(std::move(check));
  ConntrackTable table(std::make_unique<Echo>(bytes));
  (void)table.Clean(sorted);
}

}  // namespace
}  // namespace pointsman::nl

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const pointsman::nl::ByteSpan bytes(data, size);
  pointsman::nl::FuzzRuleset(bytes);
  pointsman::nl::FuzzPieces(bytes);
  pointsman::nl::FuzzFlows(bytes);
  return 0;
}
