// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "netlink/core/attr.h"
#include "netlink/core/error.h"
#include "netlink/core/transport.h"
#include "netlink/core/uapi.h"
#include "pointsman/dataplane.h"
#include "tests/unit/netlink/changes.h"

namespace pointsman::nl {

using Message = std::vector<uint8_t>;

// A netlink message of `type` with `payload`.
inline Message MakeMessage(uint16_t type, uint16_t flags, uint32_t sequence, ByteSpan payload) {
  nlmsghdr header = {};
  header.nlmsg_len = static_cast<uint32_t>(sizeof(header) + payload.size());
  header.nlmsg_type = type;
  header.nlmsg_flags = flags;
  header.nlmsg_seq = sequence;
  Message message(sizeof(header) + (payload.size() + 3) / 4 * 4);
  std::memcpy(message.data(), &header, sizeof(header));
  if (!payload.empty()) std::memcpy(message.data() + sizeof(header), payload.data(), payload.size());
  return message;
}

inline nlmsghdr HeaderOf(ByteSpan message) {
  nlmsghdr header = {};
  std::memcpy(&header, message.data(), sizeof(header));
  return header;
}

inline void AppendAttr(Message& to, uint16_t type, ByteSpan payload) {
  nlattr header = {};
  header.nla_len = static_cast<uint16_t>(sizeof(header) + payload.size());
  header.nla_type = type;
  const auto* bytes = reinterpret_cast<const uint8_t*>(&header);
  to.insert(to.end(), bytes, bytes + sizeof(header));
  to.insert(to.end(), payload.begin(), payload.end());
  to.resize((to.size() + 3) / 4 * 4);
}

// The kernel's answer to `request`: `error` zero is an acknowledgement. As with NETLINK_CAP_ACK.
inline Message MakeAnswer(ByteSpan request, int error, const std::string& extack = "", uint32_t offset = 0) {
  const int32_t code = -error;
  Message payload(sizeof(code) + sizeof(nlmsghdr));
  std::memcpy(payload.data(), &code, sizeof(code));
  std::memcpy(payload.data() + sizeof(code), request.data(), sizeof(nlmsghdr));
  uint16_t flags = NLM_F_CAPPED;
  if (!extack.empty()) {
    flags |= NLM_F_ACK_TLVS;
    AppendAttr(payload, NLMSGERR_ATTR_MSG,
               ByteSpan(reinterpret_cast<const uint8_t*>(extack.c_str()), extack.size() + 1));
  }
  if (offset != 0) {
    flags |= NLM_F_ACK_TLVS;
    AppendAttr(payload, NLMSGERR_ATTR_OFFS, ByteSpan(reinterpret_cast<const uint8_t*>(&offset), sizeof(offset)));
  }
  return MakeMessage(NLMSG_ERROR, flags, HeaderOf(request).nlmsg_seq, payload);
}

inline Message MakeDone(uint32_t sequence, int error = 0, uint16_t flags = 0) {
  const int32_t code = -error;
  return MakeMessage(NLMSG_DONE, static_cast<uint16_t>(NLM_F_MULTI | flags), sequence,
                     ByteSpan(reinterpret_cast<const uint8_t*>(&code), sizeof(code)));
}

inline Message MakeGeneration(uint32_t sequence, Generation generation) {
  Message payload(sizeof(nfgenmsg));
  const uint32_t id = htonl(generation);
  AppendAttr(payload, NFTA_GEN_ID, ByteSpan(reinterpret_cast<const uint8_t*>(&id), sizeof(id)));
  return MakeMessage(NftType(NFT_MSG_NEWGEN), 0, sequence, payload);
}

// One thing that comes out of a Receive.
using Reply = std::variant<Message, absl::Status>;
// Everything that comes back from one Send.
using Script = std::function<std::vector<Reply>(ByteSpan datagram)>;

// A transport that answers from a script; the script is shared with what Reopen makes.
class ScriptedTransport final : public Transport {
 public:
  explicit ScriptedTransport(Script script, int* reopened = nullptr)
      : script_(std::make_shared<Script>(std::move(script))), reopened_(reopened) {}

