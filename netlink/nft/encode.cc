// SPDX-License-Identifier: Apache-2.0
#include "netlink/nft/encode.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include "netlink/core/uapi.h"
#include "netlink/nft/encode_expr.h"
#include "netlink/nft/fields.h"
#include "netlink/nft/userdata.h"
#include "pointsman/status.h"

namespace pointsman::nl {
namespace {

using nft::Bytes;

// Upper bounds of what a piece takes as attributes.
constexpr size_t kObjectReserve = 2048;   // a table, chain or set; a rule without its expressions
constexpr size_t kElementReserve = 1024;  // key, end, data or chain, comment; and an end element
constexpr size_t kMaxExprs = 128;         // NFT_RULE_MAXEXPRS

template <auto Release>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    Release(object);
  }
};
using TablePtr = std::unique_ptr<nftnl_table, Free<nftnl_table_free>>;
using ChainPtr = std::unique_ptr<nftnl_chain, Free<nftnl_chain_free>>;
using RulePtr = std::unique_ptr<nftnl_rule, Free<nftnl_rule_free>>;
using SetPtr = std::unique_ptr<nftnl_set, Free<nftnl_set_free>>;

absl::Status CheckComment(const std::string& comment) {
  if (comment.size() > nft::kMaxComment || comment.find('\0') != std::string::npos) {
    return absl::InternalError(
        absl::StrCat("comment of ", comment.size(), " bytes; at most ", nft::kMaxComment, ", without NUL"));
  }
  return absl::OkStatus();
}

// --- elements --------------------------------------------------------------------------------------------------------
//
// NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_ELEMENTS {
//   NFTA_LIST_ELEM {
//     NFTA_SET_ELEM_FLAGS                             end of an interval in a set of one field; catch-all
//     NFTA_SET_ELEM_KEY { NFTA_DATA_VALUE }
//     NFTA_SET_ELEM_KEY_END { NFTA_DATA_VALUE }       interval of a concatenation, inclusive
//     NFTA_SET_ELEM_DATA { NFTA_DATA_VALUE } or { NFTA_DATA_VERDICT { NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN } }
//     NFTA_SET_ELEM_USERDATA
//   } ...
// }
//
// Written with libmnl rather than as nftnl_set_elem objects: there are hundreds of thousands of them.

void PutBytes(nlmsghdr* message, uint16_t type, const Bytes& bytes) {
  nlattr* nest = mnl_attr_nest_start(message, type);
  mnl_attr_put(message, NFTA_DATA_VALUE, bytes.size(), bytes.data());
  mnl_attr_nest_end(message, nest);
}

void PutUserdata(nlmsghdr* message, const std::vector<uint8_t>& userdata) {
  if (!userdata.empty()) mnl_attr_put(message, NFTA_SET_ELEM_USERDATA, userdata.size(), userdata.data());
}

void PutVerdict(nlmsghdr* message, const nft::Verdict& verdict) {
  nlattr* data = mnl_attr_nest_start(message, NFTA_SET_ELEM_DATA);
  nlattr* nest = mnl_attr_nest_start(message, NFTA_DATA_VERDICT);
  mnl_attr_put_u32(message, NFTA_VERDICT_CODE, htonl(static_cast<uint32_t>(verdict.code)));
  if (!verdict.chain->empty()) mnl_attr_put_strz(message, NFTA_VERDICT_CHAIN, verdict.chain->c_str());
  mnl_attr_nest_end(message, nest);
  mnl_attr_nest_end(message, data);
}

// What the elements of one message may take.
size_t ListReserve(size_t elements) {
  return std::min(elements * kElementReserve, kElementListBytes + kElementReserve);
}

bool AllOnes(const Bytes& bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0xff; });
}

// The key after `key`, which is not the last one.
Bytes Successor(Bytes key) {
  for (size_t i = key.size(); i-- > 0;) {
    if (++key[i] != 0) break;
  }
  return key;
}

