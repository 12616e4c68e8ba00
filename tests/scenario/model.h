// SPDX-License-Identifier: Apache-2.0
//
// What the rows say of the plan and of a backend's program, without a kernel.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "pointsman/packet.h"
#include "pointsman/plan.h"
#include "tests/scenario/report.h"
#include "tests/scenario/scenario.h"

namespace pointsman::scenario {

// A program that can be asked.
using Simulator = std::function<absl::StatusOr<Outcome>(const Packet&)>;

// A cluster as the agent would understand it on the node of the bed.
struct Model {
  Cluster cluster;
  std::vector<std::shared_ptr<const ServicePlan>> plans;
  Surroundings around;
  Simulator simulate;
};

// The backends, by the name that --proxy-mode would have.
std::vector<std::string> Backends();

// Errors: settings that do not parse; manifests that are not sound.
absl::StatusOr<Model> BuildModel(const Case& scenario, const std::string& manifests, const std::string& backend);

// Asks plan and program.
void AskModel(const Case& scenario, const Model& model, const Question& question, Report& report);

}  // namespace pointsman::scenario
