// SPDX-License-Identifier: Apache-2.0
//
// nf_tables programs in the kernel's own vocabulary (linux/netfilter/nf_tables.h), as values. What we want and what a
// dump shows have the same type; readable text comes from nft_format.h.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/time/time.h"

#include "pointsman/net.h"
#include "pointsman/rare.h"

namespace pointsman::nft {

// Key and data bytes as the kernel holds them: network order, each field of a concatenation padded to four bytes. What
// is most of all, a slot of an IPv4 frontend, fits in without an allocation.
using Bytes = absl::InlinedVector<uint8_t, 16>;

// A register: index of a 32-bit slot, 0..15. Slots 0, 4, 8 and 12 begin the 128-bit registers that nft prints as 1 to
// 4; others print as 8 + slot. The verdict register has no number here: `Lookup::dreg` and `Immediate` say it.
using Reg = uint8_t;

struct Verdict {
  enum class Code : int32_t { kDrop = 0, kAccept = 1, kContinue = -1, kJump = -3, kGoto = -4, kReturn = -5 };
  Code code = Code::kAccept;
  Rare<std::string> chain;  // for kJump and kGoto

  friend auto operator<=>(const Verdict&, const Verdict&) = default;
};

// --- expressions; each mirrors the kernel expression of that name ---

struct Payload {
  enum class Base : uint8_t { kLink = 0, kNetwork = 1, kTransport = 2 };
  Base base = Base::kNetwork;
  uint32_t offset = 0;  // bytes
  uint32_t len = 0;     // bytes
  Reg dreg = 0;
  friend bool operator==(const Payload&, const Payload&) = default;
};
struct MetaLoad {
  enum class Key : uint32_t { kMark = 3, kIifName = 6, kL4Proto = 16 };
  Key key = Key::kMark;
  Reg dreg = 0;
  friend bool operator==(const MetaLoad&, const MetaLoad&) = default;
};
struct MetaSet {
  MetaLoad::Key key = MetaLoad::Key::kMark;
  Reg sreg = 0;
  friend bool operator==(const MetaSet&, const MetaSet&) = default;
};
struct CtLoad {
  enum class Key : uint32_t { kState = 0, kStatus = 2, kProtoDst = 12, kDstIp = 20, kDstIp6 = 22 };
  Key key = Key::kStatus;
  bool original = false;  // with kProtoDst, kDstIp, kDstIp6: of the original direction
  Reg dreg = 0;
  friend bool operator==(const CtLoad&, const CtLoad&) = default;
};
struct FibLoad {        // `fib saddr type`
  uint32_t flags = 1;   // NFTA_FIB_F_SADDR 1, NFTA_FIB_F_DADDR 2
  uint32_t result = 3;  // NFT_FIB_RESULT_ADDRTYPE
  Reg dreg = 0;
  friend bool operator==(const FibLoad&, const FibLoad&) = default;
};
struct Numgen {  // random, in host byte order, 0..modulus-1
  uint32_t modulus = 1;
  Reg dreg = 0;
  friend bool operator==(const Numgen&, const Numgen&) = default;
};
struct Byteorder {  // hton; nft writes one before matching a concatenation against an interval set
  Reg sreg = 0;
  Reg dreg = 0;
  uint32_t len = 0;
  uint32_t size = 2;
  friend bool operator==(const Byteorder&, const Byteorder&) = default;
};
struct Cmp {
  enum class Op : uint32_t { kEq = 0, kNeq = 1 };
  Op op = Op::kEq;
  Reg sreg = 0;
  Bytes data;
  friend bool operator==(const Cmp&, const Cmp&) = default;
};
struct Bitwise {  // dreg = (sreg & mask) ^ xor_value; four bytes, host order values
  Reg sreg = 0;
  Reg dreg = 0;
  uint32_t mask = 0;
  uint32_t xor_value = 0;
  friend bool operator==(const Bitwise&, const Bitwise&) = default;
};
struct Lookup {
  enum class Result : uint8_t { kNone, kData, kVerdict };
  std::string set;
  Reg sreg = 0;
  Result result = Result::kNone;
  Reg dreg = 0;  // with kData
  bool inverted = false;
  friend bool operator==(const Lookup&, const Lookup&) = default;
};
struct Dynset {
  enum class Op : uint32_t { kAdd = 0, kUpdate = 1, kDelete = 2 };
  Op op = Op::kUpdate;
  std::string set;
  Reg key = 0;
  std::optional<Reg> data;
  absl::Duration timeout = absl::ZeroDuration();  // zero: the set's own
  friend bool operator==(const Dynset&, const Dynset&) = default;
};
// Counts packets. What it has counted is not part of the program: it is neither compared nor written.
struct Counter {
  uint64_t packets = 0;
  friend bool operator==(const Counter&, const Counter&) { return true; }
};
struct Immediate {
  Verdict verdict;
  friend bool operator==(const Immediate&, const Immediate&) = default;
};
struct Dnat {  // to the address and port in registers; the table's family
  Reg addr = 0;
  Reg port = 0;
  friend bool operator==(const Dnat&, const Dnat&) = default;
};
struct Masquerade {
  bool fully_random = true;
  friend bool operator==(const Masquerade&, const Masquerade&) = default;
};
struct Reject {
  enum class Type : uint32_t { kIcmpUnreach = 0, kTcpReset = 1 };
  Type type = Type::kIcmpUnreach;
  uint8_t code = 3;  // ICMP port unreachable 3, ICMPv6 4; 0 with kTcpReset
  friend bool operator==(const Reject&, const Reject&) = default;
};
// Anything we never write but may find: kept so that a difference shows.
struct Foreign {
  std::string name;  // the expression's kernel name
  std::string text;  // its attributes, type=bytes, in hex
  friend bool operator==(const Foreign&, const Foreign&) = default;
};

using Expr = std::variant<Payload, MetaLoad, MetaSet, CtLoad, FibLoad, Numgen, Byteorder, Cmp, Bitwise, Lookup, Dynset,
                          Counter, Immediate, Dnat, Masquerade, Reject, Foreign>;

struct Rule {
  std::vector<Expr> exprs;
  std::string comment;  // at most 128 bytes
  friend bool operator==(const Rule&, const Rule&) = default;
};

struct Hook {
  enum class Number : uint32_t { kPrerouting = 0, kInput = 1, kForward = 2, kOutput = 3, kPostrouting = 4 };
  std::string type = "nat";  // "nat", "filter"
  Number number = Number::kPrerouting;
  int32_t priority = 0;
  bool drop_policy = false;
  friend bool operator==(const Hook&, const Hook&) = default;
};

const char* FormatHook(Hook::Number number);  // "prerouting", "input", …

struct Chain {
  std::optional<Hook> hook;
  std::string comment;
  std::vector<Rule> rules;
  friend bool operator==(const Chain&, const Chain&) = default;
};

// nft's datatypes that our keys and data are made of. Values: `enum datatypes` of nft's include/datatype.h.
enum class Field : uint32_t {
  kInteger = 4,  // four bytes, host order
  kIpv4Addr = 7,
  kIpv6Addr = 8,
  kInetProto = 12,
  kInetService = 13,
  kMark = 19,  // four bytes, host order
};
// Length in bytes, before padding to four; zero for a datatype that is not named above.
uint32_t FieldLength(Field field);

struct SetSpec {
  std::vector<Field> key;
  std::vector<Field> data;  // empty for sets and verdict maps
  bool verdicts = false;    // a verdict map
  bool interval = false;
  bool dynamic = false;
  bool has_timeout = false;
  absl::Duration timeout = absl::ZeroDuration();
  absl::Duration gc_interval = absl::ZeroDuration();
  uint32_t size = 0;  // 0: grows
  std::string comment;

