// SPDX-License-Identifier: Apache-2.0
//
// A hundred objects, each wrong in one field, among good ones: a mistake costs what it must, is told with the name of
// the object, and costs nobody else anything.
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace pointsman {
namespace {

using support::Outcome;
using ::testing::HasSubstr;

// Every field we read, each in its place, with a good value. `$N` is the number of the pair.
constexpr char kTemplate[] = R"(apiVersion: ${service.apiVersion}
kind: Service
metadata:
  name: ${service.name}
  namespace: ${service.namespace}
  labels: ${service.labels}
  annotations: ${service.annotations}
  creationTimestamp: ${service.creation}
spec: ${service.spec}
  type: ${type}
  clusterIP: ${clusterIP}
  clusterIPs: ${clusterIPs}
  ipFamilies: ${ipFamilies}
  ipFamilyPolicy: ${ipFamilyPolicy}
  allocateLoadBalancerNodePorts: ${allocateLoadBalancerNodePorts}
  externalIPs: ${externalIPs}
  loadBalancerSourceRanges: ${loadBalancerSourceRanges}
  internalTrafficPolicy: ${internalTrafficPolicy}
  externalTrafficPolicy: ${externalTrafficPolicy}
  sessionAffinity: ${sessionAffinity}
  sessionAffinityConfig: ${sessionAffinityConfig}
  healthCheckNodePort: ${healthCheckNodePort}
  ports: ${ports}
    - ${port}
    - {name: alt, protocol: TCP, port: 81, targetPort: 8080}
status: ${status}
---
apiVersion: ${slice.apiVersion}
kind: EndpointSlice
metadata:
  name: ${slice.name}
  namespace: ${slice.namespace}
  labels: ${slice.labels}
addressType: ${addressType}
ports: ${slice.ports}
  - ${slice.port}
  - {name: alt, protocol: TCP, port: 8080}
endpoints: ${endpoints}
  - ${endpoint}
  - addresses: ["203.0.113.12"]
)";

using Values = std::map<std::string, std::string>;

const Values& GoodValues() {
  static const auto* const kValues = new Values{
      {"service.apiVersion", "v1"},
      {"service.name", "b$N"},
      {"service.namespace", "bad"},
      {"service.labels", "{app: b$N}"},
      {"service.annotations", "{note: none}"},
      {"service.creation", R"("2024-01-31T12:00:00Z")"},
      {"service.spec", ""},
      {"type", "LoadBalancer"},
      {"clusterIP", "198.18.1.$N"},
      {"clusterIPs", "[198.18.1.$N]"},
      {"ipFamilies", "[IPv4]"},
      {"ipFamilyPolicy", "SingleStack"},
      {"allocateLoadBalancerNodePorts", "true"},
      {"externalIPs", "[198.18.2.$N]"},
      {"loadBalancerSourceRanges", "[192.0.2.0/24]"},
      {"internalTrafficPolicy", "Cluster"},
      {"externalTrafficPolicy", "Cluster"},
      {"sessionAffinity", "None"},
      {"sessionAffinityConfig", "{clientIP: {timeoutSeconds: 60}}"},
      {"healthCheckNodePort", "0"},
      {"ports", ""},
      {"port", "{name: http, protocol: TCP, port: 80, targetPort: 8080, nodePort: $P}"},
      {"status", "{loadBalancer: {ingress: [{ip: 198.18.3.$N, ipMode: VIP}]}}"},
      {"slice.apiVersion", "discovery.k8s.io/v1"},
      {"slice.name", "b$N-s"},
      {"slice.namespace", "bad"},
      {"slice.labels", "{kubernetes.io/service-name: b$N}"},
      {"addressType", "IPv4"},
      {"slice.ports", ""},
      {"slice.port", "{name: http, protocol: TCP, port: 8080}"},
      {"endpoints", ""},
      {"endpoint", "{addresses: [203.0.113.11], conditions: {ready: true}, nodeName: n1}"},
  };
  return *kValues;
}

// The pair of number `number` with `broken` in the place of the good values. A block that has a value of its own loses
// the lines below it.
std::string Pair(int number, const Values& broken) {
  std::string yaml;
  size_t skip_deeper_than = std::string::npos;
  for (const absl::string_view line : absl::StrSplit(kTemplate, '\n')) {
    const size_t indent = line.find_first_not_of(' ');
    if (indent != absl::string_view::npos && indent > skip_deeper_than) continue;
    if (indent != absl::string_view::npos) skip_deeper_than = std::string::npos;
    const size_t begin = line.find("${");
    std::string text(line);
    if (begin != absl::string_view::npos) {
      const size_t end = line.find('}', begin);
      const std::string field(line.substr(begin + 2, end - begin - 2));
      const auto it = broken.find(field);
      const std::string& value = it != broken.end() ? it->second : GoodValues().at(field);
      const bool block = GoodValues().at(field).empty();
      if (block && it != broken.end()) skip_deeper_than = indent;
      text = absl::StrCat(line.substr(0, begin), value);
    }
    absl::StrAppend(&yaml, text, "\n");
  }
  return absl::StrReplaceAll(yaml, {{"$N", absl::StrCat(number)}, {"$P", absl::StrCat(30000 + number)}});
}

// What a pair with a mistake still serves: its port 80, its port 81.
enum class Left { kBoth, kAlt, kNone };

struct Mistake {
  const char* field;
  const char* value;
  Left left;
};

const std::vector<Mistake>& Mistakes() {
  static const auto* const kMistakes = new std::vector<Mistake>{
      // The Service itself.
      {"service.apiVersion", "v2", Left::kNone},
      {"service.name", "Web_1", Left::kNone},
      {"service.name", "[b$N]", Left::kNone},
      {"service.name", "", Left::kNone},
      {"service.namespace", "Bad_NS", Left::kNone},
      {"service.namespace", "{a: b}", Left::kNone},
      {"service.labels", "text", Left::kBoth},
      {"service.labels", "{app: [x]}", Left::kBoth},
      {"service.creation", "yesterday", Left::kBoth},
      {"service.creation", "[]", Left::kBoth},
      {"service.spec", "text", Left::kNone},
      {"service.spec", "[1, 2]", Left::kNone},
      {"type", "clusterip", Left::kBoth},
      {"type", "{}", Left::kBoth},
      {"clusterIP", "198.18.9.9", Left::kBoth},
      {"clusterIP", "[]", Left::kBoth},
      {"clusterIPs", "[198.18.1.256]", Left::kNone},
      {"clusterIPs", "text", Left::kBoth},
      {"clusterIPs", "{}", Left::kBoth},
      {"clusterIPs", "[[]]", Left::kBoth},
      {"ipFamilies", "[IPv5]", Left::kBoth},
      {"ipFamilies", "IPv4", Left::kBoth},
      {"ipFamilies", "[{}]", Left::kBoth},
      {"ipFamilyPolicy", "DualStack", Left::kBoth},
      {"ipFamilyPolicy", "[]", Left::kBoth},
      {"allocateLoadBalancerNodePorts", "perhaps", Left::kBoth},
      {"allocateLoadBalancerNodePorts", "3", Left::kBoth},
      {"externalIPs", "[198.18.2.256]", Left::kBoth},
      {"externalIPs", "198.18.2.$N", Left::kBoth},
      {"externalIPs", "[[]]", Left::kBoth},
      {"loadBalancerSourceRanges", "[192.0.2.0/33]", Left::kBoth},
      {"loadBalancerSourceRanges", "[here]", Left::kBoth},
      {"loadBalancerSourceRanges", "192.0.2.0/24", Left::kBoth},
      {"loadBalancerSourceRanges", "[{}]", Left::kBoth},
      {"internalTrafficPolicy", "local", Left::kBoth},
      {"internalTrafficPolicy", "[]", Left::kBoth},
      {"externalTrafficPolicy", "Global", Left::kBoth},
      {"externalTrafficPolicy", "{}", Left::kBoth},
      {"sessionAffinity", "ClientIp", Left::kBoth},
      {"sessionAffinity", "[]", Left::kBoth},
      {"healthCheckNodePort", "70000", Left::kBoth},
      {"healthCheckNodePort", "-1", Left::kBoth},
      {"healthCheckNodePort", "text", Left::kBoth},
      {"ports", "text", Left::kNone},
      {"ports", "{}", Left::kNone},
      {"ports", "[]", Left::kNone},
      {"port", "text", Left::kAlt},
      {"port", "null", Left::kAlt},
      {"port", "{name: http, protocol: TCP}", Left::kAlt},
      {"port", "{name: HTTP_, protocol: TCP, port: 80}", Left::kAlt},
      {"port", "{name: [], protocol: TCP, port: 80}", Left::kAlt},
      {"port", "{name: http, protocol: ICMP, port: 80}", Left::kAlt},
      {"port", "{name: http, protocol: tcp, port: 80}", Left::kAlt},
      {"port", "{name: http, protocol: [], port: 80}", Left::kAlt},
      {"port", "{name: http, protocol: TCP, port: 0}", Left::kAlt},
      {"port", "{name: http, protocol: TCP, port: 65536}", Left::kAlt},
      {"port", "{name: http, protocol: TCP, port: -80}", Left::kAlt},
      {"port", "{name: http, protocol: TCP, port: eighty}", Left::kAlt},
      {"port", "{name: http, protocol: TCP, port: 80.5}", Left::kAlt},
      {"port", "{name: http, protocol: TCP, port: 99999999999999999999}", Left::kAlt},
      {"port", "{name: http, protocol: TCP, port: 80, nodePort: 70000}", Left::kBoth},
      {"port", "{name: http, protocol: TCP, port: 80, nodePort: text}", Left::kBoth},
      {"port", "{name: http, protocol: TCP, port: 80, nodePort: -1}", Left::kBoth},
      {"status", "text", Left::kBoth},
      {"status", "{loadBalancer: text}", Left::kBoth},
      {"status", "{loadBalancer: {ingress: text}}", Left::kBoth},
      {"status", "{loadBalancer: {ingress: [text]}}", Left::kBoth},
      {"status", "{loadBalancer: {ingress: [{ip: 198.18.3.256}]}}", Left::kBoth},
      {"status", "{loadBalancer: {ingress: [{ip: []}]}}", Left::kBoth},
      {"status", "{loadBalancer: {ingress: [{ip: 198.18.3.$N, ipMode: Vip}]}}", Left::kBoth},
      // Its EndpointSlice.
      {"slice.apiVersion", "discovery.k8s.io/v1beta1", Left::kNone},
      {"slice.name", "B_$N", Left::kNone},
      {"slice.name", "{}", Left::kNone},
      {"slice.namespace", "Bad_NS", Left::kNone},
      {"slice.labels", "text", Left::kNone},
      {"slice.labels", "{}", Left::kNone},
      {"slice.labels", "{kubernetes.io/service-name: []}", Left::kNone},
      {"slice.labels", "{kubernetes.io/service-name: \"\"}", Left::kNone},
      {"addressType", "IPv7", Left::kNone},
      {"addressType", "", Left::kNone},
      {"addressType", "[]", Left::kNone},
      {"addressType", "IPv6", Left::kNone},
      {"slice.ports", "text", Left::kNone},
      {"slice.ports", "{}", Left::kNone},
      {"slice.port", "text", Left::kAlt},
      {"slice.port", "null", Left::kAlt},
      {"slice.port", "{name: HTTP_, protocol: TCP, port: 8080}", Left::kAlt},
      {"slice.port", "{name: [], protocol: TCP, port: 8080}", Left::kAlt},
      {"slice.port", "{name: http, protocol: ICMP, port: 8080}", Left::kAlt},
      {"slice.port", "{name: http, protocol: TCP}", Left::kAlt},
      {"slice.port", "{name: http, protocol: TCP, port: 0}", Left::kAlt},
      {"slice.port", "{name: http, protocol: TCP, port: 65536}", Left::kAlt},
      {"slice.port", "{name: http, protocol: TCP, port: text}", Left::kAlt},
      {"endpoints", "text", Left::kNone},
      {"endpoints", "{}", Left::kNone},
      {"endpoint", "text", Left::kBoth},
      {"endpoint", "null", Left::kBoth},
      {"endpoint", "{conditions: {ready: true}}", Left::kBoth},
      {"endpoint", "{addresses: []}", Left::kBoth},
      {"endpoint", "{addresses: 203.0.113.11}", Left::kBoth},
      {"endpoint", "{addresses: [[]]}", Left::kBoth},
      {"endpoint", "{addresses: [203.0.113.256]}", Left::kBoth},
      {"endpoint", "{addresses: [\"2001:db8:113::11\"]}", Left::kBoth},
      {"endpoint", "{addresses: [127.0.0.1]}", Left::kBoth},
      {"endpoint", "{addresses: [0.0.0.0]}", Left::kBoth},
      {"endpoint", "{addresses: [203.0.113.11], conditions: text}", Left::kBoth},
      {"endpoint", "{addresses: [203.0.113.11], conditions: {ready: 7}}", Left::kBoth},
      {"endpoint", "{addresses: [203.0.113.11], conditions: {serving: perhaps}}", Left::kBoth},
      {"endpoint", "{addresses: [203.0.113.11], conditions: {terminating: []}}", Left::kBoth},
      {"endpoint", "{addresses: [203.0.113.11], nodeName: []}", Left::kBoth},
      {"endpoint", "{addresses: [203.0.113.11], hints: text}", Left::kBoth},
      {"endpoint", "{addresses: [203.0.113.11], hints: {forZones: text}}", Left::kBoth},
      {"endpoint", "{addresses: [203.0.113.11], hints: {forZones: [text]}}", Left::kBoth},
      {"endpoint", "{addresses: [203.0.113.11], hints: {forZones: [{name: []}]}}", Left::kBoth},
      {"endpoint", "{addresses: [203.0.113.11], hints: {forNodes: [{}]}}", Left::kBoth},
  };
  return *kMistakes;
}

// Of session affinity, which only counts when it is asked for.
const std::vector<const char*>& BadTimeouts() {
  static const auto* const kValues = new std::vector<const char*>{
      "text",
      "{clientIP: text}",
      "{clientIP: {timeoutSeconds: 0}}",
      "{clientIP: {timeoutSeconds: 86401}}",
      "{clientIP: {timeoutSeconds: ten}}",
      "{clientIP: {timeoutSeconds: []}}",
  };
  return *kValues;
}

class BrokenObjectsTest : public ::testing::Test {
 protected:
  BrokenObjectsTest() {
    for (int i = 0; i < world_.pods(); ++i) {
      servers_.push_back(std::make_unique<support::NameServer>(world_.pod(i), absl::StrCat("pod-", i)));
      for (const Family family : kFamilies) servers_.back()->Listen(Protocol::kTcp, {world_.pod_ip(i, family), 8080});
    }
  }

  bool Answers(const std::string& ip, uint16_t port, absl::Duration timeout = absl::Seconds(1)) {
    return support::Ask(world_.client(), Protocol::kTcp, {support::Ip(ip), port}, timeout).outcome ==
           Outcome::kAnswered;
  }
  // Where nobody should answer, nobody is waited for long.
  void ExpectAnswers(const std::string& ip, uint16_t port, bool wanted) {
    EXPECT_EQ(Answers(ip, port, wanted ? absl::Seconds(1) : absl::Milliseconds(100)), wanted) << ip << ":" << port;
  }

  support::World world_{{.pods = 2}};
  std::vector<std::unique_ptr<support::NameServer>> servers_;
  support::TempDir dir_;
};

TEST_F(BrokenObjectsTest, AMistakeCostsWhatItMustAndIsToldWithTheName) {
  // Given good pairs, and broken ones in files of their own.
  constexpr int kGood = 20;
  for (int i = 0; i < kGood; ++i) {
    const std::string yaml = absl::StrReplaceAll(Pair(200 + i, {}), {{"namespace: bad", "namespace: good"}});
    support::WriteFile(dir_.File(absl::StrCat("good-", i, ".yaml")), yaml);
  }
  struct Broken {
    Values values;
    Left left;
  };
  std::vector<Broken> broken;
  for (const Mistake& mistake : Mistakes()) broken.push_back({{{mistake.field, mistake.value}}, mistake.left});
  for (const char* value : BadTimeouts()) {
    broken.push_back({{{"sessionAffinity", "ClientIP"}, {"sessionAffinityConfig", value}}, Left::kBoth});
  }
  ASSERT_GE(broken.size(), 100U);
  ASSERT_LT(broken.size(), 200U) << "numbers are taken";
  for (size_t i = 0; i < broken.size(); ++i) {
    support::WriteFile(dir_.File(absl::StrFormat("bad-%03d.yaml", i)), Pair(static_cast<int>(i), broken[i].values));
  }

  // When the agent runs on all of them.
  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();
  const std::string log = agent.log();
  std::vector<std::string> complaints;
  for (const support::LogLine& line : support::ParseLog(log)) {
    if (line.event == "bad_input") complaints.push_back(line.text);
  }

  // Then the good ones serve on every address, and nothing is said about them.
  for (int i = 0; i < kGood; ++i) {
    for (const char* net : {"198.18.1.", "198.18.2.", "198.18.3."}) {
      EXPECT_TRUE(Answers(absl::StrCat(net, 200 + i), 80)) << net << 200 + i;
      EXPECT_TRUE(Answers(absl::StrCat(net, 200 + i), 81)) << net << 200 + i;
    }
    EXPECT_TRUE(Answers("192.0.2.1", static_cast<uint16_t>(30200 + i)));
  }
  for (const std::string& line : complaints) EXPECT_THAT(line, ::testing::Not(HasSubstr("good"))) << line;

  // Each of the others is named, and has lost no more than the mistake took.
  for (size_t i = 0; i < broken.size(); ++i) {
    std::string what = absl::StrCat("pair ", i);
    for (const auto& [field, value] : broken[i].values) absl::StrAppend(&what, ", ", field, ": ", value);
    SCOPED_TRACE(what);
    const std::string file = absl::StrFormat("bad-%03d.yaml:", i);
    const std::string service = absl::StrCat("Service bad/b", i, ":");
    const std::string slice = absl::StrCat("EndpointSlice bad/b", i, "-s:");
    EXPECT_TRUE(std::any_of(complaints.begin(), complaints.end(), [&](const std::string& line) {
      return absl::StrContains(line, file) || absl::StrContains(line, service) || absl::StrContains(line, slice);
    })) << "nobody says what is wrong";
    ExpectAnswers(absl::StrCat("198.18.1.", i), 80, broken[i].left == Left::kBoth);
    ExpectAnswers(absl::StrCat("198.18.1.", i), 81, broken[i].left != Left::kNone);
  }
}

TEST_F(BrokenObjectsTest, TheLongestNamesThatAreLegalWork) {
  const std::string ns(63, 'n');
  const std::string name(63, 's');
  const std::string port = "abcdefghijklm-1";
  ASSERT_EQ(port.size(), 15U);
  support::WriteFile(dir_.File("long.yaml"), absl::StrCat(R"(
apiVersion: v1
kind: Service
metadata: {namespace: )",
                                                          ns, ", name: ", name, R"(}
spec:
  type: NodePort
  clusterIPs: [198.18.1.1, "2001:db8:96::1"]
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: RequireDualStack
  sessionAffinity: ClientIP
  ports: [{name: )",
                                                          port, R"(, protocol: TCP, port: 80, nodePort: 30001}]
)"));
  for (const Family family : kFamilies) {
    support::WriteFile(
        dir_.File(absl::StrCat("slice-", FormatFamily(family), ".yaml")),
        absl::StrCat("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  namespace: ", ns,
                     "\n  name: ", std::string(253, family == Family::kIpv4 ? 'a' : 'b'),
                     "\n  labels: {kubernetes.io/service-name: ", name, "}\naddressType: ", FormatFamily(family),
                     "\nports: [{name: ", port, ", protocol: TCP, port: 8080}]\nendpoints: [{addresses: [\"",
                     FormatIp(world_.pod_ip(0, family)), "\"]}]\n"));
  }

  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();

  EXPECT_TRUE(Answers("198.18.1.1", 80)) << agent.log();
  EXPECT_TRUE(Answers("2001:db8:96::1", 80));
  EXPECT_TRUE(Answers("192.0.2.1", 30001));
  EXPECT_TRUE(agent.Events("bad_input").empty()) << agent.log();
  EXPECT_EQ(support::RunPointsman(world_.node(), {"diff", "--manifests", dir_.path()}).exit_code, 0);
  const support::ProcessResult listing = support::RunProcess(world_.node(), {"nft", "list", "ruleset"});
  EXPECT_EQ(listing.exit_code, 0) << listing.err;
  EXPECT_THAT(listing.out, HasSubstr(absl::StrCat(ns, "/")));
}

std::string Utf8(uint32_t c) {
  std::string out;
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else {
    if (c < 0x10000) {
      out += static_cast<char>(0xe0 | c >> 12);
    } else {
      out += static_cast<char>(0xf0 | c >> 18);
      out += static_cast<char>(0x80 | (c >> 12 & 0x3f));
    }
    out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  }
  return out;
}

TEST_F(BrokenObjectsTest, AnyUnicodeInAnnotationsAndLabelsIsPassedOver) {
  // Every character that may stand in a YAML text (YAML 1.2, c-printable), and the others as escapes.
  std::string printable;
  std::string escapes;
  for (uint32_t c = 0; c < 0x30000; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    const bool may_stand =
        c == '\t' || (c >= 0x20 && c < 0x7f) || (c >= 0xa0 && c != 0xfeff && c != 0xfffe && c != 0xffff);
    if (!may_stand) {
      absl::StrAppend(&escapes, c < 0x10000 ? absl::StrFormat("\\u%04x", c) : absl::StrFormat("\\U%08x", c));
    } else if (c == '"' || c == '\\') {
      absl::StrAppend(&printable, "\\", Utf8(c));
    } else {
      absl::StrAppend(&printable, Utf8(c));
    }
  }
  support::WriteFile(
      dir_.File("unicode.yaml"),
      Pair(1,
           {{"service.annotations", absl::StrCat("{note: \"", printable, "\", escaped: \"", escapes,
                                                 "\", \"ключ/κλειδί\": \"鍵 🗝 مفتاح\"}")},
            {"service.labels", absl::StrCat("{app: \"", printable, "\", \"\\u0001\\U0001f511\": \"", escapes, "\"}")},
            {"slice.labels", "{kubernetes.io/service-name: b$N, \"имя\": \"名前 \\u0000\"}"}}));

  support::AgentProcess agent(world_.node(), {"--manifests", dir_.path()});
  ASSERT_TRUE(agent.WaitReady()) << agent.log();

  EXPECT_TRUE(Answers("198.18.1.1", 80)) << agent.log().substr(0, 4000);
  EXPECT_TRUE(Answers("198.18.1.1", 81));
  EXPECT_TRUE(agent.Events("bad_input").empty()) << agent.log().substr(0, 4000);
}

}  // namespace
}  // namespace pointsman
