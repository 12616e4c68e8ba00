// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "netlink/core/attr.h"
#include "pointsman/dataplane.h"
#include "pointsman/nft.h"

namespace pointsman::nl {

// Reads a ruleset out of nf_tables messages: those of a dump, or those of a batch that creates it from nothing.
//
// What the kernel adds by itself is taken away again, so that what was written reads back equal: implied nat flags,
// register numbers in either spelling, handles, counts, expiry; the edges of intervals are joined, in whatever order
// they come. Sets and chains that belong to a single rule (anonymous ones) are left out: they come and go with it.
// Expressions, or uses of them, that nft.h does not model become nft::Foreign, with their attributes in hex.
//
// Everything is bounds-checked; libnftnl's parsers are not used, as they exit the process on an attribute they do not
// expect and trust strings to end.
class RulesetDecoder {
 public:
  // Inputs:  one message with its header: NEWTABLE, NEWCHAIN, NEWRULE, NEWSET, NEWSETELEM. Tables before chains before
  //          rules, sets before elements. Other tables than ours are passed over; other types of messages too.
  // Errors:  kDataLoss for what is malformed or refers to what has not been seen.
  absl::Status Add(ByteSpan message);

  bool HasTable(Family family) const { return ruleset_.tables.contains(family); }

  struct SetRef {
    Family family;
    std::string name;
    bool dynamic = false;
    bool interval = false;
    std::optional<uint32_t> count;  // elements, from kernels that tell
  };
  // The sets seen so far, in the order of arrival.
  const std::vector<SetRef>& sets() const { return sets_; }

  // Elements of a set seen so far; an interval of two edges counts as one.
  size_t ElementsOf(Family family, const std::string& set) const;

  // Whether an element of a set without intervals came more than once: the kernel was rearranging the set while it
  // listed it.
  bool Repeated(Family family, const std::string& set) const { return repeated_.contains({family, set}); }

  // Gives up on a set's elements: it comes out empty and marked incomplete.
  void CutShort(Family family, const std::string& set);

  // The ruleset. Nothing may be added after.
  nft::Ruleset Finish();

 private:
  struct Edge {
    nft::Bytes key;
    bool end = false;
    nft::ElementValue value;
  };
  using SetKey = std::pair<Family, std::string>;

  absl::Status AddTable(Family family, Attrs& attrs);
  absl::Status AddChain(Family family, Attrs& attrs);
  absl::Status AddRule(Family family, Attrs& attrs);
  absl::Status AddSet(Family family, Attrs& attrs);
  absl::Status AddElements(Family family, Attrs& attrs);
  absl::Status AddElement(nft::Set& set, std::vector<Edge>* edges, ByteSpan bytes);

  nft::Ruleset ruleset_;
  std::vector<SetRef> sets_;
  absl::btree_set<SetKey> repeated_;
  absl::btree_map<SetKey, std::vector<Edge>> edges_;  // of interval sets with one field
  absl::btree_map<SetKey, bool> rule_owned_chains_;
};

// Decodes one expression: the contents of an NFTA_LIST_ELEM.
// Errors:  kDataLoss when its lengths do not add up.
absl::StatusOr<nft::Expr> DecodeExpr(Family family, ByteSpan expression);

// The generation out of an NFT_MSG_NEWGEN.
absl::StatusOr<Generation> DecodeGeneration(ByteSpan message);

}  // namespace pointsman::nl
