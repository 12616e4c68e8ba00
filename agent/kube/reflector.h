// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

#include "agent/kube/backoff.h"
#include "agent/kube/body.h"
#include "agent/kube/mirror.h"
#include "agent/kube/resource.h"

namespace pointsman::kube {

// Keeps a Mirror equal to what the API server has of one resource: decides which request comes next and what an answer
// means. Does nothing itself; time is passed in, steady time.
//
// First everything is asked for: as the beginning of a watch where the server can do that (sendInitialEvents), else as
// a list in pages. Then a watch goes on from there, is taken up again from the last version seen whenever it ends, and
// only when the server no longer knows that version is everything asked for again.
//
// Source: KEP-3157 (WatchList), client-go tools/cache/reflector.go for what is an error and how long to wait.
class Reflector {
 public:
  struct Options {
    Backoff::Options backoff;
    int page = 500;
    // A server that knows nothing of sendInitialEvents never tells their end.
    absl::Duration end_patience = absl::Seconds(30);     // since the last event
    absl::Duration list_instead = absl::Minutes(10);     // so long after a server could not
    absl::Duration shortest_watch = absl::Seconds(300);  // timeoutSeconds is drawn between these
    absl::Duration longest_watch = absl::Seconds(600);
    absl::Duration long_enough = absl::Seconds(30);  // a watch that went on for so long was a success
    absl::Time began = absl::InfinitePast();         // what happened before is not timed; by the calendar
  };

  // `field_value` completes the resource's field selector.
  Reflector(const Resource& resource, const std::string& field_value, const Options& options, uint32_t seed);

  struct Request {
    std::string path;  // and query
    BodyReader::Form form = BodyReader::Form::kWatch;
    absl::Duration timeout;  // for all of it
  };
  // When Begin has something to do: the past, at once; the future, never as long as a request is running.
  absl::Time Due() const;
  // Whether that is to list, which is subject to a rate, or to watch.
  bool WantsList(absl::Time now) const {
    return step_ == Step::kList || step_ == Step::kPage || (step_ == Step::kInitialEvents && now < list_until_);
  }
  // Cuts a pause short: what it was made for is over.
  void Hurry() { retry_at_ = absl::InfinitePast(); }
  // The request to make now. It counts as running until Ended.
  Request Begin(absl::Time now);

  // The answer began, and it is a success.
  void Answered(absl::Time now);
  // Returns: false if nothing more is wanted of this request: end it, and say so to Ended with `code` 200.
  bool Take(absl::Time now, Piece piece);
  // When the running request is to be ended for its silence, with kDeadlineExceeded.
  absl::Time Deadline() const;

  struct End {
    absl::Status transport;  // OK: the answer is complete
    int code = 0;            // of HTTP; 0: no answer
    ApiStatus failure;       // with a code that is no success
    bool given_up = false;   // by us, for a reason that is none of the server's
  };
  // Returns: what is to be told; OK if nothing went wrong.
  absl::Status Ended(absl::Time now, const End& end);

  const Resource& resource() const { return *resource_; }
  Mirror& mirror() { return mirror_; }
  const Mirror& mirror() const { return mirror_; }
  bool running() const { return running_; }
  // The first complete list is in the mirror.
  bool synced() const { return synced_; }
  // What is in the mirror is being kept up to date at the moment.
  bool following() const { return running_ && step_ == Step::kWatch && answered_; }

  struct Counts {
    int64_t lists = 0;    // requests, pages included
    int64_t watches = 0;  // requests
    int64_t relists = 0;  // complete pictures after the first
    int64_t events = 0;   // of watches, bookmarks apart
    int64_t bookmarks = 0;
    int64_t failures = 0;
    int64_t short_watches = 0;  // watches that ended at once, without a word or again
  };
  const Counts& counts() const { return counts_; }

 private:
  enum class Step : uint8_t { kInitialEvents, kList, kPage, kWatch };

  absl::Status EndedWell(absl::Time now);
  absl::Status Refused(absl::Time now, const ApiStatus& failure);
  absl::Status Broken(absl::Time now, const absl::Status& transport);
  void TakeEvent(WatchEvent event);
  void TakeInitialEvent(WatchEvent event);
  void Complete(const std::string& version);
  void LeftUnfinished(absl::Time now);
  absl::Status WatchOver(absl::Time now, const absl::Status& told);
  void StartOver(bool from_newest = false);
  void Pause(absl::Time now, absl::Duration at_least = absl::ZeroDuration());
  std::string Query() const;

  const Resource* resource_;
  const std::string selectors_;  // encoded, "&" in front
  const Options options_;
  std::minstd_rand random_;
  Backoff backoff_;
  Mirror mirror_;
  Counts counts_;

  Step step_ = Step::kInitialEvents;
  bool synced_ = false;
  bool cut_early_ = false;  // so was the last watch
  int unfinished_ = 0;      // watches in a row that broke off within the initial events
  std::string version_;     // of the last complete picture or event; empty: none
  bool newest_ = false;     // the picture is to be the newest there is, not one at least as new as `version_`
  absl::Time list_until_ = absl::InfinitePast();  // no sendInitialEvents before
  absl::Time retry_at_ = absl::InfinitePast();

  bool running_ = false;
  bool answered_ = false;
  bool heard_anything_ = false;
  absl::Time began_;
  absl::Time heard_;
  absl::Duration watch_timeout_;
  std::optional<ListInfo> info_;  // of the list under way
  std::string continue_;
  std::optional<ApiStatus> error_event_;  // the watch said it is over
};

}  // namespace pointsman::kube