class ElementEncoder {
 public:
  ElementEncoder(Family family, const std::string& set, const nft::SetSpec& spec, Batch& batch)
      : family_(family),
        set_(set),
        spec_(spec),
        key_size_(FieldsBytes(spec.key)),
        data_size_(FieldsBytes(spec.data)),
        batch_(batch) {}

  absl::Status Put(bool add, const std::vector<nft::Element>& elements) {
    if (key_size_ == 0) return absl::InternalError("key of unknown length");
    PM_RETURN_IF_ERROR(CheckName("set", set_));
    for (size_t next = 0; next < elements.size();) {
      nlmsghdr* message = batch_.BeginMessage(add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, add ? NLM_F_CREATE : 0,
                                              family_, kObjectReserve + ListReserve(elements.size() - next));
      mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_TABLE, batch_.table());
      mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_SET, set_.c_str());
      nlattr* list = mnl_attr_nest_start(message, NFTA_SET_ELEM_LIST_ELEMENTS);
      const size_t start = message->nlmsg_len;
      for (; next < elements.size() && message->nlmsg_len - start < kElementListBytes; ++next) {
        if (const absl::Status wrong = Check(elements[next], add); !wrong.ok()) {
          return Annotate(wrong, absl::StrCat("element ", next));
        }
        PutOne(message, elements[next], add);
      }
      mnl_attr_nest_end(message, list);
      batch_.EndMessage();
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Check(const nft::Element& element, bool add) const {
    if (element.key.size() != key_size_ && !element.key.empty()) {
      return absl::InternalError(absl::StrCat("key of ", element.key.size(), " bytes in a set of ", key_size_));
    }
    const bool interval = spec_.interval && !element.key.empty();
    if (element.value.end->size() != (interval ? key_size_ : 0)) {
      return absl::InternalError(absl::StrCat("end of ", element.value.end->size(), " bytes in ",
                                              interval ? "an interval set" : "a set without intervals"));
    }
    if (interval && *element.value.end < element.key) return absl::InternalError("interval that ends before it starts");
    if (!add) return absl::OkStatus();

    PM_RETURN_IF_ERROR(CheckComment(*element.value.comment));
    if (const auto* verdict = std::get_if<nft::Verdict>(&element.value.data)) {
      if (!spec_.verdicts) return absl::InternalError("verdict in a set that holds none");
      const bool goes = verdict->code == nft::Verdict::Code::kJump || verdict->code == nft::Verdict::Code::kGoto;
      if (goes) return CheckName("chain", *verdict->chain);
      return verdict->chain->empty() ? absl::OkStatus() : absl::InternalError("verdict with a chain it does not go to");
    }
    const auto* data = std::get_if<Bytes>(&element.value.data);
    const size_t size = data == nullptr ? 0 : data->size();
    if (spec_.verdicts || size != data_size_) {
      return absl::InternalError(absl::StrCat("data of ", size, " bytes where the set holds ",
                                              spec_.verdicts ? "verdicts" : absl::StrCat(data_size_)));
    }
    return absl::OkStatus();
  }

  void PutOne(nlmsghdr* message, const nft::Element& element, bool add) const {
    const bool interval = spec_.interval && !element.key.empty();
    const bool range = interval && spec_.key.size() > 1;
    const bool edges = interval && spec_.key.size() == 1;
    const bool open = edges && AllOnes(*element.value.end);

    nlattr* nest = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
    if (element.key.empty()) {
      mnl_attr_put_u32(message, NFTA_SET_ELEM_FLAGS, htonl(NFT_SET_ELEM_CATCHALL));
    } else {
      PutBytes(message, NFTA_SET_ELEM_KEY, element.key);
    }
    if (range) PutBytes(message, NFTA_SET_ELEM_KEY_END, *element.value.end);
    if (add) {
      if (const auto* data = std::get_if<Bytes>(&element.value.data)) PutBytes(message, NFTA_SET_ELEM_DATA, *data);
      if (const auto* verdict = std::get_if<nft::Verdict>(&element.value.data)) PutVerdict(message, *verdict);
      PutUserdata(message, ElementUserdata(*element.value.comment, open));
    }
    mnl_attr_nest_end(message, nest);
    if (!edges || open) return;

    nlattr* end = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
    mnl_attr_put_u32(message, NFTA_SET_ELEM_FLAGS, htonl(NFT_SET_ELEM_INTERVAL_END));
    PutBytes(message, NFTA_SET_ELEM_KEY, Successor(*element.value.end));
    mnl_attr_nest_end(message, end);
  }