  bool is_map() const { return verdicts || !data.empty(); }
  friend bool operator==(const SetSpec&, const SetSpec&) = default;
};

// What a key maps to. `end` is the last key (inclusive) of an interval, empty in sets without intervals.
struct ElementValue {
  Rare<Bytes> end;
  std::variant<std::monostate, Bytes, Verdict> data;
  Rare<std::string> comment;  // at most 128 bytes
  friend bool operator==(const ElementValue&, const ElementValue&) = default;
};

struct Element {
  Bytes key;
  ElementValue value;
  friend bool operator==(const Element&, const Element&) = default;
};

struct Set {
  SetSpec spec;
  absl::btree_map<Bytes, ElementValue> elements;
  bool complete = true;  // false: the dump was cut short, as the set is too large to list
  friend bool operator==(const Set&, const Set&) = default;
};

struct Table {
  std::string comment;
  absl::btree_map<std::string, Chain> chains;
  absl::btree_map<std::string, Set> sets;
  friend bool operator==(const Table&, const Table&) = default;
};

// The tables named kTableName, `ip` and `ip6`.
struct Ruleset {
  absl::btree_map<Family, Table> tables;
  friend bool operator==(const Ruleset&, const Ruleset&) = default;
};

inline constexpr char kTableName[] = "pointsman";
inline constexpr size_t kMaxComment = 128;  // nft refuses longer ones

// --- changes ---

struct AddTable {
  Family family;
  std::string comment;
};
struct DeleteTable {
  Family family;
};
struct AddChain {  // without its rules
  Family family;
  std::string name;
  std::optional<Hook> hook;
  std::string comment;
};
struct FlushChain {
  Family family;
  std::string name;
};
struct DeleteChain {
  Family family;
  std::string name;
};
struct AddRule {  // at the end of the chain
  Family family;
  std::string chain;
  Rule rule;
};
struct AddSet {
  Family family;
  std::string name;
  SetSpec spec;
};
// `map`: nft's language, unlike the kernel's, tells maps from sets here.
struct FlushSet {
  Family family;
  std::string name;
  bool map = false;
};
struct DeleteSet {
  Family family;
  std::string name;
  bool map = false;
};
// `spec` of an element op tells the encoder the layout of keys and data; what else the set's own has may be left out.
struct AddElements {
  Family family;
  std::string set;
  SetSpec spec;
  std::vector<Element> elements;
};
struct DeleteElements {
  Family family;
  std::string set;
  SetSpec spec;
  std::vector<Element> elements;
};

// Executable front to back, in one transaction.
using Op = std::variant<AddTable, DeleteTable, AddChain, FlushChain, DeleteChain, AddRule, AddSet, FlushSet, DeleteSet,
                        AddElements, DeleteElements>;
using ChangeSet = std::vector<Op>;

}  // namespace pointsman::nft
