// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "netlink/conntrack/messages.h"
#include "netlink/conntrack/table.h"
#include "netlink/core/uapi.h"
#include "tests/support/builders.h"
#include "tests/unit/netlink/changes.h"
#include "tests/unit/netlink/fake_kernel.h"

namespace pointsman::nl {
namespace {

using support::At;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Recorded of Linux 6.18: one datagram each from 198.51.100.9 or 2001:db8::2, and a listing. The rules:
//   nat output: ip daddr 192.0.2.80 udp dport 8000 dnat ip to 203.0.113.4:9090
//               ip6 daddr 2001:db8::80 udp dport 8000 dnat ip6 to [2001:db8:113::4]:9090
//   raw output: udp dport 7777 ct zone set 5; udp dport 7778 ct original zone set 5
constexpr char kTranslated[] =
    "a40000000001220001000000bb6e000002000000"
    "340001801400018008000100c633640908000200c00002501c0002800500010011000000060002009c400000060003001f400000"
    "340002801400018008000100cb00710408000200c63364091c00028005000100110000000600020023820000060003009c400000"
    "08000300000001a8080008000000000008000c0063264d9a08000b0000000001080007000000001d";
constexpr char kTranslated6[] =
    "d40000000001220001000000bb6e00000a000000"
    "4c0001802c0001801400030020010db80000000000000000000000021400040020010db80000000000000000000000801c00028005000100"
    "11000000060002009c400000060003001f400000"
    "4c0002802c0001801400030020010db80113000000000000000000041400040020010db80000000000000000000000021c00028005000100"
    "110000000600020023820000060003009c400000"
    "08000300000001a8080008000000000008000c00490e5e3708000b0000000001080007000000001d";
constexpr char kInZone[] =
    "ac0000000001220001000000bb6e000002000000"
    "340001801400018008000100c633640908000200c00002501c0002800500010011000000060002009c410000060003001e610000"
    "340002801400018008000100c000025008000200c63364091c0002800500010011000000060002001e610000060003009c410000"
    "060012000005000008000300000001880800080000000000"
    "08000c00dcb3e08908000b0000000001080007000000001d";
constexpr char kInZoneOneWay[] =
    "ac0000000001220001000000bb6e000002000000"
    "3c0001801400018008000100c633640908000200c00002501c0002800500010011000000060002009c420000060003001e620000"
    "0600030000050000"
    "340002801400018008000100c000025008000200c63364091c0002800500010011000000060002001e620000060003009c420000"
    "0800030000000188080008000000000008000c00ca79390408000b0000000001080007000000001d";

Match To(const std::string& dest, Protocol protocol = Protocol::kUdp) {
  return {At(dest).addr, protocol, At(dest).port};
}

FlowCheck Check(const Match& frontend, const std::vector<std::string>& keep, bool translated_only = false) {
  FlowCheck check{.frontend = frontend, .translated_only = translated_only};
  for (const std::string& endpoint : keep) check.keep.push_back(At(endpoint));
  return check;
}

// --- what is stale -------------------------------------------------------------------------------------------------

struct Judgement {
  const char* name;
  Flow flow;
  FlowCheck check;
  bool stale;
};

class StaleTest : public ::testing::TestWithParam<Judgement> {};

const FlowCheck kLive = Check(To("192.0.2.80:8000"), {"203.0.113.4:9090", "203.0.113.7:9090"});
const FlowCheck kGone = Check(To("192.0.2.80:8000"), {}, /*translated_only=*/true);
const FlowCheck kNodePort = Check(To("192.0.2.1:32000"), {"203.0.113.4:9090"});

Flow FlowTo(const std::string& dest, const std::string& reply, Protocol protocol = Protocol::kUdp) {
  return {.original = To(dest, protocol), .reply_source = At(reply), .translated = dest != reply};
}
// As the kernel sees one that begins with what was meant for an answer.
Flow FlowFrom(const std::string& source, const std::string& dest) {
  Flow flow = FlowTo(dest, dest);
  flow.source = At(source);
  return flow;
}
Flow Translated(Flow flow) {
  flow.translated = true;
  return flow;
}
FlowCheck WithAnswers(FlowCheck check) {
  check.answers = true;
  return check;
}
Flow Zoned(Flow flow) {
  flow.zoned = true;
  return flow;
}

// K: reference/service-semantics.md 18.14. Of the NodePort (K06, K07) only the node's addresses are ours.
const Judgement kJudgements[] = {
    {"K01Served", FlowTo("192.0.2.80:8000", "203.0.113.4:9090"), kLive, false},
    {"K01ServedByAnother", FlowTo("192.0.2.80:8000", "203.0.113.7:9090"), kLive, false},
    {"K02OldPort", FlowTo("192.0.2.80:8000", "203.0.113.4:8080"), kLive, true},
    {"K03NotServing", FlowTo("192.0.2.80:8000", "203.0.113.5:9090"), kLive, true},
    {"K05OtherPort", FlowTo("192.0.2.80:3000", "203.0.113.5:9090"), kLive, false},
    {"K06NodePortServed", FlowTo("192.0.2.1:32000", "203.0.113.4:9090"), kNodePort, false},
    {"K07NodePortNotServing", FlowTo("192.0.2.1:32000", "203.0.113.5:9090"), kNodePort, true},
    {"K07NodePortNumberElsewhere", FlowTo("198.51.100.77:32000", "198.51.100.77:32000"), kNodePort, false},
    {"K08Tcp", FlowTo("192.0.2.80:8000", "203.0.113.5:9090", Protocol::kTcp), kLive, false},
    {"K08Sctp", FlowTo("192.0.2.80:8000", "203.0.113.5:9090", Protocol::kSctp), kLive, false},
    {"K09NeverTranslated", FlowTo("192.0.2.80:8000", "192.0.2.80:8000"), kLive, true},
    {"K10NeverTranslatedOtherPort", FlowTo("192.0.2.80:3000", "192.0.2.80:3000"), kLive, false},
    {"AnotherZone", Zoned(FlowTo("192.0.2.80:8000", "203.0.113.5:9090")), kLive, false},
    {"GoneTranslated", FlowTo("192.0.2.80:8000", "203.0.113.4:9090"), kGone, true},
    {"GoneNeverTranslated", FlowTo("192.0.2.80:8000", "192.0.2.80:8000"), kGone, false},
    {"AnswerOnItsWay", FlowFrom("192.0.2.80:8000", "198.51.100.9:4000"), WithAnswers(kLive), true},
    {"AnswerNobodyAskedFor", FlowFrom("192.0.2.80:8000", "198.51.100.9:4000"), kLive, false},
    {"AnswerFromAnotherPort", FlowFrom("192.0.2.80:8001", "198.51.100.9:4000"), WithAnswers(kLive), false},
    {"AnswerThatWasTranslated", Translated(FlowFrom("192.0.2.80:8000", "198.51.100.9:4000")), WithAnswers(kLive),
     false},
    {"AnswersBesides", FlowTo("192.0.2.80:8000", "203.0.113.4:9090"), WithAnswers(kLive), false},
    {"GoneInAnotherZone", Zoned(FlowTo("192.0.2.80:8000", "203.0.113.4:9090")), kGone, false},
};

INSTANTIATE_TEST_SUITE_P(, StaleTest, ::testing::ValuesIn(kJudgements), [](const auto& row) { return row.param.name; });

TEST_P(StaleTest, IsWhatNoneOfThoseKeptAnswers) {
  EXPECT_EQ(Stale(GetParam().check, GetParam().flow), GetParam().stale);
}

// --- bytes -----------------------------------------------------------------------------------------------------------

TEST(ConntrackMessagesTest, AsksForOneDestination) {
  EXPECT_EQ(Hex(EncodeQuery(NarrowQuery(To("192.0.2.80:8000")), 7)),
            "4400000001010103070000000000000002000000"  // IPCTNL_MSG_CT_GET, dump, IPv4
            "240001800c00018008000200c0000250"          // CTA_TUPLE_ORIG: CTA_IP_V4_DST
            "140002800500010011000000060003001f400000"  // CTA_PROTO_NUM, CTA_PROTO_DST_PORT
            "0c001980080001002a000000");                // CTA_FILTER_ORIG_FLAGS: bits 1, 3 and 5
}

TEST(ConntrackMessagesTest, AsksForOnePortInIpv6ForTheKernelComparesAddressesWrongly) {
  EXPECT_EQ(Hex(EncodeQuery(NarrowQuery(To("[2001:db8::80]:8000", Protocol::kSctp)), 7)),
            "380000000101010307000000000000000a000000"
            "18000180140002800500010084000000060003001f400000"
            "0c0019800800010028000000");  // bits 3 and 5
}

TEST(ConntrackMessagesTest, AsksForAProtocolOrForAll) {
  EXPECT_EQ(Hex(EncodeQuery({.family = Family::kIpv6, .protocol = Protocol::kUdp}, 8)),
            "300000000101010308000000000000000a000000"
            "100001800c0002800500010011000000"
            "0c0019800800010008000000");  // bit 3
  EXPECT_EQ(Hex(EncodeQuery({.family = Family::kIpv4}, 9)), "1400000001010103090000000000000002000000");
}

TEST(ConntrackMessagesTest, AQueryCoversWhatItAsksForAndAdmitsWhatTheKernelCannotTellApart) {
  const FlowQuery narrow = NarrowQuery(To("192.0.2.80:8000"));
  EXPECT_TRUE(narrow.Covers(To("192.0.2.80:8000")));
  EXPECT_FALSE(narrow.Covers(To("192.0.2.80:8001")));
  EXPECT_TRUE(narrow.Admits(To("192.0.2.80:8001")));
  EXPECT_FALSE(narrow.Admits(To("192.0.2.81:8000")));
  EXPECT_FALSE(narrow.Admits(To("192.0.2.80:8000", Protocol::kTcp)));
  const FlowQuery narrow6 = NarrowQuery(To("[2001:db8::80]:8000"));
  EXPECT_TRUE(narrow6.Covers(To("[2001:db8::81]:8000")));
  EXPECT_FALSE(narrow6.Covers(To("[2001:db8::80]:8001")));
  EXPECT_FALSE(narrow6.Admits(To("192.0.2.80:8000")));
}

std::string Text(const absl::StatusOr<std::optional<Flow>>& decoded) {
  if (!decoded.ok()) return std::string(decoded.status().message());
  if (!decoded->has_value()) return "none of ours";
  const Flow& flow = **decoded;
  return absl::StrCat(FormatMatch(flow.original), " by ", FormatSocketAddr(flow.reply_source),
                      flow.translated ? " translated" : "", flow.zoned ? " zoned" : "", " ", absl::Hex(flow.id));
}

TEST(ConntrackMessagesTest, DecodesWhatTheKernelSends) {
  EXPECT_EQ(Text(DecodeFlow(FromHex(kTranslated))), "192.0.2.80:8000/udp by 203.0.113.4:9090 translated 63264d9a");
  EXPECT_EQ(Text(DecodeFlow(FromHex(kTranslated6))),
            "[2001:db8::80]:8000/udp by [2001:db8:113::4]:9090 translated 490e5e37");
  EXPECT_EQ(Text(DecodeFlow(FromHex(kInZone))), "192.0.2.80:7777/udp by 192.0.2.80:7777 zoned dcb3e089");
  EXPECT_EQ(Text(DecodeFlow(FromHex(kInZoneOneWay))), "192.0.2.80:7778/udp by 192.0.2.80:7778 zoned ca793904");
}

// `message` with all occurrences of some bytes replaced by as many others.
Message With(Message message, const std::string& hex, const std::string& by) {
  const Message from = FromHex(hex);
  const Message to = FromHex(by);
  bool found = false;
  for (size_t at = 0; at + from.size() <= message.size(); ++at) {
    if (!std::equal(from.begin(), from.end(), message.begin() + static_cast<ptrdiff_t>(at))) continue;
    std::copy(to.begin(), to.end(), message.begin() + static_cast<ptrdiff_t>(at));
    found = true;
  }
  EXPECT_TRUE(found) << hex;
  return message;
}

TEST(ConntrackMessagesTest, LeavesOutWhatNoCheckIsAbout) {
  const Message flow = FromHex(kTranslated);
  EXPECT_EQ(Text(DecodeFlow(With(flow, "0500010011", "0500010001"))), "none of ours") << "ICMP";
  EXPECT_EQ(Text(DecodeFlow(With(flow, "bb6e000002", "bb6e000007"))), "none of ours") << "another family";
  // It would pass for IPv4 afterwards.
  EXPECT_EQ(Text(DecodeFlow(
                With(FromHex(kTranslated6), "20010db8000000000000000000000080", "00000000000000000000ffffc0000250"))),
            "none of ours");
}

TEST(ConntrackMessagesTest, RefusesWhatIsNotWhole) {
  const Message flow = FromHex(kTranslated);
  EXPECT_EQ(Text(DecodeFlow({})), "malformed conntrack entry");
  EXPECT_EQ(Text(DecodeFlow(ByteSpan(flow).first(20))), "malformed conntrack entry");
  EXPECT_EQ(Text(DecodeFlow(With(flow, "a400000000", "a400000002"))), "malformed conntrack entry") << "a deletion";
  EXPECT_EQ(Text(DecodeFlow(With(flow, "08000c00", "08001f00"))), "malformed conntrack entry") << "without an id";
  EXPECT_EQ(Text(DecodeFlow(With(flow, "08000300000001a8", "08001f00000001a8"))), "malformed conntrack entry")
      << "without a status";
  EXPECT_EQ(Text(DecodeFlow(With(flow, "08000200c0000250", "08001f00c0000250"))), "malformed conntrack entry")
      << "without a destination";
  EXPECT_EQ(Text(DecodeFlow(With(flow, "060003001f400000", "050003001f400000"))), "malformed conntrack entry")
      << "half a port";
}

TEST(ConntrackMessagesTest, TakesAnyBytesAndReadsNoneThatAreNotThere) {
  for (const char* recorded : {kTranslated, kTranslated6, kInZone, kInZoneOneWay}) {
    const Message whole = FromHex(recorded);
    for (size_t at = 0; at < whole.size(); ++at) {
      const Message shorter(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(at));
      (void)DecodeFlow(shorter);
      for (const int value : {0, 1, 3, 4, 5, 0x7f, 0x80, 0xff}) {
        Message damaged = whole;
        damaged[at] = static_cast<uint8_t>(value);
        const absl::StatusOr<std::optional<Flow>> flow = DecodeFlow(damaged);
        if (!flow.ok() || !flow->has_value()) continue;
        EXPECT_GE((*flow)->tuple.data(), damaged.data());
        EXPECT_LE((*flow)->tuple.data() + (*flow)->tuple.size(), damaged.data() + damaged.size());
      }
    }
  }
}

TEST(ConntrackMessagesTest, ADeletionCarriesTheTupleAsItCameAndTheId) {
  const Message message = FromHex(kTranslated);
  const absl::StatusOr<std::optional<Flow>> flow = DecodeFlow(message);
  ASSERT_TRUE(flow.ok() && flow->has_value());
  Message deletion;
  AppendDelete(Family::kIpv4, (*flow)->id, (*flow)->tuple, 9, deletion);
  EXPECT_EQ(Hex(deletion),
            "5000000002010500090000000000000002000000"  // IPCTNL_MSG_CT_DELETE, acknowledged, IPv4
            "340001801400018008000100c633640908000200c00002501c0002800500010011000000060002009c400000060003001f400000"
            "08000c0063264d9a");
}

// --- the table -------------------------------------------------------------------------------------------------------

// Answers as a kernel would that holds `entries`. Faults are for the test to set.
class FakeTable {
 public:
  std::vector<Message> entries;
  int refuses_filters = 0;                    // the errno of a dump with CTA_FILTER
  bool ignores_filters = false;               // as before Linux 5.8
  int interruptions = 0;                      // dumps still to be flagged
  bool loses_acks = false;                    // all but the first of a datagram
  std::function<int(uint32_t id)> on_delete;  // errno

