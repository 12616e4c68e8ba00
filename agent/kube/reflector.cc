// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/reflector.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "agent/kube/explain.h"
#include "pointsman/status.h"

namespace pointsman::kube {
namespace {

// A stream that ends sooner, without a word or again, has failed.
constexpr absl::Duration kShortWatch = absl::Seconds(1);
// Between the beginnings of watches that none let go on for long.
constexpr absl::Duration kWatchPace = absl::Seconds(5);
// An old server that has much to tell is never silent, and yet never comes to the end of the initial events.
constexpr absl::Duration kInitialEventsTimeout = absl::Minutes(2);
// Watches in a row that broke off within the initial events: then something on the way does not let them through.
constexpr int kUnfinishedAtMost = 3;
// The server ends a watch itself; past this, it has forgotten to.
constexpr absl::Duration kGrace = absl::Seconds(30);
constexpr absl::Duration kListTimeout = absl::Minutes(5);
constexpr absl::Duration kLongestRetryAfter = absl::Minutes(10);

// Source: RFC 3986 section 2.3.
std::string PercentEncode(absl::string_view text) {
  std::string encoded;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("-._~", absl::string_view(&c, 1))) {
      encoded.push_back(c);
    } else {
      absl::StrAppendFormat(&encoded, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

std::string Selectors(const Resource& resource, const std::string& field_value) {
  std::string query;
  if (*resource.label_selector != '\0')
    absl::StrAppend(&query, "&labelSelector=", PercentEncode(resource.label_selector));
  if (*resource.field_selector != '\0') {
    absl::StrAppend(&query, "&fieldSelector=", PercentEncode(absl::StrCat(resource.field_selector, field_value)));
  }
  return query;
}

}  // namespace

Reflector::Reflector(const Resource& resource, const std::string& field_value, const Options& options, uint32_t seed)
    : resource_(&resource),
      selectors_(Selectors(resource, field_value)),
      options_(options),
      random_(seed),
      backoff_(options.backoff, seed),
      mirror_(resource.kind, options.began) {}

absl::Time Reflector::Due() const { return running_ ? absl::InfiniteFuture() : retry_at_; }

absl::Time Reflector::Deadline() const {
  if (!running_ || !answered_ || step_ != Step::kInitialEvents) return absl::InfiniteFuture();
  return std::min(heard_ + options_.end_patience, began_ + kInitialEventsTimeout);
}

Reflector::Request Reflector::Begin(absl::Time now) {
  running_ = true;
  answered_ = heard_anything_ = false;
  began_ = heard_ = now;
  error_event_.reset();
  info_.reset();
  // A list that was asked for because a server could not do better.
  if (step_ == Step::kInitialEvents && now < list_until_) step_ = Step::kList;
  if (step_ == Step::kInitialEvents || step_ == Step::kList) mirror_.StartRelist();

  const bool list = step_ == Step::kList || step_ == Step::kPage;
  if (!list) {
    const auto seconds = [](absl::Duration d) { return static_cast<int>(absl::ToInt64Seconds(d)); };
    watch_timeout_ = absl::Seconds(
        std::uniform_int_distribution<>(seconds(options_.shortest_watch), seconds(options_.longest_watch))(random_));
  }
  ++(list ? counts_.lists : counts_.watches);
  return {.path = absl::StrCat(resource_->path, "?", Query(), selectors_),
          .form = list ? BodyReader::Form::kList : BodyReader::Form::kWatch,
          .timeout = list ? kListTimeout : watch_timeout_ + kGrace};
}

std::string Reflector::Query() const {
  const std::string watch =
      absl::StrCat("watch=1&allowWatchBookmarks=true&timeoutSeconds=", absl::ToInt64Seconds(watch_timeout_));
  const std::string at_least = newest_ ? "" : version_;
  switch (step_) {
    case Step::kInitialEvents:
      return absl::StrCat(watch, "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
                          at_least.empty() ? "" : absl::StrCat("&resourceVersion=", PercentEncode(at_least)));
    case Step::kList:
      // From the server's cache, which knows no pages, unless it must be newer than that.
      if (newest_) return absl::StrCat("limit=", options_.page);
      if (!version_.empty()) return absl::StrCat("resourceVersion=", PercentEncode(version_));
      return absl::StrCat("limit=", options_.page, "&resourceVersion=0");
    case Step::kPage:
      return absl::StrCat("limit=", options_.page, "&continue=", PercentEncode(continue_));
    case Step::kWatch:
      return absl::StrCat(watch, "&resourceVersion=", PercentEncode(version_));
  }
  return "";
}

void Reflector::Answered(absl::Time now) {
  answered_ = true;
  heard_ = now;
}

bool Reflector::Take(absl::Time now, Piece piece) {
  heard_ = now;
  heard_anything_ = true;
  if (auto* item = std::get_if<ListItem>(&piece)) {
    mirror_.Collect(std::move(item->decoded));
    return true;
  }
  if (auto* info = std::get_if<ListInfo>(&piece)) {
    info_ = std::move(*info);
    return true;
  }
  auto& event = std::get<WatchEvent>(piece);
  if (event.type == WatchEvent::Type::kError) {
    error_event_ = std::move(event.status);
    return false;
  }
  ++(event.type == WatchEvent::Type::kBookmark ? counts_.bookmarks : counts_.events);
  if (step_ == Step::kInitialEvents) {
    TakeInitialEvent(std::move(event));
  } else {
    TakeEvent(std::move(event));
  }
  return true;
}

// Their versions are in no order: none is a place to go on from before the end.
void Reflector::TakeInitialEvent(WatchEvent event) {
  switch (event.type) {
    case WatchEvent::Type::kAdded:
    case WatchEvent::Type::kModified:
      mirror_.Collect(std::move(event.decoded));
      break;
    case WatchEvent::Type::kDeleted:
      mirror_.Discard(event.decoded.key.name);
      break;
    case WatchEvent::Type::kBookmark:
      // Without a version there is no place to go on from.
      if (event.decoded.initial_events_end && !event.decoded.resource_version.empty()) {
        Complete(event.decoded.resource_version);
      }
      break;
    case WatchEvent::Type::kError:
    case WatchEvent::Type::kOther:
      break;
  }
}

void Reflector::TakeEvent(WatchEvent event) {
  if (!event.decoded.resource_version.empty()) version_ = event.decoded.resource_version;
  switch (event.type) {
    case WatchEvent::Type::kAdded:
    case WatchEvent::Type::kModified:
      mirror_.Upsert(std::move(event.decoded));
      break;
    case WatchEvent::Type::kDeleted:
      if (event.decoded.key.name.name.empty()) {
        mirror_.Upsert(std::move(event.decoded));  // is told; what it was about goes with the next complete picture
      } else {
        mirror_.Remove(event.decoded.key.name);
      }
      break;
    case WatchEvent::Type::kBookmark:
    case WatchEvent::Type::kError:
    case WatchEvent::Type::kOther:
      break;
  }
}

void Reflector::Complete(const std::string& version) {
  mirror_.FinishRelist();
  if (synced_) ++counts_.relists;
  synced_ = true;
  version_ = version;
  newest_ = false;
  unfinished_ = 0;
  step_ = Step::kWatch;
}

void Reflector::StartOver(bool from_newest) {
  step_ = Step::kInitialEvents;
  newest_ = newest_ || from_newest;
}

void Reflector::Pause(absl::Time now, absl::Duration at_least) {
  retry_at_ = now + std::max(backoff_.Next(now), std::min(at_least, kLongestRetryAfter));
}

void Reflector::LeftUnfinished(absl::Time now) {
  if (++unfinished_ < kUnfinishedAtMost) return;
  unfinished_ = 0;
  list_until_ = now + options_.list_instead;
}

// Servers come and go, and so do the streams they have open: that is no failure unless it goes on like this.
absl::Status Reflector::WatchOver(absl::Time now, const absl::Status& told) {
  const absl::Duration lasted = now - began_;
  const bool again = std::exchange(cut_early_, lasted < options_.long_enough);
  if (lasted < kShortWatch && (again || !heard_anything_)) {
    ++counts_.short_watches;
    Pause(now);
    return told;
  }
  if (again) retry_at_ = began_ + kWatchPace;
  return absl::OkStatus();
}

absl::Status Reflector::Ended(absl::Time now, const End& end) {
  running_ = false;
  if (end.given_up) {
    if (step_ != Step::kWatch && step_ != Step::kPage) StartOver();
    return absl::OkStatus();
  }
  // What comes after a long watch is a new story.
  if (step_ == Step::kWatch && answered_ && now - began_ >= options_.long_enough) backoff_.Reset();
  absl::Status told = error_event_                       ? Refused(now, *error_event_)
                      : end.code != 0 && end.code != 200 ? Refused(now, end.failure)
                      : !end.transport.ok()              ? Broken(now, end.transport)
                                                         : EndedWell(now);
  if (!told.ok()) ++counts_.failures;
  return told;
}

absl::Status Reflector::EndedWell(absl::Time now) {
  switch (step_) {
    case Step::kInitialEvents:
      LeftUnfinished(now);
      StartOver();
      Pause(now);
      return absl::UnavailableError(
          absl::StrCat("watch ", resource_->name, ": the server ended it before it had told everything"));
    case Step::kList:
    case Step::kPage: {
      if (!info_ || (info_->resource_version.empty() && info_->continue_token.empty())) {
        StartOver();
        Pause(now);
        return absl::DataLossError(absl::StrCat("list ", resource_->name, ": the answer tells no version"));
      }
      continue_ = info_->continue_token;
      if (continue_.empty()) {
        Complete(info_->resource_version);
      } else {
        step_ = Step::kPage;
      }
      return absl::OkStatus();
    }
    case Step::kWatch:
      return WatchOver(now,
                       absl::UnavailableError(absl::StrCat("watch ", resource_->name, ": the server ended it at once",
                                                           heard_anything_ ? ", again" : ", without a word")));
  }
  return absl::OkStatus();
}

absl::Status Reflector::Refused(absl::Time now, const ApiStatus& failure) {
  const bool watch = step_ == Step::kInitialEvents || step_ == Step::kWatch;
  absl::Status told = ExplainRefusal(*resource_, watch ? "watch" : "list", failure);
  const absl::Duration wait = failure.retry_after.value_or(absl::ZeroDuration());

  const bool ask_later = failure.code == 401 || failure.code == 403 || failure.code == 404 || failure.code == 429 ||
                         (failure.code >= 500 && !failure.too_large_version);
  if (ask_later) {
    // What was asked was right; and a version once seen stays good until the server says otherwise.
    if (step_ == Step::kList) step_ = Step::kInitialEvents;
    Pause(now, wait);
    return told;
  }
  if (failure.code == 410 || failure.too_large_version) {
    // A watch from a version that is gone needs a picture no older than that; a picture that cannot be had that way,
    // or in further pages, must be the newest.
    StartOver(step_ != Step::kWatch || failure.too_large_version);
    Pause(now, wait);
    return told;
  }
  if (step_ == Step::kInitialEvents) {
    // It does not know what was asked for: an older server, or one with the feature off. That is no failure.
    list_until_ = now + options_.list_instead;
    return absl::OkStatus();
  }
  StartOver(true);
  Pause(now, wait);
  return told;
}

absl::Status Reflector::Broken(absl::Time now, const absl::Status& transport) {
  absl::Status told = Annotate(
      transport,
      absl::StrCat(step_ == Step::kInitialEvents || step_ == Step::kWatch ? "watch " : "list ", resource_->name));
  const bool too_late = now - heard_ >= options_.end_patience || now - began_ >= kInitialEventsTimeout;
  if (step_ == Step::kInitialEvents && answered_ && too_late) {
    list_until_ = now + options_.list_instead;  // it never tells that the initial events are over
    return told;
  }
  if (step_ == Step::kInitialEvents && answered_) LeftUnfinished(now);
  if (absl::IsDataLoss(transport)) {
    // What comes is no answer to what was asked; the same again would break at the same place.
    StartOver();
    Pause(now);
    return told;
  }
  if (step_ == Step::kList || step_ == Step::kInitialEvents) StartOver();
  // Without any answer it is the connection that has failed: when to try that again is not decided here.
  if (!answered_) return told;
  if (step_ == Step::kWatch) return WatchOver(now, told);
  Pause(now);
  return told;
}

}  // namespace pointsman::kube
