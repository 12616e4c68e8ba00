// SPDX-License-Identifier: Apache-2.0
//
// What a real API server said, decoded. The directory's README tells how it was recorded.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/kube/body.h"
#include "agent/kube/decode.h"
#include "agent/source/yaml_codec.h"
#include "pointsman/api.h"
#include "tests/unit/agent/kube/pieces.h"

namespace pointsman::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

std::string ReadFixture(const std::string& name) {
  std::ifstream in(absl::StrCat(PM_FIXTURES, "/", name), std::ios::binary);
  EXPECT_TRUE(in.good()) << name;
  return {std::istreambuf_iterator<char>(in), {}};
}

// The value of a header in a recorded head.
std::string HeaderIn(absl::string_view head, absl::string_view name) {
  for (absl::string_view line : absl::StrSplit(head, '\n')) {
    if (absl::ConsumePrefix(&line, absl::StrCat(name, ": "))) return std::string(absl::StripSuffix(line, "\r"));
  }
  return "";
}

struct Body {
  const char* stem;
  Kind kind;
  BodyReader::Form form;
  const char* files;  // endings, besides .pb
};

constexpr auto kList = BodyReader::Form::kList;
constexpr auto kWatch = BodyReader::Form::kWatch;

constexpr Body kBodies[] = {
    {"list-services", Kind::kService, kList, "json headers"},
    {"list-services-page1", Kind::kService, kList, "json"},
    {"list-services-page2", Kind::kService, kList, ""},
    {"list-endpointslices", Kind::kEndpointSlice, kList, "json headers"},
    {"list-node-a", Kind::kNode, kList, "json headers"},
    {"list-servicecidrs", Kind::kServiceCidr, kList, "json headers"},
    {"watch-services", Kind::kService, kWatch, "json"},
    {"watch-endpointslices", Kind::kEndpointSlice, kWatch, "json"},
    {"watch-services-expired", Kind::kService, kWatch, "json headers"},
    {"watchlist-services", Kind::kService, kWatch, "json headers"},
    {"watchlist-endpointslices", Kind::kEndpointSlice, kWatch, "json headers"},
};

// What is no list and no watch, and has a test of its own below.
constexpr const char* kOtherFiles[] = {"README.md", "list-continue-expired.headers", "list-continue-expired.json",
                                       "list-continue-expired.pb", "unauthorized.http"};

std::vector<Piece> Pieces(absl::string_view stem, Encoding encoding, size_t chunk = 0) {
  for (const Body& body : kBodies) {
    if (stem != body.stem) continue;
    const std::string text = ReadFixture(absl::StrCat(stem, encoding == Encoding::kProtobuf ? ".pb" : ".json"));
    Taken taken = TakeApart(body.kind, body.form, encoding, text, chunk);
    EXPECT_TRUE(taken.status.ok()) << stem << ": " << taken.status;
    return std::move(taken.pieces);
  }
  ADD_FAILURE() << stem;
  return {};
}

TEST(FixturesTest, EveryFileIsTested) {
  std::set<std::string> tested(std::begin(kOtherFiles), std::end(kOtherFiles));
  for (const Body& body : kBodies) {
    tested.insert(absl::StrCat(body.stem, ".pb"));
    for (const auto ending : absl::StrSplit(body.files, ' ', absl::SkipEmpty())) {
      tested.insert(absl::StrCat(body.stem, ".", ending));
    }
  }
  std::set<std::string> there;
  for (const auto& entry : std::filesystem::directory_iterator(PM_FIXTURES)) there.insert(entry.path().filename());
  EXPECT_EQ(there, tested);
}

class BodyTest : public ::testing::TestWithParam<Body> {
 protected:
  static bool Has(absl::string_view ending) { return absl::StrContains(GetParam().files, ending); }
  static const char* stem() { return GetParam().stem; }
};

