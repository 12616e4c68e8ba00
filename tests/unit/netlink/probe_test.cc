// SPDX-License-Identifier: Apache-2.0
#include "netlink/nft/probe.h"

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/files.h"
#include "tests/unit/netlink/fake_kernel.h"

namespace pointsman::nl {
namespace {

using ::testing::ElementsAre;

const nft::Cmp kLocal = {.data = {2, 0, 0, 0}};

// A table with a chain that is hooked in, one set, and three rules.
nft::ChangeSet Program(Family family) {
  const nft::SetSpec ranges = {.key = {nft::Field::kIpv4Addr, nft::Field::kInetService}, .interval = true};
  return {
      nft::AddTable{family, "trial"},
      nft::AddSet{family, "ranges", ranges},
      nft::AddChain{family, "nat", nft::Hook{}, ""},
      nft::AddChain{family, "pick", {}, ""},
      nft::AddRule{family, "pick", {.exprs = {nft::Numgen{.modulus = 2}, nft::Counter{}}, .comment = ""}},
      nft::AddRule{family, "pick", {.exprs = {nft::Numgen{.modulus = 2}, nft::FibLoad{}, kLocal}, .comment = ""}},
      nft::AddRule{family, "nat", {.exprs = {nft::CtLoad{}, kLocal, nft::Masquerade{}}, .comment = ""}},
  };
}

constexpr size_t kBatch = SIZE_MAX;  // in place of a message: all of it

// A kernel that refuses the messages of some ops; `sent` is all it got.
struct FakeNft {
  std::function<int(size_t message)> error = [](size_t) { return 0; };
  std::string extack;
  std::string blamed;  // the offset it tells is that of these bytes; empty: it tells none
  bool mute = false;
  std::vector<uint8_t> sent;

