// SPDX-License-Identifier: Apache-2.0
//
// A node on which a kube-proxy has served the Services of examples/ and tests/data/kube_proxy_rules/six.yaml, beside
// what the kubelet and others have there.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "gtest/gtest.h"

#include "pointsman/leftovers.h"
#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/netns.h"
#include "tests/support/process.h"

namespace pointsman {

// kube-proxy's mode, and which of the two iptables it used.
enum class Old { kNftables, kIptablesNft, kIptablesLegacy, kIpvsNft, kIpvsLegacy };
inline constexpr Old kOlds[] = {Old::kNftables, Old::kIptablesNft, Old::kIptablesLegacy, Old::kIpvsNft,
                                Old::kIpvsLegacy};

inline std::string OldName(Old old) {
  static const std::map<Old, std::string> kNames = {{Old::kNftables, "Nftables"},
                                                    {Old::kIptablesNft, "IptablesNft"},
                                                    {Old::kIptablesLegacy, "IptablesLegacy"},
                                                    {Old::kIpvsNft, "IpvsNft"},
                                                    {Old::kIpvsLegacy, "IpvsLegacy"}};
  return kNames.at(old);
}
inline bool IsIpvs(Old old) { return old == Old::kIpvsNft || old == Old::kIpvsLegacy; }

// Runs a program inside `ns`; it must succeed. Its standard output.
inline std::string Tool(support::NetNs& ns, const std::vector<std::string>& argv, const std::string& input = "") {
  const support::ProcessResult result = support::RunProcess(ns, argv, {.stdin_text = input});
  if (result.exit_code != 0) support::Fatal(absl::StrCat(argv[0], " ", argv.back(), ": ", result.err));
  return result.out;
}

inline std::string RulesFile(const std::string& name) {
  return support::SourceDir() + "/tests/data/kube_proxy_rules/" + name;
}

// "iptables-legacy", "ip6tables-nft"
inline std::string Iptables(Family family, const std::string& variant) {
  return absl::StrCat(family == Family::kIpv4 ? "iptables-" : "ip6tables-", variant);
}

// What is in every table of kube-proxy's, and is not kube-proxy's.
inline void AddStrangers(support::NetNs& node) {
  Tool(node, {"nft", "-f", "-"},
       "table inet stranger { chain c { type filter hook forward priority 1; counter accept; }; }\n"
       "table ip kube-proxy-stranger { chain KUBE-SERVICES { }; }\n");
  Tool(node, {"ipset", "create", "STRANGER", "hash:ip"});
  Tool(node, {"ipset", "create", "KUBE-STRANGER", "hash:ip"});
  for (const Family family : kFamilies) {
    for (const char* variant : {"nft", "legacy"}) {
      Tool(node, {Iptables(family, variant) + "-restore", "--noflush"},
           "*filter\n"
           ":KUBE-FIREWALL - [0:0]\n"
           ":STRANGER - [0:0]\n"
           "-A INPUT -j KUBE-FIREWALL\n"
           "-A OUTPUT -j KUBE-FIREWALL\n"
           "-A FORWARD -p tcp --dport 9 -m comment --comment \"kubernetes stranger\" -j STRANGER\n"
           "-A FORWARD -p tcp --dport 10 -j DROP\n"
           "-A STRANGER -j ACCEPT\n"
           "COMMIT\n"
           "*nat\n"
           ":KUBE-KUBELET-CANARY - [0:0]\n"
           ":KUBE-STRANGER - [0:0]\n"
           "-A PREROUTING -p tcp --dport 9 -j KUBE-STRANGER\n"
           "-A POSTROUTING -p tcp --dport 9 -j MASQUERADE\n"
           "COMMIT\n"
           "*mangle\n"
           ":KUBE-IPTABLES-HINT - [0:0]\n"
           ":KUBE-KUBELET-CANARY - [0:0]\n"
           "COMMIT\n");
    }
  }
}

// Loads what kube-proxy would have in both families; also over what is there of it.
inline void AddKubeProxy(support::NetNs& node, Old old) {
  if (old == Old::kNftables) {
    Tool(node, {"nft", "-f", RulesFile("nftables.nft")});
    return;
  }
  if (IsIpvs(old)) {
    Tool(node, {"ipset", "restore"}, support::ReadFile(RulesFile("ipvs.ipset")));
    // Of type dummy in earnest; to have it removed any will do.
    node.Ip(
        "link add kube-ipvs0 type bridge\n"
        "addr add 10.96.0.80/32 dev kube-ipvs0\n"
        "addr add 10.96.0.61/32 dev kube-ipvs0\n"
        "addr add 2001:db8:96::80/128 dev kube-ipvs0\n"
        "addr add 2001:db8:96::61/128 dev kube-ipvs0\n");
  }
  const bool legacy = old == Old::kIptablesLegacy || old == Old::kIpvsLegacy;
  for (const Family family : kFamilies) {
    const std::string file = absl::StrCat(IsIpvs(old) ? "ipvs" : "iptables", family == Family::kIpv4 ? ".v4" : ".v6");
    Tool(node, {Iptables(family, legacy ? "legacy" : "nft") + "-restore", "--noflush"},
         support::ReadFile(RulesFile(file)));
  }
}

// Everything these tests are about, as text in which equal states are equal: without counters, and without our own
// tables.
inline std::string Snapshot(support::NetNs& node) {
  std::string text;
  for (const Family family : kFamilies) {
    for (const char* variant : {"nft", "legacy"}) {
      for (const char* table : {"filter", "nat", "mangle"}) {
        absl::StrAppend(&text, Iptables(family, variant), "\n");
        for (const auto line : absl::StrSplit(Tool(node, {Iptables(family, variant) + "-save", "-t", table}), '\n')) {
          const std::string words(line.substr(0, line.find(" [")));
          if (!words.empty() && words[0] != '#') absl::StrAppend(&text, words, "\n");
        }
      }
    }
  }
  for (const auto line : absl::StrSplit(Tool(node, {"nft", "list", "tables"}), '\n')) {
    const std::string table(line);
    if (table != "table ip pointsman" && table != "table ip6 pointsman") absl::StrAppend(&text, table, "\n");
  }
  absl::StrAppend(&text, Tool(node, {"nft", "-s", "list", "table", "inet", "stranger"}));
  absl::StrAppend(&text, Tool(node, {"ipset", "list", "-n"}));
  for (const auto line : absl::StrSplit(Tool(node, {"ip", "-o", "link"}), '\n')) {
    if (absl::StrContains(line, "kube-ipvs0")) absl::StrAppend(&text, "device kube-ipvs0\n");
  }
  return text;
}

}  // namespace pointsman
