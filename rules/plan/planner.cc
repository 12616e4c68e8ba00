// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

#include "pointsman/plan.h"

namespace pointsman {
namespace {

FrontendTable::Claims ClaimsOf(const ServicePlan& plan) {
  FrontendTable::Claims claims;
  for (const PortPlan& port : plan.ports) {
    for (const Frontend& frontend : port.frontends) claims[frontend.match] = frontend.node_port;
  }
  return claims;
}

// Takes out the frontends that another Service owns.
void KeepOwned(ServicePlan& plan, const FrontendTable& table, Diagnostics& diagnostics) {
  for (PortPlan& port : plan.ports) {
    std::erase_if(port.frontends, [&](const Frontend& frontend) {
      const NamespacedName* owner = table.Owner(frontend.match);
      if (owner == nullptr || *owner == plan.service) return false;
      diagnostics.push_back(
          {.severity = Severity::kWarning,
           .where = "",
           .object = FormatKey({Kind::kService, plan.service}),
           .field = absl::StrCat("port \"", port.name.port, "\""),
           .problem = absl::StrCat(FormatMatch(frontend.match), " belongs to Service ", FormatName(*owner),
                                   frontend.node_port ? ", which has exactly this address, is older or sorts first"
                                                      : ", which is older or sorts first"),
           .effect = "this address is left to it",
           .hint = "give one of them another address or port"});
      return true;
    });
  }
}

}  // namespace

PlanPatch Planner::Plan(const Store& store, const Touched& touched, const NodeInfo& node, const Policy& policy) {
  absl::btree_set<NamespacedName> todo = touched.services;
  if (touched.all) {
    todo.merge(store.ServiceNames());
    todo.merge(frontends_.Services());
  }

  // First every claim, then the verdicts: who owns a frontend must not depend on the order within one patch.
  PlanPatch patch;
  absl::btree_map<NamespacedName, ServicePlan> plans;
  while (!todo.empty()) {
    absl::btree_set<NamespacedName> handed_over;
    for (const NamespacedName& name : todo) {
      Diagnostics& diagnostics = patch.diagnostics[name];
      diagnostics.clear();
      ServicePlan plan{.service = name};
      if (const std::optional<Service> service = store.FindService(name)) {
        const std::vector<EndpointSlice> slices = store.SlicesOf(name);
        std::vector<const EndpointSlice*> of_service;
        for (const EndpointSlice& slice : slices) of_service.push_back(&slice);
        BuiltService built = BuildService(*service, of_service);
        diagnostics = std::move(built.diagnostics);
        plan = PlanService(name, built.ports, node, policy, diagnostics);
      }
      handed_over.merge(frontends_.Claim(name, plan.creation, ClaimsOf(plan)));
      plans[name] = std::move(plan);
    }
    todo.clear();
    for (const NamespacedName& name : handed_over) {
      if (!plans.contains(name)) todo.insert(name);
    }
  }
  for (auto& [name, plan] : plans) {
    KeepOwned(plan, frontends_, patch.diagnostics[name]);
    patch.services[name] = plan.ports.empty() ? nullptr : std::make_shared<const ServicePlan>(std::move(plan));
  }
  return patch;
}

}  // namespace pointsman