TEST_P(BodyTest, BothEncodingsSayTheSame) {
  if (!Has("json")) {  // there is only the one; its content is checked below
    EXPECT_THAT(GetParam().stem, ::testing::StrEq("list-services-page2"));
    return;
  }
  const std::vector<Piece> protobuf = Pieces(stem(), Encoding::kProtobuf);
  const std::vector<Piece> json = Pieces(stem(), Encoding::kJson);
  ASSERT_FALSE(protobuf.empty());
  EXPECT_EQ(Describe(protobuf), Describe(json));
  ASSERT_EQ(protobuf.size(), json.size());
  for (size_t i = 0; i < protobuf.size(); ++i) EXPECT_TRUE(Same(protobuf[i], json[i])) << Describe(protobuf[i]);
}

TEST_P(BodyTest, HowItIsCutIntoChunksDoesNotMatter) {
  for (const Encoding encoding : {Encoding::kProtobuf, Encoding::kJson}) {
    if (encoding == Encoding::kJson && !Has("json")) continue;
    const std::vector<Piece> whole = Pieces(stem(), encoding);
    for (const size_t chunk : {1, 2, 3, 7, 100}) {
      const std::vector<Piece> pieces = Pieces(stem(), encoding, chunk);
      ASSERT_EQ(Describe(pieces), Describe(whole)) << chunk;
      for (size_t i = 0; i < pieces.size(); ++i) EXPECT_TRUE(Same(pieces[i], whole[i])) << Describe(whole[i]);
    }
  }
}

TEST_P(BodyTest, NothingInItIsComplainedOf) {
  for (const Piece& piece : Pieces(stem(), Encoding::kProtobuf))
    EXPECT_THAT(Describe(piece), ::testing::Not(HasSubstr("|")));
}

TEST_P(BodyTest, WhereverItEndsTooEarlyWhatWasCompleteIsGiven) {
  const bool watch = GetParam().form == kWatch;
  for (const Encoding encoding : {Encoding::kProtobuf, Encoding::kJson}) {
    if (encoding == Encoding::kJson && !Has("json")) continue;
    const std::string body = ReadFixture(absl::StrCat(stem(), encoding == Encoding::kProtobuf ? ".pb" : ".json"));
    const std::vector<std::string> whole = Describe(Pieces(stem(), encoding));
    // One reader takes byte after byte. At each another ends, which has had everything before in one piece.
    BodyReader slow(GetParam().kind, GetParam().form, encoding);
    std::vector<std::string> pieces;
    const size_t last = encoding == Encoding::kProtobuf ? body.size() : body.find_last_of('}') + 1;
    for (size_t length = 0; length < last; ++length) {
      if (length % 64 == 0 || length + 8 > last) {
        const Taken cut =
            TakeApart(GetParam().kind, GetParam().form, encoding, absl::string_view(body).substr(0, length));
        ASSERT_EQ(Describe(cut.pieces), pieces) << length;
        // A watch may end between any two events, and the envelope of a list after its last item.
        const bool may_end = watch || (encoding == Encoding::kProtobuf && pieces == whole);
        ASSERT_TRUE((may_end && cut.status.ok()) || cut.status.code() == absl::StatusCode::kDataLoss) << length;
      }
      ASSERT_TRUE(
          slow.Push(absl::string_view(body).substr(length, 1), [&](Piece piece) { pieces.push_back(Describe(piece)); })
              .ok());
      ASSERT_LE(pieces.size(), whole.size());
    }
    EXPECT_EQ(pieces, whole);
    EXPECT_TRUE(slow.Finish().ok());
  }
}

INSTANTIATE_TEST_SUITE_P(Recorded, BodyTest, ::testing::ValuesIn(kBodies), [](const auto& body) {
  std::string name;
  for (const char c : absl::string_view(body.param.stem)) {
    if (c != '-') name += c;
  }
  return name;
});

TEST(FixturesTest, TheHeadNamesTheEncoding) {
  int heads = 0;
  for (const Body& body : kBodies) {
    if (!absl::StrContains(body.files, "headers")) continue;
    const std::string head = ReadFixture(absl::StrCat(body.stem, ".headers"));
    EXPECT_THAT(head, StartsWith("HTTP/2 200")) << body.stem;
    EXPECT_EQ(EncodingOf(HeaderIn(head, "content-type")), Encoding::kProtobuf) << body.stem;
    EXPECT_EQ(absl::StrContains(HeaderIn(head, "content-type"), "stream=watch"), body.form == kWatch) << body.stem;
    ++heads;
  }
  EXPECT_EQ(heads, 7);
}

