// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "agent/serve/http.h"

namespace pointsman::serve {

// Takes HTTP/1 requests out of the bytes of one connection, one after another. No I/O.
class HttpReader {
 public:
  struct Limits {
    size_t head = 16 << 10;  // request line and headers
    size_t body = 64 << 10;
  };
  enum class State {
    kMore,      // the request is not complete yet
    kComplete,  // `request` is; Next() before more is fed
    kRefused,   // what came is no request, or too large: `refusal` says so, and the connection is of no more use
  };

  explicit HttpReader(const Limits& limits);
  ~HttpReader();
  HttpReader(const HttpReader&) = delete;
  HttpReader& operator=(const HttpReader&) = delete;

  // Returns: how many of `bytes` were used; all of them while more is wanted.
  size_t Feed(absl::string_view bytes);
  void Next();

  State state() const;
  const Request& request() const;
  bool keep_alive() const;  // the client wants to ask more, of the complete request
  bool http10() const;      // of the complete request: keeping the connection must be said
  int refusal() const;      // status code

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The bytes of an answer to a request with `method`; HEAD gets no body.
//
// Inputs: `connection` is the value of the header, none if empty.
std::string FormatResponse(const Response& response, absl::string_view method, absl::string_view connection,
                           absl::Time date);

}  // namespace pointsman::serve
