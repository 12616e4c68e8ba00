// SPDX-License-Identifier: Apache-2.0
#include "pointsman/packed.h"

#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/builders.h"

namespace pointsman {
namespace {

using support::Name;
using support::Slice;
using support::Svc;

PackedObject Packed(const std::string& name) { return PackedObject(Svc(name).ClusterIp("192.0.2.1").Build()); }

TEST(PackedObjectTest, NoObjectIsLikeNoOther) {
  EXPECT_FALSE(PackedObject());
  EXPECT_EQ(PackedObject(), nullptr);
  EXPECT_EQ(PackedObject(), PackedObject(nullptr));
  EXPECT_NE(Packed("shop/web"), nullptr);
  EXPECT_NE(Packed("shop/web"), PackedObject());
}

TEST(PackedObjectTest, EqualObjectsAreEqualWhereverTheyWereMade) {
  EXPECT_EQ(Packed("shop/web"), Packed("shop/web"));
  EXPECT_NE(Packed("shop/web"), Packed("shop/api"));
}

TEST(PackedObjectTest, CopiesShareTheBytesAndOutliveEachOther) {
  PackedObject copy;
  {
    const PackedObject original = Packed("shop/web");
    copy = original;
    EXPECT_EQ(copy.name().name.data(), original.name().name.data());
  }
  PackedObject moved = std::move(copy);
  const PackedObject& self = moved;
  moved = self;
  EXPECT_EQ(std::get<Service>(moved.Unpack()), Svc("shop/web").ClusterIp("192.0.2.1").Build());
}

TEST(PackedObjectTest, ASetFindsThemByName) {
  PackedObjects objects = {Packed("shop/web"), Packed("shop/api")};

  EXPECT_TRUE(objects.contains(Name("shop/web")));
  EXPECT_FALSE(objects.contains(Name("other/web")));
  EXPECT_FALSE(objects.insert(Packed("shop/web")).second) << "one of a name";
}

TEST(PackedObjectTest, TellsItsLabelsUnasked) {
  const PackedObject slice(Slice("shop/web-x1", "web").Build());

  EXPECT_EQ(slice.Label(kServiceNameLabel), "web");
  EXPECT_EQ(slice.Label(kHeadlessLabel), "");
  EXPECT_EQ(PackedObject(Svc("shop/web").Label("app", "shop").Build()).Label("app"), "shop");
}

}  // namespace
}  // namespace pointsman