// The same list as a manifest: the server has filled in what the codec would.
TEST(FixturesTest, ManifestsAreUnderstoodTheSame) {
  int objects = 0;
  for (const Body& body : kBodies) {
    if (body.form != kList || !absl::StrContains(body.files, "json")) continue;
    const ParsedManifests parsed = ParseManifests(body.stem, ReadFixture(absl::StrCat(body.stem, ".json")));
    EXPECT_TRUE(parsed.sound) << body.stem;
    size_t at = 1;  // behind what the list says of itself
    const std::vector<Piece> pieces = Pieces(body.stem, Encoding::kProtobuf);
    ASSERT_EQ(parsed.objects.size() + 1, pieces.size()) << body.stem;
    for (const LocatedObject& located : parsed.objects) {
      const Decoded& decoded = std::get<ListItem>(pieces[at++]).decoded;
      Object object = *located.object;
      std::visit(
          [](auto& o) {
            std::erase_if(o.meta.labels, [](const auto& label) {
              return label.first != kServiceNameLabel && label.first != kServiceProxyNameLabel &&
                     label.first != kHeadlessLabel && label.first != kZoneLabel;
            });
          },
          object);
      ASSERT_NE(decoded.object, nullptr);
      EXPECT_TRUE(object == *decoded.object) << FormatKey(decoded.key);
      ++objects;
    }
  }
  EXPECT_EQ(objects, 10 + 3 + 9 + 1 + 1);
}

// --- what they say

TEST(FixturesTest, PagesFollowEachOther) {
  EXPECT_THAT(Describe(Pieces("list-services-page1", Encoding::kProtobuf)),
              ElementsAre("list @246 and more", "Service default/kubernetes @192",
                          "Service shop/discovery-service @202", "Service shop/dual @246"));
  EXPECT_THAT(
      Describe(Pieces("list-services-page2", Encoding::kProtobuf)),
      ElementsAre("list @246 and more", "Service shop/ext @212", "Service shop/headless @211", "Service shop/lb @227"));
  EXPECT_EQ(std::get<ListInfo>(Pieces("list-services-page1", Encoding::kProtobuf)[0]).continue_token,
            "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MjQ2LCJzdGFydCI6Ii9zaG9wL2R1YWxcdTAwMDAifQ");
}

TEST(FixturesTest, AListSaysItsVersionAndGivesItsItems) {
  EXPECT_THAT(Describe(Pieces("list-services", Encoding::kProtobuf)),
              ElementsAre("list @246", "Service default/kubernetes @192", "Service shop/discovery-service @202",
                          "Service shop/dual @246", "Service shop/ext @212", "Service shop/headless @211",
                          "Service shop/lb @227", "Service shop/lonely @216", "Service shop/sticky @208",
                          "Service shop/telecom @210", "Service shop/web @199"));
  EXPECT_THAT(
      Describe(Pieces("list-endpointslices", Encoding::kProtobuf)),
      ElementsAre("list @226", "EndpointSlice shop/discovery-service-1 @221", "EndpointSlice shop/dual-v4 @219",
                  "EndpointSlice shop/dual-v6 @220", "EndpointSlice shop/fqdn-1 @226", "EndpointSlice shop/lb-1 @222",
                  "EndpointSlice shop/sticky-1 @223", "EndpointSlice shop/telecom-1 @224",
                  "EndpointSlice shop/web-1 @217", "EndpointSlice shop/web-2 @218"));
}

