// SPDX-License-Identifier: Apache-2.0
#include "pointsman/leftovers.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "netlink/core/uapi.h"
#include "netlink/leftovers/ipvs.h"
#include "netlink/leftovers/judge.h"
#include "netlink/leftovers/names.h"
#include "netlink/leftovers/nft_tables.h"
#include "netlink/leftovers/uapi.h"
#include "tests/unit/netlink/fake_kernel.h"

namespace pointsman::nl {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

struct ChainRow {
  std::string table;
  std::string chain;
  bool ours;
};

TEST(LeftoverNamesTest, KnowKubeProxysChainsFromTheKubeletsAndFromStrangers) {
  const ChainRow rows[] = {
      {"nat", "KUBE-SERVICES", true},
      {"filter", "KUBE-SERVICES", true},
      {"mangle", "KUBE-SERVICES", false},
      {"nat", "KUBE-MARK-MASQ", true},
      {"filter", "KUBE-MARK-MASQ", false},
      {"nat", "KUBE-SVC-XPGD46QRK7WJZT7O", true},
      {"nat", "KUBE-SEP-SXIVWICOYRO3J4NJ", true},
      {"nat", "KUBE-FW-XPGD46QRK7WJZT7O", true},
      {"nat", "KUBE-SVC-XPGD46QRK7WJZT7", false},    // one short
      {"nat", "KUBE-SVC-XPGD46QRK7WJZT7OO", false},  // one long
      {"nat", "KUBE-SVC-XPGD46QRK7WJZT71", false},   // no base32
      {"filter", "KUBE-SVC-XPGD46QRK7WJZT7O", false},
      {"nat", "KUBE-NODE-PORT", true},  // mode ipvs
      {"nat", "KUBE-LOAD-BALANCER", true},
      {"filter", "KUBE-IPVS-FILTER", true},
      {"filter", "KUBE-SOURCE-RANGES-FIREWALL", true},
      {"mangle", "KUBE-PROXY-CANARY", true},
      {"raw", "KUBE-PROXY-CANARY", false},
      {"filter", "KUBE-FIREWALL", false},  // the kubelet's, as the next three
      {"mangle", "KUBE-KUBELET-CANARY", false},
      {"nat", "KUBE-KUBELET-CANARY", false},
      {"mangle", "KUBE-IPTABLES-HINT", false},
      {"nat", "KUBE-ROUTER", false},
      {"nat", "PREROUTING", false},
      {"nat", "DOCKER", false},
  };
  for (const ChainRow& row : rows) {
    EXPECT_EQ(IsKubeProxyChain(row.table, row.chain), row.ours) << row.table << " " << row.chain;
  }
}

TEST(LeftoverNamesTest, KnowKubeProxysIpsetsOfBothFamilies) {
  for (const char* name : {"KUBE-CLUSTER-IP", "KUBE-6-CLUSTER-IP", "KUBE-LOAD-BALANCER-SOURCE-CIDR",
                           "KUBE-6-LOAD-BALANCER-SOURCE-CID" /* 31 characters are all there is */, "KUBE-IPVS-IPS"}) {
    EXPECT_TRUE(IsKubeProxyIpset(name)) << name;
  }
  for (const char* name : {"KUBE-", "KUBE-6-", "KUBE-MINE", "CLUSTER-IP", "KUBE-6-6-CLUSTER-IP",
                           "KUBE-LOAD-BALANCER-SOURCE-CID", "STRANGER"}) {
    EXPECT_FALSE(IsKubeProxyIpset(name)) << name;
  }
}

// nat with the chains that kube-proxy makes for one Service, and the three ways in.
IptablesTable Nat() {
  const std::string portals = "kubernetes service portals";
  IptablesTable table = {.name = "nat"};
  table.chains["PREROUTING"] = {.builtin = true, .rules = {{"KUBE-SERVICES", portals, 3}}};
  table.chains["OUTPUT"] = {.builtin = true, .rules = {{"DOCKER", "", 4}, {"KUBE-SERVICES", portals, 5}}};
  table.chains["POSTROUTING"] = {.builtin = true, .rules = {{"KUBE-POSTROUTING", "kubernetes postrouting rules", 6}}};
  table.chains["DOCKER"] = {};
  table.chains["KUBE-KUBELET-CANARY"] = {};
  table.chains["KUBE-SERVICES"] = {.rules = {{"KUBE-SVC-XPGD46QRK7WJZT7O", "ns1/svc1 cluster IP", 7}}};
  table.chains["KUBE-SVC-XPGD46QRK7WJZT7O"] = {
      .rules = {{"KUBE-MARK-MASQ", "", 8}, {"KUBE-SEP-SXIVWICOYRO3J4NJ", "", 9}}};
  table.chains["KUBE-SEP-SXIVWICOYRO3J4NJ"] = {.rules = {{"KUBE-MARK-MASQ", "", 10}}};
  table.chains["KUBE-MARK-MASQ"] = {};
  table.chains["KUBE-POSTROUTING"] = {};
  return table;
}

TEST(JudgeTest, AllOfKubeProxysGoesAndNothingElse) {
  const Judgement judgement = Judge(Nat());
  EXPECT_THAT(judgement.goes.chains, ElementsAre("KUBE-MARK-MASQ", "KUBE-POSTROUTING", "KUBE-SEP-SXIVWICOYRO3J4NJ",
                                                 "KUBE-SERVICES", "KUBE-SVC-XPGD46QRK7WJZT7O"));
  EXPECT_THAT(judgement.goes.jumps,
              ElementsAre(LeftoverJump{"OUTPUT", "KUBE-SERVICES"}, LeftoverJump{"POSTROUTING", "KUBE-POSTROUTING"},
                          LeftoverJump{"PREROUTING", "KUBE-SERVICES"}));
  std::vector<uint64_t> handles;
  for (const CondemnedRule& rule : judgement.rules) handles.push_back(rule.handle);
  EXPECT_THAT(handles, ElementsAre(5, 6, 3));
  EXPECT_THAT(judgement.kept, IsEmpty());
}

TEST(JudgeTest, AChainThatAStrangersChainLeadsToStaysAndIsNamed) {
  IptablesTable table = Nat();
  table.chains["DOCKER"].rules = {{"KUBE-MARK-MASQ", "", 11}};
  const Judgement judgement = Judge(table);
  EXPECT_THAT(judgement.goes.chains, ElementsAre("KUBE-POSTROUTING", "KUBE-SEP-SXIVWICOYRO3J4NJ", "KUBE-SERVICES",
                                                 "KUBE-SVC-XPGD46QRK7WJZT7O"));
  EXPECT_EQ(judgement.goes.jumps.size(), 3U);
  EXPECT_THAT(judgement.kept, ElementsAre("iptables nat chain KUBE-MARK-MASQ (nft) stays: the rule `-A DOCKER ... -j "
                                          "KUBE-MARK-MASQ` is not kube-proxy's"));
}

TEST(JudgeTest, AChainThatStaysKeepsThoseItLeadsTo) {
  IptablesTable table = Nat();
  table.family = Family::kIpv6;
  table.variant = IptablesVariant::kLegacy;
  table.chains["KUBE-KUBELET-CANARY"].rules = {{"KUBE-SERVICES", "kubernetes service portals", 11}};
  const Judgement judgement = Judge(table);
  EXPECT_THAT(judgement.goes.chains, ElementsAre("KUBE-POSTROUTING"));
  EXPECT_EQ(judgement.goes.jumps.size(), 3U);  // kube-proxy's own go all the same
  EXPECT_THAT(judgement.kept,
              ElementsAre(StartsWith("ip6tables nat chain KUBE-SERVICES (legacy) stays with 3 chains it leads to: ")));
}

TEST(JudgeTest, ARuleOfABuiltInChainIsKubeProxysByWhereItLeadsToAndByItsComment) {
  struct Row {
    const char* target;
    const char* comment;
    bool goes;
  };
  for (const Row& row :
       {Row{"KUBE-SERVICES", "kubernetes service portals", true}, Row{"KUBE-POSTROUTING", "kube-proxy some day", true},
        Row{"KUBE-SERVICES", "", false}, Row{"KUBE-SERVICES", "mine", false},
        Row{"KUBE-MARK-MASQ", "kubernetes service portals", false},
        Row{"KUBE-SVC-XPGD46QRK7WJZT7O", "kubernetes service portals", false}}) {
    IptablesTable table = Nat();
    table.chains["PREROUTING"].rules = {{row.target, row.comment, 3}};
    const Judgement judgement = Judge(table);
    EXPECT_EQ(judgement.kept.empty(), row.goes) << row.target << " " << row.comment;
    EXPECT_EQ(judgement.goes.jumps.size(), row.goes ? 3U : 2U) << row.target << " " << row.comment;
  }
}

TEST(JudgeTest, AChainThatIsUsedByAMapStays) {
  IptablesTable table = Nat();
  table.chains["KUBE-MARK-MASQ"].used_elsewhere = true;
  const Judgement judgement = Judge(table);
  EXPECT_THAT(judgement.goes.chains, Not(Contains("KUBE-MARK-MASQ")));
  EXPECT_THAT(judgement.kept, ElementsAre(HasSubstr("KUBE-MARK-MASQ (nft) stays: something that is no rule")));
}

Message Text(const std::string& text) { return Message(text.c_str(), text.c_str() + text.size() + 1); }

Message Expression(const std::string& name, const Message& data) {
  Message expression;
  AppendAttr(expression, NFTA_EXPR_NAME, Text(name));
  AppendAttr(expression, NFTA_EXPR_DATA, data);
  Message element;
  AppendAttr(element, NFTA_LIST_ELEM, expression);
  return element;
}

// As `iptables-nft -m comment --comment "kubernetes service portals" -j KUBE-SERVICES` makes it.
Message JumpWithComment() {
  Message match;
  AppendAttr(match, 1 /* NFTA_MATCH_NAME */, Text("comment"));
  AppendAttr(match, 3 /* NFTA_MATCH_INFO */, Text("kubernetes service portals"));
  Message verdict;
  const uint8_t jump[] = {0xff, 0xff, 0xff, 0xfd};
  AppendAttr(verdict, NFTA_VERDICT_CODE, jump);
  AppendAttr(verdict, NFTA_VERDICT_CHAIN, Text("KUBE-SERVICES"));
  Message data;
  AppendAttr(data, NFTA_DATA_VERDICT, verdict);
  Message immediate;
  AppendAttr(immediate, NFTA_IMMEDIATE_DATA, data);
  Message rule = Expression("match", match);
  const Message end = Expression("immediate", immediate);
  rule.insert(rule.end(), end.begin(), end.end());
  return rule;
}

TEST(DecodeChainRuleTest, FindsTargetAndComment) {
  const ChainRule rule = DecodeChainRule(JumpWithComment());
  EXPECT_EQ(rule.target, "KUBE-SERVICES");
  EXPECT_EQ(rule.comment, "kubernetes service portals");
}

TEST(DecodeChainRuleTest, TakesNoLengthOnTrust) {
  const Message whole = JumpWithComment();
  for (size_t size = 0; size < whole.size(); ++size) {
    const Message part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(DecodeChainRule(part).target, "") << size;
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    Message damaged = whole;
    damaged[at] ^= 0xff;
    DecodeChainRule(damaged);  // for the address sanitizer
  }
}

TEST(VirtualServersTest, AreReadFromTheKernelsTable) {
  EXPECT_THAT(ParseVirtualServers("IP Virtual Server version 1.2.1 (size=4096)\n"
                                  "Prot LocalAddress:Port Scheduler Flags\n"
                                  "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n"
                                  "TCP  C0000250:01BB rr  \n"
                                  "  -> CB00710B:20FB      Masq    1      0          0         \n"
                                  "UDP  C000020A:0035 rr  persistent 10800 FFFFFFFF\n"
                                  "SCTP [2001:0db8:0000:0000:0000:0000:0000:0050]:0050 wrr \n"
                                  "FWM  00000001 rr \n"
                                  "TCP  C000020A rr\n"
                                  "TCP  [2001:0db8::1:0050 rr\n"
                                  "TCP  C000020A:10000 rr\n"),
              ElementsAre(Match{*IpAddr::Parse("192.0.2.80"), Protocol::kTcp, 443},
                          Match{*IpAddr::Parse("192.0.2.10"), Protocol::kUdp, 53},
                          Match{*IpAddr::Parse("2001:db8::50"), Protocol::kSctp, 80}));
  EXPECT_THAT(ParseVirtualServers(""), IsEmpty());
}

// Answers as generic netlink does that has IPVS as family 30.
struct FakeIpvs {
  int error = 0;
  Message removal;

