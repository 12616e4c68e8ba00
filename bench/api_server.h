// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "agent/kube/api.pb.h"
#include "pointsman/api.h"
#include "tests/support/fake_api/certificates.h"
#include "tests/support/fake_api/fake_api.h"
#include "tests/support/netns.h"

namespace pointsman::bench {

// As the API server says it.
kube::Service MessageOf(const Service& service);
kube::EndpointSlice MessageOf(const EndpointSlice& slice);

// The tests' API server, full of the cluster of bench/cluster.h, with a Node "node-0", in a network namespace whose
// kernel is empty.
class ApiServer {
 public:
  ApiServer(int services, int endpoints, bool watch_list = true);

  support::NetNs& ns() { return ns_; }
  support::FakeApi& api() { return *api_; }
  std::string url() const { return api_->url(); }
  std::string ca() const { return ca_.pem(); }

 private:
  support::CertificateAuthority ca_{"bench"};
  support::NetNs ns_{"bench"};
  std::unique_ptr<support::FakeApi> api_;
};

}  // namespace pointsman::bench