TEST(FixturesTest, AWatchTellsChangesAndBookmarks) {
  EXPECT_THAT(Describe(Pieces("watch-services", Encoding::kProtobuf)),
              ElementsAre("MODIFIED Service shop/web @248", "DELETED Service shop/lonely @249",
                          "ADDED Service shop/fresh @253", "DELETED Service shop/telecom @254",
                          "BOOKMARK no object Service @254", "BOOKMARK no object Service @254"));
  EXPECT_THAT(Describe(Pieces("watch-endpointslices", Encoding::kProtobuf)),
              ElementsAre("MODIFIED EndpointSlice shop/web-1 @247", "DELETED EndpointSlice shop/web-2 @251",
                          "BOOKMARK no object EndpointSlice @251"));
}

TEST(FixturesTest, AWatchListTellsWhereItsInitialEventsEnd) {
  const std::vector<std::string> services = Describe(Pieces("watchlist-services", Encoding::kProtobuf));
  ASSERT_EQ(services.size(), 17u);
  EXPECT_EQ(services[0], "ADDED Service default/kubernetes @192");
  EXPECT_EQ(services[9], "ADDED Service shop/web @199");
  EXPECT_EQ(services[10], "BOOKMARK no object Service @246 end of initial events");
  EXPECT_EQ(services[11], "MODIFIED Service shop/web @248");
  EXPECT_EQ(services[16], "BOOKMARK no object Service @254");
  const std::vector<std::string> slices = Describe(Pieces("watchlist-endpointslices", Encoding::kProtobuf));
  ASSERT_EQ(slices.size(), 13u);
  EXPECT_EQ(slices[9], "BOOKMARK no object EndpointSlice @246 end of initial events");
}

TEST(FixturesTest, AnExpiredWatchEndsWithItsStatus) {
  const std::vector<Piece> pieces = Pieces("watch-services-expired", Encoding::kProtobuf);
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(std::get<WatchEvent>(pieces[0]).type, WatchEvent::Type::kError);
  EXPECT_EQ(std::get<WatchEvent>(pieces[0]).status,
            (ApiStatus{.code = 410, .reason = "Expired", .message = "too old resource version: 200 (348)"}));
}

TEST(FixturesTest, AnExpiredPageIsAFailureInBothEncodings) {
  const std::string head = ReadFixture("list-continue-expired.headers");
  EXPECT_THAT(head, StartsWith("HTTP/2 410"));
  const std::string type = HeaderIn(head, "content-type");
  const ApiStatus protobuf = DecodeFailure(410, type, ReadFixture("list-continue-expired.pb"));
  EXPECT_EQ(protobuf.code, 410);
  EXPECT_EQ(protobuf.reason, "Expired");
  EXPECT_THAT(protobuf.message, StartsWith("The provided continue parameter is too old"));
  EXPECT_EQ(protobuf, DecodeFailure(410, kJsonType, ReadFixture("list-continue-expired.json")));
  // A success that is none is no list either.
  for (const auto& [encoding, ending] : {std::pair(Encoding::kProtobuf, "pb"), std::pair(Encoding::kJson, "json")}) {
    const Taken taken =
        TakeApart(Kind::kService, kList, encoding, ReadFixture(absl::StrCat("list-continue-expired.", ending)));
    EXPECT_THAT(taken.pieces, IsEmpty());
    EXPECT_EQ(taken.status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(taken.status.message()), HasSubstr("The provided continue parameter is too old"));
  }
}

TEST(FixturesTest, ABadTokenIsUnauthorized) {
  const std::string text = ReadFixture("unauthorized.http");
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits("\r\n\r\n", 1));
  const auto& [head, body] = parts;
  ASSERT_FALSE(body.empty());
  EXPECT_THAT(head, StartsWith("HTTP/2 401"));
  EXPECT_EQ(DecodeFailure(401, HeaderIn(head, "content-type"), body),
            (ApiStatus{.code = 401, .reason = "Unauthorized", .message = "Unauthorized"}));
}

// Of the list or watch: the last object of that name.
template <typename T>
T Find(absl::string_view stem, absl::string_view name) {
  std::optional<T> found;
  for (const Piece& piece : Pieces(stem, Encoding::kProtobuf)) {
    const Decoded* decoded = nullptr;
    if (const auto* item = std::get_if<ListItem>(&piece)) decoded = &item->decoded;
    if (const auto* event = std::get_if<WatchEvent>(&piece)) decoded = &event->decoded;
    if (decoded == nullptr || !decoded->object || FormatName(decoded->key.name) != name) continue;
    found = std::get<T>(*decoded->object);
  }
  EXPECT_TRUE(found) << name;
  return found.value_or(T());
}

