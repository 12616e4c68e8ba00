// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

#include "agent/kube/access.h"
#include "agent/kube/decode.h"
#include "agent/kube/gate.h"
#include "agent/kube/http.h"
#include "agent/kube/observer.h"
#include "agent/kube/reflector.h"
#include "pointsman/diagnostic.h"
#include "pointsman/store.h"

namespace pointsman::kube {

struct SourceOptions {
  Access access;
  std::string node_name;
  std::string content_type = kProtobufType;  // clientConnection.contentType
  std::string accept;                        // clientConnection.acceptContentTypes; empty: as `content_type` says
  double qps = 5;                            // of lists; watches are not counted
  int burst = 10;
  bool need_pod_cidrs = false;                      // wait for them: --detect-local-mode NodeCIDR
  absl::Duration silence = absl::Minutes(1);        // on the connection; then the server is asked for a sign of life
  absl::Duration sign_of_life = absl::Seconds(30);  // so long it has for that
  Reflector::Options reflector;
  Observer observer;
};

// How the source stands at a moment.
struct SourceStatus {
  struct OfKind {
    bool synced = false;
    bool following = false;  // what is held is being kept up to date
    size_t objects = 0;
    int64_t unchanged = 0;    // updates that changed nothing we use, and went no further
    int64_t undecodable = 0;  // objects that could not be read
    Reflector::Counts counts;
    absl::Status error;  // of the last attempt; OK when it went well
  };
  std::array<OfKind, kKinds> kinds;
  bool connected = false;  // the server answers
  std::string server;      // talked to at the moment
  bool released = false;   // enough was known to act upon
  absl::Duration stale;    // Services or EndpointSlices have not been followed for so long; zero while both are
  HttpStats http;
};

// Something that went wrong, and goes on being tried.
struct Trouble {
  std::optional<Kind> kind;  // nullopt: it concerns all
  absl::Status status;
};

// Follows all four resources over one connection, on the thread of the caller: Reflectors say what to ask for, this
// asks. Requests wait for credentials, for the Circuit, and for the rate limit.
//
// A connection on which nothing was heard for a minute is asked for a sign of life (GET /version); when none comes
// within half a minute it is given up. TCP's keep-alive does not notice a server that holds it and does nothing.
class Session {
 public:
  explicit Session(SourceOptions options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Starts what is due and handles what comes, waiting for that up to `wait`.
  void Step(absl::Duration wait);
  // Ends the wait. From any thread.
  void Wake();

  // What came of it since the last time.
  std::vector<ObjectChange> TakeChanges();
  Diagnostics TakeDiagnostics();
  std::vector<Trouble> TakeTroubles();

  Picture picture() const;
  bool synced(Kind kind) const;
  // `released` is not known here.
  SourceStatus status() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pointsman::kube
