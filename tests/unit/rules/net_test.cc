// SPDX-License-Identifier: Apache-2.0
#include "pointsman/net.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "tests/support/builders.h"

namespace pointsman {
namespace {

using support::Ip;
using support::Net;

constexpr char kRefused[] = "refused";

// Text in, canonical text out, or kRefused.
struct TextRow {
  const char* name;
  const char* why;
  const char* text;
  const char* canonical;
};

template <typename Row>
std::string NameOf(const ::testing::TestParamInfo<Row>& info) {
  return info.param.name;
}

class IpText : public ::testing::TestWithParam<TextRow> {};

TEST_P(IpText, IsReadAsTheApiReadsIt) {
  const TextRow& row = GetParam();

  const std::optional<IpAddr> addr = IpAddr::Parse(row.text);

  EXPECT_EQ(addr ? FormatIp(*addr) : kRefused, row.canonical) << row.why;
}

INSTANTIATE_TEST_SUITE_P(Net, IpText,
                         ::testing::ValuesIn(std::vector<TextRow>{
                             {"Plain", "the common case", "192.0.2.1", "192.0.2.1"},
                             {"LeadingZeros", "octets are decimal whatever zeros lead them", "172.30.0.041",
                              "172.30.0.41"},
                             {"ManyLeadingZeros", "as many as one likes", "192.168.00000099.022", "192.168.99.22"},
                             {"ZeroOctets", "000 is 0", "203.0.113.000", "203.0.113.0"},
                             {"Octet256", "an octet has eight bits", "192.0.2.256", kRefused},
                             {"HugeOctet", "no overflow into something valid", "192.0.2.4294967297", kRefused},
                             {"ThreeOctets", "no shorthand", "192.0.2", kRefused},
                             {"FiveOctets", "no excess", "192.0.2.1.1", kRefused},
                             {"EmptyOctet", "an octet has a digit", "192..2.1", kRefused},
                             {"Negative", "no signs", "192.0.2.-1", kRefused},
                             {"Plus", "no signs", "192.0.2.+1", kRefused},
                             {"Blank", "addresses are not trimmed; only source ranges are", " 192.0.2.1", kRefused},
                             {"Hexadecimal", "decimal only", "192.0.2.0x1", kRefused},
                             {"Empty", "nothing is no address", "", kRefused},
                             {"None", "the word for headless Services", "None", kRefused},
                             {"Ipv6", "canonical form is shortest, lower case", "2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
                             {"Ipv6Unspecified", "all zero", "::", "::"},
                             {"Mapped", "an IPv4-mapped address is the IPv4 address", "::ffff:192.0.2.1", "192.0.2.1"},
                             {"MappedInHex", "however it is written", "::ffff:c000:201", "192.0.2.1"},
                             {"Zone", "a zone means nothing in another host", "fe80::1%eth0", kRefused},
                             {"Brackets", "those belong to a URL", "[2001:db8::1]", kRefused},
                             {"TooManyGroups", "eight groups at most", "1:2:3:4:5:6:7:8:9", kRefused},
                         }),
                         NameOf<TextRow>);

class CidrText : public ::testing::TestWithParam<TextRow> {};

TEST_P(CidrText, IsReadWithItsHostBitsCleared) {
  const TextRow& row = GetParam();

  const std::optional<Cidr> cidr = Cidr::Parse(row.text);

  EXPECT_EQ(cidr ? FormatCidr(*cidr) : kRefused, row.canonical) << row.why;
}

INSTANTIATE_TEST_SUITE_P(Net, CidrText,
                         ::testing::ValuesIn(std::vector<TextRow>{
                             {"Plain", "the common case", "203.0.113.0/25", "203.0.113.0/25"},
                             {"LeadingZeros", "tolerated in both parts", "203.0.113.000/025", "203.0.113.0/25"},
                             {"HostBits", "cleared, not refused", "203.0.113.129/25", "203.0.113.128/25"},
                             {"HostBitsWithinAnOctet", "bit by bit", "10.255.0.0/12", "10.240.0.0/12"},
                             {"Everything", "length 0 is a range", "198.51.100.7/0", "0.0.0.0/0"},
                             {"OneAddress", "length 32", "198.51.100.7/32", "198.51.100.7/32"},
                             {"TooLong", "33 bits are too many", "198.51.100.7/33", kRefused},
                             {"NoLength", "an address is no range", "198.51.100.7", kRefused},
                             {"EmptyLength", "nor half of one", "198.51.100.7/", kRefused},
                             {"SignedLength", "no signs", "198.51.100.7/+8", kRefused},
                             {"TwoLengths", "one is enough", "198.51.100.0/24/24", kRefused},
                             {"Ipv6", "the common case", "2001:db8:ffff::/33", "2001:db8:8000::/33"},
                             {"Ipv6Everything", "length 0", "2001:db8::/0", "::/0"},
                             {"Ipv6TooLong", "129 bits are too many", "2001:db8::/129", kRefused},
                             {"Mapped", "the 96 bits in front count", "::ffff:192.0.2.77/120", "192.0.2.0/24"},
                             {"MappedEverything", "96 bits are all of IPv4", "::ffff:192.0.2.77/96", "0.0.0.0/0"},
                             {"MappedShort", "a short one is not the IPv4 range of that length", "::ffff:10.0.0.0/24",
                              kRefused},
                             {"EndsAmongTheMapped", "no IPv6 address is its last", "::/80", kRefused},
                             {"ContainsTheMapped", "the last is an IPv6 address", "::/64", "::/64"},
                         }),
                         NameOf<TextRow>);

struct LastRow {
  const char* name;
  const char* cidr;
  const char* base;
  const char* last;
};

class CidrEnds : public ::testing::TestWithParam<LastRow> {};

TEST_P(CidrEnds, AreItsLowestAndItsHighestAddress) {
  const LastRow& row = GetParam();

  const Cidr cidr = Net(row.cidr);

  EXPECT_EQ(FormatIp(cidr.base()), row.base);
  EXPECT_EQ(FormatIp(cidr.last()), row.last);
  EXPECT_TRUE(cidr.Contains(cidr.base()));
  EXPECT_TRUE(cidr.Contains(cidr.last()));
}

INSTANTIATE_TEST_SUITE_P(Net, CidrEnds,
                         ::testing::ValuesIn(std::vector<LastRow>{
                             {"Everything", "0.0.0.0/0", "0.0.0.0", "255.255.255.255"},
                             {"OneAddress", "192.0.2.1/32", "192.0.2.1", "192.0.2.1"},
                             {"WithinAnOctet", "192.0.2.128/26", "192.0.2.128", "192.0.2.191"},
                             {"AcrossOctets", "10.240.0.0/12", "10.240.0.0", "10.255.255.255"},
                             {"Ipv6", "2001:db8::/63", "2001:db8::", "2001:db8:0:1:ffff:ffff:ffff:ffff"},
                             {"Ipv6OneAddress", "2001:db8::1/128", "2001:db8::1", "2001:db8::1"},
                         }),
                         NameOf<LastRow>);

TEST(CidrTest, ContainsWhatLiesBetweenItsEndsAndNothingOfTheOtherFamily) {
  const Cidr cidr = Net("192.0.2.128/26");

  EXPECT_TRUE(cidr.Contains(Ip("192.0.2.150")));
  EXPECT_FALSE(cidr.Contains(Ip("192.0.2.127")));
  EXPECT_FALSE(cidr.Contains(Ip("192.0.2.192")));
  EXPECT_TRUE(cidr.Contains(Ip("::ffff:192.0.2.150"))) << "a mapped address is the IPv4 address";
  EXPECT_FALSE(Net("0.0.0.0/0").Contains(Ip("::"))) << "everything of one family is nothing of the other";
  EXPECT_FALSE(Net("::/0").Contains(Ip("0.0.0.0")));
}

TEST(IpAddrTest, KnowsItsSpecialRanges) {
  EXPECT_TRUE(Ip("127.1.2.3").IsLoopback());
  EXPECT_TRUE(Ip("::1").IsLoopback());
  EXPECT_FALSE(Ip("128.0.0.1").IsLoopback());
  EXPECT_FALSE(Ip("1::1").IsLoopback());
  EXPECT_TRUE(Ip("169.254.0.1").IsLinkLocal());
  EXPECT_TRUE(Ip("fe80::1").IsLinkLocal());
  EXPECT_TRUE(Ip("febf::1").IsLinkLocal()) << "ten bits of prefix";
  EXPECT_FALSE(Ip("fec0::1").IsLinkLocal());
  EXPECT_FALSE(Ip("169.253.0.1").IsLinkLocal());
  EXPECT_TRUE(Ip("0.0.0.0").IsUnspecified());
  EXPECT_TRUE(Ip("::").IsUnspecified());
  EXPECT_FALSE(Ip("0.0.0.1").IsUnspecified());
}

TEST(IpAddrTest, SortsByFamilyThenByBytes) {
  EXPECT_LT(Ip("255.255.255.255"), Ip("::"));
  EXPECT_LT(Ip("9.0.0.0"), Ip("10.0.0.0")) << "by number, not by text";
  EXPECT_NE(Ip("0.0.0.0"), Ip("::"));
}

TEST(SocketAddrTest, IsWrittenWithBracketsInIpv6) {
  EXPECT_EQ(FormatSocketAddr({Ip("192.0.2.1"), 80}), "192.0.2.1:80");
  EXPECT_EQ(FormatSocketAddr({Ip("2001:db8::1"), 80}), "[2001:db8::1]:80");
}

TEST(ProtocolTest, IsSpelledInCapitalsOnly) {
  EXPECT_EQ(ParseProtocol("TCP"), Protocol::kTcp);
  EXPECT_EQ(ParseProtocol("UDP"), Protocol::kUdp);
  EXPECT_EQ(ParseProtocol("SCTP"), Protocol::kSctp);
  EXPECT_EQ(ParseProtocol("tcp"), std::nullopt);
  EXPECT_EQ(ParseProtocol(""), std::nullopt);
}

}  // namespace
}  // namespace pointsman
