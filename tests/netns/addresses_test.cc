// SPDX-License-Identifier: Apache-2.0
//
// The node's addresses, as a real kernel announces them. Needs the right to make a network namespace, and fails
// without.
#include <poll.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "pointsman/net.h"
#include "pointsman/netlink.h"
#include "tests/support/netns.h"

namespace pointsman {
namespace {

using support::NetNs;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Texts(const std::vector<IpAddr>& addresses) {
  std::vector<std::string> texts;
  texts.reserve(addresses.size());
  for (const IpAddr& address : addresses) texts.push_back(FormatIp(address));
  return texts;
}

std::vector<std::string> Read(NetNs& ns) {
  const absl::StatusOr<std::vector<IpAddr>> addresses = ns.Call([] { return ReadAddresses(); });
  EXPECT_TRUE(addresses.ok()) << addresses.status();
  return Texts(addresses.value_or(std::vector<IpAddr>()));
}

// A pair of interfaces that make no addresses of their own.
void AddLinks(NetNs& ns) {
  ns.Ip(
      "link add d0 type veth peer name d1\n"
      "link set d0 addrgenmode none\n"  // before it is up, or it may have its link-local address by then
      "link set d1 addrgenmode none\n"
      "link set d0 up\n"
      "link set d1 up\n");
}

bool Readable(int fd) {
  pollfd waiting = {.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&waiting, 1, 0) == 1;
}

TEST(AddressesTest, AreSortedAndUniqueAndLocal) {
  NetNs ns("addresses");
  EXPECT_THAT(Read(ns), IsEmpty());
  AddLinks(ns);
  ns.Ip(
      "addr add 192.0.2.9/24 dev d0\n"
      "addr add 192.0.2.2/24 dev d0\n"
      "addr add 192.0.2.2/24 dev d1\n"                    // once more
      "addr add 198.51.100.1 peer 198.51.100.2 dev d0\n"  // not the peer's
      "addr add 2001:db8::5/64 dev d0 nodad\n"
      "addr add 2001:db8:1::1 peer 2001:db8:1::2 dev d1 nodad\n"
      "addr add fe80::1/64 dev d0 nodad\n"
      "link set lo up\n");
  EXPECT_THAT(Read(ns), ElementsAre("127.0.0.1", "192.0.2.2", "192.0.2.9", "198.51.100.1", "::1", "2001:db8::5",
                                    "2001:db8:1::1", "fe80::1"));
}

TEST(AddressesTest, ATentativeOneDoesNotCountUnlessItIsOptimistic) {
  NetNs ns("addresses");
  AddLinks(ns);
  ns.Sysctl("net/ipv6/conf/d0/dad_transmits", "30");  // a second each
  ns.Ip("addr add 2001:db8::5/64 dev d0\n");
  EXPECT_THAT(Read(ns), IsEmpty());

  ns.Sysctl("net/ipv6/conf/d0/optimistic_dad", "1");
  ns.Sysctl("net/ipv6/conf/d0/use_optimistic", "1");
  ns.Ip("addr add 2001:db8::6/64 dev d0 optimistic\n");
  EXPECT_THAT(Read(ns), ElementsAre("2001:db8::6"));
}

TEST(AddressesTest, AMonitorSaysWhenTheyChange) {
  NetNs ns("addresses");
  AddLinks(ns);
  ns.Ip("addr add 192.0.2.1/24 dev d0\n");
  absl::StatusOr<std::unique_ptr<AddressMonitor>> opened = ns.Call([] { return WatchAddresses(); });
  ASSERT_TRUE(opened.ok()) << opened.status();
  AddressMonitor& monitor = **opened;
  const auto update = [&] { return monitor.Update().value_or(false); };
  EXPECT_THAT(Texts(monitor.addresses()), ElementsAre("192.0.2.1"));
  EXPECT_FALSE(Readable(monitor.fd()));
  EXPECT_FALSE(update());

  ns.Ip("addr add 192.0.2.2/24 dev d0\naddr add 2001:db8::1/64 dev d0 nodad\n");
  EXPECT_TRUE(Readable(monitor.fd()));
  EXPECT_TRUE(update());
  EXPECT_FALSE(Readable(monitor.fd())) << "everything was taken";
  EXPECT_THAT(Texts(monitor.addresses()), ElementsAre("192.0.2.1", "192.0.2.2", "2001:db8::1"));

  ns.Ip("addr del 192.0.2.1/24 dev d0\n");
  EXPECT_TRUE(update());
  ns.Ip("addr add 192.0.2.7/24 dev d1\naddr del 192.0.2.7/24 dev d1\n");
  EXPECT_TRUE(Readable(monitor.fd()));
  EXPECT_FALSE(update()) << "it came and went";
  // Link events are of no interest.
  ns.Ip("link set d1 mtu 1400\n");
  EXPECT_FALSE(Readable(monitor.fd()));
}

TEST(AddressesTest, LostEventsLoseNothing) {
  NetNs ns("addresses");
  AddLinks(ns);
  absl::StatusOr<std::unique_ptr<AddressMonitor>> monitor = ns.Call([] { return WatchAddresses(); });
  ASSERT_TRUE(monitor.ok()) << monitor.status();
  // Far more events than the receive buffer holds, then silence.
  std::string commands;
  for (int i = 0; i < 3000; ++i) {
    absl::StrAppend(&commands, "addr add 10.0.", i / 250, ".", i % 250, "/32 dev d0\n");
    if (i < 2998) absl::StrAppend(&commands, "addr del 10.0.", i / 250, ".", i % 250, "/32 dev d0\n");
  }
  ns.Ip(commands);

  const absl::StatusOr<bool> changed = (*monitor)->Update();

  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_TRUE(*changed);
  EXPECT_THAT(Texts((*monitor)->addresses()), ElementsAre("10.0.11.248", "10.0.11.249"));
}

}  // namespace
}  // namespace pointsman
