// SPDX-License-Identifier: Apache-2.0
#include "rules/nft/packed_fragment.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"

#include "rules/nft/element_order.h"
#include "rules/nft/layout.h"
#include "tests/support/builders.h"
#include "tests/support/gen.h"

namespace pointsman::nft {
namespace {

using support::Name;

// Long ones, empty ones, and such as begin like one another.
std::string ArbText(const std::string& service) {
  switch (*rc::gen::inRange(0, 4)) {
    case 0:
      return "";
    case 1:
      return absl::StrCat(service, ":", *rc::gen::element("http", "https", ""));
    case 2:
      return std::string(static_cast<size_t>(*rc::gen::element(1, 126, 127, 128)), 'x');
    default:
      return *rc::gen::string<std::string>();
  }
}

Bytes ArbBytes(int least) {
  Bytes bytes(static_cast<size_t>(*rc::gen::inRange(least, 45)));
  for (uint8_t& byte : bytes) byte = *rc::gen::element<uint8_t>(0, 1, 0xff);
  return bytes;
}

SetElement ArbElement(const std::string& service) {
  const auto number = static_cast<SetNumber>(*rc::gen::inRange(0, 28));
  SetElement e = {FamilyOf(number), NameOf(number), {ArbBytes(0), {}}};
  if (*rc::gen::inRange(0, 4) == 0) e.element.value.end = ArbBytes(1);
  switch (*rc::gen::inRange(0, 3)) {
    case 0:
      e.element.value.data = ArbBytes(0);
      break;
    case 1:
      e.element.value.data =
          Verdict{*rc::gen::element(Verdict::Code::kDrop, Verdict::Code::kAccept, Verdict::Code::kContinue,
                                    Verdict::Code::kJump, Verdict::Code::kGoto, Verdict::Code::kReturn),
                  ArbText(service)};
      break;
    default:
      break;
  }
  e.element.value.comment = ArbText(service);
  return e;
}

std::vector<SetElement> ArbElements(const std::string& service, int most) {
  std::vector<SetElement> list(static_cast<size_t>(*rc::gen::inRange(0, most)));
  for (SetElement& e : list) e = ArbElement(service);
  std::sort(list.begin(), list.end(), ElementLess{});
  return list;
}

RC_GTEST_PROP(PackedFragment, WhatIsUnpackedIsWhatWasPacked, ()) {
  const NamespacedName name = {*rc::gen::string<std::string>(), *rc::gen::string<std::string>()};
  Fragment fragment;
  fragment.elements = ArbElements(FormatName(name), 30);
  fragment.shared = ArbElements(FormatName(name), 5);
  fragment.shrinkable = *rc::gen::arbitrary<bool>();

  const PackedFragment packed(name, fragment);

  RC_ASSERT(packed.Unpack() == fragment);
  RC_ASSERT(packed.Name() == name);
  RC_ASSERT(packed.shrinkable() == fragment.shrinkable);
}

RC_GTEST_PROP(PackedFragment, HoldsWhatTheCompilerMakes, ()) {
  Store store;
  for (int i = *rc::gen::inRange(1, 30); i > 0; --i) store.Apply({.changes = {support::ArbChange(4)}});
  Planner planner;
  const PlanPatch patch = planner.Plan(store, {.all = true}, support::ArbNode(), support::ArbPolicy());
  const Fragment nothing;
  for (const auto& [name, plan] : patch.services) {
    if (plan == nullptr) continue;
    const Fragment fragment = CompileService(*plan, *HistoryOf(nothing), /*shrink=*/false);
    RC_ASSERT(PackedFragment(name, fragment).Unpack() == fragment);
  }
}

SetElement Slot(uint32_t slot, const std::string& endpoint) {
  const Match match = {support::Ip("192.0.2.1"), Protocol::kTcp, 80};
  return {Family::kIpv4, kEndpoints, {SlotKey(match, slot), {.data = SocketAddrData(support::At(endpoint))}}};
}

TEST(PackedFragmentTest, HoldsAListOfAnyLength) {
  Fragment fragment;
  for (uint32_t i = 0; i < 5000; ++i) {
    fragment.elements.push_back(Slot(i, absl::StrCat("203.0.", i / 256, ".", i % 256, ":8080")));
  }
  EXPECT_EQ(PackedFragment(Name("ns/a"), fragment).Unpack(), fragment);
}

TEST(PackedFragmentTest, IsFoundByItsNameAloneAndReplacedInPlace) {
  absl::flat_hash_set<PackedFragment, PackedFragment::Hash, PackedFragment::SameName> table;
  for (const char* name : {"ns/a", "n/sa", "nsa/"}) table.emplace(Name(name), Fragment{});
  ASSERT_EQ(table.size(), 3U) << "the same letters, other names";
  const Fragment next = {.elements = {Slot(0, "203.0.113.1:80")}, .shared = {}, .shrinkable = true};

  table.find(Name("n/sa"))->Replace(PackedFragment(Name("n/sa"), next));

  EXPECT_EQ(table.find(Name("n/sa"))->Unpack(), next);
  EXPECT_EQ(table.find(Name("ns/a"))->Unpack(), Fragment{});
  EXPECT_FALSE(table.contains(Name("ns/b")));
}

}  // namespace
}  // namespace pointsman::nft