  const Family family_;
  const std::string& set_;
  const nft::SetSpec& spec_;
  const uint32_t key_size_;
  const uint32_t data_size_;
  Batch& batch_;
};

// --- ops -------------------------------------------------------------------------------------------------------------

class OpEncoder {
 public:
  explicit OpEncoder(Batch& batch) : batch_(batch) {}

  absl::Status operator()(const nft::AddTable& op) {
    PM_RETURN_IF_ERROR(CheckComment(op.comment));
    const TablePtr table(nftnl_table_alloc());
    nftnl_table_set_str(table.get(), NFTNL_TABLE_NAME, batch_.table());
    nftnl_table_set_u32(table.get(), NFTNL_TABLE_FLAGS, 0);  // said, so that it wakes a dormant one
    const std::vector<uint8_t> userdata = CommentUserdata(NFTNL_UDATA_TABLE_COMMENT, op.comment);
    if (!userdata.empty()) {
      nftnl_table_set_data(table.get(), NFTNL_TABLE_USERDATA, userdata.data(), static_cast<uint32_t>(userdata.size()));
    }
    return Message(NFT_MSG_NEWTABLE, NLM_F_CREATE, op.family,
                   [&](nlmsghdr* message) { nftnl_table_nlmsg_build_payload(message, table.get()); });
  }

  absl::Status operator()(const nft::DeleteTable& op) {
    const TablePtr table(nftnl_table_alloc());
    nftnl_table_set_str(table.get(), NFTNL_TABLE_NAME, batch_.table());
    return Message(NFT_MSG_DELTABLE, 0, op.family,
                   [&](nlmsghdr* message) { nftnl_table_nlmsg_build_payload(message, table.get()); });
  }

