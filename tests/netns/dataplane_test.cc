// SPDX-License-Identifier: Apache-2.0
//
// The dataplane against a real kernel, in network namespaces of its own. Needs the nft program and the right to make a
// namespace, and fails without.
#include "pointsman/dataplane.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "pointsman/netlink.h"
#include "pointsman/nft.h"
#include "tests/support/netns.h"
#include "tests/support/nft_sample.h"
#include "tests/support/process.h"

namespace pointsman::nft {
namespace {

using support::Cat;
using support::Ip;
using support::kTcp;
using support::NetNs;
using support::Port;
using support::ProcessResult;
using support::Proto;
using support::RuleBuilder;
using support::SampleRuleset;
using support::Word;
using ::testing::HasSubstr;

// A namespace, and a dataplane that acts on it.
class Kernel {
 public:
  explicit Kernel(const NftOptions& options = {}) : ns_("dataplane") {
    ns_.Run([&] {
      auto dataplane = OpenNftDataplane(options);
      EXPECT_TRUE(dataplane.ok()) << dataplane.status();
      dataplane_ = *std::move(dataplane);
    });
  }
  NetNs& ns() { return ns_; }

  absl::StatusOr<CommitReport> Commit(const ChangeSet& changes, Generation guard = kUnknownGeneration) {
    return ns_.Call([&] { return dataplane_->Commit(changes, guard); });
  }
  absl::StatusOr<Observation> Observe() {
    return ns_.Call([&] { return dataplane_->Observe(); });
  }
  Ruleset Observed() {
    absl::StatusOr<Observation> observation = Observe();
    EXPECT_TRUE(observation.ok()) << observation.status();
    return observation.ok() ? observation->ruleset : Ruleset();
  }
  Generation CurrentGeneration() {
    return ns_.Call([&] { return dataplane_->CurrentGeneration(); }).value_or(kUnknownGeneration);
  }
  // What `nft ARGS` says; it must succeed.
  std::string Nft(std::vector<std::string> args, const std::string& input = "") {
    args.insert(args.begin(), "nft");
    const ProcessResult result = support::RunProcess(ns_, args, {.stdin_text = input});
    EXPECT_EQ(result.exit_code, 0) << result.err << "\nin\n" << input.substr(0, 4000);
    return result.out;
  }
  std::string Listing() { return Nft({"list", "ruleset"}); }

