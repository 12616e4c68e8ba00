// SPDX-License-Identifier: Apache-2.0
#include "bench/nft_peer.h"

#include <nftables/libnftables.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

#include "agent/loop/clock.h"
#include "tests/support/files.h"

namespace pointsman::bench {

LibNftables::LibNftables() : context_(nft_ctx_new(NFT_CTX_DEFAULT)) {
  if (context_ == nullptr || nft_ctx_buffer_output(context_) != 0 || nft_ctx_buffer_error(context_) != 0) {
    support::Fatal("libnftables does not start");
  }
}

LibNftables::~LibNftables() { nft_ctx_free(context_); }

absl::Duration LibNftables::Run(const std::string& commands) {
  const absl::Time start = SteadyNow();
  const int failed = nft_run_cmd_from_buffer(context_, commands.c_str());
  const absl::Duration took = SteadyNow() - start;
  if (failed != 0) support::Fatal(absl::StrCat("libnftables: ", nft_ctx_get_error_buffer(context_)));
  return took;
}

std::optional<absl::Duration> RunNft(const std::string& commands, absl::Duration patience) {
  const support::TempDir dir;
  const std::string file = dir.File("commands.nft");
  support::WriteFile(file, commands);
  const char* const argv[] = {"nft", "-f", file.c_str(), nullptr};
  const absl::Time start = SteadyNow();
  pid_t child = -1;
  // Not fork: the pages of a large process would be counted as nft's time.
  if (posix_spawnp(&child, "nft", nullptr, nullptr, const_cast<char* const*>(argv), environ) != 0) {
    support::Fatal("nft does not start");
  }
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
  if (pidfd < 0) support::FatalErrno("pidfd_open");
  pollfd ended = {pidfd, POLLIN, 0};
  const bool in_time = poll(&ended, 1, static_cast<int>(absl::ToInt64Milliseconds(patience))) == 1;
  const absl::Duration took = SteadyNow() - start;
  if (!in_time) kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  close(pidfd);
  if (!in_time) return std::nullopt;
  if (status != 0) support::Fatal(absl::StrCat("nft -f failed, status ", status));
  return took;
}

}  // namespace pointsman::bench