  absl::Status operator()(const nft::AddChain& op) {
    PM_RETURN_IF_ERROR(CheckName("chain", op.name));
    PM_RETURN_IF_ERROR(CheckComment(op.comment));
    const ChainPtr chain = NewChain(op.name);
    if (op.hook.has_value()) {
      PM_RETURN_IF_ERROR(CheckName("chain type", op.hook->type));
      nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_TYPE, op.hook->type.c_str());
      nftnl_chain_set_u32(chain.get(), NFTNL_CHAIN_HOOKNUM, static_cast<uint32_t>(op.hook->number));
      nftnl_chain_set_s32(chain.get(), NFTNL_CHAIN_PRIO, op.hook->priority);
      nftnl_chain_set_u32(chain.get(), NFTNL_CHAIN_POLICY, op.hook->drop_policy ? NF_DROP : NF_ACCEPT);
    }
    const std::vector<uint8_t> userdata = CommentUserdata(NFTNL_UDATA_CHAIN_COMMENT, op.comment);
    if (!userdata.empty()) {
      nftnl_chain_set_data(chain.get(), NFTNL_CHAIN_USERDATA, userdata.data(), static_cast<uint32_t>(userdata.size()));
    }
    return Message(NFT_MSG_NEWCHAIN, NLM_F_CREATE, op.family,
                   [&](nlmsghdr* message) { nftnl_chain_nlmsg_build_payload(message, chain.get()); });
  }

  absl::Status operator()(const nft::DeleteChain& op) {
    PM_RETURN_IF_ERROR(CheckName("chain", op.name));
    const ChainPtr chain = NewChain(op.name);
    return Message(NFT_MSG_DELCHAIN, 0, op.family,
                   [&](nlmsghdr* message) { nftnl_chain_nlmsg_build_payload(message, chain.get()); });
  }

  // A rule deletion that names no rule means all of them.
  absl::Status operator()(const nft::FlushChain& op) {
    PM_RETURN_IF_ERROR(CheckName("chain", op.name));
    const RulePtr rule = NewRule(op.name);
    return Message(NFT_MSG_DELRULE, 0, op.family,
                   [&](nlmsghdr* message) { nftnl_rule_nlmsg_build_payload(message, rule.get()); });
  }

  absl::Status operator()(const nft::AddRule& op) {
    PM_RETURN_IF_ERROR(CheckName("chain", op.chain));
    PM_RETURN_IF_ERROR(CheckComment(op.rule.comment));
    if (op.rule.exprs.size() > kMaxExprs) return absl::InternalError("rule with too many expressions");
    const RulePtr rule = NewRule(op.chain);
    for (size_t i = 0; i < op.rule.exprs.size(); ++i) {
      PM_RETURN_IF_ERROR(Annotate(EncodeExpr(op.family, op.rule.exprs[i], *rule), absl::StrCat("expression ", i)));
    }
    const std::vector<uint8_t> userdata = CommentUserdata(NFTNL_UDATA_RULE_COMMENT, op.rule.comment);
    if (!userdata.empty()) {
      nftnl_rule_set_data(rule.get(), NFTNL_RULE_USERDATA, userdata.data(), static_cast<uint32_t>(userdata.size()));
    }
    return Message(
        NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, op.family,
        [&](nlmsghdr* message) { nftnl_rule_nlmsg_build_payload(message, rule.get()); },
        op.rule.exprs.size() * kExprReserve);
  }

  absl::Status operator()(const nft::AddSet& op) {
    PM_RETURN_IF_ERROR(CheckName("set", op.name));
    PM_RETURN_IF_ERROR(CheckComment(op.spec.comment));
    const nft::SetSpec& spec = op.spec;
    if (spec.key.size() > kMaxFields || spec.data.size() > kMaxFields) {
      return absl::InternalError(absl::StrCat("more than ", kMaxFields, " fields"));
    }
    const uint32_t key_size = FieldsBytes(spec.key);
    const uint32_t data_size = FieldsBytes(spec.data);
    if (key_size == 0 || (data_size == 0 && !spec.data.empty())) return absl::InternalError("field of unknown length");
    if (std::max(key_size, data_size) > NFT_DATA_VALUE_MAXLEN) {
      return absl::InternalError(absl::StrCat("key of ", key_size, " and data of ", data_size,
                                              " bytes, where there is room for ", NFT_DATA_VALUE_MAXLEN));
    }
    if (spec.verdicts && !spec.data.empty()) return absl::InternalError("a map of both verdicts and data");

    const SetPtr set = NewSet(op.name);
    const bool ranges = spec.interval && spec.key.size() > 1;
    uint32_t flags = 0;
    if (spec.interval) flags |= NFT_SET_INTERVAL;
    if (ranges) flags |= NFT_SET_CONCAT;
    if (spec.is_map()) flags |= NFT_SET_MAP;
    if (spec.dynamic) flags |= NFT_SET_EVAL;
    if (spec.has_timeout) flags |= NFT_SET_TIMEOUT;
    nftnl_set_set_u32(set.get(), NFTNL_SET_FLAGS, flags);
    nftnl_set_set_u32(set.get(), NFTNL_SET_KEY_TYPE, TypeId(spec.key));
    nftnl_set_set_u32(set.get(), NFTNL_SET_KEY_LEN, key_size);
    if (spec.is_map()) {
      nftnl_set_set_u32(set.get(), NFTNL_SET_DATA_TYPE, spec.verdicts ? uint32_t{NFT_DATA_VERDICT} : TypeId(spec.data));
      nftnl_set_set_u32(set.get(), NFTNL_SET_DATA_LEN, data_size);
    }
    // The kernel wants one, though nothing of ours refers to it: sets are named.
    nftnl_set_set_u32(set.get(), NFTNL_SET_ID, batch_.last_sequence() + 1);
    // NFTA_SET_DESC { NFTA_SET_DESC_SIZE, NFTA_SET_DESC_CONCAT { NFTA_LIST_ELEM { NFTA_SET_FIELD_LEN } ... } }
    if (spec.size != 0) nftnl_set_set_u32(set.get(), NFTNL_SET_DESC_SIZE, spec.size);
    if (ranges) {
      std::vector<uint8_t> lengths;
      for (const nft::Field field : spec.key) lengths.push_back(static_cast<uint8_t>(nft::FieldLength(field)));
      nftnl_set_set_data(set.get(), NFTNL_SET_DESC_CONCAT, lengths.data(), static_cast<uint32_t>(lengths.size()));
    }
    if (spec.timeout > absl::ZeroDuration()) {
      nftnl_set_set_u64(set.get(), NFTNL_SET_TIMEOUT, static_cast<uint64_t>(absl::ToInt64Milliseconds(spec.timeout)));
    }
    if (spec.gc_interval > absl::ZeroDuration()) {
      nftnl_set_set_u32(set.get(), NFTNL_SET_GC_INTERVAL,
                        static_cast<uint32_t>(absl::ToInt64Milliseconds(spec.gc_interval)));
    }
    const std::vector<uint8_t> userdata = SetUserdata(spec);
    if (userdata.size() > NFT_USERDATA_MAXLEN) {
      return absl::InternalError("comment too long beside the set's description of its key");
    }
    nftnl_set_set_data(set.get(), NFTNL_SET_USERDATA, userdata.data(), static_cast<uint32_t>(userdata.size()));
    return Message(NFT_MSG_NEWSET, NLM_F_CREATE, op.family,
                   [&](nlmsghdr* message) { nftnl_set_nlmsg_build_payload(message, set.get()); });
  }

  absl::Status operator()(const nft::DeleteSet& op) {
    PM_RETURN_IF_ERROR(CheckName("set", op.name));
    const SetPtr set = NewSet(op.name);
    return Message(NFT_MSG_DELSET, 0, op.family,
                   [&](nlmsghdr* message) { nftnl_set_nlmsg_build_payload(message, set.get()); });
  }

  // An element deletion that names no element means all of them.
  absl::Status operator()(const nft::FlushSet& op) {
    PM_RETURN_IF_ERROR(CheckName("set", op.name));
    return Message(NFT_MSG_DELSETELEM, 0, op.family, [&](nlmsghdr* message) {
      mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_TABLE, batch_.table());
      mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_SET, op.name.c_str());
    });
  }

  absl::Status operator()(const nft::AddElements& op) {
    return ElementEncoder(op.family, op.set, op.spec, batch_).Put(/*add=*/true, op.elements);
  }

  absl::Status operator()(const nft::DeleteElements& op) {
    return ElementEncoder(op.family, op.set, op.spec, batch_).Put(/*add=*/false, op.elements);
  }

 private:
  template <typename Fill>
  absl::Status Message(uint16_t type, uint16_t flags, Family family, Fill fill, size_t more = 0) {
    nlmsghdr* message = batch_.BeginMessage(type, flags, family, kObjectReserve + more);
    fill(message);
    batch_.EndMessage();
    return absl::OkStatus();
  }

  ChainPtr NewChain(const std::string& name) const {
    ChainPtr chain(nftnl_chain_alloc());
    nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_TABLE, batch_.table());
    nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_NAME, name.c_str());
    return chain;
  }

  RulePtr NewRule(const std::string& chain) const {
    RulePtr rule(nftnl_rule_alloc());
    nftnl_rule_set_str(rule.get(), NFTNL_RULE_TABLE, batch_.table());
    nftnl_rule_set_str(rule.get(), NFTNL_RULE_CHAIN, chain.c_str());
    return rule;
  }

  SetPtr NewSet(const std::string& name) const {
    SetPtr set(nftnl_set_alloc());
    nftnl_set_set_str(set.get(), NFTNL_SET_TABLE, batch_.table());
    nftnl_set_set_str(set.get(), NFTNL_SET_NAME, name.c_str());
    return set;
  }

  Batch& batch_;
};