 private:
  NetNs ns_;
  std::unique_ptr<Dataplane> dataplane_;
};

std::vector<Element> ElementsOf(const Set& set) {
  std::vector<Element> elements;
  for (const auto& [key, value] : set.elements) elements.push_back({key, value});
  return elements;
}

// The changes that make `ruleset` from nothing.
ChangeSet FromNothing(const Ruleset& ruleset) {
  ChangeSet changes;
  for (const auto& [family, table] : ruleset.tables) {
    changes.push_back(AddTable{family, table.comment});
    for (const auto& [name, chain] : table.chains) changes.push_back(AddChain{family, name, chain.hook, chain.comment});
    for (const auto& [name, set] : table.sets) {
      changes.push_back(AddSet{family, name, set.spec});
      changes.push_back(AddElements{family, name, set.spec, ElementsOf(set)});
    }
    for (const auto& [name, chain] : table.chains) {
      for (const Rule& rule : chain.rules) changes.push_back(AddRule{family, name, rule});
    }
  }
  return changes;
}

// Says where two rulesets differ, a set, chain or rule at a time.
void ExpectSame(const Ruleset& actual, const Ruleset& expected) {
  for (const auto& [family, table] : expected.tables) {
    ASSERT_TRUE(actual.tables.contains(family));
    const Table& other = actual.tables.at(family);
    EXPECT_EQ(other.comment, table.comment);
    for (const auto& [name, set] : table.sets) {
      SCOPED_TRACE(absl::StrCat("set ", name, " of ", FormatFamily(family)));
      ASSERT_TRUE(other.sets.contains(name));
      EXPECT_EQ(other.sets.at(name).spec, set.spec);
      EXPECT_EQ(other.sets.at(name).elements.size(), set.elements.size());
      EXPECT_EQ(other.sets.at(name), set);
    }
    for (const auto& [name, chain] : table.chains) {
      SCOPED_TRACE(absl::StrCat("chain ", name, " of ", FormatFamily(family)));
      ASSERT_TRUE(other.chains.contains(name));
      ASSERT_EQ(other.chains.at(name).rules.size(), chain.rules.size());
      for (size_t i = 0; i < chain.rules.size(); ++i) {
        const Rule& rule = other.chains.at(name).rules[i];
        EXPECT_EQ(rule.comment, chain.rules[i].comment);
        ASSERT_EQ(rule.exprs.size(), chain.rules[i].exprs.size()) << "rule " << i;
        for (size_t j = 0; j < rule.exprs.size(); ++j) {
          const auto* foreign = std::get_if<Foreign>(&rule.exprs[j]);
          EXPECT_EQ(rule.exprs[j], chain.rules[i].exprs[j])
              << "rule " << i << " expression " << j << " "
              << (foreign != nullptr ? foreign->name + foreign->text : "");
        }
      }
      EXPECT_EQ(other.chains.at(name), chain);
    }
  }
  EXPECT_EQ(actual, expected);
}

// Only there a socket's buffer can be as large as need be.
bool InInitialUserNamespace() {
  std::ifstream map("/proc/self/uid_map");
  uint64_t inside = 1;
  uint64_t outside = 1;
  uint64_t count = 0;
  map >> inside >> outside >> count;
  return inside == 0 && outside == 0 && count == 0xffffffff;
}

constexpr Family kV4 = Family::kIpv4;

SetSpec EndpointsSpec() {
  return {.key = {Field::kIpv4Addr, Field::kInetProto, Field::kInetService, Field::kInteger},
          .data = {Field::kIpv4Addr, Field::kInetService}};
}

Element Endpoint(uint32_t number) {
  const Bytes addr = {10, static_cast<uint8_t>(number >> 16), static_cast<uint8_t>(number >> 8),
                      static_cast<uint8_t>(number)};
  return {Cat({addr, Proto(kTcp), Port(80), Word(0)}), {.end = {}, .data = Cat({addr, Port(8080)}), .comment = ""}};
}

AddElements Endpoints(uint32_t count) {
  AddElements op{kV4, "endpoints", EndpointsSpec(), {}};
  for (uint32_t i = 0; i < count; ++i) op.elements.push_back(Endpoint(i));
  return op;
}

ChangeSet WithEndpoints(uint32_t count) {
  return {AddTable{kV4, ""}, AddSet{kV4, "endpoints", EndpointsSpec()}, Endpoints(count)};
}

// --- writing and reading back ----------------------------------------------------------------------------------------

TEST(DataplaneTest, ABareKernelHasNothingOfOurs) {
  Kernel kernel;
  EXPECT_EQ(kernel.Observed(), Ruleset());
}

TEST(DataplaneTest, WhatWasCommittedIsObserved) {
  Kernel kernel;
  const Ruleset ruleset = SampleRuleset(/*affinity=*/true);

  const absl::StatusOr<CommitReport> report = kernel.Commit(FromNothing(ruleset));

  ASSERT_TRUE(report.ok()) << report.status();
  ExpectSame(kernel.Observed(), ruleset);
}

TEST(DataplaneTest, FlushingAndDeletingTakesAwayWhatItSays) {
  Kernel kernel;
  Ruleset ruleset = SampleRuleset(/*affinity=*/true);
  ASSERT_TRUE(kernel.Commit(FromNothing(ruleset)).ok());

  ChangeSet changes;
  for (auto& [family, table] : ruleset.tables) {
    for (const char* name : {"pod_cidrs", "fw_sources", "frontends", "endpoints", "hairpin"}) {
      Set& set = table.sets[name];
      const Element first{set.elements.begin()->first, set.elements.begin()->second};
      changes.push_back(DeleteElements{family, name, set.spec, {first}});
      set.elements.erase(set.elements.begin());
    }
    changes.push_back(FlushSet{family, "aff_endpoints"});
    table.sets["aff_endpoints"].elements.clear();
    changes.push_back(FlushSet{family, "everywhere"});
    table.sets["everywhere"].elements.clear();
    changes.push_back(DeleteSet{family, "nowhere"});
    table.sets.erase("nowhere");
    changes.push_back(FlushChain{family, "odds_and_ends"});
    table.chains["odds_and_ends"].rules.clear();
    changes.push_back(DeleteChain{family, "nat_input"});
    table.chains.erase("nat_input");
  }
  const absl::StatusOr<CommitReport> report = kernel.Commit(changes);
  ASSERT_TRUE(report.ok()) << report.status();
  ExpectSame(kernel.Observed(), ruleset);

  ASSERT_TRUE(kernel.Commit({DeleteTable{Family::kIpv4}, DeleteTable{Family::kIpv6}}).ok());
  EXPECT_EQ(kernel.Observed(), Ruleset());
}

TEST(DataplaneTest, AnElementCanBeReplacedWithinOneCommit) {
  Kernel kernel;
  ASSERT_TRUE(kernel.Commit(WithEndpoints(3)).ok());
  Element changed = Endpoint(1);
  changed.value.data = Cat({Ip("203.0.113.9"), Port(9)});

  const auto report = kernel.Commit({DeleteElements{kV4, "endpoints", EndpointsSpec(), {Endpoint(1)}},
                                     AddElements{kV4, "endpoints", EndpointsSpec(), {changed}}});

  ASSERT_TRUE(report.ok()) << report.status();
  const Ruleset observed = kernel.Observed();
  const auto& elements = observed.tables.at(kV4).sets.at("endpoints").elements;
  EXPECT_EQ(elements.size(), 3U);
  EXPECT_EQ(elements.at(changed.key), changed.value);
}

TEST(DataplaneTest, ElementsOfDynamicSetsAreTheKernels) {
  Kernel kernel;
  Ruleset ruleset;
  Set& seen = ruleset.tables[kV4].sets["seen"];
  seen.spec = {.key = {Field::kIpv4Addr}, .dynamic = true, .has_timeout = true, .timeout = absl::Hours(1), .size = 10};
  seen.elements[Ip("192.0.2.1")] = {};
  ASSERT_TRUE(kernel.Commit(FromNothing(ruleset)).ok());
  ASSERT_THAT(kernel.Listing(), HasSubstr("192.0.2.1"));

  seen.elements.clear();
  EXPECT_EQ(kernel.Observed(), ruleset);
}

TEST(DataplaneTest, IntervalsTouchEachOtherAndBothEnds) {
  Kernel kernel;
  Ruleset ruleset;
  for (const Family family : kFamilies) {
    const bool v4 = family == kV4;
    Set& set = ruleset.tables[family].sets["ranges"];
    set.spec = {.key = {v4 ? Field::kIpv4Addr : Field::kIpv6Addr}, .verdicts = true, .interval = true};
    const auto put = [&set](const char* from, const char* to, Verdict::Code code) {
      set.elements[Ip(from)] = {.end = Ip(to), .data = Verdict{code, ""}, .comment = to};
    };
    put(v4 ? "0.0.0.0" : "::", v4 ? "9.255.255.255" : "::9", Verdict::Code::kDrop);
    put(v4 ? "10.0.0.0" : "::a", v4 ? "10.255.255.255" : "::f", Verdict::Code::kAccept);
    put(v4 ? "11.0.0.0" : "::10", v4 ? "11.0.0.0" : "::10", Verdict::Code::kReturn);
    put(v4 ? "224.0.0.0" : "ff00::", v4 ? "255.255.255.255" : "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Verdict::Code::kDrop);
  }
  const absl::StatusOr<CommitReport> report = kernel.Commit(FromNothing(ruleset));
  ASSERT_TRUE(report.ok()) << report.status();
  ExpectSame(kernel.Observed(), ruleset);
  EXPECT_THAT(kernel.Listing(), HasSubstr("10.0.0.0/8 comment \"10.255.255.255\" : accept"));
  EXPECT_THAT(kernel.Listing(), HasSubstr("224.0.0.0/3"));

  // One from the middle and the one without an end.
  Set& set = ruleset.tables[kV4].sets["ranges"];
  ChangeSet changes;
  for (const char* from : {"10.0.0.0", "224.0.0.0"}) {
    changes.push_back(DeleteElements{kV4, "ranges", set.spec, {{Ip(from), set.elements.at(Ip(from))}}});
    set.elements.erase(Ip(from));
  }
  const absl::StatusOr<CommitReport> deleted = kernel.Commit(changes);
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  ExpectSame(kernel.Observed(), ruleset);
}

TEST(DataplaneTest, ManyElementsFitOneCommit) {
  constexpr uint32_t kCount = 300'000;
  Kernel kernel({.max_listed_elements = 1000});

  const absl::StatusOr<CommitReport> report = kernel.Commit(WithEndpoints(kCount));

  if (absl::IsFailedPrecondition(report.status()) && !InInitialUserNamespace()) {
    EXPECT_THAT(std::string(report.status().message()), HasSubstr("net.core.wmem_max"));
    EXPECT_EQ(kernel.Observed(), Ruleset());
    return;
  }
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->ops, 3);
  EXPECT_GT(report->messages, 300);
  EXPECT_GT(report->bytes, int64_t{kCount} * 40);
  const auto remove = [&](uint32_t number) {
    return kernel.Commit({DeleteElements{kV4, "endpoints", EndpointsSpec(), {Endpoint(number)}}}).status();
  };
  for (const uint32_t number : {0U, 1000U, kCount - 1}) EXPECT_EQ(remove(number), absl::OkStatus()) << number;
  EXPECT_TRUE(absl::IsNotFound(remove(kCount)));
}

TEST(DataplaneTest, ASetTooLargeToListComesOutIncomplete) {
  for (const int limit : {999, 1000}) {
    SCOPED_TRACE(limit);
    Kernel kernel({.max_listed_elements = limit});
    ChangeSet changes = WithEndpoints(1000);
    changes.push_back(AddSet{kV4, "later", {.key = {Field::kIpv4Addr}}});
    changes.push_back(AddElements{kV4, "later", {.key = {Field::kIpv4Addr}}, {{Ip("192.0.2.1"), {}}}});
    ASSERT_TRUE(kernel.Commit(changes).ok());

    const Ruleset observed = kernel.Observed();

    const Set& set = observed.tables.at(kV4).sets.at("endpoints");
    EXPECT_EQ(set.complete, limit == 1000);
    EXPECT_EQ(set.elements.size(), limit == 1000 ? 1000U : 0U);
    EXPECT_EQ(observed.tables.at(kV4).sets.at("later").elements.size(), 1U)
        << "the sets after it are read all the same";
    EXPECT_EQ(kernel.Observed(), observed);
  }
}

// The kernel moves a hash table that has grown to a larger one in the background, and lists it badly meanwhile.
TEST(DataplaneTest, ASetThatHasJustGrownIsListedWhole) {
  constexpr uint32_t kCount = 60'000;
  Kernel kernel;
  const absl::StatusOr<CommitReport> report = kernel.Commit(WithEndpoints(kCount));
  if (absl::IsFailedPrecondition(report.status()) && !InInitialUserNamespace()) {
    GTEST_SKIP() << "a batch of this size needs CAP_NET_ADMIN in the initial user namespace";
  }
  ASSERT_TRUE(report.ok()) << report.status();

  const Set set = kernel.Observed().tables.at(kV4).sets.at("endpoints");

  EXPECT_EQ(set.elements.size(), set.complete ? kCount : 0U);
}

// --- transactions ----------------------------------------------------------------------------------------------------

TEST(DataplaneTest, AnEmptyChangeSetSendsNothing) {
  Kernel kernel;
  const Generation before = kernel.CurrentGeneration();
  const absl::StatusOr<CommitReport> report = kernel.Commit({}, before);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->bytes, 0);
  EXPECT_EQ(report->messages, 0);
  EXPECT_EQ(report->generation, before);
  EXPECT_EQ(kernel.CurrentGeneration(), before);
}

TEST(DataplaneTest, ACommitReportsTheGenerationItReached) {
  Kernel kernel;
  const Generation before = kernel.CurrentGeneration();

  const absl::StatusOr<CommitReport> guarded = kernel.Commit(WithEndpoints(1), before);
  ASSERT_TRUE(guarded.ok()) << guarded.status();
  EXPECT_EQ(guarded->ops, 3);
  EXPECT_EQ(guarded->messages, 3);
  EXPECT_EQ(guarded->generation, before + 1);
  EXPECT_EQ(kernel.CurrentGeneration(), before + 1);

  const absl::StatusOr<CommitReport> unguarded = kernel.Commit({AddChain{kV4, "c", {}, ""}});
  ASSERT_TRUE(unguarded.ok()) << unguarded.status();
  EXPECT_EQ(unguarded->generation, kUnknownGeneration) << "nobody knows what happened before";
}

TEST(DataplaneTest, ACommitThatChangesNothingMovesNothingAndCostsAnotherLook) {
  Kernel kernel;
  ASSERT_TRUE(kernel.Commit(WithEndpoints(1)).ok());
  const Generation before = kernel.CurrentGeneration();

  const absl::StatusOr<CommitReport> report = kernel.Commit({Endpoints(1)}, before);

  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->messages, 1);
  EXPECT_EQ(kernel.CurrentGeneration(), before);
  EXPECT_TRUE(absl::IsAborted(kernel.Commit({AddChain{kV4, "c", {}, ""}}, report->generation).status()));
}

