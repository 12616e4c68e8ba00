// SPDX-License-Identifier: Apache-2.0
#include "tests/scenario/packets.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "agent/source/yaml_codec.h"
#include "pointsman/status.h"

namespace pointsman::scenario {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(3);
constexpr absl::Duration kSilence = absl::Milliseconds(250);  // so long without an answer is none
constexpr absl::Duration kAtOnce = absl::Milliseconds(500);   // a refusal comes before
constexpr absl::Duration kSoon = absl::Seconds(2);            // until stale flows are gone
constexpr int kTriesAtFirst = 20;                             // enough to meet an endpoint that should not be there
constexpr int kTriesPerEndpoint = 40;  // until each of k endpoints was met; to miss one of 10: 10 * 0.9^400

std::string ServerName(const std::string& host, uint16_t port) { return absl::StrCat(host, ":", port); }

bool LostOnes(const Question& question) {
  return std::any_of(question.endpoints.begin(), question.endpoints.end(),
                     [](const ExpectedEndpoint& e) { return e.lost; });
}

bool Pooled(const Question& question) {
  return question.expect.ask == Ask::kEvery && question.expect.verdict != Verdict::kHealth;
}

// What the agent is told besides the settings of the case.
std::vector<std::string> BackendFlags(const std::string& backend) {
  // There is one backend, and no flag to choose it by.
  PM_CHECK(backend == "nftables");
  return {};
}

}  // namespace

// A row whose questions are under way.
struct PacketRun::Pending {
  Question question;
  std::set<std::string> missing;  // servers not met yet; of those whose answers are lost one for all: "~"
  int asked = 0;
  bool done = false;
  std::string wrong;
};

PacketRun::PacketRun(const Case& scenario, const std::string& backend, Report& report)
    : scenario_(scenario),
      backend_(backend),
      report_(report),
      sctp_(HaveSctp()),
      bed_(scenario.bed),
      model_(BuildModel(scenario, scenario.clusters.at("cluster.yaml"), backend)) {}

absl::Status PacketRun::Run() {
  PM_RETURN_IF_ERROR(model_.status());
  StartServers();
  support::WriteFile(dir_.File("cluster.yaml"), scenario_.clusters.at("cluster.yaml"));
  PM_RETURN_IF_ERROR(StartAgent());
  for (const Step& step : scenario_.steps) PM_RETURN_IF_ERROR(Do(step));
  AskPooled();
  return absl::OkStatus();
}

