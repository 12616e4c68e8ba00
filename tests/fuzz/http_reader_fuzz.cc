// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include "agent/serve/http_reader.h"
#include "pointsman/status.h"

using pointsman::serve::HttpReader;
using pointsman::serve::Request;

namespace {

constexpr HttpReader::Limits kLimits = {.head = 512, .body = 64};

void Check(const Request& request) {
  PM_CHECK(!request.method.empty() && request.body.size() <= kLimits.body);
  size_t head = request.path.size() + request.query.size();
  for (const auto& [name, value] : request.headers) {
    PM_CHECK(!name.empty() && name == absl::AsciiStrToLower(name));
    // Whoever writes it to a log or back to the client writes one line.
    PM_CHECK(value.find_first_of("\r\n") == std::string::npos);
    head += name.size();
  }
  PM_CHECK(head <= kLimits.head);
}

// All that a reader makes of `bytes`, given `step` of them at a time.
std::string ReadAll(absl::string_view bytes, size_t step) {
  HttpReader reader(kLimits);
  std::string all;
  while (true) {
    while (reader.state() == HttpReader::State::kMore && !bytes.empty()) {
      const absl::string_view piece = bytes.substr(0, step);
      const size_t used = reader.Feed(piece);
      PM_CHECK(used <= piece.size());
      PM_CHECK(used == piece.size() || reader.state() != HttpReader::State::kMore);
      bytes.remove_prefix(used);
    }
    switch (reader.state()) {
      case HttpReader::State::kMore:
        return all;
      case HttpReader::State::kRefused:
        PM_CHECK(reader.refusal() >= 400 && reader.refusal() < 500);
        return absl::StrCat(all, reader.refusal());
      case HttpReader::State::kComplete:
        break;
    }
    const Request& request = reader.request();
    Check(request);
    PM_CHECK(reader.refusal() == 0);
    absl::StrAppend(&all, request.method, " ", request.path, "?", request.query, reader.keep_alive() ? " keep" : "",
                    reader.http10() ? " 1.0\n" : "\n");
    for (const auto& [name, value] : request.headers) {
      absl::StrAppend(&all, name, ": ", absl::CHexEscape(value), "\n");
    }
    absl::StrAppend(&all, request.body, "\n");
    reader.Next();
  }
}

}  // namespace

// Whatever comes over a connection: requests are within their limits, and the same however the bytes are cut.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string whole = ReadAll(bytes, std::max<size_t>(size, 1));
  for (const size_t step : {size_t{1}, size_t{7}, size_t{300}}) PM_CHECK(ReadAll(bytes, step) == whole);
  return 0;
}