TEST(DataplaneTest, AStrangersCommitTripsTheGuard) {
  Kernel kernel;
  ASSERT_TRUE(kernel.Commit(WithEndpoints(1)).ok());
  const absl::StatusOr<Observation> seen = kernel.Observe();
  ASSERT_TRUE(seen.ok());
  kernel.Nft({"add", "table", "inet", "stranger"});

  const absl::StatusOr<CommitReport> report = kernel.Commit({AddChain{kV4, "c", {}, ""}}, seen->generation);

  EXPECT_TRUE(absl::IsAborted(report.status())) << report.status();
  EXPECT_EQ(kernel.Observed(), seen->ruleset);
  const absl::StatusOr<CommitReport> again = kernel.Commit({AddChain{kV4, "c", {}, ""}}, kernel.CurrentGeneration());
  EXPECT_TRUE(again.ok()) << again.status();
}

TEST(DataplaneTest, AFailingOpIsNamedAndNothingIsApplied) {
  Kernel kernel;
  ASSERT_TRUE(kernel.Commit(WithEndpoints(1000)).ok());
  const absl::StatusOr<Observation> before = kernel.Observe();
  ASSERT_TRUE(before.ok());

  // The 2 501st element is there already, with other data.
  AddElements add{kV4, "endpoints", EndpointsSpec(), {}};
  for (uint32_t i = 0; i < 2500; ++i) add.elements.push_back(Endpoint(5000 + i));
  add.elements.push_back({Endpoint(7).key, {.end = {}, .data = Cat({Ip("203.0.113.1"), Port(1)}), .comment = ""}});
  const absl::StatusOr<CommitReport> report =
      kernel.Commit({AddChain{kV4, "c", {}, ""}, add, AddChain{kV4, "d", {}, ""}});

  EXPECT_TRUE(absl::IsAlreadyExists(report.status())) << report.status();
  EXPECT_THAT(std::string(report.status().message()),
              HasSubstr("add element pointsman/endpoints (ip), message 4 of 4, key 0x0a00000706000000005000000000"
                        "0000: File exists"));
  EXPECT_EQ(report.status().GetPayload(kFailedOpPayload), absl::Cord("1"));
  const absl::StatusOr<Observation> after = kernel.Observe();
  ASSERT_TRUE(after.ok());
  EXPECT_EQ(after->ruleset, before->ruleset);
  EXPECT_EQ(after->generation, before->generation);
}

