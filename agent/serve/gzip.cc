// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/gzip.h"

#include <zlib.h>

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace pointsman::serve {

// RFC 9110, section 12.5.3: "deflate, gzip;q=0.8"; a quality of 0 means no.
bool AcceptsGzip(absl::string_view accept_encoding) {
  bool any = false;
  for (const absl::string_view choice : absl::StrSplit(accept_encoding, ',')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(choice, ';');
    const absl::string_view name = absl::StripAsciiWhitespace(parts[0]);
    double quality = 1;
    for (size_t i = 1; i < parts.size(); ++i) {
      const absl::string_view parameter = absl::StripAsciiWhitespace(parts[i]);
      if (absl::StartsWithIgnoreCase(parameter, "q=") && !absl::SimpleAtod(parameter.substr(2), &quality)) quality = 0;
    }
    if (absl::EqualsIgnoreCase(name, "gzip")) return quality > 0;
    if (name == "*") any = quality > 0;
  }
  return any;
}

std::optional<std::string> Gzip(const std::string& text) {
  constexpr int kGzipWindow = 15 + 16;  // 16: with the header of gzip
  constexpr int kMemory = 8;
  z_stream stream = {};
  if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kGzipWindow, kMemory, Z_DEFAULT_STRATEGY) != Z_OK) {
    return std::nullopt;
  }
  std::string packed(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  const int result = deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) return std::nullopt;
  return packed;
}

}  // namespace pointsman::serve
