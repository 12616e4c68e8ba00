// SPDX-License-Identifier: Apache-2.0
//
// kube-proxy's own tables in nf_tables, and its chains in those that iptables-nft makes there.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "netlink/core/transport.h"
#include "netlink/leftovers/judge.h"
#include "pointsman/dataplane.h"
#include "pointsman/leftovers.h"

namespace pointsman::nl {

struct NftLeftovers {
  std::vector<Family> tables;         // `kube-proxy`
  std::vector<Judgement> judgements;  // those with something in them
  Generation generation = kUnknownGeneration;
};

// Inputs: `transport` is a pattern: each reading has a fresh one.
// Errors: kDataLoss, kUnavailable when the tables do not hold still.
absl::StatusOr<NftLeftovers> FindNft(Transport& transport);

// In one transaction.
// Errors: kAborted: the generation moved; nothing was done.
absl::Status RemoveNft(Transport& transport, const NftLeftovers& found);

// The chain that the expressions of a rule (NFTA_RULE_EXPRESSIONS) lead to, and the comment iptables gave it. Without a
// jump, and when they do not parse, the target is empty.
ChainRule DecodeChainRule(ByteSpan expressions);

}  // namespace pointsman::nl