struct Failure {
  const char* what;
  ChangeSet changes;
  absl::StatusCode code;
  const char* text;
};

TEST(DataplaneTest, FailuresHaveACodeAndWords) {
  const SetSpec addresses = {.key = {Field::kIpv4Addr}, .interval = true};
  const std::vector<Failure> failures = {
      {"delete an absent chain",
       {DeleteChain{kV4, "nowhere"}},
       absl::StatusCode::kNotFound,
       "delete chain pointsman/nowhere (ip): No such file or directory"},
      {"delete an absent element",
       {DeleteElements{kV4, "endpoints", EndpointsSpec(), {Endpoint(77)}}},
       absl::StatusCode::kNotFound,
       "delete element pointsman/endpoints (ip), key 0x0a00004d"},
      {"another table's family",
       {FlushSet{Family::kIpv6, "endpoints"}},
       absl::StatusCode::kNotFound,
       "flush set pointsman/endpoints (ip6)"},
      {"a rule that looks into no set",
       {AddChain{kV4, "c", {}, ""}, AddRule{kV4, "c", RuleBuilder(kV4).Daddr().In("nowhere").Drop()}},
       absl::StatusCode::kNotFound,
       "add rule pointsman/c (ip): No such file or directory"},
      {"a chain in use",
       {AddChain{kV4, "c", {}, ""}, AddChain{kV4, "d", {}, ""}, AddRule{kV4, "c", RuleBuilder(kV4).Jump("d")},
        DeleteChain{kV4, "d"}},
       absl::StatusCode::kUnavailable,
       "delete chain pointsman/d (ip): Device or resource busy"},
      {"overlapping intervals",
       {AddSet{kV4, "nets", addresses},
        AddElements{kV4, "nets", addresses, {{Ip("10.0.0.0"), {.end = Ip("10.0.0.255")}}}},
        AddElements{kV4, "nets", addresses, {{Ip("10.0.0.128"), {.end = Ip("10.0.1.255")}}}}},
       absl::StatusCode::kAlreadyExists,
       "add element pointsman/nets (ip)"},
      {"a set that is there with another key",
       {AddSet{kV4, "endpoints", {.key = {Field::kIpv4Addr}}}},
       absl::StatusCode::kAlreadyExists,
       "add set pointsman/endpoints (ip): File exists"},
      {"what we cannot say",
       {AddChain{kV4, "c", {}, ""}, AddRule{kV4, "c", Rule{.exprs = {Foreign{"counter", ""}}, .comment = ""}}},
       absl::StatusCode::kInternal,
       "add rule pointsman/c (ip): expression 0: expression counter is not one we write"},
  };
  for (const Failure& failure : failures) {
    SCOPED_TRACE(failure.what);
    Kernel kernel;
    ASSERT_TRUE(kernel.Commit(WithEndpoints(1)).ok());
    const Ruleset before = kernel.Observed();
    const absl::Status status = kernel.Commit(failure.changes).status();
    EXPECT_EQ(status.code(), failure.code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(failure.text));
    EXPECT_EQ(status.GetPayload(kFailedOpPayload), absl::Cord(absl::StrCat(failure.changes.size() - 1)));
    EXPECT_EQ(kernel.Observed(), before);
  }
}

