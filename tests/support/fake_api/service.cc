// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_api/service.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace pointsman::support {
namespace {

constexpr char kProtobuf[] = "application/vnd.kubernetes.protobuf";
constexpr char kJson[] = "application/json";

ApiAnswer BadRequest(const ApiRequest& request, absl::string_view message) {
  return Failure(MakeStatus(400, "BadRequest", message), request.encoding);
}

ApiAnswer Invalid(const ApiRequest& request, absl::string_view what) {
  kube::Status status = MakeStatus(422, "Invalid", absl::StrCat("ListOptions.meta.k8s.io \"\" is invalid: ", what));
  status.mutable_details()->set_group("meta.k8s.io");
  status.mutable_details()->set_kind("ListOptions");
  status.mutable_details()->add_causes()->set_reason("FieldValueForbidden");
  return Failure(status, request.encoding);
}

// The place in a list where the next page begins, all pages being of one version.
struct ContinueToken {
  uint64_t version = 0;
  std::string after;  // the key of the last object that was sent

  std::string Text() const {
    std::string text;
    absl::WebSafeBase64Escape(
        absl::StrCat(R"({"v":"meta.k8s.io/v1","rv":)", version, R"(,"start":"/)", after, R"(\u0000"})"), &text);
    return text;
  }
  static std::optional<ContinueToken> Parse(absl::string_view text) {
    std::string json;
    if (!absl::WebSafeBase64Unescape(text, &json)) return std::nullopt;
    absl::string_view rest = json;
    ContinueToken token;
    if (!absl::ConsumePrefix(&rest, R"({"v":"meta.k8s.io/v1","rv":)")) return std::nullopt;
    const std::vector<absl::string_view> parts = absl::StrSplit(rest, absl::MaxSplits(R"(,"start":"/)", 1));
    if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &token.version)) return std::nullopt;
    token.after = std::string(absl::StripSuffix(parts[1], R"(\u0000"})"));
    return token;
  }
};

std::string KeyOf(const Stored& object) {
  const kube::ObjectMeta& meta = object.meta();
  return meta.namespace_().empty() ? meta.name() : absl::StrCat(meta.namespace_(), "/", meta.name());
}

// Nullopt: the parameters are in order.
std::optional<ApiAnswer> Mistakes(const ApiRequest& request, const ServiceOptions& options) {
  const std::string match = request.Parameter("resourceVersionMatch");
  const bool initial = request.query.count("sendInitialEvents") != 0;
  if (!match.empty() && match != "NotOlderThan" && match != "Exact") {
    return Invalid(request, absl::StrCat(R"(resourceVersionMatch: Unsupported value: ")", match,
                                         R"(": supported values: "Exact", "NotOlderThan")"));
  }
  if (request.watch) {
    if (initial && match != "NotOlderThan") {
      return Invalid(request,
                     "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to "
                     "NotOlderThan");
    }
    if (!initial && !match.empty()) {
      return Invalid(request,
                     "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless "
                     "sendInitialEvents is provided");
    }
    if (initial && !options.watch_list) {
      return Invalid(request,
                     "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList "
                     "feature gate is enabled");
    }
    return std::nullopt;
  }
  if (initial) return Invalid(request, "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list");
  if (match.empty()) return std::nullopt;
  const std::string version = request.Parameter("resourceVersion");
  if (version.empty()) {
    return Invalid(request,
                   "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is "
                   "provided");
  }
  if (match == "Exact" && version == "0") {
    return Invalid(
        request,
        R"(resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0")");
  }
  return std::nullopt;
}

ApiAnswer Expired(const ApiRequest& request, const std::string& after) {
  // The token to go on with regardless has no version.
  const std::string token = ContinueToken{.version = 0, .after = after}.Text();
  return Failure(
      MakeStatus(410, "Expired",
                 "The provided continue parameter is too old to display a consistent list result. You can start a new "
                 "list without the continue parameter, or use the continue token in this response to retrieve the "
                 "remainder of the results. Continuing with the provided token results in an inconsistent list - "
                 "objects that were created, modified, or deleted between the time the first chunk was returned and "
                 "now may show up in the list."),
      request.encoding, "", token);
}

