// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "agent/kube/access.h"

namespace pointsman::kube {

// Who to be, and whom to trust, in the next request.
struct Identity {
  std::vector<std::string> headers;  // complete lines: "Authorization: Bearer …"; not for plain http
  std::string certificate;           // PEM; empty: none
  std::string key;                   // PEM
  std::string ca;                    // PEM; empty: the system's
  // Moves when certificate or key did: connections that showed the old one are to be given up.
  uint64_t certificate_revision = 0;
};

// What an Access amounts to at the moment. Token files are read again when what is known of them is a minute old;
// certificates, keys and CAs every five minutes; a plug-in runs, on a thread of its own, when what it gave has expired.
// Where reading again fails, what is known stays in use.
class Credentials {
 public:
  // `wake` is called from another thread when a plug-in has answered.
  Credentials(Access access, absl::AnyInvocable<void()> wake);
  ~Credentials();
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  // Inputs:  `now` is steady time; `wall` is what the calendar says, for what a plug-in's answer expires by.
  // Errors:  kUnavailable: a plug-in is still running: come back when woken. Anything else: there never were
  //          credentials to use; the message names the file or command and says why. Ask again later.
  absl::StatusOr<Identity> Get(absl::Time now, absl::Time wall);

  // The server did not take what Get gave (401): what can be had anew is, at the next Get.
  void Refused();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pointsman::kube