TEST(DataplaneTest, StrangersAreLeftAloneAndNotSeen) {
  Kernel kernel;
  const std::string strangers =
      "table ip kube-proxy {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 192.0.2.1 }\n\t}\n\n"
      "\tchain c {\n\t\tcounter packets 0 bytes 0 accept\n\t}\n}\n"
      "table inet pointsman {\n\tchain c {\n\t\ttcp dport 80 drop\n\t}\n}\n";
  kernel.Nft({"-f", "-"}, strangers);
  ASSERT_EQ(kernel.Listing(), strangers);
  EXPECT_EQ(kernel.Observed(), Ruleset());

  const Ruleset ruleset = SampleRuleset(/*affinity=*/false);
  ASSERT_TRUE(kernel.Commit(FromNothing(ruleset)).ok());
  ExpectSame(kernel.Observed(), ruleset);
  ASSERT_TRUE(kernel.Commit({DeleteTable{Family::kIpv4}, DeleteTable{Family::kIpv6}}).ok());

  EXPECT_EQ(kernel.Listing(), strangers);
}

TEST(DataplaneTest, WhatIsNotOursInOurTableShows) {
  Kernel kernel;
  kernel.Nft({"-f", "-"},
             "table ip pointsman {\n"
             "  counter hits { }\n"
             "  set marks { type nf_proto; }\n"
             "  map quotas { type ipv4_addr : counter; }\n"
             "  chain c {\n"
             "    tcp dport { 80, 443 } limit rate 10/second counter accept\n"
             "    jump { drop; }\n"
             "    meta l4proto tcp masquerade to :1024-2048\n"
             "    meta mark set 0x7\n"
             "    ip daddr 192.0.2.1 dnat to 192.0.2.2\n"
             "  }\n"
             "}\n");

  const Ruleset observed = kernel.Observed();

  const Table& table = observed.tables.at(kV4);
  EXPECT_EQ(table.chains.size(), 1U) << "the inline chain is its rule's";
  EXPECT_EQ(table.sets.size(), 2U) << "so is the inline set";
  EXPECT_EQ(table.sets.at("marks").spec.key, std::vector<Field>{static_cast<Field>(2)});
  EXPECT_TRUE(table.sets.at("quotas").spec.is_map());
  const auto& rules = table.chains.at("c").rules;
  ASSERT_EQ(rules.size(), 5U);
  const auto has_foreign = [&rules](size_t rule, const char* name) {
    return std::any_of(rules[rule].exprs.begin(), rules[rule].exprs.end(), [name](const Expr& expr) {
      return std::holds_alternative<Foreign>(expr) && std::get<Foreign>(expr).name == name;
    });
  };
  EXPECT_TRUE(has_foreign(0, "limit"));
  EXPECT_FALSE(has_foreign(0, "counter"));
  EXPECT_TRUE(has_foreign(2, "immediate"));
  EXPECT_TRUE(has_foreign(2, "masq"));
  EXPECT_TRUE(has_foreign(3, "immediate"));
  EXPECT_TRUE(has_foreign(4, "nat"));
}

