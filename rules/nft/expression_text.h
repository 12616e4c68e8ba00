// SPDX-License-Identifier: Apache-2.0
//
// What a rule says. nf_tables rules are small programs over registers; people read statements. ReadRule() runs a rule
// symbolically and gives the statements nft would list for it; the text and the JSON form are printed from these.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "pointsman/nft.h"

namespace pointsman::nft {

// A value a rule can look at, and the arithmetic done on it.
struct Term {
  enum class Kind : uint8_t {
    kIpSaddr,
    kIpDaddr,
    kIp6Saddr,
    kIp6Daddr,
    kThSport,
    kThDport,
    kMetaMark,
    kMetaL4Proto,
    kMetaIifname,
    kCtState,
    kCtStatus,
    kCtOriginalIpDaddr,
    kCtOriginalIp6Daddr,
    kCtOriginalProtoDst,
    kFibSaddrType,
    kFibDaddrType,
    kNumgen,
  };
  struct Step {
    char op = '&';  // '&', '^' or '|'
    uint32_t operand = 0;
  };

  Kind kind = Kind::kMetaMark;
  uint32_t modulus = 0;          // of kNumgen
  std::vector<Step> steps = {};  // first to last; only of the mark and of the conntrack bits
};

// How a term is spelled, and what constants it is compared with look like.
struct TermInfo {
  enum class Object : uint8_t { kPayload, kMeta, kCt, kFib, kNumgen };  // in JSON
  enum class Value : uint8_t { kField, kMark, kNumber, kIfname, kBits, kFibType };

  Object object;
  absl::string_view first;   // payload protocol; "meta"; conntrack direction or nothing; fib flag
  absl::string_view second;  // the key within it
  uint32_t length;           // bytes
  Value value;
  Field field = Field::kInteger;  // with Value::kField
};
const TermInfo& InfoOf(Term::Kind kind);

using Key = std::vector<Term>;  // more than one: a concatenation

struct MatchValue {
  // kAny and kNone ask for bits of a conntrack word: `ct status dnat`, `ct status ! dnat`.
  enum class Op : uint8_t { kEq, kNeq, kAny, kNone };
  Term left;
  Op op = Op::kEq;
  Bytes value;
};
struct MatchSet {
  Key left;
  std::string set;
  bool inverted = false;
};
struct VerdictMap {
  Key key;
  std::string map;
};
struct SetMark {
  Term value;
};
struct DnatToMap {
  Key key;
  std::string map;
};
struct UpdateSet {
  Dynset::Op op = Dynset::Op::kUpdate;
  std::string set;
  Key key;
  Key data;  // empty for a set
  absl::Duration timeout = absl::ZeroDuration();
};
using Statement =
    std::variant<MatchValue, MatchSet, VerdictMap, SetMark, DnatToMap, UpdateSet, Counter, Verdict, Masquerade, Reject>;

// The set a rule names, or null when it is not known.
using SpecFinder = absl::FunctionRef<const SetSpec*(const std::string& name)>;

// Reads a rule of a table of `family`.
//
// Inputs:  `specs` tells how long the keys of the sets are. Of a set it does not know, the key is taken to be the run
//          of registers loaded since the last statement, which is how nft and we write rules.
// Returns: nullopt if the rule holds anything that the statements would leave out or change.
// Cost:    O(expressions).
std::optional<std::vector<Statement>> ReadRule(Family family, const Rule& rule, SpecFinder specs);

// Whether nft can parse what it prints for this. It cannot
// - name the original destination port of a connection in a concatenation ("can not use variable sized data types"),
// - compute a field of the key of a dnat, other than the first (a syntax error),
// - translate by a map to addresses and ports in a rule that does not look at the protocol,
// - take an interface name, with its asterisk and what stands before that, of more than 15 letters,
// - update a map with a key or data of more than 16 bytes: it aborts.
// Source: nft 1.0.6 (1.1.3 for the first).
bool NftReadsBack(const std::vector<Statement>& statements);

// The expressions as libnftnl lists them, "[ meta load l4proto => reg 1 ] [ … ]", for rules that cannot be read.
std::string RawExpressions(const Rule& rule);

// The constant of `match` in words and numbers.
struct Constant {
  std::vector<std::string> words;  // one, or the names of several bits
  std::optional<uint32_t> number;  // where JSON has a number
  bool quoted = false;             // in text
};
// ReadRule() makes no match whose constant has no spelling.
std::optional<Constant> ConstantOf(const MatchValue& match);

// ICMP code of `reject with icmp …`; empty if there is no name for it.
absl::string_view IcmpCodeWord(Family family, uint8_t code);
uint8_t PortUnreachable(Family family);  // the code of a bare `reject`

}  // namespace pointsman::nft
