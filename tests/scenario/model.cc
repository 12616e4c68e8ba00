// SPDX-License-Identifier: Apache-2.0
#include "tests/scenario/model.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "agent/config.h"
#include "agent/source/allocate.h"
#include "agent/source/yaml_codec.h"
#include "pointsman/nft_program.h"
#include "pointsman/nft_simulate.h"
#include "pointsman/status.h"
#include "tests/support/settings.h"

namespace pointsman::scenario {
namespace {

using Plans = std::vector<std::shared_ptr<const ServicePlan>>;
using MakeSimulator = std::function<Simulator(const Plans&, const nft::BaseSettings&, const std::vector<IpAddr>&)>;

Simulator Nftables(const Plans& plans, const nft::BaseSettings& settings, const std::vector<IpAddr>& node_addresses) {
  return [program = nft::CompileAll(plans, settings), node_addresses](const Packet& packet) -> absl::StatusOr<Outcome> {
    PM_ASSIGN_OR_RETURN(const Outcome outcome, nft::Simulate(program, node_addresses, packet));
    // `pointsman trace` can explain it, too.
    PM_ASSIGN_OR_RETURN(const nft::Trace trace, nft::TracePacket(program, node_addresses, packet));
    if (trace.outcome != outcome) return absl::InternalError("the trace comes to another end");
    if (trace.steps.empty() && outcome.verdict != Outcome::Verdict::kPass) {
      return absl::InternalError("the trace names no rule");
    }
    return outcome;
  };
}

const std::map<std::string, MakeSimulator>& Table() {
  static const auto& table = *new std::map<std::string, MakeSimulator>{{"nftables", Nftables}};
  return table;
}

// As FormatOutcome prints it, but for what the row does not say: a `*` where the endpoint is the node itself, which
// sees one of its own addresses either way.
std::string Text(const Outcome& outcome, const Question& question) {
  if (outcome.verdict != Outcome::Verdict::kDeliver) return FormatOutcome(outcome);
  std::vector<std::string> parts = {"deliver"};
  for (const Outcome::Delivery& delivery : outcome.deliveries) {
    const bool open = std::any_of(question.endpoints.begin(), question.endpoints.end(), [&](const ExpectedEndpoint& e) {
      return e.at == delivery.endpoint && e.source == Source::kPrimary;
    });
    parts.push_back(absl::StrCat(FormatSocketAddr(delivery.endpoint), open ? "*" : delivery.snat ? "+snat" : ""));
  }
  return absl::StrJoin(parts, " ");
}

Outcome Wanted(const Question& question) {
  switch (question.expect.verdict) {
    case Verdict::kReject:
      return {Outcome::Verdict::kReject, {}};
    case Verdict::kDrop:
      return {Outcome::Verdict::kDrop, {}};
    case Verdict::kRouted:
    case Verdict::kHost:
    case Verdict::kHealth:
      return {Outcome::Verdict::kPass, {}};
    case Verdict::kDeliver:
      break;
  }
  Outcome outcome{Outcome::Verdict::kDeliver, {}};
  for (const ExpectedEndpoint& endpoint : question.endpoints) {
    outcome.deliveries.insert({endpoint.at, endpoint.source == Source::kMasq});
  }
  return outcome;
}

void AskHealth(const Case& scenario, const Model& model, const Question& question, Report& report) {
  int local = -1;
  for (const auto& plan : model.plans) {
    if (plan->service.name != question.service || !plan->health) continue;
    local = (question.family == Family::kIpv4 ? plan->health->local_ipv4 : plan->health->local_ipv6).value_or(-1);
  }
  if (local == question.expect.count) return report.Passed(scenario.name, question, Column::kResolve);
  report.Failed(scenario.name, question, Column::kResolve,
                absl::StrCat(local, " local endpoints, not ", question.expect.count));
}

}  // namespace

std::vector<std::string> Backends() {
  std::vector<std::string> names;
  for (const auto& [name, make] : Table()) names.push_back(name);
  return names;
}

absl::StatusOr<Model> BuildModel(const Case& scenario, const std::string& manifests, const std::string& backend) {
  PM_ASSIGN_OR_RETURN(const Config config, support::ConfigOf(scenario.flags));
  ParsedManifests parsed = ParseManifests("cluster.yaml", manifests);
  if (!parsed.sound) {
    std::string why;
    for (const Diagnostic& d : parsed.diagnostics) absl::StrAppend(&why, FormatDiagnostic(d), "\n");
    return absl::InvalidArgumentError(absl::StrCat(scenario.path, ": ", why));
  }
  const AllocatedObjects allocated = AllocateAddresses(std::move(parsed.objects), config.allocate_from);
  Model model;
  ObjectBatch batch;
  for (const LocatedObject& object : allocated.objects) {
    batch.changes.push_back({KeyOf(*object.object), PackedObject(*object.object)});
    model.cluster.objects.push_back(object.object);
  }
  Store store;
  const Touched touched = store.Apply(batch);
  const std::vector<IpAddr> addresses = scenario.bed.NodeAddresses();
  const NodeInfo node = MakeNodeInfo(config, store.FindNode(config.node_name), addresses);
  Diagnostics diagnostics;
  const nft::BaseSettings settings = MakeBaseSettings(config, store, diagnostics);
  Planner planner;
  for (const auto& [name, plan] : planner.Plan(store, touched, node, settings.policy).services) {
    if (plan != nullptr) model.plans.push_back(plan);
  }
  model.around = {
      .policy = settings.policy, .service_cidrs = settings.service_cidrs, .node_addresses = node.local_addresses};
  model.simulate = Table().at(backend)(model.plans, settings, node.local_addresses);
  return model;
}

void AskModel(const Case& scenario, const Model& model, const Question& question, Report& report) {
  const auto not_run = [&](const std::string& why) {
    report.NotRun(scenario.name, question, Column::kResolve, why);
    report.NotRun(scenario.name, question, Column::kSimulate, why);
  };
  if (question.expect.where == Where::kPacketsOnly) return not_run(question.expect.why);
  if (question.wire == Wire::kIcmp) return not_run("a Packet has a port; ICMP has none");
  if (question.expect.verdict == Verdict::kHealth) {
    AskHealth(scenario, model, question, report);
    return report.NotRun(scenario.name, question, Column::kSimulate, "the agent answers, not the program");
  }
  const Packet packet = {.source = question.source(),
                         .dest = question.to.addr,
                         .protocol = ProtocolOf(question.wire),
                         .port = question.to.port,
                         .from_node = question.from_node(),
                         .in_interface = scenario.bed.InterfaceOf(*question.from)};
  const std::string wanted = Text(Wanted(question), question);
  const auto compare = [&](const absl::StatusOr<Outcome>& outcome, Column column) {
    const std::string got = outcome.ok() ? Text(*outcome, question) : outcome.status().ToString();
    if (got == wanted) return report.Passed(scenario.name, question, column);
    report.Failed(scenario.name, question, column, absl::StrCat(got, ", not ", wanted));
  };
  compare(Resolve(model.plans, model.around, packet), Column::kResolve);
  compare(model.simulate(packet), Column::kSimulate);
}

}  // namespace pointsman::scenario