// --- nft, the program ------------------------------------------------------------------------------------------------

// As a person would write it, or nft print it. Everything nft can read.
constexpr char kText[] = R"(
table ip pointsman {
  comment "Services of this node"
  set pod_cidrs { type ipv4_addr; flags interval; comment "pods"; elements = { 10.244.0.0/16, 10.245.0.3-10.245.0.9, 240.0.0.0/4 } }
  set service_cidrs { type ipv4_addr; flags interval; elements = { 0.0.0.0/8, 1.0.0.0/8 } }
  map frontends { type ipv4_addr . inet_proto . inet_service : verdict; comment "what we answer on"
    elements = { 192.0.2.10 . udp . 53 comment "kube-system/kube-dns:dns" : goto offcl, 192.0.2.20 . tcp . 80 : drop } }
  map endpoints { typeof ip daddr . meta l4proto . th dport . numgen random mod 2 : ip daddr . th dport
    comment "slots"; elements = { 192.0.2.10 . udp . 53 . 0 : 203.0.113.1 . 53, 192.0.2.10 . udp . 53 . 256 comment "far" : 203.0.113.2 . 53 } }
  map affinity { type ipv4_addr . ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
    size 262144; flags dynamic,timeout; timeout 3h; }
  set fw_sources { type ipv4_addr . inet_proto . inet_service . ipv4_addr; flags interval
    elements = { 203.0.113.40 . tcp . 443 . 198.51.100.0/24, 203.0.113.40 . tcp . 80-90 . 198.51.100.7 comment "one" } }
  set aff_endpoints { type mark . mark . ipv4_addr . inet_service; elements = { 0x1a2b3c4d . 0x00000005 . 203.0.113.1 . 80 } }
  set hairpin { type ipv4_addr . ipv4_addr; elements = { 10.1.1.1 . 10.1.1.1 } }
  set ports { type inet_service; elements = { 80, 30000 } }
  set protocols { type inet_proto; elements = { tcp, sctp } }
  chain reject_it {
    comment "refuse at once"
    reject with tcp reset
    reject
  }
  chain offcl {
    ip saddr != @pod_cidrs meta mark set meta mark | 0x00004000 comment "from outside"
    fib saddr type local meta mark set meta mark | 0x00004000 ip daddr . meta l4proto . th dport vmap @frontends
    goto pick
  }
  chain pick {
    dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 4 map @endpoints
    dnat ip to ip saddr . ip daddr . meta l4proto . th dport map @affinity
    ip daddr @service_cidrs goto reject_it
  }
  chain post {
    meta mark & 0x00004000 == 0x00004000 meta mark set meta mark ^ 0x00004000 masquerade fully-random
    ip saddr . ip daddr @hairpin masquerade fully-random
    ip daddr . meta l4proto . th dport . ip saddr @fw_sources drop
    th dport @ports meta l4proto != @protocols return
    ct state established,related accept
    iifname "cali*" return
    iifname != "br0" meta mark & 0x1a2b3c4d | 0x1a2b3c4d . meta mark & 0x00000005 | 0x00000005 . ip daddr . th dport @aff_endpoints counter packets 0 bytes 0 return
    update @affinity { ip saddr . ip daddr . meta l4proto . th dport timeout 1h : ip daddr . th dport }
  }
  chain nat_post {
    type nat hook postrouting priority srcnat; policy accept;
    ct status dnat goto post
  }
  chain input {
    type filter hook input priority 7; policy drop;
    comment "closed"
  }
}
)";

