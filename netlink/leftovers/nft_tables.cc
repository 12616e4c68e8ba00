// SPDX-License-Identifier: Apache-2.0
#include "netlink/leftovers/nft_tables.h"

#include <endian.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "netlink/core/ask.h"
#include "netlink/core/batch.h"
#include "netlink/leftovers/names.h"
#include "netlink/leftovers/request.h"
#include "netlink/leftovers/uapi.h"
#include "netlink/nft/userdata.h"
#include "pointsman/status.h"

namespace pointsman::nl {
namespace {

constexpr size_t kMessageHeaders = sizeof(nlmsghdr) + sizeof(nfgenmsg);
constexpr int kFindAttempts = 10;
constexpr absl::Duration kPause = absl::Milliseconds(20);
constexpr size_t kNameReserve = 2 * 264;  // table and chain, with their headers

struct TableReading {
  IptablesTable table;
  std::map<std::string, uint32_t> uses;  // as the kernel counts them: rules in a chain, and what leads to it
  std::map<std::string, uint32_t> rules;
};

// The attributes of a message about tables, chains or rules.
Attrs BodyOf(ByteSpan message) { return Attrs(message.subspan(std::min(kMessageHeaders, message.size()))); }

absl::StatusOr<Generation> ReadGeneration(Transport& transport) {
  Request request(NftType(NFT_MSG_GETGEN), 0, NFPROTO_UNSPEC);
  Generation generation = kUnknownGeneration;
  PM_RETURN_IF_ERROR(Ask(transport, request.bytes(), [&](ByteSpan message) {
    generation = BodyOf(message).U32(NFTA_GEN_ID);
    return false;
  }));
  return generation;
}

absl::Status Dump(Transport& transport, uint16_t message, Family family, const char* table,
                  absl::FunctionRef<void(Attrs&)> visit) {
  Request request(NftType(message), NLM_F_DUMP, FamilyNumber(family));
  if (table != nullptr) mnl_attr_put_strz(request.header(), NFTA_RULE_TABLE, table);
  bool ok = true;
  PM_RETURN_IF_ERROR(Ask(transport, request.bytes(), [&](ByteSpan bytes) {
    Attrs attrs = BodyOf(bytes);
    visit(attrs);
    ok = ok && attrs.ok();
    return true;
  }));
  return ok ? absl::OkStatus() : absl::DataLossError("a malformed message of nf_tables");
}

absl::Status ReadRules(Transport& transport, TableReading& reading) {
  const std::string& name = reading.table.name;
  PM_RETURN_IF_ERROR(Dump(transport, NFT_MSG_GETRULE, reading.table.family, name.c_str(), [&](Attrs& attrs) {
    if (attrs.Str(NFTA_RULE_TABLE) != name) return;
    const std::string chain(attrs.Str(NFTA_RULE_CHAIN));
    ++reading.rules[chain];
    ChainRule rule = DecodeChainRule(attrs.Raw(NFTA_RULE_EXPRESSIONS));
    if (rule.target.empty()) return;
    rule.handle = attrs.U64(NFTA_RULE_HANDLE);
    if (rule.comment.empty()) rule.comment = CommentIn(attrs.Raw(NFTA_RULE_USERDATA), NFTNL_UDATA_RULE_COMMENT);
    reading.table.chains[chain].rules.push_back(std::move(rule));
  }));
  // What the kernel counts beyond rules, nobody has told us of.
  std::map<std::string, uint32_t> known = reading.rules;
  for (const auto& [chain, content] : reading.table.chains) {
    for (const ChainRule& rule : content.rules) ++known[rule.target];
  }
  for (auto& [chain, content] : reading.table.chains) {
    content.used_elsewhere = reading.uses[chain] > known[chain];
  }
  return absl::OkStatus();
}

absl::Status ReadFamily(Transport& transport, Family family, NftLeftovers& found) {
  PM_RETURN_IF_ERROR(Dump(transport, NFT_MSG_GETTABLE, family, nullptr, [&](Attrs& attrs) {
    if (attrs.Str(NFTA_TABLE_NAME) == kKubeProxyTable) found.tables.push_back(family);
  }));
  std::map<std::string, TableReading> readings;
  PM_RETURN_IF_ERROR(Dump(transport, NFT_MSG_GETCHAIN, family, nullptr, [&](Attrs& attrs) {
    const std::string table(attrs.Str(NFTA_CHAIN_TABLE));
    const auto of_iptables = [&](const char* name) { return table == name; };
    if (std::none_of(std::begin(kIptablesTables), std::end(kIptablesTables), of_iptables)) return;
    const std::string chain(attrs.Str(NFTA_CHAIN_NAME));
    TableReading& reading = readings[table];
    reading.table.chains[chain].builtin = attrs.Has(NFTA_CHAIN_HOOK) && IsBuiltinChain(chain);
    reading.uses[chain] = attrs.U32(NFTA_CHAIN_USE);
  }));
  for (const char* name : kIptablesTables) {
    const auto it = readings.find(name);
    if (it == readings.end()) continue;
    TableReading& reading = it->second;
    const auto ours = [&](const auto& chain) { return IsKubeProxyChain(name, chain.first); };
    if (std::none_of(reading.table.chains.begin(), reading.table.chains.end(), ours)) continue;
    reading.table.variant = IptablesVariant::kNft;
    reading.table.family = family;
    reading.table.name = name;
    PM_RETURN_IF_ERROR(ReadRules(transport, reading));
    found.judgements.push_back(Judge(reading.table));
  }
  return absl::OkStatus();
}

absl::StatusOr<NftLeftovers> ReadOnce(Transport& transport) {
  NftLeftovers found;
  PM_ASSIGN_OR_RETURN(found.generation, ReadGeneration(transport));
  for (const Family family : kFamilies) PM_RETURN_IF_ERROR(ReadFamily(transport, family, found));
  PM_ASSIGN_OR_RETURN(const Generation after, ReadGeneration(transport));
  if (after != found.generation) return absl::DataLossError("nf_tables changed while it was listed");
  return found;
}

// A message that names a table, and unless it is null a chain of it.
nlmsghdr* Name(Batch& batch, uint16_t message, Family family, const std::string& table, const std::string* chain) {
  nlmsghdr* header = batch.BeginMessage(message, 0, family, kNameReserve + 16);
  if (message == NFT_MSG_DELRULE) {
    mnl_attr_put_strz(header, NFTA_RULE_TABLE, table.c_str());
    mnl_attr_put_strz(header, NFTA_RULE_CHAIN, chain->c_str());
  } else if (message == NFT_MSG_DELCHAIN) {
    mnl_attr_put_strz(header, NFTA_CHAIN_TABLE, table.c_str());
    mnl_attr_put_strz(header, NFTA_CHAIN_NAME, chain->c_str());
  } else {
    mnl_attr_put_strz(header, NFTA_TABLE_NAME, table.c_str());
  }
  return header;
}

// What a message of Name() is about.
std::string Named(ByteSpan message) {
  nlmsghdr header;
  std::memcpy(&header, message.data(), sizeof(header));
  const Attrs attrs = BodyOf(message);
  // The table is the first attribute of all of them.
  std::string table = absl::StrCat("table ", attrs.Str(NFTA_TABLE_NAME));
  if (header.nlmsg_type == NftType(NFT_MSG_DELTABLE)) return table;
  const bool rule = header.nlmsg_type == NftType(NFT_MSG_DELRULE);
  return absl::StrCat(table, rule ? " rules of chain " : " chain ",
                      attrs.Str(rule ? uint16_t{NFTA_RULE_CHAIN} : uint16_t{NFTA_CHAIN_NAME}));
}

// First what leads to the chains, then what leads from one to the other, then the chains: the kernel refuses to delete
// one that something still refers to.
Batch EncodeRemoval(const NftLeftovers& found) {
  Batch batch(1, found.generation);
  for (const Judgement& judgement : found.judgements) {
    for (const CondemnedRule& rule : judgement.rules) {
      nlmsghdr* header = Name(batch, NFT_MSG_DELRULE, judgement.goes.family, judgement.goes.name, &rule.chain);
      mnl_attr_put_u64(header, NFTA_RULE_HANDLE, htobe64(rule.handle));
      batch.EndMessage();
    }
  }
  for (const uint16_t message : {NFT_MSG_DELRULE, NFT_MSG_DELCHAIN}) {
    for (const Judgement& judgement : found.judgements) {
      for (const std::string& chain : judgement.goes.chains) {
        Name(batch, message, judgement.goes.family, judgement.goes.name, &chain);
        batch.EndMessage();
      }
    }
  }
  for (const Family family : found.tables) {
    Name(batch, NFT_MSG_DELTABLE, family, kKubeProxyTable, nullptr);
    batch.EndMessage();
  }
  return batch;
}

}  // namespace

ChainRule DecodeChainRule(ByteSpan expressions) {
  ChainRule rule;
  const bool whole = ForEachAttr(expressions, [&](uint16_t, ByteSpan element) {
    Attrs expression(element);
    const absl::string_view name = expression.Str(NFTA_EXPR_NAME);
    if (name == "immediate") {
      Attrs verdict = expression.Nested(NFTA_EXPR_DATA).Nested(NFTA_IMMEDIATE_DATA).Nested(NFTA_DATA_VERDICT);
      rule.target = std::string(verdict.Str(NFTA_VERDICT_CHAIN));
    } else if (name == "match") {
      Attrs match = expression.Nested(NFTA_EXPR_DATA);
      if (match.Str(NFTA_MATCH_NAME) == "comment") rule.comment = std::string(match.Str(NFTA_MATCH_INFO));
    }
  });
  return whole ? rule : ChainRule();
}

absl::StatusOr<NftLeftovers> FindNft(Transport& transport) {
  absl::Status last;
  for (int attempt = 0; attempt < kFindAttempts; ++attempt) {
    if (attempt > 0) absl::SleepFor(kPause);
    PM_ASSIGN_OR_RETURN(const std::unique_ptr<Transport> fresh, transport.Reopen());
    absl::StatusOr<NftLeftovers> found = ReadOnce(*fresh);
    if (found.ok()) return found;
    last = found.status();
    if (!absl::IsDataLoss(last) && !absl::IsUnavailable(last) && !absl::IsNotFound(last)) break;
  }
  return Annotate(last, "look for kube-proxy's rules in nf_tables");
}

absl::Status RemoveNft(Transport& transport, const NftLeftovers& found) {
  Batch batch = EncodeRemoval(found);
  if (batch.empty()) return absl::OkStatus();
  batch.Finish();
  constexpr char kAttempted[] = "remove kube-proxy's rules from nf_tables";
  PM_ASSIGN_OR_RETURN(const std::unique_ptr<Transport> fresh, transport.Reopen());
  PM_RETURN_IF_ERROR(Annotate(fresh->Send(batch.bytes()), kAttempted));
  const absl::StatusOr<Answer> answer = ReadAnswer(*fresh, batch.last_sequence());
  if (!answer.ok()) return Annotate(answer.status(), kAttempted);
  if (answer->error == 0) return absl::OkStatus();
  std::string attempted = kAttempted;
  const auto origin = batch.OriginOf(answer->sequence);
  if (origin.has_value() && answer->error != kErestart) absl::StrAppend(&attempted, ": ", Named(origin->message));
  return ErrnoStatus(answer->error, attempted, answer->extack);
}

}  // namespace pointsman::nl
