// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/explain.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace pointsman::kube {
namespace {

// The user of `services is forbidden: User "system:serviceaccount:kube-system:kube-proxy" cannot list resource …`.
// Source: k8s.io/apiserver pkg/authorization/authorizer, ForbiddenStatusError.
absl::string_view UserOf(absl::string_view message) {
  const size_t begin = message.find("User \"");
  if (begin == absl::string_view::npos) return {};
  absl::string_view rest = message.substr(begin + 6);
  const size_t end = rest.find('"');
  return end == absl::string_view::npos ? absl::string_view() : rest.substr(0, end);
}

// As kubectl and RBAC subjects name it.
std::string Subject(absl::string_view user) {
  if (user.empty()) return "the account in use";
  if (absl::ConsumePrefix(&user, "system:serviceaccount:")) {
    const std::pair<absl::string_view, absl::string_view> name = absl::StrSplit(user, absl::MaxSplits(':', 1));
    return absl::StrCat("ServiceAccount ", name.first, "/", name.second);
  }
  return absl::StrCat("User ", user);
}

}  // namespace

absl::Status ExplainRefusal(const Resource& resource, absl::string_view verb, const ApiStatus& failure) {
  const std::string what = absl::StrCat(verb, " ", resource.name, ": ");
  const std::string said =
      failure.message.empty() ? (failure.reason.empty() ? "no reason given" : failure.reason) : failure.message;
  switch (failure.code) {
    case 401:
      return absl::UnauthenticatedError(
          absl::StrCat(what, "the server does not take our credentials (401 ", said, ")"));
    case 403:
      return absl::PermissionDeniedError(absl::StrCat(what, "forbidden: grant ", Subject(UserOf(failure.message)),
                                                      " the verbs list and watch on ", resource.name,
                                                      " in all namespaces, as ClusterRole system:node-proxier does"));
    case 404:
      return absl::NotFoundError(absl::StrCat(what, "the server does not have this resource (404 ", said, ")"));
    case 410:
      return absl::OutOfRangeError(absl::StrCat(what, "the server no longer knows the version asked for (410 ", said,
                                                "); asking for everything again"));
    default:
      break;
  }
  const std::string text = absl::StrCat(what, "the server answered ", failure.code, ": ", said);
  if (failure.code == 429 || failure.code >= 500) return absl::UnavailableError(text);
  return absl::FailedPreconditionError(text);
}

}  // namespace pointsman::kube
