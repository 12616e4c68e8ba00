// SPDX-License-Identifier: Apache-2.0
//
// An API server for tests: HTTP/2 over TLS on loopback, a store that is written by the test, and every way in which
// servers and networks misbehave.
#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

#include "agent/kube/api.pb.h"
#include "tests/support/fake_api/certificates.h"

namespace pointsman::support {

// The kinds it serves, by plural: "services", "endpointslices", "nodes", "servicecidrs".
using Resource = std::string;

// What is to happen to requests that match, before credentials are looked at. Rules are asked in the order they were
// given; the first that matches and is not used up counts.
struct Fault {
  // Which requests: of this resource ("" any), to watch (true), list (false) or either (nullopt).
  Resource resource;
  std::optional<bool> watch;
  int times = 1;  // how many requests it takes; -1: all, until ClearFaults

  // What: an answer instead of the real one …
  int code = 0;  // 0: the real answer
  std::string reason;
  std::string message;
  bool plain_text = false;         // the body is `message`, as filters before the API server answer
  bool html = false;               // the same as an HTML page
  std::optional<int> retry_after;  // seconds
  bool too_large_version = false;  // with 504: cause ResourceVersionTooLarge
  // … or the real one, spoilt:
  absl::Duration delay;              // before the head
  std::optional<size_t> cut_after;   // so many bytes of the body, then RST_STREAM; counts from the start of the stream
  bool cut_connection = false;       // with cut_after: the connection goes instead of the stream
  std::optional<size_t> slow_bytes;  // so many bytes of the body each 10 ms
  bool error_event = false;          // of a watch: an ERROR event with `code`, `reason` and `message` instead of a head
  bool no_end_bookmark = false;      // of a WatchList: the bookmark after the initial events never comes
  std::string raw_body;              // sent as it is, in place of the body, with `raw_type`
  std::string raw_type;
  std::string warning;  // a Warning header with this text
};

// What came in, in order.
struct SeenRequest {
  std::string method;
  std::string path;                          // without the query
  std::map<std::string, std::string> query;  // decoded
  std::map<std::string, std::string> headers;
  int connection = 0;  // a number for each connection, from 1
  std::string client;  // common name of the client's certificate; empty without one
  absl::Time at;
  int code = 0;  // answered; 0: not yet, or never
};

class FakeApi {
 public:
  struct Options {
    std::string address = "127.0.0.1";
    int port = 0;  // 0: any free one
    std::string path_prefix;
    bool protobuf = true;                  // false: answers in JSON whatever is asked for
    bool watch_list = true;                // false: 422 to sendInitialEvents
    size_t gzip_above = 128 << 10;         // as the API server compresses lists, never watches
    bool want_client_certificate = false;  // 401 without one of our CA
    absl::Duration bookmark_every = absl::Minutes(1);
    int page_limit = 0;                      // most objects of a page, whatever was asked for; 0: as asked for
    std::optional<Certificate> certificate;  // in place of one signed by the CA for `address` and "localhost"
  };

  // Listens at once, in the network namespace of the calling thread; a thread of its own serves. `ca` signs the
  // server's certificate, and is the one clients' are checked against.
  FakeApi(const CertificateAuthority& ca, Options options);
  ~FakeApi();
  FakeApi(const FakeApi&) = delete;
  FakeApi& operator=(const FakeApi&) = delete;

  int port() const;
  std::string url() const;  // "https://127.0.0.1:PORT/PREFIX"

  // --- the store. Each call is one or more versions; watchers are told at once.

  void Put(const kube::Service& object);
  void Put(const kube::EndpointSlice& object);
  void Put(const kube::Node& object);
  void Put(const kube::ServiceCIDR& object);
  void Delete(const Resource& resource, const std::string& ns, const std::string& name);
  // Many writes under one lock: for filling the store.
  void Edit(const std::function<void()>& writes);
  uint64_t version() const;
  // Forgets all events up to now, at a version of its own: watches from any version seen before answer 410, continue
  // tokens expire. Running watches go on.
  void Compact();
  // A bookmark to every watcher that asked for them, now.
  void Bookmark();

  // --- credentials. As long as no token has ever been allowed, everybody is let in.

  void AllowToken(const std::string& token);
  void RefuseToken(const std::string& token);
  // 403 with the API server's own words for this user: {"list", "watch"} on `resource`.
  void Forbid(const Resource& resource, const std::vector<std::string>& verbs,
              const std::string& user = "system:serviceaccount:kube-system:kube-proxy");
  void Permit(const Resource& resource);

  // --- faults

  void Add(Fault fault);
  void ClearFaults();
  // Ends all watches as timeoutSeconds would: the stream ends, nothing is wrong.
  void EndWatches();
  // Sends an ERROR event with this code to all watches of `resource`, and ends them.
  void FailWatches(const Resource& resource, int code, const std::string& reason);
  // Closes every connection, without a word, in the middle of whatever it carries.
  void Disconnect();
  // Sends a GOAWAY on every connection: streams finish, new ones are refused, and with the last it is closed.
  void GoAway();
  // Reads and writes nothing more, on old connections and new ones, until Thaw; connections stay open.
  void Freeze();
  void Thaw();
  // Stops listening and drops all connections; then listens on the same port again, with a new certificate of `ca`.
  void Stop();
  void Start(const CertificateAuthority& ca);

  // --- replay. A request whose path ends in `resource`, with this encoding and form, is answered with these bytes
  // exactly and the head's content type; a watch then stays open, or ends if `end`.
  void Replay(const Resource& resource, bool watch, const std::string& content_type, std::string body, bool end,
              int code = 200);

  // --- what happened

  std::vector<SeenRequest> Requests() const;
  int CountRequests(const Resource& resource, std::optional<bool> watch = std::nullopt) const;
  int connections() const;  // accepted so far, with a completed handshake
  int open_connections() const;
  int open_watches() const;
  int64_t bytes_sent() const;  // of bodies

 private:
  class Impl;
  void Put(const Resource& resource, const google::protobuf::Message& object);

  std::unique_ptr<Impl> impl_;
};

}  // namespace pointsman::support
