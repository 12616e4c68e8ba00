// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "netlink/core/attr.h"
#include "pointsman/dataplane.h"
#include "pointsman/net.h"
#include "pointsman/nft.h"

struct nlmsghdr;

namespace pointsman::nl {

// The netlink family number (NFPROTO_IPV4 or NFPROTO_IPV6).
uint8_t FamilyNumber(Family family);

// An nf_tables transaction as bytes, and which op each of its sequence numbers belongs to:
//
//   BATCH_BEGIN [NFNL_BATCH_GENID]   message ... message   BATCH_END
//
// Only the last message asks for an acknowledgement: one on BATCH_END is ignored by older kernels, and one per message
// overflows receive buffers.
class Batch {
  struct Message {
    size_t offset;
    int op;
  };

 public:
  // What a batch is written into. The next one may have that of the last.
  struct Memory {
    std::vector<uint8_t> bytes;
    std::vector<Message> messages;
  };

  // Inputs:  `sequence` of BATCH_BEGIN; the messages count on from there. `guard`: refuse to commit in any other
  //          generation, if known.
  //          `table`: whose name goes into the messages; static storage.
  Batch(uint32_t sequence, Generation guard, const char* table = nft::kTableName, Memory memory = {});

  // For the next batch. That of a very large one is given back to the system instead.
  Memory Release() &&;

  // There will be about so many bytes. What is not used of it costs no memory, growing step by step does.
  void Reserve(size_t bytes) { bytes_.reserve(bytes); }
  void ReserveMessages(size_t messages) { messages_.reserve(messages); }

  // Messages appended from here on belong to op number `op`.
  void StartOp(int op) { op_ = op; }

  // Appends a message with room for `reserve` bytes after its headers, zeroed. The caller fills in attributes
  // (mnl_attr_put and friends), then calls EndMessage. The pointer is valid until then.
  nlmsghdr* BeginMessage(uint16_t nft_message, uint16_t flags, Family family, size_t reserve);
  void EndMessage();

  // Appends BATCH_END and asks for the acknowledgement. Nothing may be appended after.
  void Finish();
  // The same without BATCH_END: the kernel carries everything out in the generation to come, and takes it back. What
  // `nft --check` does.
  void FinishTrial();

  const char* table() const { return table_; }
  bool empty() const { return messages_.empty(); }
  int messages() const { return static_cast<int>(messages_.size()); }  // without begin and end
  ByteSpan bytes() const { return bytes_; }

  struct Origin {
    int op = 0;
    int part = 0;  // which of the op's messages, from 1
    int parts = 0;
    ByteSpan message;
  };
  // Where the message with this sequence number comes from; nullopt for begin, end and strangers.
  std::optional<Origin> OriginOf(uint32_t sequence) const;
  uint32_t begin_sequence() const { return sequence_; }
  uint32_t last_sequence() const { return sequence_ + static_cast<uint32_t>(messages_.size()); }

 private:
  void Trim(size_t offset);

  uint32_t sequence_;
  const char* table_;
  int op_ = 0;
  std::vector<uint8_t> bytes_;
  std::vector<Message> messages_;
};

}  // namespace pointsman::nl
