// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/explain.h"

#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#include "gtest/gtest.h"

namespace pointsman::kube {
namespace {

struct RefusalRow {
  const char* name;
  Kind kind;
  const char* verb;
  ApiStatus failure;
  absl::Status told;
};
void PrintTo(const RefusalRow& row, std::ostream* out) { *out << row.name; }

class Refusals : public testing::TestWithParam<RefusalRow> {};

TEST_P(Refusals, SayWhatToDo) {
  const RefusalRow& row = GetParam();
  EXPECT_EQ(ExplainRefusal(ResourceOf(row.kind), row.verb, row.failure), row.told);
}

constexpr char kGrantEnd[] = " in all namespaces, as ClusterRole system:node-proxier does";

INSTANTIATE_TEST_SUITE_P(
    All, Refusals,
    testing::Values(
        RefusalRow{
            "A403NamesTheServiceAccountTheVerbsAndTheResource",
            Kind::kEndpointSlice,
            "list",
            {403, "Forbidden",
             "endpointslices.discovery.k8s.io is forbidden: User \"system:serviceaccount:kube-system:pointsman\" "
             "cannot list resource \"endpointslices\" in API group \"discovery.k8s.io\" at the cluster scope"},
            absl::PermissionDeniedError(absl::StrCat(
                "list endpointslices.discovery.k8s.io: forbidden: grant ServiceAccount kube-system/pointsman the "
                "verbs list and watch on endpointslices.discovery.k8s.io",
                kGrantEnd))},
        RefusalRow{"A403OfAnotherUserNamesThat",
                   Kind::kService,
                   "watch",
                   {403, "Forbidden", "services is forbidden: User \"system:node:n1\" cannot watch resource"},
                   absl::PermissionDeniedError(absl::StrCat(
                       "watch services: forbidden: grant User system:node:n1 the verbs list and watch on services",
                       kGrantEnd))},
        RefusalRow{
            "A403WithoutAWordNamesTheAccountInUse",
            Kind::kNode,
            "list",
            {403, "", ""},
            absl::PermissionDeniedError(absl::StrCat(
                "list nodes: forbidden: grant the account in use the verbs list and watch on nodes", kGrantEnd))},
        RefusalRow{
            "A401IsAboutCredentials",
            Kind::kService,
            "list",
            {401, "Unauthorized", "Unauthorized"},
            absl::UnauthenticatedError("list services: the server does not take our credentials (401 Unauthorized)")},
        RefusalRow{
            "A404IsAboutTheResource",
            Kind::kServiceCidr,
            "list",
            {404, "NotFound", "the server could not find the requested resource"},
            absl::NotFoundError("list servicecidrs.networking.k8s.io: the server does not have this resource (404 "
                                "the server could not find the requested resource)")},
        RefusalRow{
            "A410SaysWhatComesNext",
            Kind::kService,
            "watch",
            {410, "Expired", "too old resource version: 1 (7)"},
            absl::OutOfRangeError("watch services: the server no longer knows the version asked for (410 too old "
                                  "resource version: 1 (7)); asking for everything again")},
        RefusalRow{"A429IsForLater",
                   Kind::kService,
                   "list",
                   {429, "TooManyRequests", "Too many requests"},
                   absl::UnavailableError("list services: the server answered 429: Too many requests")},
        RefusalRow{"A503WithOnlyAReason",
                   Kind::kService,
                   "list",
                   {503, "ServiceUnavailable", ""},
                   absl::UnavailableError("list services: the server answered 503: ServiceUnavailable")},
        RefusalRow{"A500WithoutAWord",
                   Kind::kService,
                   "list",
                   {500, "", ""},
                   absl::UnavailableError("list services: the server answered 500: no reason given")},
        RefusalRow{
            "A422IsOurMistake",
            Kind::kService,
            "watch",
            {422, "Invalid", "sendInitialEvents is forbidden"},
            absl::FailedPreconditionError("watch services: the server answered 422: sendInitialEvents is forbidden")}),
    [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace pointsman::kube