  ScriptedTransport Transport() {
    return ScriptedTransport([this](ByteSpan datagram) {
      sent.assign(datagram.begin(), datagram.end());
      std::vector<Reply> replies;
      size_t number = 0;
      ForEachMessage(datagram, [&](ByteSpan message) {
        const size_t index = number++;
        if (index == 0) {
          if (const int whole = error(kBatch); whole != 0) replies.emplace_back(MakeAnswer(message, whole));
          return true;
        }
        const int failed = error(index - 1);
        const std::string text(message.begin(), message.end());
        const size_t at = blamed.empty() ? std::string::npos : text.find(blamed);
        const uint32_t offset = at == std::string::npos ? 0 : static_cast<uint32_t>(at - sizeof(nlattr));
        if (failed != 0) replies.emplace_back(MakeAnswer(message, failed, extack, offset));
        if (failed == 0 && (HeaderOf(message).nlmsg_flags & NLM_F_ACK) != 0)
          replies.emplace_back(MakeAnswer(message, 0));
        return true;
      });
      return mute ? std::vector<Reply>() : replies;
    });
  }
  absl::StatusOr<NftTrial> Try(Family family = Family::kIpv4) {
    ScriptedTransport transport = Transport();
    return TryProgram(transport, family, Program(family));
  }
};

TEST(TryProgramTest, WhatTheKernelTakesWorks) {
  FakeNft kernel;
  EXPECT_EQ(kernel.Try().value(), (NftTrial{.family = Family::kIpv4}));
  EXPECT_EQ(kernel.Try(Family::kIpv6).value(), (NftTrial{.family = Family::kIpv6}));
}

TEST(TryProgramTest, TheTransactionHasNoEndAndNamesNoTableOfOurs) {
  FakeNft kernel;
  ASSERT_TRUE(kernel.Try().ok());
  std::vector<uint16_t> types;
  ForEachMessage(kernel.sent, [&](ByteSpan message) {
    types.push_back(HeaderOf(message).nlmsg_type);
    if (types.size() == 1) return true;
    // Attribute 1 of every message is the table.
    EXPECT_EQ(Attrs(message.subspan(sizeof(nlmsghdr) + sizeof(nfgenmsg))).Str(1), "pointsman-trial");
    return true;
  });
  EXPECT_THAT(types, ElementsAre(NFNL_MSG_BATCH_BEGIN, NftType(NFT_MSG_NEWTABLE), NftType(NFT_MSG_NEWSET),
                                 NftType(NFT_MSG_NEWCHAIN), NftType(NFT_MSG_NEWCHAIN), NftType(NFT_MSG_NEWRULE),
                                 NftType(NFT_MSG_NEWRULE), NftType(NFT_MSG_NEWRULE)));
}

struct RefusalRow {
  std::string name;
  size_t op;
  int error;
  std::string extack;
  std::string blamed;
  Family family;
  std::string why;
};

class TryProgramRefusal : public ::testing::TestWithParam<RefusalRow> {};

TEST_P(TryProgramRefusal, IsSaidWithWhatIsLikelyToBeMissing) {
  const RefusalRow& row = GetParam();
  FakeNft kernel;
  // What comes after a refused op is refused for want of it.
  kernel.error = [&](size_t message) {
    if (message == kBatch || message < row.op) return 0;
    return message == row.op ? row.error : ENOENT;
  };
  kernel.extack = row.extack;
  kernel.blamed = row.blamed;

  const absl::StatusOr<NftTrial> trial = kernel.Try(row.family);

  ASSERT_TRUE(trial.ok()) << trial.status();
  EXPECT_EQ(trial->verdict, NftTrial::Verdict::kRefused);
  EXPECT_EQ(trial->why, row.why);
}

INSTANTIATE_TEST_SUITE_P(
    , TryProgramRefusal,
    ::testing::ValuesIn(std::vector<RefusalRow>{
        {"Table", 0, EOPNOTSUPP, "", "", Family::kIpv6,
         "add table pointsman (ip6): Operation not supported: does this kernel have the family ip6 "
         "(CONFIG_NF_TABLES_IPV6)?"},
        {"Set", 1, EOPNOTSUPP, "", "", Family::kIpv4,
         "add set pointsman/ranges (ip): Operation not supported: does this kernel have sets of intervals of "
         "concatenations (Linux 5.6)?"},
        {"Hook", 2, ENOENT, "", "", Family::kIpv4,
         "add chain pointsman/nat (ip): No such file or directory: does this kernel have chains of type nat "
         "(CONFIG_NFT_NAT)?"},
        {"PlainChain", 3, EINVAL, "", "", Family::kIpv4, "add chain pointsman/pick (ip): Invalid argument"},
        {"FirstExpression", 4, ENOENT, "", "", Family::kIpv4,
         "add rule pointsman/pick (ip): No such file or directory: does this kernel have the expression numgen "
         "(CONFIG_NFT_NUMGEN)?"},
        {"NotWhatAnEarlierRuleHad", 5, ENOENT, "", "", Family::kIpv4,
         "add rule pointsman/pick (ip): No such file or directory: does this kernel have the expression fib "
         "(CONFIG_NFT_FIB_IPV4)?"},
        {"OfTheFamily", 5, ENOENT, "", "", Family::kIpv6,
         "add rule pointsman/pick (ip6): No such file or directory: does this kernel have the expression fib "
         "(CONFIG_NFT_FIB_IPV6)?"},
        {"WhereTheKernelPoints", 6, ENOENT, "", "masq", Family::kIpv4,
         "add rule pointsman/nat (ip): No such file or directory: does this kernel have the expression masq "
         "(CONFIG_NFT_MASQ)?"},
        {"PointedAtWhatEveryKernelHas", 6, EINVAL, "bad", "cmp", Family::kIpv4,
         "add rule pointsman/nat (ip): Invalid argument (bad)"},
    }),
    [](const auto& row) { return row.param.name; });

TEST(TryProgramTest, WhatSaysNothingOfTheKernelIsAnError) {
  FakeNft forbidden;
  forbidden.error = [](size_t message) { return message == kBatch ? EPERM : 0; };
  EXPECT_TRUE(absl::IsPermissionDenied(forbidden.Try().status())) << forbidden.Try().status();

  FakeNft busy;
  busy.error = [](size_t message) { return message == 4 ? ENOMEM : 0; };
  EXPECT_TRUE(absl::IsUnavailable(busy.Try().status()));

  FakeNft silent;
  silent.mute = true;
  EXPECT_TRUE(absl::IsUnavailable(silent.Try().status()));
}

struct Ipv6Row {
  const char* name;
  bool has_file;
  std::optional<std::string> disabled;
  std::string why;
};

class Ipv6IsOff : public ::testing::TestWithParam<Ipv6Row> {};

TEST_P(Ipv6IsOff, AsProcSays) {
  support::TempDir proc;
  for (const char* directory : {"thread-self/net", "sys/net/ipv6/conf/all"}) {
    std::filesystem::create_directories(proc.File(directory));
  }
  if (GetParam().has_file) support::WriteFile(proc.File("thread-self/net/if_inet6"), "");
  if (GetParam().disabled) support::WriteFile(proc.File("sys/net/ipv6/conf/all/disable_ipv6"), *GetParam().disabled);
  EXPECT_EQ(WhyIpv6IsOff(proc.path()), GetParam().why);
}

INSTANTIATE_TEST_SUITE_P(
    , Ipv6IsOff,
    ::testing::Values(Ipv6Row{"On", true, "0\n", ""}, Ipv6Row{"OnForWantOfASetting", true, std::nullopt, ""},
                      Ipv6Row{"Disabled", true, "1\n", "IPv6 is off: net.ipv6.conf.all.disable_ipv6 is 1"},
                      Ipv6Row{"NotInTheKernel", false, std::nullopt,
                              "IPv6 is off: this kernel has no /proc/net/if_inet6"}),
    [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace pointsman::nl