ApiAnswer ServeList(const Store& store, const ApiRequest& request, const Selector& selector, uint64_t asked,
                    const ServiceOptions& options) {
  const std::string token_text = request.Parameter("continue");
  uint64_t version = store.version();
  uint64_t limit = 0;
  std::string after;
  if (!request.Parameter("limit").empty() && !absl::SimpleAtoi(request.Parameter("limit"), &limit)) {
    return BadRequest(request, absl::StrCat("strconv.ParseInt: parsing \"", request.Parameter("limit"), "\""));
  }
  if (!token_text.empty()) {
    const std::optional<ContinueToken> token = ContinueToken::Parse(token_text);
    if (!token.has_value()) return BadRequest(request, "continue key is not valid");
    if (asked != 0) {
      return BadRequest(request, "specifying resource version is not allowed when using continue");
    }
    if (token->version < store.compacted()) return Expired(request, token->after);
    version = token->version;
    after = token->after;
  } else if (request.Parameter("resourceVersion") == "0") {
    limit = 0;  // from the cache, which has no pages
  } else if (asked > version) {
    return TooLargeVersion(request, absl::StrCat(asked), version);
  } else if (request.Parameter("resourceVersionMatch") == "Exact") {
    if (asked < store.compacted()) {
      return Failure(MakeStatus(410, "Expired", "The resourceVersion for the provided list is too old."),
                     request.encoding);
    }
    version = asked;
  }
  if (options.page_limit > 0) {
    const auto most = static_cast<uint64_t>(options.page_limit);
    limit = limit == 0 ? most : std::min(limit, most);
  }

  Store::Objects page;
  std::string next;
  int64_t remaining = 0;
  for (const Store::Object& object : store.At(*request.resource, version)) {
    if (!after.empty() && KeyOf(*object) <= after) continue;
    if (!selector.Matches(*object)) continue;
    if (limit == 0 || page.size() < limit) {
      page.push_back(object);
    } else {
      ++remaining;
    }
  }
  if (remaining > 0) next = ContinueToken{.version = version, .after = KeyOf(*page.back())}.Text();
  const bool tell = remaining > 0 && selector.empty();
  return {.type = ContentType(request.encoding, /*watch=*/false),
          .body = EncodeList(*request.resource, request.encoding, page, version, next,
                             tell ? std::optional(remaining) : std::nullopt)};
}

ApiAnswer ServeWatch(const Store& store, const ApiRequest& request, const Selector& selector, uint64_t asked,
                     const ServiceOptions& options) {
  const std::string initial = request.Parameter("sendInitialEvents");
  const bool list = initial == "true" || initial == "1";
  WatchBody::Start start;
  std::optional<kube::Status> error;
  if (list && asked > store.version()) return TooLargeVersion(request, absl::StrCat(asked), store.version());
  if (list || asked == 0) {
    for (Store::Object& object : store.At(*request.resource, store.version())) {
      if (selector.Matches(*object)) start.initial.push_back(std::move(object));
    }
    start.version = store.version();
    start.end_bookmark = list && options.end_bookmark && request.Parameter("allowWatchBookmarks") == "true";
  } else {
    start.version = asked;
    if (asked < store.compacted()) {
      error =
          MakeStatus(410, "Expired", absl::StrCat("too old resource version: ", asked, " (", store.compacted(), ")"));
    }
  }
  start.after = store.After(*request.resource, start.version);
  ApiAnswer answer = {.type = ContentType(request.encoding, /*watch=*/true)};
  answer.watch = std::make_unique<WatchBody>(store, *request.resource, request.encoding, selector, std::move(start));
  if (error.has_value()) answer.watch->Fail(*error);
  return answer;
}

}  // namespace

std::string ApiRequest::Parameter(const std::string& name) const {
  const auto found = query.find(name);
  return found == query.end() ? "" : found->second;
}

