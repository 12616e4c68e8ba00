// SPDX-License-Identifier: Apache-2.0
#include "pointsman/store.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/builders.h"

namespace pointsman {
namespace {

using support::Batch;
using support::Gone;
using support::Name;
using support::Slice;
using support::Svc;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

ObjectChange PutNode(const std::string& name, const std::string& zone = "") {
  Node node{.meta = {.name = {"", name}}};
  if (!zone.empty()) node.meta.labels[kZoneLabel] = zone;
  return {{Kind::kNode, node.meta.name}, PackedObject(node)};
}

ObjectChange PutCidr(const std::string& name, const std::string& cidr) {
  ServiceCidr object{.meta = {.name = {"", name}}, .cidrs = {cidr}};
  return {{Kind::kServiceCidr, object.meta.name}, PackedObject(object)};
}

std::vector<std::string> SliceNames(const Store& store, const std::string& service) {
  std::vector<std::string> names;
  for (const EndpointSlice& slice : store.SlicesOf(Name(service))) names.push_back(slice.meta.name.name);
  return names;
}

TEST(StoreTest, AServiceTouchesItself) {
  Store store;

  const Touched touched = store.Apply(Batch({Svc("shop/web").ClusterIp("192.0.2.1").Tcp(80).Put()}));

  EXPECT_THAT(touched.services, ElementsAre(Name("shop/web")));
  EXPECT_FALSE(touched.all);
  ASSERT_TRUE(store.FindService(Name("shop/web")).has_value());
  EXPECT_EQ(store.FindService(Name("shop/web"))->ports.size(), 1U);
}

TEST(StoreTest, ASliceTouchesTheServiceItIsLabelledWith) {
  Store store;

  const Touched touched = store.Apply(Batch({Slice("shop/web-x1", "web").Put()}));

  EXPECT_THAT(touched.services, ElementsAre(Name("shop/web"))) << "of its own namespace";
  EXPECT_THAT(SliceNames(store, "shop/web"), ElementsAre("web-x1"));
  EXPECT_THAT(SliceNames(store, "other/web"), IsEmpty());
}

TEST(StoreTest, AnEqualUpsertTouchesNothing) {
  Store store;
  store.Apply(Batch({Svc("shop/web").ClusterIp("192.0.2.1").Tcp(80).Put(),
                     Slice("shop/web-1", "web").Ready("203.0.113.1").Put(), PutNode("n1", "a")}));

  const Touched touched =
      store.Apply(Batch({Svc("shop/web").ClusterIp("192.0.2.1").Tcp(80).Put(),
                         Slice("shop/web-1", "web").Ready("203.0.113.1").Put(), PutNode("n1", "a")}));

  EXPECT_TRUE(touched.empty());
}

TEST(StoreTest, AnyDifferenceInAnObjectIsAnUpdate) {
  Store store;
  store.Apply(Batch({Slice("shop/web-1", "web").Ready("203.0.113.1").Put()}));

  const Touched touched = store.Apply(Batch({Slice("shop/web-1", "web").Terminating("203.0.113.1").Put()}));

  EXPECT_THAT(touched.services, ElementsAre(Name("shop/web")));
  EXPECT_TRUE(store.SlicesOf(Name("shop/web"))[0].endpoints[0].terminating) << "replaced, not merged";
}

TEST(StoreTest, ASliceThatMovesToAnotherServiceTouchesBothAndLeavesTheFirst) {
  Store store;
  store.Apply(Batch({Slice("shop/s-1", "web").Ready("203.0.113.1").Put()}));

  const Touched touched = store.Apply(Batch({Slice("shop/s-1", "api").Ready("203.0.113.1").Put()}));

  EXPECT_THAT(touched.services, ElementsAre(Name("shop/api"), Name("shop/web")));
  EXPECT_THAT(SliceNames(store, "shop/web"), IsEmpty());
  EXPECT_THAT(SliceNames(store, "shop/api"), ElementsAre("s-1"));
}

TEST(StoreTest, ASliceWithoutAServiceTouchesNone) {
  Store store;
  EndpointSlice slice = Slice("shop/lost", "").Build();
  const auto put = [&] { return ObjectChange{{Kind::kEndpointSlice, slice.meta.name}, PackedObject(slice)}; };

  EXPECT_TRUE(store.Apply(Batch({put()})).empty()) << "an empty label names nobody";
  slice.meta.labels.clear();
  EXPECT_TRUE(store.Apply(Batch({put()})).empty()) << "neither does a missing one";
  slice.meta.labels[kServiceNameLabel] = "web";
  EXPECT_THAT(store.Apply(Batch({put()})).services, ElementsAre(Name("shop/web"))) << "until it is labelled";
  slice.meta.labels.clear();
  EXPECT_THAT(store.Apply(Batch({put()})).services, ElementsAre(Name("shop/web"))) << "and when it ceases to be";
  EXPECT_TRUE(store.Apply(Batch({Gone(Kind::kEndpointSlice, "shop/lost")})).empty());
}

TEST(StoreTest, DeletionsTouchWhatTheyConcernedAndForgetIt) {
  Store store;
  store.Apply(Batch({Svc("shop/web").ClusterIp("192.0.2.1").Put(), Slice("shop/web-1", "web").Put(),
                     Slice("shop/web-2", "web").Put()}));

  const Touched slice = store.Apply(Batch({Gone(Kind::kEndpointSlice, "shop/web-1")}));
  EXPECT_THAT(slice.services, ElementsAre(Name("shop/web")));
  EXPECT_THAT(SliceNames(store, "shop/web"), ElementsAre("web-2"));

  const Touched service = store.Apply(Batch({Gone(Kind::kService, "shop/web")}));
  EXPECT_THAT(service.services, ElementsAre(Name("shop/web")));
  EXPECT_EQ(store.FindService(Name("shop/web")), std::nullopt);
  EXPECT_THAT(SliceNames(store, "shop/web"), ElementsAre("web-2")) << "slices wait for their Service";

  store.Apply(Batch({Gone(Kind::kEndpointSlice, "shop/web-2")}));
  EXPECT_EQ(store.size(), 0U) << "nothing is left behind";
}

TEST(StoreTest, DeletingTheUnknownTouchesNothing) {
  Store store;

  EXPECT_TRUE(store
                  .Apply(Batch({Gone(Kind::kService, "shop/web"), Gone(Kind::kEndpointSlice, "shop/web-1"),
                                Gone(Kind::kNode, "n1"), Gone(Kind::kServiceCidr, "c1")}))
                  .empty());
}

TEST(StoreTest, NodesAndServiceCidrsTouchEverything) {
  Store store;

  EXPECT_TRUE(store.Apply(Batch({PutNode("n1", "a")})).all);
  EXPECT_TRUE(store.Apply(Batch({PutCidr("c1", "192.0.2.0/24")})).all);
  EXPECT_TRUE(store.Apply(Batch({PutNode("n1", "b")})).all) << "a changed one too";
  ASSERT_NE(store.FindNode("n1"), nullptr);
  EXPECT_EQ(store.ServiceCidrs().size(), 1U) << "Nodes are not among them";
  EXPECT_TRUE(store.Apply(Batch({{{Kind::kServiceCidr, {"", "c1"}}, nullptr}})).all);
  EXPECT_THAT(store.ServiceCidrs(), IsEmpty());
}

TEST(StoreTest, SlicesComeInOrderOfTheirNames) {
  Store store;

  store.Apply(
      Batch({Slice("shop/web-b", "web").Put(), Slice("shop/web-a", "web").Put(), Slice("shop/web-c", "web").Put()}));

  EXPECT_THAT(SliceNames(store, "shop/web"), ElementsAre("web-a", "web-b", "web-c"));
}

TEST(StoreTest, KnowsWhichServicesTheOthersDependOn) {
  Store store;

  store.Apply(
      Batch({Svc("default/kubernetes").Put(), Svc("kube-system/kube-dns").Put(), Svc("kube-system/coredns").Put(),
             Svc("openshift-dns/dns-default").Put(), Svc("kube-system/rke2-coredns").Label(kAppLabel, "kube-dns").Put(),
             Svc("kube-system/metrics-server").Label(kAppLabel, "metrics-server").Put(), Svc("shop/kubernetes").Put(),
             Svc("shop/dns").Label(kAppLabel, "kube-dns").Put()}));
  EXPECT_THAT(store.First(),
              ElementsAre(Name("default/kubernetes"), Name("kube-system/coredns"), Name("kube-system/kube-dns"),
                          Name("kube-system/rke2-coredns"), Name("openshift-dns/dns-default")));

  store.Apply(Batch({Gone(Kind::kService, "kube-system/coredns"), Svc("kube-system/rke2-coredns").Put()}));
  EXPECT_THAT(store.First(),
              ElementsAre(Name("default/kubernetes"), Name("kube-system/kube-dns"), Name("openshift-dns/dns-default")));
}

TEST(StoreTest, NamesOnlyServicesWhenAskedForThem) {
  Store store;

  store.Apply(Batch({Svc("b/web").Put(), Svc("a/web").Put(), Slice("a/x", "orphan").Put(), PutNode("n1")}));

  EXPECT_THAT(store.ServiceNames(), ElementsAre(Name("a/web"), Name("b/web")));
}

}  // namespace
}  // namespace pointsman