TEST(DataplaneTest, WhatNftWritesAndWhatWeWriteObserveTheSame) {
  const std::string v6 = absl::StrReplaceAll(
      kText,
      {{"    update @affinity { ip saddr . ip daddr . meta l4proto . th dport timeout 1h : ip daddr . th dport }\n",
        ""},  // nft 1.0.6 runs out of registers here, and aborts
       {"table ip ", "table ip6 "},
       {"ipv4_addr", "ipv6_addr"},
       {"ip daddr", "ip6 daddr"},
       {"ip saddr", "ip6 saddr"},
       {"dnat ip ", "dnat ip6 "},
       {"10.244.0.0/16", "fd00:1::/64"},
       {"10.245.0.3", "fd00:2::3"},
       {"10.245.0.9", "fd00:2::9"},
       {"240.0.0.0/4", "ff00::/8"},
       {"0.0.0.0/8", "::/8"},
       {"1.0.0.0/8", "100::/8"},
       {"192.0.2.", "2001:db8::"},
       {"203.0.113.", "2001:db8:1::"},
       {"198.51.100.0/24", "fd01::/48"},
       {"198.51.100.7", "fd01::7"},
       {"10.1.1.1", "fd00:3::1"}});
  Kernel by_text;
  by_text.Nft({"-f", "-"}, absl::StrCat(kText, v6));
  const Ruleset ruleset = by_text.Observed();
  ASSERT_EQ(ruleset.tables.size(), 2U);
  for (const auto& [family, table] : ruleset.tables) {
    EXPECT_EQ(table.sets.size(), 10U);
    EXPECT_EQ(table.sets.at("pod_cidrs").elements.size(), 3U);
    for (const auto& [name, chain] : table.chains) {
      for (const Rule& rule : chain.rules) {
        for (const Expr& expr : rule.exprs) {
          EXPECT_FALSE(std::holds_alternative<Foreign>(expr)) << name << ": " << std::get<Foreign>(expr).name;
        }
      }
    }
  }

  Kernel by_netlink;
  const absl::StatusOr<CommitReport> report = by_netlink.Commit(FromNothing(ruleset));

  ASSERT_TRUE(report.ok()) << report.status();
  ExpectSame(by_netlink.Observed(), ruleset);
}

TEST(DataplaneTest, NftReadsBackWhatItListsOfOurs) {
  Kernel written;
  Ruleset ruleset = SampleRuleset(/*affinity=*/false);
  ASSERT_TRUE(written.Commit(FromNothing(ruleset)).ok());
  const std::string listing = written.Listing();
  EXPECT_THAT(listing,
              HasSubstr("typeof ip daddr . meta l4proto . th dport . numgen random mod 2 : ip daddr . th dport"));
  EXPECT_THAT(listing,
              HasSubstr("typeof ip6 daddr . meta l4proto . th dport . numgen random mod 2 : ip6 daddr . th dport"));
  EXPECT_THAT(listing, HasSubstr("192.0.2.20 . tcp . 80 . 256 : 192.0.2.105 . 8080"));

  Kernel read;
  read.Nft({"-f", "-"}, listing);

  EXPECT_EQ(read.Listing(), listing);
  ExpectSame(read.Observed(), ruleset);
}

TEST(DataplaneTest, NftListsEvenWhatItCannotReadBack) {
  Kernel kernel;
  ASSERT_TRUE(kernel.Commit(FromNothing(SampleRuleset(/*affinity=*/true))).ok());
  EXPECT_THAT(kernel.Listing(),
              HasSubstr("update @affinity { ip6 saddr . meta mark & 0x1a2b3c4d | 0x1a2b3c4d . meta mark & 0x00000005 | "
                        "0x00000005 timeout 3h : ip6 daddr . th dport } return"));
}