struct Describer {
  template <typename... Parts>
  static std::string Text(absl::string_view verb, Family family, const Parts&... parts) {
    return absl::StrCat(verb, " ", nft::kTableName, parts..., family == Family::kIpv4 ? " (ip)" : " (ip6)");
  }
  std::string operator()(const nft::AddTable& op) const { return Text("add table", op.family); }
  std::string operator()(const nft::DeleteTable& op) const { return Text("delete table", op.family); }
  std::string operator()(const nft::AddChain& op) const { return Text("add chain", op.family, "/", op.name); }
  std::string operator()(const nft::FlushChain& op) const { return Text("flush chain", op.family, "/", op.name); }
  std::string operator()(const nft::DeleteChain& op) const { return Text("delete chain", op.family, "/", op.name); }
  std::string operator()(const nft::AddRule& op) const { return Text("add rule", op.family, "/", op.chain); }
  std::string operator()(const nft::AddSet& op) const {
    return Text(op.spec.is_map() ? "add map" : "add set", op.family, "/", op.name);
  }
  std::string operator()(const nft::FlushSet& op) const { return Text("flush set", op.family, "/", op.name); }
  std::string operator()(const nft::DeleteSet& op) const { return Text("delete set", op.family, "/", op.name); }
  std::string operator()(const nft::AddElements& op) const { return Text("add element", op.family, "/", op.set); }
  std::string operator()(const nft::DeleteElements& op) const { return Text("delete element", op.family, "/", op.set); }
};

