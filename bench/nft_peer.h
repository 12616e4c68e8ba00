// SPDX-License-Identifier: Apache-2.0
//
// The peer: nft given the same change as text, once as the program and once as the library.
#pragma once

#include <optional>
#include <string>

#include "absl/time/time.h"

struct nft_ctx;

namespace pointsman::bench {

// libnftables in this process, with one context for good. Acts on the network namespace of the thread that makes it.
class LibNftables {
 public:
  LibNftables();
  ~LibNftables();
  LibNftables(const LibNftables&) = delete;
  LibNftables& operator=(const LibNftables&) = delete;

  // Commands that are refused end the program.
  absl::Duration Run(const std::string& commands);

 private:
  nft_ctx* const context_;
};

// `nft -f` in the network namespace of the calling thread, from its start to its end; nothing if that takes longer than
// `patience`.
std::optional<absl::Duration> RunNft(const std::string& commands, absl::Duration patience = absl::Seconds(60));

}  // namespace pointsman::bench
