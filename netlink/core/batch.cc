// SPDX-License-Identifier: Apache-2.0
#include "netlink/core/batch.h"

#include <algorithm>
#include <utility>

#include "netlink/core/uapi.h"
#include "pointsman/status.h"

namespace pointsman::nl {
namespace {

constexpr size_t kHeaders = MNL_ALIGN(sizeof(nlmsghdr)) + MNL_ALIGN(sizeof(nfgenmsg));
// More than nearly all changes need.
constexpr size_t kKeptBytes = 256 * 1024;
constexpr size_t kBracket = kHeaders + MNL_ATTR_HDRLEN + sizeof(uint32_t);  // BATCH_BEGIN with a generation

}  // namespace

uint8_t FamilyNumber(Family family) { return family == Family::kIpv4 ? NFPROTO_IPV4 : NFPROTO_IPV6; }

Batch::Batch(uint32_t sequence, Generation guard, const char* table, Memory memory)
    : sequence_(sequence), table_(table), bytes_(std::move(memory.bytes)), messages_(std::move(memory.messages)) {
  messages_.clear();
  bytes_.clear();
  bytes_.resize(kBracket);
  nlmsghdr* begin = nftnl_batch_begin(reinterpret_cast<char*>(bytes_.data()), sequence);
  if (guard != kUnknownGeneration) mnl_attr_put_u32(begin, NFNL_BATCH_GENID, htonl(guard));
  Trim(0);
}

Batch::Memory Batch::Release() && {
  if (bytes_.capacity() > kKeptBytes) return {};
  return {std::move(bytes_), std::move(messages_)};
}

// Cuts off what the message at `offset` has not used of its reserve.
void Batch::Trim(size_t offset) {
  const size_t used = reinterpret_cast<const nlmsghdr*>(bytes_.data() + offset)->nlmsg_len;
  PM_CHECK(offset + MNL_ALIGN(used) <= bytes_.size());  // else the reserve was too small
  bytes_.resize(offset + MNL_ALIGN(used));
}

nlmsghdr* Batch::BeginMessage(uint16_t nft_message, uint16_t flags, Family family, size_t reserve) {
  const size_t offset = bytes_.size();
  messages_.push_back({offset, op_});
  const size_t needed = offset + kHeaders + MNL_ALIGN(reserve);
  if (needed > bytes_.capacity()) bytes_.reserve(std::max(needed, bytes_.capacity() * 2));
  bytes_.resize(needed);
  return nftnl_nlmsg_build_hdr(reinterpret_cast<char*>(bytes_.data() + offset), NftType(nft_message),
                               FamilyNumber(family), flags, last_sequence());
}

void Batch::EndMessage() { Trim(messages_.back().offset); }

void Batch::FinishTrial() {
  PM_CHECK(!empty());
  reinterpret_cast<nlmsghdr*>(bytes_.data() + messages_.back().offset)->nlmsg_flags |= NLM_F_ACK;
}

void Batch::Finish() {
  FinishTrial();
  const size_t offset = bytes_.size();
  bytes_.resize(offset + kBracket);
  nftnl_batch_end(reinterpret_cast<char*>(bytes_.data() + offset), last_sequence() + 1);
  Trim(offset);
}

std::optional<Batch::Origin> Batch::OriginOf(uint32_t sequence) const {
  const size_t index = static_cast<uint32_t>(sequence - sequence_) - size_t{1};  // wraps for begin: out of range
  if (index >= messages_.size()) return std::nullopt;
  const Message& message = messages_[index];
  const auto of_op = std::equal_range(messages_.begin(), messages_.end(), message,
                                      [](const Message& a, const Message& b) { return a.op < b.op; });
  Origin origin;
  origin.op = message.op;
  origin.part = static_cast<int>(index - static_cast<size_t>(of_op.first - messages_.begin())) + 1;
  origin.parts = static_cast<int>(of_op.second - of_op.first);
  const ByteSpan rest = ByteSpan(bytes_).subspan(message.offset);
  origin.message = rest.first(reinterpret_cast<const nlmsghdr*>(rest.data())->nlmsg_len);
  return origin;
}

}  // namespace pointsman::nl