  std::vector<std::string> dumps;  // what was asked for: the flags of the filter
  std::vector<size_t> deletions;   // per datagram

  std::vector<Reply> Answer(ByteSpan datagram) {
    std::vector<Reply> replies;
    size_t deleted = 0;
    ForEachMessage(datagram, [&](ByteSpan message) {
      if (HeaderOf(message).nlmsg_type == CtType(IPCTNL_MSG_CT_GET)) Dump(message, replies);
      if (HeaderOf(message).nlmsg_type == CtType(IPCTNL_MSG_CT_DELETE)) {
        const int error = Delete(message);
        if (deleted++ == 0 || !loses_acks) replies.emplace_back(MakeAnswer(message, error));
      }
      return true;
    });
    if (deleted > 0) deletions.push_back(deleted);
    return replies;
  }

  absl::StatusOr<FlowReport> Clean(const std::vector<FlowCheck>& checks) {
    if (table_ == nullptr) {
      table_ = std::make_unique<ConntrackTable>(
          std::make_unique<ScriptedTransport>([this](ByteSpan datagram) { return Answer(datagram); }, &reopened));
    }
    return table_->Clean(checks);
  }

  int reopened = 0;

 private:
  static constexpr size_t kHeaders = sizeof(nlmsghdr) + sizeof(nfgenmsg);