TEST(DataplaneTest, NftAddsToSetsThatWeMade) {
  Kernel kernel;
  Ruleset ruleset = SampleRuleset(/*affinity=*/false);
  ASSERT_TRUE(kernel.Commit(FromNothing(ruleset)).ok());

  kernel.Nft({"-f", "-"},
             "add element ip pointsman pod_cidrs { 10.248.0.0/16 }\n"
             "add element ip pointsman endpoints { 192.0.2.30 . tcp . 80 . 3 : 203.0.113.1 . 81 }\n"
             "delete element ip pointsman service_cidrs { 192.0.2.0/25 }\n");

  Table& table = ruleset.tables[kV4];
  table.sets["pod_cidrs"].elements[Ip("10.248.0.0")] = {.end = Ip("10.248.255.255")};
  table.sets["endpoints"].elements[Cat({Ip("192.0.2.30"), Proto(kTcp), Port(80), Word(3)})] = {
      .end = {}, .data = Cat({Ip("203.0.113.1"), Port(81)}), .comment = ""};
  table.sets["service_cidrs"].elements.clear();
  ExpectSame(kernel.Observed(), ruleset);
}

// --- around it -------------------------------------------------------------------------------------------------------

TEST(DataplaneTest, ReadingWhileSomebodyWritesIsConsistent) {
  // Two elements that a writer always gives the same data.
  Kernel kernel;
  std::vector<Element> elements = {Endpoint(0), Endpoint(1)};
  elements[1].value = elements[0].value;
  ASSERT_TRUE(kernel
                  .Commit({AddTable{kV4, ""}, AddSet{kV4, "endpoints", EndpointsSpec()},
                           AddElements{kV4, "endpoints", EndpointsSpec(), elements}})
                  .ok());
  std::atomic<bool> stop = false;
  std::thread writer = kernel.ns().Start([&] {
    const auto dataplane = OpenNftDataplane();
    ASSERT_TRUE(dataplane.ok());
    for (uint16_t i = 1; !stop; ++i) {
      const DeleteElements remove{kV4, "endpoints", EndpointsSpec(), elements};
      for (Element& element : elements) element.value.data = Cat({Ip("203.0.113.1"), Port(i)});
      const auto report =
          (*dataplane)->Commit({remove, AddElements{kV4, "endpoints", EndpointsSpec(), elements}}, kUnknownGeneration);
      ASSERT_TRUE(report.ok()) << report.status();
      absl::SleepFor(absl::Microseconds(200));
    }
  });
  std::set<Generation> generations;
  for (int i = 0; i < 1000 && generations.size() < 20; ++i) {
    const absl::StatusOr<Observation> seen = kernel.Observe();
    if (!seen.ok()) {
      EXPECT_TRUE(absl::IsDataLoss(seen.status())) << seen.status();
      continue;
    }
    const auto& read = seen->ruleset.tables.at(kV4).sets.at("endpoints").elements;
    ASSERT_EQ(read.size(), 2U);
    EXPECT_EQ(read.begin()->second, std::next(read.begin())->second);
    generations.insert(seen->generation);
  }
  stop = true;
  writer.join();
  EXPECT_GT(generations.size(), 1U) << "it was never read while it changed";
}

TEST(DataplaneTest, TheWrongNamespaceIsNotRead) {
  NetNs first("first");
  NetNs second("second");
  auto dataplane = first.Call([] { return OpenNftDataplane(); });
  ASSERT_TRUE(dataplane.ok()) << dataplane.status();

  const absl::Status status = second.Call([&] { return (*dataplane)->Observe().status(); });

  EXPECT_THAT(std::string(status.message()), HasSubstr("not in the network namespace"));
}

TEST(NetAdminTest, RootHasIt) {
  NetNs ns("admin");
  EXPECT_EQ(ns.Call([] { return CheckNetAdmin(); }), absl::OkStatus());
}

TEST(NetAdminTest, ItsLackIsOneSentence) {
  NetNs ns("admin");
  absl::Status checked;
  absl::Status opened;
  std::thread powerless = ns.Start([&] {
    // Capabilities are a thread's own: capset(2), version 3, none of the 64.
    struct {
      uint32_t version = 0x20080522;
      int pid = 0;
    } header;
    uint32_t none[2][3] = {};
    if (syscall(SYS_capset, &header, none) != 0) return;
    checked = CheckNetAdmin();
    opened = OpenNftDataplane().status();
  });
  powerless.join();
  EXPECT_EQ(checked, absl::PermissionDeniedError(
                         "programming nf_tables needs CAP_NET_ADMIN: run as root, or add the capability (in a pod: "
                         "securityContext.capabilities.add: [NET_ADMIN])"));
  EXPECT_EQ(opened, checked);
}

}  // namespace
}  // namespace pointsman::nft
