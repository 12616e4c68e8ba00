// SPDX-License-Identifier: Apache-2.0
#include "netlink/nft/dataplane.h"

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "netlink/core/uapi.h"
#include "tests/support/nft_sample.h"
#include "tests/unit/netlink/changes.h"
#include "tests/unit/netlink/fake_kernel.h"

namespace pointsman::nl {
namespace {

using support::Ip;
using support::SampleRuleset;
using ::testing::HasSubstr;

constexpr Family kV4 = Family::kIpv4;

// Puts NLM_F_DUMP_INTR on the last datagram.
void Interrupt(std::vector<Reply>& replies) {
  auto& message = std::get<Message>(replies.back());
  message[6] |= NLM_F_DUMP_INTR;
}

nft::Ruleset WithoutDynamicElements(nft::Ruleset ruleset) {
  for (auto& [family, table] : ruleset.tables) {
    for (auto& [name, set] : table.sets) {
      if (set.spec.dynamic) set.elements.clear();
    }
  }
  return ruleset;
}

// --- reading ---------------------------------------------------------------------------------------------------------

TEST(ObserveTest, ReadsWhatTheKernelHolds) {
  FakeKernel kernel{.ruleset = SampleRuleset(/*affinity=*/true)};
  NftDataplane dataplane(kernel.Connect(), {});
  const absl::StatusOr<Observation> seen = dataplane.Observe();
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->ruleset, WithoutDynamicElements(kernel.ruleset));
  EXPECT_EQ(seen->generation, 7U);
}

TEST(ObserveTest, AFamilyThatIsNotThereIsNotAskedFurther) {
  FakeKernel kernel{.ruleset = SampleRuleset(false)};
  kernel.ruleset.tables.erase(Family::kIpv6);
  kernel.ruleset.tables[kV4] = {};
  NftDataplane dataplane(kernel.Connect(), {});
  const absl::StatusOr<Observation> seen = dataplane.Observe();
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->ruleset, kernel.ruleset);
  EXPECT_EQ(kernel.dumps, 3) << "chains, rules, sets";
}

struct Disturbance {
  const char* what;
  std::function<void(FakeKernel&, std::vector<Reply>&)> disturb;
  absl::StatusCode in_the_end;
};

std::vector<Disturbance> Disturbances() {
  return {
      {"the generation moves", [](FakeKernel& kernel, std::vector<Reply>&) { ++kernel.generation; },
       absl::StatusCode::kDataLoss},
      {"NLM_F_DUMP_INTR", [](FakeKernel&, std::vector<Reply>& replies) { Interrupt(replies); },
       absl::StatusCode::kDataLoss},
      {"EINTR",
       [](FakeKernel&, std::vector<Reply>& replies) {
         replies.back() = MakeDone(HeaderOf(std::get<Message>(replies.back())).nlmsg_seq, EINTR);
       },
       absl::StatusCode::kDataLoss},
      {"ENOBUFS",
       [](FakeKernel&, std::vector<Reply>& replies) {
         replies.insert(replies.begin(), absl::UnavailableError("receive from netlink: No buffer space available"));
       },
       absl::StatusCode::kUnavailable},
      {"a truncated message",
       [](FakeKernel&, std::vector<Reply>& replies) {
         auto& message = std::get<Message>(replies.front());
         message.erase(message.end() - 4, message.end());
       },
       absl::StatusCode::kDataLoss},
      {"no end", [](FakeKernel&, std::vector<Reply>& replies) { replies.pop_back(); }, absl::StatusCode::kUnavailable},
      {"the set is gone",
       [](FakeKernel&, std::vector<Reply>& replies) {
         replies = {MakeDone(HeaderOf(std::get<Message>(replies.back())).nlmsg_seq, ENOENT)};
       },
       absl::StatusCode::kDataLoss},
  };
}

TEST(ObserveTest, StartsOverWhenDisturbed) {
  for (const Disturbance& row : Disturbances()) {
    SCOPED_TRACE(row.what);
    FakeKernel kernel{.ruleset = SampleRuleset(false)};
    int left = 3;
    kernel.on_dump = [&](uint16_t, std::vector<Reply>& replies) {
      if (left-- > 0) row.disturb(kernel, replies);
    };
    int reopened = 0;
    NftDataplane dataplane(kernel.Connect(&reopened), {});
    const absl::StatusOr<Observation> seen = dataplane.Observe();
    ASSERT_TRUE(seen.ok()) << seen.status();
    EXPECT_EQ(seen->ruleset, WithoutDynamicElements(kernel.ruleset));
    EXPECT_EQ(seen->generation, kernel.generation);
    EXPECT_GE(reopened, 2) << "a reading that went wrong leaves nothing behind for the next";
  }
}