Service ServiceOf(absl::string_view name) { return Find<Service>("list-services", name); }
EndpointSlice SliceOf(absl::string_view name) { return Find<EndpointSlice>("list-endpointslices", name); }

absl::Time At(const char* text) {
  absl::Time time;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, text, &time, nullptr));
  return time;
}

TEST(FixturesTest, AServiceWithTwoPorts) {
  Service expected;
  expected.meta = {.name = {"shop", "web"}, .labels = {}, .creation = At("2026-11-23T01:43:40Z")};
  expected.cluster_ips = {"10.96.10.10"};
  expected.ip_families = {Family::kIpv4};
  expected.ports = {{.name = "http", .port = 80}, {.name = "metrics", .port = 9090}};
  EXPECT_TRUE(ServiceOf("shop/web") == expected);
}

TEST(FixturesTest, ADualStackServiceWithTwoProtocols) {
  const Service dual = ServiceOf("shop/dual");
  EXPECT_THAT(dual.cluster_ips, ElementsAre("10.96.10.11", "fd00:10:96::1:11"));
  EXPECT_THAT(dual.ip_families, ElementsAre(Family::kIpv4, Family::kIpv6));
  EXPECT_THAT(dual.ports, ElementsAre(ServicePortSpec{.name = "dns", .protocol = Protocol::kUdp, .port = 53},
                                      ServicePortSpec{.name = "dns-tcp", .protocol = Protocol::kTcp, .port = 53}));
}

TEST(FixturesTest, ANodePort) {
  const Service service = ServiceOf("shop/discovery-service");
  EXPECT_EQ(service.type, ServiceType::kNodePort);
  EXPECT_THAT(service.ports, ElementsAre(ServicePortSpec{.name = "", .port = 8761, .node_port = 30007}));
}

TEST(FixturesTest, ALoadBalancerWithAnAddressOfAProxy) {
  const Service lb = ServiceOf("shop/lb");
  EXPECT_EQ(lb.type, ServiceType::kLoadBalancer);
  EXPECT_EQ(lb.external_policy, TrafficPolicy::kLocal);
  EXPECT_EQ(lb.internal_policy, TrafficPolicy::kCluster);
  EXPECT_EQ(lb.health_check_node_port, 31999);
  EXPECT_THAT(lb.source_ranges, ElementsAre("203.0.113.0/24", "198.51.100.0/25"));
  EXPECT_THAT(lb.ingress, ElementsAre(LoadBalancerIngress{"198.51.100.200", IpMode::kVip},
                                      LoadBalancerIngress{"198.51.100.201", IpMode::kProxy}));
  EXPECT_THAT(lb.ports, ElementsAre(ServicePortSpec{.name = "https", .port = 443, .node_port = 30443}));
}

TEST(FixturesTest, AStickyServiceWithAnExternalAddress) {
  const Service sticky = ServiceOf("shop/sticky");
  EXPECT_EQ(sticky.client_ip_affinity, absl::Seconds(600));
  EXPECT_EQ(sticky.internal_policy, TrafficPolicy::kLocal);
  EXPECT_EQ(sticky.external_policy, TrafficPolicy::kCluster);
  EXPECT_THAT(sticky.external_ips, ElementsAre("192.0.2.50"));
}

TEST(FixturesTest, ServicesThatAreNotToBeProxied) {
  EXPECT_THAT(ServiceOf("shop/headless").cluster_ips, ElementsAre("None"));
  EXPECT_EQ(ServiceOf("shop/ext").type, ServiceType::kExternalName);
  EXPECT_THAT(ServiceOf("shop/ext").cluster_ips, IsEmpty());
  EXPECT_THAT(ServiceOf("shop/ext").ip_families, IsEmpty());
}