  absl::Status Send(ByteSpan datagram) override {
    for (Reply& reply : (*script_)(datagram)) replies_.push_back(std::move(reply));
    return absl::OkStatus();
  }
  absl::StatusOr<ByteSpan> Receive() override {
    if (replies_.empty()) return ByteSpan();
    const Reply next = std::move(replies_.front());
    replies_.pop_front();
    if (const auto* status = std::get_if<absl::Status>(&next)) return *status;
    current_ = std::get<Message>(next);
    return ByteSpan(current_);
  }
  absl::StatusOr<std::unique_ptr<Transport>> Reopen() override {
    if (reopened_ != nullptr) ++*reopened_;
    auto other = std::make_unique<ScriptedTransport>(*script_, reopened_);
    other->script_ = script_;
    return absl::StatusOr<std::unique_ptr<Transport>>(std::move(other));
  }

 private:
  std::shared_ptr<Script> script_;
  int* reopened_;
  std::deque<Reply> replies_;
  Message current_;
};

// Answers questions as nf_tables would that holds `ruleset`, one message a datagram. Faults are for the test to set.
class FakeKernel {
 public:
  nft::Ruleset ruleset;
  Generation generation = 7;
  // Called for each dump with its NFT_MSG_GET*; may change anything, and the datagrams about to be sent.
  std::function<void(uint16_t request, std::vector<Reply>& replies)> on_dump;
  int dumps = 0;

  std::vector<Reply> Answer(ByteSpan request) {
    const nlmsghdr header = HeaderOf(request);
    const uint16_t asked = header.nlmsg_type & 0xff;
    nfgenmsg general = {};
    std::memcpy(&general, request.data() + sizeof(header), sizeof(general));
    const Attrs attrs(request.subspan(sizeof(header) + sizeof(general)));
    if (asked == NFT_MSG_GETGEN) return {MakeGeneration(header.nlmsg_seq, generation)};

    uint16_t wanted = 0;
    if (asked == NFT_MSG_GETTABLE) wanted = NFT_MSG_NEWTABLE;
    if (asked == NFT_MSG_GETCHAIN) wanted = NFT_MSG_NEWCHAIN;
    if (asked == NFT_MSG_GETRULE) wanted = NFT_MSG_NEWRULE;
    if (asked == NFT_MSG_GETSET) wanted = NFT_MSG_NEWSET;
    if (asked == NFT_MSG_GETSETELEM) wanted = NFT_MSG_NEWSETELEM;
    const bool dump = (header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    std::vector<Reply> replies;
    const Batch batch = EncodeBatch(FromNothing(ruleset), 1, kUnknownGeneration).value();
    ForEachMessage(batch.bytes(), [&](ByteSpan message) {
      if (HeaderOf(message).nlmsg_type != NftType(wanted)) return true;
      if (message[sizeof(header)] != general.nfgen_family) return true;
      const Attrs has(message.subspan(sizeof(header) + sizeof(general)));
      const bool same_set = has.Str(NFTA_SET_ELEM_LIST_SET) == attrs.Str(NFTA_SET_ELEM_LIST_SET);
      if (asked == NFT_MSG_GETSETELEM && !same_set) return true;
      replies.emplace_back(
          MakeMessage(NftType(wanted), dump ? NLM_F_MULTI : 0, header.nlmsg_seq, message.subspan(sizeof(header))));
      return true;
    });
    if (!dump) {
      if (replies.empty()) replies.emplace_back(MakeAnswer(request, ENOENT));
      return replies;
    }
    replies.emplace_back(MakeDone(header.nlmsg_seq));
    ++dumps;
    if (on_dump) on_dump(asked, replies);
    return replies;
  }

  std::unique_ptr<Transport> Connect(int* reopened = nullptr) {
    return std::make_unique<ScriptedTransport>([this](ByteSpan request) { return Answer(request); }, reopened);
  }
};

}  // namespace pointsman::nl