absl::Status PacketRun::StartAgent() {
  std::vector<std::string> args = {"--manifests", dir_.path(), "--verbose"};
  args.insert(args.end(), scenario_.flags.begin(), scenario_.flags.end());
  for (const std::string& flag : BackendFlags(backend_)) args.push_back(flag);
  agent_ = std::make_unique<support::AgentProcess>(bed_.node(), args);
  if (agent_->WaitReady()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the agent does not get ready: ", agent_->log()));
}

absl::Status PacketRun::Use(const std::string& state) {
  const std::string& manifests = scenario_.clusters.at(state);
  model_ = BuildModel(scenario_, manifests, backend_);
  PM_RETURN_IF_ERROR(model_.status());
  const size_t mark = agent_ == nullptr ? 0 : agent_->Mark();
  support::ReplaceFile(dir_.File("cluster.yaml"), manifests);
  if (agent_ == nullptr || agent_->WaitForEvent("reconciled", absl::Seconds(5), mark)) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the agent does not take ", state, " over: ", agent_->log()));
}

// Somebody answers at every endpoint of every state.
void PacketRun::StartServers() {
  for (const auto& [name, manifests] : scenario_.clusters) {
    for (const LocatedObject& located : ParseManifests(name, manifests).objects) {
      const auto* slice = std::get_if<EndpointSlice>(located.object.get());
      if (slice == nullptr) continue;
      for (const SliceEndpoint& endpoint : slice->endpoints) {
        const auto addr = endpoint.addresses.empty() ? std::nullopt : IpAddr::Parse(endpoint.addresses.front());
        const auto host = std::find_if(scenario_.bed.hosts.begin(), scenario_.bed.hosts.end(),
                                       [&](const Host& h) { return addr && h.Has(*addr); });
        if (host == scenario_.bed.hosts.end()) continue;
        for (const SlicePort& port : slice->ports) {
          if (!port.port || (port.protocol == Protocol::kSctp && !sctp_)) continue;
          const Wire wire = port.protocol == Protocol::kTcp   ? Wire::kTcp
                            : port.protocol == Protocol::kUdp ? Wire::kUdp
                                                              : Wire::kSctp;
          bed_.servers().Listen(bed_.ns(*host), ServerName(host->name, *port.port), wire, {*addr, *port.port});
        }
      }
    }
  }
}

bool PacketRun::CanRun(const Question& question) {
  if (question.expect.where == Where::kPlanOnly) {
    report_.NotRun(scenario_.name, question, Column::kPackets, question.expect.why);
    return false;
  }
  if (question.wire == Wire::kSctp && !sctp_) {
    report_.NotRun(scenario_.name, question, Column::kPackets, "this kernel has no SCTP: socket() says so");
    return false;
  }
  return true;
}

void PacketRun::ListenWhereAsked(const std::vector<Question>& questions) {
  std::set<IpAddr> outside;
  const auto whose = [&](const Question& q) {
    const bool host = std::any_of(scenario_.bed.hosts.begin(), scenario_.bed.hosts.end(),
                                  [&](const Host& h) { return h.Has(q.to.addr); });
    return scenario_.bed.IsNodeAddress(q.to.addr) ? Verdict::kHost : host ? Verdict::kDeliver : Verdict::kRouted;
  };
  for (const Question& q : questions) {
    if (whose(q) == Verdict::kRouted) outside.insert(q.to.addr);
  }
  bed_.GiveToWorld(outside);
  for (const Question& q : questions) {
    if (q.wire == Wire::kIcmp || q.expect.verdict == Verdict::kHealth) continue;
    if (whose(q) == Verdict::kHost) bed_.servers().Listen(bed_.node(), "host", q.wire, q.to);
    if (whose(q) == Verdict::kRouted) bed_.servers().Listen(bed_.ns(*scenario_.bed.world()), "world", q.wire, q.to);
  }
}

void PacketRun::Judge(const Question& question, const std::string& wrong) {
  if (wrong.empty()) return report_.Passed(scenario_.name, question, Column::kPackets);
  report_.Failed(scenario_.name, question, Column::kPackets, wrong);
}

Probe PacketRun::ProbeFor(const Question& question) {
  const bool silent = question.expect.verdict == Verdict::kDrop || LostOnes(question) ||
                      (question.expect.ask == Ask::kFresh && question.wire == Wire::kUdp);
  return {.from = &bed_.ns(*question.from),
          .source = question.bound_to,
          .wire = question.wire,
          .to = question.to,
          .patience = silent                                        ? kSilence
                      : question.expect.verdict == Verdict::kReject ? 2 * kAtOnce
                                                                    : kPatience};
}

std::string PacketRun::Wrong(const Question& question, const Answer& answer) {
  using Kind = Answer::Kind;
  const auto otherwise = [&](absl::string_view wanted) { return absl::StrCat(answer.Text(), ", not ", wanted); };
  // What the output hook throws away, its sender is told; a TCP socket goes on trying.
  const bool told = question.from_node() && answer.kind == Kind::kForbidden;
  const auto untouched = [&](const char* who) {
    if (answer.kind != Kind::kAnswered) return otherwise(who);
    if (answer.name != who && answer.name != "echo") return otherwise(who);
    // What the node says to itself comes from the address it goes to.
    const bool itself = question.from_node() && scenario_.bed.IsNodeAddress(question.to.addr);
    const std::string source = FormatIp(itself ? question.to.addr : question.source());
    return answer.name == "echo" || answer.seen_as == source ? "" : otherwise(absl::StrCat(who, " who sees ", source));
  };
  switch (question.expect.verdict) {
    case Verdict::kReject:
      if (!told && answer.kind != Kind::kRefused) return otherwise("refused");
      return answer.took > kAtOnce ? otherwise("refused at once") : "";
    case Verdict::kDrop:
      return told || answer.kind == Kind::kSilence ? "" : otherwise("silence");
    case Verdict::kRouted:
      return untouched("world");
    case Verdict::kHost:
      return untouched("host");
    case Verdict::kHealth:
      return "a health check is no question to a server";
    case Verdict::kDeliver:
      break;
  }
  if (answer.kind == Kind::kSilence && LostOnes(question)) return "";
  if (answer.kind != Kind::kAnswered) return otherwise("an answer");
  for (const ExpectedEndpoint& endpoint : question.endpoints) {
    if (answer.name != ServerName(endpoint.host, endpoint.at.port)) continue;
    if (endpoint.lost) return otherwise("lost on the way back");
    const std::string seen = FormatIp(SeenAs(scenario_.bed, question, endpoint));
    return answer.seen_as == seen ? "" : otherwise(absl::StrCat("who sees ", seen));
  }
  return otherwise("one of the set");
}

// All rows of the pool at once, in waves, until each has met its whole set.
void PacketRun::AskPooled() {
  const std::vector<Question> questions = std::move(pool_);
  pool_.clear();
  ListenWhereAsked(questions);
  std::vector<Pending> rows;
  for (const Question& question : questions) {
    Pending row{.question = question};
    for (const ExpectedEndpoint& e : question.endpoints) {
      row.missing.insert(e.lost ? "~" : ServerName(e.host, e.at.port));
    }
    rows.push_back(std::move(row));
  }
  while (true) {
    std::vector<Probe> probes;
    std::vector<Pending*> asker;
    for (Pending& row : rows) {
      if (row.done) continue;
      const int k = static_cast<int>(row.question.endpoints.size());
      const int times = k == 0 ? row.question.expect.times : std::max(kTriesAtFirst, 4 * k);
      for (int i = 0; i < times; ++i) {
        probes.push_back(ProbeFor(row.question));
        asker.push_back(&row);
      }
      row.asked += times;
    }
    if (probes.empty()) break;
    const std::vector<Answer> answers = AskAll(probes);
    for (size_t i = 0; i < probes.size(); ++i) {
      Pending& row = *asker[i];
      const std::string wrong = Wrong(row.question, answers[i]);
      if (row.wrong.empty()) row.wrong = wrong;
      row.missing.erase(answers[i].kind == Answer::Kind::kSilence ? "~" : answers[i].name);
    }
    for (Pending& row : rows) {
      const int enough = kTriesPerEndpoint * static_cast<int>(row.question.endpoints.size());
      if (!row.missing.empty() && row.asked >= enough && row.wrong.empty()) {
        row.wrong = absl::StrCat("never ", *row.missing.begin(), " in ", row.asked, " tries");
      }
      row.done = row.missing.empty() || !row.wrong.empty();
    }
  }
  for (const Pending& row : rows) Judge(row.question, row.wrong);
}

// Who is remembered by an endpoint that is gone may lose his first packet. TCP sends it again; a datagram's sender
// must.
std::vector<Answer> PacketRun::AskAgain(const std::vector<Probe>& probes, std::vector<Answer> answers) {
  std::vector<Probe> again;
  std::vector<size_t> index;
  for (size_t i = 0; i < probes.size(); ++i) {
    if (probes[i].wire != Wire::kUdp || answers[i].kind != Answer::Kind::kSilence) continue;
    again.push_back(probes[i]);
    index.push_back(i);
  }
  const std::vector<Answer> second = AskAll(again);
  for (size_t i = 0; i < index.size(); ++i) answers[index[i]] = second[i];
  return answers;
}

// Rows about which client gets what: one question from each of the client's addresses, or two.
void PacketRun::AskClients(const Question& question) {
  ListenWhereAsked({question});
  const Ask ask = question.expect.ask;
  std::vector<Question> clients;
  for (const IpAddr& addr :
       question.bound_to ? std::vector<IpAddr>{*question.bound_to} : question.from->addresses.at(question.family)) {
    clients.push_back(question);
    // The node chooses its source by itself.
    if (question.from->addresses.at(question.family).size() > 1) clients.back().bound_to = addr;
  }
  std::set<std::string> met;
  bool changed = false;
  // So often that nobody stays with an endpoint by luck.
  const int rounds = ask != Ask::kSticky && ask != Ask::kFresh ? 1 : clients.size() == 1 ? kTriesAtFirst : 4;
  for (int round = 0; round < rounds; ++round) {
    std::vector<Probe> probes;
    for (const Question& client : clients) probes.push_back(ProbeFor(client));
    std::vector<Answer> answers = AskAll(probes);
    if (ask == Ask::kFresh && round == 0) answers = AskAgain(probes, std::move(answers));
    for (size_t i = 0; i < clients.size(); ++i) {
      if (const std::string wrong = Wrong(clients[i], answers[i]); !wrong.empty()) return Judge(question, wrong);
      const std::string& name = answers[i].name;
      met.insert(name);
      std::string& before = sticks_to_[{clients[i].source(), question.service, question.wire}];
      const bool bound = ask == Ask::kSticky || (ask == Ask::kFresh && round > 0);
      if (bound && !before.empty() && before != name) {
        return Judge(question, absl::StrCat(FormatIp(clients[i].source()), " gets ", name, " after ", before));
      }
      changed = changed || before != name;
      before = name;
    }
  }
  if (ask == Ask::kChanged && !changed) return Judge(question, "everybody has the endpoint he had");
  if (ask == Ask::kSpread && met.size() != question.endpoints.size()) {
    return Judge(question, absl::StrCat("together they meet ", met.size(), " of ", question.endpoints.size()));
  }
  Judge(question, "");
}

void PacketRun::AskHealth(const Question& question) {
  const int status = HttpStatus(bed_.ns(*question.from), question.to, kPatience);
  const int wanted = question.expect.count > 0 ? 200 : 503;
  Judge(question, status == wanted ? "" : absl::StrCat("HTTP status ", status, ", not ", wanted));
}

absl::Status PacketRun::Do(const Step& step) {
  if (const auto* row = std::get_if<Row>(&step.what)) {
    PM_ASSIGN_OR_RETURN(const std::vector<Question> questions, Expand(scenario_, model_->cluster, step.line, *row));
    for (const Question& question : questions) {
      AskModel(scenario_, *model_, question, report_);
      if (!CanRun(question)) continue;
      if (Pooled(question)) {
        pool_.push_back(question);
      } else {
        AskPooled();
        if (question.expect.verdict == Verdict::kHealth) {
          AskHealth(question);
        } else {
          AskClients(question);
        }
      }
    }
    return absl::OkStatus();
  }
  if (const auto* absent = std::get_if<NotRun>(&step.what)) {
    report_.NotRun(scenario_.name, absent->id, absent->why);
    return absl::OkStatus();
  }

  AskPooled();
  if (const auto* apply = std::get_if<Apply>(&step.what)) return Use(apply->file);
  if (const auto* wait = std::get_if<Wait>(&step.what)) absl::SleepFor(wait->time);
  if (std::holds_alternative<Stop>(step.what) || std::holds_alternative<Restart>(step.what)) {
    if (agent_ == nullptr) return absl::FailedPreconditionError("it is stopped already");
    const support::ProcessResult ended = agent_->Terminate();
    if (ended.exit_code != 0) return absl::UnknownError(absl::StrCat("the agent ended with ", ended.exit_code));
    agent_.reset();
  }
  if (std::holds_alternative<Start>(step.what) || std::holds_alternative<Restart>(step.what)) return StartAgent();
  if (std::holds_alternative<Firewall>(step.what)) {
    const support::ProcessResult done =
        support::RunProcess(bed_.node(), {"nft",
                                          "add table inet other; add chain inet other forward { type filter hook "
                                          "forward priority 0; policy drop; }"});
    if (done.exit_code != 0) return absl::UnknownError(done.err);
  }
  if (const auto* flow = std::get_if<Flow>(&step.what)) {
    PM_ASSIGN_OR_RETURN(std::vector<Question> questions, Expand(scenario_, model_->cluster, step.line, *flow));
    ListenWhereAsked(questions);
    for (Question& question : questions) {
      if (question.wire == Wire::kSctp && !sctp_) continue;
      auto persistent = std::make_unique<Persistent>(ProbeFor(question));
      flows_[flow->name].emplace_back(std::move(question), std::move(persistent));
    }
  }
  if (const auto* ask = std::get_if<AskFlow>(&step.what)) {
    for (auto& [question, persistent] : flows_.at(ask->flow)) {
      question.id = ask->id;
      question.line = step.line;
      PM_RETURN_IF_ERROR(ExpectOf(scenario_, model_->cluster, step.line, ask->expect, question));
      for (const Column column : {Column::kResolve, Column::kSimulate}) {
        report_.NotRun(scenario_.name, question, column, "flows are the kernel's");
      }
      // Flows are removed behind the commit: what is still let through in between is no fault.
      const bool hurry = ask->expect.soon || ask->expect.verdict == Verdict::kDrop;
      const absl::Time deadline = absl::Now() + (ask->expect.soon ? kSoon : absl::ZeroDuration());
      std::string wrong = Wrong(question, persistent->Ask(hurry ? kSilence : kPatience));
      while (!wrong.empty() && absl::Now() < deadline) {
        absl::SleepFor(absl::Milliseconds(10));
        wrong = Wrong(question, persistent->Ask(kSilence));
      }
      Judge(question, wrong);
    }
  }
  return absl::OkStatus();
}

}  // namespace pointsman::scenario