TEST(FixturesTest, SctpIsAProtocol) {
  EXPECT_THAT(ServiceOf("shop/telecom").ports,
              ElementsAre(ServicePortSpec{.name = "s1ap", .protocol = Protocol::kSctp, .port = 36412}));
  EXPECT_EQ(SliceOf("shop/telecom-1").ports[0].protocol, Protocol::kSctp);
}

TEST(FixturesTest, ASliceWithHintsAndATerminatingEndpoint) {
  EndpointSlice expected;
  expected.meta = {.name = {"shop", "web-1"},
                   .labels = {{"kubernetes.io/service-name", "web"}},
                   .creation = At("2026-11-23T01:43:40Z")};
  expected.address_type = Family::kIpv4;
  expected.ports = {{.name = "http", .port = 8080}, {.name = "metrics", .port = 9090}};
  expected.endpoints = {
      {.addresses = {"10.244.1.10"}, .node_name = "node-a", .zone_hints = {"zone-1"}},
      {.addresses = {"10.244.2.10"}, .node_name = "node-b", .zone_hints = {"zone-2"}},
      {.addresses = {"10.244.2.11"}, .ready = false, .serving = true, .terminating = true, .node_name = "node-b"}};
  EXPECT_TRUE(SliceOf("shop/web-1") == expected);
  EXPECT_EQ(SliceOf("shop/web-2").ports[0].port, 8081);
}

TEST(FixturesTest, SlicesOfOtherFamiliesAndNone) {
  EXPECT_EQ(SliceOf("shop/dual-v6").address_type, Family::kIpv6);
  EXPECT_THAT(SliceOf("shop/dual-v6").endpoints[0].addresses, ElementsAre("fd00:10:244:1::1e"));
  EXPECT_EQ(SliceOf("shop/fqdn-1").address_type, std::nullopt);
  EXPECT_TRUE(SliceOf("shop/fqdn-1").endpoints[0].ready);  // it has no condition at all
  EXPECT_EQ(SliceOf("shop/fqdn-1").endpoints[0].node_name, std::nullopt);
  // The server has made the missing name the empty one.
  EXPECT_EQ(SliceOf("shop/discovery-service-1").ports[0].name, "");
}

TEST(FixturesTest, ChangesSeenByAWatch) {
  const EndpointSlice slice = Find<EndpointSlice>("watch-endpointslices", "shop/web-1");
  EXPECT_FALSE(slice.endpoints[0].ready);
  EXPECT_TRUE(slice.endpoints[0].serving);
  EXPECT_FALSE(slice.endpoints[0].terminating);
  EXPECT_EQ(Find<Service>("watch-services", "shop/web").client_ip_affinity, absl::Seconds(10800));
  const Service fresh = Find<Service>("watch-services", "shop/fresh");
  EXPECT_THAT(fresh.cluster_ips, ElementsAre("10.101.250.219"));
  EXPECT_THAT(fresh.ports, ElementsAre(ServicePortSpec{.name = "80-8080", .port = 80}));
  EXPECT_THAT(fresh.meta.labels, IsEmpty());  // `app` is none of ours
}

TEST(FixturesTest, ANode) {
  Node expected;
  expected.meta = {.name = {"", "node-a"},
                   .labels = {{"topology.kubernetes.io/zone", "zone-1"}},
                   .creation = At("2026-11-23T01:43:40Z")};
  expected.internal_ips = {"192.0.2.11", "2001:db8::11"};
  expected.pod_cidrs = {"10.244.1.0/24", "fd00:10:244:1::/64"};
  expected.taints = {"node.kubernetes.io/not-ready"};
  EXPECT_TRUE(Find<Node>("list-node-a", "node-a") == expected);
}

TEST(FixturesTest, TheRangesOfServices) {
  ServiceCidr expected;
  expected.meta = {.name = {"", "kubernetes"}, .labels = {}, .creation = At("2026-11-23T01:43:37Z")};
  expected.cidrs = {"10.96.0.0/12", "fd00:10:96::/108"};
  EXPECT_TRUE(Find<ServiceCidr>("list-servicecidrs", "kubernetes") == expected);
}

}  // namespace
}  // namespace pointsman::kube
