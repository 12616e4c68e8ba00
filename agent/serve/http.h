// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/strings/string_view.h"

namespace pointsman::serve {

struct Request {
  std::string method;                                 // "GET"
  std::string path;                                   // as sent, without the query: "/healthz"
  std::string query;                                  // without the question mark
  absl::btree_map<std::string, std::string> headers;  // names in lower case; of repeated ones, values joined by ", "
  std::string body;

  // Empty if there is none.
  absl::string_view Header(const std::string& name) const {
    const auto it = headers.find(name);
    return it == headers.end() ? absl::string_view() : it->second;
  }
};

struct Response {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;  // besides Content-Length, Date and Connection
  std::string body;
};

// With the headers that keep a browser from making something else of it.
inline Response Answer(int status, std::string content_type, std::string body) {
  return {.status = status,
          .headers = {{"Content-Type", std::move(content_type)}, {"X-Content-Type-Options", "nosniff"}},
          .body = std::move(body)};
}
inline Response Text(int status, std::string body) {
  return Answer(status, "text/plain; charset=utf-8", std::move(body));
}
inline Response Json(int status, std::string body) { return Answer(status, "application/json", std::move(body)); }
inline Response NotFound() { return Text(404, "404 page not found\n"); }

}  // namespace pointsman::serve
