// SPDX-License-Identifier: Apache-2.0
//
// What one changed endpoint costs in memory that is asked for, from the object to the changes: the same in a small
// cluster and in a large one. A program of its own, for it counts.
#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"

#include "gtest/gtest.h"

#include "pointsman/nft_program.h"
#include "tests/support/builders.h"
#include "tests/unit/rules/allocations.h"

namespace pointsman {
namespace {

using support::Allocated;
using support::AllocatedSoFar;

// A list of five endpoints; `last` is the one that changes.
ObjectChange SliceOf(int service, int last) {
  support::Slice slice(absl::StrCat("ns/s", 10000 + service, "-x"), absl::StrCat("s", 10000 + service));
  slice.Port(8080, "http");
  for (int i = 1; i < 5; ++i) slice.Ready(absl::StrCat("10.", service / 250, ".", service % 250, ".", i), "n2");
  slice.Ready(absl::StrCat("203.0.113.", last), "n2");
  const EndpointSlice built = slice.Build();
  return {{Kind::kEndpointSlice, built.meta.name}, PackedObject(built)};
}

// The most that any of a few dozen changes asks for in a cluster of so many Services.
Allocated CostOfAnEndpoint(int services) {
  Store store;
  ObjectBatch cluster;
  for (int i = 0; i < services; ++i) {
    const Service service = support::Svc(absl::StrCat("ns/s", 10000 + i))
                                .ClusterIp(absl::StrCat("192.0.", i / 250, ".", i % 250 + 1))
                                .Tcp(80, "http")
                                .Build();
    cluster.changes.push_back({{Kind::kService, service.meta.name}, PackedObject(service)});
    cluster.changes.push_back(SliceOf(i, 1));
  }
  const Touched all = store.Apply(cluster);
  Planner planner;
  const NodeInfo node = {.name = "n1"};
  nft::Programmer programmer;
  programmer.Observe({});
  programmer.Stage(planner.Plan(store, all, node, {}), {}, /*full=*/true);
  programmer.Accept();

  Allocated most;
  for (int i = 2; i < 42; ++i) {
    const ObjectBatch batch = {.changes = {SliceOf(7, i)}};
    const Allocated before = AllocatedSoFar();
    const Touched touched = store.Apply(batch);
    const PlanPatch patch = planner.Plan(store, touched, node, {});
    const nft::Changes changes = programmer.Stage(patch, {}, /*full=*/false);
    programmer.Accept();
    const Allocated after = AllocatedSoFar();
    EXPECT_EQ(changes.commit.size(), 2U) << "one slot: out with the old, in with the new";
    if (i == 2) continue;  // pays for what is made once
    most.calls = std::max(most.calls, after.calls - before.calls);
    most.bytes = std::max(most.bytes, after.bytes - before.bytes);
  }
  return most;
}

TEST(ChangeCost, OneEndpointAsksForNoMoreMemoryInALargeClusterThanInASmallOne) {
  const Allocated small = CostOfAnEndpoint(100);
  const Allocated large = CostOfAnEndpoint(5000);

  ASSERT_GT(small.calls, 10);
  EXPECT_LE(large.calls, small.calls + 3);
  EXPECT_LE(large.bytes, small.bytes + 256);
}

}  // namespace
}  // namespace pointsman