// A little more than most batches need, with room for the last message to be written in.
size_t ExpectedBytes(const nft::ChangeSet& changes) {
  constexpr size_t kOp = 512;
  constexpr size_t kElement = 160;
  size_t elements = 0;
  for (const nft::Op& op : changes) {
    if (const auto* add = std::get_if<nft::AddElements>(&op)) elements += add->elements.size();
    if (const auto* remove = std::get_if<nft::DeleteElements>(&op)) elements += remove->elements.size();
  }
  return changes.size() * kOp + elements * kElement + kObjectReserve + ListReserve(elements);
}

absl::Status EncodeAll(const nft::ChangeSet& changes, Batch& batch) {
  batch.Reserve(ExpectedBytes(changes));
  batch.ReserveMessages(changes.size());
  for (size_t i = 0; i < changes.size(); ++i) {
    const int op = static_cast<int>(i);
    batch.StartOp(op);
    if (absl::Status status = Encode(changes[i], batch); !status.ok()) return BlameOp(status, changes, op);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Encode(const nft::Op& op, Batch& batch) { return std::visit(OpEncoder(batch), op); }

std::string Describe(const nft::Op& op) { return std::visit(Describer(), op); }

absl::Status BlameOp(const absl::Status& status, const nft::ChangeSet& changes, int op) {
  absl::Status blamed = Annotate(status, Describe(changes[static_cast<size_t>(op)]));
  blamed.SetPayload(kFailedOpPayload, absl::Cord(absl::StrCat(op)));
  return blamed;
}

absl::StatusOr<Batch> EncodeBatch(const nft::ChangeSet& changes, uint32_t sequence, Generation guard,
                                  Batch::Memory memory) {
  Batch batch(sequence, guard, nft::kTableName, std::move(memory));
  PM_RETURN_IF_ERROR(EncodeAll(changes, batch));
  if (!batch.empty()) batch.Finish();
  return batch;
}

absl::StatusOr<Batch> EncodeTrial(const nft::ChangeSet& changes, uint32_t sequence) {
  Batch batch(sequence, kUnknownGeneration, kTrialTable);
  PM_RETURN_IF_ERROR(EncodeAll(changes, batch));
  if (!batch.empty()) batch.FinishTrial();
  return batch;
}

}  // namespace pointsman::nl
