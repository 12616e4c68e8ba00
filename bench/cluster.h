// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "pointsman/nft_program.h"
#include "pointsman/plan.h"
#include "pointsman/store.h"

namespace pointsman::bench {

// A cluster of `services` Services with `endpoints` ready endpoints each, one ClusterIP and one TCP port, always the
// same.
ObjectBatch MakeCluster(int services, int endpoints);

// The slice of Service `number`, with the last byte of its first endpoint's address changed by `variant`.
ObjectChange MakeSlice(int number, int endpoints, int variant);

// A node that knows where pods are.
NodeInfo BenchNode();
nft::BaseSettings BenchSettings();

std::vector<std::shared_ptr<const ServicePlan>> PlansOf(const PlanPatch& patch);

}  // namespace pointsman::bench