  std::vector<Reply> Answer(ByteSpan request) {
    const nlmsghdr header = HeaderOf(request);
    if (header.nlmsg_type == GENL_ID_CTRL) {
      Message payload(sizeof(genlmsghdr));
      const uint16_t id = 30;
      AppendAttr(payload, CTRL_ATTR_FAMILY_ID, ByteSpan(reinterpret_cast<const uint8_t*>(&id), sizeof(id)));
      return {MakeMessage(GENL_ID_CTRL, 0, header.nlmsg_seq, payload)};
    }
    removal.assign(request.begin(), request.end());
    return {MakeAnswer(request, error)};
  }
};

TEST(VirtualServersTest, AreRemovedByAddressProtocolAndPort) {
  FakeIpvs kernel;
  ScriptedTransport transport([&](ByteSpan request) { return kernel.Answer(request); });
  const absl::Status status = RemoveVirtualServer(transport, {*IpAddr::Parse("192.0.2.80"), Protocol::kTcp, 443});
  EXPECT_TRUE(status.ok()) << status;
  // ip_vs.h: IPVS_CMD_DEL_SERVICE is 3; { SERVICE 1 { AF 1, PROTOCOL 2, ADDR 3, PORT 4 } }
  EXPECT_EQ(kernel.removal,
            (Message{68, 0, 0, 0,    30,  0, 5, 0,  1, 0, 0, 0, 0, 0, 0, 0,  //
                     3,  1, 0, 0,                                            //
                     48, 0, 1, 0x80,                                         //
                     6,  0, 1, 0,    2,   0, 0, 0,                           //
                     6,  0, 2, 0,    6,   0, 0, 0,                           //
                     20, 0, 3, 0,    192, 0, 2, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 4, 0, 1, 187, 0, 0}));
}

TEST(VirtualServersTest, OneThatIsGoneIsNoErrorAndOneThatMustStayIs) {
  FakeIpvs kernel;
  ScriptedTransport transport([&](ByteSpan request) { return kernel.Answer(request); });
  const Match server = {*IpAddr::Parse("2001:db8::50"), Protocol::kUdp, 53};
  kernel.error = ESRCH;
  EXPECT_TRUE(RemoveVirtualServer(transport, server).ok());
  kernel.error = EPERM;
  const absl::Status status = RemoveVirtualServer(transport, server);
  EXPECT_TRUE(absl::IsPermissionDenied(status));
  EXPECT_THAT(std::string(status.message()), StartsWith("remove IPVS virtual server [2001:db8::50]:53/udp: "));
}

TEST(DescribeTest, OneLineForEachThingAsAUserWouldWriteIt) {
  Leftovers found;
  EXPECT_TRUE(found.empty());
  EXPECT_THAT(Describe(found), IsEmpty());
  EXPECT_EQ(Summarise(found), "");
  found.nft_tables = {Family::kIpv4, Family::kIpv6};
  found.tables = {{.name = "nat", .jumps = {{"OUTPUT", "KUBE-SERVICES"}}, .chains = {"KUBE-SERVICES"}},
                  {.variant = IptablesVariant::kLegacy,
                   .family = Family::kIpv6,
                   .name = "mangle",
                   .chains = {"KUBE-PROXY-CANARY"}}};
  found.ipsets = {"KUBE-CLUSTER-IP"};
  found.virtual_servers = {{*IpAddr::Parse("192.0.2.1"), Protocol::kTcp, 80}};
  found.device = {.name = "kube-ipvs0"};
  EXPECT_FALSE(found.empty());
  EXPECT_THAT(Describe(found),
              ElementsAre("table ip kube-proxy", "table ip6 kube-proxy",
                          "iptables nat rule -A OUTPUT ... -j KUBE-SERVICES (nft)",
                          "iptables nat chain KUBE-SERVICES (nft)", "ip6tables mangle chain KUBE-PROXY-CANARY (legacy)",
                          "ipset KUBE-CLUSTER-IP", "IPVS virtual server 192.0.2.1:80/tcp", "device kube-ipvs0"));
  EXPECT_EQ(
      Summarise(found),
      "table ip kube-proxy, table ip6 kube-proxy, iptables nat (nft): 1 chain, 1 rule, ip6tables mangle (legacy): "
      "1 chain, 0 rules, 1 ipset, 1 IPVS virtual server, device kube-ipvs0");
}

}  // namespace
}  // namespace pointsman::nl