TEST(ObserveTest, GivesUpWhenTheTablesWillNotHoldStill) {
  for (const Disturbance& row : Disturbances()) {
    SCOPED_TRACE(row.what);
    FakeKernel kernel{.ruleset = SampleRuleset(false)};
    kernel.on_dump = [&](uint16_t, std::vector<Reply>& replies) { row.disturb(kernel, replies); };
    int reopened = 0;
    NftDataplane dataplane(kernel.Connect(&reopened), {});
    const absl::StatusOr<Observation> seen = dataplane.Observe();
    EXPECT_EQ(seen.status().code(), row.in_the_end) << seen.status();
    EXPECT_THAT(std::string(seen.status().message()), HasSubstr("10 times"));
    EXPECT_EQ(reopened, kObserveAttempts);
  }
}

TEST(ObserveTest, DoesNotInsistWithoutPermission) {
  auto transport = std::make_unique<ScriptedTransport>(
      [](ByteSpan request) -> std::vector<Reply> { return {MakeAnswer(request, EPERM)}; });
  NftDataplane dataplane(std::move(transport), {});
  EXPECT_TRUE(absl::IsPermissionDenied(dataplane.Observe().status()));
  EXPECT_TRUE(absl::IsPermissionDenied(dataplane.CurrentGeneration().status()));
}

TEST(ObserveTest, LeavesALargeSetAndReadsOn) {
  FakeKernel kernel{.ruleset = SampleRuleset(false)};
  nft::Set& large = kernel.ruleset.tables[kV4].sets["aff_endpoints"];
  large.spec = {.key = {nft::Field::kIpv4Addr}};
  large.elements.clear();
  for (int i = 0; i < 250; ++i) {
    large.elements[Ip(absl::StrCat("192.0.2.", i))] = {.end = {}, .data = {}, .comment = std::string(128, 'c')};
  }
  int reopened = 0;
  NftDataplane dataplane(kernel.Connect(&reopened), {.max_listed_elements = 249});
  const absl::StatusOr<Observation> seen = dataplane.Observe();
  ASSERT_TRUE(seen.ok()) << seen.status();
  large.elements.clear();
  large.complete = false;
  EXPECT_EQ(seen->ruleset, WithoutDynamicElements(kernel.ruleset));
  EXPECT_EQ(reopened, 2) << "the dump it left needs a new socket";
}

// --- writing ---------------------------------------------------------------------------------------------------------

nft::ChangeSet ThreeOps() {
  nft::AddElements add{kV4, "s", {.key = {nft::Field::kIpv4Addr}}, {}};
  for (int i = 0; i < 3000; ++i) {
    add.elements.push_back({{10, 0, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)}, {}});
  }
  return {nft::AddChain{kV4, "c", {}, ""}, add, nft::FlushChain{kV4, "c"}};
}

// A kernel that answers a batch with what `answer` makes of its messages, in order; begin and end are among them.
struct BatchKernel {
  std::function<std::vector<Reply>(const std::vector<ByteSpan>& messages)> answer;
  int batches = 0;

  std::unique_ptr<Transport> Connect() {
    return std::make_unique<ScriptedTransport>([this](ByteSpan datagram) -> std::vector<Reply> {
      std::vector<ByteSpan> messages;
      EXPECT_TRUE(ForEachMessage(datagram, [&](ByteSpan message) {
        messages.push_back(message);
        return true;
      }));
      ++batches;
      return answer(messages);
    });
  }
};

// The acknowledgement of the last message.
Message Ack(const std::vector<ByteSpan>& messages) { return MakeAnswer(messages[messages.size() - 2], 0); }

TEST(CommitTest, IsOneDatagramAndReportsIt) {
  BatchKernel kernel;
  size_t bytes = 0;
  kernel.answer = [&](const std::vector<ByteSpan>& messages) -> std::vector<Reply> {
    for (const ByteSpan message : messages) bytes += (message.size() + 3) / 4 * 4;
    EXPECT_EQ(Attrs(messages[0].subspan(20)).U32(NFNL_BATCH_GENID), 7U);
    return {Ack(messages)};
  };
  NftDataplane dataplane(kernel.Connect(), {});
  const absl::StatusOr<CommitReport> report = dataplane.Commit(ThreeOps(), 7);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->ops, 3);
  EXPECT_EQ(report->messages, 4) << "3 000 elements take two";
  EXPECT_EQ(report->bytes, static_cast<int64_t>(bytes));
  EXPECT_EQ(report->generation, 8U);
  EXPECT_EQ(kernel.batches, 1);
}

TEST(CommitTest, WithoutMessagesNothingIsSent) {
  BatchKernel kernel;
  NftDataplane dataplane(kernel.Connect(), {});
  const absl::StatusOr<CommitReport> report =
      dataplane.Commit({nft::DeleteElements{kV4, "s", {.key = {nft::Field::kIpv4Addr}}, {}}}, 7);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->ops, 1);
  EXPECT_EQ(report->messages, 0);
  EXPECT_EQ(report->bytes, 0);
  EXPECT_EQ(report->generation, 7U);
  EXPECT_EQ(kernel.batches, 0);
}

