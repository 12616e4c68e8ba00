// SPDX-License-Identifier: Apache-2.0
//
// What happens in a cluster of bench/cluster.h, one change at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/cluster.h"
#include "pointsman/store.h"

namespace pointsman::bench {

// Where every pod finds the API server and DNS.
inline constexpr uint8_t kApiVip[] = {10, 96, 0, 1};
inline constexpr uint8_t kDnsVip[] = {10, 96, 0, 10};

// MakeCluster, with default/kubernetes and kube-system/kube-dns at its end. Service number i is change 2 * i, its slice
// the one after.
std::vector<ObjectChange> MakeWholeCluster(int services, int endpoints);

// The slice of Service `number` as MakeSlice has it, with `count` endpoints instead: the last ones go, or others come.
ObjectChange SliceOfCount(int number, int endpoints, int count);
// The same with its endpoint number `unready` not ready.
ObjectChange SliceWithUnready(int number, int endpoints, int unready);

ObjectChange Deletion(const ObjectChange& change);

}  // namespace pointsman::bench