std::optional<Encoding> Negotiate(absl::string_view accept, bool protobuf) {
  if (accept.empty()) return Encoding::kJson;
  for (const absl::string_view part : absl::StrSplit(accept, ',')) {
    const absl::string_view type = absl::StripAsciiWhitespace(part.substr(0, part.find(';')));
    if (type == kProtobuf) return protobuf ? Encoding::kProtobuf : Encoding::kJson;
    if (type == kJson || type == "application/*" || type == "*/*") return Encoding::kJson;
  }
  return std::nullopt;
}

const char* ContentType(Encoding encoding, bool watch) {
  if (encoding == Encoding::kJson) return kJson;
  return watch ? "application/vnd.kubernetes.protobuf;stream=watch" : kProtobuf;
}

kube::Status MakeStatus(int code, absl::string_view reason, absl::string_view message) {
  kube::Status status;
  status.set_status("Failure");
  status.set_message(std::string(message));
  status.set_reason(std::string(reason));
  status.set_code(code);
  return status;
}

ApiAnswer Failure(const kube::Status& status, Encoding encoding, const std::string& name,
                  const std::string& continue_token) {
  ApiAnswer answer = {.code = status.code(),
                      .type = ContentType(encoding, /*watch=*/false),
                      .body = EncodeStatus(status, encoding, name, continue_token)};
  if (status.details().retry_after_seconds() > 0) {
    answer.headers.emplace_back("retry-after", absl::StrCat(status.details().retry_after_seconds()));
  }
  return answer;
}

ApiAnswer Unauthorized(const ApiRequest& request) {
  return Failure(MakeStatus(401, "Unauthorized", "Unauthorized"), request.encoding);
}

ApiAnswer Forbidden(const ApiRequest& request, const std::string& user) {
  const ResourceInfo& resource = *request.resource;
  // A field selector that leaves one name is what the request is about.
  const auto selector = Selector::Parse(resource, "", request.Parameter("fieldSelector"));
  const std::string name = selector.ok() ? selector->name() : "";
  const std::string group = resource.group;
  kube::Status status =
      MakeStatus(403, "Forbidden",
                 absl::StrCat(resource.plural, group.empty() ? "" : ".", group,
                              name.empty() ? "" : absl::StrCat(" \"", name, "\""), " is forbidden: User \"", user,
                              "\" cannot ", request.watch ? "watch" : "list", " resource \"", resource.plural,
                              "\" in API group \"", group, "\" at the cluster scope"));
  if (!group.empty()) status.mutable_details()->set_group(group);
  status.mutable_details()->set_kind(resource.plural);
  return Failure(status, request.encoding, name);
}

ApiAnswer TooLargeVersion(const ApiRequest& request, absl::string_view asked, uint64_t current) {
  kube::Status status =
      MakeStatus(504, "Timeout", absl::StrCat("Too large resource version: ", asked, ", current: ", current));
  status.mutable_details()->add_causes()->set_reason("ResourceVersionTooLarge");
  status.mutable_details()->set_retry_after_seconds(1);
  return Failure(status, request.encoding);
}

ApiAnswer Serve(const Store& store, const ApiRequest& request, const ServiceOptions& options) {
  if (std::optional<ApiAnswer> mistake = Mistakes(request, options); mistake.has_value()) return *std::move(mistake);
  const auto selector =
      Selector::Parse(*request.resource, request.Parameter("labelSelector"), request.Parameter("fieldSelector"));
  if (!selector.ok()) return BadRequest(request, absl::string_view(selector.status().message()));
  const std::string version = request.Parameter("resourceVersion");
  uint64_t asked = 0;
  if (!version.empty() && !absl::SimpleAtoi(version, &asked)) {
    return BadRequest(request, absl::StrCat("resourceVersion: Invalid value: \"", version,
                                            "\": strconv.ParseUint: parsing \"", version, "\": invalid syntax"));
  }
  return request.watch ? ServeWatch(store, request, *selector, asked, options)
                       : ServeList(store, request, *selector, asked, options);
}

}  // namespace pointsman::support
