// SPDX-License-Identifier: Apache-2.0
#include "netlink/nft/probe.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include "netlink/core/error.h"
#include "netlink/core/socket.h"
#include "netlink/core/uapi.h"
#include "netlink/nft/encode.h"
#include "netlink/nft/outcome.h"
#include "pointsman/status.h"

namespace pointsman {
namespace nl {
namespace {

const char* FamilyName(Family family) { return family == Family::kIpv4 ? "ip" : "ip6"; }

// By the name that the kernel has for it, "" for those that are part of nf_tables.
struct Need {
  const char* name = "";
  const char* ipv4 = "";
  const char* ipv6 = "";
};

struct NeedOfExpr {
  Need operator()(const nft::CtLoad&) const { return {"ct", "CONFIG_NFT_CT", "CONFIG_NFT_CT"}; }
  Need operator()(const nft::FibLoad&) const { return {"fib", "CONFIG_NFT_FIB_IPV4", "CONFIG_NFT_FIB_IPV6"}; }
  Need operator()(const nft::Numgen&) const { return {"numgen", "CONFIG_NFT_NUMGEN", "CONFIG_NFT_NUMGEN"}; }
  Need operator()(const nft::Dnat&) const { return {"nat", "CONFIG_NFT_NAT", "CONFIG_NFT_NAT"}; }
  Need operator()(const nft::Masquerade&) const { return {"masq", "CONFIG_NFT_MASQ", "CONFIG_NFT_MASQ"}; }
  Need operator()(const nft::Reject&) const { return {"reject", "CONFIG_NFT_REJECT_IPV4", "CONFIG_NFT_REJECT_IPV6"}; }
  // Before Linux 5.18 these were options, too.
  Need operator()(const nft::Counter&) const { return {"counter", "CONFIG_NFT_COUNTER", "CONFIG_NFT_COUNTER"}; }
  template <typename Other>
  Need operator()(const Other&) const {
    return {};
  }
};

std::string Say(absl::string_view what, const Need& need, Family family) {
  return absl::StrCat(what, " ", need.name, " (", family == Family::kIpv4 ? need.ipv4 : need.ipv6, ")");
}

// The kernel name of the expression that byte `offset` of a rule's message lies in; empty if in none.
std::string ExpressionAt(ByteSpan message, uint32_t offset) {
  constexpr size_t kHeaders = sizeof(nlmsghdr) + sizeof(nfgenmsg);
  std::string name;
  if (message.size() < kHeaders) return name;
  ForEachAttr(message.subspan(kHeaders), [&](uint16_t type, ByteSpan list) {
    if (type != NFTA_RULE_EXPRESSIONS) return;
    ForEachAttr(list, [&](uint16_t, ByteSpan expr) {
      const auto start = static_cast<size_t>(expr.data() - message.data());
      if (offset + sizeof(nlattr) < start || offset >= start + expr.size()) return;
      const absl::string_view found = Attrs(expr).Str(NFTA_EXPR_NAME);
      name = std::string(found);
    });
  });
  return name;
}

// One line: what was refused, in which words, and what is likely to be missing.
std::string WhyRefused(const Answer& error, const Batch& batch, const nft::ChangeSet& program) {
  const auto origin = batch.OriginOf(error.sequence);
  if (!origin.has_value()) {
    return std::string(ErrnoStatus(error.error, "try a program out", error.extack).message());
  }
  const auto index = static_cast<size_t>(origin->op);
  std::string why(ErrnoStatus(error.error, Describe(program[index]), error.extack).message());
  // Of other errors the kernel has it, and does not want it used like that.
  const bool missing = error.error == ENOENT || error.error == EINVAL || error.error == EOPNOTSUPP ||
                       error.error == EPROTONOSUPPORT || error.error == EAFNOSUPPORT;
  if (!missing) return why;
  const bool rule = std::holds_alternative<nft::AddRule>(program[index]);
  const std::string need = NeedOf(program, index, rule ? ExpressionAt(origin->message, error.offset) : "");
  return need.empty() ? why : absl::StrCat(why, ": does this kernel have ", need, "?");
}

Family FamilyOf(const nft::Op& op) {
  return std::visit([](const auto& any) { return any.family; }, op);
}

}  // namespace

std::string NeedOf(const nft::ChangeSet& program, size_t index, const std::string& expression) {
  const Family family = FamilyOf(program[index]);
  if (std::holds_alternative<nft::AddTable>(program[index])) {
    return family == Family::kIpv4 ? "the family ip (CONFIG_NF_TABLES_IPV4)" : "the family ip6 (CONFIG_NF_TABLES_IPV6)";
  }
  if (const auto* chain = std::get_if<nft::AddChain>(&program[index])) {
    return chain->hook && chain->hook->type == "nat" ? "chains of type nat (CONFIG_NFT_NAT)" : "";
  }
  if (const auto* set = std::get_if<nft::AddSet>(&program[index])) {
    if (set->spec.interval && set->spec.key.size() > 1) return "sets of intervals of concatenations (Linux 5.6)";
    return set->spec.dynamic ? "sets that packets fill" : "";
  }
  const auto* rule = std::get_if<nft::AddRule>(&program[index]);
  if (rule == nullptr) return "";
  // What an earlier rule was allowed to use is not what is missing.
  std::set<std::string> known;
  for (size_t i = 0; i < index; ++i) {
    const auto* earlier = std::get_if<nft::AddRule>(&program[i]);
    if (earlier == nullptr) continue;
    for (const nft::Expr& expr : earlier->rule.exprs) known.insert(std::visit(NeedOfExpr(), expr).name);
  }
  for (const nft::Expr& expr : rule->rule.exprs) {
    const Need need = std::visit(NeedOfExpr(), expr);
    if (*need.name == '\0') continue;
    const bool blamed = expression.empty() ? !known.contains(need.name) : expression == need.name;
    if (blamed) return Say("the expression", need, family);
  }
  return "";
}

std::string WhyIpv6IsOff(const std::string& proc) {
  // That of the thread: /proc/net is the main thread's.
  if (!std::ifstream(absl::StrCat(proc, "/thread-self/net/if_inet6")).is_open()) {
    return "IPv6 is off: this kernel has no /proc/net/if_inet6";
  }
  char disabled = '0';
  std::ifstream(absl::StrCat(proc, "/sys/net/ipv6/conf/all/disable_ipv6")).get(disabled);
  return disabled == '1' ? "IPv6 is off: net.ipv6.conf.all.disable_ipv6 is 1" : "";
}

absl::StatusOr<NftTrial> TryProgram(Transport& transport, Family family, const nft::ChangeSet& program) {
  constexpr uint32_t kSequence = 1;
  NftTrial trial = {.family = family};
  PM_ASSIGN_OR_RETURN(const Batch batch, EncodeTrial(program, kSequence));
  if (batch.empty()) return trial;
  const std::string attempted = absl::StrCat("try out the rules for ", FamilyName(family));
  PM_RETURN_IF_ERROR(Annotate(transport.Send(batch.bytes()), attempted));
  const Outcome outcome = ReceiveOutcome(transport, batch);
  if (outcome.first_error.has_value()) {
    const Answer& error = *outcome.first_error;
    const absl::StatusCode code = CodeOf(error.error);
    if (code == absl::StatusCode::kPermissionDenied || code == absl::StatusCode::kUnavailable) {
      return ErrnoStatus(error.error, attempted, error.extack);
    }
    trial.verdict = NftTrial::Verdict::kRefused;
    trial.why = WhyRefused(error, batch, program);
  } else if (!outcome.acknowledged || outcome.lost) {
    return absl::UnavailableError(absl::StrCat(attempted, ": the kernel's answer was lost"));
  }
  return trial;
}

}  // namespace nl

absl::StatusOr<std::vector<NftTrial>> ProbeNft(const nft::ChangeSet& program) {
  std::vector<NftTrial> trials;
  for (const Family family : kFamilies) {
    nft::ChangeSet part;
    std::copy_if(program.begin(), program.end(), std::back_inserter(part),
                 [&](const nft::Op& op) { return nl::FamilyOf(op) == family; });
    if (part.empty()) continue;
    std::string off = family == Family::kIpv6 ? nl::WhyIpv6IsOff() : "";
    if (!off.empty()) {
      trials.push_back({.family = family, .verdict = NftTrial::Verdict::kFamilyOff, .why = std::move(off)});
      continue;
    }
    PM_ASSIGN_OR_RETURN(const std::unique_ptr<nl::Socket> socket, nl::Socket::Open());
    PM_ASSIGN_OR_RETURN(NftTrial trial, nl::TryProgram(*socket, family, part));
    trials.push_back(std::move(trial));
  }
  return trials;
}

}  // namespace pointsman