TEST(CommitTest, TheGenerationReachedIsTheNextAfterTheGuard) {
  const struct {
    Generation guard;
    Generation reported;
    const char* why;
  } table[] = {
      {7, 8, "we moved it"},
      {kUnknownGeneration, kUnknownGeneration, "nobody knows what was before"},
      {0xffffffff, 1, "the counter leaves out zero"},
  };
  for (const auto& row : table) {
    BatchKernel kernel;
    kernel.answer = [&](const std::vector<ByteSpan>& messages) -> std::vector<Reply> {
      EXPECT_EQ(Attrs(messages[0].subspan(20)).Has(NFNL_BATCH_GENID), row.guard != kUnknownGeneration);
      return {Ack(messages)};
    };
    NftDataplane dataplane(kernel.Connect(), {});
    const absl::StatusOr<CommitReport> report = dataplane.Commit(ThreeOps(), row.guard);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->generation, row.reported) << row.why;
  }
}

TEST(CommitTest, AMovedGenerationAborts) {
  BatchKernel kernel;
  kernel.answer = [](const std::vector<ByteSpan>& messages) -> std::vector<Reply> {
    return {MakeAnswer(messages[0], kErestart)};
  };
  NftDataplane dataplane(kernel.Connect(), {});
  const absl::Status status = dataplane.Commit(ThreeOps(), 7).status();
  EXPECT_EQ(status, absl::AbortedError("commit to nf_tables: the ruleset changed meanwhile"));
}

TEST(CommitTest, TheFirstFailingMessageIsTracedToItsOp) {
  BatchKernel kernel;
  kernel.answer = [](const std::vector<ByteSpan>& messages) -> std::vector<Reply> {
    // begin, chain, elements, elements, flush, end. The kernel acknowledges the last one although nothing was done.
    const ByteSpan list = messages[3];
    return {MakeAnswer(list, EEXIST, "no room", static_cast<uint32_t>(list.size() - 4)),
            MakeAnswer(messages[4], ENOENT), MakeAnswer(messages[4], 0)};
  };
  NftDataplane dataplane(kernel.Connect(), {});
  const absl::Status status = dataplane.Commit(ThreeOps(), 7).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(status.message(), "add element pointsman/s (ip), message 2 of 2, key 0x0a000bb7: File exists (no room)");
  EXPECT_EQ(status.GetPayload(kFailedOpPayload), absl::Cord("1"));
  const absl::optional<absl::Cord> hex = status.GetPayload(kFailedMessagePayload);
  ASSERT_TRUE(hex.has_value());
  EXPECT_EQ(hex->size(), 2U * 4096) << "shortened";
}

TEST(CommitTest, AnswersToEarlierBatchesAreNotOurs) {
  BatchKernel kernel;
  kernel.answer = [](const std::vector<ByteSpan>& messages) -> std::vector<Reply> {
    const Message earlier = MakeMessage(1, 0, HeaderOf(messages[0]).nlmsg_seq - 1, FromHex("00000000"));
    return {MakeAnswer(earlier, EINVAL), Ack(messages)};
  };
  NftDataplane dataplane(kernel.Connect(), {});
  EXPECT_TRUE(dataplane.Commit(ThreeOps(), 7).ok());
}

TEST(CommitTest, ALostAnswerIsAnUnknownOutcome) {
  const struct {
    const char* what;
    std::function<std::vector<Reply>(const std::vector<ByteSpan>&)> answer;
    absl::StatusCode code;
  } table[] = {
      {"no answer", [](const auto&) -> std::vector<Reply> { return {}; }, absl::StatusCode::kUnavailable},
      {"answers lost, the last one seen: errors may have been among them",
       [](const auto& messages) -> std::vector<Reply> {
         return {absl::UnavailableError("ENOBUFS"), Ack(messages)};
       },
       absl::StatusCode::kUnavailable},
      {"answers lost, but an error seen: nothing was done",
       [](const auto& messages) -> std::vector<Reply> {
         return {MakeAnswer(messages[1], EEXIST), absl::UnavailableError("ENOBUFS")};
       },
       absl::StatusCode::kAlreadyExists},
      {"a truncated answer",
       [](const auto& messages) -> std::vector<Reply> {
         Message cut = Ack(messages);
         cut.resize(20);
         return {cut};
       },
       absl::StatusCode::kUnavailable},
      {"a broken socket", [](const auto&) { return std::vector<Reply>(1000, absl::UnavailableError("ENOBUFS")); },
       absl::StatusCode::kUnavailable},
  };
  for (const auto& row : table) {
    BatchKernel kernel{.answer = row.answer};
    NftDataplane dataplane(kernel.Connect(), {});
    EXPECT_EQ(dataplane.Commit(ThreeOps(), 7).status().code(), row.code) << row.what;
  }
}

TEST(CommitTest, WhatCannotBeSaidIsNotSent) {
  BatchKernel kernel;
  NftDataplane dataplane(kernel.Connect(), {});
  const absl::Status status =
      dataplane.Commit({nft::AddRule{kV4, "c", nft::Rule{{nft::Foreign{"counter", ""}}, ""}}}, 7).status();
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_EQ(kernel.batches, 0);
}

}  // namespace
}  // namespace pointsman::nl
