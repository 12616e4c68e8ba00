// SPDX-License-Identifier: Apache-2.0
#include "netlink/nft/dataplane.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "netlink/core/ask.h"
#include "netlink/core/socket.h"
#include "netlink/core/uapi.h"
#include "netlink/nft/encode.h"
#include "netlink/nft/outcome.h"
#include "pointsman/status.h"

namespace pointsman::nl {
namespace {

constexpr size_t kMaxFailedMessage = 4096;

constexpr absl::Duration kLongestPause = absl::Milliseconds(100);

constexpr char kNeedsNetAdmin[] =
    "programming nf_tables needs CAP_NET_ADMIN: run as root, or add the capability"
    " (in a pod: securityContext.capabilities.add: [NET_ADMIN])";

const char* FamilyName(Family family) { return family == Family::kIpv4 ? "ip" : "ip6"; }

// Another reading may well succeed after these.
bool WorthRetrying(const absl::Status& status) {
  return absl::IsDataLoss(status) || absl::IsUnavailable(status) || absl::IsNotFound(status);
}

absl::string_view AsText(ByteSpan bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// The key of the element that byte `offset` of an element message lies in, in hex.
std::optional<std::string> KeyAt(ByteSpan message, uint32_t offset) {
  constexpr size_t kHeaders = sizeof(nlmsghdr) + sizeof(nfgenmsg);
  if (offset < kHeaders || offset >= message.size()) return std::nullopt;
  std::optional<std::string> key;
  ForEachAttr(message.subspan(kHeaders), [&](uint16_t type, ByteSpan list) {
    if (type != NFTA_SET_ELEM_LIST_ELEMENTS) return;
    ForEachAttr(list, [&](uint16_t, ByteSpan element) {
      const auto start = static_cast<size_t>(element.data() - message.data());
      if (offset + sizeof(nlattr) < start || offset >= start + element.size()) return;
      Attrs attrs(element);
      const ByteSpan value = attrs.Nested(NFTA_SET_ELEM_KEY).Raw(NFTA_DATA_VALUE);
      if (!key.has_value() && !value.empty()) key = absl::BytesToHexString(AsText(value));
    });
  });
  return key;
}

// A hash table that has just grown is moved to a larger one in the background. A listing meanwhile misses elements and
// repeats others, and nothing but the number of them tells.
bool Rearranged(const RulesetDecoder::SetRef& set, const RulesetDecoder& decoder) {
  if (set.interval) return false;  // trees, and counted in another way
  if (set.dynamic) return false;   // packets come and go while it is listed
  return decoder.Repeated(set.family, set.name) ||
         (set.count.has_value() && *set.count != decoder.ElementsOf(set.family, set.name));
}

absl::Status CommitError(const Answer& error, const Batch& batch, const nft::ChangeSet& changes) {
  const std::optional<Batch::Origin> origin = batch.OriginOf(error.sequence);
  if (!origin.has_value()) return ErrnoStatus(error.error, "commit to nf_tables", error.extack);

  std::string attempted = Describe(changes[static_cast<size_t>(origin->op)]);
  if (origin->parts > 1) absl::StrAppend(&attempted, ", message ", origin->part, " of ", origin->parts);
  if (const auto key = KeyAt(origin->message, error.offset)) absl::StrAppend(&attempted, ", key 0x", *key);
  absl::Status status = ErrnoStatus(error.error, attempted, error.extack);
  status.SetPayload(kFailedOpPayload, absl::Cord(absl::StrCat(origin->op)));
  const ByteSpan head = origin->message.subspan(0, kMaxFailedMessage);
  status.SetPayload(kFailedMessagePayload, absl::Cord(absl::BytesToHexString(AsText(head))));
  return status;
}

// The kernel leaves out zero when the counter wraps, as we do.
Generation NextGeneration(Generation generation) { return generation + 1 == kUnknownGeneration ? 1 : generation + 1; }

// The generation our commit reached: the kernel checked `guard`, and a commit moves it by one. (By none if it changed
// nothing at all, which whoever sends only differences never does; he would be told of a stranger and look again.)
Generation GenerationReached(Generation guard) {
  return guard == kUnknownGeneration ? kUnknownGeneration : NextGeneration(guard);
}

}  // namespace

NftDataplane::NftDataplane(std::unique_ptr<Transport> transport, const NftOptions& options)
    : transport_(std::move(transport)), options_(options) {}

absl::Status NftDataplane::AskNft(Transport& transport, uint16_t message, uint8_t family, bool dump, const char* table,
                                  const char* set, absl::FunctionRef<bool(ByteSpan)> visit) {
  // The table is attribute 1 of every message, the set 2 of those that ask for elements.
  static_assert(int{NFTA_RULE_TABLE} == int{NFTA_TABLE_NAME} && int{NFTA_SET_TABLE} == int{NFTA_TABLE_NAME} &&
                int{NFTA_SET_ELEM_LIST_TABLE} == int{NFTA_TABLE_NAME});
  alignas(nlmsghdr) std::array<char, 1024> buffer = {};
  nlmsghdr* request = nftnl_nlmsg_build_hdr(buffer.data(), NftType(message), family,
                                            dump ? uint16_t{NLM_F_DUMP} : uint16_t{0}, sequence_++);
  if (table != nullptr) mnl_attr_put_strz(request, NFTA_TABLE_NAME, table);
  if (set != nullptr && !mnl_attr_put_strz_check(request, buffer.size(), NFTA_SET_ELEM_LIST_SET, set)) {
    return absl::InternalError("set name too long");
  }
  return Ask(transport, ByteSpan(reinterpret_cast<const uint8_t*>(buffer.data()), request->nlmsg_len), visit);
}

absl::StatusOr<Generation> NftDataplane::CurrentGeneration() {
  absl::StatusOr<Generation> generation = absl::DataLossError("no generation in the kernel's answer");
  const absl::Status status =
      AskNft(*transport_, NFT_MSG_GETGEN, AF_UNSPEC, /*dump=*/false, nullptr, nullptr, [&](ByteSpan message) {
        generation = DecodeGeneration(message);
        return false;
      });
  PM_RETURN_IF_ERROR(Annotate(status, "read the nf_tables generation"));
  return generation;
}

absl::Status NftDataplane::ReadTable(Family family, Transport& transport, RulesetDecoder& decoder) {
  absl::Status decoded;
  const auto add = [&](ByteSpan message) {
    decoded.Update(decoder.Add(message));
    return true;
  };
  const auto list = [&](uint16_t message, bool dump, absl::string_view what) {
    absl::Status status = AskNft(transport, message, FamilyNumber(family), dump, nft::kTableName, nullptr, add);
    status.Update(decoded);
    return Annotate(status, absl::StrCat("list ", what, " of ", nft::kTableName, " (", FamilyName(family), ")"));
  };
  const absl::Status table = list(NFT_MSG_GETTABLE, /*dump=*/false, "the table");
  if (absl::IsNotFound(table)) return absl::OkStatus();
  PM_RETURN_IF_ERROR(table);
  PM_RETURN_IF_ERROR(list(NFT_MSG_GETCHAIN, /*dump=*/true, "the chains"));
  PM_RETURN_IF_ERROR(list(NFT_MSG_GETRULE, /*dump=*/true, "the rules"));
  return list(NFT_MSG_GETSET, /*dump=*/true, "the sets");
}

absl::Status NftDataplane::ReadElements(const RulesetDecoder::SetRef& set, std::unique_ptr<Transport>& transport,
                                        RulesetDecoder& decoder, bool last_attempt) {
  if (set.dynamic && !options_.list_filled) return absl::OkStatus();
  const auto limit = static_cast<size_t>(options_.max_listed_elements);
  if (set.count.has_value() && *set.count > limit) {
    decoder.CutShort(set.family, set.name);
    return absl::OkStatus();
  }
  bool too_large = false;
  absl::Status decoded;
  absl::Status status = AskNft(*transport, NFT_MSG_GETSETELEM, FamilyNumber(set.family), /*dump=*/true, nft::kTableName,
                               set.name.c_str(), [&](ByteSpan message) {
                                 decoded.Update(decoder.Add(message));
                                 too_large = decoder.ElementsOf(set.family, set.name) > limit;
                                 return !too_large;
                               });
  status.Update(decoded);
  if (status.ok() && too_large) {
    decoder.CutShort(set.family, set.name);
    PM_ASSIGN_OR_RETURN(transport, transport->Reopen());
  } else if (status.ok() && Rearranged(set, decoder)) {
    if (!last_attempt) return absl::DataLossError(absl::StrCat("the kernel was rearranging set ", set.name));
    decoder.CutShort(set.family, set.name);
  }
  return Annotate(
      status, absl::StrCat("list the elements of ", nft::kTableName, "/", set.name, " (", FamilyName(set.family), ")"));
}

absl::Status NftDataplane::Read(RulesetDecoder& decoder, bool last_attempt) {
  PM_ASSIGN_OR_RETURN(std::unique_ptr<Transport> transport, transport_->Reopen());
  for (const Family family : kFamilies) PM_RETURN_IF_ERROR(ReadTable(family, *transport, decoder));
  for (const RulesetDecoder::SetRef& set : decoder.sets()) {
    PM_RETURN_IF_ERROR(ReadElements(set, transport, decoder, last_attempt));
  }
  return absl::OkStatus();
}

absl::StatusOr<Observation> NftDataplane::Observe() {
  absl::Status last;
  for (int attempt = 0; attempt < kObserveAttempts; ++attempt) {
    // Longer each time, up to half a second in all: whoever is in the way is soon done.
    if (attempt > 0) absl::SleepFor(std::min(absl::Milliseconds(1 << attempt), kLongestPause));
    PM_ASSIGN_OR_RETURN(const Generation before, CurrentGeneration());
    RulesetDecoder decoder;
    last = Read(decoder, /*last_attempt=*/attempt + 1 == kObserveAttempts);
    if (!last.ok()) {
      if (!WorthRetrying(last)) return last;
      continue;
    }
    PM_ASSIGN_OR_RETURN(const Generation after, CurrentGeneration());
    if (before == after) return Observation{.ruleset = decoder.Finish(), .generation = after};
    last = absl::DataLossError("the ruleset changed while it was read");
  }
  last = Annotate(last, absl::StrCat("read our tables, ", kObserveAttempts, " times"));
  return absl::IsNotFound(last) ? absl::DataLossError(last.message()) : last;
}

absl::StatusOr<uint64_t> NftDataplane::CountedPackets() {
  PM_ASSIGN_OR_RETURN(std::unique_ptr<Transport> transport, transport_->Reopen());
  RulesetDecoder decoder;
  for (const Family family : kFamilies) PM_RETURN_IF_ERROR(ReadTable(family, *transport, decoder));
  uint64_t packets = 0;
  for (const auto& [family, table] : decoder.Finish().tables) {
    for (const auto& [name, chain] : table.chains) {
      for (const nft::Rule& rule : chain.rules) {
        for (const nft::Expr& expr : rule.exprs) {
          if (const auto* counter = std::get_if<nft::Counter>(&expr)) packets += counter->packets;
        }
      }
    }
  }
  return packets;
}

absl::StatusOr<CommitReport> NftDataplane::Commit(const nft::ChangeSet& changes, Generation guard) {
  CommitReport report{.ops = static_cast<int>(changes.size()), .generation = guard};
  const auto start = std::chrono::steady_clock::now();
  PM_ASSIGN_OR_RETURN(Batch batch, EncodeBatch(changes, sequence_, guard, std::move(memory_)));
  if (batch.empty()) return report;
  sequence_ = batch.last_sequence() + 2;
  report.messages = batch.messages();
  report.bytes = static_cast<int64_t>(batch.bytes().size());

  const auto encoded = std::chrono::steady_clock::now();
  report.encoding = absl::FromChrono(encoded - start);

  PM_RETURN_IF_ERROR(Annotate(transport_->Send(batch.bytes()), "commit to nf_tables"));
  const Outcome outcome = ReceiveOutcome(*transport_, batch);
  report.committing = absl::FromChrono(std::chrono::steady_clock::now() - encoded);
  if (outcome.first_error.has_value()) return CommitError(*outcome.first_error, batch, changes);
  if (!outcome.acknowledged || outcome.lost) {
    return absl::UnavailableError(
        "commit to nf_tables: the kernel's answer was lost; whether it took effect is unknown");
  }
  report.generation = GenerationReached(guard);
  memory_ = std::move(batch).Release();
  return report;
}

}  // namespace pointsman::nl

namespace pointsman {

absl::StatusOr<std::unique_ptr<Dataplane>> OpenNftDataplane(const NftOptions& options) {
  PM_ASSIGN_OR_RETURN(std::unique_ptr<nl::Socket> socket, nl::Socket::Open());
  auto dataplane = std::make_unique<nl::NftDataplane>(std::move(socket), options);
  const absl::Status status = dataplane->CurrentGeneration().status();
  if (absl::IsPermissionDenied(status)) return absl::PermissionDeniedError(nl::kNeedsNetAdmin);
  if (!status.ok()) return absl::UnavailableError(absl::StrCat("no nf_tables in this kernel: ", status.message()));
  return absl::StatusOr<std::unique_ptr<Dataplane>>(std::move(dataplane));
}

absl::Status CheckNetAdmin() {
  // The kernel asks for the capability before it looks at a request, be it only a question.
  const absl::StatusOr<std::unique_ptr<Dataplane>> dataplane = OpenNftDataplane();
  return absl::IsPermissionDenied(dataplane.status()) ? dataplane.status() : absl::OkStatus();
}

}  // namespace pointsman