  void Dump(ByteSpan request, std::vector<Reply>& replies) {
    Attrs attrs(request.subspan(kHeaders));
    uint32_t flags = 0;
    const ByteSpan raw = attrs.Nested(CTA_FILTER).Raw(CTA_FILTER_ORIG_FLAGS);
    if (raw.size() == sizeof(flags)) std::memcpy(&flags, raw.data(), sizeof(flags));
    dumps.push_back(absl::StrCat(flags));
    if (flags != 0 && refuses_filters != 0) {
      replies.emplace_back(MakeAnswer(request, refuses_filters));
      return;
    }
    const uint32_t sequence = HeaderOf(request).nlmsg_seq;
    Attrs wanted = attrs.Nested(CTA_TUPLE_ORIG);
    const uint16_t mark = interruptions > 0 ? NLM_F_DUMP_INTR : 0;
    interruptions -= interruptions > 0 ? 1 : 0;
    for (const Message& entry : entries) {
      if (entry[sizeof(nlmsghdr)] != request[sizeof(nlmsghdr)]) continue;
      Attrs has = Attrs(ByteSpan(entry).subspan(kHeaders)).Nested(CTA_TUPLE_ORIG);
      const auto equal = [&](uint16_t nest, uint16_t type) {
        return wanted.Nested(nest).Raw(type) == has.Nested(nest).Raw(type);
      };
      if (!ignores_filters) {
        if ((flags & kCtaFilterProtoNum) != 0 && !equal(CTA_TUPLE_PROTO, CTA_PROTO_NUM)) continue;
        if ((flags & kCtaFilterProtoDstPort) != 0 && !equal(CTA_TUPLE_PROTO, CTA_PROTO_DST_PORT)) continue;
        if ((flags & kCtaFilterIpDst) != 0 && !equal(CTA_TUPLE_IP, CTA_IP_V4_DST)) continue;
      }
      replies.emplace_back(MakeMessage(CtType(IPCTNL_MSG_CT_NEW), static_cast<uint16_t>(NLM_F_MULTI | mark), sequence,
                                       ByteSpan(entry).subspan(sizeof(nlmsghdr))));
    }
    replies.emplace_back(MakeDone(sequence, 0, mark));
  }

