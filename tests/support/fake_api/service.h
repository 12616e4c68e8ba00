// SPDX-License-Identifier: Apache-2.0
//
// What a LIST or a WATCH means: its parameters, their mistakes, and the answer.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

#include "tests/support/fake_api/encode.h"
#include "tests/support/fake_api/store.h"
#include "tests/support/fake_api/watch.h"

namespace pointsman::support {

struct ApiRequest {
  const ResourceInfo* resource = nullptr;
  bool watch = false;
  Encoding encoding = Encoding::kJson;
  std::map<std::string, std::string> query;

  std::string Parameter(const std::string& name) const;
};

struct ApiAnswer {
  int code = 200;
  std::string type;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::unique_ptr<WatchBody> watch;  // in place of `body`
};

struct ServiceOptions {
  bool watch_list = true;
  bool end_bookmark = true;
  int page_limit = 0;
};

// The first encoding of an Accept header that is known; nullopt: none is.
std::optional<Encoding> Negotiate(absl::string_view accept, bool protobuf);
const char* ContentType(Encoding encoding, bool watch);

kube::Status MakeStatus(int code, absl::string_view reason, absl::string_view message);
// With Retry-After, if the status says so.
ApiAnswer Failure(const kube::Status& status, Encoding encoding, const std::string& name = "",
                  const std::string& continue_token = "");
// In the API server's own words.
ApiAnswer Unauthorized(const ApiRequest& request);
ApiAnswer Forbidden(const ApiRequest& request, const std::string& user);
ApiAnswer TooLargeVersion(const ApiRequest& request, absl::string_view asked, uint64_t current);

ApiAnswer Serve(const Store& store, const ApiRequest& request, const ServiceOptions& options);

}  // namespace pointsman::support