  int Delete(ByteSpan request) {
    Attrs attrs(request.subspan(kHeaders));
    EXPECT_TRUE(attrs.Has(CTA_TUPLE_ORIG)) << "this would be everything";
    const uint32_t id = attrs.U32(CTA_ID);
    if (on_delete) {
      if (const int error = on_delete(id); error != 0) return error;
    }
    const auto same = [&](const Message& entry) {
      Attrs has(ByteSpan(entry).subspan(kHeaders));
      return has.U32(CTA_ID) == id && has.Raw(CTA_TUPLE_ORIG) == attrs.Raw(CTA_TUPLE_ORIG);
    };
    return std::erase_if(entries, same) == 1 ? 0 : ENOENT;
  }

  std::unique_ptr<ConntrackTable> table_;
};

// UDP to 192.0.2.80:PORT, answered by 203.0.113.4:9090, from 198.51.100.9:SOURCE.
Message Entry(uint16_t port, uint16_t source = 40000) {
  const auto hex = [](uint16_t number) { return absl::StrCat(absl::Hex(number, absl::kZeroPad4)); };
  const Message entry = With(FromHex(kTranslated), "060003001f400000", absl::StrCat("06000300", hex(port), "0000"));
  return With(With(With(entry, "060002009c400000", absl::StrCat("06000200", hex(source), "0000")), "060003009c400000",
                   absl::StrCat("06000300", hex(source), "0000")),
              "08000c0063264d9a", absl::StrCat("08000c00", hex(port), hex(source)));
}

FlowCheck Port(uint16_t port, bool stale = true) {
  return Check(To(absl::StrCat("192.0.2.80:", port)), {stale ? "203.0.113.7:9090" : "203.0.113.4:9090"});
}

std::string Text(const absl::StatusOr<FlowReport>& report) {
  if (!report.ok()) return std::string(report.status().message());
  return absl::StrCat(report->deleted, " of ", report->seen);
}

std::vector<uint16_t> PortsIn(const FakeTable& table) {
  std::vector<uint16_t> ports;
  for (const Message& entry : table.entries) ports.push_back(DecodeFlow(entry).value()->original.port);
  return ports;
}

TEST(ConntrackTableTest, NoChecksNoMessage) {
  FakeTable table;
  EXPECT_EQ(Text(table.Clean({})), "0 of 0");
  EXPECT_THAT(table.dumps, IsEmpty());
}

TEST(ConntrackTableTest, FewChecksAreOneNarrowQuestionEach) {
  FakeTable table;
  table.entries = {Entry(1), Entry(2), Entry(3), FromHex(kInZone), FromHex(kTranslated6)};
  EXPECT_EQ(Text(table.Clean({Port(1), Port(2, /*stale=*/false)})), "1 of 2");
  EXPECT_THAT(table.dumps, ElementsAre("42", "42"));
  EXPECT_THAT(PortsIn(table), ElementsAre(2, 3, 7777, 8000));
}

TEST(ConntrackTableTest, ManyChecksAreOneQuestionForTheirProtocol) {
  FakeTable table;
  std::vector<FlowCheck> checks;
  for (uint16_t port = 1; port <= kMostFilteredDumps + 1; ++port) checks.push_back(Port(port));
  table.entries = {Entry(1), Entry(5), Entry(6)};
  EXPECT_EQ(Text(table.Clean(checks)), "2 of 3");
  EXPECT_THAT(table.dumps, ElementsAre("8"));
  EXPECT_THAT(PortsIn(table), ElementsAre(6));
}

TEST(ConntrackTableTest, AnswersAreLookedForInAllOfAProtocol) {
  FakeTable table;
  FlowCheck check = Port(1);
  check.answers = true;
  table.entries = {Entry(1), Entry(2)};
  EXPECT_EQ(Text(table.Clean({check})), "1 of 2");
  EXPECT_THAT(table.dumps, ElementsAre("8"));
}

TEST(ConntrackTableTest, ManyChecksOfSeveralProtocolsAreOneQuestionForEverything) {
  FakeTable table;
  std::vector<FlowCheck> checks;
  for (uint16_t port = 1; port <= kMostFilteredDumps; ++port) checks.push_back(Port(port));
  checks.insert(checks.begin(), Check(To("192.0.2.80:9", Protocol::kTcp), {}));
  table.entries = {Entry(1), Entry(9)};
  EXPECT_EQ(Text(table.Clean(checks)), "1 of 2");
  EXPECT_THAT(table.dumps, ElementsAre("0"));
  EXPECT_THAT(PortsIn(table), ElementsAre(9));
}

TEST(ConntrackTableTest, FamiliesAreAskedForSeparatelyAndAPortOfIpv6Once) {
  FakeTable table;
  table.entries = {Entry(1), FromHex(kTranslated6)};
  std::vector<FlowCheck> checks = {Port(1)};
  for (const char* frontend : {"[2001:db8::80]:8000", "[2001:db8::81]:8000", "[2001:db8::82]:8000"}) {
    checks.push_back(Check(To(frontend), {}));
  }
  EXPECT_EQ(Text(table.Clean(checks)), "2 of 2");
  EXPECT_THAT(table.dumps, ElementsAre("42", "40"));
  EXPECT_THAT(table.entries, IsEmpty());
}

TEST(ConntrackTableTest, AKernelThatRefusesTheFilterIsAskedForEverythingFromThenOn) {
  for (const int error : {EOPNOTSUPP, EINVAL}) {
    FakeTable table;
    table.refuses_filters = error;
    table.entries = {Entry(1), Entry(2)};
    EXPECT_EQ(Text(table.Clean({Port(1)})), "1 of 2");
    EXPECT_THAT(table.dumps, ElementsAre("42", "0"));
    EXPECT_EQ(Text(table.Clean({Port(1)})), "0 of 1");
    EXPECT_THAT(table.dumps, ElementsAre("42", "0", "0"));
  }
}

TEST(ConntrackTableTest, AKernelThatIgnoresTheFilterDoesNoHarmAndIsNoticed) {
  FakeTable table;
  table.ignores_filters = true;
  table.entries = {Entry(1), With(Entry(2), "c0000250", "c0000251"), Entry(3)};
  EXPECT_EQ(Text(table.Clean({Port(1), Port(2), Port(3)})), "2 of 5");
  EXPECT_THAT(table.dumps, ElementsAre("42", "0"));
  EXPECT_THAT(PortsIn(table), ElementsAre(2)) << "at another address";
}

TEST(ConntrackTableTest, AnInterruptedListingIsMadeAgain) {
  FakeTable table;
  table.interruptions = 2;
  table.entries = {Entry(1)};
  EXPECT_EQ(Text(table.Clean({Port(1)})), "1 of 1") << "what was found the first time is gone the second";
  EXPECT_EQ(table.dumps.size(), 3U);
}

TEST(ConntrackTableTest, OneThatIsAlwaysInterruptedIsDataLoss) {
  FakeTable table;
  table.interruptions = 1000;
  table.entries = {Entry(1), Entry(2)};
  const absl::Status status = table.Clean({Port(1)}).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_EQ(table.dumps.size(), static_cast<size_t>(kListAttempts));
  EXPECT_THAT(PortsIn(table), ElementsAre(2)) << "but what was found is gone";
  table.interruptions = 0;
  EXPECT_EQ(Text(table.Clean({Port(2)})), "1 of 1") << "and it goes on afterwards";
}

TEST(ConntrackTableTest, AMalformedEntryIsDataLossAndCostsTheOthersNothing) {
  FakeTable table;
  table.entries = {With(Entry(1, 1000), "0500010011", "0600010011"), Entry(1, 1001)};
  table.ignores_filters = true;
  const absl::Status status = table.Clean({Port(1)}).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_EQ(table.entries.size(), 1U);
}

TEST(ConntrackTableTest, DeletionsAreManyToADatagram) {
  FakeTable table;
  for (uint16_t i = 0; i < 300; ++i) table.entries.push_back(Entry(1, static_cast<uint16_t>(1000 + i)));
  EXPECT_EQ(Text(table.Clean({Port(1)})), "300 of 300");
  EXPECT_THAT(table.deletions, ElementsAre(128, 128, 44));
  EXPECT_THAT(table.entries, IsEmpty());
}

TEST(ConntrackTableTest, AFlowThatEndedByItselfIsDeleted) {
  FakeTable table;
  table.entries = {Entry(1, 1000), Entry(1, 1001)};
  table.on_delete = [&](uint32_t) {
    table.entries.clear();  // both, before the first request
    return 0;
  };
  EXPECT_EQ(Text(table.Clean({Port(1)})), "2 of 2");
}

TEST(ConntrackTableTest, ADeletionThatFailsIsNamedAndKeepsNoneOfTheOthers) {
  FakeTable table;
  table.entries = {Entry(1, 1000), Entry(1, 1001), Entry(1, 1002)};
  table.on_delete = [](uint32_t id) { return (id & 0xffff) == 1001 ? EPERM : 0; };
  const absl::Status status = table.Clean({Port(1)}).status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("delete a flow to 192.0.2.80:1/udp"));
  EXPECT_EQ(table.entries.size(), 1U);
}

TEST(ConntrackTableTest, LostAnswersAreUnavailable) {
  FakeTable table;
  table.loses_acks = true;
  table.entries = {Entry(1, 1000), Entry(1, 1001)};
  EXPECT_TRUE(absl::IsUnavailable(table.Clean({Port(1)}).status()));
}

TEST(ConntrackTableTest, WhatTheKernelSaysOfAPlainListingIsPassedOn) {
  const Script denied = [](ByteSpan request) { return std::vector<Reply>{MakeAnswer(request, EPERM)}; };
  ConntrackTable table(std::make_unique<ScriptedTransport>(denied));
  const absl::Status status = table.Clean({Port(1)}).status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("list connection tracking entries"));
}

}  // namespace
}  // namespace pointsman::nl
